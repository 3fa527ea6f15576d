//! The one connection of a client, kept alive.
//!
//! A keeper task dials, has a [`Caller`] say who is calling, and watches; over TCP it goes on trying QUIC. Everybody else
//! asks [`Link::live`] for the connection of the moment, and when an attempt on it comes out as lost asks again. While the
//! server is stopping, the old connection finishes what it carries, and whoever asks waits for the next one; likewise when
//! QUIC takes the place of TCP.

mod account;
mod bulk;
mod caller;
mod dial;
mod greet;
mod keeper;
mod silence;

use crate::{Config, ServerAddress, error::ClientError};
pub(crate) use account::Account;
pub(crate) use bulk::Bulk;
pub(crate) use caller::{Caller, Nobody};
pub(crate) use dial::{DialError, Ways, dial, endpoint};
use hypersend_net::connection::{Connection, Transport};
use hypersend_protocol::session::Welcome;
use std::{fmt, sync::Arc, time::Duration};
use tokio::sync::watch;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// What the client is doing about its connection.
#[derive(Clone, Debug)]
pub enum Status {
    /// Trying to connect: not yet answered, or about to try again.
    Connecting {
        /// Attempts that have failed since the last connection.
        failures: u32,
        /// Why the last one failed.
        reason: Option<String>,
        /// How long until the next one.
        next: Duration,
    },
    /// Connected.
    Connected {
        /// What carries the connection.
        over: Transport,
    },
    /// It will not connect again.
    Ended(ClientError),
}

/// A connection on which it was said who is calling, and what the server said to that.
#[derive(Clone)]
pub(crate) struct Live<W = Arc<Welcome>> {
    pub(crate) connection: Connection,
    pub(crate) welcome: W,
    /// Cancelled when nothing new begins on this connection: the server is stopping, or there is a better one.
    pub(crate) draining: CancellationToken,
    /// What all transfers on this connection share.
    pub(crate) bulk: Arc<Bulk>,
}

impl<W> fmt::Debug for Live<W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live").field("connection", &self.connection).finish_non_exhaustive()
    }
}

/// How long a stream may have been lost alone before it is tried again on the same connection.
const STREAM_RETRY: Duration = Duration::from_secs(1);

impl<W> Live<W> {
    /// Returns when something on this connection was lost and asking [`Link::live`] again makes sense: the connection is
    /// closed or begins nothing new, or, if only a stream was lost, after a moment.
    pub(crate) async fn gone(&self) {
        self.gone_or(STREAM_RETRY).await;
    }

    /// Likewise, after a wait that somebody asked for.
    pub(crate) async fn gone_or(&self, wait: Duration) {
        tokio::select! {
            _ = self.connection.closed() => {}
            () = self.draining.cancelled() => {}
            () = tokio::time::sleep(wait) => {}
        }
    }
}

#[derive(Clone, Debug)]
enum State<W> {
    Connecting { failures: u32, reason: Option<String>, next: Duration },
    Connected(Live<W>),
    Ended(ClientError),
}

/// There will be no connection any more.
#[derive(Clone, Debug)]
pub(crate) struct Closed(pub(crate) ClientError);

impl From<Closed> for ClientError {
    fn from(closed: Closed) -> Self {
        closed.0
    }
}

/// The way to the server, whatever connection it is at the moment.
#[derive(Debug)]
pub(crate) struct Link<W = Arc<Welcome>> {
    state: watch::Receiver<State<W>>,
    server: ServerAddress,
    closing: CancellationToken,
    _keeper: AbortOnDropHandle<()>,
}

impl<W: Clone + Send + Sync + 'static> Link<W> {
    /// Begins to connect. Must be called within a tokio runtime.
    pub(crate) fn start(config: Config, caller: impl Caller<Welcome = W>) -> Result<Self, ClientError> {
        let endpoint = endpoint()?;
        let server = config.server.clone();
        let (sender, state) = watch::channel(State::Connecting { failures: 0, reason: None, next: Duration::ZERO });
        let closing = CancellationToken::new();
        let keeper = keeper::Keeper::new(endpoint, config, caller, sender, closing.clone());
        let keeper = tokio::spawn(keeper.run());
        Ok(Self { state, server, closing, _keeper: AbortOnDropHandle::new(keeper) })
    }

    /// Which server.
    pub(crate) fn server(&self) -> &ServerAddress {
        &self.server
    }

    /// The connection of the moment; waits for one that begins new things.
    pub(crate) async fn live(&self) -> Result<Live<W>, Closed> {
        let mut state = self.state.clone();
        loop {
            match &*state.borrow_and_update() {
                State::Connected(live) if !live.connection.is_closed() => return Ok(live.clone()),
                State::Ended(error) => return Err(Closed(error.clone())),
                State::Connected(_) | State::Connecting { .. } => {}
            }
            state.changed().await.map_err(|_| Closed(ClientError::Closed))?;
        }
    }

    /// What is going on.
    pub(crate) fn status(&self) -> Status {
        status(&self.state.borrow())
    }

    /// Waits until something else is going on, and says what.
    pub(crate) async fn changed(&self, seen: &mut StatusCursor<W>) -> Status {
        let state = seen.0.get_or_insert_with(|| self.state.clone());
        if state.changed().await.is_err() {
            return std::future::pending().await;
        }
        status(&state.borrow_and_update())
    }

    /// Ends the connection in good order.
    pub(crate) async fn close(&self) {
        self.closing.cancel();
        let mut state = self.state.clone();
        let _ = state.wait_for(|state| matches!(state, State::Ended(_))).await;
    }
}

impl<W> Drop for Link<W> {
    fn drop(&mut self) {
        // What finishes on an old connection finishes for nobody.
        self.closing.cancel();
    }
}

/// What a caller of [`Link::changed`] has seen.
#[derive(Debug)]
pub(crate) struct StatusCursor<W = Arc<Welcome>>(Option<watch::Receiver<State<W>>>);

impl<W> Default for StatusCursor<W> {
    fn default() -> Self {
        Self(None)
    }
}

fn status<W>(state: &State<W>) -> Status {
    match state {
        State::Connecting { failures, reason, next } => {
            Status::Connecting { failures: *failures, reason: reason.clone(), next: *next }
        }
        State::Connected(live) => Status::Connected { over: live.connection.transport() },
        State::Ended(error) => Status::Ended(error.clone()),
    }
}
