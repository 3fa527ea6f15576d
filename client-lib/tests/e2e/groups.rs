//! Groups: who may do what, and what a stranger learns.

use crate::support::{code, refusal, text};
use hypersend_client::{
    Client,
    protocol::{
        chat::{Chat, ChatKind, CreateGroup, Role},
        id::{ChatId, ClientId, Revision, Seq},
        limit::MAX_NEWCOMERS,
        refusal::ErrorCode,
        session::Auth,
    },
};
use hypersend_lab::{
    RawPeer, TestServer, TestUser,
    user::{email, password},
    users, within,
};
use uuid::Uuid;

async fn group(owner: &TestUser, members: &[&TestUser]) -> Chat {
    let emails = members.iter().map(|member| member.email()).collect();
    owner.client.create_group("The group".parse().unwrap(), emails).await.unwrap()
}

fn roles(chat: &Chat) -> Vec<(&str, Role)> {
    chat.members.iter().map(|member| (member.profile.name.as_str(), member.role)).collect()
}

#[tokio::test]
async fn a_group_has_its_maker_as_owner() {
    let server = TestServer::start().await;
    let [ann, bob, carol] = users(&server).await;
    let chat = group(&ann, &[&bob]).await;
    assert_eq!((chat.kind, chat.title.as_ref().unwrap().as_str()), (ChatKind::Group, "The group"));
    assert_eq!(roles(&chat), [("user0", Role::Owner), ("user1", Role::Member)]);
    assert_eq!(bob.client.chat(chat.id).await.unwrap(), chat);

    assert_eq!(code(bob.client.add_members(chat.id, vec![carol.email()]).await), ErrorCode::Forbidden);
    let chat = ann.client.add_members(chat.id, vec![carol.email(), bob.email()]).await.unwrap();
    assert_eq!(roles(&chat).len(), 3, "who is in it already stays as they are");
    assert_eq!(code(ann.client.add_members(chat.id, vec![email("nobody")]).await), ErrorCode::NotFound);
    let title = "Nobody's".parse().unwrap();
    assert_eq!(code(ann.client.create_group(title, vec![email("nobody")]).await), ErrorCode::NotFound);
}

#[tokio::test]
async fn only_so_many_are_added_at_once() {
    let server = TestServer::start().await;
    let [ann] = users(&server).await;
    let chat = group(&ann, &[]).await;
    let emails = |count| (0..count).map(|n| email(&format!("nobody{n}"))).collect();
    let refused = refusal(ann.client.add_members(chat.id, emails(MAX_NEWCOMERS + 1)).await);
    assert_eq!((refused.code, refused.limit), (ErrorCode::LimitReached, Some(MAX_NEWCOMERS as u64)));
    assert_eq!(code(ann.client.add_members(chat.id, emails(MAX_NEWCOMERS)).await), ErrorCode::NotFound, "looked up");
}

#[tokio::test]
async fn owners_take_out_anybody_and_members_themselves() {
    let server = TestServer::start().await;
    let [ann, bob, carol] = users(&server).await;
    let chat = group(&ann, &[&bob, &carol]).await;
    assert_eq!(code(bob.client.remove_member(chat.id, carol.id()).await), ErrorCode::Forbidden);
    bob.client.remove_member(chat.id, bob.id()).await.unwrap();
    assert_eq!(code(bob.client.chat(chat.id).await), ErrorCode::NotFound);
    assert_eq!(code(ann.client.remove_member(chat.id, bob.id()).await), ErrorCode::NotFound);

    ann.client.remove_member(chat.id, ann.id()).await.unwrap();
    assert_eq!(roles(&carol.client.chat(chat.id).await.unwrap()), [("user2", Role::Owner)]);
    let chat = carol.client.add_members(chat.id, vec![ann.email()]).await.unwrap();
    assert_eq!(roles(&chat), [("user2", Role::Owner), ("user0", Role::Member)]);
    carol.client.remove_member(chat.id, ann.id()).await.unwrap();
    assert_eq!(code(ann.client.chat(chat.id).await), ErrorCode::NotFound);
}

#[tokio::test]
async fn an_owner_deletes_anybodys_message() {
    let server = TestServer::start().await;
    let [ann, bob, carol] = users(&server).await;
    let chat = group(&ann, &[&bob, &carol]).await;
    bob.client.post(chat.id, text("regrettable"), vec![]).await.unwrap();
    assert_eq!(code(carol.client.delete_message(chat.id, Seq(1)).await), ErrorCode::Forbidden);
    ann.client.delete_message(chat.id, Seq(1)).await.unwrap();
    assert!(carol.client.history(chat.id, None, 1).await.unwrap().messages[0].deleted.is_some());
}

#[tokio::test]
async fn a_direct_chat_has_two_members_for_ever() {
    let server = TestServer::start().await;
    let [ann, bob, carol] = users(&server).await;
    let chat = ann.client.open_direct(bob.email()).await.unwrap();
    assert_eq!(code(ann.client.add_members(chat.id, vec![carol.email()]).await), ErrorCode::Forbidden);
    assert_eq!(code(ann.client.remove_member(chat.id, bob.id()).await), ErrorCode::Forbidden);
    assert_eq!(code(ann.client.remove_member(chat.id, ann.id()).await), ErrorCode::Forbidden);
    assert_eq!(ann.client.chat(chat.id).await.unwrap().members.len(), 2);
}

/// What every operation on a chat answers.
async fn all_answers(client: &Client, chat: ChatId, other: &TestUser) -> Vec<ErrorCode> {
    let mut handle = client.open_chat(chat, Seq(0), Revision(0));
    vec![
        code(client.chat(chat).await),
        code(client.history(chat, None, 10).await),
        code(client.post(chat, text("let me in"), vec![]).await),
        code(client.delete_message(chat, Seq(1)).await),
        code(client.mark_read(chat, Seq(1)).await),
        code(client.add_members(chat, vec![other.email()]).await),
        code(client.remove_member(chat, other.id()).await),
        code(within("the chat opens or not", handle.next()).await),
    ]
}

#[tokio::test]
async fn a_stranger_cannot_tell_a_chat_from_none() {
    let server = TestServer::start().await;
    let [ann, bob, mallory] = users(&server).await;
    let (secret, between) = (group(&ann, &[&bob]).await, ann.client.open_direct(bob.email()).await.unwrap());
    ann.client.post(secret.id, text("the plan"), vec![]).await.unwrap();
    for chat in [secret.id, between.id, ChatId(Uuid::from_u128(1))] {
        assert_eq!(all_answers(&mallory.client, chat, &bob).await, [ErrorCode::NotFound; 8], "{chat}");
    }
    assert!(mallory.client.chats(None).await.unwrap().chats.is_empty());
    assert_eq!(ann.client.history(secret.id, None, 10).await.unwrap().messages.len(), 1);
}

#[tokio::test]
async fn a_group_asked_for_twice_is_one_group() {
    let server = TestServer::start().await;
    let [ann, bob] = users(&server).await;
    let peer = RawPeer::login(&server, Auth::Login { email: ann.email(), password: password() }).await;
    let client_id = ClientId(Uuid::from_u128(7));
    let create = CreateGroup { client_id, title: "Once".parse().unwrap(), members: vec![bob.email()] };
    let first = peer.ask(&create).await.unwrap();
    assert_eq!(peer.ask(&create).await.unwrap().id, first.id);
    assert_eq!(bob.client.chats(None).await.unwrap().chats.len(), 1);
}
