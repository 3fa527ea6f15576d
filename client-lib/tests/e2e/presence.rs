//! Who is connected, as others see it.

use crate::support::{next_event, text};
use hypersend_client::{
    ChatEvent, ChatHandle, Client, Credentials, MemoryTokens,
    protocol::id::{ChatId, Revision, Seq, UserId},
};
use hypersend_lab::{Proxy, TestServer, TestUser, users, within};

/// What is known of who is present.
fn presence(event: ChatEvent) -> Option<Known> {
    match event {
        ChatEvent::Present(users) => Some(Known::These(users)),
        ChatEvent::Presence(user, present) => Some(Known::Is(user, present)),
        _ => None,
    }
}

#[derive(Debug, PartialEq)]
pub(crate) enum Known {
    These(Vec<UserId>),
    Is(UserId, bool),
}

pub(crate) async fn next_known(chat: &mut ChatHandle) -> Known {
    next_event(chat, presence).await
}

pub(crate) fn open(client: &Client, chat: ChatId) -> ChatHandle {
    client.open_chat(chat, Seq(0), Revision(0))
}

/// Waits until somebody is seen as present, as they are at first or by the next change.
pub(crate) async fn until_present(chat: &mut ChatHandle, user: UserId) {
    loop {
        match next_known(chat).await {
            Known::These(users) if users.contains(&user) => return,
            Known::Is(who, true) if who == user => return,
            _ => {}
        }
    }
}

/// Who is present, by the next list. A change in between may say again what the last one said.
async fn next_list(chat: &mut ChatHandle) -> Vec<UserId> {
    loop {
        match next_known(chat).await {
            Known::These(users) => return users,
            Known::Is(_, true) => {}
            gone @ Known::Is(_, false) => panic!("{gone:?}"),
        }
    }
}

/// Who goes next; that somebody is present may be said again before.
pub(crate) async fn next_gone(chat: &mut ChatHandle) -> UserId {
    loop {
        if let Known::Is(user, false) = next_known(chat).await {
            return user;
        }
    }
}

#[tokio::test]
async fn who_has_a_chat_open_sees_others_come_and_go() {
    let server = TestServer::start().await;
    let [ann, bob] = users(&server).await;
    let chat = ann.client.open_direct(bob.email()).await.unwrap().id;
    let (bob_id, bobs_login) = (bob.id(), bob.login());
    let mut hers = open(&ann.client, chat);
    assert_eq!(next_list(&mut hers).await, [bob_id], "connected, with no chat open");
    drop(bob);
    assert_eq!(next_gone(&mut hers).await, bob_id);
    let back = connected(&server, bobs_login).await;
    assert_eq!(next_known(&mut hers).await, Known::Is(bob_id, true));
    let mut his = open(&back, chat);
    assert_eq!(next_list(&mut his).await, [ann.id()]);
}

/// A second device, and a connection that is lost and made anew at once, are no news: what comes next is somebody else's.
#[tokio::test]
async fn connecting_again_is_no_news() {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.socket_address());
    let ann = TestUser::register(server.config(), "ann").await;
    let bob = TestUser::register(server.config_via(proxy.address()), "bob").await;
    let carol = TestUser::register(server.config(), "carol").await;
    let group = ann.client.create_group("Us".parse().unwrap(), vec![bob.email(), carol.email()]).await.unwrap().id;
    let mut hers = open(&ann.client, group);
    until_present(&mut hers, bob.id()).await;
    drop(bob.device(server.config()).await);
    let mut his = open(&bob.client, group);
    let opened = |event| matches!(event, ChatEvent::Opened(_)).then_some(());
    next_event(&mut his, opened).await;
    proxy.rebind();
    bob.client.post(group, text("from another address"), vec![]).await.unwrap();
    let carols = carol.id();
    drop(carol);
    assert_eq!(next_gone(&mut hers).await, carols, "bob was never away");
}

#[tokio::test]
async fn who_is_not_in_a_chat_is_neither_seen_there_nor_sees() {
    let server = TestServer::start().await;
    let [ann, bob, eve] = users(&server).await;
    let group = ann.client.create_group("Us".parse().unwrap(), vec![bob.email()]).await.unwrap().id;
    let mut hers = open(&ann.client, group);
    assert_eq!(next_list(&mut hers).await, [bob.id()], "not eve");
    assert!(open(&eve.client, group).next().await.is_err());

    // A newcomer is seen with the others; who was taken out is seen no more, whatever they do.
    ann.client.add_members(group, vec![eve.email()]).await.unwrap();
    let (bobs, eves) = (bob.id(), eve.id());
    let both = next_list(&mut hers).await;
    assert!(both == [bobs, eves] || both == [eves, bobs], "{both:?}");
    ann.client.remove_member(group, eve.id()).await.unwrap();
    assert_eq!(next_list(&mut hers).await, [bob.id()]);
    let (bobs_login, eves_login) = (bob.login(), eve.login());
    drop((eve, bob));
    assert_eq!(next_gone(&mut hers).await, bobs, "nothing of eve's going");
    let _back = (connected(&server, eves_login).await, connected(&server, bobs_login).await);
    assert_eq!(next_known(&mut hers).await, Known::Is(bobs, true), "nothing of her coming back");
}

async fn connected(server: &TestServer, credentials: Credentials) -> Client {
    let client = Client::start(server.config(), credentials, MemoryTokens::empty()).unwrap();
    within("the client connects", client.ready()).await.unwrap();
    client
}
