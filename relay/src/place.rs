//! Where clients find a relay: what an operator says of it.

use hypersend_protocol::{limit::MAX_RELAY_PORTS, name::RelayHost};
use std::{
    fmt,
    net::{Ipv6Addr, SocketAddr},
    str::FromStr,
};

/// A host, and perhaps a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelayPlace {
    /// Its host.
    pub host: RelayHost,
    /// The port for binding, where it is not the one on which the relay listens.
    pub port: Option<u16>,
}

/// The text is no host, or its port is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a host name or address, perhaps with a port: fra1.example.org:8444")]
pub struct NotAPlace;

impl FromStr for RelayPlace {
    type Err = NotAPlace;

    /// Reads a host name or address, perhaps with a port; an IPv6 address with one is in brackets.
    fn from_str(text: &str) -> Result<Self, NotAPlace> {
        let host = |text: &str| RelayHost::parse(text).map_err(|_| NotAPlace);
        let port = |text: &str| text.parse().ok().filter(|&port| port != 0).ok_or(NotAPlace);
        if let Some((inner, rest)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
            inner.parse::<Ipv6Addr>().map_err(|_| NotAPlace)?;
            let port = if rest.is_empty() { None } else { Some(port(rest.strip_prefix(':').ok_or(NotAPlace)?)?) };
            return Ok(Self { host: host(inner)?, port });
        }
        match text.split_once(':') {
            Some((name, rest)) if !rest.contains(':') => Ok(Self { host: host(name)?, port: Some(port(rest)?) }),
            Some(_) if text.parse::<Ipv6Addr>().is_err() => Err(NotAPlace),
            _ => Ok(Self { host: host(text)?, port: None }),
        }
    }
}

/// The ports that clients are told of a relay that listens here: the first is the one that the operator names, if it is another
/// outside, and none comes twice.
pub fn ports(listening: &[SocketAddr], announced: Option<&RelayPlace>) -> Vec<u16> {
    let first = announced.and_then(|place| place.port).or(listening.first().map(SocketAddr::port));
    let mut ports: Vec<u16> = Vec::new();
    for port in first.into_iter().chain(listening.iter().skip(1).map(SocketAddr::port)) {
        if !ports.contains(&port) {
            ports.push(port);
        }
    }
    ports.truncate(MAX_RELAY_PORTS);
    ports
}

impl fmt::Display for RelayPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) if self.host.as_str().contains(':') => write!(f, "[{}]:{port}", self.host),
            Some(port) => write!(f, "{}:{port}", self.host),
            None => write!(f, "{}", self.host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_told_of_each_port_once() {
        let listening = [8_444, 8_445].map(|port| SocketAddr::from(([0, 0, 0, 0], port)));
        let told = |place: &str| ports(&listening, Some(&place.parse().unwrap()));
        assert_eq!(ports(&listening, None), [8_444, 8_445]);
        assert_eq!(told("fra1.example.org"), [8_444, 8_445]);
        assert_eq!(told("fra1.example.org:443"), [443, 8_445]);
        assert_eq!(told("fra1.example.org:8445"), [8_445]);
    }

    #[test]
    fn a_place_is_a_host_and_perhaps_a_port() {
        for text in ["fra1.example.org", "fra1.example.org:8444", "192.0.2.1:1", "::1", "[2001:db8::1]:8444"] {
            assert_eq!(text.parse::<RelayPlace>().unwrap().to_string(), text);
        }
        for bad in ["", ":8444", "host:", "host:0", "host:65536", "[::1", "[host]:1", "a b", "a:b:c", "https://a"] {
            assert_eq!(bad.parse::<RelayPlace>(), Err(NotAPlace), "{bad:?}");
        }
    }
}
