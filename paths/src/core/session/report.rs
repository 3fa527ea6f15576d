//! How things stand, for whoever watches.

use super::Core;
use crate::core::seat::Seat;
use crate::report::{RelayReport, RelayState, Report, SideReport};
use hypersend_protocol::paths::{CandidateKind, State};

impl Core {
    pub(crate) fn report(&self) -> Report {
        Report {
            own: side(self.register.own()),
            peer: self.register.peer().map(side),
            relays: self.relays.seats().iter().map(relay).collect(),
            first_after: self.first_after,
            direct_after: self.direct_after,
        }
    }
}

fn side(state: &State) -> SideReport {
    let observed = state.candidates.iter().filter(|candidate| candidate.kind == CandidateKind::Observed);
    SideReport {
        mapping: state.mapping,
        observed: observed.map(|candidate| candidate.address).collect(),
        candidates: state.candidates.clone(),
        relays: state.relays.clone(),
        guessing: state.guessing,
    }
}

fn relay(seat: &Seat) -> RelayReport {
    let state = match (seat.bound(), seat.refused()) {
        (Some(bound), _) => RelayState::Bound { observed: bound.observed, has_peer: bound.has_peer },
        (None, Some(reason)) => RelayState::Refused(reason),
        (None, None) if seat.is_silent() => RelayState::Silent,
        (None, None) => RelayState::Asking,
    };
    RelayReport {
        id: seat.place.id,
        name: seat.place.name.clone(),
        state,
        tunnelled: seat.is_tunnelled(),
        round_trip: seat.round_trip(),
    }
}
