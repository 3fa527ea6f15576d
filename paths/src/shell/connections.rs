//! Connections being made and being there, each watched until its end.
//!
//! Keeps true: every task is in one set, and ends with it; a handshake with an earlier run of the other side never becomes a
//! path.

use crate::{
    core::{Moment, Route},
    event::PathId,
};
use hypersend_protocol::paths::Incarnation;
use quinn::{Connecting, Connection, VarInt};
use std::{collections::BTreeMap, time::Duration};
use tokio::{
    task::{AbortHandle, JoinSet},
    time::timeout,
};

/// Time for a handshake with an address that has just answered a probe.
const DIRECT: Duration = Duration::from_secs(4);
/// Time for a handshake over a relay: the first packets may be lost while the other side takes its seat.
const RELAYED: Duration = Duration::from_secs(8);
/// Handshakes that others have begun and that are not done.
const MAX_TAKING: usize = 8;

/// Which handshake, and with whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Attempt {
    pub(crate) route: Route,
    pub(crate) run: Incarnation,
    pub(crate) is_own: bool,
}

/// What has come to an end.
pub(crate) enum Done {
    /// A handshake.
    Handshake(Attempt, Option<Connection>),
    /// A connection.
    Ended(PathId),
}

struct Open {
    connection: Connection,
    /// Received and sent.
    datagrams: [u64; 2],
    watch: AbortHandle,
}

#[derive(Default)]
pub(crate) struct Connections {
    tasks: JoinSet<Done>,
    open: BTreeMap<PathId, Open>,
    making: Vec<(Attempt, AbortHandle)>,
    named: u64,
}

impl Connections {
    /// Whether as many handshakes that others have begun are not done as may be.
    pub(crate) fn is_busy(&self) -> bool {
        self.taking() >= MAX_TAKING
    }

    /// How many handshakes that others have begun are not done.
    pub(crate) fn taking(&self) -> usize {
        self.making.iter().filter(|(attempt, _)| !attempt.is_own).count()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    pub(crate) fn attempt(&mut self, attempt: Attempt, connecting: Connecting) {
        let task = async move {
            let most = if attempt.route.relay.is_some() { RELAYED } else { DIRECT };
            let connection = match timeout(most, connecting).await {
                Ok(Ok(connection)) => Some(connection),
                Ok(Err(error)) => {
                    tracing::debug!(?attempt, %error, "no connection");
                    None
                }
                Err(_) => None,
            };
            Done::Handshake(attempt, connection)
        };
        let handle = self.tasks.spawn(task);
        self.making.push((attempt, handle));
    }

    /// Gives up all handshakes.
    pub(crate) fn stop(&mut self) {
        self.making.drain(..).for_each(|(_, handle)| handle.abort());
    }

    /// The next that ends; waits for ever while there is nothing to end.
    pub(crate) async fn next(&mut self) -> Done {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(done)) => return done,
                // Given up, or its task has panicked: in either case it is no more.
                Some(Err(_)) => {}
                None => std::future::pending().await,
            }
        }
    }

    /// Whether a handshake that has ended is one that was waited for.
    pub(crate) fn finish(&mut self, attempt: Attempt) -> bool {
        let at = self.making.iter().position(|(making, _)| *making == attempt);
        at.map(|at| self.making.remove(at)).is_some()
    }

    pub(crate) fn add(&mut self, connection: Connection) -> PathId {
        self.named += 1;
        let path = PathId(self.named);
        let closed = connection.clone();
        let watch = self.tasks.spawn(async move {
            let reason = closed.closed().await;
            tracing::debug!(?path, %reason, "a connection has ended");
            Done::Ended(path)
        });
        self.open.insert(path, Open { connection, datagrams: [0; 2], watch });
        path
    }

    /// Whether the connection was there. Closes it.
    pub(crate) fn remove(&mut self, path: PathId, code: VarInt, reason: &[u8]) -> bool {
        let Some(open) = self.open.remove(&path) else { return false };
        open.watch.abort();
        open.connection.close(code, reason);
        true
    }

    /// The paths over which something has come since the last call (true), or has only been sent (false).
    pub(crate) fn look(&mut self) -> Vec<(PathId, bool)> {
        let mut looked_at = Vec::new();
        for (path, open) in &mut self.open {
            let stats = open.connection.stats();
            let datagrams = [stats.udp_rx.datagrams, stats.udp_tx.datagrams];
            if open.datagrams != datagrams {
                looked_at.push((*path, open.datagrams[0] != datagrams[0]));
                open.datagrams = datagrams;
            }
        }
        looked_at
    }
}

/// How often it is looked at which connections still carry something.
pub(crate) const LOOK: Moment = Duration::from_millis(400);
