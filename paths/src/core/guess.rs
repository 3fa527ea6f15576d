//! Guessing of ports, where one side's NAT makes up a new one for each destination and the other's does not.
//!
//! The side with such a NAT opens many sockets, each of which sends to the other's observed address and so has a port of its
//! own outside. The other side sends to as many ports at random. With 256 of the one and 1,024 of the other, among some 64,000,
//! one of them meets in 98 of 100 rounds. Both must do so at the same time: the sender names a round by its number, the
//! receiver repeats the number and begins, the sender sees that and begins.
//!
//! Keeps true: one round at a time, at most [`MAX_ROUNDS`] for one search; no port is tried twice; a round's sockets end with it,
//! but for those over which the other side was heard.

use super::{Moment, Out, Via, Wish, candidates::is_believed, dice::Dice, key::ProbeKey};
use hypersend_protocol::{
    paths::{CandidateKind, Mapping, State},
    relay::{Nonce, ticket::Side},
};
use std::{
    collections::BTreeSet,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// Sockets of one round.
pub(crate) const MAX_SOCKETS: u32 = 256;
/// Ports that are tried in one round.
const MAX_TRIES: usize = 1_024;
/// Rounds in one search for a direct way. What three did not find, a fourth will not.
pub(crate) const MAX_ROUNDS: u32 = 3;
/// Rounds in a session, however often a search begins anew: the other side cannot have this one send to a third party, whose
/// address it claims to have, more than that many times [`MAX_TRIES`] small datagrams.
const MAX_ROUNDS_EVER: u32 = 12;
/// How long a round lasts: the way of the states to the other side, the tries, and a long round trip.
const ROUND: Duration = Duration::from_secs(6);
/// Least time between the ends and beginnings of rounds.
const APART: Duration = Duration::from_secs(5);
/// How long the usual probes are given before the first.
const PATIENCE: Duration = Duration::from_secs(2);
/// Time for the other side's sockets to be opened, before their ports are tried.
const LEAD: Duration = Duration::from_millis(500);
/// Datagrams of a batch, and the time between two: some 1,000 in a second, the rate of a phone call or two.
const BATCH: (usize, Duration) = (10, Duration::from_millis(10));
/// After how long a socket's port outside is used again, so that its NAT does not forget it.
const AGAIN: Duration = Duration::from_secs(2);
/// Sockets that are kept. One is enough; the others are those that were hit before it was seen to be.
const MAX_KEPT: usize = 8;

pub(crate) struct Guess {
    is_wanted: bool,
    /// The newest round that has begun.
    begun: u32,
    /// Rounds in this search.
    spent: u32,
    /// Rounds in this session.
    spent_ever: u32,
    rests_until: Moment,
    round: Option<Round>,
    tried: BTreeSet<u16>,
    named: u32,
    kept: Vec<Via>,
}

struct Round {
    ends: Moment,
    next: Moment,
    nonce: Nonce,
    to: SocketAddr,
    part: Part,
}

enum Part {
    /// Many sockets send to one address.
    Opens { sockets: Vec<Via>, turn: usize },
    /// One socket sends to many ports.
    Tries { left: usize },
}

/// What the decision depends on.
pub(crate) struct Facts<'a> {
    pub(crate) side: Side,
    pub(crate) own: &'a State,
    pub(crate) peer: &'a State,
    /// Since when there is no direct way; none while there is one.
    pub(crate) sought_since: Option<Moment>,
}

impl Guess {
    pub(crate) fn new(is_wanted: bool) -> Self {
        Self {
            is_wanted,
            begun: 0,
            spent: 0,
            spent_ever: 0,
            rests_until: Moment::ZERO,
            round: None,
            tried: BTreeSet::new(),
            named: 0,
            kept: Vec::new(),
        }
    }

    /// Another search begins: a way was found and is lost.
    pub(crate) fn again(&mut self) {
        self.spent = 0;
        self.tried.clear();
    }

    /// The other side began anew, or has left: the numbers of rounds begin anew too.
    pub(crate) fn reset(&mut self, now: Moment, out: &mut Out) {
        self.finish(now, out);
        self.release(None, out);
        self.begun = 0;
        self.again();
    }

    /// Goes on with a round, or begins one. The number to tell the other side.
    pub(crate) fn tick(
        &mut self,
        now: Moment,
        facts: &Facts<'_>,
        key: &ProbeKey,
        dice: &mut Dice,
        out: &mut Out,
    ) -> u32 {
        let number = facts.own.guessing;
        if self.round.as_ref().is_some_and(|round| facts.sought_since.is_none() || now >= round.ends) {
            self.finish(now, out);
        }
        if self.round.is_some() {
            self.go_on(now, key, dice, out);
            return number;
        }
        let is_time = facts.sought_since.is_some_and(|since| now >= since + PATIENCE) && now >= self.rests_until;
        let Some((to, opens)) = one_sided(facts) else { return number };
        if !self.is_wanted || !is_time || self.is_spent() {
            return number;
        }
        let agreed = match facts.side {
            Side::Receiver if facts.peer.guessing > self.begun => facts.peer.guessing,
            Side::Sender if number <= self.begun => return self.begun.saturating_add(1),
            Side::Sender if facts.peer.guessing == number => number,
            _ => return number,
        };
        self.begun = agreed;
        self.spent += 1;
        self.spent_ever += 1;
        self.release(None, out);
        let part = if opens {
            let vias = (0..MAX_SOCKETS).map(|nth| Via(self.named + 1 + nth)).collect();
            self.named += MAX_SOCKETS;
            out.push_back(Wish::Open(vias));
            Part::Opens { sockets: Vec::new(), turn: 0 }
        } else {
            Part::Tries { left: MAX_TRIES }
        };
        let next = if opens { now } else { now + LEAD };
        self.round = Some(Round { ends: now + ROUND, next, nonce: dice.nonce(), to, part });
        tracing::debug!(round = agreed, opens, %to, "guessing ports");
        agreed
    }

    pub(crate) fn wake_at(&self) -> Option<Moment> {
        self.round.as_ref().map(|round| round.next.min(round.ends))
    }

    /// When a round may begin, if one may.
    pub(crate) fn may_begin_at(&self, sought_since: Moment) -> Option<Moment> {
        let may = self.is_wanted && self.round.is_none() && !self.is_spent();
        may.then_some(self.rests_until.max(sought_since + PATIENCE))
    }

    /// So many of the sockets could be opened.
    pub(crate) fn opened(&mut self, vias: Vec<Via>) {
        if let Some(Round { part: Part::Opens { sockets, .. }, .. }) = &mut self.round {
            *sockets = vias;
        }
    }

    /// A valid probe has come by this socket. Whether it is one that may be used; a round's own is kept.
    pub(crate) fn is_used(&mut self, via: Via, out: &mut Out) -> bool {
        if via == Via::MAIN || self.kept.contains(&via) {
            return true;
        }
        let round = self.round.as_mut().filter(|_| self.kept.len() < MAX_KEPT);
        let Some(Round { part: Part::Opens { sockets, .. }, .. }) = round else { return false };
        let Some(at) = sockets.iter().position(|socket| *socket == via) else { return false };
        sockets.swap_remove(at);
        self.kept.push(via);
        out.push_back(Wish::Keep(via));
        true
    }

    /// Whether this answers one of the round's pings.
    pub(crate) fn is_hit(&self, via: Via, from: SocketAddr, nonce: Nonce) -> bool {
        self.round.as_ref().filter(|round| round.nonce == nonce).is_some_and(|round| match &round.part {
            Part::Opens { .. } => from == round.to && self.kept.contains(&via),
            Part::Tries { .. } => via == Via::MAIN && from.ip() == round.to.ip() && self.tried.contains(&from.port()),
        })
    }

    /// Gives up what was kept, but for one; which these are.
    pub(crate) fn release(&mut self, but: Option<Via>, out: &mut Out) -> Vec<Via> {
        let (stay, go) = self.kept.drain(..).partition(|via| Some(*via) == but);
        self.kept = stay;
        let go: Vec<Via> = go;
        out.extend(go.iter().map(|via| Wish::Release(*via)));
        go
    }

    fn is_spent(&self) -> bool {
        self.spent >= MAX_ROUNDS || self.spent_ever >= MAX_ROUNDS_EVER
    }

    fn finish(&mut self, now: Moment, out: &mut Out) {
        if let Some(round) = self.round.take() {
            self.rests_until = now + APART;
            if matches!(round.part, Part::Opens { .. }) {
                out.push_back(Wish::CloseOpened);
            }
        }
    }

    fn go_on(&mut self, now: Moment, key: &ProbeKey, dice: &mut Dice, out: &mut Out) {
        let Some(round) = self.round.as_mut().filter(|round| now >= round.next) else { return };
        let bytes = key.ping(round.nonce).to_vec();
        round.next = now + BATCH.1;
        match &mut round.part {
            Part::Opens { sockets, turn } => {
                let batch = sockets.iter().skip(*turn).take(BATCH.0);
                out.extend(batch.map(|&via| Wish::Send { via, to: round.to, bytes: bytes.clone() }));
                *turn += BATCH.0;
                if *turn >= sockets.len() {
                    let has_sent = !sockets.is_empty();
                    (*turn, round.next) = (0, now + if has_sent { AGAIN } else { BATCH.1 });
                }
            }
            Part::Tries { left: 0 } => round.next = round.ends,
            Part::Tries { left } => {
                for _ in 0..BATCH.0.min(*left) {
                    let port = loop {
                        // Ports below are given out by no NAT; three rounds do not use up those above.
                        let port = u16::try_from(1_024 + dice.number() % 64_512).expect("below 65,536");
                        if self.tried.insert(port) {
                            break port;
                        }
                    };
                    *left -= 1;
                    let to = SocketAddr::new(round.to.ip(), port);
                    out.push_back(Wish::Send { via: Via::MAIN, to, bytes: bytes.clone() });
                }
            }
        }
    }
}

/// The other side's observed address, and whether it is this side that opens sockets; none if guessing is of no use.
fn one_sided(facts: &Facts<'_>) -> Option<(SocketAddr, bool)> {
    let opens = match (facts.own.mapping, facts.peer.mapping) {
        (Mapping::Dependent, Mapping::Independent) => true,
        (Mapping::Independent, Mapping::Dependent) => false,
        _ => return None,
    };
    let is_public = |ip: IpAddr| match ip {
        IpAddr::V4(ip) => !(ip.is_private() || ip.is_loopback() || ip.is_link_local()),
        IpAddr::V6(_) => false,
    };
    let (own, peer) = (&facts.own.candidates, &facts.peer.candidates);
    let mut observed = peer.iter().filter(|candidate| candidate.kind == CandidateKind::Observed);
    let is_one = |address: SocketAddr| is_public(address.ip()) && is_believed(address, own, peer);
    observed.find(|candidate| is_one(candidate.address)).map(|candidate| (candidate.address, opens))
}
