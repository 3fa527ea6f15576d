//! Who of the others is here, as far as it is worth a line. A change is said when it has stood for a while: a connection made
//! anew, a server that starts again or a command that only sends a message would else be two lines each.

use crate::view::People;
use hypersend_client::protocol::id::UserId;
use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

/// How long a change has to stand. A server counts somebody as present for 5 s after they went.
const STANDS: Duration = Duration::from_secs(6);

/// In a chat with more people nothing is said: somebody would come or go all the time.
const QUIET_ABOVE: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Here {
    /// Whether anything is known yet.
    known: bool,
    /// Those who are here.
    present: HashSet<UserId>,
    /// Those who are here by what was said.
    told: HashSet<UserId>,
    /// Of whom this is not the same, and since when.
    moved: HashMap<UserId, Instant>,
}

impl Here {
    /// These are here, and no others. Those who are at first are worth a line at once.
    pub(super) fn are(&mut self, users: Vec<UserId>, now: Instant) {
        let users: HashSet<UserId> = users.into_iter().collect();
        let since = if self.known { Some(now) } else { now.checked_sub(STANDS) };
        self.known = true;
        let changed: Vec<UserId> = self.present.symmetric_difference(&users).copied().collect();
        for user in changed {
            self.is(user, users.contains(&user), since.unwrap_or(now));
        }
    }

    /// Somebody is here or is not.
    pub(super) fn is(&mut self, user: UserId, present: bool, now: Instant) {
        let changed = if present { self.present.insert(user) } else { self.present.remove(&user) };
        if !changed {
            return;
        }
        if self.told.contains(&user) == present {
            self.moved.remove(&user);
        } else {
            self.moved.insert(user, now);
        }
    }

    /// Somebody is no longer in the chat, which is said by itself.
    pub(super) fn left(&mut self, user: UserId) {
        self.present.remove(&user);
        self.told.remove(&user);
        self.moved.remove(&user);
    }

    /// What is to be said now, in lines.
    pub(super) fn news(&mut self, people: &People, members: usize, now: Instant) -> Option<String> {
        let due = |since: &Instant| now.saturating_duration_since(*since) >= STANDS;
        let due: Vec<UserId> = self.moved.iter().filter(|(_, since)| due(since)).map(|(&user, _)| user).collect();
        let mut lines = Vec::new();
        for user in due {
            self.moved.remove(&user);
            let label = people.label(user);
            if self.present.contains(&user) {
                self.told.insert(user);
                lines.push(format!("* {label} is here"));
            } else {
                self.told.remove(&user);
                lines.push(format!("* {label} has left for now"));
            }
        }
        lines.sort();
        (members <= QUIET_ABOVE && !lines.is_empty()).then(|| lines.join("\n"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const BEA: UserId = UserId(Uuid::from_u128(1));

    fn said(here: &mut Here, now: Instant) -> Option<String> {
        here.news(&People::default(), 2, now)
    }

    #[test]
    fn who_is_here_at_first_is_said_at_once_and_a_change_when_it_stands() {
        let (mut here, start) = (Here::default(), Instant::now() + STANDS);
        here.are(vec![BEA], start);
        assert!(said(&mut here, start).unwrap().ends_with(" is here"));
        here.is(BEA, true, start);
        here.is(BEA, false, start);
        assert_eq!(said(&mut here, start), None);
        assert!(said(&mut here, start + STANDS).unwrap().ends_with(" has left for now"));
        assert_eq!(said(&mut here, start + STANDS * 2), None, "it is said once");
    }

    #[test]
    fn a_connection_made_anew_is_not_worth_a_line() {
        let (mut here, start) = (Here::default(), Instant::now() + STANDS);
        here.are(vec![BEA], start);
        said(&mut here, start);
        here.are(vec![], start);
        here.is(BEA, true, start + Duration::from_secs(2));
        assert_eq!(said(&mut here, start + STANDS * 2), None);
    }

    #[test]
    fn a_large_group_is_quiet() {
        let (mut here, start) = (Here::default(), Instant::now() + STANDS);
        here.are(vec![BEA], start);
        assert_eq!(here.news(&People::default(), QUIET_ABOVE + 1, start), None);
        here.left(BEA);
        assert_eq!(said(&mut here, start + STANDS * 2), None, "leaving is said by itself");
    }
}
