//! A stored file as a response: conditions (RFC 9110, 13), one range (RFC 9110, 14), and a body that is read as it is sent.

use super::{places::Place, problem::Problem};
use crate::{
    services::{FileError, OpenFile},
    store::files::File,
};
use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use futures::{StreamExt, stream};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{
        ACCEPT_RANGES, CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH,
        IF_NONE_MATCH, IF_RANGE, RANGE, X_CONTENT_TYPE_OPTIONS,
    },
};
use hypersend_protocol::{
    limit::MAX_RANGE_LENGTH,
    refusal::{ErrorCode, Refusal},
};
use hypersend_transfer::plan::Span;
use std::fmt::Write;
use utoipa::ToSchema;

/// Pieces of a file that are read ahead of the client: one on its way while the next is read.
const PIECES_AHEAD: usize = 2;

/// How the document calls a body of bytes as they are.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "there is nothing but its schema")]
pub(super) struct Octets(Vec<u8>);

/// Bytes of a file, from one to before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bytes {
    first: u64,
    end: u64,
}

/// What is to be sent.
#[derive(Debug)]
pub(super) enum Wanted {
    Span(Bytes),
    /// Only this.
    Nothing(Response),
}

/// What a request says about which bytes it wants, and when.
#[derive(Debug)]
pub(super) struct Conditions<'a> {
    range: Option<&'a str>,
    if_range: Option<&'a str>,
    if_match: Option<&'a str>,
    if_none_match: Option<&'a str>,
}

impl<'a> Conditions<'a> {
    pub(super) fn of(headers: &'a HeaderMap) -> Result<Self, Problem> {
        let header = |name: HeaderName| {
            let text = headers.get(&name).map(|value| value.to_str());
            text.transpose().map_err(|_| Problem::header(name.as_str(), "text"))
        };
        Ok(Self {
            range: header(RANGE)?,
            if_range: header(IF_RANGE)?,
            if_match: header(IF_MATCH)?,
            if_none_match: header(IF_NONE_MATCH)?,
        })
    }

    /// In the order of RFC 9110, 13.2.2.
    pub(super) fn apply(&self, file: &File) -> Result<Wanted, Problem> {
        let tag = etag(file);
        if self.if_match.is_some_and(|tags| !lists(tags, &tag, false)) {
            let refusal = Refusal::new(ErrorCode::Conflict, "the file is not the one that If-Match names");
            return Err(Problem::with_status(StatusCode::PRECONDITION_FAILED, refusal));
        }
        if self.if_none_match.is_some_and(|tags| lists(tags, &tag, true)) {
            let mut response = StatusCode::NOT_MODIFIED.into_response();
            response.headers_mut().insert(ETAG, header(&tag));
            return Ok(Wanted::Nothing(response));
        }
        let whole = Bytes { first: 0, end: file.size };
        let ranged = self.if_range.is_none_or(|wanted| wanted == tag);
        match self.range.filter(|_| ranged).map(|range| parse_range(range, file.size)) {
            None | Some(Ranged::Ignored) => Ok(Wanted::Span(whole)),
            Some(Ranged::One(bytes)) => Ok(Wanted::Span(bytes)),
            Some(Ranged::Unsatisfiable) => {
                let refusal = Refusal::new(ErrorCode::Invalid, format!("the file has {} bytes", file.size));
                let mut response = Problem::with_status(StatusCode::RANGE_NOT_SATISFIABLE, refusal).into_response();
                response.headers_mut().insert(CONTENT_RANGE, header(&format!("bytes */{}", file.size)));
                Ok(Wanted::Nothing(response))
            }
        }
    }
}

/// The strong validator: the hash of the content itself.
pub(super) fn etag(file: &File) -> String {
    format!("\"{}\"", file.root)
}

/// Whether a list of entity tags has this one. A weak tag matches only where weak comparison is asked for.
fn lists(tags: &str, tag: &str, weakly: bool) -> bool {
    tags.split(',').map(str::trim).any(|listed| {
        listed == "*" || listed == tag || (weakly && listed.strip_prefix("W/").is_some_and(|listed| listed == tag))
    })
}

#[derive(Debug, PartialEq, Eq)]
enum Ranged {
    One(Bytes),
    /// Not in bytes, malformed, or several: the whole file is a right answer too (RFC 9110, 14.2).
    Ignored,
    Unsatisfiable,
}

fn parse_range(text: &str, size: u64) -> Ranged {
    let Some(set) = text.strip_prefix("bytes=") else { return Ranged::Ignored };
    let Some((first, last)) = set.trim().split_once('-').filter(|_| !set.contains(',')) else { return Ranged::Ignored };
    let number =
        |text: &str| text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse::<u64>().ok()).flatten();
    let bytes = match (first, last) {
        ("", last) => number(last).map(|suffix| Bytes { first: size.saturating_sub(suffix), end: size }),
        (first, "") => number(first).map(|first| Bytes { first, end: size }),
        (first, last) => match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last => Some(Bytes { first, end: last.saturating_add(1).min(size) }),
            _ => None,
        },
    };
    match bytes {
        None => Ranged::Ignored,
        Some(bytes) if bytes.first < bytes.end => Ranged::One(bytes),
        Some(_) => Ranged::Unsatisfiable,
    }
}

/// The response with these bytes of an open file; it keeps its place until it is sent or given up.
pub(super) fn content(info: &File, file: OpenFile, bytes: Bytes, place: Place) -> Response {
    let partial = bytes != Bytes { first: 0, end: info.size };
    let mut response = Response::new(Body::from_stream(pieces(file, bytes, place)));
    if partial {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let range = format!("bytes {}-{}/{}", bytes.first, bytes.end - 1, info.size);
        response.headers_mut().insert(CONTENT_RANGE, header(&range));
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes.end - bytes.first));
    headers.insert(ETAG, header(&etag(info)));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    // A file is whatever its sender says: no browser should take it for a page of ours.
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_DISPOSITION, header(&disposition(info.name.as_str())));
    // The right to it may end.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    response
}

fn pieces(file: OpenFile, bytes: Bytes, place: Place) -> impl futures::Stream<Item = Result<bytes::Bytes, FileError>> {
    let spans = (bytes.first..bytes.end).step_by(MAX_RANGE_LENGTH as usize).map(move |offset| Span {
        offset,
        length: u32::try_from((bytes.end - offset).min(MAX_RANGE_LENGTH.into())).expect("at most a range"),
    });
    stream::iter(spans)
        .map(move |span| {
            let (file, _kept) = (file.clone(), &place);
            async move { file.bytes(span).await }
        })
        .buffered(PIECES_AHEAD)
}

/// To be saved under its own name (RFC 6266, RFC 8187).
fn disposition(name: &str) -> String {
    let mut text = "attachment; filename*=UTF-8''".to_owned();
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"!#$&+-.^_`|~".contains(&byte) {
            text.push(byte.into());
        } else {
            write!(text, "%{byte:02X}").expect("strings take everything");
        }
    }
    text
}

fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("it was made of printable ASCII")
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypersend_protocol::{
        hash::RootHash,
        id::{FileId, UserId},
        time::UnixMillis,
    };
    use uuid::Uuid;

    fn file() -> File {
        File {
            id: FileId(Uuid::nil()),
            owner: UserId(Uuid::nil()),
            name: "film.mkv".parse().unwrap(),
            size: 5 << 30,
            chunk_size: 1 << 20,
            root: RootHash([7; 32]),
            at: UnixMillis(0),
        }
    }

    #[test]
    fn ranges_are_those_of_rfc_9110() {
        let size = 10_000;
        let one = |first, end| Ranged::One(Bytes { first, end });
        assert_eq!(parse_range("bytes=0-499", size), one(0, 500));
        assert_eq!(parse_range("bytes=9500-", size), one(9_500, size));
        assert_eq!(parse_range("bytes=-500", size), one(9_500, size));
        assert_eq!(parse_range("bytes=-20000", size), one(0, size));
        assert_eq!(parse_range("bytes=9999-20000", size), one(9_999, size));
        assert_eq!(parse_range("bytes=10000-", size), Ranged::Unsatisfiable);
        assert_eq!(parse_range("bytes=-0", size), Ranged::Unsatisfiable);
        for ignored in ["bytes=5-4", "bytes=a-b", "lines=1-2", "bytes=0-1,3-4", "bytes=", "bytes=+1-2", "0-1"] {
            assert_eq!(parse_range(ignored, size), Ranged::Ignored, "{ignored}");
        }
        assert_eq!(parse_range("bytes=0-18446744073709551615", size), one(0, size));
    }

    #[test]
    fn conditions_are_applied_in_their_order() {
        let (file, tag) = (file(), etag(&file()));
        let status = |pairs: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(*name, header(value));
            }
            match Conditions::of(&headers).unwrap().apply(&file) {
                Ok(Wanted::Span(bytes)) if bytes.end - bytes.first == file.size => 200,
                Ok(Wanted::Span(_)) => 206,
                Ok(Wanted::Nothing(response)) => response.status().as_u16(),
                Err(problem) => problem.into_response().status().as_u16(),
            }
        };
        assert_eq!(status(&[]), 200);
        assert_eq!(status(&[("if-none-match", &tag)]), 304);
        assert_eq!(status(&[("if-none-match", &format!("\"x\", W/{tag}"))]), 304);
        assert_eq!(status(&[("if-none-match", "\"x\""), ("range", "bytes=4294967296-4294967299")]), 206);
        assert_eq!(status(&[("if-match", &tag)]), 200);
        assert_eq!(status(&[("if-match", &format!("W/{tag}"))]), 412);
        assert_eq!(status(&[("if-match", "\"x\""), ("if-none-match", &tag)]), 412);
        assert_eq!(status(&[("if-range", &tag), ("range", "bytes=0-0")]), 206);
        assert_eq!(status(&[("if-range", "\"x\""), ("range", "bytes=0-0")]), 200);
        assert_eq!(status(&[("range", "bytes=5368709120-")]), 416);
    }

    #[test]
    fn names_travel_whole() {
        assert_eq!(disposition("film.mkv"), "attachment; filename*=UTF-8''film.mkv");
        assert_eq!(disposition("a \"ü\";.txt"), "attachment; filename*=UTF-8''a%20%22%C3%BC%22%3B.txt");
    }
}
