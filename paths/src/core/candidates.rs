//! Which addresses a side names, and which of the other side's it believes enough to send a probe there.

use hypersend_protocol::paths::{Candidate, CandidateKind, MAX_CANDIDATES};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// This side's addresses, the likeliest to be reached first: what a router gave or the owner named, what relays saw, IPv6, IPv4, and its own
/// loopback, at which another client on the same machine is reached that has no other network.
pub(crate) fn own(hosts: &[IpAddr], port: u16, observed: &[SocketAddr], mapped: &[SocketAddr]) -> Vec<Candidate> {
    let mut candidates: Vec<Candidate> = Vec::new();
    let mut name = |address: SocketAddr, kind| {
        let known = candidates.iter().any(|known| known.address == address);
        if candidates.len() < MAX_CANDIDATES && !known {
            candidates.push(Candidate { address, kind });
        }
    };
    for &address in mapped {
        name(address, CandidateKind::Mapped);
    }
    // Room is kept for every kind: what relays saw reaches furthest, and interfaces may be many.
    for &address in observed.iter().take(4) {
        name(address, CandidateKind::Observed);
    }
    let (near, far): (Vec<&IpAddr>, Vec<&IpAddr>) = hosts.iter().partition(|ip| ip.is_loopback());
    let (six, four): (Vec<&IpAddr>, Vec<&IpAddr>) = far.into_iter().partition(|ip| ip.is_ipv6());
    for &ip in six.into_iter().take(4).chain(four.into_iter().take(4)).chain(near) {
        name(SocketAddr::new(ip, port), CandidateKind::Host);
    }
    candidates
}

/// Whether an address of an interface is worth naming.
pub(crate) fn is_host(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => !(ip.is_unspecified() || ip.is_link_local() || ip.is_multicast() || ip.is_broadcast()),
        // A link-local address means nothing without the name of its interface, which is another on each machine.
        IpAddr::V6(ip) => !(ip.is_unspecified() || ip.is_unicast_link_local() || ip.is_multicast()),
    }
}

/// Whether a probe may be sent to an address that the other side has named: never to many at once, and to this machine
/// itself only if the other side seems to be on it. It may claim that; what it gains are probes within the budget of all others.
pub(crate) fn is_believed(address: SocketAddr, own: &[Candidate], peer: &[Candidate]) -> bool {
    let ip = address.ip().to_canonical();
    let is_one = match ip {
        IpAddr::V4(four) => {
            let [first, .., last] = four.octets();
            // 255 at the end is mostly a network's broadcast address; whoever has it as a host is found by other ways.
            !(four.is_multicast() || four.is_broadcast() || first == 0 || first >= 240 || last == 255)
                && four != Ipv4Addr::UNSPECIFIED
        }
        IpAddr::V6(six) => !(six.is_multicast() || six.is_unspecified() || six.is_unicast_link_local()),
    };
    is_one && address.port() != 0 && (!ip.is_loopback() || shares_machine(own, peer))
}

/// Whether both sides name an address in common, or neither has one beyond loopback.
fn shares_machine(own: &[Candidate], peer: &[Candidate]) -> bool {
    let far = |of: &[Candidate]| -> Vec<IpAddr> {
        of.iter().map(|candidate| candidate.address.ip()).filter(|ip| !ip.is_loopback()).collect()
    };
    let (own_far, peer_far) = (far(own), far(peer));
    let has_near = own.iter().any(|candidate| candidate.address.ip().is_loopback());
    has_near && (own_far.iter().any(|ip| peer_far.contains(ip)) || (own_far.is_empty() && peer_far.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(addresses: &[&str]) -> Vec<Candidate> {
        let named = |text: &&str| Candidate { address: text.parse().unwrap(), kind: CandidateKind::Host };
        addresses.iter().map(named).collect()
    }

    #[test]
    fn nobody_is_sent_to_many_at_once_or_to_himself() {
        let (own, peer) = (named(&["10.0.0.2:7", "127.0.0.1:7"]), named(&["10.0.0.9:8", "127.0.0.1:8"]));
        for bad in [
            "224.0.0.251:5353",
            "255.255.255.255:9",
            "192.168.1.255:9",
            "0.0.0.0:9",
            "240.1.1.1:9",
            "203.0.113.7:0",
            "127.0.0.1:22",
            "[::1]:22",
            "[::]:9",
            "[ff02::1]:9",
            "[fe80::1]:9",
            "[::ffff:127.0.0.1]:9",
        ] {
            assert!(!is_believed(bad.parse().unwrap(), &own, &peer), "{bad}");
        }
        for good in ["203.0.113.7:4242", "10.0.0.9:8", "[2001:db8::7]:9", "192.168.1.7:1"] {
            assert!(is_believed(good.parse().unwrap(), &own, &peer), "{good}");
        }
    }

    #[test]
    fn loopback_is_for_those_on_one_machine() {
        let near = "127.0.0.1:8".parse().unwrap();
        let own = named(&["10.0.0.2:7", "127.0.0.1:7"]);
        assert!(is_believed(near, &own, &named(&["10.0.0.2:8", "127.0.0.1:8"])));
        assert!(!is_believed(near, &own, &named(&["127.0.0.1:8"])));
        assert!(is_believed(near, &named(&["127.0.0.1:7"]), &named(&["127.0.0.1:8"])));
    }

    #[test]
    fn however_many_interfaces_there_are_what_a_relay_saw_is_named() {
        let hosts: Vec<IpAddr> = (1..200).map(|last| IpAddr::from([10, 0, 0, last])).collect();
        let seen = "203.0.113.7:4242".parse().unwrap();
        let own = own(&hosts, 7, &[seen], &[]);
        assert!(own.len() <= MAX_CANDIDATES && own.iter().any(|candidate| candidate.address == seen));
    }
}
