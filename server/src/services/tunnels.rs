//! Tunnels: how people without accounts reach relays where their network lets no UDP through.
//!
//! A tunnel leads to a relay that this server has named to them, and to nothing else; what goes through it is the relay's to judge,
//! as what comes by UDP.

use super::Relays;
use hypersend_net::tunnel;
use hypersend_protocol::{
    refusal::{ErrorCode, Refusal},
    signal::RelaySeat,
};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::{UdpSocket, lookup_host},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// Tunnels of all connections at once: each has a socket, and processes have some thousands.
pub const MAX_TUNNELS_OF_ALL: usize = 1_000;

/// How long it may take to find a relay's host.
const LOOKUP: Duration = Duration::from_secs(5);

/// The service of tunnels; cloning shares it.
#[derive(Clone, Debug)]
pub struct Tunnels {
    relays: Relays,
    places: Arc<Semaphore>,
}

/// One end of a tunnel: a socket that is this tunnel's alone, until it is dropped.
#[derive(Debug)]
pub struct Tunnel {
    /// By which datagrams go and come.
    pub socket: UdpSocket,
    /// The relay.
    pub relay: SocketAddr,
    _place: OwnedSemaphorePermit,
}

/// Why there is no tunnel.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// There are too many.
    #[error("{MAX_TUNNELS_OF_ALL} tunnels lead through this server already; try again later")]
    TooMany,
    /// Its host is not known here, or not said.
    #[error("this server does not find that relay")]
    NotFound,
    /// The system gives no socket.
    #[error("open a UDP socket")]
    Socket(#[from] io::Error),
}

impl From<TunnelError> for Refusal {
    fn from(error: TunnelError) -> Self {
        let message = error.to_string();
        match error {
            TunnelError::TooMany => Self::new(ErrorCode::LimitReached, message).with_limit(MAX_TUNNELS_OF_ALL as u64),
            TunnelError::NotFound => Self::new(ErrorCode::NotFound, message),
            TunnelError::Socket(error) => {
                tracing::error!(error = %crate::report(&error), "no socket for a tunnel");
                super::internal()
            }
        }
    }
}

impl Tunnels {
    /// To relays that this service hands out.
    pub fn new(relays: Relays) -> Self {
        Self { relays, places: Arc::new(Semaphore::new(MAX_TUNNELS_OF_ALL)) }
    }

    /// Opens a tunnel to a relay that somebody has a seat at.
    pub async fn open(&self, seat: &RelaySeat) -> Result<Tunnel, TunnelError> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| TunnelError::TooMany)?;
        let relay = self.address(seat).await.ok_or(TunnelError::NotFound)?;
        let any = if relay.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = tunnel::bind(SocketAddr::new(any, 0))?;
        Ok(Tunnel { socket, relay, _place: place })
    }

    async fn address(&self, seat: &RelaySeat) -> Option<SocketAddr> {
        if let Some(own) = self.relays.own_address(seat.relay) {
            return Some(own);
        }
        let (host, &port) = (seat.host.as_ref()?, seat.ports.first()?);
        match timeout(LOOKUP, lookup_host((host.as_str(), port))).await {
            Ok(Ok(mut found)) => found.next(),
            not_found => {
                let error = not_found.map(|found| found.map(drop));
                tracing::warn!(relay = %seat.name, ?error, "a relay's host is not found");
                None
            }
        }
    }
}
