//! Tunnels: datagrams to and from a relay, for a client whose network lets no UDP through.

use super::connection::{Ending, gone};
use crate::services::{Traveller, Tunnel, Tunnels};
use hypersend_net::{
    frames::{FrameReader, RecvError, send},
    stream::SendStream,
    tunnel::{self, Far, TunnelError},
};
use hypersend_protocol::{
    id::RelayId,
    refusal::{ErrorCode, Refusal},
    signal::RelaySeat,
    tunnel::{OpenTunnel, TunnelOpen},
};
use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};
use tokio_util::sync::CancellationToken;

/// Where the tunnels of one connection may lead.
pub(super) struct Ends {
    tunnels: Tunnels,
    /// Whose connection it is.
    traveller: Traveller,
    /// The relays that were named on it: no more than there are.
    named: Mutex<HashMap<RelayId, RelaySeat>>,
}

impl Ends {
    /// Nowhere, until relays are named.
    pub(super) fn new(tunnels: Tunnels, traveller: Traveller) -> Self {
        Self { tunnels, traveller, named: Mutex::default() }
    }

    /// The client is told of these relays.
    pub(super) fn name(&self, relays: &[RelaySeat]) {
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        named.extend(relays.iter().map(|seat| (seat.relay, seat.clone())));
    }

    fn named(&self, relay: RelayId) -> Option<RelaySeat> {
        self.named.lock().unwrap_or_else(PoisonError::into_inner).get(&relay).cloned()
    }
}

/// Opens a tunnel, if the client may have it.
pub(super) async fn dig(ends: &Ends, open: OpenTunnel) -> Result<Tunnel, Ending> {
    let seat = ends.named(open.relay);
    let seat = seat.ok_or_else(|| Refusal::new(ErrorCode::NotFound, "no relay of this id was named to you here"))?;
    Ok(ends.tunnels.open(ends.traveller, &seat).await?)
}

/// Carries datagrams until the client has enough.
pub(super) async fn carry(
    tunnel: &Tunnel,
    out: &mut SendStream,
    reader: &mut FrameReader,
    ending: &CancellationToken,
) -> Result<(), Ending> {
    send(out, &TunnelOpen {}).await.map_err(gone)?;
    tracing::debug!(relay = %tunnel.relay, "a tunnel is open");
    let carried = tokio::select! {
        carried = tunnel::carry(&tunnel.socket, Far::At(tunnel.relay), out, reader) => carried,
        () = ending.cancelled() => return Ok(()),
    };
    carried.map_err(|error| match error {
        TunnelError::Received(RecvError::Frame(error)) => error.into(),
        error => {
            tracing::debug!(%error, "a tunnel has broken");
            Ending::Gone
        }
    })
}
