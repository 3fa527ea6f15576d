//! Relays, and who may use them: which are there, and the tickets by which they let the two sides of a transfer in.
//!
//! The key of the tickets is made from the server's secret key, so that all servers with the same secret sign alike, and a relay
//! that knows one of them takes tickets of all.

use super::store_refusal;
use crate::{
    clock,
    settings::SecretKey,
    store::{Store, StoreError, relays::Relay},
};
use hypersend_protocol::{
    id::{P2pId, RelayId, UserId},
    limit::{MAX_LISTED_RELAYS, MAX_RELAY_PORTS, MAX_RELAYS},
    p2p::RelayInfo,
    refusal::{ErrorCode, Refusal},
    relay::ticket::{Side, SignedTicket, Ticket},
    signal::RelaySeat,
};
use ring::signature::{Ed25519KeyPair, KeyPair};
use std::{
    fmt,
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::Duration,
};
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;

/// How often a relay says that it is there.
pub const SAYS_EVERY: Duration = Duration::from_secs(10);

/// How long it counts after it said so: it may be late, or lose one.
const COUNTS_FOR: Duration = Duration::from_secs(30);

/// How long a ticket lets in. What was bound by it ends with it, so this is longer than most transfers take; a client that goes on
/// asks for another.
pub(super) const TICKET_LIFETIME: Duration = Duration::from_hours(24);

/// How long it may take to tell other servers that the relay in this process ends.
const FAREWELL: Duration = Duration::from_secs(3);

/// Relays that are chosen from, the least loaded ones.
#[expect(clippy::cast_possible_truncation, reason = "some dozens")]
const CHOSEN_FROM: u32 = MAX_LISTED_RELAYS as u32;

/// Loads that differ by no more than so many thousandths count as the same.
const LOAD_STEP: u32 = 125;

/// What the key is made for: nothing else has it.
const KEY_CONTEXT: &str = "hypersend 2026-11-27 Ed25519 key of relay tickets";

/// Signs tickets. Prints as `***`.
pub struct TicketKey(Ed25519KeyPair);

impl TicketKey {
    /// The key that belongs to a secret.
    pub fn new(secret: &SecretKey) -> Self {
        let seed = blake3::derive_key(KEY_CONTEXT, secret.as_bytes());
        Self(Ed25519KeyPair::from_seed_unchecked(&seed).expect("32 bytes are a seed"))
    }

    /// What relays verify tickets by.
    pub fn public(&self) -> [u8; 32] {
        self.0.public_key().as_ref().try_into().expect("an Ed25519 key has 32 bytes")
    }

    fn sign(&self, ticket: Ticket) -> SignedTicket {
        let signature = self.0.sign(&ticket.message());
        ticket.signed(signature.as_ref().try_into().expect("an Ed25519 signature has 64 bytes"))
    }
}

impl fmt::Debug for TicketKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Says how the relay in this process stands.
type Standing = Box<dyn Fn() -> Relay + Send + Sync>;

/// The service of relays; cloning shares it.
#[derive(Clone)]
pub struct Relays(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    key: TicketKey,
    /// Who shows it may say that a relay is there.
    token: Option<SecretKey>,
    own: OnceLock<Own>,
}

/// The relay in this process.
struct Own {
    standing: Standing,
    /// Where this process reaches it.
    at: SocketAddr,
}

impl fmt::Debug for Relays {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Relays").finish_non_exhaustive()
    }
}

/// Why a relay is not taken note of.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The operator wants none.
    #[error("this server's operator has set no RELAY_TOKEN, so it takes no relays")]
    NotTaken,
    /// Somebody else's token.
    #[error("that is not the RELAY_TOKEN of this server; ask its operator")]
    WrongToken,
    /// No ports, too many, or not all of them ports.
    #[error("a relay has 1 to {MAX_RELAY_PORTS} ports, which are not 0")]
    Ports,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<RelayError> for Refusal {
    fn from(error: RelayError) -> Self {
        let code = match &error {
            RelayError::NotTaken => ErrorCode::NotFound,
            RelayError::WrongToken => ErrorCode::BadToken,
            RelayError::Ports => ErrorCode::Invalid,
            RelayError::Store(error) => return store_refusal(error),
        };
        Self::new(code, error.to_string())
    }
}

impl Relays {
    /// On this store. Relays are taken note of for whoever shows the token.
    pub fn new(store: Arc<dyn Store>, key: TicketKey, token: Option<SecretKey>) -> Self {
        Self(Arc::new(Inner { store, key, token, own: OnceLock::new() }))
    }

    /// Has the relay in this process handed out too; `at` is where this process reaches it. Once.
    pub fn own(&self, at: SocketAddr, standing: Standing) {
        if self.0.own.set(Own { standing, at }).is_err() {
            tracing::error!("a second relay in one process");
        }
    }

    /// Where this process reaches its own relay, if that is the one.
    pub(super) fn own_address(&self, relay: RelayId) -> Option<SocketAddr> {
        self.0.own.get().filter(|own| (own.standing)().id == relay).map(|own| own.at)
    }

    /// What relays verify tickets by.
    pub fn public_key(&self) -> [u8; 32] {
        self.0.key.public()
    }

    /// Whether somebody may speak for relays.
    pub fn admit(&self, token: &str) -> Result<(), RelayError> {
        let expected = self.0.token.as_ref().ok_or(RelayError::NotTaken)?;
        if expected.is(token) { Ok(()) } else { Err(RelayError::WrongToken) }
    }

    /// Takes note of a relay, until it has been silent for 30 s.
    pub async fn register(&self, relay: Relay) -> Result<(), RelayError> {
        let (ports, draining) = (&relay.ports, relay.draining);
        if ports.len() > MAX_RELAY_PORTS || ports.contains(&0) || ports.is_empty() && !draining {
            return Err(RelayError::Ports);
        }
        Ok(self.0.store.put_relay(relay, COUNTS_FOR).await?)
    }

    /// Tells other servers of the relay in this process, if it is where they can send clients, until `stopping`; and then, at once,
    /// that it takes nobody new.
    pub async fn announce(&self, stopping: CancellationToken) {
        let Some(own) = self.0.own.get() else { return };
        let own = &own.standing;
        if own().host.is_none() {
            // Whoever reaches another server would be sent to that one's host.
            return;
        }
        let mut turns = interval(SAYS_EVERY);
        while stopping.run_until_cancelled(turns.tick()).await.is_some() {
            if let Err(error) = self.register(own()).await {
                tracing::warn!(error = %crate::report(&error), "other servers do not hear of the relay for now");
            }
        }
        let leaving = Relay { draining: true, ..own() };
        // It is forgotten in a while, when this is not heard.
        let _ = timeout(FAREWELL, self.register(leaving)).await;
    }

    /// Places for one side of a session, the best first. Of relays with much the same load the session decides, so that both
    /// sides are told of the same.
    pub async fn seats(&self, session: P2pId, user: UserId, side: Side) -> Result<Vec<RelaySeat>, StoreError> {
        let mut relays = self.open().await?;
        relays.sort_by_cached_key(|relay| (relay.load() / LOAD_STEP, draw(session, relay.id)));
        relays.truncate(MAX_RELAYS);
        let expires = clock::now().plus(TICKET_LIFETIME);
        let seat = |relay: Relay| {
            let ticket = Ticket { relay: relay.id, session, user, expires, side };
            let Relay { id, name, host, ports, .. } = relay;
            RelaySeat { relay: id, name, host, ports, ticket: self.0.key.sign(ticket) }
        };
        Ok(relays.into_iter().map(seat).collect())
    }

    /// Relays that take sessions, the least loaded first; at most [`MAX_LISTED_RELAYS`].
    pub async fn list(&self) -> Result<Vec<RelayInfo>, RelayError> {
        let mut relays = self.open().await?;
        relays.sort_by_key(|relay| (relay.load(), relay.id));
        relays.truncate(MAX_LISTED_RELAYS);
        let info = |Relay { id, name, host, ports, .. }| RelayInfo { relay: id, name, host, ports };
        Ok(relays.into_iter().map(info).collect())
    }

    /// Those that are there and have room, in no order.
    async fn open(&self) -> Result<Vec<Relay>, StoreError> {
        let mut relays = self.0.store.relays(CHOSEN_FROM).await?;
        if let Some(own) = self.0.own.get().map(|own| (own.standing)()) {
            // What it has said before to others may be out of date.
            relays.retain(|relay| relay.id != own.id);
            relays.extend(Some(own).filter(Relay::has_room));
        }
        Ok(relays)
    }
}

/// Where a relay stands for a session among others: the same for both sides, and another for another session.
fn draw(session: P2pId, relay: RelayId) -> [u8; 32] {
    let mut both = [0; 32];
    both[..16].copy_from_slice(session.0.as_bytes());
    both[16..].copy_from_slice(relay.0.as_bytes());
    blake3::hash(&both).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{self, Place};
    use std::sync::atomic::{AtomicBool, Ordering};
    use uuid::Uuid;

    #[tokio::test]
    async fn the_own_relay_is_handed_out_as_it_is_now_and_others_hear_at_once_that_it_ends() {
        let folder = tempfile::tempdir().unwrap();
        let store = store::open(&Place::File(folder.path().join("test.db")), Arc::new(|_| ())).await.unwrap();
        let relays = Relays::new(store.clone(), TicketKey::new(&SecretKey::parse(&"k".repeat(64)).unwrap()), None);
        let full = Arc::new(AtomicBool::new(false));
        let (is_full, id) = (full.clone(), RelayId(Uuid::now_v7()));
        let at = SocketAddr::from(([127, 0, 0, 1], 8_444));
        let standing = move || Relay {
            id,
            name: "server".parse().unwrap(),
            host: Some("chat.example.org".parse().unwrap()),
            ports: vec![8_444, 8_445],
            sessions: u32::from(is_full.load(Ordering::Relaxed)),
            max_sessions: 1,
            draining: false,
        };
        relays.own(at, Box::new(standing));
        assert_eq!(relays.own_address(id), Some(at));
        assert_eq!(relays.own_address(RelayId(Uuid::now_v7())), None);
        let stopping = CancellationToken::new();
        let announcing = tokio::spawn({
            let (relays, stopping) = (relays.clone(), stopping.clone());
            async move { relays.announce(stopping).await }
        });
        let known = async || store.relays(9).await.unwrap().first().map(|relay| relay.id);
        assert_eq!(hypersend_lab::eventually("others hear of it", known).await, id);
        let seats = async || {
            let (session, user) = (P2pId(Uuid::now_v7()), UserId(Uuid::now_v7()));
            relays.seats(session, user, Side::Sender).await.unwrap().len()
        };
        assert_eq!(seats().await, 1, "once, though the store has it too");
        full.store(true, Ordering::Relaxed);
        assert_eq!(seats().await, 0, "whatever it has said before");
        stopping.cancel();
        hypersend_lab::within("it is told", announcing).await.unwrap();
        assert_eq!(store.relays(9).await.unwrap(), []);
    }
}
