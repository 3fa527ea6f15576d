//! The relays that are there, in memory: one server owns the file, and after its restart they say so again within seconds.

use crate::store::relays::Relay;
use hypersend_protocol::id::RelayId;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// All relays, and until when each counts. Bounded by who has the operator's token, and by time.
#[derive(Default)]
pub(super) struct Relays(Mutex<HashMap<RelayId, (Relay, Instant)>>);

impl Relays {
    /// Takes note of one.
    pub(super) fn put(&self, relay: Relay, lasting: Duration) {
        let (mut all, now) = (self.0.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        all.retain(|_, (_, until)| *until > now);
        all.insert(relay.id, (relay, now + lasting));
    }

    /// Those that take sessions, the least loaded first.
    pub(super) fn list(&self, limit: u32) -> Vec<Relay> {
        let (all, now) = (self.0.lock().unwrap_or_else(PoisonError::into_inner), Instant::now());
        let there = all.values().filter(|(relay, until)| *until > now && relay.has_room());
        let mut relays: Vec<Relay> = there.map(|(relay, _)| relay.clone()).collect();
        relays.sort_by_key(|relay| (relay.load(), relay.id));
        relays.truncate(limit as usize);
        relays
    }
}
