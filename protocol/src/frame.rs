//! How a frame looks on a stream, and how its bytes become a value.
//!
//! ```text
//! frame := kind (varint) | length (varint) | body (length bytes of CBOR, RFC 8949)
//! ```
//!
//! Varints are QUIC's (RFC 9000, 16). Every kind has a ceiling for its length, checked before anything is allocated. The
//! body is one map and nothing behind it. A receiver ignores unknown fields of a known frame. Of a frame of unknown kind
//! it skips an odd one (at most [`MAX_SKIPPED`] bytes) and refuses an even one: new frames that old peers may overlook
//! get odd numbers. Numbers are never used for anything else again.

use crate::{
    limit::MAX_REFUSAL_MESSAGE_BYTES,
    refusal::{ErrorCode, Refusal},
};
use cbor4ii::{
    core::{dec::Read, utils::SliceReader},
    serde::Deserializer,
};
use serde::{Serialize, de::DeserializeOwned};

/// The longest frame of unknown kind that is skipped, in bytes.
pub const MAX_SKIPPED: u64 = 64 << 10;

/// The most bytes a header takes: two varints of eight bytes.
pub const MAX_HEADER: usize = 16;

/// A frame's number on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Kind(pub u64);

impl Kind {
    /// Whether a receiver that does not know this kind may overlook it.
    pub fn is_optional(self) -> bool {
        self.0 % 2 == 1
    }
}

/// A type that travels as one frame.
pub trait Frame: Serialize + DeserializeOwned {
    /// Its number.
    const KIND: Kind;
    /// The longest body, in bytes.
    const CEILING: u32;
}

/// What may arrive at some point of a stream: one kind of frame, or several.
pub trait FrameSet: Sized {
    /// The ceiling of a kind that may arrive here; `None` for any other.
    fn ceiling(kind: Kind) -> Option<u32>;
    /// Reads the body of a kind that may arrive here.
    fn decode(kind: Kind, body: &[u8]) -> Result<Self, FrameError>;
}

impl<F: Frame> FrameSet for F {
    fn ceiling(kind: Kind) -> Option<u32> {
        (kind == F::KIND).then_some(F::CEILING)
    }

    fn decode(kind: Kind, body: &[u8]) -> Result<Self, FrameError> {
        if kind != F::KIND {
            return Err(FrameError::Unexpected(kind));
        }
        let mut cbor = Deserializer::new(SliceReader::new(body));
        let value = F::deserialize(&mut cbor).map_err(|e| malformed(kind, e.to_string()))?;
        match cbor.into_inner().fill(1).map(|rest| rest.as_ref().is_empty()) {
            Ok(true) => Ok(value),
            _ => Err(malformed(kind, "bytes after the body's only item".to_owned())),
        }
    }
}

/// The reason may quote the peer, who must not decide how long it is.
fn malformed(kind: Kind, mut reason: String) -> FrameError {
    reason.truncate(reason.floor_char_boundary(MAX_REFUSAL_MESSAGE_BYTES));
    FrameError::Malformed { kind, reason }
}

/// A call: a frame that opens a request stream, and the frame that answers it.
pub trait Operation: Frame {
    /// The answer when it is granted; a [`Refusal`] stands in its place when it is not.
    type Answer: Frame;
}

/// Bytes that are not a frame which may arrive here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A mandatory kind that is unknown, or known but out of place.
    #[error("unexpected frame of kind {0:?}")]
    Unexpected(Kind),
    /// Longer than the kind's ceiling.
    #[error("frame of kind {kind:?} has {length} bytes; at most {ceiling} are allowed")]
    TooLong {
        /// The frame's kind.
        kind: Kind,
        /// The length it claims, in bytes.
        length: u64,
        /// The kind's ceiling, in bytes.
        ceiling: u64,
    },
    /// Not CBOR, or not CBOR of this kind's fields, or a field with an unacceptable value.
    #[error("malformed frame of kind {kind:?}: {reason}")]
    Malformed {
        /// The frame's kind.
        kind: Kind,
        /// What the decoder or the field's parser said.
        reason: String,
    },
}

impl From<FrameError> for Refusal {
    fn from(error: FrameError) -> Self {
        let message = error.to_string();
        match error {
            FrameError::Unexpected(_) => Self::new(ErrorCode::UnexpectedFrame, message),
            FrameError::TooLong { ceiling, .. } => Self::new(ErrorCode::FrameTooLong, message).with_limit(ceiling),
            FrameError::Malformed { .. } => Self::new(ErrorCode::BadFrame, message),
        }
    }
}

/// The two numbers before a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The frame's kind.
    pub kind: Kind,
    /// The body's length, in bytes.
    pub length: u64,
}

/// What to do with the body that follows a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Body {
    /// Read that many bytes and decode them.
    Read(usize),
    /// Read that many bytes and forget them.
    Skip(usize),
}

impl Header {
    /// Reads a header from the front of `bytes`: the header and its length, or `None` when more bytes are needed.
    pub fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let (kind, first) = varint(bytes)?;
        let (length, second) = varint(&bytes[first..])?;
        Some((Self { kind: Kind(kind), length }, first + second))
    }

    /// Decides, before anything is allocated, what becomes of the body.
    pub fn admit<S: FrameSet>(self) -> Result<Body, FrameError> {
        let (ceiling, known) = match S::ceiling(self.kind) {
            Some(ceiling) => (u64::from(ceiling), true),
            None if self.kind == Refusal::KIND => (u64::from(Refusal::CEILING), true),
            None if self.kind.is_optional() => (MAX_SKIPPED, false),
            None => return Err(FrameError::Unexpected(self.kind)),
        };
        if self.length > ceiling {
            return Err(FrameError::TooLong { kind: self.kind, length: self.length, ceiling });
        }
        let length = usize::try_from(self.length).expect("a ceiling fits in memory");
        Ok(if known { Body::Read(length) } else { Body::Skip(length) })
    }
}

/// Writes one frame, header and body.
///
/// # Errors
/// [`FrameError::TooLong`] when the value exceeds its own ceiling: the caller built it from more than the limits allow.
pub fn encode<F: Frame>(frame: &F) -> Result<Vec<u8>, FrameError> {
    let body = cbor4ii::serde::to_vec(Vec::with_capacity(128), frame)
        .map_err(|e| FrameError::Malformed { kind: F::KIND, reason: e.to_string() })?;
    if body.len() > F::CEILING as usize {
        return Err(FrameError::TooLong { kind: F::KIND, length: body.len() as u64, ceiling: F::CEILING.into() });
    }
    let mut bytes = Vec::with_capacity(MAX_HEADER + body.len());
    put_varint(F::KIND.0, &mut bytes);
    put_varint(body.len() as u64, &mut bytes);
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// Reads a QUIC varint (RFC 9000, 16) from the front of `bytes`: its value and its length.
fn varint(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let length = 1 << (first >> 6);
    let rest = bytes.get(1..length)?;
    let value = rest.iter().fold(u64::from(first & 0x3f), |value, &byte| value << 8 | u64::from(byte));
    Some((value, length))
}

fn put_varint(value: u64, out: &mut Vec<u8>) {
    let bytes = value.to_be_bytes();
    match value {
        0..=0x3f => out.push(bytes[7]),
        0x40..=0x3fff => out.extend([0x40 | bytes[6], bytes[7]]),
        0x4000..=0x3fff_ffff => out.extend([0x80 | bytes[4], bytes[5], bytes[6], bytes[7]]),
        _ => {
            debug_assert!(value < 1 << 62, "no kind or length reaches 2^62");
            out.extend(bytes);
            let first = out.len() - 8;
            out[first] |= 0xc0;
        }
    }
}

/// Declares the number and the ceiling (bytes) of a frame, and the answer of an operation.
macro_rules! frame {
    ($type:ty, $kind:expr, $ceiling:expr) => {
        impl $crate::frame::Frame for $type {
            const KIND: $crate::frame::Kind = $kind;
            const CEILING: u32 = $ceiling;
        }
    };
    ($type:ty, $kind:expr, $ceiling:expr => $answer:ty) => {
        $crate::frame::frame!($type, $kind, $ceiling);
        impl $crate::frame::Operation for $type {
            type Answer = $answer;
        }
    };
}
pub(crate) use frame;

/// Declares an enum of frames, one arm each, any of which may arrive at some point of a stream.
macro_rules! frame_set {
    ($(#[$doc:meta])* pub enum $set:ident { $($(#[$arm_doc:meta])* $arm:ident,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub enum $set {
            $($(#[$arm_doc])* $arm($arm),)+
        }

        impl $crate::frame::FrameSet for $set {
            fn ceiling(kind: $crate::frame::Kind) -> Option<u32> {
                use $crate::frame::Frame;
                $(if kind == $arm::KIND { return Some($arm::CEILING); })+
                None
            }

            fn decode(kind: $crate::frame::Kind, body: &[u8]) -> Result<Self, $crate::frame::FrameError> {
                use $crate::frame::{Frame, FrameError, FrameSet};
                $(if kind == $arm::KIND { return <$arm as FrameSet>::decode(kind, body).map(Self::$arm); })+
                Err(FrameError::Unexpected(kind))
            }
        }

        $(impl From<$arm> for $set {
            fn from(frame: $arm) -> Self {
                Self::$arm(frame)
            }
        })+
    };
}
pub(crate) use frame_set;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn varints_round_trip_in_their_shortest_form(value in 0u64..1 << 62) {
            let mut bytes = Vec::new();
            put_varint(value, &mut bytes);
            prop_assert_eq!(varint(&bytes), Some((value, bytes.len())));
            for cut in 0..bytes.len() {
                prop_assert_eq!(varint(&bytes[..cut]), None);
            }
        }
    }

    #[test]
    fn varints_match_the_examples_of_rfc_9000() {
        for (value, bytes) in [
            (37, &[0x25][..]),
            (15_293, &[0x7b, 0xbd]),
            (494_878_333, &[0x9d, 0x7f, 0x3e, 0x7d]),
            (151_288_809_941_952_652, &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c]),
        ] {
            assert_eq!(varint(bytes), Some((value, bytes.len())));
            let mut out = Vec::new();
            put_varint(value, &mut out);
            assert_eq!(out, bytes);
        }
    }

    #[test]
    fn a_body_is_admitted_up_to_its_ceiling_and_no_further() {
        let header = |kind, length| Header { kind, length };
        let ceiling = u64::from(Refusal::CEILING);
        assert_eq!(header(Refusal::KIND, ceiling).admit::<Refusal>(), Ok(Body::Read(Refusal::CEILING as usize)));
        assert!(matches!(header(Refusal::KIND, ceiling + 1).admit::<Refusal>(), Err(FrameError::TooLong { .. })));
        let odd = Kind(0x3fff_ffff);
        assert_eq!(header(odd, MAX_SKIPPED).admit::<Refusal>(), Ok(Body::Skip(64 << 10)));
        assert!(matches!(header(odd, MAX_SKIPPED + 1).admit::<Refusal>(), Err(FrameError::TooLong { .. })));
        assert_eq!(header(Kind(0x3fff_fffe), 0).admit::<Refusal>(), Err(FrameError::Unexpected(Kind(0x3fff_fffe))));
    }
}
