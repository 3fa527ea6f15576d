//! Seals probes and tells which are the other side's.

use super::register::Register;
use hypersend_protocol::{
    id::P2pId,
    paths::{PROBE_BYTES, Probe, ProbeKind, State, probe_key_message},
    relay::{Nonce, ticket::Side},
};
use ring::hmac::{self, HMAC_SHA256};

pub(crate) struct ProbeKey {
    key: hmac::Key,
    side: Side,
}

impl ProbeKey {
    /// The key between both states, if there are both.
    pub(crate) fn of(session: P2pId, side: Side, register: &Register) -> Option<Self> {
        let (own, peer) = (register.own(), register.peer()?);
        let [sender, receiver]: [&State; 2] = if side == Side::Sender { [own, peer] } else { [peer, own] };
        let secrets = [sender.secret.0, receiver.secret.0].concat();
        let message = probe_key_message(session, sender.incarnation, receiver.incarnation);
        let derived = hmac::sign(&hmac::Key::new(HMAC_SHA256, &secrets), &message);
        Some(Self { key: hmac::Key::new(HMAC_SHA256, derived.as_ref()), side })
    }

    pub(crate) fn ping(&self, nonce: Nonce) -> [u8; PROBE_BYTES] {
        self.seal(Probe { kind: ProbeKind::Ping, side: self.side, nonce })
    }

    pub(crate) fn pong(&self, nonce: Nonce) -> [u8; PROBE_BYTES] {
        self.seal(Probe { kind: ProbeKind::Pong, side: self.side, nonce })
    }

    /// What the other side has sealed; `None` for anything else.
    pub(crate) fn open(&self, bytes: &[u8]) -> Option<Probe> {
        let (probe, mac) = Probe::read(bytes)?;
        // Looks at every byte, so that the time taken says nothing about how many are right.
        let differing = self.mac(&probe).iter().zip(mac).fold(0, |differing, (own, came)| differing | (own ^ came));
        (differing == 0 && probe.side == self.side.other()).then_some(probe)
    }

    fn seal(&self, probe: Probe) -> [u8; PROBE_BYTES] {
        probe.sealed(self.mac(&probe))
    }

    fn mac(&self, probe: &Probe) -> [u8; 16] {
        let tag = hmac::sign(&self.key, &probe.message());
        std::array::from_fn(|at| tag.as_ref()[at])
    }
}
