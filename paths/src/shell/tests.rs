//! Sockets that die, or are others of a sudden; and those of a round of guessing.

use super::{
    Paths,
    driver::{Command, Driver},
    guesses::Guesses,
    post::{self, Post},
};
use crate::{Config, Event, Identity, PathId, Role, Signals, Why, core::Via};
use hypersend_protocol::{
    id::P2pId,
    paths::{PROBE_BYTES, PROBE_MARK},
};
use quinn::Connection;
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};
use tokio::{net::UdpSocket, sync::mpsc, time::timeout};
use uuid::Uuid;

const PATIENCE: Duration = Duration::from_secs(20);

/// Two sides whose states go from one to the other.
fn both() -> [Paths; 2] {
    let [one, other] = [(); 2].map(|()| mpsc::channel(8));
    let signals = [(one.0, other.1), (other.0, one.1)].map(|(set, heard)| Signals { set, heard });
    let mut roles = [Role::Sender, Role::Receiver].into_iter();
    signals.map(|signals| {
        let config = Config::new(roles.next().unwrap(), P2pId(Uuid::from_u128(1)), Identity::new().unwrap());
        Paths::open(config, signals).unwrap()
    })
}

async fn up(paths: &mut Paths) -> (PathId, Connection) {
    let up = async {
        loop {
            if let Some(Event::Up { path, connection, .. }) = paths.next().await {
                return (path, connection);
            }
        }
    };
    timeout(PATIENCE, up).await.expect("a way in time")
}

async fn down(paths: &mut Paths, wanted: PathId) -> Why {
    let down = async {
        loop {
            if let Some(Event::Down { path, why }) = paths.next().await
                && path == wanted
            {
                return why;
            }
        }
    };
    timeout(PATIENCE, down).await.expect("an end in time")
}

async fn have(paths: &Paths, it: fn(&mut Driver)) {
    paths.commands.send(Command::Do(it)).await.unwrap();
}

fn set_dead(driver: &mut Driver, is_dead: bool) {
    driver.posts[&Via::MAIN].tap.is_dead.store(is_dead, Relaxed);
}

#[tokio::test]
async fn a_path_that_dies_under_a_transfer_is_noticed_and_made_again() {
    let [mut sender, mut receiver] = both();
    let ((one, connection), (other, _)) = (up(&mut sender).await, up(&mut receiver).await);
    let transfer = tokio::spawn(async move {
        let (mut send, _) = connection.open_bi().await.unwrap();
        while send.write_all(&[7; 10_000]).await.is_ok() {}
    });
    have(&receiver, |driver| set_dead(driver, true)).await;
    let died = Instant::now();
    assert_eq!((down(&mut sender, one).await, down(&mut receiver, other).await), (Why::Silent, Why::Silent));
    // In virtual time it is 3 s; here the machine may be busy with other things.
    assert!(died.elapsed() < Duration::from_secs(6), "{:?}", died.elapsed());
    timeout(PATIENCE, transfer).await.expect("the transfer hears of it").unwrap();
    have(&receiver, |driver| set_dead(driver, false)).await;
    up(&mut sender).await;
    up(&mut receiver).await;
}

#[tokio::test]
async fn another_socket_is_found_by_the_other_side() {
    for moves in 0..2 {
        let mut ends = both();
        let [sender, receiver] = &mut ends;
        let (mut from, mut to) = (up(sender).await.1, up(receiver).await.1);
        have(&ends[moves], |driver| driver.place(true)).await;
        let [sender, receiver] = &mut ends;
        let heard = async {
            loop {
                // By the connection that there is, if it has moved too, or by the next one.
                let said = async {
                    from.open_uni().await?.write_all(b"here I am").await?;
                    to.accept_uni().await?.read_to_end(9).await.map_err(std::io::Error::other)?;
                    std::io::Result::Ok(())
                };
                tokio::select! {
                    Ok(()) = said => return,
                    next = async { tokio::join!(up(sender), up(receiver)) } => (from, to) = (next.0.1, next.1.1),
                }
            }
        };
        timeout(PATIENCE, heard).await.expect("heard in time");
    }
}

#[tokio::test]
async fn a_socket_of_a_round_becomes_an_endpoints() {
    let (caught, mut probes) = mpsc::channel(8);
    let mut guesses = Guesses::default();
    let wanted: Vec<Via> = (1..=20).map(Via).collect();
    assert_eq!(guesses.open(wanted.clone(), &caught), wanted);
    let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    guesses.send(Via(7), peer.local_addr().unwrap(), b"out");
    let mut buffer = [0; 100];
    let (_, seventh) = timeout(PATIENCE, peer.recv_from(&mut buffer)).await.unwrap().unwrap();
    // Only what may be a probe is handed on.
    let mut probe = [0; PROBE_BYTES];
    peer.send_to(&probe, seventh).await.unwrap();
    probe[0] = PROBE_MARK;
    peer.send_to(&probe, seventh).await.unwrap();
    let heard = timeout(PATIENCE, probes.recv()).await.unwrap().unwrap();
    assert_eq!((heard.via, heard.from, heard.bytes), (Via(7), peer.local_addr().unwrap(), probe.to_vec()));

    let post = Post::new(Via(7), guesses.take(Via(7)).unwrap(), caught.clone(), None).unwrap();
    guesses.close();
    assert!(guesses.take(Via(8)).is_err());
    assert_eq!(post.local_addr().unwrap().port(), seventh.port());
    peer.send_to(&probe, seventh).await.unwrap();
    let heard = timeout(PATIENCE, probes.recv()).await.unwrap().unwrap();
    assert_eq!(heard.via, Via(7));
}

#[tokio::test]
async fn probes_are_taken_out_of_what_is_for_quinn() {
    let (caught, mut probes) = mpsc::channel(8);
    let post = Post::new(Via::MAIN, post::bind().unwrap(), caught, None).unwrap();
    let to = SocketAddr::from((Ipv4Addr::LOCALHOST, post.local_addr().unwrap().port()));
    let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    for first in [0x40, PROBE_MARK, 0xc0, 0x0b, 0x00] {
        peer.send_to(&[first; PROBE_BYTES], to).await.unwrap();
    }
    for first in [PROBE_MARK, 0x0b] {
        let heard = timeout(PATIENCE, probes.recv()).await.unwrap().unwrap();
        assert_eq!((heard.from, heard.bytes), (peer.local_addr().unwrap(), vec![first; PROBE_BYTES]));
    }
}
