//! Asks relays by Observe, at each of their ports from one socket: how far they are, and how this computer looks from
//! there.

use hypersend_net::socket;
use hypersend_protocol::{
    limit::MAX_LISTED_RELAYS,
    p2p::RelayInfo,
    relay::{FromRelay, MAX_ANSWER_BYTES, Nonce, ToRelay},
};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};
use tokio::{
    net::{UdpSocket, lookup_host},
    time::{sleep_until, timeout},
};
use uuid::Uuid;

/// Questions to each address. With the median of five, one that is late does no harm.
const SAMPLES: usize = 5;

/// Time until the next question where one is not answered. A later answer counts all the same.
const PATIENCE: Duration = Duration::from_millis(400);

/// How long all names together may take to be found.
const LOOK_UP: Duration = Duration::from_secs(1);

/// Addresses that a relay is asked at, of those that its name has.
const MAX_ADDRESSES: usize = 4;

/// One address of a relay, and what came from there.
#[derive(Clone, Debug)]
pub struct View {
    /// Where was asked.
    pub at: SocketAddr,
    /// How this computer looks from there; none without an answer.
    pub observed: Option<SocketAddr>,
    /// The socket's address on this computer that is used to get there; none where there is no route.
    pub own: Option<SocketAddr>,
    /// Questions.
    pub asked: usize,
    /// Of each answer, in order of length.
    pub round_trips: Vec<Duration>,
}

impl View {
    /// The shortest and the middle round trip time; none without an answer.
    pub fn round_trip(&self) -> Option<(Duration, Duration)> {
        let middle = self.round_trips.get(self.round_trips.len() / 2)?;
        Some((*self.round_trips.first()?, *middle))
    }
}

/// A relay, by each of its addresses.
#[derive(Clone, Debug)]
pub struct Surveyed {
    /// Which.
    pub relay: RelayInfo,
    /// What each of its addresses and ports answered; empty where its host is not found.
    pub views: Vec<View>,
}

impl Surveyed {
    /// The shortest and the middle round trip time to its nearest address; none without an answer.
    pub fn round_trip(&self) -> Option<(Duration, Duration)> {
        self.views.iter().filter_map(View::round_trip).min()
    }
}

/// Asks these relays, the nearest first in the answer. `host` is where those are that have none of their own: the
/// server's. Takes 3 s at most, and much less where all answer.
pub async fn survey(relays: Vec<RelayInfo>, host: &str) -> io::Result<Vec<Surveyed>> {
    let (socket, _) =
        socket::bind((Ipv6Addr::UNSPECIFIED, 0).into()).or_else(|_| socket::bind((Ipv4Addr::UNSPECIFIED, 0).into()))?;
    socket.set_nonblocking(true)?;
    let socket = UdpSocket::from_std(socket)?;
    let port = socket.local_addr()?.port();
    let found = futures::future::join_all(relays.into_iter().take(MAX_LISTED_RELAYS).map(async |relay| {
        let addresses = find(&relay, host).await;
        (relay, addresses)
    }));
    let mut asked = Vec::new();
    let mut surveyed = Vec::new();
    for (relay, addresses) in found.await {
        asked.extend(addresses.iter().map(|&at| Asked::new(at)));
        surveyed.push((relay, addresses.len()));
    }
    ask(&socket, &mut asked).await?;
    let mut views = asked.into_iter().map(|asked| asked.view(port));
    let mut surveyed: Vec<Surveyed> = surveyed
        .into_iter()
        .map(|(relay, addresses)| Surveyed { relay, views: views.by_ref().take(addresses).collect() })
        .collect();
    surveyed.sort_by_key(|relay| relay.round_trip().map_or((true, Duration::ZERO), |(_, middle)| (false, middle)));
    Ok(surveyed)
}

/// Each address of a relay with each of its ports.
async fn find(relay: &RelayInfo, host: &str) -> Vec<SocketAddr> {
    let host = relay.host.as_ref().map_or(host, |host| host.as_str());
    let hosts = match timeout(LOOK_UP, lookup_host((host, 0))).await {
        Ok(Ok(found)) => found.take(MAX_ADDRESSES).map(|found| found.ip()).collect(),
        Ok(Err(_)) | Err(_) => Vec::new(),
    };
    hosts.into_iter().flat_map(|ip| relay.ports.iter().map(move |&port| SocketAddr::new(ip, port))).collect()
}

/// An address that is being asked.
struct Asked {
    at: SocketAddr,
    questions: Vec<(Nonce, Instant)>,
    observed: Option<SocketAddr>,
    round_trips: Vec<Duration>,
}

impl Asked {
    fn new(at: SocketAddr) -> Self {
        Self { at, questions: Vec::new(), observed: None, round_trips: Vec::new() }
    }

    /// When there is something to do for it; never once it has answered enough, or has had the time to.
    fn due(&self, began: Instant) -> Option<Instant> {
        let Some((_, last)) = self.questions.last() else { return Some(began) };
        let is_answered = self.round_trips.len() == self.questions.len();
        match self.questions.len() {
            SAMPLES if is_answered => None,
            _ if is_answered => Some(*last),
            _ => Some(*last + PATIENCE),
        }
    }

    /// Takes an answer, if it is one to a question of this side.
    fn answered(&mut self, nonce: Nonce, observed: SocketAddr, now: Instant) {
        let Some((_, at)) = self.questions.iter().find(|(asked, _)| *asked == nonce) else { return };
        // One that comes twice is heard twice, and never makes more answers than questions.
        if self.round_trips.len() < self.questions.len() {
            self.observed = Some(observed);
            self.round_trips.push(now - *at);
        }
    }

    fn view(mut self, port: u16) -> View {
        self.round_trips.sort_unstable();
        View {
            at: self.at,
            observed: self.observed,
            own: own_address(self.at).map(|own| SocketAddr::new(own.ip(), port)),
            asked: self.questions.len(),
            round_trips: self.round_trips,
        }
    }
}

/// Asks until each has answered often enough, or has not in time.
async fn ask(socket: &UdpSocket, asked: &mut [Asked]) -> io::Result<()> {
    let is_six = socket.local_addr()?.is_ipv6();
    let began = Instant::now();
    let mut bytes = [0; MAX_ANSWER_BYTES];
    loop {
        let now = Instant::now();
        let mut next = None;
        for one in &mut *asked {
            let Some(mut due) = one.due(began) else { continue };
            if due <= now {
                if one.questions.len() == SAMPLES {
                    continue;
                }
                let (nonce, sent) = (nonce(), Instant::now());
                let question = ToRelay::Observe { nonce }.encode();
                // What is lost here, or has no way, is asked again.
                let _ = socket.send_to(&question, reachable_by(one.at, is_six)).await;
                one.questions.push((nonce, sent));
                due = sent + PATIENCE;
            }
            next = Some(next.map_or(due, |next: Instant| next.min(due)));
        }
        let Some(next) = next else { return Ok(()) };
        tokio::select! {
            received = socket.recv_from(&mut bytes) => {
                // An error is of one datagram that was sent, which is asked again.
                let Ok((length, from)) = received else { continue };
                let from = SocketAddr::new(from.ip().to_canonical(), from.port());
                let Ok(FromRelay::Observed { nonce, observed }) = FromRelay::read(&bytes[..length]) else { continue };
                // One address may have been listed twice: under the name of before, and of now.
                let was_asked = |one: &Asked| one.at == from && one.questions.iter().any(|(asked, _)| *asked == nonce);
                if let Some(one) = asked.iter_mut().find(|one| was_asked(one)) {
                    one.answered(nonce, observed, Instant::now());
                }
            }
            () = sleep_until(next.into()) => {}
        }
    }
}

/// Unforeseeable for who does not see the question.
fn nonce() -> Nonce {
    let [nonce @ .., _, _, _, _, _, _, _, _] = *Uuid::new_v4().as_bytes();
    Nonce(nonce)
}

/// As a socket of one family or of both names it.
fn reachable_by(at: SocketAddr, is_six: bool) -> SocketAddr {
    match at {
        SocketAddr::V4(four) if is_six => SocketAddr::new(four.ip().to_ipv6_mapped().into(), four.port()),
        at => at,
    }
}

/// The address by which this computer sends to another one; nothing is sent.
pub(super) fn own_address(towards: SocketAddr) -> Option<SocketAddr> {
    let any: std::net::IpAddr =
        if towards.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = std::net::UdpSocket::bind((any, 0)).ok()?;
    socket.connect(towards).ok()?;
    socket.local_addr().ok()
}
