//! Datagrams from one socket to another through a relay or coturn, as fast as they pass: as many are under way as a window
//! holds, and each that arrives lets another go, so that hardly any is lost and nothing is done in vain. Both ends are here,
//! with the same sockets and calls for either program; what differs is the four bytes that `ChannelData` has in front.

use super::{Stage, turn};
use crate::relay::Seat;
use anyhow::{Context, Result};
use hypersend_net::socket;
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use serde::{Deserialize, Serialize};
use std::{
    array,
    io::{self, IoSliceMut},
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{io::Interest, net::UdpSocket, task::JoinSet, time::timeout};

/// Datagrams under way in each pair: coturn's sockets ask for 64 KiB, which hold some 55 of these.
const WINDOW: usize = 40;

/// After how long without an arrival those under way are taken for lost.
const PATIENCE: Duration = Duration::from_millis(20);

/// The first byte of what could be a QUIC packet.
const QUIC: u8 = 0x40;

/// The most that a kernel hands over as one.
const BUFFER: usize = 1 << 16;

/// What passes the datagrams on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Through {
    /// The relay at this address.
    Relay(SocketAddr),
    /// The coturn at this address.
    Turn(SocketAddr),
}

/// What the datagrams are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Shape {
    /// Pairs of sockets between which they travel.
    pub(crate) pairs: u32,
    /// Bytes of each, without what TURN puts in front.
    pub(crate) bytes: usize,
    /// Datagrams handed to the kernel in one call: with one, each is a call and a packet of its own.
    pub(crate) together: usize,
}

/// Which way they go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Way {
    /// From the TURN client to its peer.
    There,
    /// From the peer to the TURN client.
    Back,
}

/// What to do.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    /// Which way.
    pub(crate) way: Way,
    /// How long.
    pub(crate) lasting: Duration,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Passed {
    /// Datagrams that arrived.
    pub(crate) datagrams: u64,
    /// Datagrams that did not.
    pub(crate) lost: u64,
    /// From the first to the last.
    pub(crate) elapsed: Duration,
}

/// Sends when told, and says how much arrived.
pub(super) async fn run(mut stage: Stage, through: Through, shape: Shape) -> Result<()> {
    let pairs: Vec<_> = (0..shape.pairs).map(|pair| Pair::make(through, shape, pair)).collect::<Result<_>>()?;
    stage.say(&())?;
    while let Some(Run { way, lasting }) = stage.next().await? {
        let mut passing = JoinSet::new();
        for pair in &pairs {
            let (from, to) = match way {
                Way::There => (&pair.here, &pair.there),
                Way::Back => (&pair.there, &pair.here),
            };
            passing.spawn(pass(from.clone(), to.clone(), shape, lasting));
        }
        let mut all = Passed::default();
        while let Some(passed) = passing.join_next().await {
            let passed = passed??;
            all.datagrams += passed.datagrams;
            all.lost += passed.lost;
            all.elapsed = all.elapsed.max(passed.elapsed);
        }
        stage.say(&all)?;
    }
    Ok(())
}

struct Pair {
    here: Arc<Lane>,
    there: Arc<Lane>,
}

impl Pair {
    fn make(through: Through, shape: Shape, number: u32) -> Result<Self> {
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let [(here, _), (there, _)] = [socket::bind(loopback)?, socket::bind(loopback)?];
        let payload = vec![QUIC; shape.bytes];
        Ok(match through {
            Through::Relay(relay) => {
                Seat { relay, session: number, receives: false }.take(&here)?;
                Seat { relay, session: number, receives: true }.take(&there)?;
                Self {
                    here: Lane::new(here, relay, &payload, shape)?,
                    there: Lane::new(there, relay, &payload, shape)?,
                }
            }
            Through::Turn(server) => {
                let relayed = turn::allocate(&here, server, there.local_addr()?)?;
                let on_channel = [&turn::channel_head(payload.len())?[..], &payload].concat();
                Self {
                    here: Lane::new(here, server, &on_channel, shape)?,
                    there: Lane::new(there, relayed, &payload, shape)?,
                }
            }
        })
    }
}

/// One socket and what it sends.
struct Lane {
    socket: UdpSocket,
    state: UdpSocketState,
    to: SocketAddr,
    contents: Vec<u8>,
    segment: usize,
}

impl Lane {
    fn new(socket: std::net::UdpSocket, to: SocketAddr, datagram: &[u8], shape: Shape) -> Result<Arc<Self>> {
        socket.set_nonblocking(true)?;
        let state = UdpSocketState::new((&socket).into())?;
        let contents = datagram.repeat(shape.together);
        Ok(Arc::new(Self { socket: UdpSocket::from_std(socket)?, state, to, contents, segment: datagram.len() }))
    }

    async fn send(&self) -> io::Result<()> {
        let segment_size = (self.contents.len() > self.segment).then_some(self.segment);
        let transmit =
            Transmit { destination: self.to, ecn: None, contents: &self.contents, segment_size, src_ip: None };
        let send = || self.state.try_send((&self.socket).into(), &transmit);
        self.socket.async_io(Interest::WRITABLE, send).await
    }

    /// Counts what came.
    async fn receive(&self, buffers: &mut [u8]) -> io::Result<usize> {
        let mut meta = [RecvMeta::default(); BATCH_SIZE];
        let receive = || {
            let mut chunks = buffers.chunks_exact_mut(BUFFER);
            let mut slices: [_; BATCH_SIZE] =
                array::from_fn(|_| IoSliceMut::new(chunks.next().expect("there is a buffer for each message")));
            self.state.recv((&self.socket).into(), &mut slices, &mut meta)
        };
        let messages = self.socket.async_io(Interest::READABLE, receive).await?;
        Ok(meta[..messages].iter().map(|meta| meta.len.div_ceil(meta.stride.max(1))).sum())
    }
}

async fn pass(from: Arc<Lane>, to: Arc<Lane>, shape: Shape, lasting: Duration) -> Result<Passed> {
    let mut buffers = vec![0; BUFFER * BATCH_SIZE];
    let (mut sent, mut arrived, mut under_way) = (0, 0, 0_usize);
    let start = Instant::now();
    while start.elapsed() < lasting {
        while under_way < WINDOW {
            from.send().await.context("send a datagram")?;
            under_way += shape.together;
            sent += shape.together;
        }
        match timeout(PATIENCE, to.receive(&mut buffers)).await {
            Ok(count) => {
                let count = count.context("receive a datagram")?;
                under_way = under_way.saturating_sub(count);
                arrived += count;
            }
            Err(_) => under_way = 0,
        }
    }
    let elapsed = start.elapsed();
    // What is still under way, so that the next run begins with nothing.
    while let Ok(count) = timeout(PATIENCE, to.receive(&mut buffers)).await {
        arrived += count?;
    }
    Ok(Passed { datagrams: arrived as u64, lost: sent.saturating_sub(arrived) as u64, elapsed })
}
