//! The datagrams of a UDP socket on a stream: either end of a tunnel ([`hypersend_protocol::tunnel`]).

mod far;
mod socket;

use crate::{
    frames::{FrameReader, RecvError},
    stream::{SendStream, StreamError},
};
use bytes::BytesMut;
pub use far::Far;
use far::Heard;
use hypersend_protocol::{
    frame::encode,
    tunnel::{Datagram, DatagramBytes},
};
pub use socket::Socket;
use socket::{Batch, MOST};
use std::{
    io,
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};
use tokio::time::timeout;

/// Bytes after which a write is not made longer by what else has come.
const WRITE: usize = 64 << 10;

/// Silence of a stream after which its tunnel ends: who has a seat at a relay, and the relay, speak every five seconds.
pub const IDLE: Duration = Duration::from_mins(1);

/// Why a tunnel is over before its stream is finished.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// The socket failed.
    #[error("the tunnel's socket failed")]
    Socket(#[from] io::Error),
    /// What comes by the stream is a refusal or no datagram, or breaks off.
    #[error(transparent)]
    Received(#[from] RecvError),
    /// Nothing came by the stream for a while.
    #[error("nothing came through the tunnel for {} s", IDLE.as_secs())]
    Idle,
    /// The stream takes nothing any more.
    #[error("the stream broke")]
    Stream(#[from] StreamError),
}

/// Carries datagrams both ways until the other side of the stream finishes.
pub async fn carry(
    socket: &Socket,
    far: Far,
    out: &mut SendStream,
    reader: &mut FrameReader,
) -> Result<(), TunnelError> {
    let heard = Mutex::new(Heard::new(far));
    tokio::select! {
        // It has no end but an error.
        ended = to_stream(socket, &heard, out) => ended,
        ended = to_socket(socket, &heard, reader) => ended,
    }
}

async fn to_stream(socket: &Socket, heard: &Mutex<Heard>, out: &mut SendStream) -> Result<(), TunnelError> {
    let mut buffer = vec![0; MOST];
    let mut frames = BytesMut::new();
    loop {
        let mut received = Some(socket.recv(&mut buffer).await?);
        while let Some(meta) = received {
            if lock(heard).takes(meta.addr, Instant::now()) {
                // What is longer than it may be is lost.
                let datagrams = buffer[..meta.len].chunks(meta.stride.max(1)).map(<[u8]>::to_vec);
                for bytes in datagrams.filter_map(|bytes| DatagramBytes::new(bytes).ok()) {
                    frames.extend_from_slice(&encode(&Datagram { bytes }).map_err(RecvError::Frame)?);
                }
            }
            // What else has come by now goes along.
            received = if frames.len() < WRITE { now(socket.recv(&mut buffer)).transpose()? } else { None };
        }
        if !frames.is_empty() {
            out.write(frames.split().freeze()).await?;
        }
    }
}

async fn to_socket(socket: &Socket, heard: &Mutex<Heard>, reader: &mut FrameReader) -> Result<(), TunnelError> {
    let mut batch = Batch::default();
    let mut first = next(reader).await?;
    while let Some(datagram) = first {
        socket.begin(&mut batch);
        batch.add(&datagram.bytes);
        let following = gather(&mut batch, reader)?;
        let to = lock(heard).address();
        if let Some(to) = to {
            socket.send(to, &batch).await?;
        }
        first = match following {
            Next::Came(next) => next,
            Next::ToCome => next(reader).await?,
        };
    }
    Ok(())
}

async fn next(reader: &mut FrameReader) -> Result<Option<Datagram>, TunnelError> {
    let next = timeout(IDLE, reader.next()).await.map_err(|_| TunnelError::Idle)?;
    Ok(next?)
}

/// What follows a batch.
enum Next {
    /// It has come already.
    Came(Option<Datagram>),
    ToCome,
}

/// Adds what else has come by now, as far as it fits.
fn gather(batch: &mut Batch, reader: &mut FrameReader) -> Result<Next, RecvError> {
    loop {
        match now(reader.next::<Datagram>()).transpose()? {
            Some(Some(datagram)) if batch.add(&datagram.bytes) => {}
            Some(next) => return Ok(Next::Came(next)),
            None => return Ok(Next::ToCome),
        }
    }
}

/// What a future gives if it need not wait.
fn now<F: Future>(future: F) -> Option<F::Output> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}
