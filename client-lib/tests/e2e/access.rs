//! Who may have a file, and for how long.

use crate::support::{Desk, code, download, text, upload};
use hypersend_client::protocol::{
    file::{FileInfo, GetRange, GetValues, RangeFollows},
    id::{ChatId, ChunkIndex, Seq},
    refusal::ErrorCode,
    session::Auth,
};
use hypersend_lab::{RawPeer, TestServer, TestUser, fixtures::b3_of, peer::refusal, user::password, users};
use hypersend_net::frames::send;

async fn refused(user: &TestUser, file: &FileInfo, desk: &Desk) {
    let copy = desk.path("nobody's");
    assert_eq!(code(user.client.file(file.id).await), ErrorCode::NotFound);
    assert_eq!(code(user.client.download(file.id, &copy).finish().await), ErrorCode::NotFound);
    assert!(!copy.exists());
}

/// What somebody gets who asks for the bytes without asking for the file.
async fn raw_answers(server: &TestServer, user: &TestUser, file: &FileInfo) -> [ErrorCode; 2] {
    let peer = RawPeer::login(server, Auth::Login { email: user.email(), password: password() }).await;
    let values = peer.ask(&GetValues { file: file.id, first: ChunkIndex(0), count: 1 }).await;
    let (mut stream, mut answer) = peer.stream().await;
    send(&mut stream, &GetRange { file: file.id, offset: 0, length: 100 }).await.unwrap();
    [refusal(values), refusal(answer.expect::<RangeFollows>().await)]
}

async fn group(owner: &TestUser, members: &[&TestUser]) -> ChatId {
    let emails = members.iter().map(|member| member.email()).collect();
    owner.client.create_group("The group".parse().unwrap(), emails).await.unwrap().id
}

#[tokio::test]
async fn a_file_is_its_uploaders_and_the_chats_in_which_it_was_posted() {
    let server = TestServer::start().await;
    let [ann, bob, mallory] = users(&server).await;
    let desk = Desk::new();
    let source = desk.file("film.mkv", 100);
    let file = upload(&ann.client, &source).await;
    refused(&bob, &file, &desk).await;
    let chat = group(&ann, &[&bob]).await;
    assert_eq!(code(bob.client.post(chat, text("look"), vec![file.id]).await), ErrorCode::NotFound);

    ann.client.post(chat, text("look"), vec![file.id]).await.unwrap();
    let card = bob.client.history(chat, None, 1).await.unwrap().messages.remove(0).files.remove(0);
    assert_eq!((card.id, card.name.as_str(), card.size), (file.id, "film.mkv", 100));
    download(&bob.client, &file, &desk.path("bob's copy")).await;
    assert_eq!(b3_of(&desk.path("bob's copy")), b3_of(&source));
    refused(&mallory, &file, &desk).await;
    assert_eq!(raw_answers(&server, &mallory, &file).await, [ErrorCode::NotFound; 2]);
    assert!(bob.client.files(None).await.unwrap().files.is_empty(), "it is in the list of its uploader only");
}

#[tokio::test]
async fn access_ends_with_the_last_message_that_shows_the_file() {
    let server = TestServer::start().await;
    let [ann, bob] = users(&server).await;
    let desk = Desk::new();
    let file = upload(&ann.client, &desk.file("film.mkv", 100)).await;
    let (first, second) = (group(&ann, &[&bob]).await, group(&ann, &[&bob]).await);
    for chat in [first, second] {
        ann.client.post(chat, None, vec![file.id]).await.unwrap();
    }
    ann.client.delete_message(first, Seq(1)).await.unwrap();
    assert_eq!(bob.client.file(file.id).await.unwrap(), file);
    ann.client.delete_message(second, Seq(1)).await.unwrap();
    refused(&bob, &file, &desk).await;
    assert_eq!(raw_answers(&server, &bob, &file).await, [ErrorCode::NotFound; 2]);
    download(&ann.client, &file, &desk.path("the uploader's")).await;
}

#[tokio::test]
async fn access_ends_with_leaving_and_begins_with_joining() {
    let server = TestServer::start().await;
    let [ann, bob, carol] = users(&server).await;
    let desk = Desk::new();
    let chat = group(&ann, &[&bob]).await;
    let file = upload(&bob.client, &desk.file("film.mkv", 100)).await;
    bob.client.post(chat, None, vec![file.id]).await.unwrap();
    refused(&carol, &file, &desk).await;
    ann.client.add_members(chat, vec![carol.email()]).await.unwrap();
    download(&carol.client, &file, &desk.path("carol's")).await;
    carol.client.remove_member(chat, carol.id()).await.unwrap();
    refused(&carol, &file, &desk).await;
    ann.client.remove_member(chat, bob.id()).await.unwrap();
    assert_eq!(bob.client.file(file.id).await.unwrap(), file, "it is still his");
    ann.client.file(file.id).await.unwrap();
}
