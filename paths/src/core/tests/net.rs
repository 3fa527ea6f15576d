//! The net and the two ends. Connections are played: an opening that is sent until it is answered, then data now and then.

use super::{
    end::{End, PORT, RELAY, ip, relay_at},
    nat::{Kind, Nat},
};
use crate::core::{Moment, Via, Wish};
use hypersend_protocol::{
    paths::{PROBE_MARK, Probe, ProbeKind},
    relay::{MARK, ticket::Side},
    time::UnixMillis,
};
use hypersend_relay::{Action, Door, Relay, Settings};
use ring::signature::{Ed25519KeyPair, KeyPair};
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// One way, of a datagram.
const DELAY: Duration = Duration::from_millis(20);
/// One way, of a state: over the server.
const STATE_DELAY: Duration = Duration::from_millis(40);
/// The first byte of a played connection's datagrams: QUIC's, for the relay.
const QUIC: u8 = 0xc0;

enum Happens {
    /// A datagram arrives, which was sent as this from outside.
    Arrives { from: SocketAddr, to: SocketAddr, bytes: Vec<u8> },
    /// The register of the other side holds this.
    Tells { to: usize, state: Vec<u8> },
}

pub(super) struct Net {
    pub(super) now: Moment,
    pub(super) ends: [End; 2],
    /// Datagrams lost, of a thousand.
    pub(super) loss: u64,
    /// States lost, of a thousand.
    pub(super) state_loss: u64,
    /// Nothing passes between these two addresses' machines.
    pub(super) cut: Option<[IpAddr; 2]>,
    /// How many datagrams were sent to addresses that are nobody's.
    pub(super) strays: BTreeMap<SocketAddr, usize>,
    /// The ping that each end was sent last, as anybody on the way may have kept it.
    pings: [Vec<u8>; 2],
    relay: Option<Relay>,
    queue: BTreeMap<(Moment, u64), Happens>,
    number: u64,
    random: u64,
}

impl Net {
    pub(super) fn new(seed: u64, kinds: [Kind; 2]) -> Self {
        println!("seed {seed}");
        let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
        let settings = Settings::new(RELAY, key.public_key().as_ref().try_into().unwrap(), [9; 32]);
        let ends = [Side::Sender, Side::Receiver].map(|side| {
            let nat = Nat::new(kinds[side.index()], ip(["203.0.113.1", "203.0.113.2"][side.index()]));
            End::new(side, nat, Moment::ZERO, seed)
        });
        let mut net = Self {
            now: Moment::ZERO,
            ends,
            loss: 0,
            state_loss: 0,
            cut: None,
            strays: BTreeMap::new(),
            pings: [Vec::new(), Vec::new()],
            relay: Some(Relay::new(&settings)),
            queue: BTreeMap::new(),
            number: 0,
            random: seed.wrapping_mul(2) + 1,
        };
        for end in 0..2 {
            net.drain(end);
        }
        net
    }

    pub(super) fn without_relay(mut self) -> Self {
        self.relay = None;
        self
    }

    /// One end begins anew; what the other has set is told to it.
    pub(super) fn restart(&mut self, end: usize) {
        let old = &self.ends[end];
        let (side, nat) = (old.side, Nat::new(old.nat.kind, old.nat.outside));
        let random = self.random();
        self.ends[end] = End::new(side, nat, self.now, random);
        self.drain(end);
        let state = self.ends[1 - end].core.own_state();
        self.later(STATE_DELAY, Happens::Tells { to: end, state });
    }

    /// Lets time pass until this is so, at most so long. When it was.
    pub(super) fn until(&mut self, most: Duration, is_so: impl Fn(&Self) -> bool) -> Option<Moment> {
        let end = self.now + most;
        while !is_so(self) {
            if self.now >= end {
                return None;
            }
            self.step();
        }
        Some(self.now)
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.until(time, |_| false);
    }

    pub(super) fn has_direct(&self) -> bool {
        self.ends.iter().all(|end| end.paths.values().any(|(route, ..)| route.relay.is_none()))
    }

    pub(super) fn has_relayed(&self) -> bool {
        self.ends.iter().all(|end| end.paths.values().any(|(route, ..)| route.relay.is_some()))
    }

    pub(super) fn random(&mut self) -> u64 {
        // SplitMix64 (Steele, Lea, Flood 2014).
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.random;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// The router of one end gives it a port, or takes it away.
    pub(super) fn map(&mut self, end: usize, port: Option<u16>) {
        let at = self.since(end);
        let one = &mut self.ends[end];
        one.nat.mapped = port;
        let given = port.map(|port| SocketAddr::new(one.nat.outside, port));
        one.core.mapped(at, given);
        self.drain(end);
    }

    /// What is on its way between the two is lost, as by a server that starts again.
    pub(super) fn forget_register(&mut self) {
        self.queue.retain(|_, happens| !matches!(happens, Happens::Tells { .. }));
    }

    /// Tells one end a state that the other has not set.
    pub(super) fn forge(&mut self, to: usize, state: &hypersend_protocol::paths::State) {
        let now = self.since(to);
        self.ends[to].core.heard(now, &state.encode().unwrap());
        self.drain(to);
    }

    /// Sends an end again what it was sent, as if it came from here.
    pub(super) fn replay_ping(&mut self, end: usize, from: SocketAddr) {
        let bytes = self.pings[end].clone();
        assert!(!bytes.is_empty(), "it was never pinged");
        self.reach(end, Via::MAIN, from, &bytes);
        self.drain(end);
    }

    /// Since an end began.
    fn since(&self, end: usize) -> Moment {
        self.now.saturating_sub(self.ends[end].began)
    }

    fn later(&mut self, delay: Duration, what: Happens) {
        self.number += 1;
        self.queue.insert((self.now + delay, self.number), what);
    }

    /// Five milliseconds.
    fn step(&mut self) {
        self.now += Duration::from_millis(5);
        while let Some(entry) = self.queue.first_entry().filter(|entry| entry.key().0 <= self.now) {
            match entry.remove() {
                Happens::Tells { to, state } => {
                    let now = self.since(to);
                    self.ends[to].core.heard(now, &state);
                    self.drain(to);
                }
                Happens::Arrives { from, to, bytes } => self.arrive(from, to, &bytes),
            }
        }
        for end in 0..2 {
            let now = self.since(end);
            let mut turns = 0;
            while self.ends[end].core.wake_at(now) <= now {
                turns += 1;
                assert!(turns < 5, "the core wants to be called again at once, and again");
                self.ends[end].core.settle(now);
            }
            self.play(end);
            self.drain(end);
        }
    }

    /// Openings are repeated, data sent, the silent given up.
    fn play(&mut self, end: usize) {
        if !self.now.as_millis().is_multiple_of(400) {
            return;
        }
        let (now, at) = (self.now, self.since(end));
        let dialing: Vec<_> = self.ends[end].dialing.iter().map(|(id, (route, since))| (*id, *route, *since)).collect();
        for (id, route, since) in dialing {
            if now > since + Duration::from_secs(5) {
                self.ends[end].dialing.remove(&id);
                self.ends[end].core.undialed(at, route);
            } else {
                self.send(end, route.via, route.to, quic(1, id));
            }
        }
        let paths: Vec<_> =
            self.ends[end].paths.iter().map(|(path, (route, id, at))| (*path, *route, *id, *at)).collect();
        for (path, route, id, heard) in paths {
            if now > heard + Duration::from_secs(10) {
                self.ends[end].paths.remove(&path);
                self.ends[end].core.down(at, path);
            } else {
                self.send(end, route.via, route.to, quic(3, id));
            }
        }
    }

    fn drain(&mut self, end: usize) {
        while let Some(wish) = self.ends[end].core.poll() {
            let (now, at) = (self.now, self.since(end));
            match wish {
                Wish::Send { via, to, bytes } => self.send(end, via, to, bytes),
                Wish::Set(state) => {
                    if self.random() % 1_000 >= self.state_loss {
                        self.later(STATE_DELAY, Happens::Tells { to: 1 - end, state });
                    }
                }
                Wish::Dial(route) => {
                    let id = u32::try_from(self.random() >> 32).unwrap();
                    self.ends[end].dialing.insert(id, (route, now));
                    self.send(end, route.via, route.to, quic(1, id));
                }
                Wish::StopDialing => self.ends[end].dialing.clear(),
                Wish::Cut(path, why) => {
                    let cut = self.ends[end].paths.remove(&path);
                    let (route, id, _) = cut.expect("only a path that there is is cut");
                    self.ends[end].downs.push((now, why));
                    self.send(end, route.via, route.to, quic(4, id));
                }
                Wish::Tell(notice) => self.ends[end].notices.push(notice),
                Wish::Rebind => {
                    let one = &mut self.ends[end];
                    one.nat.rebind();
                    one.place(at);
                }
                Wish::Open(vias) => {
                    let one = &mut self.ends[end];
                    assert!(one.open.is_empty(), "one round at a time");
                    one.open.clone_from(&vias);
                    one.most_open = one.most_open.max(vias.len());
                    one.core.opened(at, vias);
                }
                Wish::Keep(via) => {
                    let one = &mut self.ends[end];
                    one.open.retain(|open| *open != via);
                    one.kept.push(via);
                }
                Wish::CloseOpened => self.ends[end].open.clear(),
                Wish::Release(via) => self.ends[end].kept.retain(|kept| *kept != via),
            }
        }
    }

    fn send(&mut self, end: usize, via: Via, to: SocketAddr, bytes: Vec<u8>) {
        let random = self.random();
        let inner = PORT + u16::try_from(via.0).unwrap();
        let one = &mut self.ends[end];
        let is_there = via == Via::MAIN || one.open.contains(&via) || one.kept.contains(&via);
        let out = one.nat.out(self.now, via, inner, to, random).filter(|_| is_there);
        let Some(from) = out else { return };
        self.travel(from, to, bytes);
    }

    fn travel(&mut self, from: SocketAddr, to: SocketAddr, bytes: Vec<u8>) {
        let is_cut = self.cut.is_some_and(|cut| cut.contains(&from.ip()) && cut.contains(&to.ip()));
        if !is_cut && self.random() % 1_000 >= self.loss {
            self.later(DELAY, Happens::Arrives { from, to, bytes });
        }
    }

    fn arrive(&mut self, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let doors = relay_at();
        if let Some(door) = doors.iter().position(|door| *door == to) {
            let at = hypersend_relay::Moment { steady: self.now, unix: UnixMillis(1_000_000) };
            match self.relay.as_mut().map(|relay| relay.datagram(at, Door(door), from, bytes)) {
                Some(Action::Answer { answer, notice }) => {
                    self.travel(to, from, answer.to_vec());
                    if let Some(notice) = notice {
                        self.travel(doors[notice.by.0], notice.to, notice.bytes.to_vec());
                    }
                }
                Some(Action::Forward { to: other, by }) => self.travel(doors[by.0], other, bytes.to_vec()),
                _ => {}
            }
        } else if let Some(end) = self.ends.iter().position(|end| end.nat.outside == to.ip()) {
            if let Some(via) = self.ends[end].nat.take(self.now, to.port(), from) {
                self.reach(end, via, from, bytes);
                self.drain(end);
            }
        } else {
            *self.strays.entry(to).or_default() += 1;
        }
    }

    fn reach(&mut self, end: usize, via: Via, from: SocketAddr, bytes: &[u8]) {
        let (now, at) = (self.now, self.since(end));
        if Probe::read(bytes).is_some_and(|(probe, _)| probe.kind == ProbeKind::Ping) {
            bytes.clone_into(&mut self.pings[end]);
        }
        let one = &mut self.ends[end];
        let (first, kind) = (bytes[0], bytes.get(1).copied());
        match first {
            PROBE_MARK => one.core.probe(at, via, from, bytes),
            MARK => one.core.control(at, from, bytes),
            QUIC => {
                let id = u32::from_be_bytes(bytes[2..6].try_into().unwrap());
                let known = one.paths.iter_mut().find(|(_, (route, known, _))| *known == id && route.to == from);
                match (kind, known) {
                    (Some(4), Some((&path, _))) => {
                        one.paths.remove(&path);
                        one.core.down(at, path);
                    }
                    (_, Some((&path, (_, _, heard)))) => {
                        *heard = now;
                        one.core.looked_at(at, path, true);
                        if kind == Some(1) {
                            // The answer was lost.
                            self.send(end, via, from, quic(2, id));
                        }
                    }
                    (Some(1), None) => {
                        if let Some(route) = one.core.admits(via, from) {
                            one.up(now, route, id);
                            self.send(end, via, from, quic(2, id));
                        }
                    }
                    (Some(2), None) => {
                        if let Some((route, _)) = one.dialing.remove(&id) {
                            one.up(now, route, id);
                        }
                    }
                    _ => {}
                }
            }
            other => panic!("a datagram that begins with {other:#x}"),
        }
    }
}

/// 1 opens, 2 answers that, 3 is data, 4 closes.
fn quic(kind: u8, id: u32) -> Vec<u8> {
    [&[QUIC, kind], &id.to_be_bytes()[..]].concat()
}
