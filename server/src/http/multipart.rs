//! Forms with files (multipart/form-data, RFC 7578), read as they come. In memory is never more than a piece of the body and
//! the head of a part; libraries for it read ahead as fast as the client sends.

use super::{intake::Body, problem::Problem};
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use hypersend_protocol::refusal::{ErrorCode, Refusal};
use memchr::memmem;

/// The longest head of a part, in bytes: a file name of 255 bytes, each with a percent sign, and as much again.
const MAX_PART_HEAD: usize = 2 << 10;

/// The longest boundary, in bytes (RFC 2046, 5.1.1).
const MAX_BOUNDARY: usize = 70;

/// Read of the body at once, in bytes.
const PIECE: usize = 64 << 10;

/// A form being read.
pub(super) struct Multipart {
    body: Body,
    /// What stands before each part's head and behind its bytes.
    delimiter: Vec<u8>,
    buffer: BytesMut,
}

impl Multipart {
    /// A request's body and headers.
    pub(super) fn new(body: Body, headers: &HeaderMap) -> Result<Self, Problem> {
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        if !kind.trim_start().to_ascii_lowercase().starts_with("multipart/form-data") {
            let refusal = Refusal::new(ErrorCode::Invalid, "send the files as multipart/form-data, as curl -F does");
            return Err(Problem::with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, refusal));
        }
        let boundary = kind.split_once("boundary=").map(|(_, rest)| rest.split(';').next().unwrap_or_default().trim());
        let boundary = boundary.map(|boundary| boundary.trim_matches('"')).unwrap_or_default();
        if !(1..=MAX_BOUNDARY).contains(&boundary.len()) {
            return Err(Problem::header("Content-Type", "multipart/form-data with a boundary of 1 to 70 bytes"));
        }
        // As if a line ended before the body, so that the first delimiter looks like the others.
        let delimiter = format!("\r\n--{boundary}").into_bytes();
        Ok(Self { body, delimiter, buffer: BytesMut::from("\r\n") })
    }

    /// Goes to the next part, over what is left of the one before, and gives its Content-Disposition; none behind the last.
    pub(super) async fn part(&mut self) -> Result<Option<String>, Problem> {
        while self.piece().await?.is_some() {}
        while self.buffer.len() < self.delimiter.len() + 2 {
            self.fill().await?;
        }
        let _delimiter = self.buffer.split_to(self.delimiter.len());
        if self.buffer.starts_with(b"--") {
            return Ok(None);
        }
        let end = loop {
            if let Some(end) = memmem::find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            if self.buffer.len() > MAX_PART_HEAD {
                return Err(too_long());
            }
            self.fill().await?;
        };
        if end > MAX_PART_HEAD {
            return Err(too_long());
        }
        let head = self.buffer.split_to(end + 4);
        let head = String::from_utf8_lossy(&head);
        let mut lines = head.lines().filter_map(|line| line.split_once(':'));
        let disposition = lines.find(|(name, _)| name.trim().eq_ignore_ascii_case("content-disposition"));
        Ok(Some(disposition.map(|(_, value)| value.trim().to_owned()).unwrap_or_default()))
    }

    /// The next bytes of the part; none at its end.
    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>, Problem> {
        loop {
            let sure = match memmem::find(&self.buffer, &self.delimiter) {
                Some(0) => return Ok(None),
                Some(end) => end,
                // The last bytes may be the beginning of a delimiter.
                None => self.buffer.len().saturating_sub(self.delimiter.len() - 1),
            };
            if sure > 0 {
                return Ok(Some(self.buffer.split_to(sure).freeze()));
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<(), Problem> {
        let early = || Problem::invalid("the form ends before its last boundary; send it again");
        let piece = self.body.piece(PIECE).await?.ok_or_else(early)?;
        self.buffer.extend_from_slice(&piece);
        Ok(())
    }
}

fn too_long() -> Problem {
    let message = format!("the head of a part of a form has {MAX_PART_HEAD} bytes at most");
    Refusal::new(ErrorCode::LimitReached, message).with_limit(MAX_PART_HEAD as u64).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use http::HeaderValue;
    use std::convert::Infallible;

    fn headers(kind: &str) -> HeaderMap {
        [(CONTENT_TYPE, HeaderValue::from_str(kind).unwrap())].into_iter().collect()
    }

    /// A form that comes so many bytes at a time.
    fn form(text: &[u8], step: usize) -> Multipart {
        let pieces: Vec<_> =
            text.chunks(step).map(|piece| Ok::<_, Infallible>(Bytes::copy_from_slice(piece))).collect();
        let body = Body::unchecked(axum::body::Body::from_stream(stream::iter(pieces)));
        Multipart::new(body, &headers("multipart/form-data; boundary=\"x-y\"")).unwrap()
    }

    async fn read(text: &[u8], step: usize) -> Result<Vec<(String, Vec<u8>)>, Problem> {
        let (mut form, mut parts) = (form(text, step), Vec::new());
        while let Some(disposition) = form.part().await? {
            let mut bytes = Vec::new();
            while let Some(piece) = form.piece().await? {
                bytes.extend_from_slice(&piece);
            }
            parts.push((disposition, bytes));
        }
        Ok(parts)
    }

    const FORM: &[u8] = b"a preamble\r\n--x-y\r\ncontent-disposition: one\r\nX: y\r\n\r\n\r\n--x-\r\n\r\n--x\r\n\r\n--x-y\r\n\r\n\r\n--x-y\
        \r\nX: y\r\nContent-Disposition:two\r\n\r\n\r\n\r\n--x-y--\r\nan epilogue";

    #[tokio::test]
    async fn parts_come_out_however_the_bytes_come_in() {
        let expected = [("one", &b"\r\n--x-\r\n\r\n--x\r\n"[..]), ("", b""), ("two", b"\r\n")];
        let expected = expected.map(|(disposition, bytes)| (disposition.to_owned(), bytes.to_vec()));
        for step in 1..FORM.len() {
            assert_eq!(read(FORM, step).await.unwrap(), expected, "{step} bytes at a time");
        }
        assert_eq!(read(b"--x-y--", 3).await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_form_cut_short_is_refused() {
        let end = memmem::find(FORM, b"--x-y--").unwrap() + 7;
        for cut in 0..end {
            assert!(read(&FORM[..cut], 5).await.is_err(), "cut at {cut}");
        }
    }

    #[tokio::test]
    async fn the_head_of_a_part_is_limited() {
        let form = |length: usize| format!("--x-y\r\n{}\r\n\r\n\r\n--x-y--", "h".repeat(length)).into_bytes();
        for step in [100, 100_000] {
            // The line's end before the head counts.
            assert!(read(&form(MAX_PART_HEAD - 2), step).await.is_ok());
            assert!(read(&form(MAX_PART_HEAD - 1), step).await.is_err());
        }
    }

    #[test]
    fn a_form_says_its_boundary() {
        let begin = |kind: &str| Multipart::new(Body::unchecked(axum::body::Body::empty()), &headers(kind)).is_ok();
        let of = |length| format!("multipart/form-data; boundary={}; charset=utf-8", "b".repeat(length));
        assert!(begin(&of(1)) && begin(&of(MAX_BOUNDARY)));
        assert!(!begin(&of(0)) && !begin(&of(MAX_BOUNDARY + 1)));
        assert!(!begin("multipart/form-data") && !begin("application/json; boundary=x"));
    }
}
