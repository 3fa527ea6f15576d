//! Bad paths, a server that stops, a disk that forgets: transfers finish by themselves.

use crate::support::{Desk, disconnected, upload};
use hypersend_client::{
    DownloadError, Status,
    protocol::{refusal::ErrorCode, session::Auth, session::GoingAway},
};
use hypersend_lab::{
    Proxy, RawPeer, TestServer, TestUser, eventually,
    fixtures::{MIB, b3_of},
    user::password,
    within,
};
use hypersend_transfer::folder::TransferFolder;
use std::{fs, io::Write, path::PathBuf, time::Duration};
use tokio::sync::mpsc;

const SIZE: u64 = 24 * MIB;

struct Scene {
    server: TestServer,
    proxy: Proxy,
    ann: TestUser,
    desk: Desk,
    source: PathBuf,
}

impl Scene {
    async fn set() -> Self {
        let server = TestServer::start().await;
        let proxy = Proxy::start(server.socket_address());
        let ann = TestUser::register(server.config_via(proxy.address()), "ann").await;
        let desk = Desk::new();
        let source = desk.file("film.mkv", SIZE);
        Self { server, proxy, ann, desk, source }
    }
}

#[tokio::test]
async fn a_server_that_is_told_to_stop_lets_its_clients_know_and_finds_everything_again() {
    let Scene { mut server, proxy, ann, desk: _desk, source } = Scene::set().await;
    let mut peer = RawPeer::login(&server, Auth::Login { email: ann.email(), password: password() }).await;
    let (told, mut reasons) = mpsc::unbounded_channel();
    let watched = ann.client.clone();
    let _watching = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(async move {
        let tell = |status| {
            if let Status::Connecting { reason: Some(reason), .. } = status {
                let _ = told.send(reason);
            }
        };
        watched.watch_status(tell).await
    }));
    proxy.slow_to(8 * MIB);
    let sending = ann.client.upload(&source);
    let mut progress = sending.progress();
    let some = progress.wait_for(|now| now.is_some_and(|now| now.stored_bytes >= 2 * MIB));
    let stored = within("something is stored", some).await.unwrap().unwrap().stored_bytes;
    assert!(stored < SIZE, "the server stops in the middle");

    server.terminate();
    assert!(peer.notice::<GoingAway>().await.unwrap().grace_ms > 0);
    assert_eq!(peer.closed().await, ErrorCode::Stopping);
    server.stop().await;
    let reason = within("the client is told", reasons.recv()).await.unwrap();
    assert!(reason.contains("is stopping"), "{reason}");

    server.start_again().await;
    proxy.slow_to(1 << 30);
    assert_eq!(within("the upload ends", sending.finish()).await.unwrap().root, b3_of(&source));
    assert!(progress.borrow().unwrap().stored_bytes == SIZE);
}

#[tokio::test]
async fn the_settings_are_shown_whatever_else_is_logged() {
    let secret = "k".repeat(40);
    let server = TestServer::with([("LOG", "off"), ("MAX_FILE_SIZE", "3G"), ("SECRET_KEY", &secret)]).await;
    let log = server.log();
    assert!(log.contains("MAX_FILE_SIZE=3221225472") && log.contains("SECRET_KEY=***"), "{log}");
    assert!(!log.contains(&secret) && !log.contains("sha256"), "{log}");
}

#[tokio::test]
async fn an_idle_server_stops_at_once() {
    let Scene { mut server, proxy: _proxy, ann, .. } = Scene::set().await;
    let took = server.stop().await;
    assert!(took.as_secs() < 3, "{took:?}");
    disconnected(&ann.client).await;
}

#[tokio::test]
async fn an_upload_outlives_a_path_that_is_cut_until_it_is_noticed() {
    let Scene { server: _server, proxy, ann, desk: _desk, source } = Scene::set().await;
    proxy.cut_after(14 * MIB);
    let sending = ann.client.upload(&source);
    proxy.until_cut().await;
    disconnected(&ann.client).await;
    proxy.restore();
    assert_eq!(within("the upload ends", sending.finish()).await.unwrap().root, b3_of(&source));
}

#[tokio::test]
async fn a_download_outlives_a_nat_that_forgets() {
    let Scene { server, proxy, ann, desk, source } = Scene::set().await;
    let file = upload(&ann.device(server.config()).await, &source).await;
    // The uploading device has gone by now.
    let gone = || server.log().matches("disconnected").count();
    eventually("the device is gone", async || (gone() == 1).then_some(())).await;
    proxy.cut_after(14 * MIB);
    let fetching = ann.client.download(file.id, desk.path("copy"));
    proxy.until_cut().await;
    proxy.rebind();
    proxy.restore();
    within("the download ends", fetching.finish()).await.unwrap();
    assert_eq!(b3_of(&desk.path("copy")), file.root);
    assert_eq!(gone(), 1, "the connection moved with the client");
}

#[tokio::test]
async fn a_lossy_path_changes_nothing_but_the_time() {
    let Scene { server: _server, proxy, ann, desk, source } = Scene::set().await;
    proxy.lose(20);
    let file = upload(&ann.client, &source).await;
    crate::support::download(&ann.client, &file, &desk.path("copy")).await;
    assert_eq!((file.root, b3_of(&desk.path("copy"))), (b3_of(&source), b3_of(&source)));
}

/// The only folder under `uploads`.
fn upload_folder(server: &TestServer) -> PathBuf {
    let mut folders = fs::read_dir(server.data_root().join("uploads")).unwrap();
    let folder = folders.next().unwrap().unwrap().path();
    assert!(folders.next().is_none(), "one upload is under way");
    folder
}

#[tokio::test]
async fn a_torn_journal_costs_only_what_it_lost() {
    let Scene { mut server, proxy, ann, desk: _desk, source } = Scene::set().await;
    proxy.cut_after(14 * MIB);
    let sending = ann.client.upload(&source);
    proxy.until_cut().await;
    server.kill();
    let journal = upload_folder(&server).join("journal");
    let records = fs::read(&journal).unwrap();
    // The last record lost half of itself, and nonsense stands behind it.
    let torn = [&records[..records.len() - 20], &[0xa5; 77]].concat();
    fs::write(&journal, torn).unwrap();
    server.start_again().await;
    proxy.restore();
    assert_eq!(within("the upload ends", sending.finish()).await.unwrap().root, b3_of(&source));
}

#[tokio::test]
async fn content_that_a_power_cut_took_is_sent_again() {
    let Scene { mut server, proxy, ann, desk, source } = Scene::set().await;
    proxy.cut_after(14 * MIB);
    let sending = ann.client.upload(&source);
    proxy.until_cut().await;
    server.kill();
    // The journal reached the disk and the content did not.
    let content = fs::File::options().write(true).open(upload_folder(&server).join("content")).unwrap();
    content.set_len(0).unwrap();
    content.set_len(SIZE).unwrap();
    server.start_again().await;
    proxy.restore();
    let file = within("the upload ends", sending.finish()).await.unwrap();
    assert_eq!(file.root, b3_of(&source));
    crate::support::download(&ann.client, &file, &desk.path("copy")).await;
    assert_eq!(b3_of(&desk.path("copy")), b3_of(&source));
}

/// The folder of a download under way.
fn part(desk: &Desk) -> PathBuf {
    let mut entries = fs::read_dir(desk.path(".")).unwrap().map(|entry| entry.unwrap().path());
    entries.find(|path| path.is_dir()).expect("a download has a folder")
}

#[tokio::test]
async fn a_client_that_lost_what_it_had_fetched_fetches_it_again() {
    let Scene { server, proxy, ann, desk, source } = Scene::set().await;
    let file = upload(&ann.device(server.config()).await, &source).await;
    proxy.cut_after(14 * MIB);
    let fetching = ann.client.download(file.id, desk.path("copy"));
    proxy.until_cut().await;
    drop(fetching);
    let mut journal = fs::File::options().append(true).open(part(&desk).join("journal")).unwrap();
    journal.write_all(b"nonsense").unwrap();
    proxy.restore();
    crate::support::download(&ann.client, &file, &desk.path("copy")).await;
    assert_eq!(b3_of(&desk.path("copy")), file.root);
}

#[tokio::test]
async fn a_download_waits_for_the_one_before_to_let_go_and_not_for_ever() {
    let Scene { server, proxy, ann, desk, source } = Scene::set().await;
    let file = upload(&ann.device(server.config()).await, &source).await;
    proxy.cut_after(8 * MIB);
    let fetching = ann.client.download(file.id, desk.path("copy"));
    proxy.until_cut().await;
    drop(fetching);
    let take = || std::future::ready(TransferFolder::open(&part(&desk)).ok());
    let held = eventually("the dropped download lets go", take).await;
    proxy.restore();
    let again = || ann.client.download(file.id, desk.path("copy"));
    let refused = within("it gives up", again().finish()).await;
    assert!(matches!(refused, Err(DownloadError::InUse(_))), "{refused:?}");
    let waiting = again();
    tokio::time::sleep(Duration::from_millis(500)).await;
    drop(held);
    within("the file is fetched", waiting.finish()).await.unwrap();
    assert_eq!(b3_of(&desk.path("copy")), file.root);
}
