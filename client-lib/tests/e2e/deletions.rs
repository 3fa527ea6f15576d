//! Files that their owners take back.

use crate::support::{Desk, code, download, text, upload};
use hypersend_client::protocol::{file::FileInfo, id::FileId, refusal::ErrorCode};
use hypersend_lab::{
    Proxy, TestServer, TestUser, eventually,
    fixtures::{MIB, b3_of},
    users, within,
};
use std::{fs, path::PathBuf};
use uuid::Uuid;

/// More bytes than the acknowledgements that an idle client may still owe: when so many have passed, a request was among
/// them. A client repeats it while the server is silent.
const SAID: u64 = 128;

/// Where the server keeps a file.
fn folder(server: &TestServer, file: &FileInfo) -> PathBuf {
    server.data_root().join("files").join(file.id.to_string())
}

#[tokio::test]
async fn a_deleted_file_is_gone_and_its_messages_stay() {
    let server = TestServer::start().await;
    let [ann, bob] = users(&server).await;
    let desk = Desk::new();
    let source = desk.file("film.mkv", MIB + 5);
    let (file, other) = (upload(&ann.client, &source).await, upload(&ann.client, &desk.file("other.mkv", 5)).await);
    let chat = ann.client.open_direct(bob.email()).await.unwrap().id;
    ann.client.post(chat, None, vec![file.id]).await.unwrap();
    // Both have it open on their connections.
    download(&ann.client, &file, &desk.path("ann's copy")).await;
    download(&bob.client, &file, &desk.path("bob's copy")).await;

    ann.client.delete_file(file.id).await.unwrap();
    assert!(!folder(&server, &file).exists() && folder(&server, &other).exists());
    for user in [&ann, &bob] {
        assert_eq!(code(user.client.download(file.id, desk.path("late")).finish().await), ErrorCode::NotFound);
        assert_eq!(code(user.client.post(chat, text("again"), vec![file.id]).await), ErrorCode::NotFound);
        let message = user.client.history(chat, None, 10).await.unwrap().messages.remove(0);
        assert_eq!((message.files[0].id, message.files[0].size), (file.id, file.size));
    }
    assert_eq!(ann.client.files(None).await.unwrap().files, [other]);

    let again = upload(&ann.client, &source).await;
    assert_ne!(again.id, file.id, "what is sent again is another file");
    download(&ann.client, &again, &desk.path("again")).await;
    assert_eq!(b3_of(&desk.path("again")), again.root);
}

#[tokio::test]
async fn deleting_a_file_is_for_who_uploaded_it() {
    let server = TestServer::start().await;
    let [ann, bob, eve] = users(&server).await;
    let desk = Desk::new();
    let file = upload(&ann.client, &desk.file("film.mkv", 1_000)).await;
    let chat = ann.client.open_direct(bob.email()).await.unwrap().id;
    ann.client.post(chat, None, vec![file.id]).await.unwrap();
    assert_eq!(code(bob.client.delete_file(file.id).await), ErrorCode::Forbidden);
    assert_eq!(code(eve.client.delete_file(file.id).await), ErrorCode::NotFound);
    assert_eq!(code(ann.client.delete_file(FileId(Uuid::from_u128(1))).await), ErrorCode::NotFound);
    download(&bob.client, &file, &desk.path("copy")).await;
    ann.client.delete_file(file.id).await.unwrap();
    assert_eq!(code(ann.client.delete_file(file.id).await), ErrorCode::NotFound);
}

#[tokio::test]
async fn a_folder_left_behind_is_removed_at_the_next_start() {
    let mut server = TestServer::start().await;
    let [ann] = users(&server).await;
    let desk = Desk::new();
    let (file, kept) = (
        upload(&ann.client, &desk.file("film.mkv", MIB)).await,
        upload(&ann.client, &desk.file("kept.mkv", MIB)).await,
    );
    // The same as a crash between record and folder: the folder is away when it should be removed.
    let (here, aside) = (folder(&server, &file), desk.path("aside"));
    fs::rename(&here, &aside).unwrap();
    fs::write(&here, "no folder").unwrap();
    ann.client.delete_file(file.id).await.unwrap();
    server.kill();
    fs::remove_file(&here).unwrap();
    fs::rename(&aside, &here).unwrap();
    assert!(here.join("content").exists());

    server.start_again().await;
    eventually("the folder is removed", async || (!here.exists()).then_some(())).await;
    download(&ann.client, &kept, &desk.path("copy")).await;
    assert_eq!(b3_of(&desk.path("copy")), kept.root);
}

#[tokio::test]
async fn a_deletion_whose_answer_was_lost_is_done() {
    let mut server = TestServer::start().await;
    let proxy = Proxy::start(server.socket_address());
    let ann = TestUser::register(server.config_via(proxy.address()), "ann").await;
    let desk = Desk::new();
    let file = upload(&ann.client, &desk.file("film.mkv", 1_000)).await;

    server.pause();
    let said = proxy.carried_up();
    let client = ann.client.clone();
    let deleting = tokio::spawn(async move { client.delete_file(file.id).await });
    eventually("it is asked for", async || (proxy.carried_up() > said + SAID).then_some(())).await;
    proxy.cut();
    server.resume();
    let here = server.data_root().join("files").join(file.id.to_string());
    eventually("it is done", async || (!here.exists()).then_some(())).await;
    server.restart().await;
    proxy.restore();
    within("the second attempt is answered", deleting).await.unwrap().unwrap();
}
