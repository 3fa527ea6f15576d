//! In the clock's absence: what is told when people come and go, here and on other servers.

use super::{
    GRACE, Presence,
    rounds::{LEASE, RENEW_EVERY},
};
use crate::{
    hub::{ChatNotice, Hub, Listener},
    store::{
        self, Place, Store,
        news::{News, Node},
        users::{NewUser, PasswordHash},
    },
};
use hypersend_protocol::{
    id::{ChatId, UserId},
    name::{DisplayName, Email},
    time::UnixMillis,
};
use std::{sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::{
    task::JoinHandle,
    time::{Instant, advance, timeout},
};
use uuid::Uuid;

/// A server with a chat of two, which is open.
struct World {
    presence: Presence,
    store: Arc<dyn Store>,
    ann: UserId,
    bob: UserId,
    chat: ChatId,
    open: Listener<ChatId, ChatNotice>,
    running: JoinHandle<std::convert::Infallible>,
    _folder: TempDir,
}

impl Drop for World {
    fn drop(&mut self) {
        self.running.abort();
    }
}

const THERE: Node = Node(7);

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = store::open(&Place::File(folder.path().join("test.db")), Arc::new(|_| ())).await.unwrap();
        let (ann, bob) = (user(&store, "ann").await, user(&store, "bob").await);
        let chat = store.open_direct(ann, bob, ChatId(Uuid::now_v7()), UnixMillis(1)).await.unwrap().id;
        let hub = Hub::default();
        let (open, presence) = (hub.chat(chat), Presence::new(store.clone(), hub, false));
        let running = tokio::spawn({
            let presence = presence.clone();
            async move { presence.run().await }
        });
        // Only now: the store works by the real clock.
        tokio::time::pause();
        Self { presence, store, ann, bob, chat, open, running, _folder: folder }
    }

    /// What is told next, and how long it took.
    async fn told(&mut self) -> (Vec<(UserId, bool)>, Duration) {
        let start = Instant::now();
        match self.open.next().await.unwrap() {
            ChatNotice::Presence(changes) => (changes.to_vec(), start.elapsed()),
            other => panic!("{other:?}"),
        }
    }

    /// Asserts that nothing is told for far longer than anything takes.
    async fn nothing_is_told(&mut self) {
        let told = timeout(GRACE * 4, self.open.next()).await;
        assert!(told.is_err(), "{told:?}");
    }

    async fn others(&self, me: UserId) -> Vec<UserId> {
        tokio::time::resume();
        let chat = self.store.chat(self.chat, me).await.unwrap().unwrap();
        tokio::time::pause();
        self.presence.others(&chat, me)
    }

    fn elsewhere(&self, user: UserId, present: bool) {
        self.presence.heard(&News::Present(THERE, user, present));
    }
}

async fn user(store: &Arc<dyn Store>, name: &str) -> UserId {
    let new = NewUser {
        id: UserId(Uuid::now_v7()),
        email: Email::parse(&format!("{name}@example.org")).unwrap(),
        name: DisplayName::parse(name).unwrap(),
        password_hash: PasswordHash(String::new()),
        now: UnixMillis(1),
    };
    let id = new.id;
    assert!(store.create_user(new).await.unwrap());
    id
}

#[tokio::test]
async fn going_is_told_after_the_grace() {
    let mut world = World::new().await;
    let here = world.presence.enter(world.ann);
    assert_eq!(world.told().await.0, [(world.ann, true)]);
    assert_eq!(world.others(world.bob).await, [world.ann]);
    assert_eq!(world.others(world.ann).await, [], "not oneself");
    drop(here);
    assert_eq!(world.others(world.bob).await, [world.ann], "present until the grace is over");
    let (told, after) = world.told().await;
    assert_eq!(told, [(world.ann, false)]);
    assert!(after >= GRACE - Duration::from_millis(1), "{after:?}");
    assert_eq!(world.others(world.bob).await, []);
}

#[tokio::test]
async fn a_connection_made_anew_is_no_news() {
    let mut world = World::new().await;
    let here = world.presence.enter(world.ann);
    assert_eq!(world.told().await.0, [(world.ann, true)]);
    drop(here);
    advance(GRACE - Duration::from_millis(10)).await;
    let back = world.presence.enter(world.ann);
    world.nothing_is_told().await;
    drop(back);
    assert_eq!(world.told().await.0, [(world.ann, false)]);
}

#[tokio::test]
async fn of_two_devices_the_last_counts() {
    let mut world = World::new().await;
    let (phone, laptop) = (world.presence.enter(world.ann), world.presence.enter(world.ann));
    assert_eq!(world.told().await.0, [(world.ann, true)]);
    drop(phone);
    world.nothing_is_told().await;
    drop(laptop);
    assert_eq!(world.told().await.0, [(world.ann, false)]);
}

#[tokio::test]
async fn who_moves_to_another_server_was_never_away() {
    let mut world = World::new().await;
    let here = world.presence.enter(world.ann);
    assert_eq!(world.told().await.0, [(world.ann, true)]);
    drop(here);
    advance(GRACE / 2).await;
    world.elsewhere(world.ann, true);
    world.nothing_is_told().await;
    world.elsewhere(world.ann, false);
    world.elsewhere(world.ann, false);
    let (told, after) = world.told().await;
    assert_eq!(told, [(world.ann, false)]);
    assert!(after >= GRACE - Duration::from_millis(1), "{after:?}");
}

#[tokio::test]
async fn those_who_come_together_are_told_together() {
    let mut world = World::new().await;
    let _here = (world.presence.enter(world.ann), world.presence.enter(world.bob));
    let mut told = world.told().await.0;
    told.sort_unstable();
    let mut both = [(world.ann, true), (world.bob, true)];
    both.sort_unstable();
    assert_eq!(told, both);
}

#[tokio::test]
async fn a_stranger_s_coming_is_told_to_nobody() {
    let mut world = World::new().await;
    tokio::time::resume();
    let eve = user(&world.store, "eve").await;
    tokio::time::pause();
    let _here = world.presence.enter(eve);
    world.nothing_is_told().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_server_says_while_it_is_listed_counts_more_than_the_list() {
    let (mut users, now) = (super::users::Users::new(true), Instant::now());
    let [ann, bob, mia] = [1, 2, 3].map(|n| UserId(Uuid::from_u128(n)));
    users.heard(THERE, mia, true, now);
    users.begin_listing(THERE);
    users.heard(THERE, ann, true, now);
    users.heard(THERE, bob, false, now);
    users.end_listing(vec![bob], now);
    assert!(users.is_present(ann), "heard of meanwhile");
    assert!(!users.is_present(bob), "heard to have gone meanwhile");
    assert_eq!(users.end_graces(now), Some(now + GRACE), "who is not listed has gone");
    users.end_graces(now + GRACE);
    assert!(!users.is_present(mia));
}

#[tokio::test(start_paused = true)]
async fn coming_and_going_leave_nothing_behind() {
    let (mut users, now) = (super::users::Users::new(true), Instant::now());
    let ann = UserId(Uuid::from_u128(1));
    for _ in 0..100 {
        users.enter(ann);
        users.leave(ann, now);
    }
    assert_eq!(users.take_unwritten(10), [ann], "written once, as it is then");
    users.end_graces(now + GRACE);
    assert_eq!(users.take_untold(10), [ann]);
    assert_eq!(users.tell(ann), None, "never told to be here");
    assert!(!users.has_to_tell() && !users.has_to_write());
    assert!(users.is_empty());
}

/// A lease that were renewed too seldom would let living servers seem dead.
#[test]
fn a_lease_outlives_two_renewals_that_fail() {
    assert!(LEASE >= RENEW_EVERY * 3);
}
