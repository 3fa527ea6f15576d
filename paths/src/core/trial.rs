//! A seat that is held through a tunnel is tried for by UDP: that is better for both sides, and a network that lets none through at
//! one moment may at the next. What is held stays held until the relay has said yes.

use super::{Moment, Out, dice::Dice, seat};
use crate::config::RelayPlace;
use hypersend_protocol::{
    id::P2pId,
    relay::{Cookie, FromRelay, Nonce, ToRelay},
};
use std::{net::SocketAddr, time::Duration};

/// Time between two tries; doubles each time that a seat was had and no way came of it.
const EVERY: Duration = Duration::from_secs(15);
/// The longest that it grows to.
const LONGEST: Duration = Duration::from_mins(10);

pub(crate) struct Trial {
    state: State,
    next: Moment,
    every: Duration,
}

enum State {
    Resting,
    /// Hellos have been sent.
    Asked(Nonce),
    /// A Bind has been sent.
    Binding {
        at: SocketAddr,
        cookie: Cookie,
        nonce: Nonce,
        binds: u32,
    },
}

impl Trial {
    pub(crate) fn new(now: Moment) -> Self {
        Self { state: State::Resting, next: now + EVERY, every: EVERY }
    }

    /// When the next is due, or its next step.
    pub(crate) fn due_at(&self) -> Moment {
        self.next
    }

    /// Not before the usual time.
    pub(crate) fn rest(&mut self, now: Moment) {
        (self.state, self.next) = (State::Resting, now + self.every);
    }

    /// A seat that was had by UDP was of no use.
    pub(crate) fn was_in_vain(&mut self, now: Moment) {
        self.every = (self.every * 2).min(LONGEST);
        self.rest(now);
    }

    /// There is a way by UDP.
    pub(crate) fn has_succeeded(&mut self) {
        self.every = EVERY;
    }

    /// Sends what it is time for.
    pub(crate) fn tick(&mut self, now: Moment, place: &RelayPlace, session: P2pId, dice: &mut Dice, out: &mut Out) {
        if self.next > now {
            return;
        }
        match &mut self.state {
            State::Binding { at, cookie, nonce, binds } if *binds < seat::MAX_BINDS => {
                seat::send(out, *at, &ToRelay::Bind { nonce: *nonce, cookie: *cookie, ticket: place.ticket });
                *binds += 1;
                self.next = now + seat::PATIENCE;
            }
            State::Binding { .. } => self.rest(now),
            State::Resting | State::Asked(_) => {
                let nonce = dice.nonce();
                for &address in &place.addresses {
                    seat::send(out, address, &ToRelay::Hello { session, nonce });
                }
                (self.state, self.next) = (State::Asked(nonce), now + self.every);
            }
        }
    }

    /// Takes what a relay has said, if it is about this; the next step may be due at once. Whether it is a yes.
    pub(crate) fn heard(
        &mut self,
        now: Moment,
        from: SocketAddr,
        said: &FromRelay,
        place: &RelayPlace,
        dice: &mut Dice,
    ) -> bool {
        match (&self.state, *said) {
            (State::Asked(asked), FromRelay::Challenge { nonce, cookie })
                if *asked == nonce && place.addresses.contains(&from) =>
            {
                self.state = State::Binding { at: from, cookie, nonce: dice.nonce(), binds: 0 };
                self.next = now;
                false
            }
            (State::Binding { at, nonce: asked, .. }, FromRelay::Bound { nonce, .. })
                if *asked == nonce && *at == from =>
            {
                self.rest(now);
                true
            }
            (State::Binding { at, nonce: asked, .. }, FromRelay::Refused { nonce, .. })
                if *asked == nonce && *at == from =>
            {
                self.rest(now);
                false
            }
            _ => false,
        }
    }
}
