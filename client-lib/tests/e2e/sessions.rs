//! Tokens: used up, renewed, shared, worthless.

use crate::support::{code, disconnected, ended, tokens_in};
use hypersend_client::{
    Client, Config, Credentials, MemoryTokens, Status, TokenGuard, TokenStore,
    protocol::{
        account::{EndSession, GetMe, Logout, SessionInfo},
        id::SessionId,
        refusal::ErrorCode,
        session::{Auth, Tokens},
        time::UnixMillis,
    },
};
use hypersend_lab::{Proxy, RawPeer, TestServer, TestUser, eventually, peer::refusal, users, within};
use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use uuid::Uuid;

/// A store that several clients share, whose access tokens seem to have expired: every connection renews.
struct SharedTokens {
    tokens: Mutex<Tokens>,
    saves: AtomicUsize,
    turn: Arc<AsyncMutex<()>>,
    /// Whether renewed ones have expired as well.
    always_stale: bool,
}

impl SharedTokens {
    fn new(tokens: Tokens, always_stale: bool) -> Arc<Self> {
        let stale = Tokens { access_expires: UnixMillis(0), ..tokens };
        Arc::new(Self { tokens: Mutex::new(stale), saves: AtomicUsize::new(0), turn: Arc::default(), always_stale })
    }

    fn saves(&self) -> usize {
        self.saves.load(Ordering::SeqCst)
    }
}

impl TokenStore for SharedTokens {
    fn load(&self) -> io::Result<Option<Tokens>> {
        Ok(Some(self.tokens.lock().unwrap().clone()))
    }

    fn lock(self: Arc<Self>) -> io::Result<Box<dyn TokenGuard>> {
        let turn = self.turn.clone().blocking_lock_owned();
        Ok(Box::new(SharedGuard { store: self, _turn: turn }))
    }
}

struct SharedGuard {
    store: Arc<SharedTokens>,
    _turn: OwnedMutexGuard<()>,
}

impl TokenGuard for SharedGuard {
    fn save(&mut self, tokens: &Tokens) -> io::Result<()> {
        let expires = if self.store.always_stale { UnixMillis(0) } else { tokens.access_expires };
        *self.store.tokens.lock().unwrap() = Tokens { access_expires: expires, ..tokens.clone() };
        self.store.saves.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }
}

fn refresh(tokens: &Tokens) -> Auth {
    Auth::Refresh { token: tokens.refresh.clone() }
}

/// Renews on a connection of its own.
async fn renewed(server: &TestServer, tokens: &Tokens) -> (RawPeer, Tokens) {
    let mut peer = RawPeer::connect(server).await;
    let welcome = peer.hello(refresh(tokens)).await.unwrap();
    (peer, welcome.tokens.unwrap())
}

#[tokio::test]
async fn every_reconnection_may_renew_and_the_session_goes_on() {
    let mut server = TestServer::start().await;
    let ann = TestUser::register(server.config(), "ann").await;
    let store = SharedTokens::new(tokens_in(&ann.tokens), true);
    let client = Client::start(server.config(), Credentials::Stored, store.clone()).unwrap();
    let session = within("connects", client.ready()).await.unwrap().session;
    for saves in 2..5 {
        server.restart().await;
        eventually("the tokens are renewed", async || (store.saves() == saves).then_some(())).await;
        assert_eq!(within("connects", client.ready()).await.unwrap().session, session);
    }
    assert_eq!(within("answers", client.me()).await.unwrap(), ann.profile);
}

#[tokio::test]
async fn an_answer_lost_on_the_way_does_not_end_the_session() {
    let server = TestServer::start().await;
    let [ann] = users(&server).await;
    let first = tokens_in(&ann.tokens);
    let (_lost, lost) = renewed(&server, &first).await;
    let (_peer, second) = renewed(&server, &first).await;
    // The successor that was thought lost counts as stolen.
    assert_eq!(refusal(RawPeer::connect(&server).await.hello(refresh(&lost)).await), ErrorCode::SessionEnded);
    assert_eq!(refusal(RawPeer::connect(&server).await.hello(refresh(&second)).await), ErrorCode::SessionEnded);
}

#[tokio::test]
async fn a_refresh_token_used_twice_ends_the_session_and_its_connections() {
    let server = TestServer::start().await;
    let [ann] = users(&server).await;
    let first = tokens_in(&ann.tokens);
    let (earlier, second) = renewed(&server, &first).await;
    let (later, third) = renewed(&server, &second).await;
    assert_eq!(refusal(RawPeer::connect(&server).await.hello(refresh(&first)).await), ErrorCode::SessionEnded);
    assert_eq!((earlier.closed().await, later.closed().await), (ErrorCode::SessionEnded, ErrorCode::SessionEnded));
    assert_eq!(ended(&ann.client).await.code(), Some(ErrorCode::SessionEnded));
    let access = Auth::Access { token: third.access.clone() };
    for proof in [refresh(&third), access] {
        assert_eq!(refusal(RawPeer::connect(&server).await.hello(proof).await), ErrorCode::SessionEnded);
    }
    RawPeer::login(&server, Auth::Login { email: ann.email(), password: hypersend_lab::user::password() }).await;
}

#[tokio::test]
async fn logging_out_closes_every_connection_of_the_session_and_no_other() {
    let server = TestServer::start().await;
    let [ann] = users(&server).await;
    let tokens = tokens_in(&ann.tokens);
    let phone = ann.device(server.config()).await;
    let second = Client::start(server.config(), Credentials::Stored, MemoryTokens::with(tokens.clone())).unwrap();
    within("connects", second.ready()).await.unwrap();

    within("logs out", ann.client.logout()).await.unwrap();
    assert_eq!(ended(&ann.client).await.code(), Some(ErrorCode::SessionEnded));
    assert_eq!(ended(&second).await.code(), Some(ErrorCode::SessionEnded));
    for proof in [refresh(&tokens), Auth::Access { token: tokens.access.clone() }] {
        assert_eq!(refusal(RawPeer::connect(&server).await.hello(proof).await), ErrorCode::SessionEnded);
    }
    assert_eq!(phone.me().await.unwrap(), ann.profile, "another login is another session");
}

#[tokio::test]
async fn the_answer_to_a_logout_comes_before_the_end() {
    let server = TestServer::start().await;
    let [ann] = users(&server).await;
    let access = Auth::Access { token: tokens_in(&ann.tokens).access };
    let peer = RawPeer::login(&server, access).await;
    peer.ask(&GetMe {}).await.unwrap();
    peer.ask(&Logout {}).await.unwrap();
    assert_eq!(peer.closed().await, ErrorCode::SessionEnded);

    let mut peer = RawPeer::connect(&server).await;
    let login = Auth::Login { email: ann.email(), password: hypersend_lab::user::password() };
    let session = peer.hello(login).await.unwrap().session;
    peer.ask(&EndSession { session }).await.unwrap();
    assert_eq!(peer.closed().await, ErrorCode::SessionEnded);
}

async fn logins(client: &Client) -> Vec<SessionInfo> {
    let page = client.sessions(None).await.unwrap();
    assert!(!page.more);
    page.sessions
}

async fn session_of(client: &Client) -> SessionId {
    client.ready().await.unwrap().session
}

#[tokio::test]
async fn logins_are_listed_and_one_s_own_is_marked() {
    let server = TestServer::start().await;
    let [ann, _bob] = users(&server).await;
    let phone = ann.device(Config { agent: "phone/1".to_owned(), ..server.config() }).await;
    let seen = logins(&ann.client).await;
    let ids: Vec<_> = seen.iter().map(|login| login.id).collect();
    assert_eq!(ids, [session_of(&phone).await, session_of(&ann.client).await], "newest first, and nobody else's");
    let own = |seen: &[SessionInfo]| seen.iter().map(|login| login.current).collect::<Vec<_>>();
    assert_eq!((own(&seen), own(&logins(&phone).await)), (vec![false, true], vec![true, false]));
    assert_eq!(seen[0].agent, "phone/1");

    let (_peer, _tokens) = renewed(&server, &tokens_in(&ann.tokens)).await;
    let (before, after) = (&seen[1], &logins(&ann.client).await[1]);
    assert_eq!((before.id, before.created), (after.id, after.created));
    assert!(before.renewed < after.renewed && before.expires < after.expires, "{before:?}, renewed {after:?}");
    let older = ann.client.sessions(Some(ids[0])).await.unwrap();
    assert_eq!(older.sessions, std::slice::from_ref(after));
}

#[tokio::test]
async fn ending_a_login_closes_its_connections_and_no_other() {
    let server = TestServer::start().await;
    let [ann, bob] = users(&server).await;
    let (phone, tokens) = (ann.device(server.config()).await, tokens_in(&ann.tokens));
    let first = session_of(&ann.client).await;
    assert_eq!(code(bob.client.end_session(first).await), ErrorCode::NotFound);
    assert_eq!(code(phone.end_session(SessionId(Uuid::from_u128(1))).await), ErrorCode::NotFound);
    assert_eq!(logins(&phone).await.len(), 2);

    phone.end_session(first).await.unwrap();
    assert_eq!(ended(&ann.client).await.code(), Some(ErrorCode::SessionEnded));
    for proof in [refresh(&tokens), Auth::Access { token: tokens.access.clone() }] {
        assert_eq!(refusal(RawPeer::connect(&server).await.hello(proof).await), ErrorCode::SessionEnded);
    }
    phone.end_session(first).await.expect("it may be asked for again");
    let left: Vec<_> = logins(&phone).await.iter().map(|login| (login.id, login.current)).collect();
    assert_eq!(left, [(session_of(&phone).await, true)]);

    within("ends itself", phone.end_session(left[0].0)).await.unwrap();
    assert_eq!(ended(&phone).await.code(), Some(ErrorCode::SessionEnded));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_clients_that_share_a_store_never_end_the_session() {
    let server = TestServer::start().await;
    let [ann] = users(&server).await;
    let store = SharedTokens::new(tokens_in(&ann.tokens), true);
    let start = || Client::start(server.config(), Credentials::Stored, store.clone()).unwrap();
    for round in 1..=8 {
        let (one, other) = (start(), start());
        let (first, second) = tokio::join!(one.ready(), other.ready());
        assert_eq!(first.unwrap().session, second.unwrap().session);
        assert_eq!(store.saves(), 2 * round, "each renewed, one after the other");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waited_for_a_renewal_uses_what_it_brought() {
    let server = TestServer::start().await;
    let [ann] = users(&server).await;
    let store = SharedTokens::new(tokens_in(&ann.tokens), false);
    let turn = store.turn.clone().lock_owned().await;
    let start = || Client::start(server.config(), Credentials::Stored, store.clone()).unwrap();
    let clients = [start(), start(), start()];
    // Each has seen the old tokens when it waits for its turn.
    eventually("all wait", async || (Arc::strong_count(&store.turn) == 5).then_some(())).await;
    drop(turn);
    for client in &clients {
        within("connects", client.ready()).await.unwrap();
    }
    assert_eq!(store.saves(), 1);
}

#[tokio::test]
async fn a_lost_connection_is_replaced_without_a_new_session() {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.socket_address());
    let ann = TestUser::register(server.config_via(proxy.address()), "ann").await;
    let session = ann.client.ready().await.unwrap().session;
    proxy.cut();
    // Something has to be said for the silence to be noticed.
    let asked = tokio::spawn({
        let client = ann.client.clone();
        async move { client.find_user(client.me().await?.email).await }
    });
    disconnected(&ann.client).await;
    proxy.restore();
    assert_eq!(within("answered after all", asked).await.unwrap().unwrap(), ann.profile);
    assert_eq!(ann.client.ready().await.unwrap().session, session);
    assert!(matches!(ann.client.status(), Status::Connected { .. }));
}
