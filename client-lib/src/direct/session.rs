//! What the server says of a session, as it comes to be.

use super::error::DirectError;
use crate::{Client, ClientError, SignalChannel};
use hypersend_protocol::{
    event::{EventUpdate, Happening},
    id::P2pId,
    p2p::{P2pSession, P2pStatus},
    refusal::ErrorCode,
};
use std::time::Duration;
use tokio::time::timeout;

/// How often a session is looked at without an event: one may have been missed.
const LOOK: Duration = Duration::from_secs(30);

/// Looks at a session now and whenever something may have become of it, until `look` has seen what it is after.
pub(super) async fn follow<T>(
    client: &Client,
    id: P2pId,
    mut look: impl FnMut(P2pSession) -> Option<T>,
) -> Result<T, ClientError> {
    // Listens first and looks then, so that nothing falls between.
    let mut events = client.events(None);
    loop {
        match client.p2p_session(id).await {
            Ok(session) => {
                if let Some(seen) = look(session) {
                    return Ok(seen);
                }
            }
            // What is under way needs the server less than this does.
            Err(error) if error.code().is_some_and(ErrorCode::is_transient) => {
                tracing::debug!(session = %id, %error, "looked at again later");
            }
            Err(error) => return Err(error),
        }
        let news = async {
            loop {
                match events.next().await? {
                    EventUpdate::Event(event) if !is_about(&event.what, id) => {}
                    // Of it, or a reset, behind which there may be something of it.
                    _ => return Ok::<(), ClientError>(()),
                }
            }
        };
        if let Ok(heard) = timeout(LOOK, news).await {
            heard?;
        }
    }
}

fn is_about(what: &Happening, id: P2pId) -> bool {
    matches!(what, Happening::P2p { session, .. } if *session == id)
}

/// Opens this user's side of a session. One that is over by now is so for the reason that the server knows.
pub(super) async fn open_signals(client: &Client, session: P2pId) -> Result<SignalChannel, DirectError> {
    match client.open_signals(session).await {
        Err(error) if error.code() == Some(ErrorCode::Conflict) => {
            Err(ended(client.p2p_session(session).await?.status))
        }
        opened => Ok(opened?),
    }
}

/// What a session's end means to the side that did not bring it about.
pub(super) fn ended(status: P2pStatus) -> DirectError {
    match status {
        P2pStatus::Declined => DirectError::Declined,
        P2pStatus::Cancelled => DirectError::OtherCancelled,
        P2pStatus::Failed => DirectError::OtherFailed,
        status => DirectError::Over(status),
    }
}
