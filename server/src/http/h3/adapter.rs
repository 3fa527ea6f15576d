//! h3's view of a quinn connection: the traits of `h3::quic`, in place of the `h3-quinn` crate.
//!
//! Receiving streams read through a [`Sieve`] and, where they belong to a request, no further than its [`Gate`] allows.
//! The halves of a request that are dropped unfinished are cut off with the code in its [`Lane`].
//!
//! [`Gate`]: super::gate::Gate

mod bidi;
mod recv;
mod send;

pub(super) use bidi::BidiStream;
pub(super) use recv::RecvStream;
pub(super) use send::SendStream;

use super::gate::Lane;
use bytes::Bytes;
use futures::{
    FutureExt as _, StreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream, FuturesUnordered},
};
use h3::{
    error::Code,
    quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId},
};
use quinn::{ConnectionError, VarInt};
use std::{
    iter,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll, ready},
};

/// Streams as they come into being. quinn's own futures forget who waits when they are dropped, so one is kept.
type Arrivals<T> = BoxStream<'static, Result<T, ConnectionError>>;

type Bidi = (quinn::SendStream, quinn::RecvStream);

/// What the bridge needs of a request's stream beside what h3 gives it.
pub(super) struct Accepted {
    pub(super) lane: Arc<Lane>,
    /// Resolves when the client has all of the response, does not want it, or is gone.
    pub(super) over: Outcome,
}

/// The one future in it says how the sending half came to its end. It is looked at only when it is woken, and not whenever
/// the request is, for a look takes the connection's lock.
pub(super) type Outcome = FuturesUnordered<BoxFuture<'static, Over>>;

/// How the sending half of a stream came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    Acknowledged,
    Gone,
}

/// The request stream that h3 was given last. It gives out each before it asks for the next.
#[derive(Clone, Default)]
pub(super) struct LastAccepted(Arc<Mutex<Option<Accepted>>>);

impl LastAccepted {
    pub(super) fn take(&self) -> Option<Accepted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn set(&self, accepted: Accepted) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(accepted);
    }
}

/// One connection.
pub(super) struct Connection {
    bidi: Arrivals<Bidi>,
    uni: Arrivals<quinn::RecvStream>,
    opener: Opener,
    accepted: LastAccepted,
}

impl Connection {
    pub(super) fn new(connection: quinn::Connection) -> (Self, LastAccepted) {
        let accepted = LastAccepted::default();
        let this = Self {
            bidi: stream::unfold(connection.clone(), |it| async { Some((it.accept_bi().await, it)) }).boxed(),
            uni: stream::unfold(connection.clone(), |it| async { Some((it.accept_uni().await, it)) }).boxed(),
            opener: Opener::new(connection),
            accepted: accepted.clone(),
        };
        (this, accepted)
    }
}

impl quic::Connection<Bytes> for Connection {
    type RecvStream = RecvStream;
    type OpenStreams = Opener;

    fn poll_accept_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<RecvStream, ConnectionErrorIncoming>> {
        let stream = ready!(self.uni.poll_next_unpin(cx)).expect("unfold never ends").map_err(connection_error)?;
        Poll::Ready(Ok(RecvStream::unidirectional(stream)))
    }

    fn poll_accept_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<BidiStream, ConnectionErrorIncoming>> {
        let (send, recv) =
            ready!(self.bidi.poll_next_unpin(cx)).expect("unfold never ends").map_err(connection_error)?;
        let lane = Arc::new(Lane::new());
        let over = send.stopped().map(|stopped| if let Ok(None) = stopped { Over::Acknowledged } else { Over::Gone });
        self.accepted.set(Accepted { lane: lane.clone(), over: iter::once(over.boxed()).collect() });
        Poll::Ready(Ok(BidiStream::new(send, recv, Some(lane))))
    }

    fn opener(&self) -> Opener {
        self.opener.clone()
    }
}

/// Opens streams.
pub(super) struct Opener {
    connection: quinn::Connection,
    bidi: Arrivals<Bidi>,
    uni: Arrivals<quinn::SendStream>,
}

impl Opener {
    fn new(connection: quinn::Connection) -> Self {
        Self {
            bidi: stream::unfold(connection.clone(), |it| async { Some((it.open_bi().await, it)) }).boxed(),
            uni: stream::unfold(connection.clone(), |it| async { Some((it.open_uni().await, it)) }).boxed(),
            connection,
        }
    }
}

impl Clone for Opener {
    fn clone(&self) -> Self {
        Self::new(self.connection.clone())
    }
}

impl quic::OpenStreams<Bytes> for Opener {
    type BidiStream = BidiStream;
    type SendStream = SendStream;

    fn poll_open_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<BidiStream, StreamErrorIncoming>> {
        let (send, recv) = ready!(self.bidi.poll_next_unpin(cx)).expect("unfold never ends").map_err(lost)?;
        Poll::Ready(Ok(BidiStream::new(send, recv, None)))
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<SendStream, StreamErrorIncoming>> {
        let stream = ready!(self.uni.poll_next_unpin(cx)).expect("unfold never ends").map_err(lost)?;
        Poll::Ready(Ok(SendStream::new(stream, None)))
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.connection.close(varint(code.value()), reason);
    }
}

impl quic::OpenStreams<Bytes> for Connection {
    type BidiStream = BidiStream;
    type SendStream = SendStream;

    fn poll_open_bidi(&mut self, cx: &mut Context<'_>) -> Poll<Result<BidiStream, StreamErrorIncoming>> {
        self.opener.poll_open_bidi(cx)
    }

    fn poll_open_send(&mut self, cx: &mut Context<'_>) -> Poll<Result<SendStream, StreamErrorIncoming>> {
        self.opener.poll_open_send(cx)
    }

    fn close(&mut self, code: Code, reason: &[u8]) {
        self.opener.close(code, reason);
    }
}

fn connection_error(error: ConnectionError) -> ConnectionErrorIncoming {
    match error {
        ConnectionError::ApplicationClosed(close) => {
            ConnectionErrorIncoming::ApplicationClose { error_code: close.error_code.into_inner() }
        }
        ConnectionError::TimedOut => ConnectionErrorIncoming::Timeout,
        other => ConnectionErrorIncoming::Undefined(Arc::new(other)),
    }
}

fn lost(error: ConnectionError) -> StreamErrorIncoming {
    StreamErrorIncoming::ConnectionErrorIncoming { connection_error: connection_error(error) }
}

/// An error code on the wire. h3's are small, and one that a handler made up must not be a panic.
fn varint(code: u64) -> VarInt {
    VarInt::from_u64(code).unwrap_or(VarInt::MAX)
}

fn stream_id(id: quinn::StreamId) -> StreamId {
    StreamId::try_from(VarInt::from(id).into_inner()).expect("a QUIC stream id is a varint")
}

fn reset_by_peer(code: VarInt) -> StreamErrorIncoming {
    StreamErrorIncoming::StreamTerminated { error_code: code.into_inner() }
}
