//! What the two sides of a transfer say to each other, on one side's stream.

use super::connection::{Ending, Peer, gone};
use hypersend_net::{
    frames::{FrameReader, RecvError, send},
    pace::SignalPace,
    stream::SendStream,
};
use hypersend_protocol::signal::{OpenSignals, Signal, SignalsOpen};

pub(super) async fn serve(
    peer: &Peer,
    open: OpenSignals,
    out: &mut SendStream,
    reader: &mut FrameReader,
) -> Result<(), Ending> {
    let mut line = peer.services.signals.open(&peer.me, open.session).await?;
    send(out, &SignalsOpen { relays: line.relays().to_vec() }).await.map_err(gone)?;
    let mut pace = SignalPace::default();
    loop {
        tokio::select! {
            value = line.next() => send(out, &Signal { value: value? }).await.map_err(gone)?,
            signal = next(reader, &pace) => match signal {
                Ok(Some(Signal { value })) => {
                    pace.count();
                    line.set(value).await?;
                }
                Ok(None) => return Ok(()),
                Err(RecvError::Frame(error)) => return Err(error.into()),
                Err(_) => return Err(Ending::Gone),
            },
            () = peer.ending.cancelled() => return Ok(()),
        }
    }
}

/// The client's next value, not before it may come: until then the client is held by flow control. Cancel safe.
async fn next(reader: &mut FrameReader, pace: &SignalPace) -> Result<Option<Signal>, RecvError> {
    pace.ready().await;
    reader.next().await
}
