//! What the writer remembers saves reading, and is never believed where another server has been.

use super::{
    MongodbStore,
    tests::{deaf, direct, open, post},
};
use crate::{
    settings::MongodbUri,
    store::{
        Store,
        chats::{NewGroup, RemoveMember},
        conformance::{new_user, user},
        messages::{Append, NewMessage},
        sqlite::SqliteStore,
    },
};
use hypersend_lab::{Dice, mongod};
use hypersend_protocol::{
    id::{ChatId, ClientId, Cursor, Seq, UserId},
    name::ChatTitle,
    time::UnixMillis,
};
use mongodb::event::{EventHandler, command::CommandEvent};
use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};
use uuid::Uuid;

const NOW: UnixMillis = UnixMillis(5);

async fn group(store: &dyn Store, owner: UserId, members: &[UserId]) -> ChatId {
    let (id, client_id) = (ChatId(Uuid::now_v7()), ClientId(Uuid::new_v4()));
    let title = ChatTitle::parse("group").unwrap();
    let new = NewGroup { id, client_id, title, owner, members: members.to_vec(), now: NOW };
    store.create_group(new).await.unwrap().id
}

async fn posted(store: &dyn Store, chat: ChatId, sender: UserId) -> Option<u64> {
    match store.append_message(post(chat, sender)).await.unwrap() {
        Append::Posted { seq, .. } => Some(seq.0),
        _ => None,
    }
}

#[tokio::test]
async fn what_is_remembered_is_not_read_again() {
    let database = mongod::database().await;
    let reads = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&reads);
    let watcher = EventHandler::Callback(Arc::new(move |event| {
        if matches!(event, CommandEvent::Started(started) if started.command_name == "find") {
            counted.fetch_add(1, Ordering::Relaxed);
        }
    }));
    let uri = MongodbUri::parse(&database.uri()).unwrap();
    let store = MongodbStore::open_watched(&uri, deaf(), Some(watcher)).await.unwrap();
    let (ann, bob) = (user(&store, "ann").await, user(&store, "bob").await);
    let chat = direct(&store, ann, bob).await;
    assert_eq!(posted(&store, chat, ann).await, Some(1));
    let before = reads.load(Ordering::Relaxed);
    for seq in 2..10 {
        assert_eq!(posted(&store, chat, bob).await, Some(seq));
        assert_eq!(store.mark_read(chat, ann, Seq(seq), NOW).await.unwrap(), Some(Seq(seq)));
    }
    assert_eq!(reads.load(Ordering::Relaxed), before);
}

/// Each of these is remembered wrongly at one server when the other has acted.
#[tokio::test]
async fn what_another_server_did_is_heeded() {
    let database = mongod::database().await;
    let (here, there) = (open(&database.uri(), deaf()).await.unwrap(), open(&database.uri(), deaf()).await.unwrap());
    let (ann, bob, carol) = (user(&here, "ann").await, user(&here, "bob").await, user(&here, "carol").await);
    let remembering = async || {
        let chat = group(&here, ann, &[bob]).await;
        assert_eq!(posted(&here, chat, ann).await, Some(1));
        chat
    };

    let chat = remembering().await;
    there.add_members(chat, ann, &[carol], NOW).await.unwrap();
    assert_eq!(posted(&here, chat, carol).await, Some(2), "who was let in may post");

    let chat = remembering().await;
    assert_eq!(there.remove_member(chat, ann, bob, NOW).await.unwrap(), RemoveMember::Done);
    assert_eq!(posted(&here, chat, bob).await, None, "who was taken out may not");

    // Reading what another chat needs must not make what is remembered of this one look right.
    let chat = remembering().await;
    let other = group(&there, bob, &[carol]).await;
    there.remove_member(chat, bob, bob, NOW).await.unwrap();
    assert_eq!(posted(&here, other, bob).await, Some(1));
    assert_eq!(posted(&here, chat, bob).await, None);
    assert_eq!(posted(&here, chat, ann).await, Some(2));
    assert_eq!(here.feed_head(bob).await.unwrap(), there.feed_head(bob).await.unwrap());

    let chat = remembering().await;
    assert_eq!(posted(&there, chat, bob).await, Some(2));
    let reply = NewMessage { reply_to: Some(Seq(2)), ..post(chat, ann) };
    let answer = here.append_message(reply).await.unwrap();
    assert!(matches!(answer, Append::Posted { seq: Seq(3), .. }), "what was posted there can be answered: {answer:?}");

    let chat = remembering().await;
    assert_eq!(posted(&there, chat, bob).await, Some(2));
    assert_eq!(here.mark_read(chat, ann, Seq(2), NOW).await.unwrap(), Some(Seq(2)), "and read");

    let chat = remembering().await;
    assert_eq!(there.mark_read(chat, bob, Seq(1), NOW).await.unwrap(), Some(Seq(1)));
    assert_eq!(here.mark_read(chat, bob, Seq(0), NOW).await.unwrap(), Some(Seq(1)), "a mark does not go back");
}

/// A message that was posted before is found before it is written, where the batch before had such a one too.
#[tokio::test]
async fn a_post_that_is_repeated_is_not_answered_from_memory() {
    let database = mongod::database().await;
    let (here, there) = (open(&database.uri(), deaf()).await.unwrap(), open(&database.uri(), deaf()).await.unwrap());
    let (ann, bob) = (user(&here, "ann").await, user(&here, "bob").await);
    let chat = group(&here, ann, &[bob]).await;
    let new = post(chat, bob);
    let first = there.append_message(new.clone()).await.unwrap();
    assert!(matches!(first, Append::Posted { seq: Seq(1), .. }), "{first:?}");
    assert_eq!(here.append_message(new.clone()).await.unwrap(), first, "it is remembered here, with its chat");
    assert_eq!(there.remove_member(chat, ann, bob, NOW).await.unwrap(), RemoveMember::Done);
    assert_eq!(here.append_message(new).await.unwrap(), Append::NotFound, "who was taken out is told of no message");
}

/// Two servers act by turns, each for a while; what comes of it is what comes of the same acts on one store of another kind.
#[tokio::test]
async fn two_servers_by_turns_are_as_one() {
    const ACTS: u32 = 500;
    let database = mongod::database().await;
    let servers = [open(&database.uri(), deaf()).await.unwrap(), open(&database.uri(), deaf()).await.unwrap()];
    let folder = tempfile::tempdir().unwrap();
    let model = SqliteStore::open(&folder.path().join("model.db"), deaf()).await.unwrap();
    let mut people = Vec::new();
    for name in ["ann", "bob", "carol", "dan"] {
        let new = new_user(name, NOW);
        people.push(new.id);
        assert!(servers[0].create_user(new.clone()).await.unwrap() && model.create_user(new).await.unwrap());
    }
    let mut chats = Vec::new();
    for n in 0..3 {
        let (id, client_id) = (ChatId(Uuid::now_v7()), ClientId(Uuid::new_v4()));
        let title = ChatTitle::parse("group").unwrap();
        let new = NewGroup { id, client_id, title, owner: people[n], members: people.clone(), now: NOW };
        assert_eq!(servers[1].create_group(new.clone()).await.unwrap(), model.create_group(new).await.unwrap());
        chats.push(id);
    }

    let mut dice = Dice::new();
    let mut turn = 0;
    let mut posts: Vec<NewMessage> = Vec::new();
    for act in 0..ACTS {
        if dice.below(25) == 0 {
            turn = 1 - turn;
        }
        let server = &servers[turn];
        let mut pick = |among: usize| usize::try_from(dice.below(among as u64)).unwrap();
        let (chat, who, whom) = (chats[pick(chats.len())], people[pick(people.len())], people[pick(people.len())]);
        let seq = Seq(pick(40) as u64);
        let now = UnixMillis(u64::from(act) + 10);
        let (real, expected) = match pick(12) {
            0..=6 => {
                let reply_to = (pick(8) == 0).then_some(seq);
                let mut new = NewMessage { reply_to, now, ..post(chat, who) };
                if pick(10) == 0 && !posts.is_empty() {
                    new = posts[pick(posts.len())].clone();
                }
                posts.push(new.clone());
                let real = server.append_message(new.clone()).await.unwrap();
                (format!("{real:?}"), format!("{:?}", model.append_message(new).await.unwrap()))
            }
            7 | 8 => {
                let real = server.mark_read(chat, who, seq, now).await.unwrap();
                (format!("{real:?}"), format!("{:?}", model.mark_read(chat, who, seq, now).await.unwrap()))
            }
            9 => {
                let real = server.remove_member(chat, who, whom, now).await.unwrap();
                (format!("{real:?}"), format!("{:?}", model.remove_member(chat, who, whom, now).await.unwrap()))
            }
            10 => {
                let real = server.add_members(chat, who, &[whom], now).await.unwrap();
                (format!("{real:?}"), format!("{:?}", model.add_members(chat, who, &[whom], now).await.unwrap()))
            }
            _ => {
                let real = server.delete_message(chat, seq, who, now).await.unwrap();
                (format!("{real:?}"), format!("{:?}", model.delete_message(chat, seq, who, now).await.unwrap()))
            }
        };
        assert_eq!(real, expected, "act {act}");
    }
    for &user in &people {
        let real = servers[0].events_after(user, Cursor(0), u32::MAX).await.unwrap();
        assert_eq!(real, model.events_after(user, Cursor(0), u32::MAX).await.unwrap());
        let real = servers[1].chats_of(user, None, u32::MAX).await.unwrap();
        assert_eq!(real, model.chats_of(user, None, u32::MAX).await.unwrap());
    }
}
