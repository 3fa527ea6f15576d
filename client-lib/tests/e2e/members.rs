//! Coming and going while a chat is open.

use crate::support::{next_event, next_message, text};
use hypersend_client::{
    ChatEvent, PostError,
    protocol::{
        id::{Revision, Seq},
        refusal::ErrorCode,
    },
};
use hypersend_lab::{TestServer, users, within};

fn members(event: ChatEvent) -> Option<usize> {
    if let ChatEvent::Members(chat) = event { Some(chat.members.len()) } else { None }
}

#[tokio::test]
async fn who_has_the_chat_open_sees_members_come_and_go() {
    let server = TestServer::start().await;
    let [ann, bob, carol] = users(&server).await;
    let chat = ann.client.create_group("Us".parse().unwrap(), vec![bob.email()]).await.unwrap();
    let mut his = bob.client.open_chat(chat.id, Seq(0), Revision(0));
    next_event(&mut his, |event| matches!(event, ChatEvent::Opened(_)).then_some(())).await;
    ann.client.add_members(chat.id, vec![carol.email()]).await.unwrap();
    assert_eq!(next_event(&mut his, members).await, 3);
    ann.client.post(chat.id, text("before her time?"), vec![]).await.unwrap();
    let mut hers = carol.client.open_chat(chat.id, Seq(0), Revision(0));
    assert_eq!(next_message(&mut hers).await.seq, Seq(1));
    ann.client.remove_member(chat.id, carol.id()).await.unwrap();
    assert_eq!(next_event(&mut his, members).await, 2);
}

#[tokio::test]
async fn who_is_taken_out_sees_the_end_and_nothing_behind_it() {
    let server = TestServer::start().await;
    let [ann, bob] = users(&server).await;
    let chat = ann.client.create_group("Us".parse().unwrap(), vec![bob.email()]).await.unwrap();
    let mut his = bob.client.open_chat(chat.id, Seq(0), Revision(0));
    ann.client.post(chat.id, text("still for bob"), vec![]).await.unwrap();
    assert_eq!(next_message(&mut his).await.seq, Seq(1));
    ann.client.remove_member(chat.id, bob.id()).await.unwrap();
    ann.client.post(chat.id, text("no longer for bob"), vec![]).await.unwrap();
    let end = within("the chat ends", his.next()).await.unwrap_err();
    assert_eq!(end.code(), Some(ErrorCode::NotFound));
    assert!(matches!(his.post(text("hello?"), vec![]).await, Err(PostError::Closed)));

    // The same for one's own leaving, and coming back brings what was missed.
    ann.client.add_members(chat.id, vec![bob.email()]).await.unwrap();
    let mut again = bob.client.open_chat(chat.id, Seq(1), Revision(0));
    assert_eq!(next_message(&mut again).await.seq, Seq(2));
    bob.client.remove_member(chat.id, bob.id()).await.unwrap();
    let end = next_end(&mut again).await;
    assert_eq!(end, Some(ErrorCode::NotFound));
}

async fn next_end(chat: &mut hypersend_client::ChatHandle) -> Option<ErrorCode> {
    loop {
        if let Err(end) = within("the chat ends", chat.next()).await {
            return end.code();
        }
    }
}
