//! Frames on streams.

use crate::stream::{RecvStream, SendStream, StreamError};
use bytes::{Buf, Bytes, BytesMut};
use hypersend_protocol::{
    frame::{Body, Frame, FrameError, FrameSet, Header, MAX_HEADER, encode},
    refusal::{ErrorCode, Refusal},
};

/// Why no frame came.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RecvError {
    /// The peer answered "no".
    #[error(transparent)]
    Refused(Refusal),
    /// What came is not a frame that may come here.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The stream ended within a frame, or before one that had to come.
    #[error("the stream ended early")]
    Ended,
    /// The stream or its connection broke.
    #[error("the stream broke")]
    Stream(#[from] StreamError),
}

/// Why a frame was not sent.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SendError {
    /// It is longer than its kind allows.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The stream or its connection broke.
    #[error("the stream broke")]
    Stream(#[from] StreamError),
}

/// Sends one frame.
pub async fn send<F: Frame>(stream: &mut SendStream, frame: &F) -> Result<(), SendError> {
    Ok(stream.write(Bytes::from(encode(frame)?)).await?)
}

/// The receiving half of a stream: frames, and raw bytes between or after them. Never reads past what was asked for
/// into its caller's hands, and loses nothing when a call is cancelled.
#[derive(Debug)]
pub struct FrameReader {
    stream: RecvStream,
    /// Read from the stream and not yet given out.
    held: BytesMut,
}

impl FrameReader {
    /// Wraps a stream from its first byte.
    pub fn new(stream: RecvStream) -> Self {
        Self { stream, held: BytesMut::new() }
    }

    /// The next frame, which has to come.
    pub async fn expect<S: FrameSet>(&mut self) -> Result<S, RecvError> {
        self.next().await?.ok_or(RecvError::Ended)
    }

    /// The next frame, or `None` where the peer finished instead. Cancel safe.
    pub async fn next<S: FrameSet>(&mut self) -> Result<Option<S>, RecvError> {
        loop {
            let wanted = match Header::parse(&self.held) {
                None => self.held.len() + 1,
                Some((header, start)) => {
                    let (Body::Read(length) | Body::Skip(length)) = header.admit::<S>()?;
                    let end = start + length;
                    if self.held.len() >= end {
                        let frame = self.held.split_to(end).freeze();
                        match header.admit::<S>()? {
                            Body::Skip(_) => continue,
                            Body::Read(_) if S::ceiling(header.kind).is_none() => {
                                return Err(RecvError::Refused(Refusal::decode(header.kind, &frame[start..])?));
                            }
                            Body::Read(_) => return Ok(Some(S::decode(header.kind, &frame[start..])?)),
                        }
                    }
                    end
                }
            };
            if !self.fill(wanted).await? {
                return if self.held.is_empty() { Ok(None) } else { Err(RecvError::Ended) };
            }
        }
    }

    /// Reads something more, up to `wanted` bytes held or a header past them; `false` at the stream's end.
    async fn fill(&mut self, wanted: usize) -> Result<bool, StreamError> {
        let missing = wanted.saturating_sub(self.held.len()).max(MAX_HEADER);
        match self.stream.read(missing).await? {
            Some(chunk) => {
                self.held.extend_from_slice(&chunk);
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// Exactly `length` raw bytes, in the pieces in which they arrived.
    pub async fn raw(&mut self, length: usize) -> Result<Vec<Bytes>, RecvError> {
        // Full packets carry about 1,400 bytes; one allocation then holds all the pieces.
        let mut pieces = Vec::with_capacity(length / 1_300 + 2);
        let mut missing = length;
        while missing > 0 {
            let piece = self.piece(missing).await?;
            missing -= piece.len();
            pieces.push(piece);
        }
        Ok(pieces)
    }

    /// The next raw bytes as they arrived: at least one, at most `most`. Cancel safe.
    pub async fn piece(&mut self, most: usize) -> Result<Bytes, RecvError> {
        if self.held.has_remaining() {
            return Ok(self.held.split_to(self.held.len().min(most)).freeze());
        }
        self.stream.read(most).await?.ok_or(RecvError::Ended)
    }

    /// Tells the peer that nothing more is read, and why.
    pub fn stop(&mut self, code: ErrorCode) {
        self.stream.stop(code);
    }
}
