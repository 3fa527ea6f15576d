//! A connection that speaks for nobody: its first stream is one side of a mailbox, and any others are tunnels.

use super::{
    connection::{Ending, Rejected, end, has_room, opening, tell},
    crowd::{Crowd, Place},
    greeting::check_version,
    signal_stream::{Talked, talk},
    tunnel,
};
use crate::services::{Guest, MailboxError, OpenMailbox, SignalLine};
use hypersend_net::{
    connection::Connection,
    frames::{FrameReader, send},
    stream::{RecvStream, SendStream},
    transport::{GUEST_SEND_WINDOW, TUNNEL_WINDOW},
};
use hypersend_protocol::{
    mailbox::MailboxOpen,
    refusal::{ErrorCode, Refusal},
    stream::priority,
};
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// Somebody without an account, and their side of a mailbox.
pub(super) struct Visit {
    line: SignalLine,
    tunnels: Arc<tunnel::Ends>,
    out: SendStream,
    reader: FrameReader,
    /// Held as long as the connection is served.
    _place: Place,
}

/// Lets somebody in to a mailbox, which is opened only for who may come in.
pub(super) async fn enter(
    crowd: &Crowd,
    guest: Guest,
    version: u32,
    opening: impl Future<Output = Result<OpenMailbox, MailboxError>>,
) -> Result<(OpenMailbox, Place), Refusal> {
    check_version(version)?;
    let place = crowd.enter_guest(guest)?;
    Ok((opening.await?, place))
}

impl Visit {
    /// Tells the caller that the mailbox is open.
    pub(super) async fn begin(
        (mailbox, place): (OpenMailbox, Place),
        tunnels: tunnel::Ends,
        mut out: SendStream,
        reader: FrameReader,
    ) -> Result<Self, Rejected> {
        let OpenMailbox { id, nameplate, lasts, line } = mailbox;
        tunnels.name(line.relays());
        let lasts_ms = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
        let open = MailboxOpen { mailbox: id, nameplate, lasts_ms, relays: line.relays().to_vec() };
        send(&mut out, &open).await.map_err(|_| Rejected::Gone)?;
        tracing::debug!(mailbox = %id, "a guest is connected");
        Ok(Self { line, tunnels: Arc::new(tunnels), out, reader, _place: place })
    }

    /// Serves the stream to its end, and tunnels until then; says with which code to close the connection.
    pub(super) async fn serve(mut self, connection: &Connection, stopping: &CancellationToken) -> ErrorCode {
        connection.narrow(GUEST_SEND_WINDOW);
        let talked = tokio::select! {
            talked = talk(&mut self.line, &mut self.out, &mut self.reader, stopping) => talked,
            () = dig(connection, &self.tunnels, stopping) => Err(Ending::Gone),
        };
        let ended = match talked {
            // Whoever finishes has left for good.
            Ok(Talked::Finished) => self.line.leave().await.map_err(Ending::from),
            Ok(Talked::Ending) => {
                Err(Refusal::new(ErrorCode::Stopping, "the server is stopping; connect again in a moment").into())
            }
            Err(ending) => Err(ending),
        };
        match ended {
            Ok(()) => {
                self.out.finish();
                tell(&mut self.out).await;
                ErrorCode::Closed
            }
            Err(Ending::Refused(refusal)) => {
                if send(&mut self.out, &refusal).await.is_ok() {
                    self.out.finish();
                    tell(&mut self.out).await;
                }
                refusal.code
            }
            Err(Ending::Gone) => ErrorCode::Closed,
        }
    }
}

/// Serves tunnels until the connection ends.
async fn dig(connection: &Connection, ends: &Arc<tunnel::Ends>, stopping: &CancellationToken) {
    let mut tunnels = JoinSet::new();
    loop {
        tokio::select! {
            accepted = connection.accept_bi(), if has_room(&tunnels) => match accepted {
                Ok((out, stream)) => {
                    let tunnel = serve_tunnel(connection.clone(), ends.clone(), out, stream, stopping.clone());
                    tunnels.spawn(tunnel.in_current_span());
                }
                Err(_) => return,
            },
            Some(_) = tunnels.join_next() => {}
            _ = connection.closed() => return,
        }
    }
}

async fn serve_tunnel(
    connection: Connection,
    ends: Arc<tunnel::Ends>,
    mut out: SendStream,
    stream: RecvStream,
    stopping: CancellationToken,
) {
    out.set_priority(priority::BULK);
    let mut reader = FrameReader::new(stream);
    let carrying = async {
        let tunnel = tunnel::dig(&ends, opening(&mut reader).await?).await?;
        connection.widen(TUNNEL_WINDOW);
        tunnel::carry(&tunnel, &mut out, &mut reader, &stopping).await
    };
    match carrying.await {
        Ok(()) => out.finish(),
        Err(ending) => end(out, reader, ending).await,
    }
}
