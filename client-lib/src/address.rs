//! Where a server is.

use hypersend_protocol::DEFAULT_PORT;
use std::{fmt, net::Ipv6Addr, str::FromStr};

/// A host name or address, and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerAddress {
    host: String,
    port: u16,
}

/// The text is not `host`, `host:port`, `address:port` or `[address]:port`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no server address; write it like chat.example.org or chat.example.org:8443")]
pub struct BadAddress(String);

impl ServerAddress {
    /// The name or address, without brackets: what the certificate is checked against.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The UDP port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl FromStr for ServerAddress {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = || BadAddress(text.to_owned());
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((v6, rest)) => {
                v6.parse::<Ipv6Addr>().map_err(|_| bad())?;
                (v6, if rest.is_empty() { None } else { Some(rest.strip_prefix(':').ok_or_else(bad)?) })
            }
            None if text.parse::<Ipv6Addr>().is_ok() => (text, None),
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let sound = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | ':' | '_');
        if host.is_empty() || !host.chars().all(sound) {
            return Err(bad());
        }
        let port = port.map_or(Ok(DEFAULT_PORT), str::parse).map_err(|_| bad())?;
        Ok(Self { host: host.to_lowercase(), port })
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_usual_forms_are_read_and_written() {
        for (text, shown) in [
            ("Chat.Example.org", "chat.example.org:8443"),
            ("localhost:9", "localhost:9"),
            ("192.0.2.1", "192.0.2.1:8443"),
            ("::1", "[::1]:8443"),
            ("[2001:db8::1]:443", "[2001:db8::1]:443"),
        ] {
            assert_eq!(text.parse::<ServerAddress>().unwrap().to_string(), shown);
        }
        for bad in ["", ":8443", "host:", "host:99999", "https://host", "[::1", "[nonsense]:1", "a b"] {
            assert!(bad.parse::<ServerAddress>().is_err(), "{bad:?} was accepted");
        }
    }
}
