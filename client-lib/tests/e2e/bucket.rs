//! Servers whose files are in a bucket, and that have no disk in common.

use crate::support::{Desk, download, upload};
use hypersend_client::{
    Client,
    protocol::{file::FileInfo, id::FileId},
};
use hypersend_lab::{
    Bucket, Proxy, TcpPath, TestServer, TestUser, eventually,
    fixtures::{KIB, MIB, b3_of},
    mongod::{self, Database},
    within,
};
use std::{fs, net::SocketAddr, path::Path};

/// Not a whole number of chunks.
const SIZE: u64 = 5 * MIB + 77;

/// A file that takes a while.
const LARGE: u64 = 40 * MIB;

/// What passes before a server is killed: some chunks are in the bucket after this.
const PASSES: u64 = 14 * MIB;

/// What may be carried beside the missing chunks.
const OVERHEAD: u64 = 3 * MIB;

/// What every server of a test has to agree on, so that logins hold on all of them.
const SECRET: &str = "a secret of the tests, and of nobody else";

/// A server whose files are in a bucket that is found at this address.
async fn server_on(bucket: &Bucket, at: SocketAddr, database: Option<&Database>) -> TestServer {
    let (endpoint, database) = (Bucket::endpoint_via(at), database.map(Database::uri).unwrap_or_default());
    let settings = [
        ("OBJECTS_URL", bucket.url()),
        ("OBJECTS_ENDPOINT", &endpoint),
        ("OBJECTS_ACCESS_KEY", "test"),
        ("OBJECTS_SECRET_KEY", "test"),
        ("MONGODB_URI", &database),
        ("SECRET_KEY", SECRET),
    ];
    TestServer::with(settings).await
}

/// What a server has on its disk of files, under way or not.
fn folders(server: &TestServer) -> Vec<String> {
    let names = ["uploads", "files"].map(|root| fs::read_dir(server.data_root().join(root)).unwrap());
    names.into_iter().flatten().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// The kinds of objects that a file has: `about`, `note`, and the numbers of chunks.
async fn objects(bucket: &Bucket, file: FileId) -> Vec<String> {
    let folder = format!("{file}/");
    let keys = bucket.keys(&folder).await;
    let mut kinds: Vec<String> =
        keys.iter().map(|key| key[folder.len()..].split('-').next().unwrap().to_owned()).collect();
    kinds.sort();
    kinds
}

async fn arrives_whole(client: &Client, file: &FileInfo, source: &Path, copy: &Path) {
    download(client, file, copy).await;
    assert_eq!(b3_of(copy), b3_of(source));
}

#[tokio::test]
async fn a_file_is_in_the_bucket_and_on_no_disk() {
    let (bucket, database) = (Bucket::start().await, mongod::database().await);
    let here = server_on(&bucket, bucket.socket_address(), Some(&database)).await;
    let there = here.apart().await;
    let ann = TestUser::register(here.config(), "ann").await;
    let desk = Desk::new();
    let source = desk.file("film.mkv", SIZE);
    let file = upload(&ann.client, &source).await;
    assert_eq!(file.root, b3_of(&source));
    assert_eq!(objects(&bucket, file.id).await, ["0", "1", "2", "3", "4", "5", "about"]);
    assert!(folders(&here).is_empty(), "{:?}", folders(&here));

    arrives_whole(&ann.client, &file, &source, &desk.path("copy")).await;
    let other = ann.device(there.config()).await;
    arrives_whole(&other, &file, &source, &desk.path("another copy")).await;
    let again = upload(&other, &source).await;
    assert_eq!(again.id, file.id, "it is there already, whichever server is asked");

    ann.client.delete_file(file.id).await.unwrap();
    assert!(bucket.keys("").await.is_empty());
}

#[tokio::test]
async fn an_empty_file_and_a_small_one_are_files_too() {
    let bucket = Bucket::start().await;
    let server = server_on(&bucket, bucket.socket_address(), None).await;
    let ann = TestUser::register(server.config(), "ann").await;
    let desk = Desk::new();
    for (name, size) in [("nothing", 0), ("note", 3 * KIB)] {
        let source = desk.file(name, size);
        let file = upload(&ann.client, &source).await;
        arrives_whole(&ann.client, &file, &source, &desk.path(&format!("{name} again"))).await;
    }
}

/// kill -9 of a server in mid-upload; another one, which has never seen any of it, goes on.
#[tokio::test]
async fn an_upload_goes_on_at_a_server_that_shares_no_disk() {
    let (bucket, database) = (Bucket::start().await, mongod::database().await);
    let mut here = server_on(&bucket, bucket.socket_address(), Some(&database)).await;
    let there = here.apart().await;
    let proxy = Proxy::start(here.socket_address());
    let ann = TestUser::register(here.config_via(proxy.address()), "ann").await;
    let desk = Desk::new();
    let source = desk.file("film.mkv", LARGE);
    proxy.cut_after(PASSES);
    let sending = ann.client.upload(&source);
    proxy.until_cut().await;
    eventually("some chunks are stored", async || (bucket.keys("").await.len() >= 4).then_some(())).await;
    here.kill();
    let stored = bucket.keys("").await.len() as u64 * MIB;
    proxy.lead_to(there.socket_address());
    let before = proxy.carried_up();
    proxy.restore();
    let file = within("the upload ends", sending.finish()).await.unwrap();
    assert_eq!(file.root, b3_of(&source));
    let sent = proxy.carried_up() - before;
    assert!(
        sent < LARGE - stored + OVERHEAD,
        "{sent} bytes of {LARGE} were sent to the other server, {stored} were there"
    );
    assert!(folders(&there).is_empty(), "{:?}", folders(&there));
    let device = ann.device(there.config()).await;
    arrives_whole(&device, &file, &source, &desk.path("copy")).await;

    // What the first one had begun is of no use any more.
    here.start_again().await;
    let look = || std::future::ready(folders(&here).is_empty().then_some(()));
    eventually("the folder that was left is removed", look).await;
}

#[tokio::test]
async fn a_bucket_that_is_away_for_a_while_is_waited_for() {
    let bucket = Bucket::start().await;
    let path = TcpPath::start(bucket.socket_address()).await;
    let mut server = server_on(&bucket, path.address(), None).await;
    let ann = TestUser::register(server.config(), "ann").await;
    let desk = Desk::new();
    let source = desk.file("film.mkv", SIZE);
    path.cut();
    let sending = ann.client.upload(&source);
    let refused = || std::future::ready(server.log().contains("bucket failed").then_some(()));
    eventually("the server says that the bucket does not answer", refused).await;
    path.restore();
    let file = within("the upload ends", sending.finish()).await.unwrap();
    assert_eq!(file.root, b3_of(&source));

    // Who reads is told so as well, and the record is gone before the objects when somebody deletes.
    path.cut();
    ann.client.delete_file(file.id).await.unwrap();
    assert_eq!(objects(&bucket, file.id).await.len(), 7, "nobody could remove them");
    path.restore();
    server.restart().await;
    eventually("the janitor removes them", async || bucket.keys("").await.is_empty().then_some(())).await;
}
