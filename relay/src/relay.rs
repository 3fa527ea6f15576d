//! Each datagram that comes, and what to do with it.
//!
//! Nothing is sent to an address that has not proved itself but one Challenge for each Hello, which is as long as the
//! Hello. What is passed on may be QUIC and goes from one side of a session to the other, unchanged, and nowhere else.

use crate::{
    cookie::Cookies,
    counters::{Counters, DropReason},
    moment::Moment,
    settings::{KEEPALIVE, MAX_VERIFICATIONS_PER_SECOND, Settings},
    shares::Shares,
    table::{Ended, Table},
};
use hypersend_protocol::{
    id::{P2pId, RelayId},
    relay::{
        ControlBytes, Cookie, FromRelay, MAX_ANSWER_BYTES, Nonce, NotControl, RelayRefusal, ToRelay, may_be_quic,
        ticket::SignedTicket,
    },
};
use ring::signature::{ED25519, UnparsedPublicKey};
use std::{net::SocketAddr, time::Duration};

/// What to do with a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing: it goes nowhere.
    Drop(DropReason),
    /// Nothing: it has had its effect, and has no answer.
    Taken,
    /// Send this to where it came from.
    Answer {
        /// The answer.
        answer: ControlBytes<MAX_ANSWER_BYTES>,
        /// Something for the other side too.
        notice: Option<Notice>,
    },
    /// Send the datagram itself there.
    Forward {
        /// The other side's address.
        to: SocketAddr,
    },
}

/// Something to send to an address that has proved itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Where to.
    pub to: SocketAddr,
    /// What.
    pub bytes: ControlBytes<MAX_ANSWER_BYTES>,
}

/// A relay's core.
pub struct Relay {
    id: RelayId,
    server_key: UnparsedPublicKey<[u8; 32]>,
    cookies: Cookies,
    table: Table,
    shares: Shares,
    verifications: Verifications,
    counters: Counters,
}

impl Relay {
    /// A relay without sessions.
    pub fn new(settings: &Settings) -> Self {
        Self {
            id: settings.id,
            server_key: UnparsedPublicKey::new(&ED25519, settings.server_key),
            cookies: Cookies::new(&settings.cookie_secret),
            table: Table::new(settings.max_sessions, settings.max_sessions_of_user),
            shares: Shares::new(settings.capacity, settings.max_sessions),
            verifications: Verifications::default(),
            counters: Counters::default(),
        }
    }

    /// Takes a datagram that came from an address.
    pub fn datagram(&mut self, now: Moment, from: SocketAddr, bytes: &[u8]) -> Action {
        let done = match bytes.first() {
            Some(&first) if may_be_quic(first) => self.forward(now, from, bytes.len()),
            _ => self.control(now, from, bytes),
        };
        match &done {
            Ok(Action::Answer { .. }) => self.counters.answered += 1,
            Ok(_) => {}
            Err(reason) => self.counters.drop(*reason),
        }
        done.unwrap_or_else(Action::Drop)
    }

    /// Clears away what is over, and says which sessions ended. Wants to be called once in every
    /// [`SWEEP`](crate::settings::SWEEP).
    pub fn sweep(&mut self, now: Moment) -> Vec<Ended> {
        self.table.sweep(now)
    }

    /// What has been passed on and dropped.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Sessions that have not been swept away.
    pub fn sessions(&self) -> usize {
        self.table.sessions()
    }

    /// Addresses that are bound.
    pub fn addresses(&self) -> usize {
        self.table.addresses()
    }

    /// Bytes passed on for a session so far, by the side that sent them.
    pub fn forwarded(&self, session: P2pId) -> Option<[u64; 2]> {
        self.table.forwarded(session)
    }

    fn forward(&mut self, now: Moment, from: SocketAddr, bytes: usize) -> Result<Action, DropReason> {
        let seat = self.table.seat(now, from)?;
        let to = self.table.peer(now, seat).ok_or(DropReason::NoPeer)?;
        if !self.shares.take(now.steady, seat.place, bytes) {
            return Err(DropReason::OverShare);
        }
        self.table.count(seat, bytes);
        self.counters.forwarded += 1;
        self.counters.forwarded_bytes += bytes as u64;
        Ok(Action::Forward { to })
    }

    fn control(&mut self, now: Moment, from: SocketAddr, bytes: &[u8]) -> Result<Action, DropReason> {
        let asked = ToRelay::read(bytes).map_err(|wrong| match wrong {
            NotControl::Foreign => DropReason::Foreign,
            NotControl::Version(_) => DropReason::Version,
            NotControl::Malformed => DropReason::Malformed,
        })?;
        match asked {
            ToRelay::Hello { session, nonce } => {
                let cookie = self.cookies.bake(now.steady, from, session);
                Ok(answer(FromRelay::Challenge { nonce, cookie }, None))
            }
            ToRelay::Bind { nonce, cookie, ticket } => self.bind(now, from, nonce, &cookie, &ticket),
            ToRelay::Keepalive { session, nonce } => {
                let seat = self.table.seat_in(now, from, session)?;
                let peer = self.table.peer(now, seat).is_some();
                Ok(answer(FromRelay::Alive { nonce, observed: from, peer }, None))
            }
            ToRelay::Unbind { session } => {
                let seat = self.table.seat_in(now, from, session)?;
                self.table.release(seat);
                Ok(Action::Taken)
            }
        }
    }

    fn bind(
        &mut self,
        now: Moment,
        from: SocketAddr,
        nonce: Nonce,
        cookie: &Cookie,
        ticket: &SignedTicket,
    ) -> Result<Action, DropReason> {
        let session = ticket.ticket.session;
        if !self.cookies.is_good(now.steady, from, session, cookie) {
            return Err(DropReason::BadCookie);
        }
        let bound = match self.admit(now, ticket)?.and_then(|()| self.table.bind(now, from, &ticket.ticket)) {
            Ok(bound) => bound,
            Err(reason) => {
                self.counters.refused += 1;
                return Ok(answer(FromRelay::Refused { nonce, reason }, None));
            }
        };
        if let Some(place) = bound.begun {
            self.shares.begin(place);
        }
        self.counters.bound += 1;
        let notice = bound.peer.filter(|_| bound.is_news);
        let notice = notice.map(|to| Notice { to, bytes: FromRelay::PeerPresent { session }.encode() });
        let lasts_ms = millis(ticket.ticket.expires.since(now.unix));
        let (keepalive_ms, peer) = (millis(KEEPALIVE), bound.peer.is_some());
        Ok(answer(FromRelay::Bound { nonce, observed: from, lasts_ms, keepalive_ms, peer }, notice))
    }

    /// Whether a ticket is good here and now. What costs most is looked at last.
    fn admit(&mut self, now: Moment, ticket: &SignedTicket) -> Result<Result<(), RelayRefusal>, DropReason> {
        if ticket.ticket.relay != self.id {
            return Ok(Err(RelayRefusal::OtherRelay));
        }
        if now.unix >= ticket.ticket.expires {
            return Ok(Err(RelayRefusal::Expired));
        }
        if !self.verifications.one_more(now.steady) {
            return Err(DropReason::Busy);
        }
        let verified = self.server_key.verify(&ticket.ticket.message(), &ticket.signature);
        Ok(verified.map_err(|_| RelayRefusal::BadSignature))
    }
}

fn answer(answer: FromRelay, notice: Option<Notice>) -> Action {
    Action::Answer { answer: answer.encode(), notice }
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

/// Signatures verified in the second that runs.
#[derive(Default)]
struct Verifications {
    second: u64,
    used: u32,
}

impl Verifications {
    fn one_more(&mut self, now: Duration) -> bool {
        if self.second != now.as_secs() {
            *self = Self { second: now.as_secs(), used: 0 };
        }
        self.used += 1;
        self.used <= MAX_VERIFICATIONS_PER_SECOND
    }
}
