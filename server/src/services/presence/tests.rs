//! What is told when people come and go, here and on other servers. Rounds are called for moments to come, so nobody waits.

use super::{
    GRACE, Here, Presence,
    rounds::{LEASE, RENEW_EVERY, Round},
    users::Users,
};
use crate::{
    hub::{ChatNotice, Hub, Listener},
    store::{
        self, Place,
        chats::Chat,
        conformance::user,
        news::{News, Node},
    },
};
use futures::FutureExt;
use hypersend_protocol::{
    id::{ChatId, UserId},
    time::UnixMillis,
};
use std::{sync::Arc, time::Duration};
use tempfile::TempDir;
use tokio::time::Instant;
use uuid::Uuid;

/// A server with an open chat of Ann and Bob.
struct World {
    presence: Presence,
    ann: UserId,
    bob: UserId,
    eve: UserId,
    chat: Chat,
    open: Listener<ChatId, ChatNotice>,
    _folder: TempDir,
}

const THERE: Node = Node(7);

/// Nobody can have come within the grace by now.
const LATER: Duration = Duration::from_secs(5);

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = store::open(&Place::File(folder.path().join("test.db")), Arc::new(|_| ())).await.unwrap();
        let (ann, bob, eve) = (user(&*store, "ann").await, user(&*store, "bob").await, user(&*store, "eve").await);
        let chat = store.open_direct(ann, bob, ChatId(Uuid::now_v7()), UnixMillis(1)).await.unwrap();
        let hub = Hub::default();
        let (open, presence) = (hub.chat(chat.id), Presence::new(store, hub, false));
        Self { presence, ann, bob, eve, chat, open, _folder: folder }
    }

    /// What those who have the chat open are told in a round so long from now.
    async fn told_after(&mut self, wait: Duration) -> Vec<(UserId, bool)> {
        assert_ne!(self.presence.round(Instant::now() + wait).await, Round::Failed);
        match self.open.next().now_or_never() {
            Some(Ok(ChatNotice::Presence(changes))) => {
                let mut changes = changes.to_vec();
                changes.sort_unstable();
                changes
            }
            None => Vec::new(),
            other => panic!("{other:?}"),
        }
    }

    async fn told(&mut self) -> Vec<(UserId, bool)> {
        self.told_after(Duration::ZERO).await
    }

    /// Ann's connection, of which has been told.
    async fn with_ann(&mut self) -> Here {
        let here = self.presence.enter(self.ann);
        assert_eq!(self.told().await, [(self.ann, true)]);
        here
    }

    fn others(&self, me: UserId) -> Vec<UserId> {
        self.presence.others(&self.chat, me)
    }

    fn elsewhere(&self, user: UserId, present: bool) {
        self.presence.heard(&News::Present(THERE, user, present));
    }
}

#[tokio::test]
async fn going_is_told_after_the_grace() {
    let mut world = World::new().await;
    let here = world.with_ann().await;
    assert_eq!(world.others(world.bob), [world.ann]);
    assert_eq!(world.others(world.ann), [], "not oneself");
    drop(here);
    assert_eq!(world.told_after(GRACE / 2).await, []);
    assert_eq!(world.others(world.bob), [world.ann], "present until the grace is over");
    assert_eq!(world.told_after(GRACE).await, [(world.ann, false)]);
    assert_eq!(world.others(world.bob), []);
}

#[tokio::test]
async fn a_connection_made_anew_is_no_news() {
    let mut world = World::new().await;
    drop(world.with_ann().await);
    let back = world.presence.enter(world.ann);
    assert_eq!(world.told_after(GRACE + LATER).await, []);
    drop(back);
    assert_eq!(world.told_after(GRACE).await, [(world.ann, false)]);
}

#[tokio::test]
async fn of_two_devices_the_last_counts() {
    let mut world = World::new().await;
    let (phone, laptop) = (world.with_ann().await, world.presence.enter(world.ann));
    drop(phone);
    assert_eq!(world.told_after(GRACE + LATER).await, []);
    drop(laptop);
    assert_eq!(world.told_after(GRACE).await, [(world.ann, false)]);
}

#[tokio::test]
async fn who_moves_to_another_server_was_never_away() {
    let mut world = World::new().await;
    drop(world.with_ann().await);
    world.elsewhere(world.ann, true);
    assert_eq!(world.told_after(GRACE + LATER).await, []);
    world.elsewhere(world.ann, false);
    world.elsewhere(world.ann, false);
    assert_eq!(world.told_after(GRACE / 2).await, []);
    assert_eq!(world.told_after(GRACE).await, [(world.ann, false)]);
}

#[tokio::test]
async fn those_who_come_together_are_told_together() {
    let mut world = World::new().await;
    let _here = (world.presence.enter(world.ann), world.presence.enter(world.bob));
    let mut both = [(world.ann, true), (world.bob, true)];
    both.sort_unstable();
    assert_eq!(world.told().await, both);
}

#[tokio::test]
async fn a_stranger_s_coming_is_told_to_nobody() {
    let mut world = World::new().await;
    let _here = world.presence.enter(world.eve);
    assert_eq!(world.told().await, []);
    let _here = world.with_ann().await;
}

#[test]
fn what_a_server_says_while_it_is_listed_counts_more_than_the_list() {
    let (mut users, now) = (Users::new(true), Instant::now());
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

#[test]
fn coming_and_going_leave_nothing_behind() {
    let (mut users, now) = (Users::new(true), Instant::now());
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
