//! One seat at one relay.

use super::{Moment, Out, Via, Wish, dice::Dice};
use crate::config::RelayPlace;
use hypersend_protocol::{
    id::P2pId,
    relay::{Cookie, FromRelay, Nonce, RelayRefusal, ToRelay},
};
use std::{net::SocketAddr, time::Duration};

/// Time until a question is asked again for the first time; doubles with every other: losses are likelier than a relay that is gone.
const PATIENCE: Duration = Duration::from_millis(250);
/// Longest time between two questions.
const MAX_PATIENCE: Duration = Duration::from_secs(15);
/// Binds with one cookie, before another is asked for: it counts for a short time only.
const MAX_BINDS: u32 = 6;
/// Longest time between two keepalives, whatever the relay says: a relay that is gone, or has forgotten this side, is
/// noticed before the connection over it is given up (10 s).
const MAX_KEEPALIVE: Duration = Duration::from_secs(5);
/// Least time between two keepalives.
const MIN_KEEPALIVE: Duration = Duration::from_secs(1);
/// Time between keepalives that are not answered. A late answer counts too.
const ANSWER: Duration = Duration::from_millis(600);
/// Keepalives without an answer after which the seat is asked for anew: 3 s, and one of 150 times where a third of them is lost.
const MAX_UNANSWERED: usize = 5;
/// How often UDP is tried again where the seat is held through a tunnel: it is better for both sides, and a network that lets none
/// through at one moment may at the next.
const TRY_UDP_EVERY: Duration = Duration::from_secs(15);
/// Time after which a relay is asked again that had no room.
const WHEN_FULL: Duration = Duration::from_secs(30);

pub(crate) struct Seat {
    pub(crate) place: RelayPlace,
    state: State,
    round_trip: Option<Duration>,
    /// Hellos since the last success.
    asked: u32,
    /// When the last keepalive was sent, or the seat taken.
    kept_alive: Moment,
    /// How the relay saw this side last, also when the seat is lost since.
    last_observed: Option<SocketAddr>,
    /// Of the last Hello by UDP beside a tunnel, and when the next is due.
    udp_nonce: Option<Nonce>,
    next_udp: Moment,
    /// Whether the seat is being moved from a tunnel to UDP, and whether it has been.
    is_moving: bool,
    has_moved: bool,
}

enum State {
    /// A Hello is to be sent, or its Challenge to come.
    Asking { next: Moment, nonce: Option<(Nonce, Moment)> },
    /// A Bind has been sent.
    Binding { at: SocketAddr, cookie: Cookie, nonce: Nonce, next: Moment, binds: u32 },
    /// Here the other side can be met.
    Bound { bound: Bound, next: Moment, asked: Vec<(Nonce, Moment)> },
    /// The relay has said no; when to ask again, if that may help.
    Refused { reason: RelayRefusal, next: Option<Moment> },
}

/// A seat that is held.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    /// The relay's address.
    pub(crate) at: SocketAddr,
    /// How it sees this side.
    pub(crate) observed: SocketAddr,
    /// Whether the other side has a seat.
    pub(crate) has_peer: bool,
    keepalive: Duration,
}

impl Seat {
    pub(crate) fn new(now: Moment, place: RelayPlace) -> Self {
        let state = State::Asking { next: now, nonce: None };
        Self {
            place,
            state,
            round_trip: None,
            asked: 0,
            kept_alive: now,
            last_observed: None,
            udp_nonce: None,
            next_udp: now,
            is_moving: false,
            has_moved: false,
        }
    }

    /// Another ticket, perhaps other addresses. What is bound stays so until the old ticket ends.
    pub(crate) fn renew(&mut self, now: Moment, place: RelayPlace) {
        let is_new = self.place.ticket != place.ticket;
        let is_elsewhere = self.bound().is_none() && !self.place.is_where(&place);
        self.place = place;
        if is_new || is_elsewhere {
            self.again(now);
        }
    }

    pub(crate) fn again(&mut self, now: Moment) {
        self.asked = 0;
        self.state = State::Asking { next: now, nonce: None };
    }

    pub(crate) fn doubt(&mut self, now: Moment) {
        if let State::Bound { next, asked, .. } = &mut self.state
            && asked.is_empty()
        {
            *next = now;
        }
    }

    /// The other side is to be here: asks whether it is, if that has not been asked just now.
    pub(crate) fn hurry(&mut self, now: Moment) {
        if let State::Bound { bound, next, .. } = &mut self.state
            && !bound.has_peer
        {
            *next = (*next).min(now.max(self.kept_alive + ANSWER));
        }
    }

    /// What the other side sends comes over this relay: it is there, and knows this side.
    pub(crate) fn is_alive(&mut self, now: Moment) {
        if let State::Bound { bound, next, asked } = &mut self.state
            && !asked.is_empty()
        {
            asked.clear();
            *next = now + bound.keepalive;
        }
    }

    pub(crate) fn bound(&self) -> Option<&Bound> {
        if let State::Bound { bound, .. } = &self.state { Some(bound) } else { None }
    }

    /// Whether the seat is held through the tunnel: this machine's network lets nothing through, and what the relay sees is not
    /// this side.
    pub(crate) fn is_tunnelled(&self) -> bool {
        self.bound().is_some_and(|bound| Some(bound.at) == self.place.tunnel)
    }

    /// Who sees this side's socket as what.
    pub(crate) fn observation(&self) -> Option<(SocketAddr, SocketAddr)> {
        self.bound().filter(|_| !self.is_tunnelled()).map(|bound| (bound.at, bound.observed))
    }

    pub(crate) fn last_observed(&self) -> Option<SocketAddr> {
        self.last_observed
    }

    /// Why the relay has said no.
    pub(crate) fn refused(&self) -> Option<RelayRefusal> {
        if let State::Refused { reason, .. } = self.state { Some(reason) } else { None }
    }

    /// Whether it has been asked some times without an answer.
    pub(crate) fn is_silent(&self) -> bool {
        self.asked > 3
    }

    /// Of the last question and its answer.
    pub(crate) fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    pub(crate) fn wake_at(&self) -> Option<Moment> {
        let udp = self.is_tunnelled().then_some(self.next_udp);
        self.due_at().into_iter().chain(udp).min()
    }

    /// When the state wants something done.
    fn due_at(&self) -> Option<Moment> {
        match &self.state {
            State::Asking { next, .. } | State::Binding { next, .. } | State::Bound { next, .. } => Some(*next),
            State::Refused { next, .. } => *next,
        }
    }

    pub(crate) fn leave(&self, session: P2pId, out: &mut Out) {
        if let Some(bound) = self.bound() {
            send(out, bound.at, &ToRelay::Unbind { session });
        }
    }

    /// Whether the relay has this side at another address than that of the way over it, as it has been moved to UDP: once.
    pub(crate) fn take_moved(&mut self) -> bool {
        std::mem::take(&mut self.has_moved)
    }

    /// Sends what it is time for. Whether the seat has been lost.
    pub(crate) fn tick(&mut self, now: Moment, session: P2pId, dice: &mut Dice, out: &mut Out) -> bool {
        if self.is_tunnelled() && self.next_udp <= now {
            let nonce = dice.nonce();
            for &address in &self.place.addresses {
                send(out, address, &ToRelay::Hello { session, nonce });
            }
            (self.udp_nonce, self.next_udp) = (Some(nonce), now + TRY_UDP_EVERY);
        }
        if self.due_at().is_none_or(|at| at > now) {
            return false;
        }
        match &mut self.state {
            State::Bound { bound, next, asked } => {
                if asked.len() >= MAX_UNANSWERED {
                    self.again(now);
                    self.tick(now, session, dice, out);
                    return true;
                }
                let nonce = dice.nonce();
                send(out, bound.at, &ToRelay::Keepalive { session, nonce });
                asked.push((nonce, now));
                self.kept_alive = now;
                *next = now + ANSWER;
            }
            State::Binding { at, cookie, nonce, next, binds } if *binds < MAX_BINDS => {
                send(out, *at, &ToRelay::Bind { nonce: *nonce, cookie: *cookie, ticket: self.place.ticket });
                *binds += 1;
                *next = now + PATIENCE;
            }
            State::Asking { .. } | State::Binding { .. } | State::Refused { .. } => {
                let nonce = dice.nonce();
                // All of its addresses at once: the first that answers is the one that is used.
                for address in self.place.ways() {
                    send(out, address, &ToRelay::Hello { session, nonce });
                }
                let wait = (PATIENCE * 2u32.pow(self.asked.min(16) / 2)).min(MAX_PATIENCE);
                self.asked += 1;
                self.state = State::Asking { next: now + wait, nonce: Some((nonce, now)) };
            }
        }
        false
    }

    pub(crate) fn heard(
        &mut self,
        now: Moment,
        from: SocketAddr,
        said: FromRelay,
        session: P2pId,
        dice: &mut Dice,
        out: &mut Out,
    ) {
        match (&mut self.state, said) {
            (State::Asking { nonce: Some((asked, at)), .. }, FromRelay::Challenge { nonce, cookie })
                if *asked == nonce =>
            {
                self.round_trip = Some(now.saturating_sub(*at));
                self.state = State::Binding { at: from, cookie, nonce: dice.nonce(), next: now, binds: 0 };
                self.tick(now, session, dice, out);
            }
            (State::Bound { .. }, FromRelay::Challenge { nonce, cookie })
                if self.udp_nonce == Some(nonce) && self.place.addresses.contains(&from) =>
            {
                (self.udp_nonce, self.is_moving) = (None, true);
                self.state = State::Binding { at: from, cookie, nonce: dice.nonce(), next: now, binds: 0 };
                self.tick(now, session, dice, out);
            }
            (State::Binding { at, nonce: asked, .. }, FromRelay::Bound { nonce, observed, keepalive_ms, peer, .. })
                if *asked == nonce && *at == from =>
            {
                let keepalive = Duration::from_millis(keepalive_ms.into()).clamp(MIN_KEEPALIVE, MAX_KEEPALIVE);
                let bound = Bound { at: from, observed, has_peer: peer, keepalive };
                (self.asked, self.kept_alive) = (0, now);
                self.state = State::Bound { bound, next: now + keepalive, asked: Vec::new() };
                self.has_moved |= std::mem::take(&mut self.is_moving) && !self.is_tunnelled();
                self.next_udp = now + TRY_UDP_EVERY;
                self.look();
            }
            (State::Binding { at, nonce: asked, .. }, FromRelay::Refused { nonce, reason })
                if *asked == nonce && *at == from =>
            {
                let has_no_room =
                    matches!(reason, RelayRefusal::Full | RelayRefusal::TooManyOfUser | RelayRefusal::Leaving);
                self.state = State::Refused { reason, next: has_no_room.then_some(now + WHEN_FULL) };
                tracing::info!(relay = %self.place.id, reason = reason.slug(), "a relay has refused");
            }
            (State::Bound { bound, next, asked }, FromRelay::Alive { nonce, observed, peer }) if bound.at == from => {
                let Some(&(_, at)) = asked.iter().find(|(asked, _)| *asked == nonce) else { return };
                self.round_trip = Some(now.saturating_sub(at));
                (bound.observed, bound.has_peer) = (observed, peer);
                asked.clear();
                *next = now + bound.keepalive;
                self.look();
            }
            (State::Bound { bound, .. }, FromRelay::PeerPresent { session: of }) if bound.at == from => {
                bound.has_peer |= of == session;
            }
            _ => {}
        }
    }

    /// Remembers how the relay sees this side.
    fn look(&mut self) {
        if let Some((_, observed)) = self.observation() {
            self.last_observed = Some(observed);
        }
    }
}

fn send(out: &mut Out, to: SocketAddr, question: &ToRelay) {
    out.push_back(Wish::Send { via: Via::MAIN, to, bytes: question.encode().to_vec() });
}
