//! What each side has said of itself, and what is still to be said.
//!
//! Keeps true: the other side's state is that of its newest run and newest version; a run that is over does not come back;
//! what has been changed is set, and set again until the other side shows that it has it.

use super::Moment;
use hypersend_protocol::paths::{Incarnation, Seen, State};
use std::{collections::VecDeque, time::Duration};

/// After how long a state is set again that the other side does not show to have: a server that was started again has
/// forgotten it.
const AGAIN: Duration = Duration::from_secs(5);

/// Least time between two states that are set: changes come in bursts, and each state is the whole.
const APART: Duration = Duration::from_millis(50);

/// Runs of the other side that are remembered to be over. A server hands out the newest state, so more than one is rare.
const MAX_PAST: usize = 16;

/// What a state that was heard has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Nothing that matters here.
    Nothing,
    /// A newer version of the run that is known, or what it has seen.
    Newer,
    /// A run that was not known; what was known of one before is void.
    Anew,
    /// The other side says goodbye.
    Left,
}

pub(crate) struct Register {
    own: State,
    peer: Option<State>,
    past: VecDeque<Incarnation>,
    is_due: bool,
    set: Option<Moment>,
}

impl Register {
    pub(crate) fn new(own: State) -> Self {
        Self { own, peer: None, past: VecDeque::new(), is_due: true, set: None }
    }

    pub(crate) fn own(&self) -> &State {
        &self.own
    }

    pub(crate) fn peer(&self) -> Option<&State> {
        self.peer.as_ref()
    }

    /// Whether the other side is known to have this side's certificate and secret.
    pub(crate) fn is_known(&self) -> bool {
        let seen = self.peer.as_ref().and_then(|peer| peer.seen);
        seen.is_some_and(|seen| seen.incarnation == self.own.incarnation)
    }

    /// Changes what this side says of itself.
    pub(crate) fn change(&mut self, change: impl FnOnce(&mut State)) {
        let before = self.own.clone();
        change(&mut self.own);
        if self.own != before {
            self.own.version += 1;
            self.is_due = true;
        }
    }

    /// Takes what the other side has set.
    pub(crate) fn heard(&mut self, state: State) -> Heard {
        if self.past.contains(&state.incarnation) || state.incarnation == self.own.incarnation {
            return Heard::Nothing;
        }
        if state.leaving {
            let known = self.peer.as_ref().is_some_and(|peer| peer.incarnation == state.incarnation);
            let to_this = state.seen.is_some_and(|seen| seen.incarnation == self.own.incarnation);
            if !known && !to_this {
                // A goodbye to an earlier run of this side, which lies in the register since.
                return Heard::Nothing;
            }
            self.forget(state.incarnation);
            return Heard::Left;
        }
        let known = self.peer.as_ref().map(|peer| (peer.incarnation, peer.version));
        let heard = match known {
            Some((incarnation, version)) if incarnation == state.incarnation => {
                if state.version < version {
                    return Heard::Nothing;
                }
                Heard::Newer
            }
            Some((incarnation, _)) => {
                self.forget(incarnation);
                Heard::Anew
            }
            None => Heard::Anew,
        };
        let seen = Some(Seen { incarnation: state.incarnation, version: state.version });
        if self.own.seen != seen {
            // No new version: else each side's having seen would be news to the other for ever.
            self.own.seen = seen;
            self.is_due = true;
        }
        self.peer = Some(state);
        heard
    }

    /// The state to set now, if one is to be set.
    pub(crate) fn due(&mut self, now: Moment) -> Option<Vec<u8>> {
        if self.wake_at().is_none_or(|at| at > now) {
            return None;
        }
        if !self.is_due {
            // As a new version: the other side may have this one, and its word that it has may be lost. It says so again only
            // if there is something new to have.
            self.own.version += 1;
        }
        self.is_due = false;
        self.set = Some(now);
        Some(self.own.encode().expect("what this side says of itself is within the limits"))
    }

    pub(crate) fn wake_at(&self) -> Option<Moment> {
        let Some(set) = self.set else { return Some(Moment::ZERO) };
        if self.is_due {
            return Some(set + APART);
        }
        let seen = self.peer.as_ref().and_then(|peer| peer.seen);
        let newest = Seen { incarnation: self.own.incarnation, version: self.own.version };
        (seen != Some(newest)).then_some(set + AGAIN)
    }

    fn forget(&mut self, run: Incarnation) {
        if self.past.len() == MAX_PAST {
            self.past.pop_front();
        }
        self.past.push_back(run);
        self.peer = None;
        self.own.seen = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypersend_protocol::{
        fingerprint::Fingerprint,
        paths::{Mapping, ProbeSecret},
    };

    fn register(run: u64) -> Register {
        Register::new(State {
            incarnation: Incarnation(run),
            version: 1,
            seen: None,
            fingerprint: Fingerprint([0; 32]),
            secret: ProbeSecret([0; 16]),
            candidates: Vec::new(),
            mapping: Mapping::Unknown,
            relays: Vec::new(),
            guessing: 0,
            leaving: false,
        })
    }

    fn second(number: u64) -> Moment {
        Duration::from_secs(number)
    }

    fn pass(now: Moment, from: &mut Register, to: &mut Register) -> Option<Heard> {
        from.due(now).map(|state| to.heard(State::decode(&state).unwrap()))
    }

    #[test]
    fn a_lost_word_of_having_seen_is_said_again_and_then_all_is_quiet() {
        let (mut one, mut other) = (register(1), register(2));
        assert_eq!(pass(second(0), &mut other, &mut one), Some(Heard::Anew));
        assert_eq!(pass(second(0), &mut one, &mut other), Some(Heard::Anew));
        assert!(other.is_known() && !one.is_known());
        assert!(other.due(second(1)).is_some(), "the one that is lost");
        assert_eq!(other.due(second(20)), None, "it has been seen, and so it is silent");
        assert_eq!(pass(second(20), &mut one, &mut other), Some(Heard::Newer));
        assert_eq!(pass(second(21), &mut other, &mut one), Some(Heard::Newer));
        assert!(one.is_known());
        for now in 22..100 {
            let said = (one.due(second(now)), other.due(second(now)));
            assert_eq!(said, (None, None), "at {now} s");
        }
    }

    #[test]
    fn what_is_over_does_not_come_back() {
        let (mut one, mut other) = (register(1), register(2));
        let first = State::decode(&other.due(second(0)).unwrap()).unwrap();
        assert_eq!(one.heard(first.clone()), Heard::Anew);
        assert_eq!(one.heard(State { version: 3, ..first.clone() }), Heard::Newer);
        assert_eq!(one.heard(State { version: 2, ..first.clone() }), Heard::Nothing, "an older one came late");
        let anew = State { incarnation: Incarnation(3), ..first.clone() };
        assert_eq!(one.heard(anew.clone()), Heard::Anew);
        assert_eq!(one.heard(State { version: 9, ..first.clone() }), Heard::Nothing, "of a run that is over");
        let to = |run| Some(Seen { incarnation: Incarnation(run), version: 1 });
        let left = State { leaving: true, incarnation: Incarnation(4), seen: to(9), ..first };
        assert_eq!(one.heard(left), Heard::Nothing, "a goodbye to another run of this side");
        assert_eq!(one.heard(State { leaving: true, seen: to(1), ..anew.clone() }), Heard::Left);
        assert_eq!(one.heard(anew), Heard::Nothing, "it has left");
    }
}
