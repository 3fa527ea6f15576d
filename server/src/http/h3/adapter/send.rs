//! The sending half of a stream.

use super::{
    super::gate::{Lane, Stage},
    lost, reset_by_peer, stream_id, varint,
};
use bytes::{Buf as _, Bytes};
use h3::{
    error::Code,
    quic::{self, ConnectionErrorIncoming, StreamErrorIncoming, StreamId, WriteBuf},
};
use quinn::WriteError;
use std::{
    pin::pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

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

fn write_error(error: WriteError) -> StreamErrorIncoming {
    match error {
        WriteError::Stopped(code) => reset_by_peer(code),
        WriteError::ConnectionLost(error) => lost(error),
        other => StreamErrorIncoming::Unknown(Box::new(other)),
    }
}
