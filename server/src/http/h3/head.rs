//! What h3 does not check of a head.

use http::{
    HeaderMap, HeaderName, Request,
    header::{CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE},
};

/// Fields that speak of a connection of HTTP/1 and must not travel in HTTP/3 (RFC 9114, 4.2).
pub(super) const CONNECTION_SPECIFIC: [HeaderName; 5] = [
    CONNECTION,
    TRANSFER_ENCODING,
    UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// A head that no well-behaved client sends, and that another server might read in another way.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    #[error("connection-specific field")]
    ConnectionSpecific,
    #[error("more than one host")]
    Hosts,
    #[error("content-length is not one number")]
    ContentLength,
}

/// Checks a request's head; returns how long its body is to be, where it says so.
pub(super) fn check(head: &Request<()>) -> Result<Option<u64>, Malformed> {
    let headers = head.headers();
    let trailers_only = headers.get_all(TE).iter().all(|value| value == "trailers");
    if !trailers_only || CONNECTION_SPECIFIC.iter().any(|name| headers.contains_key(name)) {
        return Err(Malformed::ConnectionSpecific);
    }
    if headers.get_all(HOST).iter().count() > 1 {
        return Err(Malformed::Hosts);
    }
    content_length(headers)
}

/// The length that a head announces. Digits only: `u64`'s own parser takes a sign too.
pub(super) fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Malformed> {
    let mut values = headers.get_all(CONTENT_LENGTH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.any(|other| other != value) {
        return Err(Malformed::ContentLength);
    }
    let digits = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let length = digits.and_then(|text| text.parse().ok()).ok_or(Malformed::ContentLength)?;
    Ok(Some(length))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(fields: &[(&'static str, &'static str)]) -> Result<Option<u64>, Malformed> {
        let mut request = Request::new(());
        for (name, value) in fields {
            request.headers_mut().append(*name, value.parse().unwrap());
        }
        check(&request)
    }

    #[test]
    fn heads_that_could_smuggle_are_malformed() {
        for name in ["connection", "transfer-encoding", "upgrade", "keep-alive", "proxy-connection", "te"] {
            assert_eq!(checked(&[(name, "chunked")]), Err(Malformed::ConnectionSpecific), "{name}");
        }
        for value in ["+1", "-1", "1,1", "0x1", "", " ", "99999999999999999999"] {
            assert_eq!(checked(&[("content-length", value)]), Err(Malformed::ContentLength), "{value:?}");
        }
        let two = [("content-length", "1"), ("content-length", "2")];
        assert_eq!(checked(&two), Err(Malformed::ContentLength));
        assert_eq!(checked(&[("host", "a"), ("host", "b")]), Err(Malformed::Hosts));
    }

    #[test]
    fn heads_of_well_behaved_clients_pass() {
        assert_eq!(checked(&[]), Ok(None));
        assert_eq!(checked(&[("te", "trailers"), ("content-length", "12")]), Ok(Some(12)));
    }
}
