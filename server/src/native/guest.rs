//! A connection that speaks for nobody: it has one stream, which is one side of a mailbox.

use super::{
    connection::{Ending, Rejected, tell},
    crowd::{Crowd, Place},
    greeting::check_version,
    signal_stream::{Talked, talk},
};
use crate::services::{Guest, MailboxError, OpenMailbox, SignalLine};
use hypersend_net::{
    connection::Connection,
    frames::{FrameReader, send},
    stream::SendStream,
};
use hypersend_protocol::{
    mailbox::MailboxOpen,
    refusal::{ErrorCode, Refusal},
};
use tokio_util::sync::CancellationToken;

/// Somebody without an account, and their side of a mailbox.
pub(super) struct Visit {
    line: SignalLine,
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
        mut out: SendStream,
        reader: FrameReader,
    ) -> Result<Self, Rejected> {
        let OpenMailbox { id, nameplate, lasts, line } = mailbox;
        let lasts_ms = u64::try_from(lasts.as_millis()).unwrap_or(u64::MAX);
        let open = MailboxOpen { mailbox: id, nameplate, lasts_ms, relays: line.relays().to_vec() };
        send(&mut out, &open).await.map_err(|_| Rejected::Gone)?;
        tracing::debug!(mailbox = %id, "a guest is connected");
        Ok(Self { line, out, reader, _place: place })
    }

    /// Serves the stream to its end; says with which code to close the connection.
    pub(super) async fn serve(mut self, connection: &Connection, stopping: &CancellationToken) -> ErrorCode {
        let ended = tokio::select! {
            talked = talk(&mut self.line, &mut self.out, &mut self.reader, stopping) => talked,
            other = connection.accept_bi() => match other {
                Ok(_) => Err(Refusal::new(ErrorCode::UnexpectedFrame, "a mailbox's connection has one stream").into()),
                Err(_) => Err(Ending::Gone),
            },
        };
        let ended = match ended {
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
