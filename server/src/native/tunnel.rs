//! Tunnels to relays, on streams of a connection that speaks for nobody.

use super::connection::{Ending, gone, refuse};
use crate::services::Tunnels;
use hypersend_net::{
    frames::{FrameReader, RecvError, send},
    stream::{RecvStream, SendStream},
    tunnel::{self, Far},
};
use hypersend_protocol::{
    limit::HELLO_TIMEOUT,
    refusal::{ErrorCode, Refusal},
    signal::RelaySeat,
    stream::priority,
    tunnel::{OpenTunnel, TunnelOpen},
};
use tokio::time::timeout;

/// Serves one stream to its end. `relays`: those that were named to the client.
pub(super) async fn serve(tunnels: Tunnels, relays: Vec<RelaySeat>, mut out: SendStream, stream: RecvStream) {
    out.set_priority(priority::BULK);
    let mut reader = FrameReader::new(stream);
    match carry(&tunnels, &relays, &mut out, &mut reader).await {
        Ok(()) => out.finish(),
        Err(Ending::Refused(refusal)) => refuse(out, reader, refusal).await,
        Err(Ending::Gone) => {}
    }
}

async fn carry(
    tunnels: &Tunnels,
    relays: &[RelaySeat],
    out: &mut SendStream,
    reader: &mut FrameReader,
) -> Result<(), Ending> {
    let OpenTunnel { relay } = match timeout(HELLO_TIMEOUT, reader.expect()).await {
        Ok(Ok(open)) => open,
        Ok(Err(RecvError::Frame(error))) => return Err(error.into()),
        Ok(Err(_)) => return Err(Ending::Gone),
        Err(_) => return Err(Refusal::new(ErrorCode::TimedOut, "the stream did not say what it is").into()),
    };
    let seat = relays.iter().find(|seat| seat.relay == relay);
    let seat = seat.ok_or_else(|| Refusal::new(ErrorCode::NotFound, "no relay that was named to you has this id"))?;
    let tunnel = tunnels.open(seat).await?;
    send(out, &TunnelOpen {}).await.map_err(gone)?;
    tracing::debug!(relay = %seat.name, "a tunnel is open");
    match tunnel::carry(&tunnel.socket, Far::At(tunnel.relay), out, reader).await {
        Ok(()) => Ok(()),
        Err(tunnel::TunnelError::Received(RecvError::Frame(error))) => Err(error.into()),
        Err(error) => {
            tracing::debug!(%error, "a tunnel has broken");
            Err(Ending::Gone)
        }
    }
}
