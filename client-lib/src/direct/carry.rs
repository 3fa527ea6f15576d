//! Files and ways together.

use super::{
    error::DirectError,
    line::Line,
    meeting::{Happening, Meeting},
    transfer::{Told, Whereabouts},
};
use crate::Client;
use hypersend_paths::Way;
use hypersend_peer::{PathId, Progress, Rank, ReceiveError, Received, Receiving, SendError, Sending, Sent};
use hypersend_protocol::{id::P2pId, p2p::P2pPath, refusal::ErrorCode};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// Either end of the files' way.
pub(super) trait Engine {
    type Done;
    type Error: Into<DirectError>;

    fn add_path(&self, path: PathId, rank: Rank, connection: quinn::Connection);
    fn remove_path(&self, path: PathId);
    fn progress(&self) -> watch::Receiver<Option<Progress>>;
    /// The path on which bytes last went.
    fn current_path(&self) -> watch::Receiver<Option<PathId>>;
    /// Calls it off; the other side is told where there is a way to it.
    fn call_off(&self) -> impl Future<Output = ()> + Send;
    /// Waits until everything is across. Cancel safe.
    fn end(&mut self) -> impl Future<Output = Result<Self::Done, Self::Error>> + Send;
}

impl Engine for Sending {
    type Done = Sent;
    type Error = SendError;

    fn add_path(&self, path: PathId, rank: Rank, connection: quinn::Connection) {
        self.add_path(path, rank, connection);
    }

    fn remove_path(&self, path: PathId) {
        self.remove_path(path);
    }

    fn progress(&self) -> watch::Receiver<Option<Progress>> {
        self.progress()
    }

    fn current_path(&self) -> watch::Receiver<Option<PathId>> {
        self.current_path()
    }

    async fn call_off(&self) {
        self.cancel(ErrorCode::Cancelled).await;
    }

    async fn end(&mut self) -> Result<Sent, SendError> {
        self.finish().await
    }
}

impl Engine for Receiving {
    type Done = Received;
    type Error = ReceiveError;

    fn add_path(&self, path: PathId, rank: Rank, connection: quinn::Connection) {
        self.add_path(path, rank, connection);
    }

    fn remove_path(&self, path: PathId) {
        self.remove_path(path);
    }

    fn progress(&self) -> watch::Receiver<Option<Progress>> {
        self.progress()
    }

    fn current_path(&self) -> watch::Receiver<Option<PathId>> {
        self.current_path()
    }

    async fn call_off(&self) {
        self.cancel();
    }

    async fn end(&mut self) -> Result<Received, ReceiveError> {
        self.finish().await
    }
}

/// How the carrying ended.
pub(super) enum Carried<T> {
    /// Everything is across.
    Done(T),
    /// There is no way, though the other side is there.
    NoWay,
    /// The server says that the session is over, or the other side that it has finished.
    Over,
}

/// Has the engine use every way of the meeting, until it is done, or there is none.
pub(super) async fn carry<E: Engine, L: Line>(
    meeting: &mut Meeting<'_, L>,
    engine: &mut E,
    told: &Told,
    cancel: &CancellationToken,
) -> Result<Carried<E::Done>, DirectError> {
    let (mut progress, mut current) = (engine.progress(), engine.current_path());
    let mut called_off = false;
    loop {
        let used = *current.borrow_and_update();
        let now = meeting.whereabouts(|path| Some(name(path)) == used);
        // Who has everything may leave before that is heard to its end, and is not waited for.
        let is_across = progress.borrow().is_some_and(|now| now.stored_bytes == now.total_bytes);
        if !is_across || matches!(now, Whereabouts::Carried(_)) {
            told.whereabouts(now);
        }
        tokio::select! {
            biased;
            done = engine.end() => return match done {
                Ok(done) => Ok(Carried::Done(done)),
                Err(error) => Err(error.into()),
            },
            () = cancel.cancelled(), if !called_off => {
                called_off = true;
                engine.call_off().await;
            }
            Ok(()) = progress.changed() => {
                told.progress.send_replace(*progress.borrow_and_update());
            }
            Ok(()) = current.changed() => {}
            happening = meeting.next(told) => match happening? {
                Happening::Up(path, way, connection) => engine.add_path(name(path), rank(&way), connection),
                Happening::Down(path) => engine.remove_path(name(path)),
                Happening::Peer => {}
                Happening::Over => return Ok(Carried::Over),
                Happening::NoWay => return Ok(Carried::NoWay),
            },
        }
    }
}

fn rank(way: &Way) -> Rank {
    if way.is_direct() { Rank::Direct } else { Rank::Relayed }
}

/// The same name: no session has four billion connections.
pub(super) fn name(path: hypersend_paths::PathId) -> PathId {
    PathId(u32::try_from(path.0).unwrap_or(u32::MAX))
}

/// Tells the server, for both sides to see, which kind of way is used: as often as that changes, for as long as this is kept.
pub(super) fn tell_path(
    client: Client,
    session: P2pId,
    mut whereabouts: watch::Receiver<Whereabouts>,
) -> AbortOnDropHandle<()> {
    AbortOnDropHandle::new(tokio::spawn(async move {
        let mut said = None;
        loop {
            let now = match &*whereabouts.borrow_and_update() {
                Whereabouts::Carried(Way::Direct(_)) => Some(P2pPath::Direct),
                Whereabouts::Carried(Way::Relayed { .. }) => Some(P2pPath::Relayed),
                _ => None,
            };
            if now.is_some() && now != said {
                said = now;
                // Nothing depends on it.
                if let Err(error) = client.change_p2p(session, None, now).await {
                    tracing::debug!(%session, %error, "the server does not take the path");
                }
            }
            if whereabouts.changed().await.is_err() {
                return;
            }
        }
    }))
}
