//! The task that moves a connection.

use super::{Connection, Shared, Streams, pulse::Pulse, reason, watched::Activity};
use crate::connection::Closed;
use bytes::Bytes;
use h2::{PingPong, client, server};
use http::Response;
use hypersend_protocol::refusal::ErrorCode;
use std::{
    future::poll_fn,
    net::SocketAddr,
    pin::Pin,
    sync::{Arc, atomic::AtomicU64},
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::{mpsc, oneshot, watch},
    time::{Sleep, sleep},
};
use tokio_util::sync::PollSender;

/// What moves a connection, until its end.
pub type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A stream that the peer has opened.
pub(super) type Opened = (h2::SendStream<Bytes>, h2::RecvStream);

/// How long a connection that is closed may take to hand its last bytes to the kernel.
const FAREWELL: Duration = Duration::from_secs(1);

/// What handles and streams ask for.
#[derive(Debug)]
pub(super) enum Command {
    /// To close, and to say why.
    Close(ErrorCode),
    /// To hear when everything handed over so far is with the kernel.
    Flush(oneshot::Sender<()>),
    /// To take so many unread bytes.
    Widen(u32),
}

/// One side of a connection.
pub(super) trait Side: Send + 'static {
    /// Moves it until it is over.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>>;

    /// Sets how many unread bytes it takes.
    fn widen(&mut self, window: u32);

    /// Tells the peer that it is over; `false` where that goes without saying.
    fn go_away(&mut self, code: ErrorCode) -> bool;

    /// The means to ask whether the peer is there, where it is this side that asks.
    fn ping_pong(&mut self) -> Option<PingPong>;
}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Side for client::Connection<T, Bytes> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        Pin::new(self).poll(cx)
    }

    fn widen(&mut self, window: u32) {
        self.set_target_window_size(window);
    }

    fn go_away(&mut self, _: ErrorCode) -> bool {
        false
    }

    fn ping_pong(&mut self) -> Option<PingPong> {
        client::Connection::ping_pong(self)
    }
}

/// The server's side, which gives out the streams that come.
pub(super) struct Accepting<T> {
    connection: server::Connection<T, Bytes>,
    streams: PollSender<Opened>,
}

impl<T> Accepting<T> {
    pub(super) fn new(connection: server::Connection<T, Bytes>, streams: mpsc::Sender<Opened>) -> Self {
        Self { connection, streams: PollSender::new(streams) }
    }
}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Side for Accepting<T> {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), h2::Error>> {
        loop {
            // With no room for another, the connection is moved without taking one.
            let Poll::Ready(Ok(())) = self.streams.poll_reserve(cx) else {
                return self.connection.poll_closed(cx);
            };
            match ready!(self.connection.poll_accept(cx)) {
                Some(Ok((request, mut respond))) => {
                    // A stream that is reset already cannot be answered, and nobody misses it.
                    if let Ok(stream) = respond.send_response(Response::new(()), false) {
                        let _ = self.streams.send_item((stream, request.into_body()));
                    }
                }
                Some(Err(error)) => return Poll::Ready(Err(error)),
                None => return Poll::Ready(Ok(())),
            }
        }
    }

    fn widen(&mut self, window: u32) {
        self.connection.set_target_window_size(window);
    }

    fn go_away(&mut self, code: ErrorCode) -> bool {
        self.connection.abrupt_shutdown(reason(code));
        true
    }

    fn ping_pong(&mut self) -> Option<PingPong> {
        None
    }
}

/// Moves a connection and does what its handles ask for.
pub(super) struct Driver<S> {
    side: S,
    activity: Activity,
    pulse: Pulse,
    commands: mpsc::UnboundedReceiver<Command>,
    flushes: Vec<oneshot::Sender<()>>,
    closing: Option<Closing>,
    ended: watch::Sender<Option<Closed>>,
}

struct Closing {
    code: ErrorCode,
    is_told: bool,
    deadline: Pin<Box<Sleep>>,
}

/// The handles' end of a driver.
pub(super) struct Handle {
    commands: mpsc::UnboundedSender<Command>,
    ended: watch::Receiver<Option<Closed>>,
    round_trip: Arc<AtomicU64>,
}

impl Handle {
    pub(super) fn with(self, peer: SocketAddr, streams: Streams) -> Connection {
        let Self { commands, ended, round_trip } = self;
        Connection(Arc::new(Shared { peer, commands, ended, streams, round_trip }))
    }
}

impl<S: Side> Driver<S> {
    pub(super) fn new(mut side: S, activity: Activity, round_trip: Duration) -> (Handle, Self) {
        let (sender, commands) = mpsc::unbounded_channel();
        let (ended, over) = watch::channel(None);
        let micros = u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX);
        let round_trip = Arc::new(AtomicU64::new(micros));
        let pulse = Pulse::new(activity.clone(), side.ping_pong(), round_trip.clone());
        let driver = Self { side, activity, pulse, commands, flushes: Vec::new(), closing: None, ended };
        (Handle { commands: sender, ended: over, round_trip }, driver)
    }

    pub(super) fn run(mut self) -> Running {
        Box::pin(async move {
            let closed = poll_fn(|cx| self.poll(cx)).await;
            // The socket first: who hears of the end may look for it.
            drop(self.side);
            self.ended.send_replace(Some(closed));
        })
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Closed> {
        self.take_commands(cx);
        loop {
            if let Poll::Ready(over) = self.side.poll(cx) {
                return Poll::Ready(match (over, &self.closing) {
                    (_, Some(_)) => Closed::Here,
                    (Ok(()), None) => Closed::Lost("the other side ended the connection".to_owned()),
                    (Err(error), None) => error.into(),
                });
            }
            if self.activity.is_stuck() {
                break;
            }
            // What was handed over before this round is with the kernel.
            for flushed in self.flushes.drain(..) {
                let _ = flushed.send(());
            }
            match &mut self.closing {
                Some(closing) if !closing.is_told => {
                    closing.is_told = true;
                    if !self.side.go_away(closing.code) {
                        return Poll::Ready(Closed::Here);
                    }
                }
                _ => break,
            }
        }
        if let Some(closing) = &mut self.closing
            && closing.deadline.as_mut().poll(cx).is_ready()
        {
            return Poll::Ready(Closed::Here);
        }
        ready!(self.pulse.poll_stopped(cx));
        Poll::Ready(Closed::Lost("the other side has fallen silent".to_owned()))
    }

    fn take_commands(&mut self, cx: &mut Context<'_>) {
        while self.closing.is_none()
            && let Poll::Ready(command) = self.commands.poll_recv(cx)
        {
            match command {
                Some(Command::Flush(done)) => self.flushes.push(done),
                Some(Command::Widen(window)) => self.side.widen(window),
                Some(Command::Close(code)) => self.close(code),
                // Nobody is left who could ask for anything.
                None => self.close(ErrorCode::Closed),
            }
        }
    }

    fn close(&mut self, code: ErrorCode) {
        self.closing = Some(Closing { code, is_told: false, deadline: Box::pin(sleep(FAREWELL)) });
    }
}
