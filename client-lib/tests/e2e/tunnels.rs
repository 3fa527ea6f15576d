//! Clients reach relays by way of the server, where their network lets no UDP through.

use hypersend_client::{
    Config, Progress, Transport, Transports,
    direct::{
        CodeOptions, DirectError, DirectTransfer, Offer, ReceiveOptions, Received, SendOptions, Sent, Way, Whereabouts,
        receive_by_code, send_by_code,
    },
    mailbox::Guest,
    protocol::{
        id::RelayId,
        limit::{MAX_DATAGRAM_BYTES, MAX_TUNNELS_PER_USER},
        mailbox::{MailboxKey, MailboxOpen, OpenMailbox},
        refusal::ErrorCode,
        relay::{FromRelay, Nonce, ToRelay},
        session::{Auth, VERSION},
        tunnel::{Datagram, DatagramBytes, OpenTunnel, TunnelOpen},
    },
};
use hypersend_lab::{RawPeer, TestServer, Ways, fixtures::random_file, peer, user::password, users, within};
use hypersend_net::{
    frames::{FrameReader, RecvError, send},
    stream::SendStream,
};
use std::{
    fs,
    net::{Ipv4Addr, UdpSocket},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;
use uuid::Uuid;

/// A server with a relay that hears nothing of what clients send it by UDP: it is said to be where nobody is.
async fn server() -> TestServer {
    TestServer::with([("RELAY_LISTEN", "127.0.0.1:0"), ("RELAY_ANNOUNCE", "127.0.0.9:9")]).await
}

/// A file from one to another, over relays alone.
struct Stage {
    server: TestServer,
    folder: TempDir,
}

impl Stage {
    async fn new() -> Self {
        Self { server: server().await, folder: tempfile::tempdir().unwrap() }
    }

    async fn begin(&self, size: u64, hers: Config, his: Config) -> (DirectTransfer<Sent>, DirectTransfer<Received>) {
        let options = CodeOptions { relay_only: true, ..CodeOptions::default() };
        let film = random_file(&self.film(), size, 7);
        let offer = Arc::new(Offer::open(vec![film]).await.unwrap());
        let sending = send_by_code(Guest::start(hers).unwrap(), offer, options);
        let (code, sending) = within("a code is given", sending).await.unwrap();
        let receiving = receive_by_code(Guest::start(his).unwrap(), &code, options);
        let offer = within("the offer comes", receiving).await.unwrap();
        fs::create_dir_all(self.into()).unwrap();
        (sending, offer.accept(self.into()))
    }

    fn film(&self) -> PathBuf {
        self.folder.path().join("film.mkv")
    }

    fn into(&self) -> PathBuf {
        self.folder.path().join("into")
    }

    async fn ends(&self, mut sending: DirectTransfer<Sent>, mut receiving: DirectTransfer<Received>) {
        let both = async { tokio::join!(sending.finish(), receiving.finish()) };
        let (sent, received): (Result<Sent, DirectError>, Result<Received, DirectError>) =
            within("both end", both).await;
        sent.unwrap();
        same(&self.film(), &received.unwrap().places[0]);
    }
}

fn same(one: &Path, other: &Path) {
    assert!(fs::read(one).unwrap() == fs::read(other).unwrap(), "{} is not {}", other.display(), one.display());
}

fn is_tunnelled(now: &Whereabouts) -> bool {
    matches!(now, Whereabouts::Carried(Way::Relayed { name, tunnelled: true, .. }) if name == "server")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_no_udp_gets_to_a_relay_files_go_there_by_way_of_the_server() {
    let stage = Stage::new().await;
    let over_tcp = Config { transports: Transports::Only(Transport::Tcp), ..stage.server.config() };
    let (sending, receiving) = stage.begin(24 << 20, stage.server.config(), over_tcp).await;
    for mut whereabouts in [sending.whereabouts(), receiving.whereabouts()] {
        within("a way is found", whereabouts.wait_for(is_tunnelled)).await.unwrap();
    }
    stage.ends(sending, receiving).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_follows_its_connection_from_tcp_to_quic() {
    let stage = Stage::new().await;
    let ways = Ways::to(stage.server.socket_address(), stage.server.socket_address()).await;
    ways.udp.cut();
    let his = stage.server.config_via(ways.address());
    let (sending, receiving) = stage.begin(512 << 20, stage.server.config(), his).await;
    let mut progress = receiving.progress();
    let some = |now: &Option<Progress>| now.is_some_and(|now| now.stored_bytes >= 8 << 20);
    within("some of it arrives over TCP", progress.wait_for(some)).await.unwrap();
    ways.udp.restore();
    stage.ends(sending, receiving).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tunnel_is_dug_again_at_a_server_that_was_killed() {
    let mut stage = Stage::new().await;
    let (sending, receiving) = stage.begin(256 << 20, stage.server.config(), stage.server.config()).await;
    let mut progress = receiving.progress();
    let some = |now: &Option<Progress>| now.is_some_and(|now| now.stored_bytes >= 8 << 20);
    within("some of it arrives", progress.wait_for(some)).await.unwrap();
    stage.server.restart().await;
    stage.ends(sending, receiving).await;
}

/// Between two accounts, with nothing that the server may store.
async fn goes_through_a_tunnel(path: &Path, seek: Option<Duration>) {
    let server = server().await;
    let [ann, bob] = users(&server).await;
    let chat = ann.client.open_direct(bob.email()).await.unwrap().id;
    let into = tempfile::tempdir().unwrap();
    let offer = Arc::new(Offer::open(vec![path.to_owned()]).await.unwrap());
    let options = SendOptions { relay_only: true, seek, store_after: None };
    let mut sending = ann.client.send_direct(chat, bob.id(), offer, options);
    let offered = within("an offer comes", bob.client.offers().next()).await.unwrap();
    let mut receiving = bob.client.receive_direct(offered, into.path(), ReceiveOptions { relay_only: true });
    for mut whereabouts in [sending.whereabouts(), receiving.whereabouts()] {
        within("a way is found", whereabouts.wait_for(is_tunnelled)).await.unwrap();
    }
    let (sent, received) = within("both end", async { tokio::join!(sending.finish(), receiving.finish()) }).await;
    sent.unwrap();
    let arrived = received.unwrap().places.remove(0);
    if path.is_dir() {
        same(&path.join("film.mkv"), &arrived.join("film.mkv"));
    } else {
        same(path, &arrived);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_which_cannot_be_stored_goes_by_way_of_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let trip = folder.path().join("trip");
    fs::create_dir(&trip).unwrap();
    random_file(&trip.join("film.mkv"), 3 << 20, 7);
    goes_through_a_tunnel(&trip, SendOptions::default().seek).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_which_is_not_to_be_stored_goes_by_way_of_the_server() {
    let folder = tempfile::tempdir().unwrap();
    let film = random_file(&folder.path().join("film.mkv"), 3 << 20, 7);
    goes_through_a_tunnel(&film, None).await;
}

/// Somebody who says by hand what a client says.
struct RawGuest {
    peer: RawPeer,
    mailbox: MailboxOpen,
    _stream: (SendStream, FrameReader),
}

impl RawGuest {
    async fn come(server: &TestServer) -> Self {
        let peer = RawPeer::connect(server).await;
        let (mut out, mut answer) = peer.stream().await;
        let key = MailboxKey(Uuid::new_v4().into_bytes());
        send(&mut out, &OpenMailbox { version: VERSION, key }).await.unwrap();
        let mailbox = within("the mailbox is open", answer.expect()).await.unwrap();
        Self { peer, mailbox, _stream: (out, answer) }
    }

    async fn dig(&self, relay: RelayId) -> Result<Tunnel, RecvError> {
        dig(&self.peer, relay).await
    }
}

async fn dig(peer: &RawPeer, relay: RelayId) -> Result<Tunnel, RecvError> {
    let (mut out, mut answer) = peer.stream().await;
    send(&mut out, &OpenTunnel { relay }).await.unwrap();
    within("the tunnel is open", answer.expect::<TunnelOpen>()).await?;
    Ok(Tunnel { out, answer })
}

struct Tunnel {
    out: SendStream,
    answer: FrameReader,
}

impl Tunnel {
    async fn send(&mut self, bytes: Vec<u8>) {
        send(&mut self.out, &Datagram { bytes: DatagramBytes::new(bytes).unwrap() }).await.unwrap();
    }

    async fn next(&mut self) -> FromRelay {
        let Datagram { bytes } = within("the relay answers", self.answer.expect()).await.unwrap();
        FromRelay::read(bytes.as_slice()).unwrap()
    }
}

#[tokio::test]
async fn a_tunnel_leads_to_a_relay_and_back() {
    let server = server().await;
    let guest = RawGuest::come(&server).await;
    let relay = guest.mailbox.relays[0].relay;
    let (mut one, mut other) = (guest.dig(relay).await.unwrap(), guest.dig(relay).await.unwrap());
    let mut seen = Vec::new();
    for (tunnel, number) in [(&mut one, 1), (&mut other, 2)] {
        // The longest that there may be is nothing to a relay, and does no harm.
        tunnel.send(vec![0xff; MAX_DATAGRAM_BYTES]).await;
        let nonce = Nonce([number; 8]);
        tunnel.send(ToRelay::Observe { nonce }.encode().to_vec()).await;
        let FromRelay::Observed { nonce: answered, observed } = tunnel.next().await else { panic!("no answer") };
        assert_eq!((answered, observed.ip()), (nonce, Ipv4Addr::LOCALHOST.into()));
        seen.push(observed);
    }
    assert_ne!(seen[0], seen[1], "each has a socket of its own");

    // What others send there is not passed on.
    let stranger = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    stranger.send_to(b"let me in", seen[0]).unwrap();
    one.send(ToRelay::Observe { nonce: Nonce([3; 8]) }.encode().to_vec()).await;
    let next = one.next().await;
    assert!(matches!(next, FromRelay::Observed { nonce: Nonce([3, ..]), .. }), "{next:?}");
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[tokio::test]
async fn a_network_without_an_account_has_so_many_tunnels_and_not_one_more() {
    let server = server().await;
    let guest = RawGuest::come(&server).await;
    let relay = guest.mailbox.relays[0].relay;
    let mut tunnels = Vec::new();
    for _ in 0..MAX_TUNNELS_PER_USER {
        tunnels.push(guest.dig(relay).await.unwrap());
    }
    assert_eq!(refused(guest.dig(relay).await), ErrorCode::LimitReached);
    let mut first = tunnels.remove(0);
    first.out.finish();
    assert!(within("it ends", first.answer.next::<Datagram>()).await.unwrap().is_none());
    tunnels.push(guest.dig(relay).await.unwrap());
}

#[tokio::test]
async fn a_tunnel_leads_nowhere_else_and_carries_nothing_else() {
    let server = server().await;
    let guest = RawGuest::come(&server).await;
    assert_eq!(refused(guest.dig(RelayId(Uuid::now_v7())).await), ErrorCode::NotFound);
    let relay = guest.mailbox.relays[0].relay;
    let mut tunnel = guest.dig(relay).await.unwrap();
    send(&mut tunnel.out, &OpenTunnel { relay }).await.unwrap();
    let ended = within("it is refused", tunnel.answer.expect::<Datagram>()).await;
    assert_eq!(peer::refusal(ended), ErrorCode::UnexpectedFrame);
    // The mailbox and what else there is go on.
    guest.dig(relay).await.unwrap();
    // Nor may a user dig to what was not named here.
    let [ann] = users(&server).await;
    let login = Auth::Login { email: ann.email(), password: password() };
    let member = RawPeer::login(&server, login).await;
    assert_eq!(refused(dig(&member, relay).await), ErrorCode::NotFound);
}

fn refused(dug: Result<Tunnel, RecvError>) -> ErrorCode {
    peer::refusal(dug.map(drop))
}
