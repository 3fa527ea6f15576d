//! Talking, on one or several devices.

use crate::support::{code, next_event, next_message, text};
use hypersend_client::{
    ChatEvent, ChatHandle, PostError,
    protocol::{
        chat::{Chat, ChatKind, Message, Post},
        id::{ClientId, FileId, Revision, Seq},
        limit::{MAX_FILES_PER_MESSAGE, MAX_PAGE},
        refusal::ErrorCode,
    },
};
use hypersend_lab::{TestServer, TestUser, eventually, user::email, users, within};
use uuid::Uuid;

const START: (Seq, Revision) = (Seq(0), Revision(0));

async fn direct(ann: &TestUser, bob: &TestUser) -> Chat {
    ann.client.open_direct(bob.email()).await.unwrap()
}

/// An open chat; `Opened` has come.
async fn open(client: &hypersend_client::Client, chat: &Chat, (seq, revision): (Seq, Revision)) -> ChatHandle {
    let mut handle = client.open_chat(chat.id, seq, revision);
    match within("the chat opens", handle.next()).await.unwrap() {
        ChatEvent::Opened(opened) => assert_eq!(opened.id, chat.id),
        other => panic!("{other:?} came before the chat was open"),
    }
    handle
}

fn texts(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| message.text.as_ref().unwrap().as_str()).collect()
}

#[tokio::test]
async fn two_people_have_one_direct_chat() {
    let server = TestServer::start().await;
    let [ann, bob] = users(&server).await;
    let chat = direct(&ann, &bob).await;
    assert_eq!((chat.kind, chat.members.len(), chat.last), (ChatKind::Direct, 2, Seq(0)));
    assert_eq!(direct(&bob, &ann).await.id, chat.id);
    assert_eq!(code(ann.client.open_direct(ann.email()).await), ErrorCode::Invalid);
    assert_eq!(code(ann.client.open_direct(email("nobody")).await), ErrorCode::NotFound);
}

#[tokio::test]
async fn a_message_reaches_every_device_of_everybody() {
    let server = TestServer::start().await;
    let [ann, bob] = users(&server).await;
    let chat = direct(&ann, &bob).await;
    let tablet = bob.device(server.config()).await;
    let mut devices = [
        open(&ann.client, &chat, START).await,
        open(&bob.client, &chat, START).await,
        open(&tablet, &chat, START).await,
    ];
    let posted = devices[0].post(text("hello"), vec![]).await.unwrap();
    let answered = devices[2].post(text("  hello yourself\n"), vec![]).await.unwrap();
    assert_eq!((posted.seq, answered.seq), (Seq(1), Seq(2)));
    for device in &mut devices {
        let messages = [next_message(device).await, next_message(device).await];
        assert_eq!(texts(&messages), ["hello", "hello yourself"]);
        assert_eq!([messages[0].sender, messages[1].sender], [ann.id(), bob.id()]);
        assert_eq!(messages[0].client_id, posted.client_id);
    }
}

#[tokio::test]
async fn typing_and_reading_are_seen_by_the_others() {
    let server = TestServer::start().await;
    let [ann, bob] = users(&server).await;
    let chat = direct(&ann, &bob).await;
    let (mut hers, mut his) = (open(&ann.client, &chat, START).await, open(&bob.client, &chat, START).await);
    hers.typing().await.unwrap();
    let typing = |event| if let ChatEvent::Typing(user) = event { Some(user) } else { None };
    assert_eq!(next_event(&mut his, typing).await, ann.id());
    hers.post(text("read this"), vec![]).await.unwrap();
    his.read(Seq(1)).await.unwrap();
    let read = |event| if let ChatEvent::Read(user, seq) = event { Some((user, seq)) } else { None };
    assert_eq!(next_event(&mut hers, read).await, (bob.id(), Seq(1)));
}

#[tokio::test]
async fn history_comes_in_pages_from_the_newest_backwards() {
    let server = TestServer::start().await;
    let [ann, bob] = users(&server).await;
    let chat = direct(&ann, &bob).await;
    for n in 1..=250 {
        ann.client.post(chat.id, text(format!("number {n}")), vec![]).await.unwrap();
    }
    let mut before = None;
    let mut seen = Vec::new();
    for (length, more) in [(100, true), (100, true), (50, false)] {
        let page = bob.client.history(chat.id, before, 100).await.unwrap();
        assert_eq!((page.messages.len(), page.more), (length, more));
        before = Some(page.messages[0].seq);
        seen.splice(0..0, page.messages);
    }
    assert!(seen.iter().map(|message| message.seq.0).eq(1..=250));
    assert_eq!(texts(&seen)[41], "number 42");
    let most = bob.client.history(chat.id, None, 1_000).await.unwrap();
    assert_eq!((most.messages.len(), most.more), (MAX_PAGE as usize, true));

    // An open chat brings all of it, in order.
    let mut handle = open(&bob.client, &chat, (Seq(40), Revision(0))).await;
    for n in 41..=250 {
        assert_eq!(next_message(&mut handle).await.seq, Seq(n));
    }
}

#[tokio::test]
async fn the_list_shows_the_last_message_and_how_many_are_unread() {
    let server = TestServer::start().await;
    let [ann, bob, carol] = users(&server).await;
    let (with_bob, with_carol) = (direct(&ann, &bob).await, direct(&ann, &carol).await);
    for n in 1..=3 {
        bob.client.post(with_bob.id, text(format!("from bob, {n}")), vec![]).await.unwrap();
    }
    carol.client.post(with_carol.id, text("from carol"), vec![]).await.unwrap();
    let list = async || ann.client.chats(None).await.unwrap().chats;
    let lines = list().await;
    assert_eq!(lines.iter().map(|line| line.id).collect::<Vec<_>>(), [with_carol.id, with_bob.id]);
    assert_eq!((lines[1].title.as_str(), lines[1].unread), ("user1", 3));
    assert_eq!(lines[1].peer.as_ref(), Some(&bob.profile));
    assert_eq!(texts(&[lines[1].last_message.clone().unwrap()]), ["from bob, 3"]);

    ann.client.mark_read(with_bob.id, Seq(2)).await.unwrap();
    ann.client.mark_read(with_bob.id, Seq(1)).await.unwrap();
    assert_eq!(list().await[1].unread, 1, "a read mark never moves back");
    let phone = ann.device(server.config()).await;
    assert_eq!(phone.chats(None).await.unwrap().chats[1].unread, 1, "it is the user's, not the device's");
    assert_eq!(bob.client.chats(None).await.unwrap().chats[0].unread, 0, "one's own messages are read");
}

#[tokio::test]
async fn a_deleted_message_leaves_a_tombstone_for_everybody() {
    let server = TestServer::start().await;
    let [ann, bob] = users(&server).await;
    let chat = direct(&ann, &bob).await;
    let mut his = open(&bob.client, &chat, START).await;
    for n in 1..=3 {
        ann.client.post(chat.id, text(format!("secret {n}")), vec![]).await.unwrap();
    }
    for _ in 0..3 {
        next_message(&mut his).await;
    }
    assert_eq!(code(bob.client.delete_message(chat.id, Seq(2)).await), ErrorCode::Forbidden);
    assert_eq!(code(ann.client.delete_message(chat.id, Seq(9)).await), ErrorCode::NotFound);
    ann.client.delete_message(chat.id, Seq(2)).await.unwrap();
    ann.client.delete_message(chat.id, Seq(2)).await.unwrap();

    let changed = |event| if let ChatEvent::Changed(message) = event { Some(message) } else { None };
    let live = next_event(&mut his, changed).await;
    assert_eq!((live.seq, live.revision, live.text.clone()), (Seq(2), Revision(1), None));
    assert!(live.deleted.is_some());
    // Who was away hears of it once; who knows it already does not.
    let mut back = open(&bob.client, &chat, (Seq(3), Revision(0))).await;
    assert_eq!(next_event(&mut back, changed).await, live);
    let mut knows = open(&bob.client, &chat, (Seq(3), Revision(1))).await;
    ann.client.post(chat.id, text("the next thing"), vec![]).await.unwrap();
    let first = |event| (!matches!(event, ChatEvent::Present(_))).then_some(event);
    assert!(matches!(next_event(&mut knows, first).await, ChatEvent::Message(next) if next.seq == Seq(4)));
    let history = bob.client.history(chat.id, None, 10).await.unwrap().messages;
    assert_eq!(history[1], live);
}

#[tokio::test]
async fn a_message_posted_twice_is_there_once() {
    let server = TestServer::start().await;
    let [ann, bob] = users(&server).await;
    let chat = direct(&ann, &bob).await;
    let post = Post { client_id: ClientId(Uuid::from_u128(7)), text: text("once"), files: vec![], reply_to: None };
    let first = ann.client.post_as(chat.id, post.clone()).await.unwrap();
    assert_eq!(ann.client.post_as(chat.id, post.clone()).await.unwrap(), first);
    let (one, other) =
        tokio::join!(ann.client.post_as(chat.id, post.clone()), ann.client.post_as(chat.id, post.clone()));
    assert_eq!((one.unwrap(), other.unwrap()), (first, first));
    let his = bob.client.post_as(chat.id, post).await.unwrap();
    assert_eq!(his.seq, Seq(2), "ids are each sender's own");
    assert_eq!(bob.client.history(chat.id, None, 10).await.unwrap().messages.len(), 2);
}

#[tokio::test]
async fn what_cannot_be_posted_is_refused_and_the_chat_stays_open() {
    let server = TestServer::start().await;
    let [ann, bob] = users(&server).await;
    let chat = direct(&ann, &bob).await;
    let mut handle = open(&ann.client, &chat, START).await;
    let nothing = FileId(Uuid::from_u128(1));
    let refused = |result| match result {
        Err(PostError::Refused(refusal)) => refusal,
        other => panic!("not refused: {other:?}"),
    };
    assert_eq!(refused(handle.post(None, vec![]).await).code, ErrorCode::Invalid);
    assert_eq!(refused(handle.post(None, vec![nothing]).await).code, ErrorCode::NotFound);
    let many = refused(handle.post(None, vec![nothing; MAX_FILES_PER_MESSAGE + 1]).await);
    assert_eq!((many.code, many.limit), (ErrorCode::LimitReached, Some(MAX_FILES_PER_MESSAGE as u64)));
    let reply = |to| Post { client_id: ClientId(Uuid::new_v4()), text: text("yes"), files: vec![], reply_to: Some(to) };
    assert_eq!(code(ann.client.post_as(chat.id, reply(Seq(1))).await), ErrorCode::NotFound);

    assert_eq!(handle.post(text("a question"), vec![]).await.unwrap().seq, Seq(1));
    ann.client.post_as(chat.id, reply(Seq(1))).await.unwrap();
    next_message(&mut handle).await;
    assert_eq!(next_message(&mut handle).await.reply_to, Some(Seq(1)));
}

#[tokio::test]
async fn a_dropped_handle_leaves_nothing_running() {
    let server = TestServer::start().await;
    let [ann, bob] = users(&server).await;
    let chat = direct(&ann, &bob).await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let handles = [open(&ann.client, &chat, START).await, open(&ann.client, &chat, START).await];
    assert_eq!(tasks(), before + 2);
    drop(handles);
    eventually("their tasks end", async || (tasks() == before).then_some(())).await;
}
