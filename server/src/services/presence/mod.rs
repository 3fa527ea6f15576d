//! Who is present: a user is while a connection of theirs is there, on whichever server, and for [`GRACE`] after the last.
//!
//! What is known lies in memory and follows from what other servers say of theirs. A change is told to those who have a chat
//! with the user open; which chats the user is in is asked of the store then, so that nothing has to be kept in step with it.
//!
//! | file | what it owns |
//! | --- | --- |
//! | `users` | who is connected where, and what is yet to be told and written: no clock, no store |
//! | `rounds` | telling, writing, and following other servers, as long as the server runs |

mod rounds;
#[cfg(test)]
mod tests;
mod users;

use crate::{
    hub::Hub,
    store::{Store, chats::Chat, news::News},
};
use hypersend_protocol::id::UserId;
use rounds::Following;
use std::{
    convert::Infallible,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{sync::Notify, time::Instant};
use users::Users;

/// How long a user whose last connection is gone counts as present: whoever comes back within it was never away.
const GRACE: Duration = Duration::from_secs(5);

/// The presence service; cloning shares it.
#[derive(Clone)]
pub struct Presence(Arc<Inner>);

struct Inner {
    store: Arc<dyn Store>,
    hub: Hub,
    /// Whether there may be other servers.
    shared: bool,
    users: Mutex<Users>,
    /// There is something to tell, or a grace to wait for.
    to_tell: Notify,
    /// There is something to write.
    to_write: Notify,
    /// Something was missed of what other servers say.
    missed: Notify,
}

impl std::fmt::Debug for Presence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Presence")
    }
}

/// One connection of a user; when it is dropped, the connection is gone.
#[derive(Debug)]
pub struct Here {
    presence: Presence,
    user: UserId,
}

impl Presence {
    /// Of everybody on the records of `store`, which are `shared` with other servers or not. Listeners are told by `hub`.
    pub fn new(store: Arc<dyn Store>, hub: Hub, shared: bool) -> Self {
        let (to_tell, to_write, missed) = (Notify::new(), Notify::new(), Notify::new());
        Self(Arc::new(Inner { store, hub, shared, users: Mutex::new(Users::new(shared)), to_tell, to_write, missed }))
    }

    /// Where changes are told.
    pub fn hub(&self) -> &Hub {
        &self.0.hub
    }

    /// A user has connected to this server. Never waits.
    pub fn enter(&self, user: UserId) -> Here {
        self.change(|users| users.enter(user));
        Here { presence: self.clone(), user }
    }

    /// Which members of a chat are present, `me` left out.
    pub fn others(&self, chat: &Chat, me: UserId) -> Vec<UserId> {
        let users = self.users();
        let members = chat.members.iter().map(|member| member.profile.id);
        members.filter(|&member| member != me && users.is_present(member)).collect()
    }

    /// Takes in what another server says. Never waits.
    pub fn heard(&self, news: &News) {
        match *news {
            News::Present(node, user, present) => {
                let now = Instant::now();
                self.change(|users| users.heard(node, user, present, now));
            }
            News::Forgotten(user) => self.change(|users| users.forgotten(user)),
            News::Missed => self.0.missed.notify_one(),
            News::Committed(_) | News::SessionEnded(_) | News::Typing(..) | News::Signal(..) | News::MailboxLeft(_) => {
            }
        }
    }

    /// Tells, writes and follows, as long as it is awaited.
    pub async fn run(&self) -> Infallible {
        let sharing = async {
            if !self.0.shared {
                return std::future::pending().await;
            }
            let mut following = Following::default();
            // It is known that this server is there before it is known who is connected to it.
            following.begin(self).await;
            tokio::join!(following.run(self), self.write()).0
        };
        tokio::join!(self.tell(), sharing).0
    }

    /// Lets other servers know that nobody is connected to this one any more. What fails of it they find out by themselves.
    pub async fn take_leave(&self) {
        if let Err(error) = self.0.store.take_leave().await {
            tracing::warn!(error = %crate::report(&error), "other servers learn of this one's end a little later");
        }
    }

    fn change(&self, change: impl FnOnce(&mut Users)) {
        let (tell, write) = {
            let mut users = self.users();
            change(&mut users);
            (users.has_to_tell(), users.has_to_write())
        };
        if tell {
            self.0.to_tell.notify_one();
        }
        if write {
            self.0.to_write.notify_one();
        }
    }

    fn users(&self) -> MutexGuard<'_, Users> {
        self.0.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Here {
    fn drop(&mut self) {
        let now = Instant::now();
        self.presence.change(|users| users.leave(self.user, now));
    }
}
