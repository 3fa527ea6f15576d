//! The streams.

use super::{
    super::{
        gate::{Lane, Stage},
        sieve::{Piece, Sieve, SieveError},
    },
    lost, varint,
};
use bytes::{Buf as _, Bytes};
use h3::{
    error::Code,
    quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf},
};
use quinn::{ReadError, VarInt, WriteError};
use std::{
    ops::Range,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

/// Bytes read from a stream at once: a dozen packets for one lock of the connection. Allocated with the first read.
const READ_SIZE: usize = 16 << 10;

/// A HEADERS frame with the field `:status: 400` of QPACK's static table (RFC 9204, Appendix A, entry 67), which h3 lacks
/// an answer for: to a malformed head it only resets the stream.
const BAD_REQUEST: [u8; 6] = [0x01, 0x04, 0x00, 0x00, 0xff, 0x04];

/// The sending half of a stream.
pub(in super::super) struct SendStream {
    stream: quinn::SendStream,
    /// Of the last frame, what quinn has not taken yet: its head, and its payload where that was lent.
    writing: [Bytes; 2],
    sent: bool,
    /// Finished or reset.
    closed: bool,
    lane: Option<Arc<Lane>>,
}

impl SendStream {
    pub(super) fn new(stream: quinn::SendStream, lane: Option<Arc<Lane>>) -> Self {
        Self { stream, writing: [Bytes::new(), Bytes::new()], sent: false, closed: false, lane }
    }

    fn is_writing(&self) -> bool {
        self.writing.iter().any(|bytes| !bytes.is_empty())
    }

    fn finish(&mut self) {
        self.closed = true;
        // An error says that it was finished or reset before.
        let _ = self.stream.finish();
    }

    /// Answers a malformed head in h3's place; `false` where the client takes not even that.
    fn answer_bad_request(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let written = pin!(self.stream.write(&BAD_REQUEST)).poll(&mut cx);
        if !matches!(written, Poll::Ready(Ok(length)) if length == BAD_REQUEST.len()) {
            return false;
        }
        self.finish();
        true
    }
}

impl quic::SendStream<Bytes> for SendStream {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        while let Some(first) = self.writing.iter().position(|bytes| !bytes.is_empty()) {
            // Dropping this future loses nothing: it writes only when it is ready, and quinn keeps the waker.
            ready!(pin!(self.stream.write_chunks(&mut self.writing[first..])).poll(cx)).map_err(write_error)?;
        }
        Poll::Ready(Ok(()))
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        if self.is_writing() {
            let connection_error = ConnectionErrorIncoming::InternalError("a frame within another".into());
            return Err(StreamErrorIncoming::ConnectionErrorIncoming { connection_error });
        }
        let mut data: WriteBuf<Bytes> = data.into();
        let loan = self.lane.as_ref().and_then(|lane| lane.borrow());
        let head = data.remaining() - loan.as_ref().map_or(0, Bytes::len).min(data.remaining());
        let head = data.copy_to_bytes(head);
        self.writing = match loan {
            Some(payload) if data.chunk().as_ptr_range() == payload.as_ptr_range() => [head, payload],
            _ => [head, data.copy_to_bytes(data.remaining())],
        };
        self.sent = true;
        Ok(())
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        ready!(self.poll_ready(cx))?;
        self.finish();
        Poll::Ready(Ok(()))
    }

    fn reset(&mut self, code: u64) {
        let malformed = code == Code::H3_MESSAGE_ERROR.value();
        let in_head = self.lane.as_ref().is_some_and(|lane| matches!(lane.stage(), Stage::Head(_)));
        if malformed && in_head && !self.sent && self.answer_bad_request() {
            return;
        }
        self.closed = true;
        // An error says that it was finished or reset before.
        let _ = self.stream.reset(varint(code));
    }

    fn send_id(&self) -> StreamId {
        stream_id(self.stream.id())
    }
}

impl Drop for SendStream {
    fn drop(&mut self) {
        let Some(lane) = self.lane.clone().filter(|_| !self.closed) else { return };
        // h3 answers a head that is too large with 431 and then leaves the rest to this.
        if matches!(lane.stage(), Stage::Head(_)) && self.sent && !self.is_writing() {
            lane.end_with(Code::H3_NO_ERROR);
            return self.finish();
        }
        quic::SendStream::reset(self, lane.code().value());
    }
}

/// The receiving half of a stream.
pub(in super::super) struct RecvStream {
    stream: quinn::RecvStream,
    sieve: Sieve,
    scratch: Vec<u8>,
    /// Where in `scratch` is what was read and not sifted.
    unsifted: Range<usize>,
    state: Reading,
    lane: Option<Arc<Lane>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Open,
    /// The peer finished, or its bytes are not wanted any more.
    Ended,
    /// We refused the rest.
    Stopped,
}

/// Read after the rest was refused.
#[derive(Debug, thiserror::Error)]
#[error("the rest of the stream was refused")]
struct Refused;

impl RecvStream {
    pub(super) fn unidirectional(stream: quinn::RecvStream) -> Self {
        Self::new(stream, Sieve::unidirectional(), None)
    }

    fn new(stream: quinn::RecvStream, sieve: Sieve, lane: Option<Arc<Lane>>) -> Self {
        Self { stream, sieve, scratch: Vec::new(), unsifted: 0..0, state: Reading::Open, lane }
    }

    /// Whether the gate lets more through. While it does not, nothing is asked of quinn, which keeps the waker of whoever
    /// asked until something new comes, even past the stream's end; whoever cancels a request says so on its other half too.
    fn poll_gate(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.lane.as_ref().map_or(Poll::Ready(()), |lane| lane.gate.poll_open(cx))
    }

    fn sift(&mut self) -> Result<Option<Bytes>, SieveError> {
        let mut input = &self.scratch[self.unsifted.clone()];
        let piece = self.sieve.next(&mut input)?;
        self.unsifted.start = self.unsifted.end - input.len();
        Ok(piece.map(|piece| match piece {
            Piece::Other(bytes) => bytes,
            Piece::Data { bytes, payload } => {
                if let Some(lane) = &self.lane {
                    lane.gate.enter(payload);
                }
                bytes
            }
        }))
    }

    fn refuse(&mut self, error: SieveError) -> StreamErrorIncoming {
        if let Some(lane) = &self.lane {
            lane.end_with(error.code());
        }
        StreamErrorIncoming::Unknown(Box::new(error))
    }
}

impl quic::RecvStream for RecvStream {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        if self.state == Reading::Stopped {
            return Poll::Ready(Err(StreamErrorIncoming::Unknown(Box::new(Refused))));
        }
        loop {
            ready!(self.poll_gate(cx));
            if let Some(bytes) = self.sift().map_err(|error| self.refuse(error))? {
                return Poll::Ready(Ok(Some(bytes)));
            }
            self.scratch.resize(READ_SIZE, 0);
            let length = ready!(self.stream.poll_read(cx, &mut self.scratch)).map_err(read_error)?;
            if length == 0 {
                self.state = Reading::Ended;
                self.scratch = Vec::new();
                self.unsifted = 0..0;
                self.sieve.end().map_err(|error| self.refuse(error))?;
                return Poll::Ready(Ok(None));
            }
            self.unsifted = 0..length;
        }
    }

    fn stop_sending(&mut self, code: u64) {
        if self.state == Reading::Open {
            self.state = Reading::Stopped;
            // An error says that it came to its end already.
            let _ = self.stream.stop(varint(code));
        }
    }

    fn recv_id(&self) -> StreamId {
        stream_id(self.stream.id())
    }
}

impl Drop for RecvStream {
    fn drop(&mut self) {
        if let Some(lane) = &self.lane {
            let code = lane.code();
            quic::RecvStream::stop_sending(self, code.value());
        }
    }
}

/// Both halves. The sending one is dropped first, and may decide with what code the other is.
pub(in super::super) struct BidiStream {
    send: SendStream,
    recv: RecvStream,
}

impl BidiStream {
    pub(super) fn new(send: quinn::SendStream, recv: quinn::RecvStream, lane: Option<Arc<Lane>>) -> Self {
        let recv = RecvStream::new(recv, Sieve::bidirectional(), lane.clone());
        Self { send: SendStream::new(send, lane), recv }
    }
}

impl quic::BidiStream<Bytes> for BidiStream {
    type SendStream = SendStream;
    type RecvStream = RecvStream;

    fn split(self) -> (SendStream, RecvStream) {
        (self.send, self.recv)
    }
}

impl quic::SendStream<Bytes> for BidiStream {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_ready(cx)
    }

    fn send_data<T: Into<WriteBuf<Bytes>>>(&mut self, data: T) -> Result<(), StreamErrorIncoming> {
        self.send.send_data(data)
    }

    fn poll_finish(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), StreamErrorIncoming>> {
        self.send.poll_finish(cx)
    }

    fn reset(&mut self, code: u64) {
        self.send.reset(code);
    }

    fn send_id(&self) -> StreamId {
        self.send.send_id()
    }
}

impl quic::RecvStream for BidiStream {
    type Buf = Bytes;

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, StreamErrorIncoming>> {
        self.recv.poll_data(cx)
    }

    fn stop_sending(&mut self, code: u64) {
        self.recv.stop_sending(code);
    }

    fn recv_id(&self) -> StreamId {
        self.recv.recv_id()
    }
}

fn stream_id(id: quinn::StreamId) -> StreamId {
    StreamId::try_from(VarInt::from(id).into_inner()).expect("a QUIC stream id is a varint")
}

fn reset_by_peer(code: VarInt) -> StreamErrorIncoming {
    StreamErrorIncoming::StreamTerminated { error_code: code.into_inner() }
}

fn read_error(error: ReadError) -> StreamErrorIncoming {
    match error {
        ReadError::Reset(code) => reset_by_peer(code),
        ReadError::ConnectionLost(error) => lost(error),
        other => StreamErrorIncoming::Unknown(Box::new(other)),
    }
}

fn write_error(error: WriteError) -> StreamErrorIncoming {
    match error {
        WriteError::Stopped(code) => reset_by_peer(code),
        WriteError::ConnectionLost(error) => lost(error),
        other => StreamErrorIncoming::Unknown(Box::new(other)),
    }
}
