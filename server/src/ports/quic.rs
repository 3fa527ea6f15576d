//! The UDP port: QUIC, then the native protocol or HTTP/3 by ALPN.

use super::{Doors, GRACE, ListenError};
use crate::{http, metrics::Protocol};
use hypersend_net::{connection::close_code, socket, transport};
use hypersend_protocol::{ALPN, limit::HELLO_TIMEOUT, refusal::ErrorCode};
use quinn::{
    Endpoint, EndpointConfig, Incoming, ServerConfig, TokioRuntime,
    crypto::rustls::{HandshakeData, QuicServerConfig},
};
use quinn_proto::HashedConnectionIdGenerator;
use ring::hmac;
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::time::timeout;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// The ALPN token of HTTP/3 (RFC 9114, 3.1).
const H3: &[u8] = b"h3";

/// How long to wait after that for the peers to hear of it.
const FAREWELL: Duration = Duration::from_secs(1);

/// The endpoint ended by itself: its socket failed.
#[derive(Debug, thiserror::Error)]
#[error("the UDP socket failed; nobody can be served any more")]
pub struct DoorClosed;

/// Both keys outlive the process. quinn takes a packet for one of its own by a hash in the connection ID, and would not
/// answer what an earlier process gave out if it drew that key by chance, as it does by itself.
fn endpoint_config(secret: &[u8]) -> EndpointConfig {
    let key = |purpose: &[u8]| hmac::Key::new(hmac::HMAC_SHA256, &[purpose, secret].concat());
    let ids = hmac::sign(&key(b"hypersend connection ids"), b"");
    let ids = u64::from_be_bytes(*ids.as_ref().first_chunk().expect("a tag of SHA-256 has 32 bytes"));
    let mut config = EndpointConfig::new(Arc::new(key(b"hypersend stateless reset")));
    config.cid_generator(move || Box::new(HashedConnectionIdGenerator::from_key(ids)));
    config
}

/// A bound endpoint.
#[derive(Debug)]
pub struct QuicListener {
    endpoint: Endpoint,
    max_connections: usize,
}

impl QuicListener {
    /// Binds the UDP port. `tls` needs a certificate; the protocols are set here. With the same `reset_key` as before a
    /// crash, the first packet of a connection from before it is answered with a stateless reset (RFC 9000, 10.3): the
    /// client knows at once, instead of after its idle timeout.
    pub fn bind(
        address: SocketAddr,
        mut tls: rustls::ServerConfig,
        reset_key: &[u8],
        max_connections: usize,
    ) -> Result<Self, ListenError> {
        let bind = |source| ListenError::Bind { address, source };
        // A protocol more is a word here and an arm in `serve`.
        tls.alpn_protocols = vec![ALPN.to_vec(), H3.to_vec()];
        let crypto = QuicServerConfig::try_from(tls).map_err(|error| ListenError::Tls(error.into()))?;
        let mut config = ServerConfig::with_crypto(Arc::new(crypto));
        config.transport_config(Arc::new(transport::server_config()));
        let (socket, buffers) = socket::bind(address).map_err(bind)?;
        if buffers.receive < socket::BUFFER_SIZE {
            tracing::warn!(
                granted = buffers.receive,
                wanted = socket::BUFFER_SIZE,
                "small receive buffer; raise net.core.rmem_max for full speed"
            );
        }
        let endpoint = Endpoint::new(endpoint_config(reset_key), Some(config), socket, Arc::new(TokioRuntime));
        Ok(Self { endpoint: endpoint.map_err(bind)?, max_connections })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.endpoint.local_addr()
    }

    /// Serves until `stopping` is cancelled; then tells the clients, lets what is in flight finish, and returns after at
    /// most `GRACE` and a moment.
    pub async fn run(self, doors: Doors, stopping: CancellationToken) -> Result<(), DoorClosed> {
        let connections = TaskTracker::new();
        let stopped = loop {
            let incoming = tokio::select! {
                incoming = self.endpoint.accept() => incoming,
                () = stopping.cancelled() => break Ok(()),
            };
            let Some(incoming) = incoming else { break Err(DoorClosed) };
            if let Some(incoming) = self.admit(incoming) {
                let (doors, stopping) = (doors.clone(), stopping.clone());
                connections.spawn(async move { serve(incoming, doors, stopping).await });
            }
        };
        self.endpoint.set_server_config(None);
        connections.close();
        if timeout(GRACE, connections.wait()).await.is_err() {
            tracing::warn!(connections = connections.len(), "connections cut at the end of the grace");
        }
        self.endpoint.close(close_code(ErrorCode::Stopping), b"the server is stopping");
        let _ = timeout(FAREWELL, async {
            connections.wait().await;
            self.endpoint.wait_idle().await;
        })
        .await;
        stopped
    }

    /// Ends the endpoint, as a failed socket does.
    #[cfg(test)]
    pub(crate) fn fail(&self) {
        self.endpoint.close(close_code(ErrorCode::Internal), b"a test");
    }

    /// Refuses what would be too many, and makes a crowd prove its addresses first (RFC 9000, 8.1.2): a flood of
    /// handshakes from made-up addresses then costs no memory.
    fn admit(&self, incoming: Incoming) -> Option<Incoming> {
        let open = self.endpoint.open_connections();
        if open >= self.max_connections {
            tracing::warn!(open, "connection refused: too many are open");
            incoming.refuse();
            return None;
        }
        if open >= self.max_connections / 2 && !incoming.remote_address_validated() {
            // An error says that it was validated already, which it was not.
            let _ = incoming.retry();
            return None;
        }
        Some(incoming)
    }
}

async fn serve(incoming: Incoming, doors: Doors, stopping: CancellationToken) {
    // A handshake that trickles would hold one of the connections for as long as it likes.
    let connection = match timeout(HELLO_TIMEOUT, incoming).await {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return tracing::debug!(%error, "handshake failed"),
        Err(_) => return tracing::debug!("handshake timed out"),
    };
    let handshake = connection.handshake_data().and_then(|data| data.downcast::<HandshakeData>().ok());
    match handshake.and_then(|data| data.protocol).as_deref() {
        Some(ALPN) => {
            let _counted = doors.metrics.connected(Protocol::Native);
            doors.native.serve(connection.into(), stopping).await;
        }
        Some(H3) => {
            let _counted = doors.metrics.connected(Protocol::Http3);
            http::h3::serve(connection, doors.http, stopping).await;
        }
        // rustls agrees to nothing that is not in the list above.
        _ => connection.close(close_code(ErrorCode::UnsupportedVersion), b"no protocol in common"),
    }
}
