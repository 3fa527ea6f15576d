//! Files there and back, and what stands in their way.

use crate::support::{Desk, download, ended, refusal, upload};
use hypersend_client::{
    ClientError, DownloadError, UploadError,
    protocol::{id::FileId, refusal::ErrorCode},
};
use hypersend_lab::{
    Proxy, TestServer, TestUser, eventually,
    fixtures::{KIB, MIB, b3_of, sparse_file},
    users, within,
};
use hypersend_transfer::source::SourceError;
use std::{fs, io::Write};
use uuid::Uuid;

#[tokio::test]
async fn every_size_comes_back_as_it_went() {
    let server = TestServer::start().await;
    let [ann] = users(&server).await;
    let desk = Desk::new();
    for size in [0, 1, KIB + 1, MIB - 1, MIB, MIB + 1, 5 * MIB + 123] {
        let source = desk.file(&format!("{size}.bin"), size);
        let sent = upload(&ann.client, &source).await;
        assert_eq!((sent.size, sent.root, sent.owner), (size, b3_of(&source), ann.id()));
        let copy = desk.path(&format!("{size}.copy"));
        assert_eq!(download(&ann.client, &sent, &copy).await, sent);
        assert_eq!(b3_of(&copy), sent.root, "{size} bytes");
    }
    let names: Vec<_> = fs::read_dir(desk.path(".")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 14, "nothing is left beside the files: {names:?}");
    assert_eq!(ann.client.files(None).await.unwrap().files.len(), 7);
}

#[tokio::test]
async fn progress_is_told_and_ends_with_the_whole() {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.socket_address());
    let ann = TestUser::register(server.config_via(proxy.address()), "ann").await;
    let desk = Desk::new();
    let source = desk.file("film.mkv", 12 * MIB);
    proxy.slow_to(16 * MIB);

    let sending = ann.client.upload(&source);
    let mut told = sending.progress();
    let half_way = told.wait_for(|progress| progress.is_some_and(|now| now.stored_bytes > 0));
    let half_way = within("something is stored", half_way).await.unwrap().unwrap();
    assert!(half_way.stored_bytes < half_way.total_bytes, "told before the end: {half_way:?}");
    let file = within("sent", sending.finish()).await.unwrap();
    assert_eq!(told.borrow().map(|end| (end.stored_bytes, end.total_bytes)), Some((12 * MIB, 12 * MIB)));

    let fetching = ann.client.download(file.id, desk.path("copy.mkv"));
    let told = fetching.progress();
    within("fetched", fetching.finish()).await.unwrap();
    assert_eq!(told.borrow().map(|end| (end.stored_bytes, end.total_bytes)), Some((12 * MIB, 12 * MIB)));
}

#[tokio::test]
async fn the_same_file_is_sent_once_and_a_changed_one_again() {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.socket_address());
    let ann = TestUser::register(server.config_via(proxy.address()), "ann").await;
    let desk = Desk::new();
    let source = desk.file("film.mkv", 4 * MIB);
    let first = upload(&ann.client, &source).await;
    let carried = proxy.carried_up();
    assert_eq!(upload(&ann.client, &source).await, first);
    assert!(proxy.carried_up() - carried < 64 * KIB, "the server has it already");

    fs::File::options().append(true).open(&source).unwrap().write_all(b"the end").unwrap();
    let second = upload(&ann.client, &source).await;
    assert_ne!((second.id, second.root), (first.id, first.root));
    assert_eq!(second.root, b3_of(&source));
}

#[tokio::test]
async fn a_file_that_changes_while_it_is_sent_is_not_sent() {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.socket_address());
    let ann = TestUser::register(server.config_via(proxy.address()), "ann").await;
    let desk = Desk::new();
    let source = desk.file("film.mkv", 12 * MIB);
    proxy.cut_after(6 * MIB);
    let sending = ann.client.upload(&source);
    proxy.until_cut().await;
    fs::File::options().append(true).open(&source).unwrap().write_all(b"x").unwrap();
    proxy.restore();
    let error = within("the change is noticed", sending.finish()).await.unwrap_err();
    assert!(matches!(error, UploadError::Source(SourceError::Changed(_))), "{error:?}");
    assert!(error.to_string().contains("film.mkv changed"), "{error}");
    assert!(ann.client.files(None).await.unwrap().files.is_empty());
    assert_eq!(upload(&ann.client, &source).await.root, b3_of(&source));
}

#[tokio::test]
async fn what_is_at_the_destination_stays() {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.socket_address());
    let ann = TestUser::register(server.config_via(proxy.address()), "ann").await;
    let desk = Desk::new();
    let file = upload(&ann.client, &desk.file("film.mkv", 12 * MIB)).await;
    let taken = desk.path("taken");
    fs::write(&taken, "mine").unwrap();
    let error = within("refused", ann.client.download(file.id, &taken).finish()).await.unwrap_err();
    assert!(matches!(&error, DownloadError::Exists(path) if *path == taken), "{error:?}");

    // Also what comes there during the download.
    let late = desk.path("late");
    proxy.cut_after(4 * MIB);
    let fetching = ann.client.download(file.id, &late);
    proxy.until_cut().await;
    fs::write(&late, "mine too").unwrap();
    proxy.restore();
    let error = within("refused at the end", fetching.finish()).await.unwrap_err();
    assert!(error.to_string().contains("is already there"), "{error:?}");
    assert_eq!((fs::read(&taken).unwrap(), fs::read(&late).unwrap()), (b"mine".to_vec(), b"mine too".to_vec()));

    // Nothing was fetched in vain.
    fs::remove_file(&late).unwrap();
    let carried = proxy.carried_down();
    download(&ann.client, &file, &late).await;
    assert_eq!(b3_of(&late), file.root);
    assert!(proxy.carried_down() - carried < MIB, "it was here already");
}

#[tokio::test]
async fn files_over_the_limit_are_refused_before_they_are_sent() {
    let server = TestServer::with([("MAX_FILE_SIZE", "1M")]).await;
    let [ann] = users(&server).await;
    let desk = Desk::new();
    upload(&ann.client, &desk.file("fits", MIB)).await;
    let refused = refusal(ann.client.upload(desk.file("one byte more", MIB + 1)).finish().await);
    assert_eq!((refused.code, refused.limit), (ErrorCode::LimitReached, Some(MIB)));
    let huge = refusal(ann.client.upload(sparse_file(&desk.path("huge"), 1 << 40)).finish().await);
    assert_eq!(huge.code, ErrorCode::LimitReached);
    assert_eq!(fs::read_dir(server.data_root().join("uploads")).unwrap().count(), 0);
}

#[tokio::test]
async fn what_is_no_file_is_not_sent() {
    let server = TestServer::start().await;
    let [ann] = users(&server).await;
    let desk = Desk::new();
    let source = |error| match error {
        Err(UploadError::Source(source)) => source,
        other => panic!("sent: {other:?}"),
    };
    let missing = source(ann.client.upload(desk.path("none")).finish().await);
    assert!(matches!(missing, SourceError::NotFound(_)), "{missing:?}");
    let folder = source(ann.client.upload(desk.path(".")).finish().await);
    assert!(matches!(folder, SourceError::IsADirectory(_)), "{folder:?}");
    let nothing = FileId(Uuid::from_u128(1));
    let refused = refusal(ann.client.download(nothing, desk.path("copy")).finish().await);
    assert_eq!(refused.code, ErrorCode::NotFound);
    assert!(!desk.path("copy").exists());
}

#[tokio::test]
async fn a_dropped_transfer_stops_and_leaves_nothing_running() {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.socket_address());
    let ann = TestUser::register(server.config_via(proxy.address()), "ann").await;
    let desk = Desk::new();
    let (small, large) = (desk.file("small", MIB), desk.file("large", 24 * MIB));
    let file = upload(&ann.client, &small).await;
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let before = tasks();

    proxy.cut_after(6 * MIB);
    let sending = ann.client.upload(&large);
    let fetching = ann.client.download(file.id, desk.path("copy"));
    proxy.until_cut().await;
    assert!(tasks() > before);
    drop((sending, fetching));
    eventually("its tasks end", async || (tasks() == before).then_some(())).await;
    proxy.restore();
    let carried = proxy.carried_up();
    assert_eq!(within("the connection is fine", ann.client.me()).await.unwrap(), ann.profile);
    assert!(proxy.carried_up() - carried < 12 * MIB, "what was not sent yet is not sent any more");
}

#[tokio::test]
async fn a_closed_client_ends_its_transfers() {
    let server = TestServer::start().await;
    let proxy = Proxy::start(server.socket_address());
    let ann = TestUser::register(server.config_via(proxy.address()), "ann").await;
    let desk = Desk::new();
    proxy.cut_after(4 * MIB);
    let sending = ann.client.upload(desk.file("large", 24 * MIB));
    proxy.until_cut().await;
    within("the client closes", ann.client.close()).await;
    let error = within("the upload ends", sending.finish()).await.unwrap_err();
    assert!(matches!(error, UploadError::Client(ClientError::Closed)), "{error:?}");
    assert!(matches!(ended(&ann.client).await, ClientError::Closed));
}
