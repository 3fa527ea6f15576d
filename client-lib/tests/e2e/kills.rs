//! kill -9 of the server in the middle of a transfer, twice: it finishes by itself, and what was stored is not sent again.

use crate::support::{Desk, download, upload};
use bytes::Bytes;
use hypersend_client::{
    Client, Transport,
    protocol::{file::BeginUpload, id::ChunkIndex, session::Auth},
};
use hypersend_lab::{
    Proxy, RawPeer, TestServer, TestUser,
    fixtures::{MIB, b3_of},
    user::password,
    within,
};
use hypersend_net::connection::Closed;
use hypersend_transfer::{map::ReceiveMap, plan::ChunkPlan, source::Source};
use std::path::Path;

const SIZE: u64 = 40 * MIB;

/// What passes before each cut: chunks travel side by side, eight at a time, so that some are whole after this.
const PASSES: u64 = 14 * MIB;

/// What may be carried beside the missing chunks: headers, acknowledgements, and what is repeated after a loss.
const OVERHEAD: u64 = 3 * MIB;

/// Which chunks of a file on its way the server calls stored.
async fn stored(server: &TestServer, user: &TestUser, path: &Path) -> ReceiveMap {
    let source = Source::open(path).unwrap();
    let peer = RawPeer::login(server, Auth::Login { email: user.email(), password: password() }).await;
    let begin = BeginUpload { key: source.key(), name: source.name().clone(), size: source.size() };
    let state = peer.ask(&begin).await.unwrap();
    let plan = ChunkPlan::parse(source.size(), state.chunk_size).unwrap();
    ReceiveMap::from_bytes(plan.chunk_count(), &state.stored).unwrap()
}

fn chunks(map: &ReceiveMap) -> impl Iterator<Item = ChunkIndex> + '_ {
    (0..map.count()).map(ChunkIndex).filter(|&chunk| map.contains(chunk))
}

#[tokio::test]
async fn an_upload_survives_two_kills_of_the_server() {
    let mut server = TestServer::start().await;
    let proxy = Proxy::start(server.socket_address());
    let ann = TestUser::register(server.config_via(proxy.address()), "ann").await;
    let desk = Desk::new();
    let source = desk.file("film.mkv", SIZE);
    proxy.cut_after(PASSES);
    let sending = ann.client.upload(&source);
    let mut before = 0;
    for kill in 1..=2 {
        proxy.until_cut().await;
        let acknowledged = stored(&server, &ann, &source).await;
        assert!(acknowledged.stored() > before, "kill {kill} comes after more was stored: {acknowledged:?}");
        server.restart().await;
        let kept = stored(&server, &ann, &source).await;
        assert!(chunks(&acknowledged).all(|chunk| kept.contains(chunk)), "{acknowledged:?} before, {kept:?} after");
        before = kept.stored();
        if kill == 1 {
            proxy.cut_after(PASSES);
        }
    }
    let carried = proxy.carried_up();
    proxy.restore();
    let file = within("the upload ends", sending.finish()).await.unwrap();
    assert_eq!(file.root, b3_of(&source));
    let missing = SIZE - u64::from(before) * MIB;
    let sent = proxy.carried_up() - carried;
    assert!(sent < missing + OVERHEAD, "{missing} bytes were missing, {sent} were sent");
}

#[tokio::test]
async fn a_download_survives_two_kills_of_the_server() {
    let mut server = TestServer::start().await;
    let proxy = Proxy::start(server.socket_address());
    let ann = TestUser::register(server.config_via(proxy.address()), "ann").await;
    let desk = Desk::new();
    let file = upload(&ann.device(server.config()).await, &desk.file("film.mkv", SIZE)).await;
    proxy.cut_after(PASSES);
    let fetching = ann.client.download(file.id, desk.path("copy.mkv"));
    let progress = fetching.progress();
    let arrived = || progress.borrow().map_or(0, |now| now.stored_bytes);
    let mut before = 0;
    for kill in 1..=2 {
        proxy.until_cut().await;
        // What came through the cut may still be on its way to the disk.
        let more = async || (arrived() > before).then_some(());
        hypersend_lab::eventually("something arrived before the kill", more).await;
        before = arrived();
        server.restart().await;
        if kill == 1 {
            proxy.cut_after(PASSES);
        }
    }
    let carried = proxy.carried_down();
    proxy.restore();
    within("the download ends", fetching.finish()).await.unwrap();
    assert_eq!(b3_of(&desk.path("copy.mkv")), file.root);
    let missing = SIZE - before;
    let fetched = proxy.carried_down() - carried;
    assert!(fetched < missing + OVERHEAD, "{missing} bytes were missing, {fetched} were fetched");
}

/// A program that dies with its upload, and another that does the same upload.
#[tokio::test]
async fn an_upload_begun_again_goes_on_where_it_was() {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.socket_address());
    let ann = TestUser::register(server.config(), "ann").await;
    let desk = Desk::new();
    let source = desk.file("film.mkv", SIZE);
    let first: Client = ann.device(server.config_via(proxy.address())).await;
    proxy.cut_after(PASSES);
    let sending = first.upload(&source);
    proxy.until_cut().await;
    drop((sending, first));
    let kept = stored(&server, &ann, &source).await;
    assert!(kept.stored() > 0);

    let second = Proxy::start(server.socket_address());
    let client = ann.device(server.config_via(second.address())).await;
    assert_eq!(upload(&client, &source).await.root, b3_of(&source));
    let missing = SIZE - u64::from(kept.stored()) * MIB;
    assert!(second.carried_up() < missing + OVERHEAD, "{missing} missing, {} sent", second.carried_up());
    let file = client.files(None).await.unwrap().files.remove(0);
    download(&client, &file, &desk.path("copy.mkv")).await;
    assert_eq!(b3_of(&desk.path("copy.mkv")), b3_of(&source));
}

/// Two programs send the same file at the same time; one of them loses its connection meanwhile, and finds chunks stored
/// that it never sent.
#[tokio::test]
async fn two_programs_may_send_the_same_file() {
    let mut server = TestServer::start().await;
    let (one, other) = (Proxy::start(server.socket_address()), Proxy::start(server.socket_address()));
    let ann = TestUser::register(server.config_via(one.address()), "ann").await;
    let second = ann.device(server.config_via(other.address())).await;
    let desk = Desk::new();
    let source = desk.file("film.mkv", SIZE);
    one.cut_after(PASSES);
    let sending = ann.client.upload(&source);
    one.until_cut().await;
    let before = stored(&server, &ann, &source).await.stored();
    other.cut_after(PASSES);
    let helping = second.upload(&source);
    other.until_cut().await;
    assert!(stored(&server, &ann, &source).await.stored() > before);
    drop(helping);
    server.restart().await;
    one.restore();
    let file = within("the upload ends", sending.finish()).await.unwrap();
    assert_eq!(file.root, b3_of(&source));
}

/// Whoever talks to a server that was killed is told as soon as it is back, and does not have to find out by its silence.
#[tokio::test]
async fn a_server_back_from_a_kill_disowns_its_connections() {
    let mut server = TestServer::start().await;
    let peer = RawPeer::connect_over(Transport::Quic, &server).await;
    server.restart().await;
    // It is repeated until somebody answers.
    let (mut sender, _receiver) = peer.connection.open_bi().await.unwrap();
    sender.write(Bytes::from_static(b"anybody there?")).await.unwrap();
    let closed = within("the connection ends", peer.connection.closed()).await;
    assert_eq!(closed, Closed::Lost(quinn::ConnectionError::Reset.to_string()));
}
