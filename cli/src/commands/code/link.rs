//! A code with the server at which it counts, as in a QR code: `hypersend:HOST:PORT/7-apple-river-moon`.

use crate::failure::Failure;
use hypersend_client::{ServerAddress, direct::Code};
use std::{fmt, str::FromStr};

const SCHEME: &str = "hypersend:";

/// What the other side types, or scans.
pub(super) struct Link<'a> {
    pub(super) server: &'a ServerAddress,
    pub(super) code: &'a Code,
}

impl fmt::Display for Link<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.server, self.code)
    }
}

/// What is to be received: a code, or a code with its server.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::commands) struct Wanted {
    pub(super) code: Code,
    pub(super) server: Option<ServerAddress>,
}

impl Wanted {
    /// At this server, if one is named.
    pub(in crate::commands) fn at(self, server: Option<ServerAddress>) -> Self {
        Self { server: server.or(self.server), ..self }
    }
}

impl FromStr for Wanted {
    type Err = Failure;

    fn from_str(text: &str) -> Result<Self, Failure> {
        let text = text.trim().to_lowercase();
        let (server, code) = match text.strip_prefix(SCHEME).map(|rest| rest.split_once('/')) {
            None => (None, text.as_str()),
            Some(Some((server, code))) => (Some(server), code),
            Some(None) => return Err(Failure::usage("a link is hypersend:HOST:PORT/CODE")),
        };
        let code = code.parse().map_err(|error| Failure::usage(format!("{error}")))?;
        let server = server.map(str::parse).transpose().map_err(|error| Failure::usage(format!("{error}")))?;
        Ok(Self { code, server })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_reads_back_also_in_capitals() {
        for server in ["chat.example.org", "[2001:db8::1]:9"] {
            let (server, code) = (server.parse().unwrap(), "7-apple-river-moon".parse().unwrap());
            let link = Link { server: &server, code: &code }.to_string();
            let wanted = Wanted { code, server: Some(server) };
            assert_eq!(link.parse::<Wanted>().unwrap(), wanted);
            assert_eq!(link.to_uppercase().parse::<Wanted>().unwrap(), wanted);
        }
    }

    #[test]
    fn a_server_that_is_named_counts_more_than_the_links() {
        let wanted = |text: &str| text.parse::<Wanted>().unwrap();
        let named = "other:1".parse().ok();
        assert_eq!(wanted("7 apple river moon").server, None);
        assert_eq!(wanted("7 apple river moon").at(named.clone()).server, named);
        assert_eq!(wanted("hypersend:one:2/7-apple-river-moon").at(named.clone()).server, named);
        assert_eq!(wanted("hypersend:one:2/7-apple-river-moon").at(None).server, "one:2".parse().ok());
    }

    #[test]
    fn what_is_neither_says_why() {
        for text in
            ["", "7-apple", "hypersend:host", "hypersend:/7-apple-river-moon", "hypersend:a b/7-apple-river-moon"]
        {
            assert!(text.parse::<Wanted>().is_err(), "{text:?}");
        }
    }
}
