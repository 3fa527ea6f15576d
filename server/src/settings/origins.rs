//! Which web pages of other origins may call the API.

use super::text::list;
use http::{HeaderValue, Uri};
use std::fmt;

/// The origins whose pages browsers let call this server (the Fetch standard, CORS).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CorsOrigins {
    /// None but its own.
    #[default]
    Own,
    /// Every one.
    Any,
    /// These.
    These(Vec<HeaderValue>),
}

impl CorsOrigins {
    /// `*`, or origins between commas, as browsers write them.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::Any);
        }
        list(text).iter().map(|origin| parse_origin(origin)).collect::<Result<_, _>>().map(Self::These)
    }
}

fn parse_origin(text: &str) -> Result<HeaderValue, String> {
    let malformed =
        || format!("{text:?} is no origin; expected * or origins such as https://chat.example.org, no path behind");
    let uri: Uri = text.parse().map_err(|_| malformed())?;
    let (Some(scheme), Some(authority)) = (uri.scheme(), uri.authority()) else { return Err(malformed()) };
    // What a browser sends is compared letter by letter.
    if format!("{scheme}://{authority}") != text || text.to_ascii_lowercase() != text {
        return Err(malformed());
    }
    HeaderValue::from_str(text).map_err(|_| malformed())
}

impl fmt::Display for CorsOrigins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => Ok(()),
            Self::Any => f.write_str("*"),
            Self::These(origins) => {
                let origins: Vec<_> = origins.iter().filter_map(|origin| origin.to_str().ok()).collect();
                f.write_str(&origins.join(","))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_as_browsers_write_them() {
        for text in ["*", "https://chat.example.org", "https://a.example,http://localhost:5173"] {
            assert_eq!(CorsOrigins::parse(text).unwrap().to_string(), text);
        }
        let wrong =
            ["chat.example.org", "https://chat.example.org/", "https://Chat.example.org", "https://a b", "a.example,*"];
        for text in wrong {
            let reason = CorsOrigins::parse(text).unwrap_err();
            assert!(reason.contains("such as https://"), "{reason}");
        }
    }
}
