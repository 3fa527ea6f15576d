//! Members: who lets whom in and out, and read marks.

use super::world::{World, new_user, no_chat, nobody};
use crate::store::{
    chats::{AddMembers, Chat, NewGroup, RemoveMember},
    events::{Entry, Fanout, Happening},
    messages::Append,
};
use futures::future::join_all;
use hypersend_protocol::{
    chat::Role,
    id::{Cursor, Seq, UserId},
    limit::MAX_MEMBERS,
};

fn added(outcome: AddMembers) -> Chat {
    let AddMembers::Done(chat) = outcome else { panic!("{outcome:?}") };
    chat
}

fn role(chat: &Chat, user: UserId) -> Option<Role> {
    chat.members.iter().find(|member| member.profile.id == user).map(|member| member.role)
}

pub(in crate::store) async fn owners_add_members(mut world: World) {
    let (ann, bob, mia, dan) =
        (world.user("ann").await, world.user("bob").await, world.user("mia").await, world.user("dan").await);
    let group = world.group(ann, &[bob]).await.id;
    let now = world.now();
    let chat = added(world.store.add_members(group, ann, &[mia, ann, bob, dan, mia], now).await.unwrap());
    assert_eq!(chat.members.len(), 4);
    assert_eq!(
        [ann, bob, mia].map(|user| role(&chat, user)),
        [Some(Role::Owner), Some(Role::Member), Some(Role::Member)]
    );
    assert_eq!(world.store.chat(group, dan).await.unwrap(), Some(chat));

    // Who was there hears of each newcomer, a newcomer of themselves alone.
    let told = world.told(2).await;
    world.nothing_told();
    for (fanout, user) in told.into_iter().zip([mia, dan]) {
        assert_eq!((fanout.chat, fanout.at, fanout.what), (group, now, Happening::Joined(user)));
        let mut to: Vec<UserId> = fanout.to.into_iter().map(|(user, _)| user).collect();
        to.sort_unstable();
        assert_eq!(to, [ann, bob, user]);
    }
    added(world.store.add_members(group, ann, &[], world.now()).await.unwrap());
    world.nothing_told();
}

pub(in crate::store) async fn adding_is_for_owners_of_groups(mut world: World) {
    let (ann, bob, eve) = (world.user("ann").await, world.user("bob").await, world.user("eve").await);
    let group = world.group(ann, &[bob]).await.id;
    let direct = world.direct(ann, bob).await;
    for (chat, by, expected) in [
        (group, bob, AddMembers::Forbidden),
        (direct, ann, AddMembers::Forbidden),
        (group, eve, AddMembers::NotFound),
        (direct, eve, AddMembers::NotFound),
        (no_chat(), ann, AddMembers::NotFound),
    ] {
        assert_eq!(world.store.add_members(chat, by, &[eve], world.now()).await.unwrap(), expected);
    }
    world.nothing_told();
    assert!(world.feed(eve).await.is_empty());
}

pub(in crate::store) async fn a_group_is_filled_to_its_limit_and_not_beyond(world: World) {
    let ann = world.user("ann").await;
    let users = (1..=MAX_MEMBERS).map(|n| new_user(&format!("u{n}"), world.now()));
    let ids: Vec<UserId> = join_all(users.map(async |user| {
        let id = user.id;
        assert!(world.store.create_user(user).await.unwrap());
        id
    }))
    .await;
    let group = world.store.create_group(world.new_group(ann, &ids[..MAX_MEMBERS - 2])).await.unwrap();
    assert_eq!(group.members.len(), MAX_MEMBERS - 1);

    let [.., before, beyond] = ids[..] else { panic!("there are many") };
    let add = async |users: &[UserId]| world.store.add_members(group.id, ann, users, world.now()).await.unwrap();
    assert_eq!(add(&[before, beyond]).await, AddMembers::TooMany);
    assert_eq!(world.store.chat(group.id, before).await.unwrap(), None, "all or none");
    assert_eq!(added(add(&[before]).await).members.len(), MAX_MEMBERS);
    assert_eq!(added(add(&[before, ann]).await).members.len(), MAX_MEMBERS, "who is in it takes no place");
    assert_eq!(add(&[beyond]).await, AddMembers::TooMany);
}

pub(in crate::store) async fn what_was_posted_before_joining_counts_as_read(mut world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let group = world.group(ann, &[]).await.id;
    world.post(group, ann, "one").await;
    world.post(group, ann, "two").await;
    let chat = added(world.store.add_members(group, ann, &[bob], world.now()).await.unwrap());
    assert!(chat.members.iter().all(|member| member.read == Seq(2)));
    assert_eq!(world.store.chats_of(bob, None, 1).await.unwrap()[0].unread, 0);
    world.post(group, ann, "three").await;
    assert_eq!(world.store.chats_of(bob, None, 1).await.unwrap()[0].unread, 1);
}

pub(in crate::store) async fn who_leaves_can_no_longer_read(mut world: World) {
    let (ann, bob, mia) = (world.user("ann").await, world.user("bob").await, world.user("mia").await);
    let group = world.group(ann, &[bob, mia]).await.id;
    for (by, user) in [(bob, bob), (ann, mia)] {
        let members = world.store.chat(group, ann).await.unwrap().unwrap().members.len();
        let now = world.now();
        assert_eq!(world.store.remove_member(group, by, user, now).await.unwrap(), RemoveMember::Done);
        assert_eq!(world.store.chat(group, user).await.unwrap(), None);
        assert!(world.store.chats_of(user, None, 10).await.unwrap().is_empty());
        let refused = world.store.append_message(world.new_message(group, user, "still here?")).await.unwrap();
        assert_eq!(refused, Append::NotFound);
        assert_eq!(world.store.remove_member(group, by, user, now).await.unwrap(), RemoveMember::NotFound);

        let [fanout] = &world.told(1).await[..] else { panic!("one was asked for") };
        assert_eq!((fanout.chat, fanout.at, &fanout.what), (group, now, &Happening::Left(user)));
        assert_eq!(fanout.to.len(), members, "everybody, and who left");
        assert_eq!(world.feed(user).await.last().unwrap().what, Entry::Left(user));
    }
    let left = world.store.chat(group, ann).await.unwrap().unwrap();
    assert_eq!(left.members.len(), 1);
    world.post(group, ann, "alone").await;
    let [fanout] = &world.told(1).await[..] else { panic!("one was asked for") };
    assert_eq!(fanout.to.len(), 1);
}

pub(in crate::store) async fn taking_out_is_for_owners_of_groups(mut world: World) {
    let (ann, bob, mia, eve) =
        (world.user("ann").await, world.user("bob").await, world.user("mia").await, world.user("eve").await);
    let group = world.group(ann, &[bob, mia]).await.id;
    let direct = world.direct(ann, bob).await;
    for (chat, by, user, expected) in [
        (group, bob, mia, RemoveMember::Forbidden),
        (group, bob, ann, RemoveMember::Forbidden),
        (direct, ann, bob, RemoveMember::Forbidden),
        (direct, ann, ann, RemoveMember::Forbidden),
        (group, eve, bob, RemoveMember::NotFound),
        (group, eve, eve, RemoveMember::NotFound),
        (group, ann, eve, RemoveMember::NotFound),
        (group, ann, nobody(), RemoveMember::NotFound),
        (direct, eve, bob, RemoveMember::NotFound),
        (no_chat(), ann, ann, RemoveMember::NotFound),
    ] {
        assert_eq!(world.store.remove_member(chat, by, user, world.now()).await.unwrap(), expected);
    }
    world.nothing_told();
    assert_eq!(world.store.chat(group, ann).await.unwrap().unwrap().members.len(), 3);
}

pub(in crate::store) async fn ownership_passes_to_who_joined_first(mut world: World) {
    let (ann, bob, mia, dan) =
        (world.user("ann").await, world.user("bob").await, world.user("mia").await, world.user("dan").await);
    let group = world.group(ann, &[dan]).await.id;
    // Both in the same moment: the smaller id, which is the older account, comes first.
    added(world.store.add_members(group, ann, &[mia, bob], world.now()).await.unwrap());
    for (leaver, heir, viewer) in [(ann, dan, mia), (dan, bob, mia), (bob, mia, mia)] {
        assert_eq!(world.store.remove_member(group, leaver, leaver, world.now()).await.unwrap(), RemoveMember::Done);
        let chat = world.store.chat(group, viewer).await.unwrap().unwrap();
        let owners = chat.members.iter().filter(|member| member.role == Role::Owner).count();
        assert_eq!((role(&chat, heir), owners), (Some(Role::Owner), 1));
    }
    added(world.store.add_members(group, mia, &[ann], world.now()).await.unwrap());
    assert_eq!(world.store.remove_member(group, mia, ann, world.now()).await.unwrap(), RemoveMember::Done);
}

pub(in crate::store) async fn an_empty_group_is_out_of_reach(mut world: World) {
    let ann = world.user("ann").await;
    let group = world.group(ann, &[]).await.id;
    assert_eq!(world.store.remove_member(group, ann, ann, world.now()).await.unwrap(), RemoveMember::Done);
    assert_eq!(world.store.chat(group, ann).await.unwrap(), None);
    assert_eq!(world.store.add_members(group, ann, &[ann], world.now()).await.unwrap(), AddMembers::NotFound);
    assert_eq!(world.feed(ann).await.last().unwrap().what, Entry::Left(ann));
}

pub(in crate::store) async fn a_maker_who_left_makes_another_group(mut world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let new = world.new_group(ann, &[bob]);
    let first = world.store.create_group(new.clone()).await.unwrap();
    world.told(2).await;
    world.store.remove_member(first.id, ann, ann, world.now()).await.unwrap();
    let second = world.store.create_group(NewGroup { id: no_chat(), ..new }).await.unwrap();
    assert_ne!(second.id, first.id, "who left does not learn what became of the group");
}

pub(in crate::store) async fn a_read_mark_only_moves_forward(mut world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let chat = world.direct(ann, bob).await;
    for words in ["one", "two", "three"] {
        world.post(chat, ann, words).await;
    }
    world.told(3).await;
    let now = world.now();
    let mark = async |seq| world.store.mark_read(chat, bob, Seq(seq), now).await.unwrap();
    assert_eq!(mark(2).await, Some(Seq(2)));
    assert_eq!(mark(1).await, Some(Seq(2)), "never back");
    assert_eq!(mark(2).await, Some(Seq(2)));
    assert_eq!(mark(u64::MAX).await, Some(Seq(3)), "not beyond the end");
    assert_eq!(mark(0).await, Some(Seq(3)));

    let read =
        |seq, cursor| Fanout { chat, at: now, what: Happening::Read(bob, Seq(seq)), to: vec![(bob, Cursor(cursor))] };
    assert_eq!(world.told(2).await, [read(2, 5), read(3, 6)], "only moves are told, and only to bob");
    world.nothing_told();
    let seen = world.store.chat(chat, ann).await.unwrap().unwrap();
    assert_eq!(seen.members.iter().find(|member| member.profile.id == bob).unwrap().read, Seq(3));
}

pub(in crate::store) async fn a_read_mark_is_a_member_s(mut world: World) {
    let (ann, bob, eve) = (world.user("ann").await, world.user("bob").await, world.user("eve").await);
    let chat = world.direct(ann, bob).await;
    world.post(chat, ann, "one").await;
    world.told(1).await;
    assert_eq!(world.store.mark_read(chat, eve, Seq(1), world.now()).await.unwrap(), None);
    assert_eq!(world.store.mark_read(no_chat(), ann, Seq(1), world.now()).await.unwrap(), None);
    world.nothing_told();
}
