//! From the sender itself to the server in the midst of a transfer: what has arrived is not fetched again.

use crate::direct::{Pair, offered, same};
use hypersend_client::{
    Client,
    direct::{DirectTransfer, Offer, ReceiveOptions, Received, SendOptions, Sent},
    protocol::p2p::{P2pPath, P2pSession, P2pStatus},
};
use hypersend_lab::{Proxy, eventually, fixtures::MIB, within};
use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};

const SIZE: u64 = 192 * MIB;
const NOTE: u64 = 10;

/// What arrives before the sender dies.
const BEFORE: u64 = 24 * MIB;

/// What may be carried beside the missing chunks: headers, acknowledgements, and what is repeated after a loss.
const OVERHEAD: u64 = 12 * MIB;

/// A note and a film, offered and accepted by a device of the receiver's whose way to the server is counted. The note
/// and some of the film have arrived; then the sender's program has died.
struct Broken {
    pair: Pair,
    proxy: Proxy,
    device: Client,
    note: PathBuf,
    film: PathBuf,
    offer: Arc<Offer>,
    session: P2pSession,
    /// Bytes that have arrived, at least.
    arrived: u64,
}

impl Broken {
    async fn off() -> (Self, DirectTransfer<Received>) {
        let pair = Pair::new().await;
        let proxy = Proxy::start(pair.server.socket_address());
        let device = pair.bob.device(pair.server.config_via(proxy.address())).await;
        let (note, film) = (pair.file("note.txt", NOTE), pair.file("film.mkv", SIZE));
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        File::options().write(true).open(&note).unwrap().set_modified(long_ago).unwrap();
        let offer = Arc::new(Offer::open(vec![note.clone(), film.clone()]).await.unwrap());
        let sending = pair.ann.client.send_direct(pair.chat, pair.bob.id(), offer.clone(), SendOptions::default());
        let session = offered(&pair.bob.client).await;
        let receiving = device.receive_direct(session.clone(), pair.into.path(), ReceiveOptions::default());
        let note_is_there = async || has_come(pair.into.path(), ".note.txt.direct-").then_some(());
        eventually("the note has arrived", note_is_there).await;
        let mut progress = receiving.progress();
        let some = progress.wait_for(|now| now.is_some_and(|now| now.stored_bytes >= BEFORE));
        let arrived = within("some of the film arrives", some).await.unwrap().unwrap().stored_bytes;
        assert!(arrived < SIZE, "it was too quick to be interrupted");
        drop(sending);
        (Self { pair, proxy, device, note, film, offer, session, arrived }, receiving)
    }

    /// The sender's program again, with no way but the server.
    fn send_again(&self) -> DirectTransfer<Sent> {
        self.pair.ann.client.send_direct(self.pair.chat, self.pair.bob.id(), self.offer.clone(), through_the_server())
    }

    /// The receiver's program again.
    fn receive_again(&self) -> DirectTransfer<Received> {
        self.device.receive_direct(self.session.clone(), self.pair.into.path(), ReceiveOptions::default())
    }

    /// What is there of things under way.
    fn hidden(&self) -> Vec<String> {
        let entries = fs::read_dir(self.pair.into.path()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| name.starts_with('.')).collect()
    }

    /// Everything is in its place, once, and is what it is at the sender.
    async fn check(&self, received: &Received) {
        let into = self.pair.into.path();
        assert_eq!(received.places, [into.join("note.txt"), into.join("film.mkv")]);
        same(&self.note, &received.places[0]);
        same(&self.film, &received.places[1]);
        assert_eq!(fs::read_dir(into).unwrap().count() - self.hidden().len(), 2);
        let session = self.device.p2p_session(self.session.id).await.unwrap();
        assert_eq!((session.status, session.path), (P2pStatus::Finished, Some(P2pPath::Stored)));
    }
}

/// Relays alone, of which there are none.
fn through_the_server() -> SendOptions {
    let soon = Some(Duration::from_millis(300));
    SendOptions { relay_only: true, seek: soon, store_after: soon }
}

fn date(path: &Path) -> SystemTime {
    fs::metadata(path).unwrap().modified().unwrap()
}

/// Whether a file is whole in the folder of its transfer.
fn has_come(into: &Path, part: &str) -> bool {
    let mut parts = fs::read_dir(into).unwrap().map(|entry| entry.unwrap().path());
    let part = parts.find(|path| path.file_name().is_some_and(|name| name.to_str().unwrap().starts_with(part)));
    let files = part.and_then(|part| fs::read_dir(part.join("files")).ok()).into_iter().flatten();
    files.flatten().any(|file| file.path().extension().is_none())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_arrived_is_not_fetched_from_the_server() {
    let (broken, mut receiving) = Broken::off().await;
    let carried = broken.proxy.carried_down();
    let mut sending = broken.send_again();
    let both = async { tokio::join!(sending.finish(), receiving.finish()) };
    let (sent, received) = within("all is across", both).await;
    assert_eq!(sent.unwrap().files, 2);
    let received = received.unwrap();
    broken.check(&received).await;
    assert_eq!(broken.hidden(), [""; 0]);
    assert_eq!(date(&received.places[0]), date(&broken.note), "it has come from the sender itself");
    let progress = receiving.progress().borrow().unwrap();
    assert!(progress.resumed_bytes >= broken.arrived, "{progress:?} after {} bytes", broken.arrived);
    assert_eq!((progress.stored_bytes, progress.total_bytes), (NOTE + SIZE, NOTE + SIZE), "its end is told");
    let fetched = broken.proxy.carried_down() - carried;
    let missing = SIZE - broken.arrived;
    assert!(fetched < missing + OVERHEAD, "{missing} bytes were missing, {fetched} were fetched");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_file_that_has_changed_the_servers_chunks_count() {
    let (broken, mut receiving) = Broken::off().await;
    // Of the same lengths as they were offered. The film's first chunk has arrived with other bytes, its last has not.
    fs::write(&broken.note, "other text").unwrap();
    let film = File::options().write(true).open(&broken.film).unwrap();
    film.write_all_at(b"another beginning", 5).unwrap();
    film.write_all_at(b"another end", SIZE - MIB).unwrap();
    let mut sending = broken.send_again();
    let both = async { tokio::join!(sending.finish(), receiving.finish()) };
    let (sent, received) = within("all is across", both).await;
    assert_eq!(sent.unwrap().files, 2);
    broken.check(&received.unwrap()).await;
    // The note that had come may be another one, of another folder: it stays for a transfer of that.
    let hidden = broken.hidden();
    assert!(hidden.len() == 1 && hidden[0].starts_with(".note.txt.direct-"), "{hidden:?}");
    let progress = receiving.progress().borrow().unwrap();
    let same = broken.arrived - NOTE - MIB;
    assert!(progress.resumed_bytes >= same, "{progress:?} after {} bytes", broken.arrived);
}

/// The receiver's program is gone when the sender turns to the server, and again in the midst of what it fetches then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fetch_that_was_broken_off_goes_on_from_all_that_is_there() {
    let (broken, receiving) = Broken::off().await;
    drop(receiving);
    within("the files are on the server", broken.send_again().finish()).await.unwrap();
    broken.proxy.cut_after(48 * MIB);
    let receiving = broken.receive_again();
    broken.proxy.until_cut().await;
    let first = receiving.progress().borrow().unwrap();
    assert!(first.resumed_bytes >= broken.arrived, "{first:?} after {} bytes", broken.arrived);
    let direct = broken.hidden().into_iter().filter(|name| name.contains(".direct-")).count();
    assert!(first.stored_bytes < SIZE && direct == 0, "{first:?}: all is where the download looks for it");
    drop(receiving);
    broken.proxy.restore();
    let mut receiving = broken.receive_again();
    let received = within("the rest is fetched", receiving.finish()).await.unwrap();
    broken.check(&received).await;
    assert_eq!(broken.hidden(), [""; 0]);
    let second = receiving.progress().borrow().unwrap();
    assert!(second.resumed_bytes >= first.stored_bytes, "{second:?} after {first:?}");
}

/// As of two disks whose images have the same name and the same size, in two folders.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_arrived_of_another_file_of_this_name_and_size_stays() {
    let (broken, receiving) = Broken::off().await;
    drop(receiving);
    let (pair, into) = (&broken.pair, broken.pair.into.path());
    fs::create_dir(broken.film.with_file_name("other")).unwrap();
    let other = pair.file("other/film.mkv", SIZE);
    let offer = Arc::new(Offer::open(vec![other.clone()]).await.unwrap());
    let mut sending = pair.ann.client.send_direct(pair.chat, pair.bob.id(), offer, through_the_server());
    let mut offers = pair.bob.client.offers();
    // The first one still waits for its end.
    let _ = within("the first offer comes", offers.next()).await.unwrap();
    let session = within("the other offer comes", offers.next()).await.unwrap();
    let mut receiving = broken.device.receive_direct(session, into, ReceiveOptions::default());
    let both = async { tokio::join!(sending.finish(), receiving.finish()) };
    let (sent, received) = within("the other film is across", both).await;
    assert_eq!((sent.unwrap().files, received.unwrap().places), (1, vec![into.join("film.mkv")]));
    same(&other, &into.join("film.mkv"));
    assert_eq!(receiving.progress().borrow().unwrap().resumed_bytes, 0);
    // The first one goes on from all that was there.
    let (offer, options) = (broken.offer.clone(), SendOptions::default());
    let mut sending = pair.ann.client.send_direct(pair.chat, pair.bob.id(), offer, options);
    let mut receiving = broken.receive_again();
    let both = async { tokio::join!(sending.finish(), receiving.finish()) };
    let (sent, received) = within("the first film is across", both).await;
    assert_eq!(sent.unwrap().files, 2);
    assert_eq!(received.unwrap().places, [into.join("note.txt"), into.join("film (2).mkv")]);
    same(&broken.film, &into.join("film (2).mkv"));
    let progress = receiving.progress().borrow().unwrap();
    assert!(progress.resumed_bytes >= broken.arrived, "{progress:?} after {} bytes", broken.arrived);
    assert_eq!(broken.hidden(), [""; 0]);
}
