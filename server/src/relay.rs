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
use hypersend_relay::{Observer, Switch};
use std::{
    error::Error as _,
    io,
    net::{Ipv4Addr, SocketAddr},
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
        let Some(address) = settings.relay_listen else { return Ok(None) };
        let mut cookie_secret = [0; 32];
        getrandom::fill(&mut cookie_secret).expect("the kernel gives random bytes");
        let mut relay = hypersend_relay::Settings::new(
            own_id(settings, secret, address),
            TicketKey::new(secret).public(),
            cookie_secret,
        );
        relay.capacity = settings.relay_capacity;
        let failed = |source| RelayPortError { address, source };
        let switch = match bind(&relay, address) {
            // A machine without IPv6.
            Err(error) if address.ip().is_unspecified() && error.raw_os_error() == Some(NO_IPV6) => {
                bind(&relay, SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
            }
            bound => bound,
        };
        let switch = switch.map_err(failed)?;
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
        let mut ports: Vec<u16> = self.addresses.iter().map(SocketAddr::port).collect();
        let announce = self.announce.clone();
        if let (Some(port), Some(first)) = (announce.as_ref().and_then(|place| place.port), ports.first_mut()) {
            *first = port;
        }
        let (observer, id, max_sessions) = (self.observer(), self.id, self.max_sessions);
        let name = RelayName::parse(NAME).expect("it is one");
        relays.own(Box::new(move || {
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
        }));
    }

    /// Passes datagrams on until `stopping` is cancelled; then until the last session or the grace is over. A relay that fails
    /// is no reason to end the server.
    pub(crate) async fn run(self, stopping: CancellationToken, grace: Duration) {
        if let Err(error) = self.switch.run(stopping, grace).await {
            tracing::error!(error = %crate::report(&error), "no relay any more in this process");
        }
    }
}

fn bind(relay: &hypersend_relay::Settings, address: SocketAddr) -> io::Result<Switch> {
    // Any port has any port beside it.
    let next = if address.port() == 0 { Some(0) } else { address.port().checked_add(1) };
    let next = next.map(|port| SocketAddr::new(address.ip(), port));
    let addresses: Vec<SocketAddr> = [address].into_iter().chain(next).collect();
    Switch::bind(relay, &addresses, 1).map_err(|error| {
        let kind = error.source().and_then(|source| source.downcast_ref::<io::Error>());
        match kind.and_then(io::Error::raw_os_error) {
            Some(code) => io::Error::from_raw_os_error(code),
            None => io::Error::other(error),
        }
    })
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
