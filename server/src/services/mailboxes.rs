//! Mailboxes: where two people without accounts meet. Who opens one, and who claims it, and how often; what they say then is
//! the affair of [`signals`](super::signals).

use super::{
    signals::{SignalError, SignalLine, Signals},
    store_refusal,
    throttle::{Throttle, TooOften, network},
};
use crate::{
    clock,
    metrics::{Metrics, Outcome},
    store::{
        Store, StoreError,
        mailboxes::{Claim, KeyHash, Mailbox, NewMailbox, Opened},
    },
};
use hypersend_protocol::{
    id::{P2pId, UserId},
    limit::{MAX_MAILBOXES, MAX_MAILBOXES_PER_ADDRESS},
    mailbox::{MailboxKey, Nameplate},
    refusal::{ErrorCode, Refusal},
};
use sha2::{Digest, Sha256};
use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};
use uuid::{Builder, Uuid};

/// What is hashed before an address to make a guest of it: nothing else has the same hash.
const GUEST_CONTEXT: &[u8] = b"hypersend 2026-11-27 id of a network without an account\0";

/// Somebody without an account, as far as they can be told from others: by the network that they come from. Relays bound
/// what one user has, and so they do for each network; the id is of version 8, and no account's. Whoever sees a ticket on
/// its way sees the address that it comes from as well, so the id may be made from it without a secret. Where it is stored,
/// it hides no IPv4 address from who tries them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Guest {
    /// In place of a user's id.
    pub id: UserId,
    from: IpAddr,
}

impl Guest {
    /// Whoever comes from this address.
    pub fn from(address: IpAddr) -> Self {
        let v6 = match network(address) {
            IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            IpAddr::V6(v6) => v6,
        };
        let hash = Sha256::new().chain_update(GUEST_CONTEXT).chain_update(Ipv6Addr::octets(&v6)).finalize();
        let bytes = *hash.first_chunk().expect("it has 32 bytes");
        Self { id: UserId(Builder::from_custom_bytes(bytes).into_uuid()), from: address }
    }
}

/// The service of mailboxes; cloning shares it.
#[derive(Clone)]
pub struct Mailboxes(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    signals: Signals,
    throttle: Throttle,
    /// Whether the operator wants any.
    wanted: bool,
    metrics: Metrics,
}

impl fmt::Debug for Mailboxes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mailboxes").finish_non_exhaustive()
    }
}

/// A mailbox that is open to one of its sides.
#[derive(Debug)]
pub struct OpenMailbox {
    /// Its id.
    pub id: P2pId,
    /// By what it is claimed.
    pub nameplate: Nameplate,
    /// How long it lasts unless a side is heard of.
    pub lasts: Duration,
    /// What the sides say.
    pub line: SignalLine,
}

/// Why a mailbox is not opened.
#[derive(Debug, thiserror::Error)]
pub enum MailboxError {
    /// The operator wants none.
    #[error("this server hands out no codes to people without an account; log in, or ask its operator")]
    NotWanted,
    /// Too many attempts.
    #[error(transparent)]
    TooOften(#[from] TooOften),
    /// There are too many.
    #[error("too many codes of this server are in use; try again later")]
    TooMany,
    /// There are too many from there.
    #[error(
        "{MAX_MAILBOXES_PER_ADDRESS} codes are in use that were handed out to your network; let one be used first, or cancel it"
    )]
    TooManyFromThere,
    /// Nobody was given this nameplate, somebody else has used it, or its time is over: which, nobody is told.
    #[error("there is no such code, or it has been used; ask the sender for a new one")]
    NoSuchCode,
    /// No side has this key, or the mailbox is forgotten.
    #[error("this code is used up and forgotten; begin again with a new one")]
    Forgotten,
    /// Nothing can be said.
    #[error(transparent)]
    Signal(#[from] SignalError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<MailboxError> for Refusal {
    fn from(error: MailboxError) -> Self {
        let (code, message) = (ErrorCode::LimitReached, error.to_string());
        let code = match error {
            MailboxError::NotWanted => ErrorCode::Forbidden,
            MailboxError::TooOften(TooOften { wait }) => {
                return Self::new(ErrorCode::RateLimited, message).with_retry_after(wait);
            }
            MailboxError::TooMany => return Self::new(code, message).with_limit(MAX_MAILBOXES as u64),
            MailboxError::TooManyFromThere => {
                return Self::new(code, message).with_limit(MAX_MAILBOXES_PER_ADDRESS as u64);
            }
            MailboxError::NoSuchCode | MailboxError::Forgotten => ErrorCode::NotFound,
            MailboxError::Signal(error) => return error.into(),
            MailboxError::Store(error) => return store_refusal(&error),
        };
        Self::new(code, message)
    }
}

type Result<T> = std::result::Result<T, MailboxError>;

impl Mailboxes {
    /// On this store; `wanted`: whether the operator lets people without accounts meet.
    pub fn new(store: Arc<dyn Store>, signals: Signals, throttle: Throttle, wanted: bool, metrics: Metrics) -> Self {
        Self(Arc::new(Inner { store, signals, throttle, wanted, metrics }))
    }

    /// Opens a mailbox for a sender; the same when it was opened before with the same key.
    pub async fn open(&self, guest: Guest, key: &MailboxKey) -> Result<OpenMailbox> {
        let opened = self.try_open(guest, key).await;
        self.0.metrics.mailbox(outcome(&opened));
        opened
    }

    async fn try_open(&self, guest: Guest, key: &MailboxKey) -> Result<OpenMailbox> {
        self.wanted()?;
        self.0.throttle.opening(&*self.0.store, guest.from).await??;
        let key = hash(key);
        let new = NewMailbox {
            id: P2pId(clock::new_id()),
            key,
            from: guest.id,
            draw: draw(),
            max_open: MAX_MAILBOXES,
            max_open_from_there: MAX_MAILBOXES_PER_ADDRESS,
            now: clock::now(),
        };
        match self.0.store.open_mailbox(new).await? {
            Opened::Open(mailbox) => self.enter(guest, mailbox, key).await,
            Opened::TooMany => Err(MailboxError::TooMany),
            Opened::TooManyFromThere => Err(MailboxError::TooManyFromThere),
        }
    }

    /// Uses a nameplate up for a receiver; the same mailbox when it was claimed before with the same key.
    pub async fn claim(&self, guest: Guest, nameplate: Nameplate, key: &MailboxKey) -> Result<OpenMailbox> {
        let claimed = self.try_claim(guest, nameplate, key).await;
        self.0.metrics.mailbox_claim(outcome(&claimed));
        claimed
    }

    async fn try_claim(&self, guest: Guest, nameplate: Nameplate, key: &MailboxKey) -> Result<OpenMailbox> {
        self.wanted()?;
        self.0.throttle.claim(&*self.0.store, guest.from).await??;
        let key = hash(key);
        let claim = Claim { nameplate, key, now: clock::now() };
        let mailbox = self.0.store.claim_mailbox(claim).await?.ok_or(MailboxError::NoSuchCode)?;
        self.enter(guest, mailbox, key).await
    }

    /// Comes back to a mailbox as the side whose key it is; what is over ends behind the other side's last value. With a wrong key
    /// it changes nothing, and counts as a wrong claim.
    pub async fn resume(&self, guest: Guest, id: P2pId, key: &MailboxKey) -> Result<OpenMailbox> {
        self.wanted()?;
        let (key, now) = (hash(key), clock::now());
        // A plain look first: strangers are not to keep waiting who writes.
        let there = self.0.store.mailbox(id, now).await?;
        if there.is_none_or(|mailbox| mailbox.side(&key).is_none()) {
            self.0.throttle.claim(&*self.0.store, guest.from).await??;
            return Err(MailboxError::Forgotten);
        }
        let mailbox = self.0.store.hold_mailbox(id, key, now).await?.ok_or(MailboxError::Forgotten)?;
        self.enter(guest, mailbox, key).await
    }

    async fn enter(&self, guest: Guest, mailbox: Mailbox, key: KeyHash) -> Result<OpenMailbox> {
        let side = mailbox.side(&key).ok_or(MailboxError::Forgotten)?;
        let line = self.0.signals.open_mailbox((mailbox.id, side), key, guest.id).await?;
        let lasts = mailbox.expires.since(clock::now());
        Ok(OpenMailbox { id: mailbox.id, nameplate: mailbox.nameplate, lasts, line })
    }

    fn wanted(&self) -> Result<()> {
        if self.0.wanted { Ok(()) } else { Err(MailboxError::NotWanted) }
    }
}

fn outcome(entered: &Result<OpenMailbox>) -> Outcome {
    match entered {
        Ok(_) => Outcome::Accepted,
        Err(MailboxError::NoSuchCode) => Outcome::Wrong,
        Err(MailboxError::TooOften(_) | MailboxError::TooMany | MailboxError::TooManyFromThere) => Outcome::Limited,
        Err(_) => Outcome::Failed,
    }
}

/// What is stored of a key. A plain hash is enough for 128 random bits.
fn hash(key: &MailboxKey) -> KeyHash {
    KeyHash(Sha256::digest(key.0).into())
}

/// A random number.
fn draw() -> u32 {
    u32::from_ne_bytes(*Uuid::new_v4().as_bytes().first_chunk().expect("it has 16 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(address: &str) -> Guest {
        Guest::from(address.parse().unwrap())
    }

    #[test]
    fn one_network_is_one_guest_and_no_user() {
        assert_eq!(guest("192.0.2.1").id, guest("::ffff:192.0.2.1").id);
        assert_ne!(guest("192.0.2.1").id, guest("192.0.2.2").id);
        assert_eq!(guest("2001:db8::1").id, guest("2001:db8::2").id);
        assert_ne!(guest("2001:db8::1").id, guest("2001:db8:0:1::1").id);
        assert_eq!(guest("192.0.2.1").id.0.get_version_num(), 8);
    }
}
