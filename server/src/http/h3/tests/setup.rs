//! One server and its clients.

use super::super::{Limits, adapter, connection::serve_within, serve};
use axum::Router;
use bytes::{Buf as _, Bytes, BytesMut};
use h3::{
    client::{RequestStream, SendRequest},
    error::{Code, StreamError},
};
use http::{Request, Response};
use hypersend_net::{tls, transport};
use quinn::{
    ClientConfig, Endpoint, ServerConfig, VarInt,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinHandle, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// A test that waits longer than this for something waits in vain.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits for what has to come.
pub(super) async fn soon<T>(what: impl Future<Output = T>) -> T {
    timeout(PATIENCE, what).await.expect("it did not come")
}

/// A server of one router.
pub(in crate::http::h3) struct Server {
    pub(in crate::http::h3) endpoint: Endpoint,
    certificate: CertificateDer<'static>,
    pub(super) stopping: CancellationToken,
    pub(super) connections: TaskTracker,
}

impl Server {
    pub(super) fn start(router: Router) -> Self {
        Self::start_within(None, router)
    }

    pub(super) fn with_limits(router: Router, limits: Limits) -> Self {
        Self::start_within(Some(limits), router)
    }

    /// Accepts nobody by itself.
    pub(in crate::http::h3) fn bare() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let tls = rustls::ServerConfig::builder_with_provider(tls::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], key);
        let mut tls = tls.unwrap();
        tls.alpn_protocols = vec![b"h3".to_vec()];
        let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
        config.transport_config(Arc::new(transport::server_config()));
        let endpoint = Endpoint::server(config, "127.0.0.1:0".parse().unwrap()).unwrap();
        Self { endpoint, certificate, stopping: CancellationToken::new(), connections: TaskTracker::new() }
    }

    fn start_within(limits: Option<Limits>, router: Router) -> Self {
        let server = Self::bare();
        let (endpoint, stopping) = (server.endpoint.clone(), server.stopping.clone());
        let connections = server.connections.clone();
        tokio::spawn(async move {
            while let Some(incoming) = endpoint.accept().await {
                let (router, stopping) = (router.clone(), stopping.clone());
                connections.spawn(async move {
                    let connection = incoming.await.unwrap();
                    match limits {
                        Some(limits) => serve_within(limits, connection, router, stopping).await,
                        None => serve(connection, router, stopping).await,
                    }
                });
            }
        });
        server
    }

    /// A bare connection.
    pub(in crate::http::h3) async fn connect(&self) -> quinn::Connection {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let tls = rustls::ClientConfig::builder_with_provider(tls::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots);
        let mut tls = tls.with_no_client_auth();
        tls.alpn_protocols = vec![b"h3".to_vec()];
        let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
        let mut transport = transport::client_config();
        transport.max_concurrent_uni_streams(VarInt::from_u32(transport::MAX_UNI_STREAMS));
        config.transport_config(Arc::new(transport));
        let endpoint = Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
        let connecting = endpoint.connect_with(config, self.endpoint.local_addr().unwrap(), "localhost").unwrap();
        soon(connecting).await.unwrap()
    }

    /// A client that speaks HTTP/3.
    pub(super) async fn client(&self) -> Client {
        self.client_of(|mut driver| async move { drop(driver.wait_idle().await) }).await
    }

    /// One that does not read what the server's limits are.
    pub(super) async fn heedless_client(&self) -> Client {
        self.client_of(|driver| async move {
            std::future::pending::<()>().await;
            drop(driver);
        })
        .await
    }

    async fn client_of<F>(&self, drive: impl FnOnce(Driver) -> F) -> Client
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let connection = self.connect().await;
        let (adapter, _) = adapter::Connection::new(connection.clone());
        let (driver, requests) = h3::client::builder().send_grease(true).build(adapter).await.unwrap();
        Client { connection, requests, driving: tokio::spawn(drive(driver)) }
    }
}

type Driver = h3::client::Connection<adapter::Connection, Bytes>;

/// One connection that speaks HTTP/3.
pub(super) struct Client {
    pub(super) connection: quinn::Connection,
    pub(super) requests: SendRequest<adapter::Opener, Bytes>,
    driving: JoinHandle<()>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.driving.abort();
    }
}

/// A request that was begun.
pub(super) type Exchange = RequestStream<adapter::BidiStream, Bytes>;

impl Client {
    pub(super) async fn begin(&mut self, request: http::request::Builder) -> Exchange {
        soon(self.requests.send_request(request.body(()).unwrap())).await.unwrap()
    }

    /// Sends a request without a body, and reads all of the answer.
    pub(super) async fn get(&mut self, path: &str) -> (Response<()>, Bytes) {
        let mut exchange = self.begin(get(path)).await;
        exchange.finish().await.unwrap();
        let response = soon(exchange.recv_response()).await.unwrap();
        (response, read(&mut exchange).await.unwrap())
    }
}

pub(super) fn get(path: &str) -> http::request::Builder {
    Request::get(format!("https://localhost{path}"))
}

pub(super) fn put(path: &str) -> http::request::Builder {
    Request::put(format!("https://localhost{path}"))
}

/// A HEADERS frame from lines of names and values, each a literal of QPACK (RFC 9204, 4.5.6).
pub(super) fn head(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = vec![0, 0];
    for (name, value) in fields {
        // A length of three bits, then one of seven.
        prefixed(&mut block, 0x20, 3, name);
        prefixed(&mut block, 0, 7, value);
    }
    let length = 0x8000_0000 | u32::try_from(block.len()).unwrap();
    [&[1], &length.to_be_bytes()[..], &block].concat()
}

/// The pseudo-header fields of a PUT to a path.
pub(super) fn put_fields(path: &str) -> [(&str, &str); 4] {
    [(":method", "PUT"), (":scheme", "https"), (":authority", "localhost"), (":path", path)]
}

/// A string behind its length, which shares its first byte with flags (RFC 7541, 5.1).
fn prefixed(block: &mut Vec<u8>, flags: u8, bits: u32, text: &str) {
    let most = (1 << bits) - 1;
    let mut rest = text.len();
    if rest < most {
        block.push(flags | u8::try_from(rest).unwrap());
    } else {
        block.push(flags | u8::try_from(most).unwrap());
        rest -= most;
        while rest >= 128 {
            block.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
            rest >>= 7;
        }
        block.push(u8::try_from(rest).unwrap());
    }
    block.extend_from_slice(text.as_bytes());
}

/// Reads a body to its end.
pub(super) async fn read(exchange: &mut Exchange) -> Result<Bytes, StreamError> {
    let mut body = BytesMut::new();
    while let Some(mut data) = soon(exchange.recv_data()).await? {
        body.extend_from_slice(&data.copy_to_bytes(data.remaining()));
    }
    Ok(body.freeze())
}

/// The code with which the server reset a stream.
pub(super) fn reset_code<T>(result: Result<T, StreamError>) -> Code {
    match result {
        Err(StreamError::RemoteTerminate { code, .. }) => code,
        Err(error) => panic!("not a reset: {error}"),
        Ok(_) => panic!("not even an error"),
    }
}
