//! What a file is called, by Content-Disposition.

use crate::http::{offset, problem::Problem};
use http::{HeaderMap, header::CONTENT_DISPOSITION};
use hypersend_protocol::name::FileName;

/// The name in Content-Disposition (RFC 6266).
pub(super) fn name(headers: &HeaderMap) -> Result<FileName, Problem> {
    let Some(disposition) = headers.get(CONTENT_DISPOSITION) else { return Ok(offset::unnamed()) };
    let malformed = || Problem::header("Content-Disposition", "of the form inline; filename=\"NAME\"");
    let text = disposition.to_str().map_err(|_| malformed())?;
    let name = match (text.split_once("filename*="), text.split_once("filename=")) {
        (Some((_, extended)), _) => extended_value(extended).ok_or_else(malformed)?,
        (None, Some((_, plain))) => plain_value(plain),
        (None, None) => return Ok(offset::unnamed()),
    };
    FileName::parse(&name).map_err(|error| Problem::invalid(format!("filename in Content-Disposition: {error}")))
}

/// A token, or a quoted string.
fn plain_value(text: &str) -> String {
    let Some(quoted) = text.strip_prefix('"') else {
        return text.split(';').next().unwrap_or_default().trim().to_owned();
    };
    let mut escaped = false;
    let inside = quoted.chars().take_while(|&c| {
        let ends = c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        !ends
    });
    let mut name = String::new();
    let mut chars = inside.peekable();
    while let Some(c) = chars.next() {
        name.push(if c == '\\' { chars.next().unwrap_or(c) } else { c });
    }
    name
}

/// `UTF-8''` and bytes with percent signs (RFC 8187).
fn extended_value(text: &str) -> Option<String> {
    let encoded = text.split(';').next()?.trim();
    let (charset, rest) = encoded.split_once('\'')?;
    let (_, value) = rest.split_once('\'')?;
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    let (mut bytes, mut rest) = (Vec::new(), value.as_bytes());
    while let [first, others @ ..] = rest {
        rest = others;
        if *first == b'%' {
            let (digits, others) = others.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = others;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn a_name_is_read_in_every_form() {
        let read = |text: &str| {
            let headers = [(CONTENT_DISPOSITION, HeaderValue::from_str(text).unwrap())].into_iter().collect();
            name(&headers).map(String::from)
        };
        for (text, expected) in [
            ("inline", "unnamed"),
            ("inline; filename=film.mkv; size=5", "film.mkv"),
            (r#"inline; filename="a \"b\"; c\\.mkv"; x=y"#, r#"a "b"; c\.mkv"#),
            ("inline; filename=\"x\"; filename*=UTF-8''%c3%a9t%C3%A9.mkv", "été.mkv"),
        ] {
            assert_eq!(read(text).ok().as_deref(), Some(expected), "{text}");
        }
        for bad in [
            "inline; filename=\"a/b\"",
            "inline; filename*=latin1''x",
            "inline; filename*=utf-8''%f",
            "inline; filename=",
        ] {
            assert!(read(bad).is_err(), "{bad} was accepted");
        }
        assert_eq!(name(&HeaderMap::new()).unwrap(), offset::unnamed());
    }
}
