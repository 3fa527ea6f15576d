//! Many sessions of one relay with a QUIC connection in each, which sends as much as its congestion control lets it.

use super::{
    Stage,
    crowd::{Crowded, allow_files},
    raw::{dialling, endpoint, listening},
};
use crate::relay::Seat;
use anyhow::{Context, Result};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use hypersend_net::socket;
use quinn::{ClientConfig, Connection, Endpoint, ServerConfig};
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::time::sleep;

/// Handshakes under way at once: what a relay at its capacity does not pass on has to be sent again.
const AT_ONCE: usize = 20;

/// Bytes handed to quinn at once.
const PIECE: Bytes = Bytes::from_static(&[0x5a; 64 << 10]);

/// One session.
struct Session {
    sender: Connection,
    delivered: Arc<AtomicU64>,
    _ends: [Endpoint; 2],
}

/// Connects all, each of which then sends without end; says as often as it is asked what arrived in that time.
pub(super) async fn run(mut stage: Stage, relay: SocketAddr, sessions: u32) -> Result<()> {
    allow_files()?;
    let (server, certificate) = listening()?;
    let client = dialling(certificate)?;
    let meeting = stream::iter(0..sessions).map(|session| meet(relay, session, server.clone(), client.clone()));
    let sessions: Vec<Session> = meeting.buffer_unordered(AT_ONCE).try_collect().await?;
    stage.say(&())?;

    while let Some(lasting) = stage.next::<Duration>().await? {
        let (start, before) = (Instant::now(), count(&sessions));
        sleep(lasting).await;
        let after = count(&sessions);
        let since =
            |which: usize| before.iter().zip(&after).map(|(before, after)| after[which] - before[which]).collect();
        stage.say(&Crowded { delivered: since(0), offered: since(1), elapsed: start.elapsed() })?;
    }
    Ok(())
}

/// Of each session the bytes of its stream that have arrived, and all that its sender has sent.
fn count(sessions: &[Session]) -> Vec<[u64; 2]> {
    let of = |session: &Session| [session.delivered.load(Ordering::Relaxed), session.sender.stats().udp_tx.bytes];
    sessions.iter().map(of).collect()
}

async fn meet(relay: SocketAddr, session: u32, server: ServerConfig, client: ClientConfig) -> Result<Session> {
    let end = |config, receives| {
        let (socket, _) = socket::bind((Ipv4Addr::LOCALHOST, 0).into())?;
        endpoint(socket, config, Some(Seat { relay, session, receives }))
    };
    let (receiver, sender) = (end(Some(server), true)?, end(None, false)?);
    let delivered = Arc::new(AtomicU64::new(0));
    tokio::spawn(take(receiver.clone(), Arc::clone(&delivered)));
    let connection = sender.connect_with(client, relay, "localhost")?.await.context("connect through the relay")?;
    tokio::spawn(send(connection.clone()));
    Ok(Session { sender: connection, delivered, _ends: [receiver, sender] })
}

async fn take(endpoint: Endpoint, delivered: Arc<AtomicU64>) -> Result<()> {
    let connection = endpoint.accept().await.context("somebody comes")?.await?;
    let mut stream = connection.accept_uni().await?;
    while let Some(chunk) = stream.read_chunk(usize::MAX, false).await? {
        delivered.fetch_add(chunk.bytes.len() as u64, Ordering::Relaxed);
    }
    Ok(())
}

async fn send(connection: Connection) -> Result<()> {
    let mut stream = connection.open_uni().await?;
    loop {
        stream.write_chunk(PIECE).await?;
    }
}
