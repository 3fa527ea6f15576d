//! The receiver is a process of its own, killed at moments of chance until it has everything.

use crate::support::{Door, MIB, SENDER, World, connect, content, tree};
use hypersend_lab::{Dice, within};
use hypersend_peer::{PathId, Rank, Receiving, Sending};
use rustls::pki_types::CertificateDer;
use std::{
    env, fs,
    process::Stdio,
    time::{Duration, Instant},
};
use tokio::{
    process::{Child, Command},
    time::timeout,
};

const ADDRESS: &str = "HYPERSEND_PEER_TEST_ADDRESS";
const CERTIFICATE: &str = "HYPERSEND_PEER_TEST_CERTIFICATE";
const DESTINATION: &str = "HYPERSEND_PEER_TEST_DESTINATION";

/// How often one transfer is killed: a machine that has become slow would never get to its end otherwise.
const MOST_KILLS: u32 = 20;

/// Not a test by itself: what the process does that the test below starts and kills.
#[tokio::test(flavor = "multi_thread")]
async fn the_receiver_that_is_killed() {
    let (Ok(address), Ok(certificate), Ok(destination)) =
        (env::var(ADDRESS), env::var(CERTIFICATE), env::var(DESTINATION))
    else {
        return;
    };
    let certificate = CertificateDer::from(fs::read(certificate).unwrap());
    let (_endpoint, connection) = connect(certificate, address.parse().unwrap()).await;
    let mut receiving = Receiving::start(destination.into(), SENDER, None);
    receiving.add_path(PathId(0), Rank::Direct, connection);
    within("everything arrives", receiving.finish()).await.unwrap();
}

fn start(door: &Door, world: &World) -> Child {
    let certificate = world.from("certificate");
    fs::write(&certificate, door.certificate()).unwrap();
    Command::new(env::current_exe().unwrap())
        .args(["--exact", "kills::the_receiver_that_is_killed", "--nocapture"])
        .env(ADDRESS, door.address().to_string())
        .env(CERTIFICATE, certificate)
        .env(DESTINATION, world.to())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_killed_at_any_moment_ends_with_everything_once() {
    let mut dice = Dice::new();
    let world = World::new();
    let offered = ["film.mkv", "trip", "note.txt"];
    world.file("film.mkv", 9 * MIB);
    (0..60).for_each(|n| drop(world.file(&format!("trip/{}/{n}", n % 7), 40_000)));
    world.file("trip/clip.mp4", 5 * MIB + 5);
    world.file("note.txt", 10);
    let door = Door::open();
    let mut kills = 0;
    // How long one run takes that nobody kills, from the connection to the end.
    let mut whole = Duration::from_secs(30);
    for round in 0..16 {
        let (mut told, mut kills_of_round) = (false, 0);
        loop {
            let mut child = start(&door, &world);
            let connection = door.accept().await;
            let sending = Sending::start(world.offer(&offered).await);
            sending.add_path(PathId(0), Rank::Direct, connection.clone());
            let begun = Instant::now();
            // Two are left alone, since a busy machine may make one slow; then any moment up to a little after the end.
            let mercy = round < 2 || kills_of_round >= MOST_KILLS;
            // The end, where everything is moved and cleared away, is short, so half of the kills are for it.
            let thousandths = if dice.below(2) == 0 { dice.below(1_100) } else { 600 + dice.below(450) };
            let due = whole.mul_f64(f64::from(u32::try_from(thousandths).unwrap()) / 1_000.0);
            let patience = if mercy { Duration::from_secs(30) } else { due };
            let ended = timeout(patience, child.wait()).await.ok().map(Result::unwrap);
            if ended.is_none() {
                child.kill().await.unwrap();
            }
            told |= timeout(Duration::from_millis(5), sending.finish()).await.is_ok_and(|sent| sent.is_ok());
            match ended {
                Some(status) => {
                    assert!(status.success(), "round {round}");
                    if round < 2 {
                        whole = whole.min(begun.elapsed());
                    }
                    break;
                }
                // It had told its sender and cleared everything away: to start it again would be another transfer.
                None if told && world.arrived().len() == offered.len() => break,
                None => {
                    kills += 1;
                    kills_of_round += 1;
                }
            }
        }
        assert_eq!(world.arrived(), ["film.mkv", "note.txt", "trip"], "round {round}, {kills} kills");
        assert!(fs::read(world.to().join("film.mkv")).unwrap() == content("film.mkv", 9 * MIB));
        assert!(tree(&world.to().join("trip")) == tree(&world.from("trip")), "round {round}");
        assert!(fs::read(world.to().join("note.txt")).unwrap() == content("note.txt", 10));
        for name in offered {
            let path = world.to().join(name);
            if path.is_dir() { fs::remove_dir_all(path).unwrap() } else { fs::remove_file(path).unwrap() }
        }
    }
    println!("{kills} kills, {whole:?} for a run left alone");
    assert!(kills > 0);
}
