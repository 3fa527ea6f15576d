//! Both halves of a stream.

use super::{
    super::{gate::Lane, sieve::Sieve},
    RecvStream, SendStream,
};
use bytes::Bytes;
use h3::quic::{self, StreamErrorIncoming, StreamId, WriteBuf};
use std::{
    sync::Arc,
    task::{Context, Poll},
};

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
