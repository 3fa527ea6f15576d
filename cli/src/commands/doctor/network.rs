//! What is said of the server, the NAT, the router and the relays.

use super::{
    examine::{Examined, Seen},
    finding::Finding,
};
use crate::view::words::{list, millis};
use hypersend_client::doctor::{
    nat::{Nat, NatKind},
    reach::Reach,
    survey::Surveyed,
};
use std::net::IpAddr;

/// What helps with a server that does not answer.
pub(super) const NO_ANSWER: &str = "check the address, the network, and that the server runs";

const OPEN_A_PORT: &str = "turn on UPnP, NAT-PMP or PCP in the router, or use IPv6 where both sides have it";

/// The longest UDP payload that QUIC looks for, in bytes: what an Ethernet frame takes over IPv6.
const FULL_MTU: u16 = 1452;

/// In the order in which one thing needs the other.
pub(super) fn findings(seen: &Seen) -> Vec<Finding> {
    let Some(server) = &seen.server else {
        let login = "hypersend login SERVER EMAIL, or --server HOST to try a server without";
        return vec![Finding::failed("server", "not logged in", login), mapping(seen, None), ipv6(seen, None)];
    };
    let [four, six] = seen.nats();
    let mut findings = vec![reached(server)];
    findings.extend(certificate(server));
    findings.extend(mtu(&server.quic));
    findings.extend(four.as_ref().map(|four| nat(four, seen)));
    findings.push(mapping(seen, four.as_ref()));
    findings.push(ipv6(seen, six.as_ref()));
    if server.is_met() {
        findings.extend(relays(server));
    }
    findings
}

fn reached(Examined { server, quic, tcp, .. }: &Examined) -> Finding {
    let (what, port) = ("server", server.port());
    let over = |way: &str, reach: &Reach| match reach {
        Reach::Answers { round_trip, .. } => format!("over {way} in {}", millis(*round_trip)),
        Reach::Untrusted(_) => format!("over {way}"),
        Reach::Silent(reason) => format!("not over {way} ({reason})"),
    };
    let [quic_says, tcp_says] = [over("QUIC", quic), over("TCP", tcp)];
    match (quic.is_answer(), tcp.is_answer()) {
        (true, true) => Finding::ok(what, format!("{server} answers {quic_says}, {tcp_says}")),
        (true, false) => Finding::warning(
            what,
            format!("{server} answers {quic_says}, {tcp_says}"),
            format!("have TCP to port {port} let through too: it is what is left where a network blocks UDP"),
        ),
        (false, true) => Finding::warning(
            what,
            format!("{server} answers {tcp_says}, {quic_says}, so UDP is blocked on the way"),
            format!(
                "have UDP to port {port} let through; until then all goes over TCP, and what is sent from computer to \
                 computer goes through the server"
            ),
        ),
        (false, false) => {
            Finding::failed(what, format!("{server} does not answer: {quic_says}, {tcp_says}"), NO_ANSWER)
        }
    }
}

fn certificate(Examined { certificate, quic, tcp, .. }: &Examined) -> Option<Finding> {
    let what = "certificate";
    Some(match (quic, tcp) {
        (Reach::Untrusted(problem), _) | (_, Reach::Untrusted(problem)) => Finding::failed(
            what,
            problem.to_string(),
            "ask the server's operator for the fingerprint before anything else",
        ),
        (Reach::Silent(_), Reach::Silent(_)) => return None,
        _ => Finding::ok(what, certificate),
    })
}

fn mtu(quic: &Reach) -> Option<Finding> {
    let Reach::Answers { mtu: Some(mtu), .. } = *quic else { return None };
    let what = "MTU";
    Some(if mtu >= FULL_MTU {
        Finding::ok(what, format!("{mtu} bytes in a datagram to the server, as much as is looked for"))
    } else {
        Finding::warning(
            what,
            format!(
                "{mtu} bytes in a datagram to the server, of {FULL_MTU}: a tunnel on the way, or a link with a \
                 small MTU"
            ),
            "raise its MTU, or do without the tunnel; packets that carry less cost more",
        )
    })
}

fn nat(nat: &Nat, seen: &Seen) -> Finding {
    let what = "NAT";
    let observed = list(&nat.observed);
    match nat.kind {
        NatKind::Open => Finding::ok(what, format!("none, this computer is seen as itself, {observed}")),
        NatKind::Cone => Finding::ok(
            what,
            format!(
                "cone: one outside port for all destinations, seen as {observed}; direct with everybody, with \
                 symmetric NATs perhaps by guessing ports"
            ),
        ),
        NatKind::Symmetric => {
            let says = format!("symmetric: another outside port for each destination, seen as {observed}");
            if seen.open_port().is_some() {
                return Finding::ok(what, format!("{says}; the router's port makes up for it"));
            }
            Finding::warning(
                what,
                format!("{says}; direct with open networks and cone NATs, over a relay with symmetric ones"),
                OPEN_A_PORT,
            )
        }
        NatKind::Blocked => Finding::warning(
            what,
            "unknown, as no datagram comes back from any relay: what is sent from computer to computer goes through \
             the server",
            format!("have UDP to {} let through", ports(seen.relays())),
        ),
        NatKind::Unknown => Finding::warning(
            what,
            format!("unknown, seen as {observed} from one place only"),
            "a relay with two ports, or a second one, would tell",
        ),
    }
}

/// As somebody who sets a firewall up wants them.
fn ports(relays: &[Surveyed]) -> String {
    let mut ports: Vec<u16> = relays.iter().flat_map(|relay| relay.relay.ports.iter().copied()).collect();
    ports.sort_unstable();
    ports.dedup();
    format!("the relays' ports {}", list(&ports))
}

fn mapping(seen: &Seen, nat: Option<&Nat>) -> Finding {
    let what = "mapping";
    match (&seen.mapping, nat.map(|nat| nat.kind)) {
        (Some(grant), _) if seen.open_port().is_none() => Finding::warning(
            what,
            format!(
                "the router gives {} by {}, where relays do not see this computer: there is another NAT behind \
                 the router",
                grant.outside, grant.protocol
            ),
            "ask the provider for a public address, or use IPv6 where both sides have it",
        ),
        (Some(grant), _) => {
            let (protocol, seconds) = (grant.protocol, grant.lifetime.as_secs());
            Finding::ok(
                what,
                format!("the router gives {} by {protocol} for {seconds} s: reached by everybody", grant.outside),
            )
        }
        (None, Some(NatKind::Open)) => Finding::ok(what, "not needed without a NAT"),
        (None, Some(NatKind::Symmetric)) => {
            Finding::warning(what, "no router gives an outside port, by PCP, NAT-PMP or UPnP", OPEN_A_PORT)
        }
        (None, _) => Finding::ok(what, "no router gives an outside port, by PCP, NAT-PMP or UPnP"),
    }
}

fn ipv6(seen: &Seen, six: Option<&Nat>) -> Finding {
    let what = "IPv6";
    match (seen.ipv6, six) {
        (_, Some(Nat { kind: NatKind::Open, observed })) => {
            Finding::ok(what, format!("seen as itself, {}", list(observed)))
        }
        (_, Some(Nat { kind: NatKind::Cone | NatKind::Symmetric | NatKind::Unknown, observed })) => {
            Finding::ok(what, format!("behind a NAT, seen as {}", list(observed)))
        }
        (Some(own), Some(Nat { kind: NatKind::Blocked, .. })) => Finding::warning(
            what,
            format!("this computer has {own}, and nothing comes back from relays over it"),
            "look into its route and its firewall: IPv6 is what goes without NATs",
        ),
        (Some(own), None) if seen.server.as_ref().is_some_and(Examined::is_met_over_ipv6) => {
            Finding::ok(what, format!("this computer has {own}, and reaches the server over it"))
        }
        (Some(own), None) => Finding::ok(what, format!("this computer has {own}; nobody could be asked over it")),
        (None, _) => Finding::ok(what, "none, so all goes over IPv4"),
    }
}

/// One line each.
fn relays(Examined { server, relays, .. }: &Examined) -> Vec<Finding> {
    let what = "relays";
    match relays {
        None => {
            let remedy = format!("hypersend login {server} EMAIL");
            vec![Finding::warning(
                what,
                "named only to who is logged in, and without them the NAT is not known",
                remedy,
            )]
        }
        Some(Err(_)) => vec![Finding::failed(what, "the server has not named them", "see the error below")],
        Some(Ok(relays)) if relays.is_empty() => vec![Finding::warning(
            what,
            "none that takes transfers: where two NATs do not let each other in, files go through the server",
            "ask its operator for one (RELAY_LISTEN)",
        )],
        Some(Ok(relays)) => relays.iter().map(relay).collect(),
    }
}

fn relay(surveyed: &Surveyed) -> Finding {
    let (what, name) = ("relay", &surveyed.relay.name);
    if surveyed.views.is_empty() {
        let host = surveyed.relay.host.as_ref().map_or("its host", |host| host.as_str());
        return Finding::warning(
            what,
            format!("{name}: {host} is not found"),
            "tell its operator, or look into your DNS",
        );
    }
    let mut hosts: Vec<IpAddr> = surveyed.views.iter().map(|view| view.at.ip()).collect();
    hosts.dedup();
    let hosts = list(&hosts);
    match surveyed.round_trip() {
        Some((least, middle)) => {
            Finding::ok(what, format!("{name} ({hosts}): {} at best, {} in the middle", millis(least), millis(middle)))
        }
        None => {
            let port = list(&surveyed.relay.ports);
            Finding::warning(
                what,
                format!("{name} ({hosts}) does not answer"),
                format!("have UDP to its ports {port} let through; or it is down"),
            )
        }
    }
}
