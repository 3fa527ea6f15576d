//! Cancelled, changed, no room, in use; and several receivers.

use crate::support::{Link, MIB, SENDER, World, arrives, both, content, stored};
use hypersend_lab::within;
use hypersend_peer::{Rank, ReceiveError, Receiving, SendError, Sending, SourceError};
use hypersend_protocol::{p2p::OfferedFile, refusal::ErrorCode};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::{fs, io::Write};

const FILM: usize = 300 * MIB;

/// A transfer under way, slow enough to be interrupted.
async fn under_way(world: &World) -> (Link, hypersend_lab::Proxy, Sending, Receiving) {
    let (link, proxy) = Link::through_a_proxy().await;
    proxy.slow_to(100_000_000);
    let (sending, receiving) = (Sending::start(world.offer(&["film.mkv"]).await), world.receive());
    link.join(0, Rank::Direct, &sending, &receiving);
    stored(&receiving, 10 * MIB as u64).await;
    (link, proxy, sending, receiving)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_cancels_is_heard_and_keeps_what_arrived() {
    let world = World::new();
    world.file("film.mkv", FILM);
    let (_link, _proxy, sending, mut receiving) = under_way(&world).await;
    receiving.cancel();
    let (sent, received) = both(&sending, &mut receiving).await;
    assert!(matches!(received, Err(ReceiveError::Cancelled)), "{received:?}");
    assert!(matches!(sent, Err(SendError::Cancelled)), "{sent:?}");
    let link = Link::make().await;
    let (sending, mut receiving) = (Sending::start(world.offer(&["film.mkv"]).await), world.receive());
    link.join(0, Rank::Direct, &sending, &receiving);
    arrives(&sending, &mut receiving).await;
    assert!(receiving.progress().borrow().unwrap().resumed_bytes >= 10 * MIB as u64);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_that_cancels_is_heard() {
    let world = World::new();
    world.file("film.mkv", FILM);
    let (link, _proxy, sending, mut receiving) = under_way(&world).await;
    let ((), received) =
        within("both end", async { tokio::join!(sending.cancel(ErrorCode::Cancelled), receiving.finish()) }).await;
    let sent = within("the sender ends", sending.finish()).await;
    assert!(matches!(received, Err(ReceiveError::SenderCancelled)), "{received:?}");
    assert!(matches!(sent, Err(SendError::Here)), "{sent:?}");
    assert!(link.sender.close_reason().is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changes_meanwhile_is_named_on_both_sides() {
    let world = World::new();
    let path = world.file("film.mkv", FILM);
    let (_link, _proxy, sending, mut receiving) = under_way(&world).await;
    fs::File::options().append(true).open(&path).unwrap().write_all(b"x").unwrap();
    let (sent, received) = both(&sending, &mut receiving).await;
    let Err(ReceiveError::Changed(message)) = received else { panic!("{received:?}") };
    assert!(message.contains("film.mkv"), "{message}");
    let Err(SendError::Source(source)) = sent else { panic!("{sent:?}") };
    assert!(matches!(&*source, SourceError::Changed(file) if file == "film.mkv"), "{source:?}");
    assert!(!world.to().join("film.mkv").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_small_file_that_vanishes_before_its_turn_is_named() {
    let world = World::new();
    world.file("trip/a", 10);
    world.file("trip/b", 10);
    let offer = world.offer(&["trip"]).await;
    fs::remove_file(world.from("trip/b")).unwrap();
    let link = Link::make().await;
    let (sending, mut receiving) = (Sending::start(offer), world.receive());
    link.join(0, Rank::Direct, &sending, &receiving);
    let (sent, received) = both(&sending, &mut receiving).await;
    assert!(matches!(&received, Err(ReceiveError::Changed(message)) if message.contains("trip/b")), "{received:?}");
    assert!(matches!(sent, Err(SendError::Source(_))), "{sent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_twice_at_once_is_in_use() {
    let world = World::new();
    world.file("film.mkv", FILM);
    let (_link, _proxy, sending, _receiving) = under_way(&world).await;
    let mut second = world.receive();
    let link = Link::make().await;
    sending.add_path(hypersend_peer::PathId(9), Rank::Direct, link.sender.clone());
    second.add_path(hypersend_peer::PathId(9), Rank::Direct, link.receiver.clone());
    let received = within("the second gives up", second.finish()).await;
    let Err(error @ ReceiveError::InUse(_)) = received else { panic!("{received:?}") };
    assert!(error.to_string().contains("wait for it"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_offer_goes_to_several_receivers_at_once() {
    let world = World::new();
    world.file("film.mkv", 20 * MIB);
    let offer = world.offer(&["film.mkv"]).await;
    let mut all = Vec::new();
    for number in 0..3 {
        let to = world.to().join(number.to_string());
        fs::create_dir(&to).unwrap();
        let link = Link::make().await;
        let (sending, mut receiving) = (Sending::start(offer.clone()), Receiving::start(to, SENDER, None));
        link.join(0, Rank::Direct, &sending, &receiving);
        all.push(tokio::spawn(async move {
            let _link = link;
            both(&sending, &mut receiving).await
        }));
    }
    for one in all {
        let (sent, received) = one.await.unwrap();
        sent.unwrap();
        assert!(fs::read(&received.unwrap().places[0]).unwrap() == content("film.mkv", 20 * MIB));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_that_is_no_folder_is_refused() {
    let world = World::new();
    world.file("a", 1);
    let link = Link::make().await;
    let sending = Sending::start(world.offer(&["a"]).await);
    let mut receiving = Receiving::start(world.from("a"), SENDER, None);
    link.join(0, Rank::Direct, &sending, &receiving);
    let (sent, received) = both(&sending, &mut receiving).await;
    assert!(matches!(received, Err(ReceiveError::NotAFolder(_))), "{received:?}");
    assert!(matches!(&sent, Err(SendError::Receiver(message)) if message.contains("not a folder")), "{sent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_what_was_agreed_to_is_taken() {
    let world = World::new();
    world.file("film.mkv", 10);
    world.file(".profile", 10);
    world.file("trip/a", 4);
    world.file("trip/in/b", 6);
    let offered = |name: &str, size, folder| OfferedFile { name: name.parse().unwrap(), size, folder };
    let film = || offered("film.mkv", 10, false);
    let hidden = || offered(".profile", 10, false);
    for (sent, agreed, taken) in [
        (&[".profile"][..], vec![film()], false),
        (&["film.mkv", ".profile"], vec![film()], false),
        (&["film.mkv"], vec![film(), hidden()], false),
        (&[".profile", "film.mkv"], vec![film(), hidden()], false),
        (&["film.mkv"], vec![offered("film.mkv", 9, false)], false),
        (&["film.mkv"], vec![offered("film.mkv", 10, true)], false),
        (&["trip"], vec![offered("trip", 9, true)], false),
        (&["trip"], vec![offered("trip", 10, false)], false),
        (&["film.mkv", "trip"], vec![film(), offered("trip", 10, true)], true),
    ] {
        let link = Link::make().await;
        let sending = Sending::start(world.offer(sent).await);
        let mut receiving = Receiving::start(world.to(), SENDER, Some(agreed));
        link.join(0, Rank::Direct, &sending, &receiving);
        let (_, received) = both(&sending, &mut receiving).await;
        match received {
            Ok(_) => assert!(taken, "{sent:?}"),
            Err(error) => assert!(!taken && matches!(error, ReceiveError::Unexpected(_)), "{error:?}"),
        }
    }
    assert_eq!(world.arrived(), ["film.mkv", "trip"]);
}

/// A disk of its own, which ends with the test.
struct Disk(std::path::PathBuf);

impl Disk {
    /// `None` where nobody may mount.
    fn mount(at: std::path::PathBuf, size: &str) -> Option<Self> {
        let options = std::ffi::CString::new(format!("size={size}")).unwrap();
        match mount("tmpfs", &at, "tmpfs", MountFlags::empty(), &*options) {
            Ok(()) => Some(Self(at)),
            Err(error) => {
                eprintln!("skipped: a disk of its own needs the right to mount ({error})");
                None
            }
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_without_room_says_so_before_anything_and_goes_on_when_there_is_some() {
    let world = World::new();
    let Some(_disk) = Disk::mount(world.to(), "24m") else { return };
    world.file("film.mkv", 16 * MIB);
    let filler = world.to().join("filler");
    fs::write(&filler, vec![1; 12 * MIB]).unwrap();
    let link = Link::make().await;
    let (sending, mut receiving) = (Sending::start(world.offer(&["film.mkv"]).await), world.receive());
    link.join(0, Rank::Direct, &sending, &receiving);
    let (sent, received) = both(&sending, &mut receiving).await;
    let Err(ReceiveError::NoSpace(no_space)) = received else { panic!("{received:?}") };
    assert_eq!(no_space.needed, 16 * MIB as u64);
    assert!(matches!(&sent, Err(SendError::Receiver(message)) if message.contains("disk is full")), "{sent:?}");
    fs::remove_file(filler).unwrap();
    let link = Link::make().await;
    let (sending, mut receiving) = (Sending::start(world.offer(&["film.mkv"]).await), world.receive());
    link.join(0, Rank::Direct, &sending, &receiving);
    arrives(&sending, &mut receiving).await;
    assert!(fs::read(world.to().join("film.mkv")).unwrap() == content("film.mkv", 16 * MIB));
}
