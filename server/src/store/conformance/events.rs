//! Feeds: dense, in the order of the commits, and the same whether told or read back.

use super::world::{World, nobody};
use crate::store::{
    chats::NewGroup,
    events::{Entry, Event, Fanout, Feed, Happening},
    messages::NewMessage,
};
use futures::future::join_all;
use hypersend_protocol::{
    id::{ChatId, Cursor, Revision, Seq, UserId},
    time::UnixMillis,
};

/// What the sink was told for a user, as the feed must read it back.
fn entries_for(user: UserId, told: &[Fanout]) -> Vec<Event> {
    let event = |fanout: &Fanout| {
        let &(_, cursor) = fanout.to.iter().find(|(member, _)| *member == user)?;
        let what = match &fanout.what {
            Happening::Posted(message) => Entry::Posted((**message).clone()),
            Happening::Changed(message) => Entry::Changed(message.seq, message.revision),
            Happening::Joined(user) => Entry::Joined(*user),
            Happening::Left(user) => Entry::Left(*user),
            Happening::Read(_, seq) => Entry::Read(*seq),
            Happening::P2p(session) => Entry::P2p(*session),
        };
        Some(Event { cursor, at: fanout.at, chat: fanout.chat, what })
    };
    told.iter().filter_map(event).collect()
}

fn is_dense(events: &[Event]) -> bool {
    events.iter().zip(1..).all(|(event, n)| event.cursor == Cursor(n))
}

pub(in crate::store) async fn a_feed_tells_everything_in_order(mut world: World) {
    let (ann, bob, mia) = (world.user("ann").await, world.user("bob").await, world.user("mia").await);
    let direct = world.store.open_direct(ann, bob, ChatId(uuid::Uuid::now_v7()), world.now()).await.unwrap().id;
    let group = world.store.create_group(world.new_group(ann, &[bob])).await.unwrap().id;
    world.post(direct, ann, "one").await;
    world.store.mark_read(direct, bob, Seq(1), world.now()).await.unwrap();
    world.store.add_members(group, ann, &[mia], world.now()).await.unwrap();
    world.post(group, mia, "two").await;
    world.store.remove_member(group, mia, mia, world.now()).await.unwrap();
    world.post(group, bob, "three").await;
    let told = world.told(2 + 2 + 1 + 1 + 1 + 1 + 1 + 1).await;
    world.nothing_told();

    for (user, count) in [(ann, 7), (bob, 8), (mia, 3)] {
        let feed = world.feed(user).await;
        assert_eq!(feed, entries_for(user, &told));
        assert!(is_dense(&feed));
        assert_eq!(feed.len(), count);
        assert_eq!(world.store.feed_head(user).await.unwrap(), Cursor(count as u64));
    }
    assert_eq!(world.store.feed_head(nobody()).await.unwrap(), Cursor(0));
}

pub(in crate::store) async fn a_feed_is_dense_however_many_post(mut world: World) {
    let (ann, bob, mia) = (world.user("ann").await, world.user("bob").await, world.user("mia").await);
    let chats = [world.direct(ann, bob).await, world.direct(ann, mia).await, world.group(ann, &[bob, mia]).await.id];
    join_all((0..150).map(|n| world.post(chats[n % 3], ann, "hi"))).await;
    let told = world.told(150).await;
    for (user, joined) in [(ann, 3), (bob, 2), (mia, 2)] {
        let feed = world.feed(user).await;
        assert!(is_dense(&feed));
        assert_eq!(feed[joined..], entries_for(user, &told), "told in the order of the commits");
    }
}

pub(in crate::store) async fn a_feed_shows_messages_as_they_are_now(mut world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let chat = world.direct(ann, bob).await;
    world.post(chat, ann, "secret").await;
    world.store.delete_message(chat, Seq(1), ann, world.now()).await.unwrap();
    let tombstone = world.store.messages_after(chat, Seq(0), 1).await.unwrap().remove(0);
    let what: Vec<Entry> = world.feed(bob).await.into_iter().map(|event| event.what).collect();
    assert_eq!(what, [Entry::Joined(bob), Entry::Posted(tombstone), Entry::Changed(Seq(1), Revision(1))]);
}

pub(in crate::store) async fn a_feed_is_paged(mut world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let chat = world.direct(ann, bob).await;
    for n in 0..6 {
        world.post(chat, ann, &n.to_string()).await;
    }
    let page = async |after, limit| match world.store.events_after(bob, Cursor(after), limit).await.unwrap() {
        Feed::Events(events) => events.into_iter().map(|event| event.cursor.0).collect::<Vec<_>>(),
        gone @ Feed::Gone(_) => panic!("{gone:?}"),
    };
    assert_eq!(page(0, 3).await, [1, 2, 3]);
    assert_eq!(page(3, 3).await, [4, 5, 6]);
    assert_eq!(page(6, 3).await, [7]);
    assert!(page(7, 3).await.is_empty());
}

pub(in crate::store) async fn a_cursor_ahead_of_the_feed_is_gone(mut world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    world.direct(ann, bob).await;
    let after = async |user, cursor| world.store.events_after(user, Cursor(cursor), 10).await.unwrap();
    assert_eq!(after(ann, 1).await, Feed::Events(Vec::new()));
    assert_eq!(after(ann, 2).await, Feed::Gone(Cursor(1)));
    assert_eq!(after(ann, u64::MAX).await, Feed::Gone(Cursor(1)));
    assert_eq!(after(nobody(), 0).await, Feed::Events(Vec::new()));
    assert_eq!(after(nobody(), 1).await, Feed::Gone(Cursor(0)));
}

pub(in crate::store) async fn pruned_events_are_gone(mut world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let chat = world.direct(ann, bob).await;
    for at in [10, 20, 30] {
        let at = UnixMillis(2_000_000 + at);
        world.store.append_message(NewMessage { now: at, ..world.new_message(chat, ann, "hi") }).await.unwrap();
    }
    let prune = async |before: u64| world.store.prune_events(UnixMillis(2_000_000 + before)).await.unwrap();
    let after = async |cursor| match world.store.events_after(bob, Cursor(cursor), 10).await.unwrap() {
        Feed::Events(events) => Ok(events.into_iter().map(|event| event.cursor.0).collect::<Vec<_>>()),
        Feed::Gone(head) => Err(head.0),
    };
    assert_eq!(prune(20).await, 4, "two events of each");
    assert_eq!(after(0).await, Err(4));
    assert_eq!(after(1).await, Err(4));
    assert_eq!(after(2).await, Ok(vec![3, 4]));
    assert_eq!(prune(20).await, 0);
    assert_eq!(prune(1_000).await, 4);
    assert_eq!(after(3).await, Err(4));
    assert_eq!(after(4).await, Ok(vec![]));
    assert_eq!(world.store.feed_head(bob).await.unwrap(), Cursor(4));

    world.post(chat, ann, "the feed goes on").await;
    assert_eq!(after(4).await, Ok(vec![5]));
    assert_eq!(prune(1_000).await, 2, "an emptied feed is pruned again");
    assert_eq!(after(4).await, Err(5));
}

pub(in crate::store) async fn pruning_spares_what_is_newer(mut world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let quiet = NewGroup { now: UnixMillis(10), ..world.new_group(bob, &[]) };
    world.store.create_group(quiet).await.unwrap();
    let group = NewGroup { now: UnixMillis(10), ..world.new_group(ann, &[]) };
    let group = world.store.create_group(group).await.unwrap().id;
    // Enough that a backend which forgets in pieces needs several.
    let posts = (0..6_000).map(|_| NewMessage { now: UnixMillis(20), ..world.new_message(group, ann, "hi") });
    join_all(posts.map(|new| world.store.append_message(new))).await;
    world.store.add_members(group, ann, &[bob], UnixMillis(30)).await.unwrap();
    world.told(2 + 6_000 + 1).await;
    assert_eq!(world.store.prune_events(UnixMillis(30)).await.unwrap(), 6_002);
    let left = async |user, after| world.store.events_after(user, Cursor(after), 10).await.unwrap();
    let joined = |cursor| {
        Feed::Events(vec![Event { cursor: Cursor(cursor), at: UnixMillis(30), chat: group, what: Entry::Joined(bob) }])
    };
    assert_eq!(left(ann, 6_001).await, joined(6_002));
    assert_eq!(left(bob, 1).await, joined(2));
    assert_eq!(left(ann, 6_000).await, Feed::Gone(Cursor(6_002)));
}
