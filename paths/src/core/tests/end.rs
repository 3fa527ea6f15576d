//! An end of the net: a core, and what its shell would hold.

use super::nat::{Kind, Nat};
use crate::{
    config::RelayPlace,
    core::{Core, Moment, Notice, Route, Setup, Via},
    event::{PathId, Why},
};
use hypersend_protocol::{
    fingerprint::Fingerprint,
    id::{P2pId, RelayId, UserId},
    relay::ticket::{Side, Ticket},
    time::UnixMillis,
};
use ring::signature::Ed25519KeyPair;
use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};
use uuid::Uuid;

/// The port of an end's main socket; the others follow.
pub(super) const PORT: u16 = 5_000;
pub(super) const RELAY: RelayId = RelayId(Uuid::from_u128(3));
const SESSION: P2pId = P2pId(Uuid::from_u128(1));
pub(super) struct End {
    pub(super) core: Core,
    pub(super) nat: Nat,
    pub(super) paths: BTreeMap<PathId, (Route, u32, Moment)>,
    pub(super) notices: Vec<Notice>,
    pub(super) downs: Vec<(Moment, Why)>,
    pub(super) open: Vec<Via>,
    pub(super) kept: Vec<Via>,
    pub(super) most_open: usize,
    pub(super) dialing: BTreeMap<u32, (Route, Moment)>,
    pub(super) side: Side,
    pub(super) began: Moment,
    named: u64,
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub(super) fn relay_at() -> [SocketAddr; 2] {
    ["198.51.100.1:443", "198.51.100.1:444"].map(|text| text.parse().unwrap())
}

impl End {
    pub(super) fn new(side: Side, nat: Nat, began: Moment, seed: u64) -> Self {
        let mut bytes = [u8::from(side == Side::Receiver); 32];
        bytes[..8].copy_from_slice(&seed.to_be_bytes());
        let setup = Setup {
            session: SESSION,
            side,
            fingerprint: Fingerprint([u8::from(side == Side::Receiver); 32]),
            mapped: Vec::new(),
            direct: true,
            guess: true,
            seed: bytes,
        };
        let mut core = Core::new(setup);
        core.add_relays(Moment::ZERO, vec![place(side)]);
        let mut end = Self {
            core,
            nat,
            paths: BTreeMap::new(),
            notices: Vec::new(),
            downs: Vec::new(),
            open: Vec::new(),
            kept: Vec::new(),
            most_open: 0,
            dialing: BTreeMap::new(),
            side,
            began,
            named: 0,
        };
        end.place(Moment::ZERO);
        end
    }

    /// Tells the core of its main socket, which is new.
    pub(super) fn place(&mut self, at: Moment) {
        let host = if self.nat.kind == Kind::Open { self.nat.outside } else { ip("10.0.0.2") };
        self.core.placed(at, &[host, ip("127.0.0.1")], PORT, true);
    }

    pub(super) fn up(&mut self, now: Moment, route: Route, id: u32) {
        self.named += 1;
        let path = PathId(self.named);
        self.paths.insert(path, (route, id, now));
        self.core.up(now.saturating_sub(self.began), path, route);
    }
}

fn place(side: Side) -> RelayPlace {
    let key = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).unwrap();
    let user = UserId(Uuid::from_u128(10 + side.index() as u128));
    let ticket = Ticket { relay: RELAY, session: SESSION, user, expires: UnixMillis(u64::MAX), side };
    let signature = key.sign(&ticket.message()).as_ref().try_into().unwrap();
    let [address, observe] = relay_at();
    let (addresses, observe) = (vec![address], vec![observe]);
    RelayPlace {
        id: RELAY,
        name: "fra1".to_owned(),
        addresses,
        tunnel: None,
        observe,
        ticket: ticket.signed(signature),
    }
}
