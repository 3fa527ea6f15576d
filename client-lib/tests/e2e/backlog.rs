//! Chats whose events nobody reads, or which carry more than the windows hold: posting goes on all the same.

use crate::support::{next_message, text};
use futures::future::join_all;
use hypersend_client::{
    ChatHandle, PostError, Posting,
    protocol::{
        id::{ChatId, Revision, Seq},
        limit::MAX_MESSAGE_BYTES,
    },
};
use hypersend_lab::{TestServer, TestUser, user::email, users, within};

/// More than an open chat keeps for a slow reader.
const HISTORY: u64 = 300;

async fn chat(ann: &TestUser) -> ChatId {
    ann.client.open_direct(email("user1")).await.unwrap().id
}

/// A chat with more messages than are kept, opened from its beginning by somebody who reads none of them.
async fn unread(ann: &TestUser) -> ChatHandle {
    let chat = chat(ann).await;
    for n in 1..=HISTORY {
        ann.client.post(chat, text(n.to_string()), vec![]).await.unwrap();
    }
    ann.client.open_chat(chat, Seq(0), Revision(0))
}

/// Every message comes, each once and in order.
async fn all_come(handle: &mut ChatHandle, last: Seq) {
    for seq in 1..=last.0 {
        assert_eq!(next_message(handle).await.seq, Seq(seq));
    }
}

#[tokio::test]
async fn posting_does_not_wait_for_a_reader() {
    let server = TestServer::start().await;
    let [ann, _bob] = users(&server).await;
    let mut handle = unread(&ann).await;
    let mut last = Seq(HISTORY);
    for n in 0..3 {
        let posted = within("it is posted", handle.post(text(format!("new {n}")), vec![])).await.unwrap();
        assert_eq!(posted.seq, last.next());
        last = posted.seq;
    }
    all_come(&mut handle, last).await;
    // What went by another way meanwhile has not left the chat in disorder.
    let posted = within("it is posted", handle.post(text("the last"), vec![])).await.unwrap();
    assert_eq!((posted.seq, next_message(&mut handle).await.seq), (last.next(), last.next()));
}

#[tokio::test]
async fn posting_without_a_reader_outlives_the_server() {
    let mut server = TestServer::start().await;
    let [ann, _bob] = users(&server).await;
    let mut handle = unread(&ann).await;
    assert_eq!(within("it is posted", handle.post(text("before"), vec![])).await.unwrap().seq, Seq(HISTORY + 1));
    server.restart().await;
    assert_eq!(within("it is posted", handle.post(text("after"), vec![])).await.unwrap().seq, Seq(HISTORY + 2));
    all_come(&mut handle, Seq(HISTORY + 2)).await;
}

#[tokio::test]
async fn who_posts_without_a_reader_learns_of_the_end() {
    let server = TestServer::start().await;
    let [ann, _bob] = users(&server).await;
    let handle = unread(&ann).await;
    // An answer means that as many events wait as may: the stream brings it after all of them.
    within("it is posted", handle.post(text("the last"), vec![])).await.unwrap();
    within("the client closes", ann.client.close()).await;
    let refused = within("the end is noticed", handle.post(text("too late"), vec![])).await;
    assert!(matches!(refused, Err(PostError::Closed)), "{refused:?}");
}

#[tokio::test]
async fn more_than_both_windows_hold_is_posted_at_once() {
    let server = TestServer::start().await;
    let [ann, _bob] = users(&server).await;
    let mut handle = ann.client.open_chat(chat(&ann).await, Seq(0), Revision(0));
    let poster = handle.poster();
    // 8 MiB, each way.
    let long = |n: usize| text(format!("{n:->MAX_MESSAGE_BYTES$}"));
    let post = async {
        let mut under_way = Vec::new();
        for n in 0..512 {
            under_way.push(poster.begin_post(long(n), vec![]).await.unwrap());
        }
        join_all(under_way.into_iter().map(Posting::posted)).await
    };
    let read = all_come(&mut handle, Seq(512));
    let (posted, ()) = within("all is posted and read", async { tokio::join!(post, read) }).await;
    assert!(posted.into_iter().map(|posted| posted.unwrap().seq.0).eq(1..=512), "in the order of the calls");
}
