//! What a file is called, by Content-Disposition (RFC 6266).

use super::problem::Problem;
use hypersend_protocol::name::FileName;

/// The file's name in a Content-Disposition, if there is one.
pub(super) fn file_name(disposition: &str) -> Result<Option<FileName>, Problem> {
    let malformed = || Problem::header("Content-Disposition", "of the form inline; filename=\"NAME\"");
    let name = match (disposition.split_once("filename*="), disposition.split_once("filename=")) {
        (Some((_, extended)), _) => extended_value(extended).ok_or_else(malformed)?,
        (None, Some((_, plain))) => plain_value(plain),
        (None, None) => return Ok(None),
    };
    let invalid = |error| Problem::invalid(format!("filename in Content-Disposition: {error}"));
    FileName::parse(&name).map(Some).map_err(invalid)
}

/// A token, or a quoted string.
fn plain_value(text: &str) -> String {
    let Some(quoted) = text.strip_prefix('"') else {
        return text.split(';').next().unwrap_or_default().trim().to_owned();
    };
    let (mut name, mut chars) = (String::new(), quoted.chars());
    while let Some(c) = chars.next().filter(|&c| c != '"') {
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

    #[test]
    fn a_name_is_read_in_every_form() {
        let read = |text: &str| file_name(text).map(|name| name.map(String::from));
        for (text, expected) in [
            ("inline", None),
            ("inline; filename=film.mkv; size=5", Some("film.mkv")),
            (r#"form-data; name="file"; filename="a \"b\"; \c.mkv"; x=y"#, Some(r#"a "b"; c.mkv"#)),
            ("inline; filename=\"été.mkv\"", Some("été.mkv")),
            ("inline; filename=\"x\"; filename*=UTF-8''%c3%a9t%C3%A9.mkv", Some("été.mkv")),
        ] {
            assert_eq!(read(text).unwrap().as_deref(), expected, "{text}");
        }
        for bad in ["filename=\"a/b\"", "filename*=latin1''x", "filename*=utf-8''%f", "filename="] {
            assert!(read(bad).is_err(), "{bad} was accepted");
        }
    }
}
