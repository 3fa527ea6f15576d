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
    pin::pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

/// Chunks read from a stream at once, each from one packet: 45 KiB or so, for one lock of the connection. Nothing is copied
/// while it is held, for packets that arrive wait for it.
const READ_CHUNKS: usize = 32;

/// The receiving half of a stream.
pub(in super::super) struct RecvStream {
    stream: quinn::RecvStream,
    sieve: Sieve,
    /// What was read and not sifted, in an allocation of its own, so that it pins no packets.
    unsifted: Bytes,
    /// How long that was when it was read.
    read: usize,
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
        Self { stream, sieve, unsifted: Bytes::new(), read: 0, state: Reading::Open, lane }
    }

    /// Whether the gate lets more through. While it does not, nothing is asked of quinn, which keeps the waker of whoever
    /// asked until something new comes, even past the stream's end; whoever cancels a request says so on its other half too.
    fn poll_gate(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.lane.as_ref().map_or(Poll::Ready(()), |lane| lane.gate.poll_open(cx))
    }

    fn sift(&mut self) -> Result<Option<Bytes>, SieveError> {
        let piece = self.sieve.next(&mut self.unsifted)?;
        Ok(piece.map(|piece| match piece {
            Piece::Other(bytes) => bytes,
            Piece::Data(part) => {
                if let Some(lane) = &self.lane {
                    lane.gate.enter(part.len());
                }
                // A small part is copied, for else it would keep alive all that was read with it, which the gate does not count.
                if part.len() < self.read / 2 { Bytes::copy_from_slice(&part) } else { part }
            }
        }))
    }

    /// Reads what is there; `false` at the stream's end.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<bool, StreamErrorIncoming>> {
        let mut chunks = [const { Bytes::new() }; READ_CHUNKS];
        // Dropping this future loses nothing: it reads only when it is ready, and quinn keeps the waker.
        let read = ready!(pin!(self.stream.read_chunks(&mut chunks)).poll(cx)).map_err(read_error)?;
        let Some(count) = read else { return Poll::Ready(Ok(false)) };
        self.unsifted = Bytes::from(chunks[..count].concat());
        self.read = self.unsifted.len();
        Poll::Ready(Ok(true))
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
            if let Some(piece) = self.sift().map_err(|error| self.refuse(error))? {
                return Poll::Ready(Ok(Some(piece)));
            }
            if !ready!(self.poll_read(cx))? {
                self.state = Reading::Ended;
                self.sieve.end().map_err(|error| self.refuse(error))?;
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

#[cfg(test)]
mod tests {
    use super::{
        super::super::{gate, tests::setup::Server},
        *,
    };
    use h3::quic::RecvStream as _;
    use std::{task::Waker, time::Duration};

    /// A stream on which these bytes have arrived, and what keeps it open.
    async fn arrived(bytes: &[u8]) -> (RecvStream, Arc<Lane>, impl Sized + use<>) {
        let server = Server::bare();
        let accept = async { server.endpoint.accept().await.unwrap().await.unwrap() };
        let (client, accepted) = tokio::join!(server.connect(), accept);
        let (mut out, answer) = client.open_bi().await.unwrap();
        out.write_all(bytes).await.unwrap();
        let (back, stream) = accepted.accept_bi().await.unwrap();
        while accepted.stats().udp_rx.bytes < bytes.len() as u64 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let lane = Arc::new(Lane::new());
        let stream = RecvStream::new(stream, Sieve::bidirectional(), Some(lane.clone()));
        (stream, lane, (server, client, accepted, out, answer, back))
    }

    /// The next piece, if there is one without waiting.
    fn piece(stream: &mut RecvStream) -> Option<Bytes> {
        match stream.poll_data(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(read) => read.unwrap(),
            Poll::Pending => None,
        }
    }

    #[tokio::test]
    async fn of_what_was_read_no_more_is_handed_on_than_the_gate_lets_through() {
        let (mut stream, lane, _open) = arrived(&b"\x00\x01x".repeat(20_000)).await;
        while piece(&mut stream).is_some() {}
        let held = lane.gate.held();
        assert!((gate::LIMIT..=gate::LIMIT + 1 + gate::PIECE_COST).contains(&held), "{held} bytes are held");
    }

    #[tokio::test]
    async fn a_small_part_does_not_keep_all_that_was_read_with_it() {
        let skipped = [b"\x00\x01x\x21\x44\x00".as_slice(), &[0; 1_024]].concat();
        let (mut stream, _lane, _open) = arrived(&skipped.repeat(4)).await;
        let parts: Vec<Bytes> = std::iter::from_fn(|| piece(&mut stream)).collect();
        assert_eq!(parts.iter().filter(|part| *part == b"x".as_slice()).count(), 4);
        assert!(parts.iter().all(Bytes::is_unique));
    }
}
