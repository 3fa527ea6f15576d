//! The two halves of a stream, over either transport.

use crate::{connection::close_code, tcp};
use bytes::Bytes;
use hypersend_protocol::refusal::ErrorCode;

/// The stream or its connection broke.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StreamError {
    /// While reading from QUIC.
    #[error(transparent)]
    Read(#[from] quinn::ReadError),
    /// While writing to QUIC.
    #[error(transparent)]
    Write(#[from] quinn::WriteError),
    /// Over TCP.
    #[error(transparent)]
    Tcp(#[from] tcp::StreamError),
}

/// The sending half. Dropped unfinished, QUIC finishes it and delivers what was written; over TCP the peer hears nothing of
/// it, and a stream of which both halves are dropped is reset with whatever waits to be sent.
#[derive(Debug)]
pub enum SendStream {
    /// Over QUIC.
    Quic(quinn::SendStream),
    /// Over TCP.
    Tcp(tcp::SendStream),
}

/// The receiving half.
#[derive(Debug)]
pub enum RecvStream {
    /// Over QUIC.
    Quic(quinn::RecvStream),
    /// Over TCP.
    Tcp(tcp::RecvStream),
}

impl From<quinn::SendStream> for SendStream {
    fn from(stream: quinn::SendStream) -> Self {
        Self::Quic(stream)
    }
}

impl From<quinn::RecvStream> for RecvStream {
    fn from(stream: quinn::RecvStream) -> Self {
        Self::Quic(stream)
    }
}

impl SendStream {
    /// Sends all of these bytes, without copying them; waits for the peer's window.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), StreamError> {
        match self {
            Self::Quic(stream) => Ok(stream.write_chunk(bytes).await?),
            Self::Tcp(stream) => Ok(stream.write(bytes).await?),
        }
    }

    /// Says that nothing more follows. A stream that is over already stays as it is.
    pub fn finish(&mut self) {
        match self {
            // It fails only on a stream that was finished or reset.
            Self::Quic(stream) => {
                let _ = stream.finish();
            }
            Self::Tcp(stream) => stream.finish(),
        }
    }

    /// Gives the stream up: the peer is told that what was sent is not all there was to say.
    pub fn abandon(&mut self) {
        match self {
            // It fails only on a stream that is over.
            Self::Quic(stream) => {
                let _ = stream.reset(close_code(ErrorCode::Closed));
            }
            Self::Tcp(stream) => stream.abandon(),
        }
    }

    /// Which streams go first when there is too much to send at once; see [`hypersend_protocol::stream::priority`]. TCP
    /// keeps the order in which bytes were handed to it, so there it means nothing.
    pub fn set_priority(&self, priority: i32) {
        match self {
            // It fails only on a stream that is over.
            Self::Quic(stream) => {
                let _ = stream.set_priority(priority);
            }
            Self::Tcp(_) => {}
        }
    }

    /// Waits until the peer no longer wants what is sent.
    pub async fn unwanted(&mut self) {
        match self {
            // An unfinished stream ends by the peer's word, or with the connection.
            Self::Quic(stream) => {
                let _ = stream.stopped().await;
            }
            Self::Tcp(stream) => stream.reset().await,
        }
    }

    /// Waits until what was sent and finished survives the closing of the connection, or cannot arrive any more.
    pub async fn delivered(&mut self) {
        match self {
            // Either all is acknowledged, or the peer or the connection has put an end to it.
            Self::Quic(stream) => {
                let _ = stream.stopped().await;
            }
            Self::Tcp(stream) => stream.flushed().await,
        }
    }
}

impl RecvStream {
    /// The next bytes as they arrived, at least one and at most `most`; `None` where the peer finished. Cancel safe.
    pub async fn read(&mut self, most: usize) -> Result<Option<Bytes>, StreamError> {
        match self {
            Self::Quic(stream) => Ok(stream.read_chunk(most, true).await?.map(|chunk| chunk.bytes)),
            Self::Tcp(stream) => Ok(stream.read(most).await?),
        }
    }

    /// Tells the peer that nothing more is read. Over TCP it learns so, but not why, when the other half is over as well.
    pub fn stop(&mut self, code: ErrorCode) {
        match self {
            // An error means that the stream is over already, which is what was wanted.
            Self::Quic(stream) => {
                let _ = stream.stop(close_code(code));
            }
            Self::Tcp(stream) => stream.stop(),
        }
    }
}
