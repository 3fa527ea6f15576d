//! Each datagram that comes, and what to do with it.
//!
//! Nothing is sent to an address that has not proved itself but one Challenge for each Hello and one Observed for each
//! Observe, each as long as its question. What is passed on may be QUIC and goes from one side of a session to the other, unchanged, and nowhere else.

use crate::{
    caps::Caps,
    cookie::Cookies,
    counters::{Counters, DropReason},
    moment::Moment,
    settings::{KEEPALIVE, MAX_VERIFICATIONS_PER_SECOND, Settings},
    shares::Shares,
    table::{Ended, Place, Table},
};
use hypersend_protocol::{
    id::{P2pId, RelayId},
    relay::{
        ControlBytes, Cookie, FromRelay, MAX_ANSWER_BYTES, Nonce, NotControl, RelayRefusal, ToRelay, may_be_quic,
        ticket::{SignedTicket, Ticket},
    },
};
use ring::signature::{ED25519, UnparsedPublicKey};
use std::{net::SocketAddr, ops::Range, time::Duration};

/// One of the addresses that the relay itself listens on. To a NAT, what does not come from the one that was sent to is from
/// somebody else; so whoever is bound is sent everything by the door at which it knocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Door(pub usize);

impl Door {
    /// The one that is told to clients.
    pub const FIRST: Self = Self(0);
}

/// What to do with a datagram.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Nothing: it goes nowhere.
    Drop(DropReason),
    /// Nothing: it has had its effect, and has no answer.
    Taken,
    /// Send this to where it came from, by the door that it came to.
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
        /// The door that the other side knows.
        by: Door,
    },
}

/// Something to send to an address that has proved itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Where to.
    pub to: SocketAddr,
    /// By which door.
    pub by: Door,
    /// What.
    pub bytes: ControlBytes<MAX_ANSWER_BYTES>,
}

/// A relay's core.
pub struct Relay {
    id: RelayId,
    server_key: UnparsedPublicKey<[u8; 32]>,
    cookies: Cookies,
    table: Table,
    caps: Caps,
    shares: Shares,
    verifications: Verifications,
    counters: Counters,
    is_leaving: bool,
}

impl Relay {
    /// A relay without sessions.
    pub fn new(settings: &Settings) -> Self {
        Self {
            id: settings.id,
            server_key: UnparsedPublicKey::new(&ED25519, settings.server_key),
            cookies: Cookies::new(&settings.cookie_secret),
            table: Table::new(settings.max_sessions, settings.max_sessions_of_user),
            caps: Caps::new(settings.session_capacity, settings.max_sessions),
            shares: Shares::new(settings.capacity, settings.max_sessions),
            verifications: Verifications::default(),
            counters: Counters::default(),
            is_leaving: false,
        }
    }

    /// Takes a datagram that came from an address by a door.
    pub fn datagram(&mut self, now: Moment, by: Door, from: SocketAddr, bytes: &[u8]) -> Action {
        let mut action = Action::Taken;
        self.batch(now, by, from, bytes, bytes.len(), |_, what| action = what);
        action
    }

    /// Takes datagrams that came together from an address, as a kernel hands them over (GRO): each is as long as `segment`,
    /// only the last may be shorter. Says of each part what to do with it; what is to be forwarded is kept together.
    pub fn batch(
        &mut self,
        now: Moment,
        by: Door,
        from: SocketAddr,
        bytes: &[u8],
        segment: usize,
        mut what: impl FnMut(Range<usize>, Action),
    ) {
        let segment = segment.clamp(1, bytes.len().max(1));
        let mut at = 0;
        loop {
            let rest = &bytes[at..];
            let packets: usize = rest.chunks(segment).take_while(|one| may_be_quic(one[0])).map(<[u8]>::len).sum();
            if packets > 0 {
                let (granted, dropped) = match self.forward(now, from, packets, segment) {
                    Ok((Place { to, by }, granted, rest)) => {
                        what(at..at + granted, Action::Forward { to, by });
                        (granted, rest)
                    }
                    Err(reason) => (0, reason),
                };
                if granted < packets {
                    self.counters.drop(dropped, (packets - granted).div_ceil(segment));
                    what(at + granted..at + packets, Action::Drop(dropped));
                }
                at += packets;
            } else {
                let one = &rest[..segment.min(rest.len())];
                let done = self.control(now, by, from, one);
                match &done {
                    Ok(Action::Answer { .. }) => self.counters.answered += 1,
                    Ok(_) => {}
                    Err(reason) => self.counters.drop(*reason, 1),
                }
                what(at..at + one.len(), done.unwrap_or_else(Action::Drop));
                at += one.len();
            }
            if at == bytes.len() {
                return;
            }
        }
    }

    /// From now on takes nobody who is not here: who binds anew is told to use another relay. A side that is here may move
    /// to another address.
    pub fn leave(&mut self) {
        self.is_leaving = true;
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

    /// Where packets go that came together, how many of their bytes, all or whole segments, and why not the others.
    fn forward(
        &mut self,
        now: Moment,
        from: SocketAddr,
        bytes: usize,
        segment: usize,
    ) -> Result<(Place, usize, DropReason), DropReason> {
        let seat = self.table.seat(now, from)?;
        let to = self.table.peer(now, seat).ok_or(DropReason::NoPeer)?;
        let allowed = self.caps.take(now.steady, seat.place, bytes, segment);
        let granted = self.shares.take(now.steady, seat.place, allowed, segment);
        self.caps.give_back(seat.place, allowed - granted);
        let rest = if granted < allowed { DropReason::OverShare } else { DropReason::OverCap };
        if granted == 0 {
            return Err(rest);
        }
        self.table.count(seat, granted);
        self.counters.forwarded += granted.div_ceil(segment) as u64;
        self.counters.forwarded_bytes += granted as u64;
        Ok((to, granted, rest))
    }

    fn control(&mut self, now: Moment, by: Door, from: SocketAddr, bytes: &[u8]) -> Result<Action, DropReason> {
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
            ToRelay::Bind { nonce, cookie, ticket } => self.bind(now, Place { to: from, by }, nonce, &cookie, &ticket),
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
            // Nothing is looked up, so that who is bound learns no more by it, and stays bound no longer, than who is not.
            ToRelay::Observe { nonce } => Ok(answer(FromRelay::Observed { nonce, observed: from }, None)),
        }
    }

    fn bind(
        &mut self,
        now: Moment,
        from: Place,
        nonce: Nonce,
        cookie: &Cookie,
        ticket: &SignedTicket,
    ) -> Result<Action, DropReason> {
        let session = ticket.ticket.session;
        if !self.cookies.is_good(now.steady, from.to, session, cookie) {
            return Err(DropReason::BadCookie);
        }
        let admitted = self.admit(now, ticket)?.and_then(|()| self.stays(now, &ticket.ticket));
        let bound = match admitted.and_then(|()| self.table.bind(now, from, &ticket.ticket)) {
            Ok(bound) => bound,
            Err(reason) => {
                self.counters.refused += 1;
                return Ok(answer(FromRelay::Refused { nonce, reason }, None));
            }
        };
        if let Some(place) = bound.begun {
            self.caps.begin(now.steady, place);
            self.shares.begin(place);
        }
        self.counters.bound += 1;
        let notice = bound.peer.filter(|_| bound.is_news);
        let notice =
            notice.map(|Place { to, by }| Notice { to, by, bytes: FromRelay::PeerPresent { session }.encode() });
        let lasts_ms = millis(ticket.ticket.expires.since(now.unix));
        let (keepalive_ms, peer) = (millis(KEEPALIVE), bound.peer.is_some());
        Ok(answer(FromRelay::Bound { nonce, observed: from.to, lasts_ms, keepalive_ms, peer }, notice))
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

    /// Whether this relay will still be there for this one.
    fn stays(&self, now: Moment, ticket: &Ticket) -> Result<(), RelayRefusal> {
        if self.is_leaving && !self.table.is_there(now, ticket.session, ticket.side) {
            return Err(RelayRefusal::Leaving);
        }
        Ok(())
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
