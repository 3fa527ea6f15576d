//! Request bodies on their way into an upload, range by range.
//!
//! A body is read as fast as its ranges are stored, each of which needs a place in memory first.

use super::{
    patient::Stalled,
    places::{PLACE_WITHIN, Place, Places},
    problem::Problem,
    state::HttpState,
};
use crate::services::UploadHandle;
use bytes::Bytes;
use data_encoding::BASE64;
use futures::StreamExt;
use http::{HeaderMap, HeaderName, StatusCode};
use hypersend_protocol::{
    id::{ChunkIndex, UserId},
    refusal::{ErrorCode, Refusal},
};
use hypersend_transfer::plan::Span;
use sha2::{Digest, Sha256};
use std::time::Duration;
use tokio::time::timeout;

/// Ranges of request bodies in memory at once: 128 MiB, of which a hundred browsers on slow lines have one each.
pub(super) const RANGES_AT_ONCE: usize = 128;

/// How many of them may be one user's.
pub(super) const RANGES_PER_USER: usize = 32;

/// How long a range may take, however steadily it drips: 1 MiB at 47 kbit/s.
pub(super) const RANGE_WITHIN: Duration = Duration::from_mins(3);

const CONTENT_DIGEST: HeaderName = HeaderName::from_static("content-digest");

/// A body being read, held to the digest that it came with (RFC 9530).
pub(super) struct Body {
    stream: axum::body::BodyDataStream,
    /// Read and not yet asked for.
    rest: Bytes,
    digest: Option<(Sha256, [u8; 32])>,
}

impl Body {
    /// A request's body and headers.
    pub(super) fn new(body: axum::body::Body, headers: &HeaderMap) -> Result<Self, Problem> {
        let digest = expected_digest(headers)?.map(|expected| (Sha256::new(), expected));
        Ok(Self { stream: body.into_data_stream(), rest: Bytes::new(), digest })
    }

    /// A request's body whose digest, if it has one, is somebody else's affair.
    pub(super) fn unchecked(body: axum::body::Body) -> Self {
        Self { stream: body.into_data_stream(), rest: Bytes::new(), digest: None }
    }

    /// The next bytes, `most` at most; none at the end.
    pub(super) async fn piece(&mut self, most: usize) -> Result<Option<Bytes>, Problem> {
        while self.rest.is_empty() {
            match self.next().await? {
                None => return Ok(None),
                Some(piece) => self.rest = piece,
            }
        }
        Ok(Some(self.rest.split_to(self.rest.len().min(most))))
    }

    /// Exactly so many bytes, in the pieces in which they came.
    async fn take(&mut self, length: u32) -> Result<Vec<Bytes>, Problem> {
        let (mut pieces, mut missing) = (Vec::new(), length as usize);
        while missing > 0 {
            let ended = || Problem::invalid("the body ended early; send it again");
            let piece = self.piece(missing).await?.ok_or_else(ended)?;
            missing -= piece.len();
            if let Some((digest, _)) = &mut self.digest {
                digest.update(&piece);
            }
            pieces.push(piece);
        }
        Ok(pieces)
    }

    /// Checks that nothing more comes, and that what came has the digest that was said.
    pub(super) async fn end(mut self) -> Result<(), Problem> {
        self.check().await
    }

    async fn check(&mut self) -> Result<(), Problem> {
        if !self.rest.is_empty() || self.next().await?.is_some_and(|more| !more.is_empty()) {
            return Err(Problem::invalid("the body is longer than what it is for"));
        }
        let Some((digest, expected)) = self.digest.take() else { return Ok(()) };
        if <[u8; 32]>::from(digest.finalize()) == expected {
            return Ok(());
        }
        let message = "the body does not have the digest in Content-Digest; send it again";
        Err(Refusal::new(ErrorCode::HashMismatch, message).into())
    }

    async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        match self.stream.next().await {
            None => Ok(None),
            Some(Ok(piece)) => Ok(Some(piece)),
            Some(Err(error)) if Stalled::is_cause_of(&error) => Err(Problem::stalled()),
            Some(Err(_)) => Err(Problem::invalid("the body broke off; send it again")),
        }
    }
}

/// Stores one chunk from the body, which may go on behind it.
pub(super) async fn chunk(
    state: &HttpState,
    handle: &UploadHandle,
    chunk: ChunkIndex,
    body: &mut Body,
) -> Result<(), Problem> {
    for span in handle.plan().ranges(chunk) {
        range(state, handle, span, body, false).await?;
    }
    Ok(())
}

/// Stores one chunk that is all of the body. Its last range is stored when the digest has been found right: what is not
/// what was meant never makes a chunk.
pub(super) async fn whole_chunk(
    state: &HttpState,
    handle: &UploadHandle,
    chunk: ChunkIndex,
    mut body: Body,
) -> Result<(), Problem> {
    let mut spans = handle.plan().ranges(chunk).peekable();
    while let Some(span) = spans.next() {
        range(state, handle, span, &mut body, spans.peek().is_none()).await?;
    }
    Ok(())
}

async fn range(
    state: &HttpState,
    handle: &UploadHandle,
    span: Span,
    body: &mut Body,
    is_last: bool,
) -> Result<(), Problem> {
    let _place = place(state.ranges(), handle.owner()).await?;
    let pieces = timeout(RANGE_WITHIN, body.take(span.length)).await.map_err(|_| Problem::stalled())??;
    if is_last {
        body.check().await?;
    }
    handle.put(span, None, pieces).await?;
    Ok(())
}

/// A place among those that there are.
pub(super) async fn place(places: &Places, user: UserId) -> Result<Place, Problem> {
    places.take(user).await.ok_or_else(|| busy("uploads"))
}

/// Too many at once.
pub(super) fn busy(what: &str) -> Problem {
    let refusal = Refusal::new(ErrorCode::Unavailable, format!("too many {what} at once; try again in a moment"));
    Problem::with_status(StatusCode::SERVICE_UNAVAILABLE, refusal.with_retry_after(PLACE_WITHIN))
}

/// The SHA-256 of `Content-Digest`; other algorithms are none of ours (RFC 9530, 2).
pub(super) fn expected_digest(headers: &HeaderMap) -> Result<Option<[u8; 32]>, Problem> {
    let Some(header) = headers.get(CONTENT_DIGEST) else { return Ok(None) };
    let malformed = || Problem::header("Content-Digest", "of the form sha-256=:BASE64:");
    let text = header.to_str().map_err(|_| malformed())?;
    let Some(value) = text.split(',').find_map(|item| item.trim().strip_prefix("sha-256=")) else { return Ok(None) };
    let encoded = value.strip_prefix(':').and_then(|value| value.strip_suffix(':')).ok_or_else(malformed)?;
    let bytes = BASE64.decode(encoded.as_bytes()).map_err(|_| malformed())?;
    Ok(Some(bytes.try_into().map_err(|_| malformed())?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_digest_is_read_from_among_others() {
        let read = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_DIGEST, HeaderValue::from_str(text).unwrap());
            expected_digest(&headers)
        };
        let hash: [u8; 32] = Sha256::digest(b"hello").into();
        let ours = format!("sha-256=:{}:", BASE64.encode(&hash));
        assert_eq!(read(&ours).unwrap(), Some(hash));
        assert_eq!(read(&format!("sha-512=:AAAA:, {ours}")).unwrap(), Some(hash));
        assert_eq!(read("sha-512=:AAAA:").unwrap(), None);
        for bad in ["sha-256=AAAA", "sha-256=:AAAA:", "sha-256=:*:"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
