//! A request's body on its way from the stream to the handler.

use super::{adapter, fault, gate::Lane};
use bytes::{Buf as _, Bytes};
use h3::{error::Code, server::RequestStream};
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::sync::mpsc;

/// What goes from the pump to the body.
#[derive(Debug)]
enum Part {
    Data(Bytes),
    Trailers(HeaderMap),
    /// The body is whole. Without it the body fails, whatever became of the pump.
    End,
}

/// The two ends of a body. `length` is what the request's head says.
pub(super) fn channel(length: Option<u64>, lane: Arc<Lane>) -> (Pump, RequestBody) {
    // Bounded by the gate: the pump gets nothing to send while the handler has not taken what was sent.
    let (parts, queue) = mpsc::unbounded_channel();
    let body = RequestBody { parts: queue, lane, left: length, over: false };
    (Pump { parts, length }, body)
}

/// Reads ahead as far as the gate allows, whether or not the handler reads: so a request that is cancelled is noticed.
pub(super) struct Pump {
    parts: mpsc::UnboundedSender<Part>,
    length: Option<u64>,
}

impl Pump {
    /// Runs until the body is whole or not wanted; an error is what the stream is to be reset with.
    pub(super) async fn run(self, stream: &mut RequestStream<adapter::RecvStream, Bytes>) -> Result<(), Code> {
        let mut received = 0;
        loop {
            let data = tokio::select! {
                biased;
                () = self.parts.closed() => return Ok(()),
                data = stream.recv_data() => data.map_err(|error| fault(&error))?,
            };
            let Some(mut data) = data else { break };
            let data = data.copy_to_bytes(data.remaining());
            received += data.len() as u64;
            if self.length.is_some_and(|length| received > length) {
                return Err(Code::H3_MESSAGE_ERROR);
            }
            self.pass(Part::Data(data));
        }
        if self.length.is_some_and(|length| received != length) {
            return Err(Code::H3_MESSAGE_ERROR);
        }
        if let Some(trailers) = stream.recv_trailers().await.map_err(|error| fault(&error))? {
            self.pass(Part::Trailers(trailers));
        }
        self.pass(Part::End);
        Ok(())
    }

    fn pass(&self, part: Part) {
        // A body that was dropped is noticed at the next turn.
        let _ = self.parts.send(part);
    }
}

/// The request was reset, or its connection ended, before its body did.
#[derive(Debug, thiserror::Error)]
#[error("the request was cut off within its body")]
pub(super) struct Cut;

/// The body that the handler reads.
#[derive(Debug)]
pub(super) struct RequestBody {
    parts: mpsc::UnboundedReceiver<Part>,
    lane: Arc<Lane>,
    /// Bytes still to come, where the head says how many there are.
    left: Option<u64>,
    over: bool,
}

impl http_body::Body for RequestBody {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        if self.over {
            return Poll::Ready(None);
        }
        match ready!(self.parts.poll_recv(cx)) {
            Some(Part::Data(data)) => {
                self.lane.gate.leave(data.len());
                self.left = self.left.map(|left| left - data.len() as u64);
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
            Some(Part::Trailers(trailers)) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Some(Part::End) => {
                self.over = true;
                Poll::Ready(None)
            }
            None => {
                self.over = true;
                Poll::Ready(Some(Err(Cut)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.over
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
