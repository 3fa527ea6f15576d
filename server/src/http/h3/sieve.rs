//! What of a stream's bytes reaches h3. Reads no stream and keeps no clock: bytes go in, pieces come out.
//!
//! h3 0.0.8 gathers every frame but DATA whole, however long it says it is and whether or not it is known; takes an empty
//! DATA frame for the end of the body, and a stream that ends within a DATA frame for a complete one. So here frames that
//! have no meaning (RFC 9114, 7.2.8 and 9) and empty DATA frames are left out, long ones and cut ones are errors, and
//! frames other than DATA are handed on whole.
//!
//! A DATA frame's head is a piece and its payload others, so that h3 gives these back as they are and the gate counts them
//! exactly.

use bytes::{Buf as _, Bytes, BytesMut};
use h3::error::Code;

/// The longest frame but DATA. Four times the limit of a header section, so that a head which is too large by an honest
/// mistake is answered with 431 and only an absurd one costs the stream.
pub(super) const MAX_FRAME: u64 = 4 * super::MAX_HEADER_SECTION;

const DATA: u64 = 0x00;
/// HEADERS, `CANCEL_PUSH`, SETTINGS, `PUSH_PROMISE`, GOAWAY, `MAX_PUSH_ID`, and the four of HTTP/2 that h3 has to refuse.
const KNOWN: [u64; 10] = [0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0d];

/// The stream type of a control stream; on streams of other types come no frames that h3 would read.
const CONTROL: u64 = 0x00;

/// A stream that h3 is not to see more of.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum SieveError {
    #[error("a frame of type {kind:#x} announces {length} bytes")]
    TooLong { kind: u64, length: u64 },
    #[error("the stream ended within a frame")]
    Truncated,
}

impl SieveError {
    /// What the peer is told.
    pub(super) fn code(&self) -> Code {
        match self {
            Self::TooLong { .. } => Code::H3_EXCESSIVE_LOAD,
            Self::Truncated => Code::H3_REQUEST_INCOMPLETE,
        }
    }
}

/// What h3 gets to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// A frame, the head of a DATA frame, or other bytes that are no body.
    Other(Bytes),
    /// Body: a part of the input, whose memory it shares.
    Data(Bytes),
}

/// The state of one receiving stream.
#[derive(Debug)]
pub(super) struct Sieve(State);

#[derive(Debug)]
enum State {
    /// Within the type of a unidirectional stream.
    StreamType(Held),
    /// Within a frame's type and length.
    FrameHead(Held),
    /// Within the payload of a DATA frame.
    Data { left: u64 },
    /// Within a frame without meaning.
    Skip { left: u64 },
    /// Within a frame that h3 gets whole.
    Gather { frame: BytesMut, left: usize },
    /// Behind the type of a stream that has no frames.
    Raw,
}

impl Sieve {
    /// For a stream of frames.
    pub(super) fn bidirectional() -> Self {
        Self(State::FrameHead(Held::default()))
    }

    /// For a stream that begins with its type.
    pub(super) fn unidirectional() -> Self {
        Self(State::StreamType(Held::default()))
    }

    /// Takes bytes from the front of `input` until they make a piece; `None` when there are not enough.
    pub(super) fn next(&mut self, input: &mut Bytes) -> Result<Option<Piece>, SieveError> {
        while !input.is_empty() {
            if let Some(piece) = self.step(input)? {
                return Ok(Some(piece));
            }
        }
        Ok(None)
    }

    /// Whether the stream may end here.
    pub(super) fn end(&self) -> Result<(), SieveError> {
        match &self.0 {
            State::FrameHead(held) | State::StreamType(held) if held.is_empty() => Ok(()),
            State::Raw => Ok(()),
            _ => Err(SieveError::Truncated),
        }
    }

    fn step(&mut self, input: &mut Bytes) -> Result<Option<Piece>, SieveError> {
        match &mut self.0 {
            State::StreamType(held) => {
                held.push(input.get_u8());
                let Some([kind]) = held.varints() else { return Ok(None) };
                let bytes = Bytes::copy_from_slice(held.bytes());
                self.0 = if kind == CONTROL { State::FrameHead(Held::default()) } else { State::Raw };
                Ok(Some(Piece::Other(bytes)))
            }
            State::FrameHead(held) => {
                held.push(input.get_u8());
                let Some([kind, length]) = held.varints() else { return Ok(None) };
                let head = *held;
                self.0 = State::of_frame(kind, length, held)?;
                Ok(match &mut self.0 {
                    // A known frame without payload is complete with its head.
                    State::Gather { frame, left: 0 } => {
                        let frame = frame.split().freeze();
                        self.0 = State::FrameHead(Held::default());
                        Some(Piece::Other(frame))
                    }
                    State::Data { .. } => Some(Piece::Other(Bytes::copy_from_slice(head.bytes()))),
                    _ => None,
                })
            }
            State::Data { left } => {
                let payload = take(input, *left);
                *left -= payload.len() as u64;
                if *left == 0 {
                    self.0 = State::FrameHead(Held::default());
                }
                Ok(Some(Piece::Data(payload)))
            }
            State::Skip { left } => {
                *left -= take(input, *left).len() as u64;
                if *left == 0 {
                    self.0 = State::FrameHead(Held::default());
                }
                Ok(None)
            }
            State::Gather { frame, left } => {
                let payload = take(input, *left as u64);
                frame.extend_from_slice(&payload);
                *left -= payload.len();
                if *left > 0 {
                    return Ok(None);
                }
                let frame = frame.split().freeze();
                self.0 = State::FrameHead(Held::default());
                Ok(Some(Piece::Other(frame)))
            }
            State::Raw => Ok(Some(Piece::Other(Bytes::copy_from_slice(&std::mem::take(input))))),
        }
    }
}

impl State {
    fn of_frame(kind: u64, length: u64, head: &Held) -> Result<Self, SieveError> {
        if kind == DATA {
            return Ok(if length == 0 { Self::FrameHead(Held::default()) } else { Self::Data { left: length } });
        }
        if !KNOWN.contains(&kind) {
            return Ok(if length == 0 { Self::FrameHead(Held::default()) } else { Self::Skip { left: length } });
        }
        let left = usize::try_from(length).unwrap_or(usize::MAX);
        if length > MAX_FRAME {
            return Err(SieveError::TooLong { kind, length });
        }
        // Grows with what arrives, not with what is announced.
        Ok(Self::Gather { frame: BytesMut::from(head.bytes()), left })
    }
}

/// The first bytes of a stream or of a frame, until they can be understood: two varints at most.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    bytes: [u8; 16],
    len: usize,
}

impl Held {
    fn push(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The varints held, once all of them are complete.
    fn varints<const N: usize>(&self) -> Option<[u64; N]> {
        let mut rest = self.bytes();
        let mut values = [0; N];
        for value in &mut values {
            *value = varint(&mut rest)?;
        }
        Some(values)
    }
}

/// Takes a variable-length integer (RFC 9000, 16), if it is complete.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let first = *bytes.first()?;
    let length = 1 << (first >> 6);
    let (encoded, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    Some(encoded[1..].iter().fold(u64::from(first & 0x3f), |value, byte| value << 8 | u64::from(*byte)))
}

fn take(input: &mut Bytes, most: u64) -> Bytes {
    input.split_to(usize::try_from(most).unwrap_or(usize::MAX).min(input.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sift(sieve: &mut Sieve, input: &[u8]) -> Result<Vec<Piece>, SieveError> {
        let (mut input, mut pieces) = (Bytes::copy_from_slice(input), Vec::new());
        while let Some(piece) = sieve.next(&mut input)? {
            pieces.push(piece);
        }
        assert!(input.is_empty());
        Ok(pieces)
    }

    fn other(bytes: &'static [u8]) -> Piece {
        Piece::Other(Bytes::from_static(bytes))
    }

    fn data(bytes: &'static [u8]) -> Piece {
        Piece::Data(Bytes::from_static(bytes))
    }

    /// HEADERS of two bytes, a reserved frame, an empty DATA frame, DATA of three bytes.
    const REQUEST: &[u8] = b"\x01\x02hh\x21\x04skip\x00\x00\x00\x03abc";

    #[test]
    fn frames_without_meaning_are_left_out() {
        let mut sieve = Sieve::bidirectional();
        let pieces = sift(&mut sieve, REQUEST).unwrap();
        assert_eq!(pieces, [other(b"\x01\x02hh"), other(b"\x00\x03"), data(b"abc")]);
        assert_eq!(sieve.end(), Ok(()));
    }

    #[test]
    fn the_cut_of_the_input_changes_only_the_pieces_of_data() {
        let mut sieve = Sieve::bidirectional();
        let pieces: Vec<Piece> = REQUEST.iter().flat_map(|byte| sift(&mut sieve, &[*byte]).unwrap()).collect();
        let head = [other(b"\x01\x02hh"), other(b"\x00\x03")];
        assert_eq!(pieces, [&head[..], &[data(b"a"), data(b"b"), data(b"c")]].concat());
    }

    #[test]
    fn a_stream_must_not_end_within_a_frame() {
        for end in [1, 3, 5, 7, 13, 15, 16] {
            let mut sieve = Sieve::bidirectional();
            sift(&mut sieve, &REQUEST[..end]).unwrap();
            assert_eq!(sieve.end(), Err(SieveError::Truncated), "after {end} bytes");
        }
    }

    #[test]
    fn a_long_frame_is_refused_when_it_is_announced() {
        let announced = Sieve::bidirectional().next(&mut Bytes::from_static(b"\x01\xc0\x00\x00\x00\x40\x00\x00\x00"));
        assert_eq!(announced, Err(SieveError::TooLong { kind: 1, length: 1 << 30 }));
    }

    #[test]
    fn control_streams_have_frames_and_others_pass() {
        let mut control = Sieve::unidirectional();
        assert_eq!(sift(&mut control, b"\x00\x04\x00").unwrap(), [other(b"\x00"), other(b"\x04\x00")]);
        let mut qpack = Sieve::unidirectional();
        assert_eq!(sift(&mut qpack, b"\x02\x01\x02\x03").unwrap(), [other(b"\x02"), other(b"\x01\x02\x03")]);
        assert_eq!(qpack.end(), Ok(()));
    }
}
