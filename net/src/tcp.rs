//! The native protocol over TCP, for networks that let no UDP through.
//!
//! Each stream is an HTTP/2 stream (RFC 9113): a request without a body's length from the client, answered with 200 at
//! once, and then both bodies are the two directions. So streams have their own flow control, as over QUIC, and a slow
//! one does not stop the others. Two things are lost: a lost packet delays all streams, and no stream goes first.
//!
//! | QUIC | here |
//! | --- | --- |
//! | closing with a code | `GOAWAY` with [`CLOSE_CODES`] + code, by the server only |
//! | `STOP_SENDING` | `RST_STREAM` when both halves are dropped; `NO_ERROR` after a whole answer (RFC 9113, 8.1) |
//! | idle timeout, keep-alive | the client's `PING`s, and the bytes that come |

mod driver;
mod pulse;
mod watched;

#[cfg(test)]
mod tests;

pub use driver::Running;

use crate::{
    connection::Closed,
    stream,
    transport::{MAX_STREAMS, RECEIVE_WINDOW, STRANGER_WINDOW, STREAM_WINDOW},
};
use bytes::Bytes;
use driver::{Accepting, Command, Driver, Opened};
use h2::{Reason, client, server};
use http::{Method, Request, StatusCode, Version};
use hypersend_protocol::refusal::ErrorCode;
use std::{
    fmt,
    future::poll_fn,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, oneshot, watch},
};
use watched::Watched;

/// Where our codes begin among the error codes of HTTP/2, whose own are small (RFC 9113, 7).
pub const CLOSE_CODES: u32 = 0x4853_0000;

/// Bytes of one stream that wait for the socket. As much as is handed over at once; a whole round of streams goes before
/// a message, so more would only make it wait.
const STREAM_BUFFER: usize = 128 << 10;

/// The longest header section, in bytes: what HTTP/2 wants of a request (RFC 9113, 8.3.1) and no more. Before login 256 of
/// them may wait.
const MAX_HEAD: u32 = 512;

/// Streams opened by the peer that nobody has looked at yet.
const UNSEEN: usize = 16;

/// A stream broke, or its connection.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub struct StreamError(Arc<h2::Error>);

impl From<h2::Error> for StreamError {
    fn from(error: h2::Error) -> Self {
        Self(Arc::new(error))
    }
}

/// A connection over TCP.
#[derive(Clone)]
pub struct Connection(Arc<Shared>);

struct Shared {
    peer: SocketAddr,
    commands: mpsc::UnboundedSender<Command>,
    ended: watch::Receiver<Option<Closed>>,
    streams: Streams,
    round_trip: Arc<AtomicU64>,
}

/// Where streams come from: on either side from one direction.
enum Streams {
    Opened(client::SendRequest<Bytes>),
    /// Locked only while it is polled.
    Accepted(Mutex<mpsc::Receiver<Opened>>),
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("tcp::Connection").field("peer", &self.0.peer).finish_non_exhaustive()
    }
}

/// The client's side of a TLS connection that is open. `round_trip`: as long as connecting took. Nothing moves unless
/// what is given back is run.
pub async fn connect<T>(io: T, peer: SocketAddr, round_trip: Duration) -> Result<(Connection, Running), StreamError>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (io, activity) = Watched::new(io);
    let (requests, connection) = client::Builder::new()
        .enable_push(false)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(RECEIVE_WINDOW)
        .max_send_buffer_size(STREAM_BUFFER)
        .max_header_list_size(MAX_HEAD)
        // All of them may be cancelled at once, and what is still on its way on them is no fault.
        .max_concurrent_reset_streams(MAX_STREAMS as usize)
        .handshake(io)
        .await?;
    let (shared, driver) = Driver::new(connection, activity, round_trip);
    Ok((shared.with(peer, Streams::Opened(requests)), driver.run()))
}

/// The server's side. It trusts a stranger with little; see [`crate::connection::Connection::welcome`].
pub async fn accept<T>(io: T, peer: SocketAddr) -> Result<(Connection, Running), StreamError>
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (io, activity) = Watched::new(io);
    let connection = server::Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(STRANGER_WINDOW)
        .max_concurrent_streams(MAX_STREAMS)
        .max_send_buffer_size(STREAM_BUFFER)
        .max_header_list_size(MAX_HEAD)
        // All of them may be cancelled at once, and what is still on its way on them is no fault.
        .max_concurrent_reset_streams(MAX_STREAMS as usize)
        .handshake(io)
        .await?;
    let (sender, streams) = mpsc::channel(UNSEEN);
    let (shared, driver) = Driver::new(Accepting::new(connection, sender), activity, Duration::ZERO);
    Ok((shared.with(peer, Streams::Accepted(Mutex::new(streams))), driver.run()))
}

impl Connection {
    pub(crate) async fn open(&self) -> Result<(stream::SendStream, stream::RecvStream), Closed> {
        let Streams::Opened(requests) = &self.0.streams else {
            return Err(Closed::Lost("a server opens no streams".to_owned()));
        };
        let (answer, stream) = match open(requests.clone()).await {
            Ok(opened) => opened,
            // The connection knows better why.
            Err(error) => return Err(self.over().unwrap_or_else(|| Closed::from(error))),
        };
        Ok(self.halves(Source::Awaited(answer), stream))
    }

    pub(crate) async fn accept(&self) -> Result<(stream::SendStream, stream::RecvStream), Closed> {
        let Streams::Accepted(streams) = &self.0.streams else {
            return Err(self.closed().await);
        };
        let next = poll_fn(|cx| streams.lock().unwrap_or_else(PoisonError::into_inner).poll_recv(cx)).await;
        match next {
            Some((stream, source)) => Ok(self.halves(Source::Open(source), stream)),
            None => Err(self.closed().await),
        }
    }

    fn halves(&self, source: Source, stream: h2::SendStream<Bytes>) -> (stream::SendStream, stream::RecvStream) {
        let commands = &self.0.commands;
        let sending = SendStream { stream, finished: false, commands: commands.clone() };
        let receiving = RecvStream { source, held: Bytes::new(), _commands: commands.clone() };
        (stream::SendStream::Tcp(sending), stream::RecvStream::Tcp(receiving))
    }

    pub(crate) fn close(&self, code: ErrorCode) {
        // A driver that is gone has nothing left to close.
        let _ = self.0.commands.send(Command::Close(code));
    }

    pub(crate) fn widen(&self, window: u32) {
        let _ = self.0.commands.send(Command::Widen(window));
    }

    pub(crate) async fn closed(&self) -> Closed {
        let mut ended = self.0.ended.clone();
        // A driver that was dropped unfinished had its runtime taken away.
        let over = ended.wait_for(Option::is_some).await.ok().and_then(|over| over.clone());
        over.unwrap_or(Closed::Here)
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.over().is_some()
    }

    fn over(&self) -> Option<Closed> {
        self.0.ended.borrow().clone()
    }

    pub(crate) fn rtt(&self) -> Duration {
        Duration::from_micros(self.0.round_trip.load(Ordering::Relaxed))
    }

    pub(crate) fn remote_address(&self) -> SocketAddr {
        self.0.peer
    }
}

impl From<h2::Error> for Closed {
    fn from(error: h2::Error) -> Self {
        let code = error.reason().filter(|_| error.is_go_away() && error.is_remote()).and_then(close_code);
        code.map_or_else(|| Self::Lost(error.to_string()), Self::ByPeer)
    }
}

/// Opens a stream; waits while as many are open as the peer allows.
async fn open(
    requests: client::SendRequest<Bytes>,
) -> Result<(client::ResponseFuture, h2::SendStream<Bytes>), h2::Error> {
    let request = Request::builder().method(Method::POST).uri("https://hypersend/").version(Version::HTTP_2);
    let request = request.body(()).expect("a constant request");
    let mut requests = requests.ready().await?;
    let opened = requests.send_request(request, false)?;
    // One too many begins when another ends; until then its sender is not ready again.
    requests.ready().await?;
    Ok(opened)
}

/// The code that the peer closed a connection with, if it is one of ours.
fn close_code(reason: Reason) -> Option<ErrorCode> {
    let code = u32::from(reason).checked_sub(CLOSE_CODES)?;
    u16::try_from(code).ok().map(ErrorCode::from)
}

fn reason(code: ErrorCode) -> Reason {
    Reason::from(CLOSE_CODES + u32::from(u16::from(code)))
}

/// The sending half of a stream.
#[derive(Debug)]
pub struct SendStream {
    stream: h2::SendStream<Bytes>,
    finished: bool,
    commands: mpsc::UnboundedSender<Command>,
}

impl SendStream {
    pub(crate) async fn write(&mut self, mut bytes: Bytes) -> Result<(), StreamError> {
        while !bytes.is_empty() {
            self.stream.reserve_capacity(bytes.len());
            let room = poll_fn(|cx| self.poll_room(cx)).await?;
            self.stream.send_data(bytes.split_to(room.min(bytes.len())), false)?;
        }
        Ok(())
    }

    /// How many bytes the windows and the buffer have room for.
    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Result<usize, StreamError>> {
        loop {
            match self.stream.capacity() {
                0 => {}
                room => return Poll::Ready(Ok(room)),
            }
            match ready!(self.stream.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(error.into())),
                // The peer has put an end to the stream.
                None => return Poll::Ready(Err(h2::Error::from(Reason::STREAM_CLOSED).into())),
            }
        }
    }

    pub(crate) fn finish(&mut self) {
        if !self.finished {
            self.finished = true;
            // It fails only on a stream that is over.
            let _ = self.stream.send_data(Bytes::new(), true);
        }
    }

    pub(crate) fn abandon(&mut self) {
        self.stream.send_reset(Reason::CANCEL);
    }

    /// Waits until the peer resets the stream, or the connection ends.
    pub(crate) async fn reset(&mut self) {
        let _ = poll_fn(|cx| self.stream.poll_reset(cx)).await;
    }

    /// Waits until the kernel has what was sent.
    pub(crate) async fn flushed(&mut self) {
        let (done, flushed) = oneshot::channel();
        if self.commands.send(Command::Flush(done)).is_ok() {
            let _ = flushed.await;
        }
    }
}

/// The receiving half of a stream.
#[derive(Debug)]
pub struct RecvStream {
    source: Source,
    /// Arrived and not yet given out.
    held: Bytes,
    /// The connection stays as long as somebody reads from it.
    _commands: mpsc::UnboundedSender<Command>,
}

#[derive(Debug)]
enum Source {
    /// The peer has not answered yet.
    Awaited(client::ResponseFuture),
    Open(h2::RecvStream),
    Stopped,
}

impl RecvStream {
    pub(crate) async fn read(&mut self, most: usize) -> Result<Option<Bytes>, StreamError> {
        let source = loop {
            match &mut self.source {
                Source::Awaited(answer) => {
                    let answer = answer.await?;
                    if answer.status() != StatusCode::OK {
                        self.source = Source::Stopped;
                        return Err(h2::Error::from(Reason::PROTOCOL_ERROR).into());
                    }
                    self.source = Source::Open(answer.into_body());
                }
                Source::Open(source) => break source,
                Source::Stopped => return Ok(None),
            }
        };
        while self.held.is_empty() {
            match poll_fn(|cx| source.poll_data(cx)).await {
                Some(bytes) => self.held = bytes?,
                None => return Ok(None),
            }
        }
        let piece = self.held.split_to(self.held.len().min(most));
        // What is given out makes room for as much. It fails only for more than has come.
        let _ = source.flow_control().release_capacity(piece.len());
        Ok(Some(piece))
    }

    pub(crate) fn stop(&mut self) {
        let held = std::mem::take(&mut self.held);
        if let Source::Open(mut source) = std::mem::replace(&mut self.source, Source::Stopped) {
            // As in `read`.
            let _ = source.flow_control().release_capacity(held.len());
        }
    }
}
