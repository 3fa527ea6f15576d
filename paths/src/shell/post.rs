//! A socket with its quinn endpoint.

use super::tap::{Caught, Tap};
use crate::core::Via;
use hypersend_net::socket;
use quinn::{Endpoint, EndpointConfig, Incoming, ServerConfig, TokioRuntime};
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::Arc,
};
use tokio::{sync::mpsc, task::JoinHandle};

/// Connections that wait to be looked at. quinn itself holds back more.
pub(crate) const MAX_INCOMING: usize = 16;

/// A connection that somebody wants to make.
pub(crate) struct Asked {
    pub(crate) via: Via,
    pub(crate) incoming: Incoming,
}

pub(crate) struct Post {
    via: Via,
    pub(crate) endpoint: Endpoint,
    pub(crate) tap: Arc<Tap>,
    accepting: Option<JoinHandle<()>>,
}

/// A socket on a port that the system chooses, for both families if it can.
pub(crate) fn bind() -> io::Result<UdpSocket> {
    let six = socket::bind((Ipv6Addr::UNSPECIFIED, 0).into());
    let (socket, buffers) = six.or_else(|_| socket::bind((Ipv4Addr::UNSPECIFIED, 0).into()))?;
    tracing::debug!(?buffers, "socket bound");
    Ok(socket)
}

impl Post {
    /// With a server's settings, it takes connections and hands them on, each to be judged.
    pub(crate) fn new(
        via: Via,
        socket: UdpSocket,
        caught: mpsc::Sender<Caught>,
        takes: Option<(ServerConfig, mpsc::Sender<Asked>)>,
    ) -> io::Result<Self> {
        let tap = Arc::new(Tap::new(socket, via, caught)?);
        let mut config = EndpointConfig::default();
        // Packets without the fixed bit are no QUIC to a relay, nor to the tap.
        config.grease_quic_bit(false);
        let (server, asked) = takes.unzip();
        let endpoint = Endpoint::new_with_abstract_socket(config, server, tap.clone(), Arc::new(TokioRuntime))?;
        let accepting = asked.map(|asked| tokio::spawn(accept(via, endpoint.clone(), asked)));
        Ok(Self { via, endpoint, tap, accepting })
    }

    /// Another socket takes the place of this one's.
    pub(crate) fn rebind(&mut self, socket: UdpSocket, caught: mpsc::Sender<Caught>) -> io::Result<()> {
        let tap = Arc::new(Tap::new(socket, self.via, caught)?);
        self.endpoint.rebind_abstract(tap.clone())?;
        self.tap = tap;
        Ok(())
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }
}

impl Drop for Post {
    fn drop(&mut self) {
        if let Some(accepting) = &self.accepting {
            accepting.abort();
        }
    }
}

async fn accept(via: Via, endpoint: Endpoint, asked: mpsc::Sender<Asked>) {
    while let Some(incoming) = endpoint.accept().await {
        if asked.send(Asked { via, incoming }).await.is_err() {
            return;
        }
    }
}
