//! A connection that speaks for nobody: its first stream is one side of a mailbox, and any others are tunnels.

use super::{
    connection::{Ending, Rejected, refuse, tell},
    crowd::{Crowd, Place},
    greeting::check_version,
    signal_stream::{Talked, talk},
    tunnel,
};
use crate::services::{Guest, MailboxError, OpenMailbox, SignalLine, Tunnels};
use hypersend_net::{
    connection::Connection,
    frames::{FrameReader, send},
    stream::{RecvStream, SendStream},
};
use hypersend_protocol::{
    limit::MAX_TUNNELS,
    mailbox::MailboxOpen,
    refusal::{ErrorCode, Refusal},
    signal::RelaySeat,
};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

/// Somebody without an account, and their side of a mailbox.
pub(super) struct Visit {
    line: SignalLine,
    tunnels: Tunnels,
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
        tunnels: Tunnels,
        mut out: SendStream,
        reader: FrameReader,
    ) -> Result<Self, Rejected> {
        let OpenMailbox { id, nameplate, lasts, line } = mailbox;
        let lasts_ms = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
        let open = MailboxOpen { mailbox: id, nameplate, lasts_ms, relays: line.relays().to_vec() };
        send(&mut out, &open).await.map_err(|_| Rejected::Gone)?;
        tracing::debug!(mailbox = %id, "a guest is connected");
        Ok(Self { line, tunnels, out, reader, _place: place })
    }

    /// Serves the stream to its end, and tunnels until then; says with which code to close the connection.
    pub(super) async fn serve(mut self, connection: &Connection, stopping: &CancellationToken) -> ErrorCode {
        let relays = self.line.relays().to_vec();
        let talked = tokio::select! {
            talked = talk(&mut self.line, &mut self.out, &mut self.reader, stopping) => talked,
            () = dig(connection, &self.tunnels, &relays) => Err(Ending::Gone),
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
async fn dig(connection: &Connection, tunnels: &Tunnels, relays: &[RelaySeat]) {
    let mut open = JoinSet::new();
    loop {
        tokio::select! {
            accepted = connection.accept_bi() => match accepted {
                Ok((out, stream)) if open.len() < MAX_TUNNELS => {
                    open.spawn(tunnel::serve(tunnels.clone(), relays.to_vec(), out, stream).in_current_span());
                }
                Ok((out, stream)) => one_too_many(out, stream).await,
                Err(_) => return,
            },
            Some(_) = open.join_next() => {}
        }
    }
}

async fn one_too_many(out: SendStream, stream: RecvStream) {
    let message = format!("this connection has {MAX_TUNNELS} tunnels already; close one first");
    let refusal = Refusal::new(ErrorCode::LimitReached, message).with_limit(MAX_TUNNELS as u64);
    refuse(out, FrameReader::new(stream), refusal).await;
}
