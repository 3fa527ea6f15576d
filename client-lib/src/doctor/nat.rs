//! What the views of relays tell of the NAT in front of this computer.

use super::survey::{View, own_address};
use hypersend_protocol::paths::Mapping;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// How the NAT treats UDP, of one family of addresses. Whether it lets strangers in, as a full cone does, cannot be
/// told without somebody outside who sends from where nobody was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NatKind {
    /// There is none: relays see the computer's own address.
    Open,
    /// One outside port for all destinations (RFC 4787, 4.1: endpoint-independent mapping).
    Cone,
    /// Another outside port for each destination.
    Symmetric,
    /// Nobody answers, so UDP does not get through.
    Blocked,
    /// Only one address has answered, and a second view is needed; or nobody could be asked.
    Unknown,
}

/// The NAT of one family, as relays of that family see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nat {
    /// Its kind.
    pub kind: NatKind,
    /// This computer's addresses as seen from outside, each once.
    pub observed: Vec<SocketAddr>,
}

impl Nat {
    /// Judges by the views of this family; none where nobody of this family was asked.
    fn judge(views: &[&View]) -> Option<Self> {
        if views.is_empty() {
            return None;
        }
        let observations: Vec<_> = views.iter().filter_map(|view| Some((view.at, view.observed?))).collect();
        let own: Vec<_> = views.iter().filter_map(|view| view.own).collect();
        let is_open = observations.iter().all(|(_, observed)| own.contains(observed));
        let all_silent = observations.is_empty();
        let kind = match hypersend_paths::mapping(&observations, &own, all_silent) {
            Mapping::Independent if is_open => NatKind::Open,
            Mapping::Independent => NatKind::Cone,
            Mapping::Dependent => NatKind::Symmetric,
            Mapping::Blocked => NatKind::Blocked,
            Mapping::Unknown | Mapping::Other => NatKind::Unknown,
        };
        let mut observed: Vec<_> = observations.into_iter().map(|(_, observed)| observed).collect();
        observed.sort_unstable();
        observed.dedup();
        Some(Self { kind, observed })
    }
}

/// The NATs of both families, IPv4 first; none where nobody of that family was asked.
pub fn judge<'a>(views: impl IntoIterator<Item = &'a View>) -> [Option<Nat>; 2] {
    let (four, six): (Vec<_>, Vec<_>) = views.into_iter().partition(|view| view.at.is_ipv4());
    [Nat::judge(&four), Nat::judge(&six)]
}

/// The address by which this computer reaches the IPv6 internet; none where it has no route there, or only a private
/// address.
pub fn own_ipv6() -> Option<Ipv6Addr> {
    // Of those for documents, and routed like any other that is far away. Nothing is sent.
    let far = SocketAddr::from((Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1), 9));
    match own_address(far)?.ip() {
        IpAddr::V6(own) if !own.is_loopback() && !own.is_unique_local() => Some(own),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(at: &str, observed: Option<&str>, own: &str) -> View {
        let address = |text: &str| text.parse::<SocketAddr>().unwrap();
        let observed = observed.map(address);
        View { at: address(at), observed, own: Some(address(own)), asked: 5, round_trips: Vec::new() }
    }

    fn kind(views: &[View]) -> Option<NatKind> {
        let [four, _] = judge(views);
        four.map(|nat| nat.kind)
    }

    #[test]
    fn two_views_tell_the_kind() {
        let (one, other, own) = ("192.0.2.1:8444", "192.0.2.1:8445", "192.168.1.2:4000");
        let (seen, differently) = (Some("203.0.113.2:5000"), Some("203.0.113.2:5001"));
        assert_eq!(kind(&[]), None);
        assert_eq!(kind(&[view(one, seen, own), view(other, seen, own)]), Some(NatKind::Cone));
        assert_eq!(kind(&[view(one, seen, own), view(other, differently, own)]), Some(NatKind::Symmetric));
        assert_eq!(kind(&[view(one, Some(own), own), view(other, Some(own), own)]), Some(NatKind::Open));
        assert_eq!(kind(&[view(one, None, own), view(other, None, own)]), Some(NatKind::Blocked));
        assert_eq!(kind(&[view(one, seen, own), view(other, None, own)]), Some(NatKind::Unknown));
        assert_eq!(kind(&[view(one, Some(own), own)]), Some(NatKind::Open));
    }

    #[test]
    fn each_family_has_its_own() {
        let views = [
            view("192.0.2.1:1", Some("203.0.113.2:5000"), "192.168.1.2:4000"),
            view("192.0.2.1:2", Some("203.0.113.2:5001"), "192.168.1.2:4000"),
            view("[2001:db8::1]:1", Some("[2001:db8::7]:4000"), "[2001:db8::7]:4000"),
        ];
        let [four, six] = judge(&views);
        assert_eq!(four.unwrap().kind, NatKind::Symmetric);
        assert_eq!(six.unwrap().kind, NatKind::Open);
    }
}
