//! A sender that does not keep to the protocol, or stops in the middle of it.

use crate::support::{Link, MIB, World, arrives, content, transfer};
use hypersend_lab::within;
use hypersend_net::{
    bulk::send_range,
    connection::Connection,
    frames::{FrameReader, send},
    stream::SendStream,
};
use hypersend_peer::{ListingError, Offer, PathId, Rank, ReceiveError, Sending};
use hypersend_protocol::{
    account::Done,
    frame::encode,
    hash::{ChunkValue, EntryKey, ListingId, RootHash},
    limit::MAX_ENTRIES_PER_PAGE,
    name::FileName,
    peer::{ListingEntry, ListingPage, PeerRequest, PieceFollows, ReceiverState, SmallFollows},
    refusal::{ErrorCode, Refusal},
    time::UnixMillis,
};
use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

/// Takes requests and answers each as the test says; reports are taken as they should be.
fn answers<F>(link: &Link, answer: impl Fn(PeerRequest, SendStream) -> F + Send + 'static)
where
    F: Future<Output = ()> + Send + 'static,
{
    let connection = Connection::from(link.sender.clone());
    connection.welcome();
    tokio::spawn(async move {
        while let Ok((mut out, recv)) = connection.accept_bi().await {
            let request = FrameReader::new(recv).expect::<PeerRequest>().await.unwrap();
            if matches!(request, PeerRequest::Report(_)) {
                send(&mut out, &Done {}).await.unwrap();
                out.finish();
            } else {
                tokio::spawn(answer(request, out));
            }
        }
    });
}

fn entry(name: &str, size: u64) -> ListingEntry {
    ListingEntry {
        name: FileName::parse(name).unwrap(),
        parent: None,
        folder: false,
        size,
        modified: UnixMillis(0),
        executable: false,
        key: EntryKey([9; 32]),
    }
}

/// The page of a list that is as it should be.
fn page(entries: Vec<ListingEntry>) -> ListingPage {
    let mut hasher = blake3::Hasher::new_derive_key("hypersend 2026 listing");
    for entry in &entries {
        hasher.update(&entry.parent.map_or(0, |parent| parent + 1).to_le_bytes());
        hasher.update(&entry.size.to_le_bytes()).update(&entry.modified.0.to_le_bytes());
        hasher.update(&[u8::from(entry.folder), u8::from(entry.executable)]).update(&entry.key.0);
        hasher.update(&u32::try_from(entry.name.as_str().len()).unwrap().to_le_bytes());
        hasher.update(entry.name.as_str().as_bytes());
    }
    ListingPage {
        listing: ListingId(hasher.finalize().into()),
        total_entries: u32::try_from(entries.len()).unwrap(),
        total_bytes: entries.iter().map(|entry| entry.size).sum(),
        entries,
    }
}

/// What becomes of a receiver whose sender answers so.
async fn outcome<F>(world: &World, answer: impl Fn(PeerRequest, SendStream) -> F + Send + 'static) -> ReceiveError
where
    F: Future<Output = ()> + Send + 'static,
{
    let link = Link::make().await;
    let mut receiving = world.receive();
    answers(&link, answer);
    receiving.add_path(PathId(0), Rank::Direct, link.receiver.clone());
    within("the receiver ends", receiving.finish()).await.unwrap_err()
}

/// ... to the question for the list.
async fn list_outcome(page: ListingPage) -> ReceiveError {
    raw_list_outcome(encode(&page).unwrap()).await
}

async fn raw_list_outcome(page: Vec<u8>) -> ReceiveError {
    let world = World::new();
    let error = outcome(&world, move |_, mut out| {
        let page = page.clone();
        async move {
            let _ = out.write(page.into()).await;
            out.finish();
        }
    })
    .await;
    assert_eq!(world.arrived(), [""; 0]);
    error
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_that_make_no_sense_are_refused() {
    let honest = || page(vec![entry("a", 1), entry("b", 2)]);
    let nonsense = |error: &ReceiveError| matches!(error, ReceiveError::Nonsense(_));
    let endless = ListingPage { total_entries: u32::MAX, ..honest() };
    assert!(matches!(list_outcome(endless).await, ReceiveError::Listing(ListingError::TooMany)));
    let longer = ListingPage { total_entries: 3, ..honest() };
    let other_id = ListingPage { listing: ListingId([0; 32]), ..honest() };
    let other_sum = ListingPage { total_bytes: 4, ..honest() };
    for bad in [longer, other_id, other_sum, page(vec![]), ListingPage { total_entries: 1, ..honest() }] {
        let error = list_outcome(bad).await;
        assert!(nonsense(&error), "{error:?}");
    }
    let twice = list_outcome(page(vec![entry("a", 1), entry("a", 2)])).await;
    assert!(matches!(twice, ReceiveError::Listing(ListingError::Twice(_))), "{twice:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn names_that_leave_the_folder_are_refused() {
    let bytes = encode(&page(vec![entry("QQ", 1)])).unwrap();
    let at = bytes.windows(2).position(|two| two == b"QQ").unwrap();
    for name in ["..", "a/", "/a", "\\a", "a\0"] {
        let mut bad = bytes.clone();
        bad[at..at + 2].copy_from_slice(name.as_bytes());
        let error = raw_list_outcome(bad).await;
        assert!(matches!(error, ReceiveError::Nonsense(_)), "{name:?}: {error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_not_those_of_their_value_are_given_up_in_the_end() {
    for size in [10_u64, 3 * MIB as u64] {
        let world = World::new();
        let listing = page(vec![entry("film.mkv", size)]);
        let error = outcome(&world, move |request, mut out| {
            let listing = listing.clone();
            async move {
                match request {
                    PeerRequest::GetListing(_) => send(&mut out, &listing).await.unwrap(),
                    PeerRequest::GetPiece(get) => {
                        let follows = PieceFollows { length: get.length, value: ChunkValue([1; 32]) };
                        let _ = send_range(&mut out, &follows, content("x", get.length as usize)).await;
                    }
                    PeerRequest::GetSmall(_) => {
                        let follows = SmallFollows { entry: 0, length: 10, root: RootHash([1; 32]) };
                        let _ = send_range(&mut out, &follows, content("x", 10)).await;
                    }
                    _ => panic!("{request:?}"),
                }
                out.finish();
            }
        })
        .await;
        assert!(matches!(&error, ReceiveError::Damaged(file) if file == "film.mkv"), "{size}: {error:?}");
        assert!(!world.to().join("film.mkv").exists());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_of_another_length_are_refused() {
    let world = World::new();
    let listing = page(vec![entry("film.mkv", 3 * MIB as u64)]);
    let error = outcome(&world, move |request, mut out| {
        let listing = listing.clone();
        async move {
            match request {
                PeerRequest::GetListing(_) => send(&mut out, &listing).await.unwrap(),
                _ => {
                    let follows = PieceFollows { length: u32::MAX, value: ChunkValue([1; 32]) };
                    let _ = send(&mut out, &follows).await;
                }
            }
            out.finish();
        }
    })
    .await;
    assert!(matches!(error, ReceiveError::Nonsense(_)), "{error:?}");
}

/// A sender may be started again with other files, but not for ever.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_another_again_and_again_is_given_up() {
    let world = World::new();
    let listing = page(vec![entry("film.mkv", 10)]);
    let error = outcome(&world, move |request, mut out| {
        let listing = listing.clone();
        async move {
            match request {
                PeerRequest::GetListing(_) => send(&mut out, &listing).await.unwrap(),
                _ => send(&mut out, &Refusal::new(ErrorCode::Conflict, "they are others")).await.unwrap(),
            }
            out.finish();
        }
    })
    .await;
    assert!(matches!(error, ReceiveError::Nonsense(_)), "{error:?}");

    let pages = AtomicU64::new(0);
    let entries: Vec<_> = (0..MAX_ENTRIES_PER_PAGE)
        .map(|n| ListingEntry { parent: n.checked_sub(1).map(|_| 0), folder: n == 0, ..entry(&format!("{n:06}"), 0) })
        .collect();
    let error = outcome(&world, move |_, mut out| {
        let listing = ListingId([u8::try_from(pages.fetch_add(1, Ordering::Relaxed) % 256).unwrap(); 32]);
        let (total_entries, total_bytes, entries) = (2 * MAX_ENTRIES_PER_PAGE, 0, entries.clone());
        async move {
            send(&mut out, &ListingPage { listing, total_entries, total_bytes, entries }).await.unwrap();
            out.finish();
        }
    })
    .await;
    assert!(matches!(error, ReceiveError::Nonsense(_)), "{error:?}");
}

/// Receives what is offered, and stops when everything is in its place and the sender does not know.
async fn receive_without_a_last_report(world: &World, offer: Arc<Offer>) {
    // The sender's answers pass through a hand that holds the last report back.
    let (link, upstream) = (Link::make().await, Link::make().await);
    let sending = Sending::start(offer);
    sending.add_path(PathId(0), Rank::Direct, upstream.sender.clone());
    let (finished, mut seen) = tokio::sync::watch::channel(false);
    let (front, back) = (Connection::from(link.sender.clone()), Connection::from(upstream.receiver.clone()));
    front.welcome();
    back.welcome();
    tokio::spawn(async move {
        while let Ok((mut out, recv)) = front.accept_bi().await {
            let request = FrameReader::new(recv).expect::<PeerRequest>().await.unwrap();
            let bytes = match request {
                PeerRequest::Report(report) if report.state == ReceiverState::Finished => {
                    finished.send_replace(true);
                    continue;
                }
                PeerRequest::GetListing(get) => encode(&get),
                PeerRequest::GetPiece(get) => encode(&get),
                PeerRequest::GetSmall(get) => encode(&get),
                PeerRequest::Confirm(get) => encode(&get),
                PeerRequest::Report(get) => encode(&get),
            };
            let (mut ask, mut answer) = back.open_bi().await.unwrap();
            ask.write(bytes.unwrap().into()).await.unwrap();
            ask.finish();
            tokio::spawn(async move {
                while let Ok(Some(bytes)) = answer.read(MIB).await {
                    if out.write(bytes).await.is_err() {
                        return;
                    }
                }
                out.finish();
            });
        }
    });
    let receiving = world.receive();
    receiving.add_path(PathId(0), Rank::Direct, link.receiver.clone());
    within("everything is in its place", seen.wait_for(|seen| *seen)).await.unwrap();
    drop(receiving);
}

/// A receiver that put everything into its place and was stopped before its sender knew finds out, and fetches nothing again.
#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_stopped_before_its_last_report_knows_that_it_is_done() {
    let world = World::new();
    world.file("film.mkv", 3 * MIB);
    world.file("trip/a", 10);
    let offer = world.offer(&["film.mkv", "trip"]).await;
    receive_without_a_last_report(&world, offer.clone()).await;
    assert!(world.to().join("film.mkv").exists());

    // What would be asked for now would be refused.
    fs::remove_file(world.from("trip/a")).unwrap();
    let link = Link::make().await;
    let (sending, mut receiving) = (Sending::start(offer), world.receive());
    link.join(0, Rank::Direct, &sending, &receiving);
    let received = arrives(&sending, &mut receiving).await;
    assert_eq!(received.places, [world.to().join("film.mkv"), world.to().join("trip")]);
    assert_eq!(world.arrived(), ["film.mkv", "trip"]);
}

/// What is noted as moved to its place is not what the same folder holds now.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_changed_after_it_was_put_into_its_place_is_received_again() {
    let world = World::new();
    world.file("film.mkv", 3 * MIB);
    world.file("trip/a", 10);
    receive_without_a_last_report(&world, world.offer(&["film.mkv", "trip"]).await).await;

    fs::write(world.from("trip/a"), "changed").unwrap();
    let received = transfer(&world.offer(&["film.mkv", "trip"]).await, &world).await;
    assert_eq!(received.places, [world.to().join("film.mkv"), world.to().join("trip (2)")]);
    assert_eq!(fs::read(world.to().join("trip (2)/a")).unwrap(), b"changed");
    assert_eq!(world.arrived(), ["film.mkv", "trip", "trip (2)"]);
}

/// What is in its place stays a success, whatever the sender says to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_last_report_that_nobody_answers_is_no_failure() {
    let world = World::new();
    let listing = page(vec![entry("a", 5)]);
    let link = Link::make().await;
    let connection = Connection::from(link.sender.clone());
    connection.welcome();
    tokio::spawn(async move {
        let mut silent = Vec::new();
        while let Ok((mut out, recv)) = connection.accept_bi().await {
            match FrameReader::new(recv).expect::<PeerRequest>().await.unwrap() {
                PeerRequest::GetListing(_) => send(&mut out, &listing).await.unwrap(),
                PeerRequest::GetSmall(_) => {
                    let root = RootHash(blake3::hash(b"hello").into());
                    let follows = SmallFollows { entry: 0, length: 5, root };
                    send_range(&mut out, &follows, "hello".into()).await.unwrap();
                }
                _ => {
                    silent.push(out);
                    continue;
                }
            }
            out.finish();
        }
    });
    let mut receiving = world.receive();
    receiving.add_path(PathId(0), Rank::Direct, link.receiver.clone());
    let received = within("it ends", receiving.finish()).await.unwrap();
    assert!(!received.reported);
    assert_eq!(fs::read(world.to().join("a")).unwrap(), b"hello");
    assert_eq!(world.arrived(), ["a"]);
}

/// A sender that promises bytes and never sends them holds up its own transfer only, and dropping that works.
#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_says_nothing_can_be_left() {
    let world = World::new();
    let link = Link::make().await;
    let mut receiving = world.receive();
    answers(&link, |_, out| async move {
        std::future::pending::<()>().await;
        drop(out);
    });
    receiving.add_path(PathId(0), Rank::Direct, link.receiver.clone());
    receiving.cancel();
    assert!(matches!(within("it ends", receiving.finish()).await, Err(ReceiveError::Cancelled)));
}

/// A path that has fallen silent is asked until it speaks, whatever became of the first question.
#[tokio::test(flavor = "multi_thread")]
async fn a_silent_path_is_asked_again_until_it_speaks() {
    let world = World::new();
    let listing = page(vec![entry("a", 5)]);
    let (quick, mute) = (Link::make().await, Link::make().await);
    let lists = Arc::new(AtomicU64::new(0));
    answers(&quick, move |request, mut out| {
        let (listing, lists) = (listing.clone(), lists.clone());
        async move {
            match request {
                PeerRequest::GetListing(_) => match lists.fetch_add(1, Ordering::Relaxed) {
                    // The first trifle's stream breaks without a word.
                    1 => {
                        let SendStream::Quic(mut stream) = out else { panic!("it is QUIC") };
                        stream.reset(0_u8.into()).unwrap();
                        return;
                    }
                    _ => send(&mut out, &listing).await.unwrap(),
                },
                PeerRequest::GetSmall(_) if lists.load(Ordering::Relaxed) > 2 => {
                    let follows = SmallFollows { entry: 0, length: 5, root: RootHash(blake3::hash(b"hello").into()) };
                    send_range(&mut out, &follows, "hello".into()).await.unwrap();
                }
                _ => std::future::pending().await,
            }
            out.finish();
        }
    });
    answers(&mute, |_, out| async move {
        std::future::pending::<()>().await;
        drop(out);
    });
    let mut receiving = world.receive();
    receiving.add_path(PathId(0), Rank::Direct, quick.receiver.clone());
    receiving.add_path(PathId(1), Rank::Relayed, mute.receiver.clone());
    within("it arrives", receiving.finish()).await.unwrap();
    assert_eq!(fs::read(world.to().join("a")).unwrap(), b"hello");
}
