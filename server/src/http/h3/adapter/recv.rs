//! The receiving half of a stream.

use super::{
    super::{
        gate::Lane,
        sieve::{Piece, Sieve, SieveError},
    },
    lost, reset_by_peer, stream_id, varint,
};
use bytes::Bytes;
use h3::quic::{self, StreamErrorIncoming, StreamId};
use quinn::ReadError;
use std::{
    collections::VecDeque,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// Chunks read from a stream at once, each from one packet: about as many bytes as the gate lets in, for one lock of the
/// connection. Nothing is copied while it is held, for packets that arrive wait for it.
const READ_CHUNKS: usize = 48;

/// The receiving half of a stream.
pub(in super::super) struct RecvStream {
    stream: quinn::RecvStream,
    sieve: Sieve,
    /// What was read and h3 has not asked for. It lies in allocations of its own, so that it pins no packets.
    pieces: VecDeque<Bytes>,
    /// What is wrong behind those pieces.
    fault: Option<SieveError>,
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

    pub(super) fn new(stream: quinn::RecvStream, sieve: Sieve, lane: Option<Arc<Lane>>) -> Self {
        Self { stream, sieve, pieces: VecDeque::new(), fault: None, state: Reading::Open, lane }
    }

    /// Whether the gate lets more through. While it does not, nothing is asked of quinn, which keeps the waker of whoever
    /// asked until something new comes, even past the stream's end; whoever cancels a request says so on its other half too.
    fn poll_gate(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.lane.as_ref().map_or(Poll::Ready(()), |lane| lane.gate.poll_open(cx))
    }

    /// Reads and sifts what is there; `false` at the stream's end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, StreamErrorIncoming>> {
        let mut chunks = [const { Bytes::new() }; READ_CHUNKS];
        // Dropping this future loses nothing: it reads only when it is ready, and quinn keeps the waker.
        let read = ready!(pin!(self.stream.read_chunks(&mut chunks)).poll(cx)).map_err(read_error)?;
        let Some(count) = read else { return Poll::Ready(Ok(false)) };
        let mut body = Vec::with_capacity(count);
        for mut chunk in chunks.into_iter().take(count) {
            if let Err(fault) = self.sift(&mut chunk, &mut body) {
                self.fault = Some(fault);
                break;
            }
        }
        self.put_together(&mut body);
        Poll::Ready(Ok(true))
    }

    fn sift(&mut self, chunk: &mut Bytes, body: &mut Vec<Bytes>) -> Result<(), SieveError> {
        while let Some(piece) = self.sieve.next(chunk)? {
            match piece {
                Piece::Data(part) => body.push(part),
                Piece::Other(piece) => {
                    self.put_together(body);
                    self.pieces.push_back(piece);
                }
            }
        }
        Ok(())
    }

    /// Makes one piece of these parts of a frame.
    fn put_together(&mut self, body: &mut Vec<Bytes>) {
        if body.is_empty() {
            return;
        }
        let piece = Bytes::from(body.concat());
        body.clear();
        if let Some(lane) = &self.lane {
            lane.gate.enter(piece.len());
        }
        self.pieces.push_back(piece);
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
            if let Some(piece) = self.pieces.pop_front() {
                return Poll::Ready(Ok(Some(piece)));
            }
            if let Some(fault) = self.fault.take() {
                return Poll::Ready(Err(self.refuse(fault)));
            }
            ready!(self.poll_gate(cx));
            if !ready!(self.poll_read(cx))? {
                self.state = Reading::Ended;
                self.sieve.end().map_err(|fault| self.refuse(fault))?;
                return Poll::Ready(Ok(None));
            }
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

fn read_error(error: ReadError) -> StreamErrorIncoming {
    match error {
        ReadError::Reset(code) => reset_by_peer(code),
        ReadError::ConnectionLost(error) => lost(error),
        other => StreamErrorIncoming::Unknown(Box::new(other)),
    }
}
