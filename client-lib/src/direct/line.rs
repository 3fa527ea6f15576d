//! Where the two sides of a transfer speak to each other before there is a way between them.

use super::error::DirectError;
use crate::{SignalChannel, tunnel::Tunnel};
use hypersend_protocol::{id::RelayId, refusal::ErrorCode, signal::RelaySeat};
use std::io;
use tokio::sync::mpsc;

/// Two registers: this side's state, and the other's.
pub(super) trait Line: Send {
    /// Whether what comes by it is known to be from the other side, so that two people have no words to compare.
    const IS_SEALED: bool;

    /// Whether ways that are there are of use after this, and the line not needed.
    fn is_outlived(error: &DirectError) -> bool;

    /// Relays that this side may use, the best first; newer ones after each lost connection.
    fn relays(&self) -> Vec<RelaySeat>;

    /// A way to one of these relays by the connection to the server, which says each time that it leads from a new place.
    fn tunnel(&self, relay: RelayId, dug: mpsc::Sender<RelayId>) -> io::Result<Tunnel>;

    /// Sets this side's state, which is never longer than a signal may be.
    fn set(&mut self, state: Vec<u8>);

    /// The other side's newest state, once there is one that was not given out; `None` when the transfer is over. Cancel safe.
    fn next(&mut self) -> impl Future<Output = Result<Option<Vec<u8>>, DirectError>> + Send;

    /// Waits until what was set last is sent; not for long.
    fn settle(&mut self) -> impl Future<Output = ()> + Send;
}

impl Line for SignalChannel {
    const IS_SEALED: bool = false;

    /// The server has a say in whether the session goes on.
    fn is_outlived(_: &DirectError) -> bool {
        false
    }

    fn relays(&self) -> Vec<RelaySeat> {
        self.relays()
    }

    fn tunnel(&self, relay: RelayId, dug: mpsc::Sender<RelayId>) -> io::Result<Tunnel> {
        self.tunnel(relay, dug)
    }

    fn set(&mut self, state: Vec<u8>) {
        Self::set(self, state).expect("a state is no longer than a signal may be");
    }

    async fn next(&mut self) -> Result<Option<Vec<u8>>, DirectError> {
        self.next().await.map_err(|error| match error.code() {
            Some(ErrorCode::Superseded) => DirectError::Elsewhere,
            _ => error.into(),
        })
    }

    async fn settle(&mut self) {
        self.settle().await;
    }
}
