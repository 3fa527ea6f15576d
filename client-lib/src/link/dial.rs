//! One QUIC connection, from a name.

use crate::{CertificateProblem, Config, error::ClientError};
use futures::{StreamExt, stream::FuturesUnordered};
use hypersend_protocol::ALPN;
use hypersend_quic::{socket, tls, transport};
use quinn::{ClientConfig, Connection, Endpoint, EndpointConfig, TokioRuntime, crypto::rustls::QuicClientConfig};
use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::lookup_host,
    time::{sleep, timeout},
};

/// How long one attempt may take: a few retransmissions on the longest path on earth. The next one is not far.
const PATIENCE: Duration = Duration::from_secs(5);

/// How much later the next address of the same name is tried (RFC 8305, 5).
const STAGGER: Duration = Duration::from_millis(250);

/// Why there is no connection.
pub(super) enum DialError {
    /// Perhaps another time.
    Unreachable(String),
    /// The access token is no longer good; the refresh token may be.
    AccessRefused,
    /// Never, as things are.
    Fatal(ClientError),
}

impl From<ClientError> for DialError {
    fn from(error: ClientError) -> Self {
        Self::Fatal(error)
    }
}

/// A socket for either family of addresses.
pub(super) fn endpoint() -> Result<Endpoint, ClientError> {
    let failed = |error| ClientError::Socket(Arc::new(error));
    let any = (Ipv6Addr::UNSPECIFIED, 0).into();
    // Some machines have no IPv6 at all.
    let (socket, _) = socket::bind(any).or_else(|_| socket::bind((Ipv4Addr::UNSPECIFIED, 0).into())).map_err(failed)?;
    Endpoint::new(EndpointConfig::default(), None, socket, Arc::new(TokioRuntime)).map_err(failed)
}

/// Connects to the first of the server's addresses that answers.
pub(super) async fn dial(endpoint: &Endpoint, config: &Config) -> Result<Connection, DialError> {
    let server = &config.server;
    let unreachable = |reason: String| DialError::Unreachable(reason);
    let addresses: Vec<SocketAddr> = match timeout(PATIENCE, lookup_host((server.host(), server.port()))).await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => return Err(unreachable(format!("the name {} is not known: {error}", server.host()))),
        Err(_) => return Err(unreachable(format!("the name {} could not be looked up", server.host()))),
    };
    let (verifier, refused) = config.trust.verifier();
    let mut tls = rustls::ClientConfig::builder_with_provider(tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    let mut quic = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).expect("TLS 1.3 ciphers")));
    quic.transport_config(Arc::new(transport::client_config()));

    let mut attempts: FuturesUnordered<_> = (0..)
        .zip(&addresses)
        .map(|(turn, &address)| {
            let quic = quic.clone();
            async move {
                sleep(STAGGER * turn).await;
                let connecting = endpoint.connect_with(quic, address, server.host()).map_err(|e| e.to_string())?;
                match timeout(PATIENCE, connecting).await {
                    Ok(connected) => connected.map_err(|error| error.to_string()),
                    Err(_) => Err("no answer".to_owned()),
                }
            }
        })
        .collect();
    let mut reason = format!("the name {} has no address", server.host());
    while let Some(attempt) = attempts.next().await {
        match attempt {
            Ok(connection) => return Ok(connection),
            Err(why) => reason = why,
        }
        if let Some(&found) = refused.get() {
            let server = server.clone();
            let problem = match config.trust.pinned() {
                Some(expected) => CertificateProblem::Changed { server, expected, found },
                None => CertificateProblem::Unknown { server, fingerprint: found },
            };
            return Err(DialError::Fatal(problem.into()));
        }
    }
    Err(unreachable(reason))
}
