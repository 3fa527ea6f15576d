//! What the two sides of a transfer, or of a mailbox, say to each other before there is a path between them: a register for each.
//!
//! The store has the registers, and the hub says when to look. Whoever opened a side's register last holds it; an earlier
//! one, here or at another server, is told so and ends. So does one whose tickets for relays have become old: opened again, it
//! comes with new ones.

use super::{
    accounts::Caller,
    p2p::P2pError,
    relays::{Relays, TICKET_LIFETIME},
    store_refusal,
};
use crate::{
    clock,
    hub::{Hub, Listener, Missed, TransferNotice},
    store::{
        Store, StoreError,
        mailboxes::KeyHash,
        signals::{FORGOTTEN_AFTER, Holder, Place, Register},
    },
};
use hypersend_protocol::{
    id::{P2pId, UserId},
    limit::MAILBOX_UNCLAIMED_ABSENCE,
    p2p::{P2pSession, P2pStatus},
    refusal::{ErrorCode, Refusal},
    relay::ticket::Side,
    signal::{RelaySeat, SignalValue},
};
use std::{fmt, sync::Arc, time::Duration};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

/// How often an open stream says again what its register says: it is not forgotten while the stream is open.
const RENEW_EVERY: Duration = FORGOTTEN_AFTER.checked_div(3).expect("three is not zero");

/// How often a mailbox's does, which holds the mailbox as well: one may come late, and the number is still nobody else's.
const RENEW_MAILBOX_EVERY: Duration = MAILBOX_UNCLAIMED_ABSENCE.checked_div(3).expect("three is not zero");

/// How long a stream stays open: its client has new tickets well before the relays forget the old ones.
const TICKETS_RENEWED_AFTER: Duration = TICKET_LIFETIME.checked_div(2).expect("two is not zero");

/// How soon a client may open its stream again that was ended for that.
const OPEN_AGAIN: Duration = Duration::from_millis(100);

/// The service of signals.
#[derive(Clone)]
pub struct Signals {
    store: Arc<dyn Store>,
    hub: Hub,
    relays: Relays,
}

impl fmt::Debug for Signals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signals").finish_non_exhaustive()
    }
}

/// Why there are no signals, or no more.
#[derive(Debug, thiserror::Error)]
pub enum SignalError {
    /// The session is not there, or not the caller's.
    #[error("there is no transfer {0}, or it is not yours")]
    NoSession(P2pId),
    /// Nothing comes after it.
    #[error("{0}")]
    Over(End),
    /// The same side opened its register again.
    #[error("this side of the transfer is open elsewhere, and the newest counts")]
    Superseded,
    /// It was open for so long that its tickets are old.
    #[error("the tickets for relays are to be renewed: open the signals again")]
    TicketsAreOld,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why nothing more is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The transfer is over.
    Transfer(P2pStatus),
    /// A side has left the mailbox, or nobody came in time.
    Mailbox,
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Transfer(status) => write!(f, "the transfer is {}", super::p2p::words(*status)),
            Self::Mailbox => f.write_str("the code is used up: the other side has left, or nobody came in time"),
        }
    }
}

impl From<SignalError> for Refusal {
    fn from(error: SignalError) -> Self {
        let code = match &error {
            SignalError::NoSession(session) => return P2pError::NoSession(*session).into(),
            SignalError::Over(_) => ErrorCode::Conflict,
            SignalError::Superseded => ErrorCode::Superseded,
            SignalError::TicketsAreOld => {
                return Self::new(ErrorCode::Unavailable, error.to_string()).with_retry_after(OPEN_AGAIN);
            }
            SignalError::Store(error) => return store_refusal(error),
        };
        Self::new(code, error.to_string())
    }
}

type Result<T> = std::result::Result<T, SignalError>;

impl Signals {
    /// On this store.
    pub fn new(store: Arc<dyn Store>, hub: Hub, relays: Relays) -> Self {
        Self { store, hub, relays }
    }

    /// Opens the caller's side of a session that is not over.
    pub async fn open(&self, me: &Caller, session: P2pId) -> Result<SignalLine> {
        // Listens first and looks then, so that nothing falls between.
        let notices = self.hub.transfer(session);
        let found = self.session(me.id(), session).await?;
        let side = if found.sender == me.id() { Side::Sender } else { Side::Receiver };
        if found.status.is_over() {
            return Err(SignalError::Over(End::Transfer(found.status)));
        }
        self.line(notices, Matter::Transfer { me: me.id() }, (session, side), me.id()).await
    }

    /// Opens one side of a mailbox, whoever it is that has its key; what is over ends behind the other side's last value.
    pub(super) async fn open_mailbox(&self, place: Place, key: KeyHash, guest: UserId) -> Result<SignalLine> {
        let notices = self.hub.transfer(place.0);
        self.line(notices, Matter::Mailbox { key }, place, guest).await
    }

    async fn line(
        &self,
        notices: Listener<P2pId, TransferNotice>,
        matter: Matter,
        (session, side): Place,
        user: UserId,
    ) -> Result<SignalLine> {
        let relays = self.relays.seats(session, user, side).await?;
        let holder = Holder(i64::from_ne_bytes(*Uuid::new_v4().as_bytes().first_chunk().expect("it has 16 bytes")));
        let mine = self.store.open_signal((session, side), holder).await?;
        self.hub.signal(session, side);
        Ok(SignalLine {
            signals: self.clone(),
            notices,
            matter,
            session,
            side,
            holder,
            mine,
            theirs: None,
            // A mailbox may have been left since it was looked at.
            look: Look { mine: false, theirs: true, session: matches!(matter, Matter::Mailbox { .. }) },
            over: None,
            renew: Instant::now() + matter.renew_every(),
            lasts: None,
            ends: Instant::now() + TICKETS_RENEWED_AFTER,
            relays,
        })
    }

    async fn session(&self, me: UserId, session: P2pId) -> Result<P2pSession> {
        self.store.p2p_session(session, me).await?.ok_or(SignalError::NoSession(session))
    }
}

/// What a line is about, which says when it is over.
#[derive(Clone, Copy, Debug)]
enum Matter {
    Transfer {
        me: UserId,
    },
    /// By the key of the side whose line it is.
    Mailbox {
        key: KeyHash,
    },
}

impl Matter {
    fn renew_every(self) -> Duration {
        match self {
            Self::Transfer { .. } => RENEW_EVERY,
            Self::Mailbox { .. } => RENEW_MAILBOX_EVERY,
        }
    }
}

/// One side's open stream.
pub struct SignalLine {
    signals: Signals,
    notices: Listener<P2pId, TransferNotice>,
    matter: Matter,
    /// The session, or the mailbox.
    session: P2pId,
    side: Side,
    holder: Holder,
    /// What the own register says.
    mine: Option<SignalValue>,
    /// What was given out last.
    theirs: Option<SignalValue>,
    look: Look,
    over: Option<End>,
    /// When the own register is to be set again.
    renew: Instant,
    /// When it is over if nothing happens, where that is known.
    lasts: Option<Instant>,
    /// When its tickets are old.
    ends: Instant,
    relays: Vec<RelaySeat>,
}

impl fmt::Debug for SignalLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SignalLine").field("session", &self.session).field("side", &self.side).finish_non_exhaustive()
    }
}

/// What may have changed since it was looked at.
#[derive(Clone, Copy, Default)]
struct Look {
    mine: bool,
    theirs: bool,
    session: bool,
}

impl SignalLine {
    /// Relays that this side may use, the best first.
    pub fn relays(&self) -> &[RelaySeat] {
        &self.relays
    }

    /// The other side's value, once it is another than was given out last. Cancel safe.
    pub async fn next(&mut self) -> Result<SignalValue> {
        loop {
            if self.look.mine {
                // One that was forgotten is nobody else's.
                if self.register(self.side).await?.is_some_and(|register| register.holder != self.holder) {
                    return Err(SignalError::Superseded);
                }
                self.look.mine = false;
            }
            if self.look.session {
                self.over = self.end().await?;
                self.look.session = false;
                // Behind the last value, which may have been set at another server.
                self.look.theirs |= self.over.is_some();
            }
            if self.look.theirs {
                let value = self.register(self.side.other()).await?.and_then(|register| register.value);
                self.look.theirs = false;
                if let Some(value) = value.filter(|value| self.theirs.as_ref() != Some(value)) {
                    self.theirs = Some(value.clone());
                    return Ok(value);
                }
            }
            if let Some(end) = self.over {
                return Err(SignalError::Over(end));
            }
            let due = self.lasts.map_or(self.renew, |lasts| lasts.min(self.renew));
            tokio::select! {
                notice = self.notices.next() => self.heard(notice),
                () = sleep_until(self.ends) => return Err(SignalError::TicketsAreOld),
                () = sleep_until(due) => {
                    self.write(self.mine.clone()).await?;
                    self.look.session = true;
                    // Only here: what is set meanwhile does not hold a mailbox.
                    self.renew = Instant::now() + self.matter.renew_every();
                }
            }
        }
    }

    /// Sets this side's value.
    pub async fn set(&mut self, value: SignalValue) -> Result<()> {
        self.write(Some(value.clone())).await?;
        self.mine = Some(value);
        self.signals.hub.signal(self.session, self.side);
        Ok(())
    }

    /// Leaves for good, behind what was set last: a mailbox is over then.
    pub async fn leave(mut self) -> Result<()> {
        // Only whoever holds the side may leave for it.
        self.write(self.mine.clone()).await?;
        if matches!(self.matter, Matter::Mailbox { .. }) {
            self.signals.store.leave_mailbox(self.session, clock::now()).await?;
            self.signals.hub.mailbox_left(self.session);
        }
        Ok(())
    }

    /// Why it is over, if it is. A mailbox lasts longer for being looked at.
    async fn end(&mut self) -> Result<Option<End>> {
        match self.matter {
            Matter::Transfer { me } => {
                let status = self.signals.session(me, self.session).await?.status;
                Ok(status.is_over().then_some(End::Transfer(status)))
            }
            Matter::Mailbox { key } => {
                let now = clock::now();
                let held = self.signals.store.hold_mailbox(self.session, key, now).await?;
                let there = held.filter(|mailbox| !mailbox.over);
                self.lasts = there.as_ref().map(|mailbox| Instant::now() + mailbox.expires.since(now));
                Ok(there.is_none().then_some(End::Mailbox))
            }
        }
    }

    fn heard(&mut self, notice: std::result::Result<TransferNotice, Missed>) {
        match notice {
            Ok(TransferNotice::Signal(side)) if side == self.side => self.look.mine = true,
            Ok(TransferNotice::Signal(_)) => self.look.theirs = true,
            Ok(TransferNotice::Changed) => self.look.session = true,
            Err(Missed) => self.look = Look { mine: true, theirs: true, session: true },
        }
    }

    async fn register(&self, side: Side) -> Result<Option<Register>> {
        Ok(self.signals.store.signal((self.session, side)).await?)
    }

    async fn write(&mut self, value: Option<SignalValue>) -> Result<()> {
        let register = Register { holder: self.holder, value };
        if !self.signals.store.set_signal((self.session, self.side), register).await? {
            return Err(SignalError::Superseded);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        services::relays::TicketKey,
        settings::SecretKey,
        store::{
            self, Place,
            conformance::user,
            mailboxes::NewMailbox,
            p2p::{NewP2p, Offered},
        },
    };
    use hypersend_protocol::{
        account::Profile,
        id::{ChatId, ClientId, SessionId},
        p2p::OfferedFile,
        time::UnixMillis,
    };

    #[tokio::test]
    async fn a_stream_ends_before_its_tickets_do_and_says_that_it_is_to_be_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let store = store::open(&Place::File(folder.path().join("test.db")), Arc::new(|_| ())).await.unwrap();
        let (ann, bob) = (user(&*store, "ann").await, user(&*store, "bob").await);
        let chat = store.open_direct(ann, bob, ChatId(Uuid::now_v7()), UnixMillis(1)).await.unwrap().id;
        let new = NewP2p {
            id: P2pId(Uuid::now_v7()),
            client_id: ClientId(Uuid::now_v7()),
            chat,
            sender: ann,
            receiver: bob,
            files: vec![OfferedFile { name: "film.mkv".parse().unwrap(), size: 1, folder: false }],
            max_open: 1,
            now: UnixMillis(1),
        };
        let Offered::Made(session) = store.offer_p2p(new).await.unwrap() else { panic!("it is offered") };
        let key = TicketKey::new(&SecretKey::parse(&"k".repeat(64)).unwrap());
        let signals = Signals::new(store.clone(), Hub::default(), Relays::new(store, key, None));
        let profile = Profile { id: ann, email: "ann@example.org".parse().unwrap(), name: "Ann".parse().unwrap() };
        let me = Caller { profile, session: SessionId(Uuid::nil()), session_expires: UnixMillis(u64::MAX) };
        let mut line = signals.open(&me, session.id).await.unwrap();
        assert!(line.ends > Instant::now() && line.ends <= Instant::now() + TICKETS_RENEWED_AFTER);
        line.ends = Instant::now();
        let refusal = Refusal::from(line.next().await.unwrap_err());
        assert_eq!((refusal.code, refusal.retry_after()), (ErrorCode::Unavailable, Some(OPEN_AGAIN)));
        signals.open(&me, session.id).await.unwrap();
    }

    #[tokio::test]
    async fn a_mailbox_is_held_in_time_whatever_is_set_meanwhile() {
        let folder = tempfile::tempdir().unwrap();
        let store = store::open(&Place::File(folder.path().join("test.db")), Arc::new(|_| ())).await.unwrap();
        let (id, from, key) = (P2pId(Uuid::now_v7()), UserId(Uuid::now_v7()), KeyHash([1; 32]));
        let opened = UnixMillis(clock::now().0 - 1_000);
        let new = NewMailbox { id, key, from, draw: 7, max_open: 1, max_open_from_there: 1, now: opened };
        store.open_mailbox(new).await.unwrap();
        let tickets = TicketKey::new(&SecretKey::parse(&"k".repeat(64)).unwrap());
        let signals = Signals::new(store.clone(), Hub::default(), Relays::new(store.clone(), tickets, None));
        let mut line = signals.open_mailbox((id, Side::Sender), key, from).await.unwrap();
        // As it is when it has looked for the first time.
        line.look = Look::default();
        let due = line.renew;
        assert!(due <= Instant::now() + MAILBOX_UNCLAIMED_ABSENCE / 2);
        line.set(SignalValue::new(b"said".to_vec()).unwrap()).await.unwrap();
        assert_eq!(line.renew, due);
        line.renew = Instant::now();
        let held = async {
            while store.mailbox(id, clock::now()).await.unwrap().unwrap().sender.last_held == opened {
                tokio::task::yield_now().await;
            }
        };
        tokio::select! {
            ended = line.next() => panic!("{ended:?}"),
            held = tokio::time::timeout(Duration::from_secs(30), held) => held.unwrap(),
        }
        assert!(line.renew > Instant::now());
    }
}
