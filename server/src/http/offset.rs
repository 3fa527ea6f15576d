//! Request bodies that are appended to an upload, for the protocols that count bytes: tus, and HTTP's own resumable uploads.
//!
//! A body may end, break off or be overtaken at any byte: what came of it by then is kept. One that comes with a checksum is
//! put aside on the disk until the checksum has been found right, and then appended.

use super::{
    intake::{Body, RANGE_WITHIN, place},
    problem::Problem,
    state::HttpState,
};
use crate::{
    services::{Appender, Caller, Staging, UploadError, UploadHandle},
    store::files::File,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode, header::CONTENT_LENGTH};
use hypersend_protocol::{
    limit::MAX_RANGE_LENGTH,
    name::FileName,
    refusal::{ErrorCode, Refusal},
    time::UnixMillis,
};
use ring::digest::{Algorithm, Context};
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};

pub(super) const UPLOAD_OFFSET: HeaderName = HeaderName::from_static("upload-offset");
pub(super) const UPLOAD_LENGTH: HeaderName = HeaderName::from_static("upload-length");

/// The most bytes that may come with a checksum: they lie on the disk beside the room that is reserved for the upload.
pub(super) const MAX_CHECKED_BYTES: u64 = 64 << 20;

/// What a body must hash to.
pub(super) struct Checksum {
    pub(super) algorithm: &'static Algorithm,
    pub(super) expected: Vec<u8>,
    /// The status that a protocol has for a body that does not.
    pub(super) mismatch: StatusCode,
}

/// Where an upload has come to.
pub(super) struct Standing {
    pub(super) offset: u64,
    /// When it is dropped if nobody goes on with it.
    pub(super) expires: UnixMillis,
}

impl Standing {
    pub(super) fn of(state: &HttpState, handle: &UploadHandle, appender: &Appender) -> Self {
        Self { offset: appender.reached(), expires: handle.resumed().plus(state.limits().upload_lifetime) }
    }
}

/// Takes the turn to append to an upload that stands at this offset, for a body with these headers.
pub(super) async fn begin(
    handle: &Arc<UploadHandle>,
    offset: u64,
    headers: &HeaderMap,
    checksum: Option<&Checksum>,
) -> Result<Appender, Problem> {
    let appender = handle.append().await?;
    let reached = appender.offset();
    if reached != offset {
        return Err(UploadError::Gap { at: offset, reached }.into());
    }
    fits(handle, &appender, headers, checksum)?;
    Ok(appender)
}

/// Refuses a body by its length, if that is said.
pub(super) fn fits(
    handle: &UploadHandle,
    appender: &Appender,
    headers: &HeaderMap,
    checksum: Option<&Checksum>,
) -> Result<(), Problem> {
    let (length, size) = (number(headers, &CONTENT_LENGTH)?.unwrap_or(0), handle.plan().size());
    if checksum.is_some() && length > MAX_CHECKED_BYTES {
        return Err(too_long_to_check());
    }
    if length > size - appender.offset() { Err(too_long(size)) } else { Ok(()) }
}

/// Appends a body, which may be checked as a whole first.
pub(super) async fn receive(
    state: &HttpState,
    handle: &UploadHandle,
    appender: &mut Appender,
    mut body: Body,
    checksum: Option<Checksum>,
) -> Result<(), Problem> {
    let Some(checksum) = checksum else {
        while append_range(state, handle, appender, &mut body).await? {}
        return match body.piece(1).await? {
            None => Ok(()),
            Some(_) => Err(too_long(handle.plan().size())),
        };
    };
    let most = handle.plan().size() - appender.offset();
    let staged = stage(state, handle, appender, body, &checksum).await?;
    if staged.length() > most {
        return Err(too_long(handle.plan().size()));
    }
    let mut at = 0;
    while at < staged.length() {
        let _place = place(state, handle.owner()).await?;
        let length = u64::from(appender.room()).min(staged.length() - at);
        appender.push(staged.read(at, usize::try_from(length).expect("no longer than a range")).await?);
        appender.settle().await?;
        at += length;
    }
    Ok(())
}

/// Turns an upload that has all its bytes into a file.
pub(super) async fn finish(state: &HttpState, handle: &UploadHandle) -> Result<File, Problem> {
    let file = handle.finish(None).await?;
    state.uploads().release(handle.id());
    Ok(file)
}

/// Drops an upload under way, and stops whoever is sending it.
pub(super) async fn discard(state: &HttpState, me: &Caller, handle: &Arc<UploadHandle>) -> Result<(), Problem> {
    let _turn = handle.append().await?;
    state.uploads().release(handle.id());
    Ok(state.services().uploads.cancel(me, handle.id()).await?)
}

/// A header that is a number of bytes.
pub(super) fn number(headers: &HeaderMap, name: &HeaderName) -> Result<Option<u64>, Problem> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    let text = value.to_str().unwrap_or_default().trim();
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(number) if is_number => Ok(Some(number)),
        _ => Err(Problem::header(name.as_str(), "a number of bytes")),
    }
}

/// What a file is called whose sender does not say.
pub(super) fn unnamed() -> FileName {
    FileName::parse("unnamed").expect("it is a name")
}

/// Appends up to the end of a range; `false` when the body or the file is at its end.
async fn append_range(
    state: &HttpState,
    handle: &UploadHandle,
    appender: &mut Appender,
    body: &mut Body,
) -> Result<bool, Problem> {
    if appender.room() == 0 {
        return Ok(false);
    }
    let _place = tokio::select! {
        place = place(state, handle.owner()) => place?,
        () = appender.overtaken() => return Err(UploadError::Overtaken.into()),
    };
    let mut more = Ok(true);
    let end = Instant::now() + RANGE_WITHIN;
    while appender.room() > 0 {
        match timeout_at(end, piece(appender, body, appender.room())).await {
            Ok(Ok(Some(piece))) => appender.push(piece),
            Ok(Ok(None)) => more = Ok(false),
            Ok(Err(problem)) => more = Err(problem),
            Err(_) => more = Err(Problem::stalled()),
        }
        if !matches!(more, Ok(true)) {
            break;
        }
    }
    // Also when it ended badly.
    appender.settle().await?;
    more
}

async fn stage(
    state: &HttpState,
    handle: &UploadHandle,
    appender: &Appender,
    mut body: Body,
    checksum: &Checksum,
) -> Result<Staging, Problem> {
    let (mut staged, mut hash) = (handle.stage().await?, Context::new(checksum.algorithm));
    loop {
        let _place = place(state, handle.owner()).await?;
        let (mut pieces, mut room) = (Vec::new(), MAX_RANGE_LENGTH);
        let end = Instant::now() + RANGE_WITHIN;
        while room > 0
            && let Some(piece) =
                timeout_at(end, piece(appender, &mut body, room)).await.map_err(|_| Problem::stalled())??
        {
            hash.update(&piece);
            room -= u32::try_from(piece.len()).expect("no longer than the room");
            pieces.push(piece);
        }
        staged.push(pieces).await?;
        if staged.length() > MAX_CHECKED_BYTES {
            return Err(too_long_to_check());
        }
        if room > 0 {
            break;
        }
    }
    if hash.finish().as_ref() == checksum.expected {
        return Ok(staged);
    }
    let message = "the body does not have the checksum that came with it; nothing of it counts: send it again";
    Err(Problem::with_status(checksum.mismatch, Refusal::new(ErrorCode::HashMismatch, message)))
}

async fn piece(appender: &Appender, body: &mut Body, most: u32) -> Result<Option<Bytes>, Problem> {
    tokio::select! {
        piece = body.piece(most as usize) => piece,
        () = appender.overtaken() => Err(UploadError::Overtaken.into()),
    }
}

fn too_long(size: u64) -> Problem {
    let message = format!("the body goes beyond the upload's {size} bytes; send what is missing and no more");
    Problem::with_status(StatusCode::PAYLOAD_TOO_LARGE, Refusal::new(ErrorCode::Invalid, message).with_limit(size))
}

fn too_long_to_check() -> Problem {
    let message = format!("a body that comes with a checksum has {MAX_CHECKED_BYTES} bytes at most; send it in pieces");
    let refusal = Refusal::new(ErrorCode::LimitReached, message).with_limit(MAX_CHECKED_BYTES);
    Problem::with_status(StatusCode::PAYLOAD_TOO_LARGE, refusal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_digits() {
        let read = |text: &str| {
            let headers = [(UPLOAD_OFFSET, text.parse().unwrap())].into_iter().collect();
            number(&headers, &UPLOAD_OFFSET)
        };
        assert_eq!(read("18446744073709551615").unwrap(), Some(u64::MAX));
        for bad in ["", "-1", "+1", "1.0", "0x1", "18446744073709551616"] {
            assert!(read(bad).is_err(), "{bad:?} was accepted");
        }
        assert_eq!(number(&HeaderMap::new(), &UPLOAD_OFFSET).unwrap(), None);
    }
}
