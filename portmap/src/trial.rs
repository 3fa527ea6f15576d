//! Whether a router would give a mapping, and what: asked for once, and given back at once.

use crate::{held::Held, mapping::GIVE_BACK};
use std::{net::SocketAddr, num::NonZeroU16, time::Duration};
use tokio::time::timeout;

/// What a router gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The address by which others would reach the port.
    pub outside: SocketAddr,
    /// The protocol that it was asked by: `PCP`, `NAT-PMP` or `UPnP`.
    pub protocol: &'static str,
    /// For how long it was given.
    pub lifetime: Duration,
}

/// Asks for a mapping of this port of the host, over IPv4, and gives it back. None where no router gives one within `patience`:
/// some six seconds are what all protocols take. What a router grants later, or does not take back in three seconds more, is
/// over in 10 min by itself.
pub async fn try_out(local_port: NonZeroU16, patience: Duration) -> Option<Grant> {
    match timeout(patience, Held::obtain(local_port)).await.ok()? {
        Ok(held) => {
            let grant = Grant { outside: held.outside(), protocol: held.protocol(), lifetime: held.lifetime() };
            if timeout(GIVE_BACK, held.give_back()).await.is_err() {
                tracing::debug!("the router did not take a port mapping back");
            }
            Some(grant)
        }
        Err(error) => {
            tracing::debug!(%local_port, error = &error as &dyn std::error::Error, "no port mapping");
            None
        }
    }
}
