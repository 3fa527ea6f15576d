//! Sessions, their two sides, and the addresses that these are at.
//!
//! An address is bound to one side of one session, and a side is at one address: the newest that proved itself, since a NAT
//! may give a client another one at any time. A side ends with its ticket, when it says so, when its address binds to
//! something else, and when nothing comes from it for [`IDLE`]; it no longer counts for anything from that moment on, and
//! [`Table::sweep`] clears it away. A session without sides ends at the sweep.

use crate::{counters::DropReason, moment::Moment, relay::Door, settings::IDLE};
use hypersend_protocol::{
    id::{P2pId, UserId},
    relay::{
        RelayRefusal,
        ticket::{Side, Ticket},
    },
    time::UnixMillis,
};
use std::{collections::HashMap, net::SocketAddr, time::Duration};

/// A session that is over, and what it came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The session.
    pub session: P2pId,
    /// Bytes that were passed on, by the side that sent them.
    pub forwarded: [u64; 2],
}

/// Where a side is: its address, and the door by which it was bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) to: SocketAddr,
    pub(crate) by: Door,
}

/// Where a side of a session is to be found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    /// The session's place.
    pub(crate) place: usize,
    pub(crate) side: Side,
}

pub(crate) struct Table {
    max_sessions: usize,
    max_sessions_of_user: u32,
    places: Vec<Option<Session>>,
    free: Vec<usize>,
    by_id: HashMap<P2pId, usize>,
    by_address: HashMap<SocketAddr, Seat>,
    of_user: HashMap<UserId, u32>,
}

struct Session {
    id: P2pId,
    sides: [Option<Binding>; 2],
    forwarded: [u64; 2],
}

#[derive(Clone, Copy)]
struct Binding {
    at: Place,
    user: UserId,
    expires: UnixMillis,
    /// When something came from the address.
    seen: Duration,
}

impl Binding {
    fn is_over(&self, now: Moment) -> bool {
        now.unix >= self.expires || now.steady.saturating_sub(self.seen) >= IDLE
    }
}

/// What a Bind came to.
pub(crate) struct Bound {
    /// The place, if the session is new.
    pub(crate) begun: Option<usize>,
    /// Where the other side is.
    pub(crate) peer: Option<Place>,
    /// Whether that is news to the other side: this one was not there, or elsewhere.
    pub(crate) is_news: bool,
}

impl Table {
    pub(crate) fn new(max_sessions: usize, max_sessions_of_user: u32) -> Self {
        Self {
            max_sessions,
            max_sessions_of_user,
            places: Vec::new(),
            free: Vec::new(),
            by_id: HashMap::new(),
            by_address: HashMap::new(),
            of_user: HashMap::new(),
        }
    }

    pub(crate) fn sessions(&self) -> usize {
        self.by_id.len()
    }

    pub(crate) fn addresses(&self) -> usize {
        self.by_address.len()
    }

    pub(crate) fn forwarded(&self, session: P2pId) -> Option<[u64; 2]> {
        self.by_id.get(&session).and_then(|&place| self.session(place)).map(|session| session.forwarded)
    }

    /// Whether this side of a session is at any address.
    pub(crate) fn is_there(&self, now: Moment, session: P2pId, side: Side) -> bool {
        self.by_id.get(&session).is_some_and(|&place| self.live(now, Seat { place, side }).is_some())
    }

    /// Puts a side at an address; whether the ticket is good has been looked at before.
    pub(crate) fn bind(&mut self, now: Moment, from: Place, ticket: &Ticket) -> Result<Bound, RelayRefusal> {
        let known = self.by_id.get(&ticket.session).copied();
        if known.is_none() && self.by_id.len() >= self.max_sessions {
            return Err(RelayRefusal::Full);
        }
        // What this one takes the place of: the same side at any address, and anything at the same address.
        let before = known.map(|place| Seat { place, side: ticket.side });
        let elsewhere = self.by_address.get(&from.to).copied().filter(|&seat| Some(seat) != before);
        let replaced = [before, elsewhere].map(|seat| seat.and_then(|seat| self.binding(seat).copied()));
        let given_up = replaced.iter().flatten().filter(|binding| binding.user == ticket.user).count();
        let held = self.of_user.get(&ticket.user).copied().unwrap_or(0) as usize - given_up;
        if held >= self.max_sessions_of_user as usize {
            return Err(RelayRefusal::TooManyOfUser);
        }

        for seat in [before, elsewhere].into_iter().flatten() {
            self.release(seat);
        }
        let place = known.unwrap_or_else(|| self.begin(ticket.session));
        let binding = Binding { at: from, user: ticket.user, expires: ticket.expires, seen: now.steady };
        self.session_mut(place).sides[ticket.side.index()] = Some(binding);
        self.by_address.insert(from.to, Seat { place, side: ticket.side });
        *self.of_user.entry(ticket.user).or_default() += 1;

        let stays = replaced[0].is_some_and(|binding| binding.at.to == from.to && !binding.is_over(now));
        let peer = self.live(now, Seat { place, side: ticket.side.other() }).map(|binding| binding.at);
        Ok(Bound { begun: known.is_none().then_some(place), peer, is_news: !stays })
    }

    /// Whose address it is. That it sent something keeps it there.
    pub(crate) fn seat(&mut self, now: Moment, from: SocketAddr) -> Result<Seat, DropReason> {
        let seat = self.by_address.get(&from).copied().ok_or(DropReason::Unknown)?;
        if self.live(now, seat).is_none() {
            return Err(DropReason::Ended);
        }
        if let Some(binding) = &mut self.session_mut(seat.place).sides[seat.side.index()] {
            binding.seen = now.steady;
        }
        Ok(seat)
    }

    /// The same, if this is its session.
    pub(crate) fn seat_in(&mut self, now: Moment, from: SocketAddr, session: P2pId) -> Result<Seat, DropReason> {
        let seat = self.by_address.get(&from).copied().ok_or(DropReason::Unknown)?;
        if self.session(seat.place).is_none_or(|found| found.id != session) {
            return Err(DropReason::OtherSession);
        }
        self.seat(now, from)
    }

    /// Where the other side is.
    pub(crate) fn peer(&self, now: Moment, seat: Seat) -> Option<Place> {
        self.live(now, Seat { side: seat.side.other(), ..seat }).map(|binding| binding.at)
    }

    /// Counts what a side has sent and the other is sent.
    pub(crate) fn count(&mut self, seat: Seat, bytes: usize) {
        self.session_mut(seat.place).forwarded[seat.side.index()] += bytes as u64;
    }

    /// Ends a side.
    pub(crate) fn release(&mut self, seat: Seat) {
        let Some(binding) = self.session_mut(seat.place).sides[seat.side.index()].take() else { return };
        self.by_address.remove(&binding.at.to);
        if let Some(held) = self.of_user.get_mut(&binding.user) {
            *held -= 1;
            if *held == 0 {
                self.of_user.remove(&binding.user);
            }
        }
    }

    /// Clears away the sides that are over and the sessions without sides.
    pub(crate) fn sweep(&mut self, now: Moment) -> Vec<Ended> {
        let mut ended = Vec::new();
        for place in 0..self.places.len() {
            for side in [Side::Sender, Side::Receiver] {
                let seat = Seat { place, side };
                if self.binding(seat).is_some_and(|binding| binding.is_over(now)) {
                    self.release(seat);
                }
            }
            if let Some(Session { id, forwarded, .. }) =
                self.places[place].take_if(|session| session.sides.iter().all(Option::is_none))
            {
                self.by_id.remove(&id);
                self.free.push(place);
                ended.push(Ended { session: id, forwarded });
            }
        }
        ended
    }

    fn begin(&mut self, id: P2pId) -> usize {
        let session = Some(Session { id, sides: [None; 2], forwarded: [0; 2] });
        let place = self.free.pop().unwrap_or(self.places.len());
        if place == self.places.len() {
            self.places.push(session);
        } else {
            self.places[place] = session;
        }
        self.by_id.insert(id, place);
        place
    }

    fn session(&self, place: usize) -> Option<&Session> {
        self.places.get(place).and_then(Option::as_ref)
    }

    fn session_mut(&mut self, place: usize) -> &mut Session {
        self.places[place].as_mut().expect("a seat is of a session: a session ends when nobody sits in it")
    }

    fn binding(&self, seat: Seat) -> Option<&Binding> {
        self.session(seat.place)?.sides[seat.side.index()].as_ref()
    }

    fn live(&self, now: Moment, seat: Seat) -> Option<&Binding> {
        self.binding(seat).filter(|binding| !binding.is_over(now))
    }
}
