//! This side's seats at relays: asked for, held by keepalives, asked for anew.
//!
//! Keeps true: at most [`MAX_RELAYS`] are held; an answer counts only with the nonce of the newest question, from an address of
//! the relay that was asked.

use super::{Moment, Out, Via, Wish, dice::Dice, observe, seat::Seat};
use crate::config::RelayPlace;
use hypersend_protocol::{
    id::{P2pId, RelayId},
    relay::FromRelay,
};
use std::net::SocketAddr;

/// Relays that a session uses. One that works is enough; the others are there for when it does not.
pub(crate) const MAX_RELAYS: usize = 4;

/// Addresses that a relay is asked at: one of each family, and some more.
pub(crate) const MAX_ADDRESSES: usize = 4;

pub(crate) struct Relays {
    session: P2pId,
    seats: Vec<Seat>,
    questions: Vec<observe::Question>,
    /// The relays of the newest list.
    named: Vec<RelayId>,
    /// Those of them for which there was no room.
    spare: Vec<RelayPlace>,
}

impl Relays {
    pub(crate) fn new(session: P2pId) -> Self {
        Self { session, seats: Vec::new(), questions: Vec::new(), named: Vec::new(), spare: Vec::new() }
    }

    /// Takes more relays, or new tickets for those that are known.
    pub(crate) fn add(&mut self, now: Moment, places: Vec<RelayPlace>) {
        self.named = places.iter().map(|place| place.id).collect();
        self.spare.clear();
        for mut place in places {
            place.addresses.truncate(MAX_ADDRESSES);
            place.observe.truncate(MAX_ADDRESSES);
            if let Some(seat) = self.seats.iter_mut().find(|seat| seat.place.id == place.id) {
                seat.renew(now, place);
            } else {
                self.spare.push(place);
            }
        }
    }

    /// Gives seats to relays of the newest list: there is room, or a relay that is not in that list has said no, or nothing any
    /// more. Those that have lost theirs by that.
    fn fill(&mut self, now: Moment) -> Vec<RelayId> {
        let mut past_ones = Vec::new();
        while let Some(place) = self.spare.first() {
            let questions = place.observe.iter().map(|&at| observe::Question::new(at));
            let is_gone = |seat: &Seat| seat.is_silent() || seat.refused().is_some();
            let is_past = |seat: &Seat| is_gone(seat) && !self.named.contains(&seat.place.id);
            if self.seats.len() < MAX_RELAYS {
                self.questions.extend(questions);
                self.seats.push(Seat::new(now, self.spare.remove(0)));
            } else if let Some(past) = self.seats.iter().position(is_past) {
                let observe = &self.seats[past].place.observe;
                self.questions.retain(|question| !observe.contains(&question.at()));
                self.questions.extend(questions);
                let new = Seat::new(now, self.spare.remove(0));
                past_ones.push(std::mem::replace(&mut self.seats[past], new).place.id);
            } else {
                break;
            }
        }
        past_ones
    }

    /// This side has another socket: what was bound is bound no more.
    pub(crate) fn again(&mut self, now: Moment) {
        self.seats.iter_mut().for_each(|seat| seat.again(now));
        self.questions.iter_mut().for_each(observe::Question::again);
    }

    /// The tunnel to it leads from another address of the server's: it knows this side no more.
    pub(crate) fn again_through_tunnel(&mut self, now: Moment, relay: RelayId) {
        let of_it = self.seats.iter_mut().filter(|seat| seat.place.id == relay);
        of_it.filter(|seat| seat.is_tunnelled() || seat.bound().is_none()).for_each(|seat| seat.again(now));
    }

    /// Nothing has come over a relayed connection for a while: asks the relay whether it is still there.
    pub(crate) fn doubt(&mut self, now: Moment, relay: RelayId) {
        self.seats.iter_mut().filter(|seat| seat.place.id == relay).for_each(|seat| seat.doubt(now));
    }

    /// This side's NAT may have forgotten all of them: asks whether they are still there.
    pub(crate) fn doubt_all(&mut self, now: Moment) {
        self.seats.iter_mut().for_each(|seat| seat.doubt(now));
    }

    /// The other side has seats at these: asks those that have not said so.
    pub(crate) fn hurry(&mut self, now: Moment, of_peer: &[RelayId]) {
        self.seats.iter_mut().filter(|seat| of_peer.contains(&seat.place.id)).for_each(|seat| seat.hurry(now));
    }

    /// Something of the other side's has come over it.
    pub(crate) fn is_alive(&mut self, now: Moment, relay: RelayId) {
        self.seats.iter_mut().filter(|seat| seat.place.id == relay).for_each(|seat| seat.is_alive(now));
    }

    /// Takes what an address said that is to be a relay's.
    pub(crate) fn heard(&mut self, now: Moment, from: SocketAddr, bytes: &[u8], dice: &mut Dice, out: &mut Out) {
        let Ok(said) = FromRelay::read(bytes) else { return };
        if let FromRelay::Observed { nonce, observed } = said {
            self.questions.iter_mut().for_each(|question| question.answered(from, nonce, observed));
            return;
        }
        let session = self.session;
        let Some(seat) = self.seats.iter_mut().find(|seat| seat.place.ways().any(|at| at == from)) else { return };
        let before = seat.last_observed();
        seat.heard(now, from, said, session, dice, out);
        if before.is_some_and(|before| seat.last_observed() != Some(before)) {
            self.looks_otherwise(now);
        }
    }

    /// This side's NAT has given its socket another port: what others saw of it before is over.
    fn looks_otherwise(&mut self, now: Moment) {
        self.questions.iter_mut().for_each(observe::Question::again);
        self.doubt_all(now);
    }

    /// Sends what it is time for. The relays at which this side has lost its seat.
    pub(crate) fn tick(&mut self, now: Moment, dice: &mut Dice, out: &mut Out) -> Vec<RelayId> {
        let mut lost = self.fill(now);
        let mut is_seen_anew = false;
        for seat in &mut self.seats {
            let has_moved = seat.take_moved();
            is_seen_anew |= has_moved;
            if seat.tick(now, self.session, dice, out) || has_moved {
                lost.push(seat.place.id);
            }
        }
        if is_seen_anew {
            // What was silent may answer now.
            self.questions.iter_mut().for_each(observe::Question::again);
        }
        for question in &mut self.questions {
            if let Some(bytes) = question.due(now, dice) {
                out.push_back(Wish::Send { via: Via::MAIN, to: question.at(), bytes });
            }
        }
        lost
    }

    pub(crate) fn wake_at(&self) -> Option<Moment> {
        let questions = self.questions.iter().filter_map(observe::Question::wake_at);
        self.seats.iter().filter_map(Seat::wake_at).chain(questions).min()
    }

    /// Says goodbye to each.
    pub(crate) fn leave(&self, out: &mut Out) {
        self.seats.iter().for_each(|seat| seat.leave(self.session, out));
    }

    pub(crate) fn seats(&self) -> &[Seat] {
        &self.seats
    }

    /// The relay that this side is bound to at an address.
    pub(crate) fn bound_at(&self, address: SocketAddr) -> Option<&Seat> {
        self.seats.iter().find(|seat| seat.bound().is_some_and(|bound| bound.at == address))
    }

    /// The bound relays at which the other side is too, the nearest first.
    pub(crate) fn shared(&self) -> Vec<&Seat> {
        let mut shared: Vec<&Seat> =
            self.seats.iter().filter(|seat| seat.bound().is_some_and(|bound| bound.has_peer)).collect();
        shared.sort_by_key(|seat| seat.round_trip());
        shared
    }

    /// Who has seen this side's main socket as what.
    pub(crate) fn observations(&self) -> Vec<(SocketAddr, SocketAddr)> {
        let seats = self.seats.iter().filter_map(Seat::observation);
        seats.chain(self.questions.iter().filter_map(observe::Question::observation)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypersend_protocol::{
        id::UserId,
        relay::{
            Cookie, ToRelay,
            ticket::{Side, Ticket},
        },
        time::UnixMillis,
    };
    use std::{ops::RangeInclusive, time::Duration};
    use uuid::Uuid;

    const SESSION: P2pId = P2pId(Uuid::from_u128(9));

    fn places(numbers: RangeInclusive<u8>) -> Vec<RelayPlace> {
        let place = |number: u8| {
            let id = RelayId(Uuid::from_u128(number.into()));
            let (user, expires) = (UserId(Uuid::from_u128(1)), UnixMillis(0));
            let ticket = Ticket { relay: id, session: SESSION, user, expires, side: Side::Sender };
            let [at, observe] = [1, 2].map(|port| SocketAddr::from(([192, 0, 2, number], port)));
            let ticket = ticket.signed([0; 64]);
            RelayPlace {
                id,
                name: number.to_string(),
                addresses: vec![at],
                tunnel: None,
                observe: vec![observe],
                ticket,
            }
        };
        numbers.map(place).collect()
    }

    fn names(relays: &Relays) -> Vec<&str> {
        relays.seats.iter().map(|seat| seat.place.name.as_str()).collect()
    }

    /// Ticks for a minute, in which nobody answers.
    fn wait(relays: &mut Relays, now: &mut Moment) -> Vec<RelayId> {
        let (mut dice, mut lost) = (Dice::new([1; 32]), Vec::new());
        for _ in 0..60 {
            *now += Duration::from_secs(1);
            lost.extend(relays.tick(*now, &mut dice, &mut Out::new()));
        }
        lost
    }

    #[test]
    fn relays_that_are_not_named_any_more_and_silent_make_room_for_those_that_are() {
        let (mut relays, mut now) = (Relays::new(SESSION), Moment::ZERO);
        relays.add(now, places(1..=4));
        relays.tick(now, &mut Dice::new([0; 32]), &mut Out::new());
        relays.add(now, places(3..=7));
        relays.tick(now, &mut Dice::new([0; 32]), &mut Out::new());
        // They have been asked just now, and may answer.
        assert_eq!(names(&relays), ["1", "2", "3", "4"]);
        assert_eq!(wait(&mut relays, &mut now).len(), 2);
        assert_eq!(names(&relays), ["5", "6", "3", "4"]);
        let asked: Vec<_> = relays.questions.iter().map(|question| question.at().ip().to_string()).collect();
        assert_eq!(asked, ["192.0.2.3", "192.0.2.4", "192.0.2.5", "192.0.2.6"]);
        // For the last there is no room.
        assert_eq!(relays.spare.len(), 1);
        relays.add(now, places(7..=7));
        wait(&mut relays, &mut now);
        assert_eq!(names(&relays), ["7", "6", "3", "4"]);
    }

    /// What the newest datagram to an address asks, and its nonce.
    fn asked(out: &Out, at: SocketAddr) -> Option<ToRelay> {
        out.iter().rev().find_map(|wish| match wish {
            Wish::Send { to, bytes, .. } if *to == at => ToRelay::read(bytes).ok(),
            _ => None,
        })
    }

    #[test]
    fn a_relay_that_was_silent_is_asked_at_once_through_a_tunnel_and_sees_nothing_of_this_side_there() {
        let (mut relays, mut now) = (Relays::new(SESSION), Moment::ZERO);
        relays.add(now, places(1..=1));
        wait(&mut relays, &mut now);
        let tunnel = SocketAddr::from(([127, 0, 0, 1], 5_000));
        let mut place = places(1..=1).remove(0);
        place.tunnel = Some(tunnel);
        relays.add(now, vec![place.clone()]);
        let (mut dice, mut out) = (Dice::new([2; 32]), Out::new());
        relays.tick(now, &mut dice, &mut out);
        assert!(asked(&out, place.addresses[0]).is_some(), "and where it was silent");

        bind(&mut relays, now, tunnel, &mut dice, &mut out);
        assert_eq!(relays.shared().len(), 1);
        assert!(relays.seats()[0].is_tunnelled());
        assert_eq!(relays.observations(), [], "it is the server's address");
        // The same again changes nothing.
        relays.add(now, vec![place.clone()]);
        assert!(relays.seats()[0].bound().is_some());

        // The tunnel is dug again, and its other end is a stranger to the relay.
        relays.again_through_tunnel(now, place.id);
        out.clear();
        relays.tick(now, &mut dice, &mut out);
        assert!(matches!(asked(&out, tunnel), Some(ToRelay::Hello { .. })), "{out:?}");
    }

    #[test]
    fn what_is_held_through_a_tunnel_moves_to_udp_when_that_gets_through() {
        let (mut relays, mut now) = (Relays::new(SESSION), Moment::ZERO);
        let (mut dice, mut out) = (Dice::new([2; 32]), Out::new());
        let mut place = places(1..=1).remove(0);
        let (tunnel, direct) = (SocketAddr::from(([127, 0, 0, 1], 5_000)), place.addresses[0]);
        place.tunnel = Some(tunnel);
        relays.add(now, vec![place.clone()]);
        relays.tick(now, &mut dice, &mut out);
        bind(&mut relays, now, tunnel, &mut dice, &mut out);
        assert!(relays.seats()[0].is_tunnelled());
        while wait_one(&mut relays, &mut now, &mut dice, &mut out, tunnel).is_none() {}
        assert!(now >= Duration::from_secs(10), "not all the time");

        bind(&mut relays, now, direct, &mut dice, &mut out);
        assert!(!relays.seats()[0].is_tunnelled());
        let lost = relays.tick(now, &mut dice, &mut out);
        assert_eq!(lost, [place.id], "the way over the tunnel is no way any more");
        assert_eq!(relays.observations(), [(direct, SEEN)]);
        assert_eq!(relays.tick(now, &mut dice, &mut out), []);
    }

    /// How the relay sees this side.
    const SEEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(198, 51, 100, 7)), 6_000);

    /// Answers the newest Hello to an address, and the Bind that follows.
    fn bind(relays: &mut Relays, now: Moment, at: SocketAddr, dice: &mut Dice, out: &mut Out) {
        let Some(ToRelay::Hello { nonce, .. }) = asked(out, at) else { panic!("{out:?}") };
        let challenge = FromRelay::Challenge { nonce, cookie: Cookie([3; 32]) };
        relays.heard(now, at, &challenge.encode(), dice, out);
        let Some(ToRelay::Bind { nonce, .. }) = asked(out, at) else { panic!("{out:?}") };
        let bound = FromRelay::Bound { nonce, observed: SEEN, lasts_ms: 60_000, keepalive_ms: 5_000, peer: true };
        relays.heard(now, at, &bound.encode(), dice, out);
    }

    /// Lets a second pass, in which keepalives to an address are answered. What was asked elsewhere.
    fn wait_one(
        relays: &mut Relays,
        now: &mut Moment,
        dice: &mut Dice,
        out: &mut Out,
        alive: SocketAddr,
    ) -> Option<SocketAddr> {
        out.clear();
        *now += Duration::from_secs(1);
        relays.tick(*now, dice, out);
        if let Some(ToRelay::Keepalive { nonce, .. }) = asked(out, alive) {
            let answer = FromRelay::Alive { nonce, observed: SEEN, peer: true };
            relays.heard(*now, alive, &answer.encode(), dice, out);
        }
        let hello = |to: SocketAddr| matches!(asked(out, to), Some(ToRelay::Hello { .. }));
        relays.seats()[0].place.addresses.iter().copied().find(|&to| hello(to))
    }
}
