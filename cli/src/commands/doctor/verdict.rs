//! The one sentence at the end: what to expect.

use super::{examine::Seen, finding::Finding};
use hypersend_client::doctor::{nat::NatKind, reach::Reach};

/// What comes of it all.
pub(super) fn verdict(seen: &Seen, findings: &[Finding]) -> String {
    let expected = expected(seen);
    match findings.iter().filter(|finding| !finding.is_good()).count() {
        0 => expected.to_owned(),
        1 => format!("{expected}; one thing to look at"),
        many => format!("{expected}; {many} things to look at"),
    }
}

fn expected(seen: &Seen) -> &'static str {
    let Some(server) = &seen.server else { return "not logged in, so only this computer was looked at" };
    match (&server.quic, &server.tcp) {
        (Reach::Silent(_), Reach::Silent(_)) => return "the server is not reached, and without it nothing works",
        (Reach::Untrusted(_), _) | (_, Reach::Untrusted(_)) => {
            return "the server's certificate is not trusted, and nothing is sent to it";
        }
        _ => {}
    }
    let is_udp_through = server.quic.is_answer();
    let [four, six] = seen.nats().map(|nat| nat.map(|nat| nat.kind));
    match four.or(six) {
        Some(NatKind::Blocked) | None if !is_udp_through => {
            "UDP does not get through: all goes over TCP, and files between computers go through the server"
        }
        Some(NatKind::Blocked) => "UDP reaches the server and no relay: files between computers go through the server",
        Some(NatKind::Open) => "files go directly to and from everybody who gets UDP through",
        _ if seen.open_port().is_some() => "files go directly to and from everybody, by the router's port",
        Some(NatKind::Cone) => "files go directly to and from everybody; with symmetric NATs perhaps by guessing ports",
        Some(NatKind::Symmetric) => {
            "files go directly to and from open networks and cone NATs, and over a relay with other symmetric NATs"
        }
        Some(NatKind::Unknown) | None => "the server is reached; how files go between computers could not be told",
    }
}
