//! Several servers on one database and one file root: clients need not care which of them they are connected to.

use crate::presence::{self, Known, next_gone, next_known, until_present};
use crate::support::{Desk, connect, download, ended, next_event, next_message, refusal, text};
use hypersend_client::{
    ChatEvent, ChatHandle, Client, MemoryTokens,
    protocol::{
        chat::Message,
        id::{ChatId, Revision, Seq},
        refusal::ErrorCode,
    },
};
use hypersend_lab::{
    Proxy, TestServer, TestUser,
    fixtures::{MIB, b3_of},
    mongod::{self, Database},
    within,
};
use std::time::Duration;
use tokio::time::timeout;

const SIZE: u64 = 40 * MIB;

/// What passes before one of the servers is killed: some chunks are whole after this.
const PASSES: u64 = 14 * MIB;

/// What may be carried beside the missing chunks.
const OVERHEAD: u64 = 3 * MIB;

/// Two servers on the same records, which outlive them.
async fn two<const N: usize>(settings: [(&str, &str); N]) -> (TestServer, TestServer, Database) {
    let database = mongod::database().await;
    let mut server = TestServer::with(settings).await;
    server.stop().await;
    server.set("MONGODB_URI", &database.uri());
    server.start_again().await;
    let beside = server.beside().await;
    (server, beside, database)
}

async fn open(client: &Client, chat: ChatId) -> ChatHandle {
    let mut handle = client.open_chat(chat, Seq(0), Revision(0));
    within("the chat opens", handle.next()).await.unwrap();
    handle
}

fn texts(messages: &[Message]) -> Vec<String> {
    messages.iter().map(|message| message.text.as_ref().unwrap().as_str().to_owned()).collect()
}

#[tokio::test]
async fn what_is_done_on_one_server_is_heard_on_the_other() {
    let (here, there, _database) = two([]).await;
    let ann = TestUser::register(here.config(), "ann").await;
    let bob = TestUser::register(there.config(), "bob").await;
    let chat = ann.client.open_direct(bob.email()).await.unwrap().id;
    let (mut hers, mut his) = (open(&ann.client, chat).await, open(&bob.client, chat).await);
    for n in 1..=5 {
        for (poster, name) in [(&ann, "ann"), (&bob, "bob")] {
            poster.client.post(chat, text(format!("{n} from {name}")), vec![]).await.unwrap();
            for handle in [&mut hers, &mut his] {
                assert_eq!(texts(&[next_message(handle).await]), [format!("{n} from {name}")]);
            }
        }
    }
    hers.typing().await.unwrap();
    let typing = |event| if let ChatEvent::Typing(user) = event { Some(user) } else { None };
    assert_eq!(next_event(&mut his, typing).await, ann.id());
    bob.client.delete_message(chat, Seq(2)).await.unwrap();
    let changed = |event| if let ChatEvent::Changed(message) = event { Some(message) } else { None };
    assert_eq!(next_event(&mut hers, changed).await.seq, Seq(2));
}

#[tokio::test]
async fn a_session_ended_on_one_server_ends_on_the_other() {
    let (here, there, _database) = two([]).await;
    let ann = TestUser::register(here.config(), "ann").await;
    let device = ann.device(there.config()).await;
    let session = device.ready().await.unwrap().session;
    ann.client.end_session(session).await.unwrap();
    assert_eq!(ended(&device).await.code(), Some(ErrorCode::SessionEnded));
}

#[tokio::test]
async fn attempts_to_log_in_are_counted_among_all_servers() {
    let (here, there, _database) = two([("LOGINS_PER_ACCOUNT_PER_MINUTE", "4")]).await;
    let ann = TestUser::register(here.config(), "ann").await;
    for server in [&here, &there, &here, &there] {
        ann.device(server.config()).await;
    }
    let refused = refusal(connect(there.config(), ann.login()).await);
    assert_eq!(refused.code, ErrorCode::RateLimited);
    assert!(refused.retry_after_ms.is_some_and(|wait| wait <= 15_000), "{refused:?}");
}

/// kill -9 of one of two servers in mid-upload and mid-chat: clients move to the other, and go on there.
#[tokio::test]
async fn the_death_of_a_server_is_bridged_by_the_other() {
    let (mut here, there, _database) = two([]).await;
    let proxy = Proxy::start(here.socket_address());
    let ann = TestUser::register(here.config_via(proxy.address()), "ann").await;
    let bob = TestUser::register(there.config(), "bob").await;
    let chat = ann.client.open_direct(bob.email()).await.unwrap().id;
    let mut with_ann = open(&bob.client, chat).await;
    let desk = Desk::new();
    let source = desk.file("film.mkv", SIZE);
    proxy.cut_after(PASSES);
    let sending = ann.client.upload(&source);
    // Posted while the bytes go, and while nobody answers: each of them once, whichever server took it.
    let client = ann.client.clone();
    let posting = tokio::spawn(async move {
        for n in 0..40 {
            client.post(chat, text(n.to_string()), vec![]).await.unwrap();
        }
    });
    proxy.until_cut().await;
    here.kill();
    proxy.lead_to(there.socket_address());
    let before = proxy.carried_up();
    proxy.restore();

    let file = within("the upload ends", sending.finish()).await.unwrap();
    assert_eq!(file.root, b3_of(&source));
    let sent = proxy.carried_up() - before;
    assert!(sent < SIZE - 4 * MIB + OVERHEAD, "{sent} bytes of {SIZE} were sent to the other server");
    within("everything is posted", posting).await.unwrap();
    let mut heard = Vec::new();
    while heard.len() < 40 {
        heard.push(next_message(&mut with_ann).await);
    }
    assert_eq!(texts(&heard), (0..40).map(|n| n.to_string()).collect::<Vec<_>>());
    assert!(heard.iter().map(|message| message.seq.0).eq(1..=40));
    ann.client.post(chat, None, vec![file.id]).await.unwrap();
    assert_eq!(next_message(&mut with_ann).await.seq, Seq(41));
    download(&bob.client, &file, &desk.path("copy.mkv")).await;
    assert_eq!(b3_of(&desk.path("copy.mkv")), file.root);
}

#[tokio::test]
async fn who_comes_and_goes_on_one_server_is_seen_on_the_other() {
    let (here, there, _database) = two([]).await;
    let ann = TestUser::register(here.config(), "ann").await;
    let bob = TestUser::register(there.config(), "bob").await;
    let chat = ann.client.open_direct(bob.email()).await.unwrap().id;
    let mut hers = presence::open(&ann.client, chat);
    until_present(&mut hers, bob.id()).await;
    let (bobs, login) = (bob.id(), bob.login());
    drop(bob);
    assert_eq!(next_gone(&mut hers).await, bobs);
    let back = Client::start(there.config(), login, MemoryTokens::empty()).unwrap();
    within("bob is back", back.ready()).await.unwrap();
    assert_eq!(next_known(&mut hers).await, Known::Is(bobs, true));
}

/// How long it may take until it is known that a server is dead, with the patience that anything needs: a lease of 30 s, a
/// look every 10 s, and 5 s of grace.
const DEATH: Duration = Duration::from_secs(45 + 30);

/// kill -9 of one of two servers: who was connected to it has gone, and who moved to the other was never away.
#[tokio::test]
async fn who_was_connected_to_a_dead_server_has_gone_unless_they_moved() {
    let (mut dying, there, _database) = two([]).await;
    let proxy = Proxy::start(dying.socket_address());
    let ann = TestUser::register(there.config(), "ann").await;
    let (bob, mia) = (
        TestUser::register(dying.config(), "bob").await,
        TestUser::register(dying.config_via(proxy.address()), "mia").await,
    );
    let members = vec![bob.email(), mia.email()];
    let group = ann.client.create_group("Us".parse().unwrap(), members).await.unwrap().id;
    let mut hers = presence::open(&ann.client, group);
    let mut seen = Vec::new();
    while !(seen.contains(&bob.id()) && seen.contains(&mia.id())) {
        match next_known(&mut hers).await {
            Known::These(users) => seen.extend(users),
            Known::Is(user, true) => seen.push(user),
            gone @ Known::Is(_, false) => panic!("{gone:?}"),
        }
    }
    dying.kill();
    proxy.lead_to(there.socket_address());
    let gone = async {
        loop {
            // That somebody is present may be said again.
            if let ChatEvent::Presence(user, false) = hers.next().await.unwrap() {
                return user;
            }
        }
    };
    assert_eq!(timeout(DEATH, gone).await.expect("it is noticed"), bob.id());
    assert_eq!(mia.client.chat(group).await.unwrap().id, group, "connected to the other");
    let mut others = presence::open(&ann.client, group);
    assert_eq!(next_known(&mut others).await, Known::These(vec![mia.id()]));
}
