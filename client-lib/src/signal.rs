//! What the other side of a transfer between two accounts says.

use crate::{
    error::ClientError,
    link::Link,
    registers::{Door, Opened, Registers},
    tunnel::Tunnel,
};
use hypersend_net::{
    frames::{SendError, send},
    stream::SendStream,
};
use hypersend_protocol::{
    id::{P2pId, RelayId},
    refusal::ErrorCode,
    session::Welcome,
    signal::{NotASignal, OpenSignals, RelaySeat, SignalsOpen},
};
use std::{io, sync::Arc};
use tokio::sync::mpsc;

/// One side of a transfer, as far as it speaks by way of the server. Outlives any number of connections; closed when dropped.
#[derive(Debug)]
pub struct SignalChannel(Registers<SignalsOpen>);

impl SignalChannel {
    /// Opens this user's side of a session.
    pub(crate) async fn open(link: Arc<Link>, session: P2pId) -> Result<Self, ClientError> {
        Registers::open(link, Session(session)).await.map(Self)
    }

    /// Relays that this side may use, the best first; newer ones after each lost connection.
    pub fn relays(&self) -> Vec<RelaySeat> {
        self.0.relays()
    }

    /// A way to one of these relays by the connection to the server.
    pub(crate) fn tunnel(&self, relay: RelayId, dug: mpsc::Sender<RelayId>) -> io::Result<Tunnel> {
        Tunnel::open(relay, self.0.connection(), dug)
    }

    /// Sets this side's value, of 1 to 8192 bytes: the other side is told of it, unless it is replaced before.
    pub fn set(&self, value: Vec<u8>) -> Result<(), NotASignal> {
        self.0.set(value)
    }

    /// Waits until what was set last is sent; not for long.
    pub async fn settle(&mut self) {
        self.0.settle().await;
    }

    /// The other side's newest value, once there is one that was not given out; `None` when the transfer is over.
    /// [`ErrorCode::Superseded`] when this user has opened the same elsewhere. Cancel safe.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        self.0.next().await
    }
}

/// The signal stream of a session.
struct Session(P2pId);

impl Door for Session {
    type Welcome = Arc<Welcome>;
    type Opened = SignalsOpen;

    const IS_ALONE: bool = false;

    async fn ask(&self, out: &mut SendStream, _: Option<&SignalsOpen>) -> Result<(), SendError> {
        send(out, &OpenSignals { session: self.0 }).await
    }

    fn is_over(code: ErrorCode) -> bool {
        code == ErrorCode::Conflict
    }
}

impl Opened for SignalsOpen {
    fn relays(&self) -> &[RelaySeat] {
        &self.relays
    }
}
