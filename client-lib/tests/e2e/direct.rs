//! Files from client to client, by way of a real server and real sockets.

use hypersend_client::{
    Client,
    direct::{DirectError, DirectTransfer, Offer, ReceiveOptions, Received, SendOptions, Sent, Whereabouts},
    protocol::{
        chat::Post,
        id::{ChatId, ClientId},
        p2p::{P2pPath, P2pSession, P2pStatus},
    },
};
use hypersend_lab::{TestServer, TestUser, fixtures::random_file, users, within};
use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;

/// Two users of a server, a folder of one's and a folder of the other's.
pub(crate) struct Pair {
    pub(crate) server: TestServer,
    pub(crate) ann: TestUser,
    pub(crate) bob: TestUser,
    pub(crate) chat: ChatId,
    out: TempDir,
    pub(crate) into: TempDir,
}

impl Pair {
    pub(crate) async fn new() -> Self {
        let server = TestServer::start().await;
        let [ann, bob] = users(&server).await;
        let chat = ann.client.open_direct(bob.email()).await.unwrap().id;
        Self { server, ann, bob, chat, out: tempfile::tempdir().unwrap(), into: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn file(&self, name: &str, size: u64) -> PathBuf {
        random_file(&self.out.path().join(name), size, name.len() as u64)
    }

    async fn send(&self, paths: &[PathBuf], options: SendOptions) -> DirectTransfer<Sent> {
        let offer = Arc::new(Offer::open(paths.to_vec()).await.unwrap());
        self.ann.client.send_direct(self.chat, self.bob.id(), offer, options)
    }

    fn receive(&self, session: P2pSession) -> DirectTransfer<Received> {
        self.bob.client.receive_direct(session, self.into.path(), ReceiveOptions::default())
    }

    async fn status(&self, session: &P2pSession) -> P2pStatus {
        self.ann.client.p2p_session(session.id).await.unwrap().status
    }
}

pub(crate) async fn offered(client: &Client) -> P2pSession {
    within("an offer comes", client.offers().next()).await.unwrap()
}

pub(crate) fn same(one: &Path, other: &Path) {
    assert!(fs::read(one).unwrap() == fs::read(other).unwrap(), "{} is not {}", other.display(), one.display());
}

async fn reaches<T>(transfer: &DirectTransfer<T>, what: &str, wanted: impl Fn(&Whereabouts) -> bool)
where
    T: Send + 'static,
{
    let mut whereabouts = transfer.whereabouts();
    within(what, whereabouts.wait_for(|now| wanted(now))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_and_folders_go_from_one_client_to_the_other() {
    let pair = Pair::new().await;
    let film = pair.file("film.mkv", 20 << 20);
    let trip = pair.out.path().join("trip");
    fs::create_dir(&trip).unwrap();
    for n in 0..30 {
        fs::write(trip.join(format!("{n}.jpg")), vec![n; 10_000]).unwrap();
    }
    let mut sending = pair.send(&[film.clone(), trip.clone()], SendOptions::default()).await;
    let session = offered(&pair.bob.client).await;
    assert_eq!((session.files.len(), session.files[1].size), (2, 300_000));
    let mut receiving = pair.receive(session.clone());
    let (sent, received) = within("all is across", async { tokio::join!(sending.finish(), receiving.finish()) }).await;
    let (sent, received) = (sent.unwrap(), received.unwrap());
    assert_eq!((sent.files, sent.bytes), (31, (20 << 20) + 300_000));
    assert_eq!(received.places, [pair.into.path().join("film.mkv"), pair.into.path().join("trip")]);
    same(&film, &received.places[0]);
    for n in 0..30 {
        same(&trip.join(format!("{n}.jpg")), &received.places[1].join(format!("{n}.jpg")));
    }
    let words = (sending.keys().borrow().unwrap(), receiving.keys().borrow().unwrap());
    assert_eq!(words.0, words.1);
    assert_eq!(pair.status(&session).await, P2pStatus::Finished);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_broken_off_by_either_side_goes_on() {
    let pair = Pair::new().await;
    let film = pair.file("film.mkv", 96 << 20);
    let mut sending = pair.send(std::slice::from_ref(&film), SendOptions::default()).await;
    let session = offered(&pair.bob.client).await;
    let begun = async |receiving: &DirectTransfer<Received>| {
        let mut progress = receiving.progress();
        let some =
            |now: &Option<hypersend_client::Progress>| now.is_some_and(|now| now.stored_bytes > now.resumed_bytes);
        within("some of it arrives", progress.wait_for(some)).await.unwrap();
    };

    let receiving = pair.receive(session.clone());
    begun(&receiving).await;
    drop(receiving);
    let receiving = pair.receive(session.clone());
    begun(&receiving).await;

    // The sender's program ends, and the same is typed again.
    drop(sending);
    sending = pair.send(std::slice::from_ref(&film), SendOptions::default()).await;
    let mut receiving = receiving;
    let (sent, received) = within("all is across", async { tokio::join!(sending.finish(), receiving.finish()) }).await;
    assert_eq!(sending.session(), Some(session.id));
    assert_eq!(sent.unwrap().files, 1);
    same(&film, &received.unwrap().places[0]);
    assert_eq!(pair.status(&session).await, P2pStatus::Finished);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_that_has_grown_is_offered_anew() {
    let pair = Pair::new().await;
    let trip = pair.out.path().join("trip");
    fs::create_dir(&trip).unwrap();
    fs::write(trip.join("a.jpg"), "a picture").unwrap();
    let sending = pair.send(std::slice::from_ref(&trip), SendOptions::default()).await;
    let first = offered(&pair.bob.client).await;
    drop(sending);
    let mut waiting = pair.receive(first.clone());
    fs::write(trip.join("b.jpg"), "another picture").unwrap();
    let mut sending = pair.send(std::slice::from_ref(&trip), SendOptions::default()).await;
    let told = within("he is told", waiting.finish()).await.unwrap_err();
    assert!(told.is_others_cancellation(), "{told}");
    let second = offered(&pair.bob.client).await;
    assert_ne!(second.id, first.id);
    assert_eq!((second.files[0].size, second.files[0].folder), (24, true));
    let mut receiving = pair.receive(second);
    let (sent, received) = within("all is across", async { tokio::join!(sending.finish(), receiving.finish()) }).await;
    assert_eq!((sent.unwrap().files, received.unwrap().files), (2, 2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn either_side_may_not_want_it() {
    let pair = Pair::new().await;
    let film = pair.file("film.mkv", 1 << 20);
    let mut sending = pair.send(std::slice::from_ref(&film), SendOptions::default()).await;
    let session = offered(&pair.bob.client).await;
    pair.bob.client.change_p2p(session.id, Some(P2pStatus::Declined), None).await.unwrap();
    let told = within("she is told", sending.finish()).await.unwrap_err();
    assert!(matches!(told, DirectError::Declined), "{told}");

    let mut sending = pair.send(std::slice::from_ref(&film), SendOptions::default()).await;
    let session = offered(&pair.bob.client).await;
    sending.cancel();
    let told = within("it is called off", sending.finish()).await.unwrap_err();
    assert!(matches!(told, DirectError::Cancelled), "{told}");
    assert_eq!(pair.status(&session).await, P2pStatus::Cancelled);
    let told = within("he is told", pair.receive(session).finish()).await.unwrap_err();
    assert!(matches!(told, DirectError::Client(_) | DirectError::OtherCancelled), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn either_side_may_call_it_off_in_the_midst_of_it() {
    let pair = Pair::new().await;
    let film = pair.file("film.mkv", 256 << 20);
    for by_sender in [true, false] {
        let mut sending = pair.send(std::slice::from_ref(&film), SendOptions::default()).await;
        let session = offered(&pair.bob.client).await;
        let mut receiving = pair.receive(session.clone());
        reaches(&receiving, "a way is found", |now| matches!(now, Whereabouts::Carried(_))).await;
        if by_sender {
            sending.cancel();
        } else {
            receiving.cancel();
        }
        let (sent, received) = within("both end", async { tokio::join!(sending.finish(), receiving.finish()) }).await;
        let (sent, received) = (sent.unwrap_err(), received.unwrap_err());
        let (by, other) = if by_sender { (&sent, &received) } else { (&received, &sent) };
        assert!(by.is_own_cancellation(), "{by}");
        assert!(other.is_others_cancellation(), "{other}");
        assert_eq!(pair.status(&session).await, P2pStatus::Cancelled);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_there_is_no_way_files_go_through_the_server() {
    let pair = Pair::new().await;
    let (real, text) = (pair.file("real.mkv", 3 << 20), pair.file("a.txt", 10));
    // Under the name that it is offered by.
    let film = pair.out.path().join("film.mkv");
    std::os::unix::fs::symlink(&real, &film).unwrap();
    // Relays alone, of which this server has none.
    let options = SendOptions { relay_only: true, seek: Some(Duration::from_millis(300)), ..SendOptions::default() };
    let mut sending = pair.send(&[film.clone(), text.clone()], options).await;
    let session = offered(&pair.bob.client).await;
    fs::write(pair.into.path().join("a.txt"), "there before").unwrap();
    // As if it had come, and then the network had gone.
    fs::copy(&film, pair.into.path().join("film.mkv")).unwrap();
    let mut receiving = pair.receive(session.clone());
    let (sent, received) = within("all is across", async { tokio::join!(sending.finish(), receiving.finish()) }).await;
    assert_eq!(sent.unwrap().files, 2);
    let places = received.unwrap().places;
    assert_eq!(places, [pair.into.path().join("film.mkv"), pair.into.path().join("a (2).txt")]);
    same(&film, &places[0]);
    same(&text, &places[1]);
    assert_eq!(*receiving.whereabouts().borrow(), Whereabouts::Stored);
    let session = pair.ann.client.p2p_session(session.id).await.unwrap();
    assert_eq!((session.status, session.path), (P2pStatus::Finished, Some(P2pPath::Stored)));

    let folder = pair.out.path().to_owned();
    let mut sending = pair.send(&[folder], options).await;
    let session = offered(&pair.bob.client).await;
    let mut receiving = pair.receive(session);
    let (sent, received) = within("both end", async { tokio::join!(sending.finish(), receiving.finish()) }).await;
    let (sent, received) = (sent.unwrap_err(), received.unwrap_err());
    assert!(matches!(sent, DirectError::NoWayForFolders), "{sent}");
    assert!(matches!(received, DirectError::OtherFailed), "{received}");
    drop(pair.server);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_does_not_answer_finds_the_files_in_the_chat() {
    let pair = Pair::new().await;
    let film = pair.file("film.mkv", 1 << 20);
    let options = SendOptions { store_after: Some(Duration::from_millis(200)), ..SendOptions::default() };
    let mut sending = pair.send(&[film], options).await;
    assert_eq!(within("they are stored", sending.finish()).await.unwrap().files, 1);
    let session = sending.session().unwrap();
    assert_eq!(pair.bob.client.p2p_session(session).await.unwrap().status, P2pStatus::Cancelled);
    let history = pair.bob.client.history(pair.chat, None, 10).await.unwrap();
    assert_eq!(history.messages[0].files[0].name.as_str(), "film.mkv");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_what_was_agreed_to_is_taken_from_the_server() {
    let pair = Pair::new().await;
    let film = pair.file("film.mkv", 1 << 20);
    let _sending = pair.send(&[film], SendOptions::default()).await;
    let session = offered(&pair.bob.client).await;
    let accepted = pair.bob.client.change_p2p(session.id, Some(P2pStatus::Accepted), None).await.unwrap();
    // A sender's own program may put into its message what it likes.
    let profile = pair.file(".profile", 100);
    let file = pair.ann.client.upload(&profile).finish().await.unwrap();
    let post = Post { client_id: ClientId(session.id.0), text: None, files: vec![file.id], reply_to: None };
    pair.ann.client.post_as(pair.chat, post).await.unwrap();
    pair.ann.client.change_p2p(session.id, None, Some(P2pPath::Stored)).await.unwrap();
    let refused = within("it is refused", pair.receive(accepted).finish()).await.unwrap_err();
    assert!(matches!(refused, DirectError::NotAgreed), "{refused}");
    assert_eq!(fs::read_dir(pair.into.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_all_there_counts_whatever_becomes_of_the_session() {
    const FILES: usize = 3_000;
    let pair = Pair::new().await;
    let many = pair.out.path().join("many");
    fs::create_dir(&many).unwrap();
    for n in 0..FILES {
        fs::write(many.join(n.to_string()), n.to_string()).unwrap();
    }
    let sending = pair.send(&[many], SendOptions::default()).await;
    let session = offered(&pair.bob.client).await;
    let mut receiving = pair.receive(session.clone());
    let mut progress = receiving.progress();
    let is_all = |now: &Option<hypersend_client::Progress>| now.is_some_and(|now| now.stored_bytes == now.total_bytes);
    within("all bytes are there", progress.wait_for(is_all)).await.unwrap();
    // Before the files are in their places, or after it.
    pair.ann.client.change_p2p(session.id, Some(P2pStatus::Cancelled), None).await.unwrap();
    let received = within("they are received", receiving.finish()).await.unwrap();
    assert_eq!(received.files, FILES as u64);
    assert_eq!(fs::read_dir(pair.into.path().join("many")).unwrap().count(), FILES);
    drop(sending);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_changed_since_it_was_offered_does_not_go_through_the_server() {
    let pair = Pair::new().await;
    let film = pair.file("film.mkv", 1_000);
    let offer = Arc::new(Offer::open(vec![film.clone()]).await.unwrap());
    fs::write(&film, "shorter").unwrap();
    let options = SendOptions { store_after: Some(Duration::from_millis(100)), ..SendOptions::default() };
    let mut sending = pair.ann.client.send_direct(pair.chat, pair.bob.id(), offer, options);
    let refused = within("it is refused", sending.finish()).await.unwrap_err();
    assert!(matches!(&refused, DirectError::NotOffered(name) if name.as_str() == "film.mkv"), "{refused}");
    assert_eq!(pair.bob.client.history(pair.chat, None, 10).await.unwrap().messages, []);
    assert_eq!(pair.ann.client.files(None).await.unwrap().files, []);
    let session = pair.ann.client.p2p_session(sending.session().unwrap()).await.unwrap();
    assert_eq!(session.status, P2pStatus::Cancelled);
}
