//! Messages: dense numbers, posted once, deleted into tombstones.

use super::world::{World, client_id, no_chat, no_file, text};
use crate::store::{
    events::{Fanout, Happening},
    messages::{Append, DeleteMessage, Message, NewMessage},
};
use futures::future::join_all;
use hypersend_protocol::{
    file::FileCard,
    id::{ChatId, Cursor, FileId, Revision, Seq},
};
use std::sync::Arc;

async fn history(world: &World, chat: ChatId) -> Vec<Message> {
    world.store.messages_after(chat, Seq(0), u32::MAX).await.unwrap()
}

fn numbers(messages: &[Message]) -> Vec<u64> {
    messages.iter().map(|message| message.seq.0).collect()
}

pub(in crate::store) async fn a_message_is_read_back(mut world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let chat = world.direct(ann, bob).await;
    let (one, two) = (world.file(ann, "one \"quoted\".bin").await, world.file(ann, "zwei\u{fc}.bin").await);
    world.post(chat, bob, "first").await;
    let new = NewMessage {
        text: Some(text("two\nlines, and \u{1f600}")),
        files: vec![two.id, one.id],
        reply_to: Some(Seq(1)),
        ..world.new_message(chat, ann, "-")
    };
    let outcome = world.store.append_message(new.clone()).await.unwrap();
    assert_eq!(outcome, Append::Posted { seq: Seq(2), at: new.now });
    let message = Message {
        chat,
        seq: Seq(2),
        sender: ann,
        client_id: new.client_id,
        at: new.now,
        text: new.text,
        files: vec![FileCard::from(&two), FileCard::from(&one)],
        reply_to: Some(Seq(1)),
        deleted: None,
        revision: Revision(0),
    };
    assert_eq!(history(&world, chat).await[1], message);
    let told = world.told(2).await;
    let Fanout { chat: place, at, what, to } = &told[1];
    assert_eq!((*place, *at, what), (chat, new.now, &Happening::Posted(Arc::new(message))));
    let mut to = to.clone();
    to.sort_unstable();
    assert_eq!(to, [(ann, Cursor(3)), (bob, Cursor(3))]);
}

pub(in crate::store) async fn numbers_are_dense_however_many_post(mut world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let chat = world.direct(ann, bob).await;
    let posts = (0..200).map(|n| world.post(chat, if n % 3 == 0 { ann } else { bob }, "hi"));
    let mut seqs: Vec<u64> = join_all(posts).await.into_iter().map(|seq| seq.0).collect();
    seqs.sort_unstable();
    assert_eq!(seqs, (1..=200).collect::<Vec<_>>());
    assert_eq!(numbers(&history(&world, chat).await), seqs);
    assert_eq!(world.store.chat(chat, ann).await.unwrap().unwrap().last, Seq(200));
}

pub(in crate::store) async fn a_message_is_posted_once_however_often_it_is_sent(mut world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let chat = world.direct(ann, bob).await;
    let news: Vec<NewMessage> = (0..10).map(|n| world.new_message(chat, ann, &n.to_string())).collect();
    let sent = join_all(news.iter().cycle().take(80).map(async |new| {
        let outcome = world.store.append_message(NewMessage { now: world.now(), ..new.clone() }).await.unwrap();
        (new.client_id, outcome)
    }))
    .await;
    let messages = history(&world, chat).await;
    assert_eq!(messages.len(), 10);
    for (id, outcome) in sent {
        let message = messages.iter().find(|message| message.client_id == id).unwrap();
        assert_eq!(outcome, Append::Posted { seq: message.seq, at: message.at });
    }
    world.told(10).await;
    world.nothing_told();

    // The retry is answered even if it could not be posted today.
    let bad = NewMessage { files: vec![no_file()], reply_to: Some(Seq(99)), ..news[0].clone() };
    let again = messages.iter().find(|message| message.client_id == bad.client_id).unwrap();
    let outcome = world.store.append_message(bad).await.unwrap();
    assert_eq!(outcome, Append::Posted { seq: again.seq, at: again.at });
}

pub(in crate::store) async fn a_client_id_counts_within_its_sender_and_chat(mut world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let (chat, group) = (world.direct(ann, bob).await, world.group(ann, &[]).await.id);
    let new = world.new_message(chat, ann, "hi");
    for new in [new.clone(), NewMessage { sender: bob, ..new.clone() }, NewMessage { chat: group, ..new }] {
        world.store.append_message(new).await.unwrap();
    }
    assert_eq!(history(&world, chat).await.len(), 2);
    assert_eq!(history(&world, group).await.len(), 1);
}

pub(in crate::store) async fn posting_is_for_members(mut world: World) {
    let (ann, bob, eve) = (world.user("ann").await, world.user("bob").await, world.user("eve").await);
    let chat = world.direct(ann, bob).await;
    for (chat, sender) in [(chat, eve), (no_chat(), ann)] {
        let outcome = world.store.append_message(world.new_message(chat, sender, "hi")).await.unwrap();
        assert_eq!(outcome, Append::NotFound);
    }
    world.nothing_told();
    assert!(history(&world, chat).await.is_empty());
}

pub(in crate::store) async fn posting_reads(mut world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let chat = world.direct(ann, bob).await;
    world.post(chat, bob, "one").await;
    world.post(chat, ann, "two").await;
    let told = world.told(2).await;
    assert!(told.iter().all(|fanout| matches!(fanout.what, Happening::Posted(_))), "no mark is told of");
    world.nothing_told();
    let chat = world.store.chat(chat, ann).await.unwrap().unwrap();
    let read: Vec<_> = chat.members.iter().map(|member| (member.profile.id, member.read)).collect();
    assert_eq!(read, [(ann, Seq(2)), (bob, Seq(1))]);
}

pub(in crate::store) async fn a_reply_needs_its_message(mut world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let chat = world.direct(ann, bob).await;
    world.post(chat, bob, "one").await;
    world.post(chat, bob, "two").await;
    world.store.delete_message(chat, Seq(2), bob, world.now()).await.unwrap();
    let reply = async |to| {
        let new = NewMessage { reply_to: Some(Seq(to)), ..world.new_message(chat, ann, "re") };
        world.store.append_message(new).await.unwrap()
    };
    for missing in [0, 3, u64::MAX] {
        assert_eq!(reply(missing).await, Append::ReplyNotFound(Seq(missing)));
    }
    assert!(matches!(reply(1).await, Append::Posted { seq: Seq(3), .. }));
    assert!(matches!(reply(2).await, Append::Posted { .. }), "a tombstone can be answered");
    assert_eq!(history(&world, chat).await[2].reply_to, Some(Seq(1)));
}

pub(in crate::store) async fn a_posted_file_must_be_readable(mut world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let chat = world.direct(ann, bob).await;
    let (mine, theirs) = (world.file(ann, "mine").await.id, world.file(bob, "theirs").await.id);
    let unfinished = world.upload(ann, "unfinished").await.id;
    let post = async |files: &[FileId]| {
        let new = NewMessage { files: files.to_vec(), ..world.new_message(chat, ann, "see") };
        world.store.append_message(new).await.unwrap()
    };
    for missing in [theirs, unfinished, no_file()] {
        assert_eq!(post(&[mine, missing]).await, Append::FileNotFound(missing));
    }
    assert!(history(&world, chat).await.is_empty());
    assert_eq!(world.store.file(mine, bob).await.unwrap(), None, "a refused message gives no access");
    assert!(matches!(post(&[mine]).await, Append::Posted { seq: Seq(1), .. }));
    assert!(matches!(post(&[mine, mine]).await, Append::Posted { seq: Seq(2), .. }));
    world.told(2).await;
    world.nothing_told();
}

pub(in crate::store) async fn a_file_is_posted_on_by_who_received_it(mut world: World) {
    let (ann, bob, mia) = (world.user("ann").await, world.user("bob").await, world.user("mia").await);
    let (first, second) = (world.direct(ann, bob).await, world.direct(bob, mia).await);
    let file = world.file(ann, "story").await;
    world.post_files(first, ann, &[&file]).await;
    world.post_files(second, bob, &[&file]).await;
    assert_eq!(world.store.file(file.id, mia).await.unwrap(), Some(file));
}

pub(in crate::store) async fn history_is_paged_forwards(mut world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let (chat, other) = (world.direct(ann, bob).await, world.group(ann, &[]).await.id);
    for n in 1..=7 {
        world.post(chat, ann, &n.to_string()).await;
        world.post(other, ann, "elsewhere").await;
    }
    let page = async |after, limit| {
        let page = world.store.messages_after(chat, Seq(after), limit).await.unwrap();
        assert!(page.iter().all(|message| message.chat == chat));
        numbers(&page)
    };
    assert_eq!(page(0, 3).await, [1, 2, 3]);
    assert_eq!(page(3, 3).await, [4, 5, 6]);
    assert_eq!(page(6, 3).await, [7]);
    assert!(page(7, 3).await.is_empty());
    assert!(page(u64::MAX, 3).await.is_empty());
    assert!(world.store.messages_after(no_chat(), Seq(0), 3).await.unwrap().is_empty());
}

pub(in crate::store) async fn history_is_paged_backwards(mut world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let (chat, other) = (world.direct(ann, bob).await, world.group(ann, &[]).await.id);
    for n in 1..=7 {
        world.post(chat, ann, &n.to_string()).await;
        world.post(other, ann, "elsewhere").await;
    }
    let page = async |before: Option<u64>, limit| {
        numbers(&world.store.messages_before(chat, before.map(Seq), limit).await.unwrap())
    };
    assert_eq!(page(None, 3).await, [5, 6, 7]);
    assert_eq!(page(Some(u64::MAX), 3).await, [5, 6, 7]);
    assert_eq!(page(Some(5), 3).await, [2, 3, 4]);
    assert_eq!(page(Some(2), 3).await, [1]);
    assert!(page(Some(1), 3).await.is_empty());
    assert!(page(Some(0), 3).await.is_empty());
}

pub(in crate::store) async fn a_deleted_message_is_a_tombstone(mut world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let chat = world.direct(ann, bob).await;
    let file = world.file(ann, "plan").await;
    world.post(chat, bob, "one").await;
    let secret = NewMessage { files: vec![file.id], ..world.new_message(chat, ann, "secret") };
    world.store.append_message(secret.clone()).await.unwrap();
    let before = history(&world, chat).await;
    world.told(2).await;

    let now = world.now();
    assert_eq!(world.store.delete_message(chat, Seq(2), ann, now).await.unwrap(), DeleteMessage::Done);
    let tombstone =
        Message { text: None, files: Vec::new(), deleted: Some(now), revision: Revision(1), ..before[1].clone() };
    assert_eq!(history(&world, chat).await, [before[0].clone(), tombstone.clone()]);
    let told = world.told(1).await;
    assert_eq!(told[0].what, Happening::Changed(Arc::new(tombstone.clone())));
    assert_eq!((told[0].chat, told[0].at, told[0].to.len()), (chat, now, 2));

    assert_eq!(world.store.delete_message(chat, Seq(2), ann, world.now()).await.unwrap(), DeleteMessage::Done);
    world.nothing_told();
    assert_eq!(history(&world, chat).await[1], tombstone);
    let seen = world.store.chat(chat, ann).await.unwrap().unwrap();
    assert_eq!((seen.last, seen.revision), (Seq(2), Revision(1)));

    let again = world.store.append_message(secret.clone()).await.unwrap();
    assert_eq!(again, Append::Posted { seq: Seq(2), at: secret.now }, "a late retry does not bring it back");
    assert_eq!(world.store.chats_of(bob, None, 1).await.unwrap()[0].last_message, Some(tombstone));
}

pub(in crate::store) async fn deleting_is_for_senders_and_owners(mut world: World) {
    let (ann, bob, mia, eve) =
        (world.user("ann").await, world.user("bob").await, world.user("mia").await, world.user("eve").await);
    let direct = world.direct(ann, bob).await;
    let group = world.group(ann, &[bob, mia]).await.id;
    world.post(direct, bob, "one").await;
    world.post(group, bob, "one").await;
    world.post(group, ann, "two").await;
    for (chat, seq, by, expected) in [
        (direct, 1, ann, DeleteMessage::Forbidden),
        (direct, 1, eve, DeleteMessage::NotFound),
        (direct, 2, bob, DeleteMessage::NotFound),
        (direct, 0, bob, DeleteMessage::NotFound),
        (direct, u64::MAX, bob, DeleteMessage::NotFound),
        (no_chat(), 1, bob, DeleteMessage::NotFound),
        (group, 1, mia, DeleteMessage::Forbidden),
        (group, 2, bob, DeleteMessage::Forbidden),
        (group, 1, ann, DeleteMessage::Done),
        (group, 1, mia, DeleteMessage::Forbidden),
        (group, 1, bob, DeleteMessage::Done),
    ] {
        let outcome = world.store.delete_message(chat, Seq(seq), by, world.now()).await.unwrap();
        assert_eq!(outcome, expected, "{seq} by {by}");
    }
    assert_eq!(history(&world, direct).await[0].deleted, None);
}

pub(in crate::store) async fn changes_are_listed_in_their_order(mut world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let chat = world.direct(ann, bob).await;
    for n in 1..=6 {
        world.post(chat, ann, &n.to_string()).await;
    }
    for seq in [5, 2, 4] {
        world.store.delete_message(chat, Seq(seq), ann, world.now()).await.unwrap();
    }
    let changed = async |after, limit| {
        let page = world.store.messages_changed(chat, Revision(after), limit).await.unwrap();
        page.into_iter().map(|message| (message.seq.0, message.revision.0)).collect::<Vec<_>>()
    };
    assert_eq!(changed(0, 10).await, [(5, 1), (2, 2), (4, 3)]);
    assert_eq!(changed(0, 2).await, [(5, 1), (2, 2)]);
    assert_eq!(changed(2, 10).await, [(4, 3)]);
    assert!(changed(3, 10).await.is_empty());
    assert!(changed(u64::MAX, 10).await.is_empty());
}

pub(in crate::store) async fn deleting_takes_back_its_files(mut world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let chat = world.direct(ann, bob).await;
    let (once, twice) = (world.file(ann, "once").await, world.file(ann, "twice").await);
    let first = world.post_files(chat, ann, &[&once, &twice]).await;
    let second = world.post_files(chat, ann, &[&twice]).await;
    world.store.delete_message(chat, first, ann, world.now()).await.unwrap();
    assert_eq!(world.store.file(once.id, bob).await.unwrap(), None);
    assert_eq!(world.store.file(once.id, ann).await.unwrap(), Some(once), "it stays its owner's");
    assert_eq!(world.store.file(twice.id, bob).await.unwrap(), Some(twice.clone()), "another message gives it");
    world.store.delete_message(chat, second, ann, world.now()).await.unwrap();
    assert_eq!(world.store.file(twice.id, bob).await.unwrap(), None);
    let resent = NewMessage { files: vec![twice.id], client_id: client_id(), ..world.new_message(chat, bob, "mine?") };
    assert_eq!(world.store.append_message(resent).await.unwrap(), Append::FileNotFound(twice.id));
}
