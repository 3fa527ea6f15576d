//! The whole: what happens is told to its parts, and then each has its turn.

mod report;
mod turn;

use super::{
    Moment, Notice, Out, Via, Wish,
    candidates::is_host,
    dice::Dice,
    guess::Guess,
    key::ProbeKey,
    probes::{Asking, Probes},
    register::{Heard, Register},
    relays::Relays,
    ways::{Route, Ways},
};
use crate::{
    config::RelayPlace,
    event::{PathId, Why},
};
use hypersend_protocol::{
    fingerprint::Fingerprint,
    id::{P2pId, RelayId},
    paths::{Incarnation, Mapping, ProbeKind, ProbeSecret, State},
    relay::ticket::Side,
};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// How often it is looked at whether ports are to be guessed.
const LOOK: Duration = Duration::from_millis(500);

/// What a session is begun with.
pub(crate) struct Setup {
    pub(crate) session: P2pId,
    pub(crate) side: Side,
    pub(crate) fingerprint: Fingerprint,
    /// Addresses that the owner names.
    pub(crate) mapped: Vec<SocketAddr>,
    /// Whether direct ways are looked for.
    pub(crate) direct: bool,
    /// Whether ports may be guessed.
    pub(crate) guess: bool,
    pub(crate) seed: [u8; 32],
}

pub(crate) struct Core {
    session: P2pId,
    side: Side,
    is_direct_wanted: bool,
    /// The address that the router gives now, and those that the owner named.
    given: Option<SocketAddr>,
    mapped: Vec<SocketAddr>,
    hosts: Vec<IpAddr>,
    port: u16,
    dice: Dice,
    register: Register,
    key: Option<ProbeKey>,
    relays: Relays,
    probes: Probes,
    ways: Ways,
    guess: Guess,
    /// Since when there has been no direct way.
    sought_since: Moment,
    relay_rests_until: Moment,
    relay_failures: u32,
    /// Whether a relay has ever taken this side, and when the main socket was made.
    was_bound: bool,
    bound_anew: Moment,
    first_after: Option<Duration>,
    direct_after: Option<Duration>,
    out: Out,
}

impl Core {
    pub(crate) fn new(setup: Setup) -> Self {
        let mut dice = Dice::new(setup.seed);
        let own = State {
            incarnation: Incarnation(dice.number()),
            version: 1,
            seen: None,
            fingerprint: setup.fingerprint,
            secret: ProbeSecret(dice.bytes()),
            candidates: Vec::new(),
            mapping: Mapping::Unknown,
            relays: Vec::new(),
            guessing: 0,
            leaving: false,
        };
        Self {
            session: setup.session,
            side: setup.side,
            is_direct_wanted: setup.direct,
            given: None,
            mapped: setup.mapped,
            hosts: Vec::new(),
            port: 0,
            dice,
            register: Register::new(own),
            key: None,
            relays: Relays::new(setup.session),
            probes: Probes::new(),
            ways: Ways::default(),
            guess: Guess::new(setup.guess && setup.direct),
            sought_since: Moment::ZERO,
            relay_rests_until: Moment::ZERO,
            relay_failures: 0,
            was_bound: false,
            bound_anew: Moment::ZERO,
            first_after: None,
            direct_after: None,
            out: Out::new(),
        }
    }

    /// What is to be done next.
    pub(crate) fn poll(&mut self) -> Option<Wish> {
        self.out.pop_front()
    }

    /// When [`settle`](Self::settle) is to be called again, at the latest.
    pub(crate) fn wake_at(&self, now: Moment) -> Moment {
        let seeks = self.key.is_some() && self.is_direct_wanted && !self.ways.has_direct();
        let probes = if seeks { self.probes.wake_at() } else { None };
        let rests = if self.side == Side::Sender { self.probes.rest_ends(now) } else { None };
        let relay = Some(self.relay_rests_until).filter(|&until| until > now);
        let guess = if seeks { self.guess.may_begin_at(self.sought_since).map(|at| at.max(now + LOOK)) } else { None };
        let guess = guess.into_iter().chain(self.guess.wake_at()).min();
        let wakes = [guess, self.register.wake_at(), self.relays.wake_at(), probes, rests, relay, self.ways.wake_at()];
        wakes.into_iter().flatten().min().unwrap_or(now + Duration::from_mins(1))
    }

    /// The machine's addresses, and the port of the main socket. `is_new` if it is another socket than before.
    pub(crate) fn placed(&mut self, now: Moment, hosts: &[IpAddr], port: u16, is_new: bool) {
        let hosts: Vec<IpAddr> = hosts.iter().map(IpAddr::to_canonical).filter(|&ip| is_host(ip)).collect();
        if is_new {
            self.relays.again(now);
            self.bound_anew = now;
        }
        (self.hosts, self.port) = (hosts, port);
        self.probes.begin_round(now);
        self.settle(now);
    }

    /// The router gives the main socket this address from now on, or gives none any more.
    pub(crate) fn mapped(&mut self, now: Moment, given: Option<SocketAddr>) {
        if self.given == given {
            return;
        }
        self.given = given;
        // The other side probes what is new to it as soon as it hears of it; what this side sends meanwhile opens its NAT.
        self.probes.begin_round(now);
        self.settle(now);
    }

    /// More relays, or new tickets.
    pub(crate) fn add_relays(&mut self, now: Moment, places: Vec<RelayPlace>) {
        self.relays.add(now, places);
        self.settle(now);
    }

    /// The tunnel to a relay leads from another place.
    pub(crate) fn tunnel_moved(&mut self, now: Moment, relay: RelayId) {
        self.relays.again_through_tunnel(now, relay);
        self.settle(now);
    }

    /// The other side's register holds this.
    pub(crate) fn heard(&mut self, now: Moment, bytes: &[u8]) {
        let state = match State::decode(bytes) {
            Ok(state) => state,
            Err(error) => return tracing::warn!(%error, "the other side's state cannot be read"),
        };
        let had_peer = self.register.peer().is_some();
        match self.register.heard(state) {
            Heard::Nothing => return,
            Heard::Newer => {}
            Heard::Anew => {
                if had_peer {
                    self.ways.cut_all(Why::PeerChanged, &mut self.out);
                }
                self.out.push_back(Wish::Tell(Notice::PeerChanged));
                self.search_anew(now);
                self.relay_rests_until = now;
            }
            Heard::Left => {
                self.ways.cut_all(Why::PeerLeft, &mut self.out);
                self.search_anew(now);
                self.out.push_back(Wish::Tell(Notice::PeerLeft));
            }
        }
        self.key = ProbeKey::of(self.session, self.side, &self.register);
        self.settle(now);
    }

    /// A datagram with the mark of probes has come.
    pub(crate) fn probe(&mut self, now: Moment, via: Via, from: SocketAddr, bytes: &[u8]) {
        if !self.is_direct_wanted {
            return;
        }
        let Some(key) = &self.key else { return };
        let Some(probe) = key.open(bytes) else { return };
        if !self.guess.is_used(via, &mut self.out) {
            return;
        }
        match probe.kind {
            ProbeKind::Ping => {
                if self.ways.leads_to(via, from) || self.probes.may_answer(now, via, from) {
                    let bytes = key.pong(probe.nonce).to_vec();
                    self.out.push_back(Wish::Send { via, to: from, bytes });
                }
                self.ways.probed(now, via, from, None);
                let is_wanted = !self.ways.has_direct();
                let ask = &mut Asking { key, dice: &mut self.dice, out: &mut self.out, is_wanted };
                self.probes.pinged(now, via, from, ask);
            }
            ProbeKind::Pong => {
                self.ways.probed(now, via, from, Some(probe.nonce));
                let is_answer = self.probes.ponged(now, via, from, probe.nonce);
                if !is_answer && self.guess.is_hit(via, from, probe.nonce) {
                    self.probes.hit(now, via, from);
                }
            }
        }
        self.settle(now);
    }

    /// A datagram with the mark of relays has come from an address that is to be one's.
    pub(crate) fn control(&mut self, now: Moment, from: SocketAddr, bytes: &[u8]) {
        self.relays.heard(now, from, bytes, &mut self.dice, &mut self.out);
        self.settle(now);
    }

    /// By which route a connection from this address comes; none if it is nobody's who may connect.
    pub(crate) fn admits(&self, via: Via, from: SocketAddr) -> Option<Route> {
        if self.register.peer().is_none() || self.ways.is_full() {
            return None;
        }
        let relay = self.relays.bound_at(from).map(|seat| seat.place.id);
        let is_direct = || self.is_direct_wanted && self.probes.has_heard(via, from);
        (relay.is_some() || is_direct()).then_some(Route { via, to: from, relay })
    }

    /// A connection has been made, by this side or the other.
    pub(crate) fn up(&mut self, now: Moment, path: PathId, route: Route) {
        self.ways.dialed(route);
        self.ways.up(now, path, route);
        self.first_after.get_or_insert(now);
        match route.relay {
            Some(_) => self.relay_failures = 0,
            None => {
                self.direct_after.get_or_insert(now);
                let released = self.guess.release(Some(route.via), &mut self.out);
                self.probes.released(&released);
            }
        }
        self.settle(now);
    }

    /// A connection could not be made.
    pub(crate) fn undialed(&mut self, now: Moment, route: Route) {
        self.ways.dialed(route);
        self.rest(now, route);
        self.settle(now);
    }

    /// A connection has ended.
    pub(crate) fn down(&mut self, now: Moment, path: PathId) {
        if let Some(route) = self.ways.down(path) {
            self.lost(now, route);
        }
        self.settle(now);
    }

    /// Something has come over a connection, or this side has sent over it and nothing came.
    pub(crate) fn looked_at(&mut self, now: Moment, path: PathId, is_heard: bool) {
        if is_heard {
            if let Some(relay) = self.ways.heard(now, path) {
                self.relays.is_alive(now, relay);
            }
        } else if let Some(relay) = self.ways.unanswered(now, path) {
            self.relays.doubt(now, relay);
            self.settle(now);
        }
    }

    /// Ends the session: says goodbye to the other side and to the relays. Nothing else is to be called after it but
    /// [`poll`](Self::poll).
    pub(crate) fn leave(&mut self, now: Moment) {
        self.register.change(|own| own.leaving = true);
        self.relays.leave(&mut self.out);
        // However short ago the last one was.
        let later = now + Duration::from_secs(1);
        if let Some(state) = self.register.due(later) {
            self.out.push_back(Wish::Set(state));
        }
    }

    /// So many of the sockets for guessing are open.
    pub(crate) fn opened(&mut self, now: Moment, vias: Vec<Via>) {
        self.guess.opened(vias);
        self.settle(now);
    }

    #[cfg(test)]
    pub(crate) fn own_state(&self) -> Vec<u8> {
        self.register.own().encode().unwrap()
    }

    pub(crate) fn peer(&self) -> Option<&State> {
        self.register.peer()
    }

    /// A relay as the server has named it.
    pub(crate) fn relay(&self, relay: RelayId) -> Option<&RelayPlace> {
        self.relays.seats().iter().map(|seat| &seat.place).find(|place| place.id == relay)
    }
}
