//! The kinds of NATs (RFC 4787, 4 and 5), and the rules of nftables that make the kernel one of them.
//!
//! The kernel's own NAT keeps a sender's port where it can. Home routers as a rule do not, so here each port changes on its way
//! in and out by one number, which is another one after the NAT has forgotten everything.

use std::{fmt::Write, net::Ipv4Addr};

/// How long a cone's port stays open without a datagram from inside, in seconds: what RFC 4787 (REQ-5) asks for at least.
/// What the others let in is the kernel's own affair: 30 s, and 120 s once there was an answer.
const CONE_SECONDS: u32 = 120;

/// The bits of a port that change: a port from 1024 on stays one.
pub(super) const CHANGING: u16 = 0x3ff;

/// The port that a NAT makes of one: of an inside port an outside port, as far as it keeps it, and the other way round.
pub(super) fn changed(port: u16, change: u16) -> u16 {
    port ^ change
}

/// What stands between a side and the internet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Nat {
    /// Nothing: the host is at its public address, and everything comes in.
    Open,
    /// One outside port for each inside port, whatever the destination, and everybody may send to it (full cone).
    Cone,
    /// One outside port for each inside port, whatever the destination; in comes what is from an address and port that was sent
    /// to (port-restricted cone).
    Restricted,
    /// Another outside port, at random, for each destination; in comes what is from there.
    Symmetric,
    /// No UDP in or out. TCP goes out.
    UdpBlocked,
}

impl Nat {
    /// Every kind.
    pub const ALL: [Self; 5] = [Self::Open, Self::Cone, Self::Restricted, Self::Symmetric, Self::UdpBlocked];

    /// The rules, in place of those before, for a NAT with the devices `inside` and `outside` and one host behind it. What was
    /// mapped by another `change` reaches nobody any more.
    pub(super) fn rules(self, host: Ipv4Addr, change: u16) -> String {
        let mut rules =
            String::from("table ip nat {}\ndelete table ip nat\ntable ip nat {\nset kept { type inet_service; }\n");
        let mut chain = |hook: &str, rule: &str| {
            // A chain of each kind has a name of its own, from what makes it one.
            let name: String = hook.chars().filter(char::is_ascii_alphanumeric).collect();
            writeln!(rules, "chain {name} {{ type {hook}; {rule}; }}").expect("a string takes everything");
        };
        // Before and after the kernel's NAT, so that this sees only changed ports.
        let prerouting = format!("iifname inside udp sport != @kept udp sport set udp sport ^ {change}");
        chain("filter hook prerouting priority -350", &prerouting);
        chain(
            "filter hook postrouting priority 300",
            &format!("oifname inside udp dport != @kept udp dport set udp dport ^ {change}"),
        );
        let random = if self == Self::Symmetric { " fully-random" } else { "" };
        chain("nat hook postrouting priority 100", &format!("oifname outside masquerade{random}"));
        // What is for no host behind it stays without an answer, and leaves nothing in the kernel's memory.
        chain("filter hook input priority 0", "iifname outside drop");
        // Nor does a host say that a port of its own is closed: that would tell who was mapped there before.
        let silent = "iifname inside icmp type destination-unreachable drop";
        let forward = match self {
            Self::UdpBlocked => "meta l4proto udp drop".to_owned(),
            Self::Cone => format!("{silent}; iifname inside meta l4proto udp update @open {{ udp sport }}"),
            _ => silent.to_owned(),
        };
        chain("filter hook forward priority 0", &forward);
        if self == Self::Cone {
            chain("nat hook prerouting priority -100", &format!("iifname outside udp dport @open dnat to {host}"));
            let set = "set open { type inet_service; size 65535; flags dynamic,timeout; timeout";
            rules.insert_str(rules.find("chain").expect("there are chains"), &format!("{set} {CONE_SECONDS}s; }}\n"));
        }
        rules.push_str("}\n");
        rules
    }
}
