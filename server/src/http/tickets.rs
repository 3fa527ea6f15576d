//! Tickets: what a browser shows instead of its token where it cannot set a header (`EventSource`, `WebSocket`). A ticket
//! works once and for half a minute, so that finding it in a log is of no use.

use data_encoding::BASE64URL_NOPAD;
use hypersend_protocol::id::SessionId;
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long a ticket is good.
pub(super) const LIFETIME: Duration = Duration::from_secs(30);

/// Tickets that wait to be shown; beyond this the oldest is dropped. Ten thousand clients may reconnect at once.
const WAITING: usize = 16_384;

/// Tickets given out and not shown yet.
#[derive(Debug, Default)]
pub(super) struct Tickets(Mutex<HashMap<String, (SessionId, Instant)>>);

impl Tickets {
    /// A ticket for a session.
    pub(super) fn give(&self, session: SessionId, now: Instant) -> String {
        let mut bytes = [0; 24];
        getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
        let ticket = BASE64URL_NOPAD.encode(&bytes);
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= WAITING {
            waiting.retain(|_, (_, given)| now.duration_since(*given) < LIFETIME);
        }
        if waiting.len() >= WAITING
            && let Some(oldest) = waiting.iter().min_by_key(|(_, (_, given))| *given).map(|(ticket, _)| ticket.clone())
        {
            waiting.remove(&oldest);
        }
        waiting.insert(ticket.clone(), (session, now));
        ticket
    }

    /// The session of a ticket, which is used up.
    pub(super) fn take(&self, ticket: &str, now: Instant) -> Option<SessionId> {
        let (session, given) = self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(ticket)?;
        (now.duration_since(given) < LIFETIME).then_some(session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_ticket_works_once_and_not_for_long() {
        let (tickets, start, session) = (Tickets::default(), Instant::now(), SessionId(Uuid::now_v7()));
        let (one, other) = (tickets.give(session, start), tickets.give(session, start));
        assert_eq!(tickets.take(&one, start), Some(session));
        assert_eq!(tickets.take(&one, start), None);
        assert_eq!(tickets.take(&other, start + LIFETIME), None);
        assert_eq!(tickets.take("made up", start), None);
    }

    #[test]
    fn the_oldest_goes_when_there_are_too_many() {
        let (tickets, start, session) = (Tickets::default(), Instant::now(), SessionId(Uuid::now_v7()));
        let first = tickets.give(session, start);
        let later = start + Duration::from_millis(1);
        let rest: Vec<_> = (0..WAITING).map(|_| tickets.give(session, later)).collect();
        assert_eq!(tickets.take(&first, later), None);
        assert!(rest.iter().all(|ticket| tickets.take(ticket, later).is_some()));
    }
}
