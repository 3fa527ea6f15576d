//! The registers of transfers, in memory: one server owns the file, and what they say is of use for minutes.

use crate::store::signals::{FORGOTTEN_AFTER, Holder, Place, Register};
use hypersend_protocol::signal::SignalValue;
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Instant,
};

/// Registers at one time, each of at most 8 KiB: 32 MiB. The oldest makes room, so that a crowd that opens offers to fill
/// them takes nobody's for long: a client sets its value again.
const MOST: usize = 4_096;

/// All registers.
#[derive(Default)]
pub(super) struct Registers(Mutex<HashMap<Place, Kept>>);

struct Kept {
    register: Register,
    /// When it was set or renewed last.
    at: Instant,
}

impl Kept {
    fn counts(&self, now: Instant) -> bool {
        now.duration_since(self.at) < FORGOTTEN_AFTER
    }
}

impl Registers {
    /// Makes somebody its holder; gives its value.
    pub(super) fn open(&self, place: Place, holder: Holder) -> Option<SignalValue> {
        let (mut kept, now) = (self.kept(), Instant::now());
        let value = kept.get(&place).filter(|kept| kept.counts(now)).and_then(|kept| kept.register.value.clone());
        put(&mut kept, place, Register { holder, value: value.clone() }, now);
        value
    }

    /// Sets it for its holder; `false` to anybody else.
    pub(super) fn set(&self, place: Place, register: Register) -> bool {
        let (mut kept, now) = (self.kept(), Instant::now());
        if kept.get(&place).is_some_and(|kept| kept.counts(now) && kept.register.holder != register.holder) {
            return false;
        }
        put(&mut kept, place, register, now);
        true
    }

    /// What it says, and to whom it belongs.
    pub(super) fn get(&self, place: Place) -> Option<Register> {
        let (kept, now) = (self.kept(), Instant::now());
        kept.get(&place).filter(|kept| kept.counts(now)).map(|kept| kept.register.clone())
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<Place, Kept>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn put(all: &mut HashMap<Place, Kept>, place: Place, register: Register, at: Instant) {
    if all.len() >= MOST && !all.contains_key(&place) {
        all.retain(|_, kept| kept.counts(at));
        if all.len() >= MOST
            && let Some(oldest) = all.iter().min_by_key(|(_, kept)| kept.at).map(|(&place, _)| place)
        {
            all.remove(&oldest);
        }
    }
    all.insert(place, Kept { register, at });
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypersend_protocol::{id::P2pId, relay::ticket::Side};
    use uuid::Uuid;

    #[test]
    fn there_are_only_so_many_and_the_oldest_make_room() {
        let registers = Registers::default();
        let place = |n: usize| (P2pId(Uuid::from_u128(n as u128)), Side::Sender);
        for n in 0..=MOST {
            assert_eq!(registers.open(place(n), Holder(7)), None);
        }
        assert_eq!(registers.kept().len(), MOST);
        assert!(registers.get(place(0)).is_none());
        assert!(registers.get(place(1)).is_some() && registers.get(place(MOST)).is_some());
    }
}
