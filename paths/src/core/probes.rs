//! Which addresses are probed, when, and what came of it.
//!
//! Keeps true: no more than [`MAX_PROBED_ADDRESSES`] addresses are known at once, new ones come at a bounded rate, and pings and
//! pongs go out at a bounded rate to what has not answered; so whatever the other side claims, or sends in the name of others, a
//! third party gets no more than a trickle.

use super::{Moment, Out, Via, Wish, budget::Budget, dice::Dice, key::ProbeKey};
use hypersend_protocol::{
    paths::{Candidate, CandidateKind},
    relay::Nonce,
};
use std::{cmp::Reverse, net::SocketAddr, time::Duration};

/// Addresses that are probed at once: all that the other side may name, and as many from which it was heard.
pub(crate) const MAX_PROBED_ADDRESSES: usize = 32;
/// Pings that may be sent at once, and after how long there may be one more: 100 in a second. The same for pongs: the other side
/// pings no more.
const PINGS: (u32, Duration) = (64, Duration::from_millis(10));
/// New addresses at once, and after how long there may be one more.
const NEW_ADDRESSES: (u32, Duration) = (64, Duration::from_secs(2));
/// Pings to one address whose answers are waited for: those of one long round trip.
const MAX_OUTSTANDING: usize = 8;
/// Least time between an address's last ping and the one that answers a ping from it.
const TRIGGERED: Duration = Duration::from_millis(40);

/// Where an address came from, the most preferred last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    Reflexive,
    Observed,
    Mapped,
    Host,
    Host6,
}

pub(crate) struct Target {
    pub(crate) via: Via,
    pub(crate) to: SocketAddr,
    origin: Origin,
    outstanding: Vec<(Nonce, Moment)>,
    /// When a ping of the other side came from there.
    heard: Option<Moment>,
    /// When a pong came from there, and how long it took.
    answered: Option<(Moment, Duration)>,
    /// Connections to it that came to nothing, and until when none is tried.
    failures: u32,
    rests_until: Moment,
}

pub(crate) struct Probes {
    targets: Vec<Target>,
    pings: Budget,
    pongs: Budget,
    new: Budget,
    round: Moment,
    next: Moment,
}

impl Probes {
    pub(crate) fn new() -> Self {
        let [pings, pongs, new] = [PINGS, PINGS, NEW_ADDRESSES].map(|(most, every)| Budget::new(most, every));
        Self { targets: Vec::new(), pings, pongs, new, round: Moment::ZERO, next: Moment::ZERO }
    }

    /// Forgets all addresses: the other side began anew.
    pub(crate) fn clear(&mut self) {
        self.targets.clear();
    }

    /// A way is lost: what has answered before may be gone too, and has to answer again.
    pub(crate) fn forget_answers(&mut self) {
        for target in &mut self.targets {
            target.answered = None;
        }
    }

    /// Begins a round: quick at first, and slower the longer nothing answers.
    pub(crate) fn begin_round(&mut self, now: Moment) {
        (self.round, self.next) = (now, now);
    }

    /// Takes the other side's candidates, which the caller has judged. Whether there are new ones among them.
    pub(crate) fn name(&mut self, now: Moment, candidates: &[Candidate]) -> bool {
        let is_named = |target: &Target| candidates.iter().any(|candidate| candidate.address == target.to);
        self.targets.retain(|target| target.origin == Origin::Reflexive || is_named(target));
        let mut any = false;
        for candidate in candidates {
            let origin = match candidate.kind {
                CandidateKind::Host if candidate.address.is_ipv6() => Origin::Host6,
                CandidateKind::Host => Origin::Host,
                CandidateKind::Mapped => Origin::Mapped,
                CandidateKind::Observed | CandidateKind::Other => Origin::Observed,
            };
            any |= self.add(now, Via::MAIN, candidate.address, origin);
        }
        any
    }

    /// Whether a ping from here may be answered: who has seen it on its way can send it again, as if it came from anybody.
    pub(crate) fn may_answer(&mut self, now: Moment, via: Via, from: SocketAddr) -> bool {
        let is_proved = self.place(via, from).is_some_and(|at| self.targets[at].answered.is_some());
        is_proved || self.pongs.take(now)
    }

    /// A ping of the other side has come from here.
    pub(crate) fn pinged(&mut self, now: Moment, via: Via, from: SocketAddr, ask: &mut Asking<'_>) {
        self.add(now, via, from, Origin::Reflexive);
        if let Some(at) = self.place(via, from) {
            self.targets[at].heard = Some(now);
            let last = self.targets[at].outstanding.last();
            if ask.is_wanted && last.is_none_or(|(_, sent)| *sent + TRIGGERED <= now) {
                self.ping(now, at, ask);
            }
        }
    }

    /// A pong has come from here. Whether it answers a ping that was sent there.
    pub(crate) fn ponged(&mut self, now: Moment, via: Via, from: SocketAddr, nonce: Nonce) -> bool {
        let Some(at) = self.place(via, from) else { return false };
        let target = &mut self.targets[at];
        let Some(asked) = target.outstanding.iter().position(|(asked, _)| *asked == nonce) else { return false };
        let (_, sent) = target.outstanding.remove(asked);
        target.answered = Some((now, now.saturating_sub(sent)));
        true
    }

    /// A guess has hit: this address is as good as one that has answered a ping.
    pub(crate) fn hit(&mut self, now: Moment, via: Via, from: SocketAddr) {
        self.add(now, via, from, Origin::Reflexive);
        if let Some(at) = self.place(via, from) {
            self.targets[at].answered = Some((now, Duration::ZERO));
        }
    }

    /// These sockets are closed.
    pub(crate) fn released(&mut self, vias: &[Via]) {
        self.targets.retain(|target| !vias.contains(&target.via));
    }

    /// Pings all addresses if it is time.
    pub(crate) fn tick(&mut self, now: Moment, ask: &mut Asking<'_>) {
        if now < self.next || self.targets.is_empty() {
            return;
        }
        for at in 0..self.targets.len() {
            self.ping(now, at, ask);
        }
        let age = now.saturating_sub(self.round);
        let gap = match age {
            age if age < Duration::from_secs(2) => Duration::from_millis(100),
            age if age < Duration::from_secs(10) => Duration::from_millis(500),
            // Not longer: a NAT forgets after 30 s that this side has sent there.
            age => (age / 8).clamp(Duration::from_secs(1), Duration::from_secs(25)),
        };
        self.next = now + gap;
    }

    pub(crate) fn wake_at(&self) -> Option<Moment> {
        (!self.targets.is_empty()).then_some(self.next)
    }

    /// The address to connect to: one that has answered, of the most preferred kind.
    pub(crate) fn best(&self, now: Moment) -> Option<(Via, SocketAddr)> {
        let usable = |target: &&Target| target.answered.is_some() && target.rests_until <= now;
        let best = self.targets.iter().filter(usable).max_by_key(|target| (target.origin, Reverse(target.answered)));
        best.map(|target| (target.via, target.to))
    }

    /// When an address that is given a rest may be tried again.
    pub(crate) fn rest_ends(&self, now: Moment) -> Option<Moment> {
        self.targets.iter().filter(|t| t.answered.is_some() && t.rests_until > now).map(|t| t.rests_until).min()
    }

    /// A connection to this address came to nothing, or broke: it has to answer again, and not at once.
    pub(crate) fn failed(&mut self, now: Moment, via: Via, to: SocketAddr) {
        if let Some(at) = self.place(via, to) {
            let target = &mut self.targets[at];
            target.answered = None;
            target.rests_until = now + Duration::from_millis(250) * 2u32.pow(target.failures.min(7));
            target.failures += 1;
        }
    }

    /// Whether the other side has sent a valid probe from here.
    pub(crate) fn has_heard(&self, via: Via, from: SocketAddr) -> bool {
        let is_heard = |target: &Target| target.heard.is_some() || target.answered.is_some();
        self.place(via, from).is_some_and(|at| is_heard(&self.targets[at]))
    }

    fn place(&self, via: Via, address: SocketAddr) -> Option<usize> {
        self.targets.iter().position(|target| target.via == via && target.to == address)
    }

    fn add(&mut self, now: Moment, via: Via, to: SocketAddr, origin: Origin) -> bool {
        if let Some(at) = self.place(via, to) {
            let target = &mut self.targets[at];
            target.origin = target.origin.max(origin);
            return false;
        }
        if !self.new.take(now) {
            return false;
        }
        if self.targets.len() >= MAX_PROBED_ADDRESSES {
            // The one that has said least, and of those the oldest.
            let idle = |target: &Target| target.origin == Origin::Reflexive && target.answered.is_none();
            let Some(at) = self.targets.iter().position(idle) else { return false };
            self.targets.remove(at);
        }
        self.targets.push(Target {
            via,
            to,
            origin,
            outstanding: Vec::new(),
            heard: None,
            answered: None,
            failures: 0,
            rests_until: now,
        });
        true
    }

    fn ping(&mut self, now: Moment, at: usize, ask: &mut Asking<'_>) {
        let target = &mut self.targets[at];
        if target.answered.is_none() && !self.pings.take(now) {
            return;
        }
        let nonce = ask.dice.nonce();
        if target.outstanding.len() == MAX_OUTSTANDING {
            target.outstanding.remove(0);
        }
        target.outstanding.push((nonce, now));
        ask.out.push_back(Wish::Send { via: target.via, to: target.to, bytes: ask.key.ping(nonce).to_vec() });
    }
}

/// What it takes to send a ping.
pub(crate) struct Asking<'a> {
    pub(crate) key: &'a ProbeKey,
    pub(crate) dice: &'a mut Dice,
    pub(crate) out: &'a mut Out,
    /// Whether a direct way is still looked for.
    pub(crate) is_wanted: bool,
}
