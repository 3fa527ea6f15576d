//! Transfers from one client to another.

use super::{
    World,
    world::{client_id, no_chat, nobody},
};
use crate::store::{
    events::{Entry, Happening},
    p2p::{NewP2p, Offered, P2pChange, P2pChanged},
};
use hypersend_protocol::{
    id::{ChatId, P2pId, UserId},
    name::FileName,
    p2p::{OfferedFile, P2pPath, P2pSession, P2pStatus},
};
use uuid::Uuid;

/// How many offers may be open, in a case that is not about that.
const MANY: usize = 1_000;

fn new_offer(world: &World, chat: ChatId, sender: UserId, receiver: UserId) -> NewP2p {
    let file = |name, size, folder| OfferedFile { name: FileName::parse(name).unwrap(), size, folder };
    NewP2p {
        id: P2pId(Uuid::now_v7()),
        client_id: client_id(),
        chat,
        sender,
        receiver,
        files: vec![file("film.mkv", 40 << 30, false), file("ü \"quoted\"", 0, true)],
        max_open: MANY,
        now: world.now(),
    }
}

fn made(offered: Offered) -> P2pSession {
    match offered {
        Offered::Made(session) => session,
        other => panic!("{other:?}"),
    }
}

async fn offer(world: &World, chat: ChatId, sender: UserId, receiver: UserId) -> P2pSession {
    made(world.store.offer_p2p(new_offer(world, chat, sender, receiver)).await.unwrap())
}

async fn say(world: &World, id: P2pId, by: UserId, status: P2pStatus) -> P2pChanged {
    let change = P2pChange { id, by, status: Some(status), path: None, now: world.now() };
    world.store.change_p2p(change).await.unwrap()
}

async fn take(world: &World, id: P2pId, by: UserId, path: P2pPath) -> P2pChanged {
    let change = P2pChange { id, by, status: None, path: Some(path), now: world.now() };
    world.store.change_p2p(change).await.unwrap()
}

fn status(changed: P2pChanged) -> P2pStatus {
    match changed {
        P2pChanged::Changed(session) => session.status,
        other => panic!("{other:?}"),
    }
}

pub(in crate::store) async fn an_offer_is_read_back_by_either_side(mut world: World) {
    let (ann, bob, carol) = (world.user("ann").await, world.user("bob").await, world.user("carol").await);
    let chat = world.group(ann, &[bob, carol]).await.id;
    let new = new_offer(&world, chat, ann, bob);
    let session = made(world.store.offer_p2p(new.clone()).await.unwrap());
    assert_eq!((session.id, session.chat, session.sender, session.receiver), (new.id, chat, ann, bob));
    assert_eq!((&session.files, session.status, session.path), (&new.files, P2pStatus::Offered, None));
    assert_eq!((session.created, session.updated), (new.now, new.now));
    for viewer in [ann, bob] {
        assert_eq!(world.store.p2p_session(session.id, viewer).await.unwrap().as_ref(), Some(&session));
    }
    assert_eq!(world.store.p2p_session(session.id, carol).await.unwrap(), None);
    assert_eq!(world.store.p2p_session(P2pId(Uuid::now_v7()), ann).await.unwrap(), None);
}

pub(in crate::store) async fn an_offer_is_made_once_for_each_client_id(mut world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let chat = world.direct(ann, bob).await;
    let new = new_offer(&world, chat, ann, bob);
    let first = made(world.store.offer_p2p(new.clone()).await.unwrap());
    status(say(&world, first.id, bob, P2pStatus::Accepted).await);
    let again = NewP2p { id: P2pId(Uuid::now_v7()), files: Vec::new(), max_open: 0, ..new.clone() };
    let again = made(world.store.offer_p2p(again).await.unwrap());
    assert_eq!((again.id, again.status), (first.id, P2pStatus::Accepted), "as it is now");
    let other = NewP2p { id: P2pId(Uuid::now_v7()), sender: bob, receiver: ann, ..new };
    assert_ne!(made(world.store.offer_p2p(other).await.unwrap()).id, first.id, "a client id is its sender's");
}

pub(in crate::store) async fn an_offer_goes_to_another_member_of_the_chat(mut world: World) {
    let (ann, bob, carol) = (world.user("ann").await, world.user("bob").await, world.user("carol").await);
    let chat = world.direct(ann, bob).await;
    let refused =
        async |chat, sender, receiver| world.store.offer_p2p(new_offer(&world, chat, sender, receiver)).await.unwrap();
    assert_eq!(refused(no_chat(), ann, bob).await, Offered::NoChat);
    assert_eq!(refused(chat, carol, bob).await, Offered::NoChat);
    assert_eq!(refused(chat, ann, carol).await, Offered::NoReceiver);
    assert_eq!(refused(chat, ann, nobody()).await, Offered::NoReceiver);
    assert_eq!(refused(chat, ann, ann).await, Offered::NoReceiver);
}

pub(in crate::store) async fn open_offers_are_limited(mut world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let chat = world.direct(ann, bob).await;
    let limited = |max_open| NewP2p { max_open, ..new_offer(&world, chat, ann, bob) };
    let first = made(world.store.offer_p2p(limited(2)).await.unwrap());
    let second = made(world.store.offer_p2p(limited(2)).await.unwrap());
    status(say(&world, second.id, bob, P2pStatus::Accepted).await);
    assert_eq!(world.store.offer_p2p(limited(2)).await.unwrap(), Offered::TooMany);
    offer(&world, chat, bob, ann).await;
    status(say(&world, first.id, bob, P2pStatus::Declined).await);
    made(world.store.offer_p2p(limited(2)).await.unwrap());
}

pub(in crate::store) async fn each_side_says_what_is_its_to_say(mut world: World) {
    use P2pStatus::{Accepted, Cancelled, Declined, Failed, Finished, Offered};
    let (ann, bob, carol) = (world.user("ann").await, world.user("bob").await, world.user("carol").await);
    let chat = world.group(ann, &[bob, carol]).await.id;
    for (way, end) in [
        (&[][..], Declined),
        (&[], Cancelled),
        (&[Accepted], Finished),
        (&[Accepted], Cancelled),
        (&[Accepted], Failed),
    ] {
        let id = offer(&world, chat, ann, bob).await.id;
        for &step in way {
            assert_eq!(say(&world, id, ann, step).await, P2pChanged::OtherSide);
            assert_eq!(status(say(&world, id, bob, step).await), step);
        }
        assert_eq!(say(&world, id, carol, end).await, P2pChanged::NoSession);
        let senders_too = matches!(end, Cancelled | Failed);
        if !senders_too {
            assert_eq!(say(&world, id, ann, end).await, P2pChanged::OtherSide);
        }
        assert_eq!(status(say(&world, id, if senders_too { ann } else { bob }, end).await), end);
        assert_eq!(status(say(&world, id, ann, end).await), end, "said twice is said once");
        for after in [Offered, Accepted, Declined, Cancelled, Finished, Failed] {
            if after != end {
                assert_eq!(say(&world, id, bob, after).await, P2pChanged::Conflict(end));
            }
        }
    }
    let fresh = offer(&world, chat, ann, bob).await.id;
    for too_soon in [Finished, Failed] {
        assert_eq!(say(&world, fresh, bob, too_soon).await, P2pChanged::Conflict(Offered));
    }
    assert_eq!(say(&world, P2pId(Uuid::now_v7()), ann, Cancelled).await, P2pChanged::NoSession);
}

pub(in crate::store) async fn the_path_is_told_while_it_is_accepted(mut world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let chat = world.direct(ann, bob).await;
    let id = offer(&world, chat, ann, bob).await.id;
    assert_eq!(take(&world, id, ann, P2pPath::Relayed).await, P2pChanged::Conflict(P2pStatus::Offered));
    status(say(&world, id, bob, P2pStatus::Accepted).await);
    for (by, path) in [(ann, P2pPath::Relayed), (bob, P2pPath::Direct), (ann, P2pPath::Relayed), (ann, P2pPath::Stored)]
    {
        take(&world, id, by, path).await;
        assert_eq!(world.store.p2p_session(id, ann).await.unwrap().unwrap().path, Some(path));
    }
    for late in [P2pPath::Direct, P2pPath::Relayed] {
        assert_eq!(
            take(&world, id, bob, late).await,
            P2pChanged::Conflict(P2pStatus::Accepted),
            "what is stored stays so"
        );
    }
    status(take(&world, id, ann, P2pPath::Stored).await);
    status(say(&world, id, bob, P2pStatus::Finished).await);
    assert_eq!(take(&world, id, bob, P2pPath::Relayed).await, P2pChanged::Conflict(P2pStatus::Finished));
    assert_eq!(world.store.p2p_session(id, bob).await.unwrap().unwrap().path, Some(P2pPath::Stored));
}

pub(in crate::store) async fn a_session_outlives_leaving_the_chat(mut world: World) {
    let (ann, bob, carol) = (world.user("ann").await, world.user("bob").await, world.user("carol").await);
    let chat = world.group(carol, &[ann, bob]).await.id;
    let id = offer(&world, chat, ann, bob).await.id;
    world.store.remove_member(chat, carol, ann, world.now()).await.unwrap();
    assert_eq!(status(say(&world, id, bob, P2pStatus::Accepted).await), P2pStatus::Accepted);
    assert_eq!(status(say(&world, id, ann, P2pStatus::Failed).await), P2pStatus::Failed);
    assert_eq!(world.feed(ann).await.iter().filter(|event| event.what == Entry::P2p(id)).count(), 3);
    let refused = world.store.offer_p2p(new_offer(&world, chat, ann, bob)).await.unwrap();
    assert_eq!(refused, Offered::NoChat);
}

pub(in crate::store) async fn both_sides_hear_of_every_change(mut world: World) {
    let (ann, bob, carol) = (world.user("ann").await, world.user("bob").await, world.user("carol").await);
    let chat = world.group(ann, &[bob, carol]).await.id;
    let id = offer(&world, chat, ann, bob).await.id;
    status(say(&world, id, bob, P2pStatus::Accepted).await);
    status(say(&world, id, bob, P2pStatus::Accepted).await);
    say(&world, id, ann, P2pStatus::Finished).await;
    for fanout in world.told(2).await {
        assert_eq!((fanout.chat, &fanout.what), (chat, &Happening::P2p(id)));
        let to: Vec<_> = fanout.to.iter().map(|(user, _)| *user).collect();
        assert_eq!(to, [ann, bob]);
    }
    world.nothing_told();
    for user in [ann, bob] {
        let feed = world.feed(user).await;
        let told = feed.iter().filter(|event| event.what == Entry::P2p(id) && event.chat == chat).count();
        assert_eq!(told, 2);
    }
    assert!(world.feed(carol).await.iter().all(|event| event.what != Entry::P2p(id)));
}

pub(in crate::store) async fn sessions_of_both_sides_are_listed_newest_first(mut world: World) {
    let (ann, bob, carol) = (world.user("ann").await, world.user("bob").await, world.user("carol").await);
    let chat = world.group(ann, &[bob, carol]).await.id;
    let first = offer(&world, chat, ann, bob).await;
    let second = offer(&world, chat, bob, ann).await;
    offer(&world, chat, bob, carol).await;
    let third = offer(&world, chat, ann, carol).await;
    let list = async |before, limit| world.store.p2p_sessions_of(ann, before, limit).await.unwrap();
    assert_eq!(list(None, 10).await, [third.clone(), second.clone(), first.clone()]);
    assert_eq!(list(None, 2).await, [third.clone(), second.clone()]);
    assert_eq!(list(Some(second.id), 2).await, std::slice::from_ref(&first));
    assert_eq!(list(Some(first.id), 2).await, []);
}

pub(in crate::store) async fn sessions_without_news_are_pruned(mut world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let chat = world.direct(ann, bob).await;
    let (old, kept) = (offer(&world, chat, ann, bob).await, offer(&world, chat, ann, bob).await);
    let before = world.now();
    status(say(&world, kept.id, bob, P2pStatus::Accepted).await);
    assert_eq!(world.store.prune_p2p(before).await.unwrap(), 1);
    assert_eq!(world.store.p2p_session(old.id, ann).await.unwrap(), None);
    assert!(world.store.p2p_session(kept.id, ann).await.unwrap().is_some());
    assert_eq!(world.store.prune_p2p(before).await.unwrap(), 0);
}
