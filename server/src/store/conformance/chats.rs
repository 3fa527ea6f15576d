//! Chats: made once, shown to members, listed by activity.

use super::world::{World, client_id, no_chat, nobody};
use crate::store::{
    chats::{Chat, ChatLine, NewGroup},
    events::{Fanout, Happening},
};
use futures::future::join_all;
use hypersend_protocol::{
    chat::{ChatKind, ChatPosition, Role},
    id::{ChatId, Cursor, Revision, Seq, UserId},
};
use std::collections::HashSet;

fn member_ids(chat: &Chat) -> Vec<UserId> {
    chat.members.iter().map(|member| member.profile.id).collect()
}

fn line_ids(lines: &[ChatLine]) -> Vec<ChatId> {
    lines.iter().map(|line| line.id).collect()
}

pub(in crate::store) async fn a_direct_chat_is_one_for_each_pair(mut world: World) {
    let (ann, bob, mia) = (world.user("ann").await, world.user("bob").await, world.user("mia").await);
    let (id, now) = (no_chat(), world.now());
    let chat = world.store.open_direct(bob, ann, id, now).await.unwrap();
    assert_eq!((chat.id, chat.kind, &chat.title), (id, ChatKind::Direct, &None));
    assert_eq!((chat.last, chat.revision), (Seq(0), Revision(0)));
    assert_eq!(member_ids(&chat), [ann, bob]);
    assert!(chat.members.iter().all(|m| m.role == Role::Member && m.joined == now && m.read == Seq(0)));
    assert_eq!(
        world.told(2).await,
        [
            Fanout { chat: id, at: now, what: Happening::Joined(bob), to: vec![(bob, Cursor(1))] },
            Fanout { chat: id, at: now, what: Happening::Joined(ann), to: vec![(ann, Cursor(1))] },
        ]
    );

    assert_eq!(world.store.open_direct(bob, ann, no_chat(), world.now()).await.unwrap(), chat);
    assert_eq!(world.store.open_direct(ann, bob, no_chat(), world.now()).await.unwrap(), chat);
    world.nothing_told();
    let other = world.store.open_direct(ann, mia, no_chat(), world.now()).await.unwrap();
    assert_ne!(other.id, chat.id);
}

pub(in crate::store) async fn a_direct_chat_opened_from_both_sides_at_once_is_one(mut world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let opened = join_all((0..16).map(|n| {
        let (me, peer) = if n % 2 == 0 { (ann, bob) } else { (bob, ann) };
        world.store.open_direct(me, peer, no_chat(), world.now())
    }))
    .await;
    let ids: HashSet<ChatId> = opened.into_iter().map(|chat| chat.unwrap().id).collect();
    assert_eq!(ids.len(), 1);
    world.told(2).await;
    world.nothing_told();
}

pub(in crate::store) async fn a_group_has_its_owner_and_its_members(mut world: World) {
    let zoe = world.user("zoe").await;
    let (ann, bob, second_bob) = (world.user("ann").await, world.user("bob").await, world.user("bob2").await);
    let new = world.new_group(zoe, &[bob, zoe, second_bob, ann, bob]);
    let chat = world.store.create_group(new.clone()).await.unwrap();
    assert_eq!((chat.id, chat.kind, chat.title.as_ref()), (new.id, ChatKind::Group, Some(&new.title)));
    assert_eq!(member_ids(&chat), [zoe, ann, bob, second_bob], "owners first, then by name");
    assert!(chat.members.iter().all(|m| (m.role == Role::Owner) == (m.profile.id == zoe)));
    assert_eq!(world.store.chat(chat.id, ann).await.unwrap(), Some(chat));

    let told = world.told(4).await;
    world.nothing_told();
    let joined: HashSet<UserId> = told
        .into_iter()
        .map(|fanout| {
            let Happening::Joined(user) = fanout.what else { panic!("{fanout:?}") };
            assert_eq!((fanout.chat, fanout.at, fanout.to), (new.id, new.now, vec![(user, Cursor(1))]));
            user
        })
        .collect();
    assert_eq!(joined, HashSet::from([zoe, ann, bob, second_bob]));
}

pub(in crate::store) async fn a_group_is_made_once_for_each_client_id(mut world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let new = world.new_group(ann, &[bob]);
    let chat = world.store.create_group(new.clone()).await.unwrap();
    world.told(2).await;

    let again = NewGroup { id: no_chat(), members: Vec::new(), now: world.now(), ..new.clone() };
    assert_eq!(world.store.create_group(again).await.unwrap(), chat);
    world.nothing_told();

    let other_id = NewGroup { id: no_chat(), client_id: client_id(), ..new.clone() };
    assert_ne!(world.store.create_group(other_id).await.unwrap().id, chat.id);
    let other_owner = NewGroup { id: no_chat(), owner: bob, ..new };
    assert_ne!(world.store.create_group(other_owner).await.unwrap().id, chat.id);
}

pub(in crate::store) async fn a_group_asked_for_by_many_at_once_is_one(mut world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let new = world.new_group(ann, &[bob]);
    let made = join_all((0..16).map(|_| world.store.create_group(NewGroup { id: no_chat(), ..new.clone() }))).await;
    let ids: HashSet<ChatId> = made.into_iter().map(|chat| chat.unwrap().id).collect();
    assert_eq!(ids.len(), 1);
    world.told(2).await;
    world.nothing_told();
}

pub(in crate::store) async fn a_chat_is_shown_to_its_members_only(mut world: World) {
    let (ann, bob, eve) = (world.user("ann").await, world.user("bob").await, world.user("eve").await);
    let direct = world.direct(ann, bob).await;
    let group = world.group(ann, &[bob]).await.id;
    for chat in [direct, group] {
        assert_eq!(world.store.chat(chat, bob).await.unwrap().unwrap().id, chat);
        assert_eq!(world.store.chat(chat, eve).await.unwrap(), None);
        assert_eq!(world.store.chat(chat, nobody()).await.unwrap(), None);
    }
    assert_eq!(world.store.chat(no_chat(), ann).await.unwrap(), None);
    assert!(world.store.chats_of(eve, None, 10).await.unwrap().is_empty());
}

pub(in crate::store) async fn the_list_of_chats_tells_what_is_new(mut world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let direct = world.direct(ann, bob).await;
    let group = world.group(ann, &[bob]).await;
    world.post(direct, bob, "one").await;
    let newest = world.new_message(direct, bob, "two");
    world.store.append_message(newest.clone()).await.unwrap();

    let lines = world.store.chats_of(ann, None, 10).await.unwrap();
    assert_eq!(line_ids(&lines), [direct, group.id]);
    let [first, second] = &lines[..] else { panic!("{lines:?}") };
    assert_eq!((first.kind, &first.title, first.unread), (ChatKind::Direct, &None, 2));
    assert_eq!(first.peer, world.store.user(bob).await.unwrap());
    assert_eq!(first.active, newest.now);
    let last = first.last_message.as_ref().unwrap();
    assert_eq!((last.seq, &last.text, last.client_id), (Seq(2), &newest.text, newest.client_id));
    assert_eq!((second.kind, &second.title, second.unread), (ChatKind::Group, &group.title, 0));
    assert_eq!((&second.peer, &second.last_message), (&None, &None));
    assert_eq!(second.active, group.members[0].joined);

    let bobs = world.store.chats_of(bob, None, 10).await.unwrap();
    assert_eq!(bobs[0].unread, 0, "one's own messages are read");
    assert_eq!(bobs[0].peer, world.store.user(ann).await.unwrap());
    world.store.mark_read(direct, ann, Seq(1), world.now()).await.unwrap();
    assert_eq!(world.store.chats_of(ann, None, 10).await.unwrap()[0].unread, 1);
}

pub(in crate::store) async fn the_list_of_chats_is_paged(mut world: World) {
    let ann = world.user("ann").await;
    let mut expected = Vec::new();
    // Three in each millisecond, so that pages end among chats of the same moment.
    for _ in 0..4 {
        let now = world.now();
        for _ in 0..3 {
            let group = NewGroup { now, ..world.new_group(ann, &[]) };
            let chat = world.store.create_group(group).await.unwrap();
            expected.push((now, chat.id));
        }
    }
    world.told(12).await;
    expected.sort_unstable_by(|a, b| b.cmp(a));
    for limit in [1, 2, 5, 12, 20] {
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let page = world.store.chats_of(ann, after, limit).await.unwrap();
            assert!(page.len() <= limit as usize);
            let Some(last) = page.last() else { break };
            after = Some(ChatPosition { active: last.active, id: last.id });
            seen.extend(page.iter().map(|line| (line.active, line.id)));
        }
        assert_eq!(seen, expected, "pages of {limit}");
    }
}

pub(in crate::store) async fn joining_counts_as_activity(mut world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let group = world.group(ann, &[]).await.id;
    let direct = world.direct(ann, bob).await;
    world.post(group, ann, "before bob").await;
    world.post(direct, ann, "later").await;
    let joined = world.now();
    world.store.add_members(group, ann, &[bob], joined).await.unwrap();
    let bobs = world.store.chats_of(bob, None, 10).await.unwrap();
    assert_eq!(line_ids(&bobs), [group, direct]);
    assert_eq!(bobs[0].active, joined);
    assert_eq!(line_ids(&world.store.chats_of(ann, None, 10).await.unwrap()), [direct, group]);
}
