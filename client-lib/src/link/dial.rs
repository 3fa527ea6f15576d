//! One connection, from a name.

use crate::{CertificateProblem, Config, Fingerprint, ServerAddress, Transports, error::ClientError};
use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use hypersend_net::{
    connection::{Connection, Transport},
    socket, tcp, tls, transport,
};
use hypersend_protocol::ALPN;
use quinn::{ClientConfig, Endpoint, EndpointConfig, TokioRuntime, crypto::rustls::QuicClientConfig};
use rustls::pki_types::ServerName;
use std::{
    collections::HashMap,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpStream, lookup_host},
    time::{sleep, timeout},
};
use tokio_rustls::TlsConnector;

/// How long one attempt may take: a few retransmissions on the longest path on earth. The next one is not far.
const PATIENCE: Duration = Duration::from_secs(5);

/// How much later the next address of the same name is tried (RFC 8305, 5).
const STAGGER: Duration = Duration::from_millis(250);

/// How long QUIC is tried alone. On the longest path on earth this is five round trips.
pub(super) const QUIC_ALONE: Duration = Duration::from_secs(3);

/// Likewise where TCP was needed the last time.
const QUIC_FIRST: Duration = Duration::from_millis(500);

/// Why there is no connection.
pub(crate) enum DialError {
    /// Perhaps another time.
    Unreachable(String),
    /// At once, by another proof of who is calling.
    Again,
    /// Never, as things are.
    Fatal(ClientError),
}

impl From<ClientError> for DialError {
    fn from(error: ClientError) -> Self {
        Self::Fatal(error)
    }
}

/// What is tried, and after how long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ways {
    quic: Option<Duration>,
    tcp: Option<Duration>,
    /// Whether another certificate on the TCP port is the network's doing: whoever lets no UDP through may be looking into TLS,
    /// and has to be waited out by somebody who has met the server before.
    tcp_may_be_another: bool,
}

impl Ways {
    /// QUIC and nothing else, at once.
    pub(crate) const QUIC: Self = Self { quic: Some(Duration::ZERO), tcp: None, tcp_may_be_another: false };

    /// What may be used; `last`: what the last connection used.
    pub(crate) fn new(transports: Transports, last: Option<Transport>) -> Self {
        match transports {
            Transports::Only(Transport::Quic) => Self::QUIC,
            Transports::Only(Transport::Tcp) => Self { quic: None, tcp: Some(Duration::ZERO), ..Self::QUIC },
            Transports::Any => {
                let alone = if last == Some(Transport::Tcp) { QUIC_FIRST } else { QUIC_ALONE };
                Self { tcp: Some(alone), tcp_may_be_another: last.is_some(), ..Self::QUIC }
            }
        }
    }

    fn each(self) -> impl Iterator<Item = (Transport, Duration)> {
        let quic = self.quic.map(|after| (Transport::Quic, after));
        quic.into_iter().chain(self.tcp.map(|after| (Transport::Tcp, after)))
    }
}

/// A socket for either family of addresses.
pub(crate) fn endpoint() -> Result<Endpoint, ClientError> {
    let failed = |error| ClientError::Socket(Arc::new(error));
    let any = (Ipv6Addr::UNSPECIFIED, 0).into();
    // Some machines have no IPv6 at all.
    let (socket, _) = socket::bind(any).or_else(|_| socket::bind((Ipv4Addr::UNSPECIFIED, 0).into())).map_err(failed)?;
    Endpoint::new(EndpointConfig::default(), None, socket, Arc::new(TokioRuntime)).map_err(failed)
}

/// Connects to the first of the server's addresses that answers, by the first way that gets through.
pub(crate) async fn dial(endpoint: &Endpoint, config: &Config, ways: Ways) -> Result<Connection, DialError> {
    let server = &config.server;
    let addresses = look_up(server).await.map_err(DialError::Unreachable)?;
    let mut attempts = FuturesUnordered::new();
    let mut refused = HashMap::new();
    for (way, after) in ways.each() {
        let (tls, seen) = tls(config);
        refused.insert(way, seen);
        let attempt = Attempt { endpoint, server, tls };
        for (turn, &address) in (0..).zip(&addresses) {
            let attempt = attempt.by(way, address);
            attempts.push(async move {
                sleep(after + STAGGER * turn).await;
                let outcome = timeout(PATIENCE, attempt).await;
                (way, outcome.unwrap_or_else(|_| Err("no answer".to_owned())))
            });
        }
    }
    let mut reasons = Reasons::default();
    while let Some((way, outcome)) = attempts.next().await {
        match outcome {
            Ok(connection) => return Ok(connection),
            Err(why) => reasons.note(way, why),
        }
        // Another certificate over TCP says nothing as long as QUIC may get through to the server itself.
        if way == Transport::Quic || ways.quic.is_none() {
            not_refused(config, &refused, way)?;
        }
    }
    if !ways.tcp_may_be_another {
        not_refused(config, &refused, Transport::Tcp)?;
    }
    Err(DialError::Unreachable(reasons.say(server)))
}

/// What is said of a certificate that was refused, if one was.
fn not_refused(
    config: &Config,
    refused: &HashMap<Transport, Arc<OnceLock<Fingerprint>>>,
    way: Transport,
) -> Result<(), DialError> {
    let Some(&found) = refused.get(&way).and_then(|refused| refused.get()) else { return Ok(()) };
    let server = config.server.clone();
    let problem = match config.trust.pinned() {
        Some(expected) => CertificateProblem::Changed { server, expected, found },
        None => CertificateProblem::Unknown { server, fingerprint: found },
    };
    Err(DialError::Fatal(problem.into()))
}

/// How handshakes by one way are made, and where they leave the fingerprint of a certificate that they refuse.
fn tls(config: &Config) -> (Arc<rustls::ClientConfig>, Arc<OnceLock<Fingerprint>>) {
    let (verifier, refused) = config.trust.verifier();
    let mut tls = rustls::ClientConfig::builder_with_provider(tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    tls.alpn_protocols = vec![ALPN.to_vec()];
    (Arc::new(tls), refused)
}

async fn look_up(server: &ServerAddress) -> Result<Vec<SocketAddr>, String> {
    match timeout(PATIENCE, lookup_host((server.host(), server.port()))).await {
        Ok(Ok(addresses)) => Ok(addresses.collect()),
        Ok(Err(error)) => Err(format!("the name {} is not known: {error}", server.host())),
        Err(_) => Err(format!("the name {} could not be looked up", server.host())),
    }
}

/// What all attempts have in common.
struct Attempt<'a> {
    endpoint: &'a Endpoint,
    server: &'a ServerAddress,
    tls: Arc<rustls::ClientConfig>,
}

impl<'a> Attempt<'a> {
    fn by(&self, way: Transport, address: SocketAddr) -> BoxFuture<'a, Result<Connection, String>> {
        let (server, tls) = (self.server, self.tls.clone());
        match way {
            Transport::Quic => quic(self.endpoint, tls, server, address).boxed(),
            Transport::Tcp => over_tcp(tls, server, address).boxed(),
        }
    }
}

async fn quic(
    endpoint: &Endpoint,
    tls: Arc<rustls::ClientConfig>,
    server: &ServerAddress,
    address: SocketAddr,
) -> Result<Connection, String> {
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).expect("TLS 1.3 ciphers")));
    config.transport_config(Arc::new(transport::client_config()));
    let connecting = endpoint.connect_with(config, address, server.host()).map_err(|error| error.to_string())?;
    connecting.await.map(Connection::from).map_err(|error| error.to_string())
}

async fn over_tcp(
    tls: Arc<rustls::ClientConfig>,
    server: &ServerAddress,
    address: SocketAddr,
) -> Result<Connection, String> {
    let name = ServerName::try_from(server.host().to_owned()).map_err(|error| error.to_string())?;
    let began = Instant::now();
    let stream = TcpStream::connect(address).await.map_err(|error| error.to_string())?;
    let round_trip = began.elapsed();
    socket::tune(&stream).map_err(|error| error.to_string())?;
    let stream = TlsConnector::from(tls).connect(name, stream).await.map_err(|error| error.to_string())?;
    let (connection, running) = tcp::connect(stream, address, round_trip).await.map_err(|error| error.to_string())?;
    tokio::spawn(running);
    Ok(connection.into())
}

/// Why each way failed, at last.
#[derive(Default)]
struct Reasons {
    quic: Option<String>,
    tcp: Option<String>,
}

impl Reasons {
    fn note(&mut self, way: Transport, why: String) {
        match way {
            Transport::Quic => self.quic = Some(why),
            Transport::Tcp => self.tcp = Some(why),
        }
    }

    fn say(self, server: &ServerAddress) -> String {
        match (self.quic, self.tcp) {
            (Some(quic), Some(tcp)) => format!("{quic} over QUIC, {tcp} over TCP"),
            (Some(why), None) | (None, Some(why)) => why,
            (None, None) => format!("the name {} has no address", server.host()),
        }
    }
}
