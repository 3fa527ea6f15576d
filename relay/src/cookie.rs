//! Cookies prove that who sends from an address also receives there, and nothing about them is remembered: a cookie is a
//! keyed hash of the address, the session and the time, and whoever brings it back has received it.

use hypersend_protocol::{
    id::P2pId,
    relay::{COOKIE_BYTES, Cookie, address_bytes},
};
use ring::hmac;
use std::{net::SocketAddr, time::Duration};

/// A cookie is good in the slot in which it was made and in the next: long enough for a Bind that is lost a few times, and
/// too short to be of use to who has the address next.
pub(crate) const SLOT: Duration = Duration::from_secs(30);

/// Makes cookies and knows them again.
pub(crate) struct Cookies(hmac::Key);

impl Cookies {
    pub(crate) fn new(secret: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// The cookie for an address, for one session.
    pub(crate) fn bake(&self, now: Duration, from: SocketAddr, session: P2pId) -> Cookie {
        let tag = hmac::sign(&self.0, &message(slot(now), from, session));
        let mut cookie = [0; COOKIE_BYTES];
        cookie.copy_from_slice(tag.as_ref());
        Cookie(cookie)
    }

    /// Whether this cookie was made here, for this address and session, not too long ago.
    pub(crate) fn is_good(&self, now: Duration, from: SocketAddr, session: P2pId, cookie: &Cookie) -> bool {
        let slots = [Some(slot(now)), slot(now).checked_sub(1)];
        let mut slots = slots.into_iter().flatten();
        slots.any(|slot| hmac::verify(&self.0, &message(slot, from, session), &cookie.0).is_ok())
    }
}

fn slot(now: Duration) -> u64 {
    now.as_secs() / SLOT.as_secs()
}

fn message(slot: u64, from: SocketAddr, session: P2pId) -> [u8; 42] {
    let mut message = [0; 42];
    message[..8].copy_from_slice(&slot.to_be_bytes());
    message[8..26].copy_from_slice(&address_bytes(from));
    message[26..].copy_from_slice(session.0.as_bytes());
    message
}
