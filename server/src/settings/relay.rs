//! Where the server's own relay listens.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// Where it listens when nothing is said.
pub(super) const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 8_444);

/// An address with a port; none for no relay.
pub(super) fn listen(text: &str) -> Result<Option<SocketAddr>, String> {
    match text {
        "off" => Ok(None),
        _ => text.parse().map(Some).map_err(|_| "expected an address with a port, or off".to_owned()),
    }
}
