//! The relay in the server's own process, on two UDP ports: the one that clients are told to bind at, and the next, which shows them
//! how their NAT treats another.
//!
//! One socket for each, in the server's own runtime: who needs more, or wants it nearer to people, runs `hypersend-relay`.

use crate::{
    services::{Relays, TicketKey},
    settings::{RelayPlace, SecretKey, Settings},
    store::relays::Relay,
};
use hypersend_protocol::{id::RelayId, name::RelayName};
use hypersend_relay::{Observer, Switch, place};
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::Duration,
};
use tokio_util::sync::CancellationToken;

/// Its name, among others.
const NAME: &str = "server";

/// What its id is made from beside the secret: all that makes it another relay.
const ID_CONTEXT: &str = "hypersend 2026-11-27 id of the relay in a server";

/// The system's code for: there is no IPv6 here.
const NO_IPV6: i32 = rustix::io::Errno::AFNOSUPPORT.raw_os_error();

/// A relay that has its ports.
pub(crate) struct OwnRelay {
    switch: Switch,
    id: RelayId,
    max_sessions: u32,
    addresses: Vec<SocketAddr>,
    announce: Option<RelayPlace>,
}

/// The ports could not be had.
#[derive(Debug, thiserror::Error)]
#[error(
    "listen on {address} and the next port (UDP) for the relay; give another RELAY_LISTEN, `off` for no relay, or stop what has them"
)]
pub struct RelayPortError {
    address: SocketAddr,
    source: io::Error,
}

impl OwnRelay {
    /// Binds what the settings say, if they say so. Another start on the same machine and port is the same relay, so that its
    /// tickets go on being good.
    pub(crate) fn bind(settings: &Settings, secret: &SecretKey) -> Result<Option<Self>, RelayPortError> {
        let Some(address) = settings.relay_listen else {
            if settings.relay_announce.is_some() {
                tracing::warn!(
                    "RELAY_ANNOUNCE is without effect: there is no relay in this process (RELAY_LISTEN=off)"
                );
            }
            return Ok(None);
        };
        let mut cookie_secret = [0; 32];
        getrandom::fill(&mut cookie_secret).expect("the kernel gives random bytes");
        let mut relay = hypersend_relay::Settings::new(
            own_id(settings, secret, address),
            TicketKey::new(secret).public(),
            cookie_secret,
        );
        relay.capacity = settings.relay_capacity;
        let failed = |source| RelayPortError { address, source };
        let switch = Switch::bind(&relay, &addresses(address), 1).map_err(|error| failed(error.reason()))?;
        let addresses = switch.local_addrs().map_err(failed)?;
        tracing::info!(id = %relay.id, address = %addresses[0], "relay");
        Ok(Some(Self {
            switch,
            id: relay.id,
            max_sessions: u32::try_from(relay.max_sessions).unwrap_or(u32::MAX),
            addresses,
            announce: settings.relay_announce.clone(),
        }))
    }

    /// To watch it by.
    pub(crate) fn observer(&self) -> Observer {
        self.switch.observer()
    }

    /// Has it handed out to the sides of transfers.
    pub(crate) fn join(&self, relays: &Relays) {
        let announce = self.announce.clone();
        let ports = place::ports(&self.addresses, announce.as_ref());
        let (observer, id, max_sessions) = (self.observer(), self.id, self.max_sessions);
        let name = RelayName::parse(NAME).expect("it is one");
        let standing = move || {
            let now = observer.snapshot();
            Relay {
                id,
                name: name.clone(),
                host: announce.as_ref().map(|place| place.host.clone()),
                ports: ports.clone(),
                sessions: u32::try_from(now.sessions).unwrap_or(u32::MAX),
                max_sessions,
                draining: now.is_leaving,
            }
        };
        relays.own(from_here(self.addresses[0]), Box::new(standing));
    }

    /// Passes datagrams on until `stopping` is cancelled; then until the last session or the grace is over. A relay that fails
    /// is no reason to end the server.
    pub(crate) async fn run(self, stopping: CancellationToken, grace: Duration) {
        if let Err(error) = self.switch.run(stopping, grace).await {
            tracing::error!(error = %crate::report(&error), "no relay any more in this process");
        }
    }
}

/// Where the relay listens that is to listen here: on the next port too, and on IPv4 alone where all addresses are meant and the
/// machine has no IPv6.
pub(crate) fn addresses(listen: SocketAddr) -> Vec<SocketAddr> {
    let is_all_of_ipv6 = listen.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED);
    let ip = if is_all_of_ipv6 && !has_ipv6() { Ipv4Addr::UNSPECIFIED.into() } else { listen.ip() };
    // Any port has any port beside it.
    let next = if listen.port() == 0 { Some(0) } else { listen.port().checked_add(1) };
    [listen.port()].into_iter().chain(next).map(|port| SocketAddr::new(ip, port)).collect()
}

/// How this machine reaches what listens there.
fn from_here(listening: SocketAddr) -> SocketAddr {
    let ip = match listening.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        one => one,
    };
    SocketAddr::new(ip, listening.port())
}

fn has_ipv6() -> bool {
    let tried = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0));
    tried.err().and_then(|error| error.raw_os_error()) != Some(NO_IPV6)
}

/// The same at each start, and another for each server, also of those that share a secret.
fn own_id(settings: &Settings, secret: &SecretKey, address: SocketAddr) -> RelayId {
    let mut hasher = blake3::Hasher::new_derive_key(ID_CONTEXT);
    let host = rustix::system::uname();
    let data_root = settings.data_root.canonicalize().unwrap_or_else(|_| settings.data_root.clone());
    let place = format!("{address}\0{}\0{}", host.nodename().to_string_lossy(), data_root.display());
    hasher.update(secret.as_bytes()).update(b"\0").update(place.as_bytes());
    let mut id = [0; 16];
    hasher.finalize_xof().fill(&mut id);
    RelayId(uuid::Builder::from_random_bytes(id).into_uuid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_listens_everywhere_is_reached_by_loopback() {
        for (listening, reached) in
            [("0.0.0.0:8444", "127.0.0.1:8444"), ("[::]:8444", "[::1]:8444"), ("192.0.2.1:8444", "192.0.2.1:8444")]
        {
            assert_eq!(from_here(listening.parse().unwrap()), reached.parse().unwrap());
        }
    }

    #[test]
    fn a_relay_takes_the_next_port_too_if_there_is_one() {
        let taken = |text: &str| addresses(text.parse().unwrap()).iter().map(SocketAddr::port).collect::<Vec<_>>();
        assert_eq!(taken("127.0.0.1:8444"), [8_444, 8_445]);
        assert_eq!(taken("127.0.0.1:65535"), [65_535]);
        assert_eq!(taken("[::]:0"), [0, 0]);
    }
}
