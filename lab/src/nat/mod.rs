//! Two homes and the internet between them, in network namespaces: NATs of every kind, made by the kernel's own.
//!
//! ```text
//!            a                                                                  b
//! 192.168.1.2 -- NAT 203.0.113.2 -- public 192.0.2.1, 192.0.2.2 -- NAT 198.51.100.2 -- 192.168.2.2
//! ```
//!
//! Server and relay run in the public host, which has two addresses and is the router between the sides. A side without a
//! NAT is itself at its outside address. [`NatLab::cut`] drops what goes from side to side, and nothing else.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`kind`] | the kinds of NATs, and the rules that make them |
//! | [`side`] | one side: programs and sockets in it |
//! | [`port_mapper`] | a NAT that maps ports for who asks |
//! | [`mini_upnp`] | the same by a program that routers have, which speaks UPnP too |
//!
//! Needs root, iproute2 and nftables. Where they lack, [`NatLab::new`] says so and the test is left out; but not where the
//! variable `CI` is set, where they have to be.

pub mod kind;
pub mod mini_upnp;
pub mod port_mapper;
pub mod side;
#[cfg(test)]
mod tests;

pub use kind::Nat;
pub use mini_upnp::MiniUpnp;
pub use port_mapper::{PortMapper, Speaks};
pub use side::Side;

use crate::netns::{Namespace, NetworkError};
use std::{env, net::Ipv4Addr, process::Command, sync::OnceLock};

/// The sides and what is between them. Removed when dropped.
#[derive(Debug)]
pub struct NatLab {
    /// One side.
    pub a: Side,
    /// The other.
    pub b: Side,
    public: Namespace,
}

impl NatLab {
    /// The public host's addresses: the first is where a server is, and a relay; the second is for what has to be elsewhere.
    pub const PUBLIC: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2)];

    /// Makes one with these NATs; or says why it cannot, and the test is to be left out.
    ///
    /// # Panics
    /// When it cannot where the variable `CI` is set, and when anything else goes wrong.
    pub fn new(a: Nat, b: Nat) -> Option<Self> {
        missing().is_none().then(|| {
            let made = Self::make(a, b);
            made.unwrap_or_else(|error| panic!("a lab of NATs {a:?} and {b:?}: {error}"))
        })
    }

    fn make(a: Nat, b: Nat) -> Result<Self, NetworkError> {
        let public = Namespace::new("public")?;
        // What is for nobody goes silently, as most of the internet has it.
        public.ip("route add blackhole default")?;
        for address in Self::PUBLIC {
            public.ip(&format!("addr add {address}/32 dev lo"))?;
        }
        public.forward()?;
        let a = Side::new(&public, a, side::Home::A)?;
        let b = Side::new(&public, b, side::Home::B)?;
        Ok(Self { a, b, public })
    }

    /// The public host.
    pub fn public(&self) -> &Namespace {
        &self.public
    }

    /// From now on nothing goes from side to side. What goes to the public host, and so what is relayed, still does.
    pub fn cut(&self) {
        let rules = "table ip cut { chain forward { type filter hook forward priority 0; policy drop; }; }";
        self.public.nft(rules).unwrap_or_else(|error| panic!("cut the sides apart: {error}"));
    }

    /// Undoes [`cut`](Self::cut).
    pub fn mend(&self) {
        self.public.nft("delete table ip cut").unwrap_or_else(|error| panic!("mend what was cut: {error}"));
    }

    /// Gives each side's link so many Mbit/s each way (tc-tbf(8)).
    pub fn limit(&self, mbit: u32) {
        for side in [&self.a, &self.b] {
            let limited = self.public.limit(side.link(), mbit).and_then(|()| side.edge().limit(side::OUTSIDE, mbit));
            limited.unwrap_or_else(|error| panic!("limit a link: {error}"));
        }
    }
}

/// What this machine lacks for network namespaces and NATs, which is said too.
///
/// # Panics
/// When there is such a thing and the variable `CI` is set.
pub fn missing() -> Option<&'static str> {
    static MISSING: OnceLock<Option<&str>> = OnceLock::new();
    let missing = (*MISSING.get_or_init(look))?;
    assert!(env::var_os("CI").is_none(), "{missing}, which CI must have");
    eprintln!("left out: {missing}");
    Some(missing)
}

fn look() -> Option<&'static str> {
    let is_there = |program: &str| Command::new(program).arg("-V").output().is_ok_and(|done| done.status.success());
    if !rustix::process::geteuid().is_root() {
        Some("network namespaces need root")
    } else if !is_there("ip") || !is_there("tc") {
        Some("ip and tc of iproute2 are not there")
    } else if !is_there("nft") {
        Some("nft of nftables is not there")
    } else if Namespace::new("trial").and_then(|trial| trial.nft("table ip trial {}")).is_err() {
        Some("network namespaces with packet filters are not allowed here, as in many containers")
    } else {
        None
    }
}
