//! What each part does when it has its turn.

use super::Core;
use crate::core::{
    Moment, Via, Wish,
    candidates::{self, is_believed},
    guess::Facts,
    observe,
    probes::Asking,
    seat::Seat,
    ways::Route,
};
use hypersend_protocol::{paths::MAX_STATE_RELAYS, relay::ticket::Side};
use std::{net::SocketAddr, time::Duration};

/// How long a socket by which no relay answers any more is kept: a system may have cut it off without a word, and a NAT may
/// have broken its mapping. Longer than a relay takes to start again.
const SOCKET_PATIENCE: Duration = Duration::from_secs(30);

impl Core {
    /// Does what it is time for.
    pub(crate) fn settle(&mut self, now: Moment) {
        for relay in self.relays.tick(now, &mut self.dice, &mut self.out) {
            self.ways.cut_relayed(relay, &mut self.out);
        }
        let dead = self.ways.tick(now, self.key.as_ref(), &mut self.dice, &mut self.out);
        dead.routes.into_iter().for_each(|route| self.lost(now, route));
        for relay in dead.doubted {
            self.relays.doubt(now, relay);
        }
        if dead.is_unanswered {
            self.relays.doubt_all(now);
        }
        // The other side says that it is there, and this side's relay has not: what it sent about it is lost.
        if let Some(peer) = self.register.peer() {
            self.relays.hurry(now, &peer.relays);
        }
        self.name(now);
        if let Some(key) = self.key.as_ref().filter(|_| self.is_direct_wanted && !self.ways.has_direct()) {
            let ask = &mut Asking { key, dice: &mut self.dice, out: &mut self.out, is_wanted: true };
            self.probes.tick(now, ask);
        }
        self.guess(now);
        if self.side == Side::Sender {
            self.dial(now);
        }
        if let Some(state) = self.register.due(now) {
            self.out.push_back(Wish::Set(state));
        }
    }

    /// Forgets what was known of the other side's addresses.
    pub(super) fn search_anew(&mut self, now: Moment) {
        self.probes.clear();
        self.probes.begin_round(now);
        self.guess.reset(now, &mut self.out);
        self.register.change(|own| own.guessing = 0);
        self.sought_since = now;
    }

    fn guess(&mut self, now: Moment) {
        let (Some(key), Some(peer)) = (&self.key, self.register.peer()) else { return };
        let sought_since = (self.is_direct_wanted && !self.ways.has_direct()).then_some(self.sought_since);
        let facts = Facts { side: self.side, own: self.register.own(), peer, sought_since };
        let number = self.guess.tick(now, &facts, key, &mut self.dice, &mut self.out);
        self.register.change(|own| own.guessing = number);
    }

    /// Brings what this side says of itself up to date, and what is probed of the other.
    fn name(&mut self, now: Moment) {
        let observations = self.relays.observations();
        let mut seen: Vec<SocketAddr> = Vec::new();
        for (_, observed) in &observations {
            if !seen.contains(observed) {
                seen.push(*observed);
            }
        }
        let candidates = if self.is_direct_wanted && self.port != 0 {
            let mapped: Vec<SocketAddr> = self.given.iter().chain(&self.mapped).copied().collect();
            candidates::own(&self.hosts, self.port, &seen, &mapped)
        } else {
            Vec::new()
        };
        let seats = self.relays.seats();
        let all_silent = !seats.is_empty() && seats.iter().all(Seat::is_silent);
        // Of one whose host is not found nothing is known.
        let mut asked = seats.iter().filter(|seat| !seat.place.addresses.is_empty()).peekable();
        let none_by_udp = asked.peek().is_some() && asked.all(|seat| seat.is_silent() || seat.is_tunnelled());
        let named: Vec<SocketAddr> = self.hosts.iter().map(|&ip| SocketAddr::new(ip, self.port)).collect();
        self.was_bound |= seats.iter().any(|seat| seat.bound().is_some());
        if self.was_bound && all_silent && self.ways.is_empty() && now >= self.bound_anew + SOCKET_PATIENCE {
            self.bound_anew = now;
            self.out.push_back(Wish::Rebind);
        }
        let mapping = observe::mapping(&observations, &named, none_by_udp);
        let bound = seats.iter().filter(|seat| seat.bound().is_some()).map(|seat| seat.place.id);
        let relays = bound.take(MAX_STATE_RELAYS).collect();
        self.register.change(|own| (own.candidates, own.mapping, own.relays) = (candidates, mapping, relays));

        let own = &self.register.own().candidates;
        if let Some(peer) = self.register.peer().filter(|_| self.is_direct_wanted) {
            let mut believed = peer.candidates.clone();
            believed.retain(|candidate| is_believed(candidate.address, own, &peer.candidates));
            if self.probes.name(now, &believed) {
                self.probes.begin_round(now);
            }
        }
    }

    fn dial(&mut self, now: Moment) {
        if self.register.peer().is_none() || self.ways.is_full() {
            return;
        }
        let is_sought = self.is_direct_wanted && !self.ways.has_direct() && !self.ways.is_dialing_direct();
        if let Some((via, to)) = self.probes.best(now).filter(|_| is_sought) {
            self.ways.dial(Route { via, to, relay: None }, &mut self.out);
        }
        // The other side is at the relay, and has this side's certificate.
        if !self.ways.has_relayed() && self.register.is_known() && now >= self.relay_rests_until {
            let shared = self.relays.shared();
            let nth = usize::try_from(self.relay_failures).unwrap_or(0) % shared.len().max(1);
            if let Some((seat, bound)) = shared.get(nth).and_then(|seat| seat.bound().map(|bound| (seat, bound))) {
                let route = Route { via: Via::MAIN, to: bound.at, relay: Some(seat.place.id) };
                self.ways.dial(route, &mut self.out);
            }
        }
    }

    /// A way that there was is no more.
    pub(super) fn lost(&mut self, now: Moment, route: Route) {
        self.rest(now, route);
        if route.relay.is_none() {
            self.sought_since = now;
            self.guess.again();
            self.probes.forget_answers();
            self.probes.begin_round(now);
        }
    }

    /// A way is not tried again at once.
    pub(super) fn rest(&mut self, now: Moment, route: Route) {
        match route.relay {
            Some(relay) => {
                self.relays.doubt(now, relay);
                self.relay_rests_until = now + Duration::from_millis(250) * 2u32.pow(self.relay_failures.min(6));
                self.relay_failures = self.relay_failures.saturating_add(1);
            }
            None => self.probes.failed(now, route.via, route.to),
        }
    }
}
