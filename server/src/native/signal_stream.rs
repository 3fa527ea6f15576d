//! What the two sides of a transfer, or of a mailbox, say to each other, on one side's stream.

use super::connection::{Ending, Peer, gone};
use crate::services::SignalLine;
use hypersend_net::{
    frames::{FrameReader, RecvError, send},
    pace::SignalPace,
    stream::SendStream,
};
use hypersend_protocol::signal::{OpenSignals, Signal, SignalsOpen};
use tokio_util::sync::CancellationToken;

/// Why nothing more is said, when nothing is wrong.
pub(super) enum Talked {
    /// The client has finished its side.
    Finished,
    /// The connection is to end.
    Ending,
}

pub(super) async fn serve(
    peer: &Peer,
    open: OpenSignals,
    out: &mut SendStream,
    reader: &mut FrameReader,
) -> Result<(), Ending> {
    let mut line = peer.services.signals.open(&peer.me, open.session).await?;
    peer.tunnels.name(line.relays());
    send(out, &SignalsOpen { relays: line.relays().to_vec() }).await.map_err(gone)?;
    talk(&mut line, out, reader, &peer.ending).await.map(drop)
}

/// Carries what is said both ways.
pub(super) async fn talk(
    line: &mut SignalLine,
    out: &mut SendStream,
    reader: &mut FrameReader,
    ending: &CancellationToken,
) -> Result<Talked, Ending> {
    let mut pace = SignalPace::default();
    loop {
        tokio::select! {
            value = line.next() => send(out, &Signal { value: value? }).await.map_err(gone)?,
            signal = next(reader, &pace) => match signal {
                Ok(Some(Signal { value })) => {
                    pace.count();
                    line.set(value).await?;
                }
                Ok(None) => return Ok(Talked::Finished),
                Err(RecvError::Frame(error)) => return Err(error.into()),
                Err(_) => return Err(Ending::Gone),
            },
            () = ending.cancelled() => return Ok(Talked::Ending),
        }
    }
}

/// The client's next value, not before it may come: until then the client is held by flow control. Cancel safe.
async fn next(reader: &mut FrameReader, pace: &SignalPace) -> Result<Option<Signal>, RecvError> {
    pace.ready().await;
    reader.next().await
}
