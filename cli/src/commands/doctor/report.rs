//! All of it, for people and for programs.

use super::{
    computer,
    examine::{Examined, Seen},
    finding::Finding,
    network,
    verdict::verdict,
};
use hypersend_client::doctor::{
    limits::window_rate,
    nat::{Nat, NatKind},
    reach::Reach,
    survey::{Surveyed, View},
};
use serde::Serialize;
use std::{fmt, net::SocketAddr, time::Duration};
use uuid::Uuid;

/// What was seen, what is said of it, and what comes of it. Fields stay away as long as nothing is known about them.
#[derive(Serialize)]
pub(super) struct Report {
    #[serde(flatten)]
    server: Option<ServerView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nat: Option<NatView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nat_ipv6: Option<NatView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mapping: Option<MappingView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ipv6: Option<String>,
    relays: Vec<RelayView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sockets: Option<SocketsView>,
    seal_bytes_per_second: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    write_bytes_per_second: Option<u64>,
    findings: Vec<Finding>,
    verdict: String,
}

#[derive(Serialize)]
struct ServerView {
    server: String,
    certificate: String,
    quic: ReachView,
    tcp: ReachView,
}

#[derive(Serialize)]
struct ReachView {
    answers: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    round_trip_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    window_bytes_per_second: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    mtu: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize)]
struct NatView {
    kind: &'static str,
    observed: Vec<SocketAddr>,
}

#[derive(Serialize)]
struct MappingView {
    protocol: &'static str,
    outside: SocketAddr,
    seconds: u64,
}

#[derive(Serialize)]
struct RelayView {
    relay: Uuid,
    name: String,
    views: Vec<ViewView>,
}

#[derive(Serialize)]
struct ViewView {
    at: SocketAddr,
    asked: usize,
    answered: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    observed: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_us: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    median_us: Option<u64>,
}

#[derive(Serialize)]
struct SocketsView {
    asked_bytes: usize,
    receive_bytes: usize,
    send_bytes: usize,
    send_segments: usize,
    receive_segments: usize,
}

impl Report {
    pub(super) fn new(seen: &Seen) -> Self {
        let findings = [network::findings(seen), computer::findings(seen)].concat();
        let [nat, nat_ipv6] = seen.nats().map(|nat| nat.map(NatView::from));
        let mapping = seen.mapping.as_ref().map(|grant| MappingView {
            protocol: grant.protocol,
            outside: grant.outside,
            seconds: grant.lifetime.as_secs(),
        });
        let sockets = seen.sockets.as_ref().ok().map(|sockets| SocketsView {
            asked_bytes: sockets.asked,
            receive_bytes: sockets.receive,
            send_bytes: sockets.send,
            send_segments: sockets.send_segments,
            receive_segments: sockets.receive_segments,
        });
        Self {
            server: seen.server.as_ref().map(ServerView::from),
            nat,
            nat_ipv6,
            mapping,
            ipv6: seen.ipv6.map(|own| own.to_string()),
            relays: seen.relays().iter().map(RelayView::from).collect(),
            sockets,
            seal_bytes_per_second: seen.seal_rate,
            write_bytes_per_second: seen.write_rate.as_ref().and_then(|rate| rate.as_ref().ok().copied()),
            verdict: verdict(seen, &findings),
            findings,
        }
    }
}

impl From<&Examined> for ServerView {
    fn from(Examined { server, certificate, quic, tcp, .. }: &Examined) -> Self {
        Self { server: server.to_string(), certificate: certificate.clone(), quic: quic.into(), tcp: tcp.into() }
    }
}

impl From<&Reach> for ReachView {
    fn from(reach: &Reach) -> Self {
        let (address, mtu, reason) = match reach {
            Reach::Answers { address, mtu, .. } => (Some(*address), *mtu, None),
            Reach::Untrusted(problem) => (None, None, Some(problem.to_string())),
            Reach::Silent(reason) => (None, None, Some(reason.clone())),
        };
        let round_trip = reach.round_trip();
        Self {
            answers: reach.is_answer(),
            address,
            round_trip_us: round_trip.map(micros),
            window_bytes_per_second: round_trip.map(window_rate),
            mtu,
            reason,
        }
    }
}

impl From<Nat> for NatView {
    fn from(Nat { kind, observed }: Nat) -> Self {
        let kind = match kind {
            NatKind::Open => "open",
            NatKind::Cone => "cone",
            NatKind::Symmetric => "symmetric",
            NatKind::Blocked => "blocked",
            NatKind::Unknown => "unknown",
        };
        Self { kind, observed }
    }
}

impl From<&Surveyed> for RelayView {
    fn from(Surveyed { relay, views }: &Surveyed) -> Self {
        let views = views.iter().map(ViewView::from).collect();
        Self { relay: relay.relay.0, name: relay.name.to_string(), views }
    }
}

impl From<&View> for ViewView {
    fn from(view: &View) -> Self {
        let (min, median) = view.round_trip().unzip();
        Self {
            at: view.at,
            asked: view.asked,
            answered: view.round_trips.len(),
            observed: view.observed,
            min_us: min.map(micros),
            median_us: median.map(micros),
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for finding in &self.findings {
            writeln!(f, "{finding}")?;
        }
        writeln!(f, "verdict  {}", self.verdict)
    }
}
