//! One side's open stream.

#[cfg(test)]
mod tests;

use super::{End, Result, SignalError, Signals};
use crate::{
    clock,
    hub::{Listener, Missed, TransferNotice},
    services::relays::TICKET_LIFETIME,
    store::{
        mailboxes::KeyHash,
        signals::{FORGOTTEN_AFTER, Holder, Place, Register},
    },
};
use hypersend_protocol::{
    id::{P2pId, UserId},
    limit::{MAILBOX_SILENCE, MAILBOX_UNCLAIMED_ABSENCE},
    relay::ticket::Side,
    signal::{RelaySeat, SignalValue},
};
use std::{fmt, time::Duration};
use tokio::time::{Instant, sleep_until};
use uuid::Uuid;

/// How often an open stream says again what its register says: it is not forgotten while the stream is open.
const RENEW_EVERY: Duration = FORGOTTEN_AFTER.checked_div(3).expect("three is not zero");

/// How often a mailbox's does, which holds the mailbox as well: its time runs from the last time, not from when the stream ends.
const RENEW_MAILBOX_EVERY: Duration = MAILBOX_UNCLAIMED_ABSENCE.checked_div(10).expect("ten is not zero");

/// How long a stream stays open: its client has new tickets well before the relays forget the old ones.
const TICKETS_RENEWED_AFTER: Duration = TICKET_LIFETIME.checked_div(2).expect("two is not zero");

/// What a line is about, which says when it is over.
#[derive(Clone, Copy, Debug)]
pub(super) enum Matter {
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

impl Signals {
    /// Opens one side of what this is about.
    pub(super) async fn line(
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
        let is_to_speak = matches!(matter, Matter::Mailbox { .. }) && side == Side::Receiver && mine.is_none();
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
            speaks_by: is_to_speak.then(|| Instant::now() + MAILBOX_SILENCE),
            ends: Instant::now() + TICKETS_RENEWED_AFTER,
            relays,
        })
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
    /// When whoever has claimed a mailbox must have said something: the sender would wait in vain for somebody else.
    speaks_by: Option<Instant>,
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
                () = until(self.speaks_by) => {
                    self.speaks_by = None;
                    self.end_mailbox().await?;
                    self.look.session = true;
                }
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
        (self.mine, self.speaks_by) = (Some(value), None);
        self.signals.hub.signal(self.session, self.side);
        Ok(())
    }

    /// Leaves for good, behind what was set last: a mailbox is over then.
    pub async fn leave(mut self) -> Result<()> {
        // Only whoever holds the side may leave for it.
        self.write(self.mine.clone()).await?;
        if matches!(self.matter, Matter::Mailbox { .. }) {
            self.end_mailbox().await?;
        }
        Ok(())
    }

    async fn end_mailbox(&self) -> Result<()> {
        self.signals.store.leave_mailbox(self.session, clock::now()).await?;
        self.signals.hub.mailbox_left(self.session);
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

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
