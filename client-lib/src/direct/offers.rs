//! What others offer to this user.

use crate::{Client, ClientError, Events};
use hypersend_protocol::{
    event::{EventUpdate, Happening},
    id::{P2pId, UserId},
    p2p::{P2pSession, P2pStatus},
    refusal::ErrorCode,
};
use std::collections::{HashSet, VecDeque};

/// Transfers that wait for this user: those offered, and those accepted and not finished. Each comes once. Stops when
/// dropped.
#[derive(Debug)]
pub struct Offers {
    client: Client,
    events: Events,
    found: VecDeque<P2pSession>,
    /// Those that were given out.
    known: HashSet<P2pId>,
    /// What is to be looked at before another event is.
    due: Option<Due>,
}

#[derive(Clone, Copy, Debug)]
enum Due {
    /// All sessions: some events may have been missed.
    All,
    One(P2pId),
}

/// Sessions that are remembered as given out. Beyond it they are forgotten, and one that is still open may come again.
const MAX_KNOWN: usize = 10_000;

impl Client {
    /// Transfers that wait for this user, from the oldest, and then as they are offered.
    pub fn offers(&self) -> Offers {
        let (found, known) = (VecDeque::new(), HashSet::new());
        Offers { client: self.clone(), events: self.events(None), found, known, due: None }
    }
}

impl Offers {
    /// The next one. Cancel safe.
    pub async fn next(&mut self) -> Result<P2pSession, ClientError> {
        loop {
            while let Some(session) = self.found.pop_front() {
                if self.known.insert(session.id) {
                    return Ok(session);
                }
            }
            if self.known.len() > MAX_KNOWN {
                self.known.clear();
            }
            if let Some(due) = self.due {
                let found = match due {
                    Due::All => self.all().await?,
                    Due::One(id) => match self.client.p2p_session(id).await {
                        Ok(session) => vec![session],
                        // Its chat is gone, or this user no longer in it.
                        Err(error) if error.code() == Some(ErrorCode::NotFound) => Vec::new(),
                        Err(error) => return Err(error),
                    },
                };
                let me = self.client.ready().await?.me.id;
                self.found.extend(found.into_iter().filter(|session| waits_for(session, me)));
                self.due = None;
                continue;
            }
            // Listens first: the feed begins with a reset, upon which the list is read.
            self.due = match self.events.next().await? {
                EventUpdate::EventsReset(_) => Some(Due::All),
                EventUpdate::Event(event) => match event.what {
                    Happening::P2p { session, .. } if !self.known.contains(&session) => Some(Due::One(session)),
                    _ => None,
                },
            };
        }
    }

    /// All of this user's sessions, the oldest first.
    async fn all(&self) -> Result<Vec<P2pSession>, ClientError> {
        let mut all = Vec::new();
        loop {
            let before = all.last().map(|last: &P2pSession| last.id);
            let page = self.client.p2p_sessions(before).await?;
            all.extend(page.sessions);
            if !page.more {
                all.reverse();
                return Ok(all);
            }
        }
    }
}

fn waits_for(session: &P2pSession, me: UserId) -> bool {
    session.receiver == me && matches!(session.status, P2pStatus::Offered | P2pStatus::Accepted)
}
