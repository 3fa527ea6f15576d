//! Getting in, and not.

use crate::support::{code, connect, refusal};
use hypersend_client::{
    Client, Credentials, MemoryTokens, Status,
    protocol::{
        account::Profile,
        frame::{Frame, Kind},
        limit::{MAX_PASSWORD_BYTES, MIN_PASSWORD_BYTES},
        name::Password,
        refusal::ErrorCode,
        session::Auth,
    },
};
use hypersend_lab::{
    RawPeer, TestServer, TestUser, eventually,
    user::{PASSWORD, email, password},
    users, within,
};
use hypersend_net::frames::send;
use serde::{Deserialize, Serialize};
use std::time::Duration;

fn login(name: &str, password: &str) -> Credentials {
    Credentials::Login { email: email(name), password: password.parse().unwrap() }
}

fn register(name: &str, password: &str) -> Credentials {
    Credentials::Register { email: email(name), name: name.parse().unwrap(), password: password.parse().unwrap() }
}

#[tokio::test]
async fn who_registers_can_log_in_and_is_known_by_name() {
    let server = TestServer::start().await;
    let ann = TestUser::register(server.config(), "ann").await;
    let again = connect(server.config(), ann.login()).await.unwrap();
    assert_eq!(again.me, ann.profile);
    assert!(again.tokens.is_some(), "a login brings tokens");
    assert_eq!(ann.client.me().await.unwrap(), ann.profile);
    assert_eq!(ann.client.find_user(email("ANN")).await.unwrap(), ann.profile);
    assert_eq!(code(ann.client.find_user(email("nobody")).await), ErrorCode::NotFound);
}

#[tokio::test]
async fn a_new_name_is_shown_to_everybody() {
    let server = TestServer::start().await;
    let [ann, bob] = users(&server).await;
    let chat = bob.client.open_direct(ann.email()).await.unwrap();
    let renamed = Profile { name: "Ann B.".parse().unwrap(), ..ann.profile.clone() };
    assert_eq!(ann.client.rename(renamed.name.clone()).await.unwrap(), renamed);
    assert_eq!(ann.client.me().await.unwrap(), renamed, "also on a connection from before");
    assert_eq!(connect(server.config(), ann.login()).await.unwrap().me, renamed);
    assert_eq!(bob.client.find_user(ann.email()).await.unwrap(), renamed);
    let members = bob.client.chat(chat.id).await.unwrap().members;
    assert!(members.iter().any(|member| member.profile == renamed), "{members:?}");
    assert_eq!(bob.client.chats(None).await.unwrap().chats[0].title, "Ann B.");
    assert_eq!(bob.client.me().await.unwrap(), bob.profile);
}

#[tokio::test]
async fn a_wrong_password_and_an_unknown_account_look_the_same() {
    let server = TestServer::start().await;
    TestUser::register(server.config(), "ann").await;
    let wrong = refusal(connect(server.config(), login("ann", "wrong horse battery")).await);
    let unknown = refusal(connect(server.config(), login("nobody", "wrong horse battery")).await);
    assert_eq!(wrong.code, ErrorCode::WrongCredentials);
    assert_eq!(wrong, unknown);
}

#[tokio::test]
async fn an_address_has_one_account() {
    let server = TestServer::start().await;
    TestUser::register(server.config(), "ann").await;
    assert_eq!(code(connect(server.config(), register("Ann", "another password")).await), ErrorCode::EmailTaken);
    assert!(connect(server.config(), login("ann", "another password")).await.is_err());
}

/// The same as for somebody whose account was made and who was not told: the second attempt finds it.
#[tokio::test]
async fn a_registration_that_is_repeated_logs_in_by_its_password() {
    let mut server = TestServer::start().await;
    let ann = TestUser::register(server.config(), "ann").await;
    server.kill();
    let start = |credentials| Client::start(server.config(), credentials, MemoryTokens::empty()).unwrap();
    let (same, other) = (start(register("ann", PASSWORD)), start(register("ann", "another password")));
    for client in [&same, &other] {
        let failed = async || matches!(client.status(), Status::Connecting { failures: 1.., .. }).then_some(());
        eventually("it tried in vain", failed).await;
    }
    server.start_again().await;
    assert_eq!(within("it logs in", same.ready()).await.unwrap().me, ann.profile);
    assert_eq!(code(within("it is refused", other.ready()).await), ErrorCode::EmailTaken);
}

#[tokio::test]
async fn passwords_have_a_shortest_and_a_longest_length() {
    let server = TestServer::start().await;
    let short = refusal(connect(server.config(), register("ann", &"x".repeat(MIN_PASSWORD_BYTES - 1))).await);
    assert_eq!((short.code, short.limit), (ErrorCode::Invalid, Some(MIN_PASSWORD_BYTES as u64)));

    let longest = "x".repeat(MAX_PASSWORD_BYTES);
    connect(server.config(), register("ann", &longest)).await.unwrap();
    connect(server.config(), login("ann", &longest)).await.unwrap();
    let nearly = "x".repeat(MAX_PASSWORD_BYTES - 1) + "y";
    assert_eq!(code(connect(server.config(), login("ann", &nearly)).await), ErrorCode::WrongCredentials);
    assert!(Password::parse(&"x".repeat(MAX_PASSWORD_BYTES + 1)).is_err());
}

/// A hello that the library's own types would not let anybody write.
#[derive(Serialize, Deserialize)]
struct LooseHello {
    version: u32,
    features: Vec<String>,
    agent: String,
    auth: LooseAuth,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum LooseAuth {
    Login { email: String, password: String },
}

impl Frame for LooseHello {
    const KIND: Kind = Kind(0x02);
    const CEILING: u32 = 4 << 10;
}

#[tokio::test]
async fn a_password_that_is_too_long_is_refused_and_not_cut() {
    let server = TestServer::start().await;
    let longest = "x".repeat(MAX_PASSWORD_BYTES);
    connect(server.config(), register("ann", &longest)).await.unwrap();
    let peer = RawPeer::connect(&server).await;
    let (mut stream, mut answer) = peer.stream().await;
    let auth = LooseAuth::Login { email: "ann@example.org".to_owned(), password: longest + "x" };
    let hello = LooseHello { version: 1, features: Vec::new(), agent: String::new(), auth };
    send(&mut stream, &hello).await.unwrap();
    assert_eq!(hypersend_lab::peer::refusal(answer.expect::<LooseHello>().await.map(drop)), ErrorCode::BadFrame);
    assert_eq!(peer.closed().await, ErrorCode::BadFrame);
}

#[tokio::test]
async fn a_closed_server_takes_no_new_accounts_and_keeps_the_old() {
    let mut server = TestServer::start().await;
    let ann = TestUser::register(server.config(), "ann").await;
    server.stop().await;
    server.set("REGISTRATION", "closed");
    server.start_again().await;
    assert_eq!(code(connect(server.config(), register("bob", "correct horse")).await), ErrorCode::Forbidden);
    connect(server.config(), ann.login()).await.unwrap();
}

#[tokio::test]
async fn too_many_logins_to_one_account_have_to_wait() {
    let server = TestServer::with([("LOGINS_PER_ACCOUNT_PER_MINUTE", "3")]).await;
    let [ann, bob] = users(&server).await;
    for _ in 0..2 {
        connect(server.config(), login("user0", "wrong horse battery")).await.unwrap_err();
    }
    connect(server.config(), ann.login()).await.unwrap();
    let refused = refusal(connect(server.config(), ann.login()).await);
    assert_eq!(refused.code, ErrorCode::RateLimited);
    let wait = refused.retry_after().unwrap();
    assert!(wait > Duration::ZERO && wait <= Duration::from_secs(20), "{wait:?}");
    connect(server.config(), bob.login()).await.expect("another account is another count");
}

#[tokio::test]
async fn too_many_attempts_from_one_address_have_to_wait() {
    let limits = [("LOGINS_PER_ADDRESS_PER_MINUTE", "2"), ("REGISTRATIONS_PER_ADDRESS_PER_MINUTE", "2")];
    let server = TestServer::with(limits).await;
    let [_, bob] = users(&server).await;
    let refused = refusal(connect(server.config(), register("carol", "correct horse")).await);
    assert_eq!(refused.code, ErrorCode::RateLimited);
    let wait = refused.retry_after().unwrap();
    assert!(wait > Duration::ZERO && wait <= Duration::from_secs(30), "{wait:?}");

    connect(server.config(), bob.login()).await.unwrap();
    connect(server.config(), login("nobody", "correct horse")).await.unwrap_err();
    let mut peer = RawPeer::connect(&server).await;
    let refused = peer.hello(Auth::Login { email: bob.email(), password: password() }).await;
    assert_eq!(hypersend_lab::peer::refusal(refused), ErrorCode::RateLimited);
    assert_eq!(code(connect(server.config(), bob.login()).await), ErrorCode::RateLimited);
    assert_eq!(bob.client.me().await.unwrap(), bob.profile, "who is in stays in");
}

#[tokio::test]
async fn a_client_learns_of_its_next_version() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("updates.json");
    let build = r#"{"platform": "linux", "url": "https://example.org/1", "sha256": "SHA", "size": 7}"#;
    let releases = format!(r#"{{"releases": [{{"version": "1.1.0", "notes": "Faster.", "builds": [{build}]}}]}}"#);
    std::fs::write(&file, releases.replace("SHA", &"ab".repeat(32))).unwrap();
    let server = TestServer::with([("UPDATES_FILE", file.to_str().unwrap())]).await;
    let [ann] = users(&server).await;
    let newer = ann.client.update("linux", "1.0.9").await.unwrap().unwrap();
    assert_eq!((newer.version.as_str(), newer.notes.as_str(), newer.size), ("1.1.0", "Faster.", 7));
    assert_eq!(ann.client.update("linux", "1.1.0").await.unwrap(), None);
    assert_eq!(code(ann.client.update("amiga", "1.0.0").await), ErrorCode::NotFound);
    assert_eq!(code(ann.client.update("linux", "soon").await), ErrorCode::Invalid);
}
