//! A way to a relay by the connection to the server, where the network lets no UDP through.

use hypersend_net::{
    connection::Connection,
    frames::{FrameReader, RecvError, SendError, send},
    tunnel::{self, Far, Socket, TunnelError},
};
use hypersend_protocol::{
    id::RelayId,
    stream::priority,
    tunnel::{OpenTunnel, TunnelOpen},
};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{sync::watch, time::timeout};
use tokio_util::task::AbortOnDropHandle;

/// How long after its end a tunnel is dug again on the same connection.
const AGAIN: Duration = Duration::from_secs(2);

/// A socket on this machine whose datagrams go to a relay by way of the server, and come from there. Outlives connections; closed
/// when dropped.
#[derive(Debug)]
pub(crate) struct Tunnel {
    address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

impl Tunnel {
    /// Begins to dig, on whichever connection the two sides' registers are open at the moment. Must be called in a runtime.
    pub(crate) fn open(relay: RelayId, connection: watch::Receiver<Option<Connection>>) -> io::Result<Self> {
        let socket = Socket::bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = socket.local_addr()?;
        let task = tokio::spawn(Task { relay, socket, connection }.run());
        Ok(Self { address, _task: AbortOnDropHandle::new(task) })
    }

    /// Where on this machine the relay is reached.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }
}

struct Task {
    relay: RelayId,
    socket: Socket,
    connection: watch::Receiver<Option<Connection>>,
}

impl Task {
    async fn run(mut self) {
        loop {
            let Ok(connection) = self.connection.wait_for(Option::is_some).await.map(|there| there.clone()) else {
                return;
            };
            if let Some(connection) = connection
                && let Err(error) = self.carry(&connection).await
            {
                tracing::debug!(relay = %self.relay, %error, "a tunnel has ended");
            }
            // They get another connection, or the server has no room now.
            if let Ok(Err(_)) = timeout(AGAIN, self.connection.changed()).await {
                return;
            }
        }
    }

    async fn carry(&self, connection: &Connection) -> Result<(), TunnelError> {
        let Ok((mut out, answer)) = connection.open_bi().await else { return Ok(()) };
        out.set_priority(priority::BULK);
        let mut reader = FrameReader::new(answer);
        send(&mut out, &OpenTunnel { relay: self.relay }).await.map_err(|error| match error {
            SendError::Frame(error) => RecvError::Frame(error).into(),
            SendError::Stream(error) => TunnelError::Stream(error),
        })?;
        let TunnelOpen {} = reader.expect().await?;
        tunnel::carry(&self.socket, Far::WhoeverSpeaks, &mut out, &mut reader).await
    }
}
