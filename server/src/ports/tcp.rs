//! The TCP port: TLS, then the native protocol, HTTP/2 or HTTP/1.1 by ALPN.

use super::{
    Doors, GRACE,
    socket::{After, Socket},
};
use crate::{certificate::CHALLENGE_ALPN, http, metrics::Protocol};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hypersend_net::{socket, tcp};
use hypersend_protocol::ALPN;
use rustls::{ProtocolVersion, ServerConfig};
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The ALPN tokens of HTTP/2 and HTTP/1.1 (RFC 7301, 6; RFC 9113, 3.1).
const H2: &[u8] = b"h2";
const HTTP1: &[u8] = b"http/1.1";

/// How long the handshakes may take: that of TLS, then the native protocol's.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// How long to wait after a failed accept, which is the lack of file descriptors that others may give back.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// A bound port.
pub struct TcpListener {
    listener: tokio::net::TcpListener,
    tls: TlsAcceptor,
    places: Arc<Semaphore>,
}

impl std::fmt::Debug for TcpListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TcpListener").field("listener", &self.listener).finish_non_exhaustive()
    }
}

impl TcpListener {
    /// Binds the port. `tls` has a certificate; the protocols are set here.
    pub async fn bind(address: SocketAddr, mut tls: ServerConfig, max_connections: usize) -> io::Result<Self> {
        tls.alpn_protocols = [ALPN, H2, HTTP1, CHALLENGE_ALPN].map(<[u8]>::to_vec).to_vec();
        let listener = tokio::net::TcpListener::bind(address).await?;
        let places = Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS)));
        Ok(Self { listener, tls: TlsAcceptor::from(Arc::new(tls)), places })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stopping` is cancelled; then lets what is in flight finish, and cuts what takes longer than `GRACE`.
    pub async fn run(self, doors: Doors, stopping: CancellationToken) {
        let port = self.local_addr().map_or(0, |address| address.port());
        let (connections, graceful) = (TaskTracker::new(), GracefulShutdown::new());
        let cut = CancellationToken::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = stopping.cancelled() => break,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    sleep(ACCEPT_AGAIN).await;
                    continue;
                }
            };
            let Ok(place) = self.places.clone().try_acquire_owned() else {
                tracing::warn!("connection refused: too many are open");
                continue;
            };
            // A connection that is gone already says so when it is read.
            let _ = socket::tune(&stream);
            let stream = Socket::new(stream, After { tasks: connections.clone(), cut: cut.clone(), place });
            let connection = Connection { doors: doors.clone(), peer, port, stopping: stopping.clone() };
            let (tls, watcher, cut) = (self.tls.clone(), graceful.watcher(), cut.clone());
            connections.spawn(async move {
                tokio::select! {
                    () = connection.serve(stream, &tls, watcher) => {}
                    () = cut.cancelled() => {}
                }
            });
        }
        connections.close();
        drop(self.listener);
        let ends = async {
            graceful.shutdown().await;
            connections.wait().await;
        };
        let _ = timeout(GRACE, ends).await;
        cut.cancel();
        connections.wait().await;
    }
}

/// A connection on its way to a door.
struct Connection {
    doors: Doors,
    peer: SocketAddr,
    /// This one.
    port: u16,
    stopping: CancellationToken,
}

impl Connection {
    async fn serve(self, stream: Socket, tls: &TlsAcceptor, watcher: Watcher) {
        let Ok(Ok(stream)) = timeout(HANDSHAKE_WITHIN, tls.accept(stream)).await else {
            return tracing::debug!(peer = %self.peer, "TLS handshake failed");
        };
        let protocol = match stream.get_ref().1.alpn_protocol() {
            Some(ALPN) if stream.get_ref().1.protocol_version() == Some(ProtocolVersion::TLSv1_3) => {
                return self.native(stream).await;
            }
            // Browsers may have reasons for an older version; our own clients have none.
            Some(ALPN) => return tracing::debug!(peer = %self.peer, "native client with an old version of TLS"),
            // Somebody who checks whose this server is has seen it in the handshake.
            Some(CHALLENGE_ALPN) => return,
            Some(H2) => Protocol::Http2,
            _ => Protocol::Http1,
        };
        let _counted = self.doors.metrics.connected(protocol);
        http::tcp::serve(stream, self.peer, self.port, self.doors.http, watcher).await;
    }

    async fn native(self, mut stream: TlsStream<Socket>) {
        stream.get_mut().0.says_why();
        let Ok(Ok((connection, running))) = timeout(HANDSHAKE_WITHIN, tcp::accept(stream, self.peer)).await else {
            return tracing::debug!(peer = %self.peer, "handshake failed");
        };
        let _counted = self.doors.metrics.connected(Protocol::NativeTcp);
        tokio::join!(self.doors.native.serve(connection.into(), self.stopping), running);
    }
}
