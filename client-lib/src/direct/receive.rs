//! The receiver's side: accept, carry, and fetch from the server what the sender had to put there.

use super::{
    carry::{Carried, carry, name, tell_path},
    error::DirectError,
    line::Line,
    meeting::{Meeting, Terms},
    send::is_never_stored,
    session::{ended, follow, open_signals},
    stored,
    transfer::{DirectTransfer, Told, Whereabouts, unless},
};
use crate::{Client, ClientError};
use hypersend_paths::Role;
use hypersend_peer::{ReceiveError, Received, Receiving};
use hypersend_protocol::p2p::{P2pPath, P2pSession, P2pStatus};
use std::path::{Path, PathBuf};
use tokio_util::sync::CancellationToken;

/// How to receive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReceiveOptions {
    /// Whether to use relays alone, so that the other side learns no address of this one. False.
    pub relay_only: bool,
}

impl Client {
    /// Accepts what is offered, or goes on with what was accepted, and puts it into a folder. Begins at once. What is there
    /// under the same name stays, and what arrives gets a number.
    pub fn receive_direct(
        &self,
        session: P2pSession,
        folder: impl AsRef<Path>,
        options: ReceiveOptions,
    ) -> DirectTransfer<Received> {
        let (client, folder) = (self.clone(), folder.as_ref().to_owned());
        DirectTransfer::start(Whereabouts::Waiting, move |told, cancel| async move {
            told.session.send_replace(Some(session.clone()));
            Run { client, session, folder, options, told, cancel }.run().await
        })
    }
}

struct Run {
    client: Client,
    session: P2pSession,
    folder: PathBuf,
    options: ReceiveOptions,
    told: Told,
    cancel: CancellationToken,
}

impl Run {
    async fn run(self) -> Result<Received, DirectError> {
        let id = self.session.id;
        let session = unless(&self.cancel, self.accept()).await?;
        if session.status != P2pStatus::Accepted {
            return Err(ended(session.status));
        }
        let done = self.receive(&session).await;
        let status = match &done {
            Ok(_) => P2pStatus::Finished,
            Err(error) if error.is_own_cancellation() || error.is_others_cancellation() => P2pStatus::Cancelled,
            // What the sender cannot repair by trying again. A full disk or a name in the way can be mended here.
            Err(
                DirectError::NotAgreed
                | DirectError::NoMessage
                | DirectError::Receive(ReceiveError::Listing(_) | ReceiveError::Nonsense(_)),
            ) => P2pStatus::Failed,
            Err(_) => return done,
        };
        // Everything is in its place, whatever the server says to that.
        if let Err(error) = self.client.change_p2p(id, Some(status), None).await {
            tracing::warn!(session = %id, %error, "the server does not take how the transfer ended");
        }
        done
    }

    async fn accept(&self) -> Result<P2pSession, ClientError> {
        match self.session.status {
            P2pStatus::Offered => self.client.change_p2p(self.session.id, Some(P2pStatus::Accepted), None).await,
            _ => self.client.p2p_session(self.session.id).await,
        }
    }

    async fn receive(&self, session: &P2pSession) -> Result<Received, DirectError> {
        if session.path == Some(P2pPath::Stored) {
            return self.fetch(session).await;
        }
        let mut channel = unless(&self.cancel, open_signals(&self.client, session.id)).await?;
        // It is for the sender to give up.
        let terms = Terms {
            relay_only: self.options.relay_only,
            seek: None,
            wait: None,
            is_never_stored: is_never_stored(session),
        };
        let mut meeting = Meeting::open(Role::Receiver, session.id, &mut channel, self.client.server().host(), terms)?;
        let agreed = Some(session.files.clone());
        let mut receiving = Receiving::start(self.folder.clone(), tag(session), agreed);
        let path = tell_path(self.client.clone(), session.id, self.told.whereabouts.subscribe());
        let stored =
            follow(&self.client, session.id, |now| (now.path == Some(P2pPath::Stored)).then_some(Carried::NoWay));
        let carried = tokio::select! {
            carried = carry(&mut meeting, &mut receiving, &self.told, &self.cancel) => carried,
            stored = stored => stored.map_err(Into::into),
        };
        drop(path);
        let done = match carried {
            Ok(Carried::Done(received)) => Ok(received),
            // The engine has told all it has to tell.
            Err(DirectError::Receive(error)) => Err(error.into()),
            cut_short => match take_what_is_there(&meeting, receiving).await {
                Some(received) => Ok(received),
                None => match cut_short {
                    // The server's copy is fetched, from what has arrived on.
                    Ok(Carried::NoWay) => self.fetch(session).await,
                    Ok(_) => Err(ended(self.client.p2p_session(session.id).await?.status)),
                    Err(error) => Err(error),
                },
            },
        };
        meeting.close(&self.told).await;
        done
    }

    async fn fetch(&self, session: &P2pSession) -> Result<Received, DirectError> {
        self.told.whereabouts(Whereabouts::Stored);
        unless(&self.cancel, stored::fetch(&self.client, session, &self.folder, &self.told)).await
    }
}

/// Everything, if it had arrived before the carrying was cut short: what remains to be done needs nobody else.
pub(super) async fn take_what_is_there<L: Line>(
    meeting: &Meeting<'_, L>,
    mut receiving: Receiving,
) -> Option<Received> {
    for path in meeting.ways() {
        receiving.remove_path(name(path));
    }
    receiving.cancel();
    receiving.finish().await.ok()
}

/// Tells senders apart, so that nobody's file goes on with what came from another.
pub(super) fn tag(session: &P2pSession) -> [u8; 32] {
    let mut hasher = sha2::Sha256::default();
    sha2::Digest::update(&mut hasher, b"hypersend sender 1");
    sha2::Digest::update(&mut hasher, session.sender.0.as_bytes());
    sha2::Digest::finalize(hasher).into()
}
