//! Telling of changes, writing down who is here, and following other servers: what the service does as long as the server
//! runs. None of them waits for another, and nobody waits for any of them.

use super::Presence;
use crate::store::{StoreError, news::Node};
use futures::{StreamExt, stream};
use hypersend_protocol::id::{ChatId, UserId};
use std::{
    collections::{HashMap, HashSet},
    convert::Infallible,
    sync::Arc,
    time::Duration,
};
use tokio::time::{Instant, sleep, sleep_until};

/// How long a server counts as there after it said so, by the database's clock. More than an election of the database takes.
pub(super) const LEASE: Duration = Duration::from_secs(30);

/// How often it says so, and looks which others are.
pub(super) const RENEW_EVERY: Duration = Duration::from_secs(10);

/// How long to wait for a database that does not answer.
const RETRY: Duration = Duration::from_secs(1);

/// Users that are told of, or written, together.
const AT_ONCE: usize = 1_024;

/// What lies between two times of telling. Whoever comes meanwhile is told with the others: after a restart everybody comes,
/// and each is told to everybody.
const TELL_EVERY: Duration = Duration::from_millis(200);

/// In how many of a user's chats their coming and going is told; in the others they are seen when the chat is opened.
const MOST_CHATS: u32 = 1_000;

/// Users whose chats are asked for at the same time.
const QUERIES: usize = 4;

/// What became of a round of telling.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Round {
    Told,
    /// Some have to be told of later.
    Failed,
    /// Before the next grace ends, or somebody comes.
    Nothing {
        next: Option<Instant>,
    },
}

impl Presence {
    /// Tells those who have chats open of who came, and of who went and did not come back.
    pub(super) async fn tell(&self) -> Infallible {
        loop {
            match self.round(Instant::now()).await {
                Round::Told => sleep(TELL_EVERY).await,
                Round::Failed => sleep(RETRY).await,
                Round::Nothing { next } => tokio::select! {
                    () = self.0.to_tell.notified() => {}
                    () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
                },
            }
        }
    }

    /// Tells what there is to be told at this moment.
    pub(super) async fn round(&self, now: Instant) -> Round {
        let (some, next) = {
            let mut users = self.users();
            let next = users.end_graces(now);
            (users.take_untold(AT_ONCE), next)
        };
        if some.is_empty() {
            return Round::Nothing { next };
        }
        if self.tell_of(some).await { Round::Told } else { Round::Failed }
    }

    /// Tells of these; `false` when some have to be told of later.
    async fn tell_of(&self, some: Vec<UserId>) -> bool {
        let (mut asked, mut failed, mut chats) = (Vec::with_capacity(some.len()), Vec::new(), HashMap::new());
        if self.0.hub.has_open_chats() {
            let asking = some.into_iter().map(|user| self.chats_of(user)).collect::<Vec<_>>();
            let mut answers = stream::iter(asking).buffer_unordered(QUERIES);
            while let Some((user, answer)) = answers.next().await {
                match answer {
                    Ok(of_user) => {
                        asked.push(user);
                        for chat in of_user.into_iter().filter(|&chat| self.0.hub.is_open(chat)) {
                            chats.entry(chat).or_insert_with(Vec::new).push(user);
                        }
                    }
                    Err(error) => failed.push((user, error)),
                }
            }
        } else {
            asked = some;
        }
        let news: HashMap<UserId, bool> = {
            let mut users = self.users();
            users.put_back_untold(failed.iter().map(|&(user, _)| user));
            asked.into_iter().filter_map(|user| Some((user, users.tell(user)?))).collect()
        };
        for (chat, members) in chats {
            let changes = members.into_iter().filter_map(|user| Some((user, *news.get(&user)?)));
            let changes: Arc<[(UserId, bool)]> = changes.collect();
            if !changes.is_empty() {
                self.0.hub.presence(chat, &changes);
            }
        }
        if let Some((_, error)) = failed.first() {
            tracing::warn!(error = %crate::report(error), "who came and went is told later");
        }
        failed.is_empty()
    }

    async fn chats_of(&self, user: UserId) -> (UserId, Result<Vec<ChatId>, StoreError>) {
        (user, self.0.store.chat_ids_of(user, MOST_CHATS).await)
    }

    /// Writes down, for other servers, who is connected to this one.
    pub(super) async fn write(&self) -> Infallible {
        loop {
            let some: Vec<(UserId, bool)> = {
                let mut users = self.users();
                let some = users.take_unwritten(AT_ONCE);
                some.into_iter().map(|user| (user, users.is_here(user))).collect()
            };
            if some.is_empty() {
                self.0.to_write.notified().await;
                continue;
            }
            if let Err(error) = self.0.store.set_present(&some).await {
                tracing::warn!(error = %crate::report(&error), "other servers learn later who is connected to this one");
                self.users().put_back_unwritten(some.into_iter().map(|(user, _)| user));
                sleep(RETRY).await;
            }
        }
    }
}

/// Which other servers there are.
#[derive(Debug, Default)]
pub(super) struct Following {
    /// Those whose users were read; since then each change is heard of.
    read: HashSet<Node>,
    /// When this server last said that it is there.
    renewed: Option<Instant>,
    /// Whether something was missed, so that what was read does not count.
    missed: bool,
}

impl Following {
    /// Says for the first time that this server is there, and reads who is connected to others.
    pub(super) async fn begin(&mut self, presence: &Presence) {
        while let Err(error) = self.renew(presence).await {
            later(&error);
            sleep(RETRY).await;
        }
    }

    /// Goes on saying so, and keeps up with the others.
    pub(super) async fn run(&mut self, presence: &Presence) -> Infallible {
        let mut wait = RENEW_EVERY;
        loop {
            tokio::select! {
                () = sleep(wait) => {}
                () = presence.0.missed.notified() => self.missed = true,
            }
            wait = match self.renew(presence).await {
                Ok(()) => RENEW_EVERY,
                Err(error) => {
                    later(&error);
                    RETRY
                }
            };
        }
    }

    async fn renew(&mut self, presence: &Presence) -> Result<(), StoreError> {
        // Of a server that is heard of only after this it is not known yet that it is there.
        let known = presence.users().nodes();
        let now = Instant::now();
        let there: HashSet<Node> = presence.0.store.renew(LEASE).await?.into_iter().collect();
        let before = self.renewed.replace(now);
        if before.is_some_and(|before| now.duration_since(before) >= LEASE) {
            // Then the database was away for the others too, perhaps, and they are about to say that they are there.
            return Ok(());
        }
        for &node in known.union(&self.read).filter(|node| !there.contains(node)) {
            tracing::info!(node = node.0, "a server is no longer there");
            presence.change(|users| users.gone(node, now));
        }
        self.read.retain(|node| there.contains(node));
        if std::mem::take(&mut self.missed) {
            self.read.clear();
            presence.change(super::users::Users::all_forgotten);
        }
        for node in there {
            if !self.read.contains(&node) {
                self.read_from(presence, node).await?;
            }
        }
        Ok(())
    }

    /// Reads who is connected to a server.
    async fn read_from(&mut self, presence: &Presence, node: Node) -> Result<(), StoreError> {
        presence.users().begin_listing(node);
        match presence.0.store.present_on(node).await {
            Ok(users) => {
                let now = Instant::now();
                presence.change(|known| known.end_listing(users, now));
                self.read.insert(node);
                Ok(())
            }
            Err(error) => {
                presence.users().drop_listing();
                Err(error)
            }
        }
    }
}

fn later(error: &StoreError) {
    tracing::warn!(error = %crate::report(error), "who is connected to other servers is known later");
}
