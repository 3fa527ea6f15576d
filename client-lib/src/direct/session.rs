//! What the server says of a session, as it comes to be.

use crate::{Client, ClientError};
use hypersend_protocol::{
    event::{EventUpdate, Happening},
    id::P2pId,
    p2p::P2pSession,
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
