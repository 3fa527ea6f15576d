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
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_util::task::AbortOnDropHandle;

/// How long after its end a tunnel is dug again on the same connection; doubles with each that comes to nothing, up to the
/// longest.
const AGAIN: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How long the server may take to open one: it looks for the relay's host.
const ANSWER: Duration = Duration::from_secs(10);

/// A socket on this machine whose datagrams go to a relay by way of the server, and come from there. Outlives connections; closed
/// when dropped.
#[derive(Debug)]
pub(crate) struct Tunnel {
    address: SocketAddr,
    _task: AbortOnDropHandle<()>,
}

impl Tunnel {
    /// Begins to dig, on whichever connection the two sides' registers are open at the moment. Each time that is done it says so,
    /// by the relay's id. Must be called in a runtime.
    pub(crate) fn open(
        relay: RelayId,
        connection: watch::Receiver<Option<Connection>>,
        dug: mpsc::Sender<RelayId>,
    ) -> io::Result<Self> {
        let socket = Socket::bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let address = socket.local_addr()?;
        let task = tokio::spawn(Task { relay, socket, connection, dug }.run());
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
    dug: mpsc::Sender<RelayId>,
}

impl Task {
    async fn run(mut self) {
        let mut wait = AGAIN;
        loop {
            let Ok(connection) = self.connection.wait_for(Option::is_some).await.map(|there| there.clone()) else {
                return;
            };
            if let Some(connection) = connection {
                let mut changes = self.connection.clone();
                tokio::select! {
                    carried = self.carry(&connection, &mut wait) => {
                        if let Err(error) = carried {
                            tracing::debug!(relay = %self.relay, %error, "a tunnel has ended");
                        }
                    }
                    // The other things have moved to a better one, or lost this.
                    _ = changes.changed() => wait = Duration::ZERO,
                }
            }
            if !wait.is_zero()
                && let Ok(Err(_)) = timeout(wait, self.connection.changed()).await
            {
                return;
            }
            wait = (wait * 2).clamp(AGAIN, LONGEST_WAIT);
        }
    }

    async fn carry(&self, connection: &Connection, wait: &mut Duration) -> Result<(), TunnelError> {
        let Ok((mut out, answer)) = connection.open_bi().await else { return Ok(()) };
        out.set_priority(priority::BULK);
        let mut reader = FrameReader::new(answer);
        send(&mut out, &OpenTunnel { relay: self.relay }).await.map_err(|error| match error {
            SendError::Frame(error) => RecvError::Frame(error).into(),
            SendError::Stream(error) => TunnelError::Stream(error),
        })?;
        let TunnelOpen {} = timeout(ANSWER, reader.expect()).await.map_err(|_| TunnelError::Idle)??;
        *wait = AGAIN;
        // Whoever does not listen any more does not use it either.
        let _ = self.dug.try_send(self.relay);
        tunnel::carry(&self.socket, Far::WhoeverSpeaks, &mut out, &mut reader).await
    }
}
