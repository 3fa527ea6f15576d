//! Many sessions of one relay, each of which sends far more than its share of the capacity without any congestion control:
//! some in large datagrams and some in smaller ones, some four times as much as others.

use super::Stage;
use crate::relay::Seat;
use anyhow::{Context, Result};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};
use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    thread,
    time::{Duration, Instant},
};

/// Bytes of a datagram, by turns: QUIC's least, and what Ethernet holds.
const SIZES: [usize; 2] = [1_200, 1_452];

/// Datagrams in each turn: from one to so many.
const GREEDIEST: usize = 4;

/// How often the receivers look: their buffers hold some ninety datagrams each.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What a crowd consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum CrowdOf {
    /// Sockets that heed nothing.
    Datagrams,
    /// QUIC connections.
    Connections,
}

/// What came of it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Crowded {
    /// Bytes that each session had delivered.
    pub(crate) delivered: Vec<u64>,
    /// Bytes that each session sent.
    pub(crate) offered: Vec<u64>,
    /// How long they sent.
    pub(crate) elapsed: Duration,
}

/// Sends as long as it is told, and says what arrived.
pub(super) async fn run(mut stage: Stage, relay: SocketAddr, sessions: u32) -> Result<()> {
    allow_files()?;
    let sides = |receives| (0..sessions).map(move |session| seated(Seat { relay, session, receives }));
    let senders: Vec<UdpSocket> = sides(false).collect::<Result<_>>()?;
    let receivers: Vec<UdpSocket> = sides(true).collect::<Result<_>>()?;
    for receiver in &receivers {
        receiver.set_nonblocking(true)?;
    }
    // PeerPresent is not what is counted.
    take(&receivers, &mut vec![0; receivers.len()]);
    stage.say(&())?;

    while let Some(lasting) = stage.next().await? {
        let start = Instant::now();
        let (offered, delivered) = thread::scope(|scope| {
            let sending = scope.spawn(|| offer(&senders, start, lasting));
            let mut delivered = vec![0; receivers.len()];
            while !sending.is_finished() {
                take(&receivers, &mut delivered);
                thread::sleep(LOOK_EVERY);
            }
            take(&receivers, &mut delivered);
            (sending.join(), delivered)
        });
        let offered = offered.ok().context("the senders broke down")?;
        stage.say(&Crowded { delivered, offered, elapsed: start.elapsed() })?;
    }
    Ok(())
}

/// Two sockets for each session are more than a process may usually open.
pub(super) fn allow_files() -> Result<()> {
    let files = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: files.maximum, ..files }).context("raise the limit of open files")
}

fn seated(seat: Seat) -> Result<UdpSocket> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    seat.take(&socket)?;
    socket.connect(seat.relay)?;
    Ok(socket)
}

/// Sends by turns, and counts the bytes of each.
fn offer(senders: &[UdpSocket], start: Instant, lasting: Duration) -> Vec<u64> {
    // The first byte is one of a QUIC packet.
    let datagram = [0x40; SIZES[1]];
    let mut offered = vec![0; senders.len()];
    while start.elapsed() < lasting {
        for (number, (sender, offered)) in senders.iter().zip(&mut offered).enumerate() {
            let size = SIZES[number / GREEDIEST % SIZES.len()];
            for _ in 0..=number % GREEDIEST {
                // What the kernel does not take is lost, as what a relay does not pass on.
                *offered += sender.send(&datagram[..size]).unwrap_or(0) as u64;
            }
        }
    }
    offered
}

/// Counts what has come to each.
fn take(receivers: &[UdpSocket], delivered: &mut [u64]) {
    let mut datagram = [0; 2_048];
    for (receiver, delivered) in receivers.iter().zip(delivered) {
        while let Ok(length) = receiver.recv(&mut datagram) {
            *delivered += length as u64;
        }
    }
}
