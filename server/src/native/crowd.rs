//! How many connections each session, each user and each network without an account has. One login in the wrong hands must not
//! take every place that the server has.

use crate::services::Guest;
use hypersend_protocol::{
    id::{SessionId, UserId},
    refusal::{ErrorCode, Refusal},
};
use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Connections of one session at once: a client has one, and a few that were lost and not yet given up.
const PER_SESSION: usize = 32;

/// Connections of one user at once: a dozen devices and scripts, each with a few.
const PER_USER: usize = 128;

/// Connections of guests of one network at once: an office shares an address.
const PER_GUEST: usize = 128;

/// Everybody who is connected; cloning shares it.
#[derive(Clone, Debug, Default)]
pub(super) struct Crowd(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    sessions: HashMap<SessionId, usize>,
    users: HashMap<UserId, usize>,
}

/// One connection's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Crowd,
    user: UserId,
    /// None of a guest.
    session: Option<SessionId>,
}

impl Crowd {
    /// Takes a place, or says which limit is reached.
    pub(super) fn enter(&self, user: UserId, session: SessionId) -> Result<Place, Refusal> {
        let mut counts = self.counts();
        if counts.sessions.get(&session).is_some_and(|&count| count >= PER_SESSION) {
            return many("this login", PER_SESSION);
        }
        if counts.users.get(&user).is_some_and(|&count| count >= PER_USER) {
            return many("this account", PER_USER);
        }
        *counts.sessions.entry(session).or_default() += 1;
        *counts.users.entry(user).or_default() += 1;
        Ok(Place { crowd: self.clone(), user, session: Some(session) })
    }

    /// Takes a place for somebody without an account, or says that the limit is reached.
    pub(super) fn enter_guest(&self, guest: Guest) -> Result<Place, Refusal> {
        let mut counts = self.counts();
        if counts.users.get(&guest.id).is_some_and(|&count| count >= PER_GUEST) {
            return many("your network", PER_GUEST);
        }
        *counts.users.entry(guest.id).or_default() += 1;
        Ok(Place { crowd: self.clone(), user: guest.id, session: None })
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counts = self.crowd.counts();
        if let Some(session) = self.session {
            leave(&mut counts.sessions, session);
        }
        leave(&mut counts.users, self.user);
    }
}

fn many(whose: &str, limit: usize) -> Result<Place, Refusal> {
    let message = format!("{whose} has {limit} connections already; close some first");
    Err(Refusal::new(ErrorCode::LimitReached, message).with_limit(limit as u64))
}

fn leave<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: K) {
    let count = counts.remove(&key).unwrap_or_default();
    if count > 1 {
        counts.insert(key, count - 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    fn user(n: u128) -> UserId {
        UserId(Uuid::from_u128(n))
    }

    fn session(n: u128) -> SessionId {
        SessionId(Uuid::from_u128(n))
    }

    #[test]
    fn a_session_has_so_many_connections_and_not_one_more() {
        let crowd = Crowd::default();
        let mut places: Vec<_> = (0..PER_SESSION).map(|_| crowd.enter(user(1), session(1)).unwrap()).collect();
        let refused = crowd.enter(user(1), session(1)).unwrap_err();
        assert_eq!((refused.code, refused.limit), (ErrorCode::LimitReached, Some(PER_SESSION as u64)));
        places.push(crowd.enter(user(1), session(2)).unwrap());
        places.swap_remove(0);
        places.push(crowd.enter(user(1), session(1)).unwrap());
        crowd.enter(user(1), session(1)).unwrap_err();
    }

    #[test]
    fn a_user_has_so_many_connections_over_all_sessions() {
        let crowd = Crowd::default();
        let places: Vec<_> = (0..PER_USER).map(|n| crowd.enter(user(1), session(n as u128)).unwrap()).collect();
        let refused = crowd.enter(user(1), session(999)).unwrap_err();
        assert_eq!((refused.code, refused.limit), (ErrorCode::LimitReached, Some(PER_USER as u64)));
        crowd.enter(user(2), session(1_000)).unwrap();
        drop(places);
        crowd.enter(user(1), session(999)).unwrap();
        assert!(crowd.counts().users.is_empty() && crowd.counts().sessions.is_empty(), "nobody is remembered");
    }

    #[test]
    fn a_network_without_an_account_has_so_many_connections() {
        let (crowd, guest) = (Crowd::default(), Guest::from([192, 0, 2, 1].into()));
        let mut places: Vec<_> = (0..PER_GUEST).map(|_| crowd.enter_guest(guest).unwrap()).collect();
        let refused = crowd.enter_guest(guest).unwrap_err();
        assert_eq!((refused.code, refused.limit), (ErrorCode::LimitReached, Some(PER_GUEST as u64)));
        crowd.enter_guest(Guest::from([192, 0, 2, 2].into())).unwrap();
        places.pop();
        places.push(crowd.enter_guest(guest).unwrap());
        drop(places);
        assert!(crowd.counts().users.is_empty(), "nobody is remembered");
    }
}
