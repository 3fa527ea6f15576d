//! The ports: UDP and TCP of one number. Each sends a connection to its door by ALPN.

mod quic;
mod socket;
mod tcp;

pub use quic::{DoorClosed, QuicListener};
pub use tcp::TcpListener;

use crate::{metrics::Metrics, native, services::Services};
use axum::Router;
use std::{io, net::SocketAddr, time::Duration};

/// How long connections may take to finish what is in flight when the server stops.
pub(crate) const GRACE: Duration = Duration::from_secs(6);

/// The door did not open.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address cannot be bound.
    #[error("listen on {address}; is another server running there?")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The certificate and key do not work together or with QUIC.
    #[error("use the certificate")]
    Tls(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// What is behind the ports.
#[derive(Clone)]
pub struct Doors {
    native: native::Door,
    http: Router,
    metrics: Metrics,
}

impl std::fmt::Debug for Doors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Doors").finish_non_exhaustive()
    }
}

impl Doors {
    /// The native door to these services, and the HTTP door by this router.
    pub(crate) fn new(services: Services, http: Router) -> Self {
        Self { metrics: services.metrics.clone(), native: native::Door::new(services), http }
    }
}
