//! A client that speaks raw frames: what a well-behaved one would not say, and when it would not say it.

use crate::{
    server::{TestServer, transport},
    wait::within,
};
use bytes::Bytes;
use hypersend_net::{
    bulk::send_range,
    connection::{Closed, Connection, Transport},
    frames::{FrameReader, RecvError, send},
    stream::SendStream,
    tcp, tls, transport,
};
use hypersend_protocol::{
    ALPN,
    file::{PutRange, RangeStored},
    frame::{Frame, Operation},
    refusal::ErrorCode,
    session::{Auth, Hello, Welcome},
};
use quinn::{ClientConfig, Endpoint, crypto::rustls::QuicClientConfig};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, pem::PemObject},
};
use std::{net::Ipv4Addr, sync::Arc, time::Duration};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A connection to a test server.
#[derive(Debug)]
pub struct RawPeer {
    /// The connection.
    pub connection: Connection,
    /// The session stream, once there was a greeting: the server takes its end for nothing, but it must not be reset.
    session: Option<FrameReader>,
    _endpoint: Option<Endpoint>,
}

impl RawPeer {
    /// Connects, and says nothing.
    pub async fn connect(server: &TestServer) -> Self {
        Self::connect_over(transport(), server).await
    }

    /// Connects over one transport, and says nothing.
    pub async fn connect_over(transport: Transport, server: &TestServer) -> Self {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_file(server.certificate()).expect("the server has a certificate");
        roots.add(certificate).expect("it is one");
        let mut tls = rustls::ClientConfig::builder_with_provider(tls::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider has TLS 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        tls.alpn_protocols = vec![ALPN.to_vec()];
        match transport {
            Transport::Quic => Self::quic(tls, server).await,
            Transport::Tcp => Self::tcp(tls, server).await,
        }
    }

    async fn tcp(tls: rustls::ClientConfig, server: &TestServer) -> Self {
        let address = server.socket_address();
        let connecting = async {
            let stream = TcpStream::connect(address).await?;
            TlsConnector::from(Arc::new(tls)).connect("localhost".try_into().expect("it is a name"), stream).await
        };
        let stream = within("the server answers", connecting).await.expect("connect");
        let (connection, running) = tcp::connect(stream, address, Duration::ZERO).await.expect("begin HTTP/2");
        tokio::spawn(running);
        Self { connection: connection.into(), session: None, _endpoint: None }
    }

    async fn quic(tls: rustls::ClientConfig, server: &TestServer) -> Self {
        let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).expect("TLS 1.3 ciphers")));
        config.transport_config(Arc::new(transport::client_config()));
        let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).expect("bind a loopback port");
        let connecting = endpoint.connect_with(config, server.socket_address(), "localhost").expect("a sound config");
        let connection = within("the server answers", connecting).await.expect("connect");
        Self { connection: connection.into(), session: None, _endpoint: Some(endpoint) }
    }

    /// Connects and is greeted.
    pub async fn login(server: &TestServer, auth: Auth) -> Self {
        let mut peer = Self::connect(server).await;
        peer.hello(auth).await.expect("log in");
        peer
    }

    /// Says hello on the first stream.
    pub async fn hello(&mut self, auth: Auth) -> Result<Welcome, RecvError> {
        let (mut stream, answer) = self.stream().await;
        let hello = Hello { version: 1, features: Vec::new(), agent: "raw peer".to_owned(), auth };
        send(&mut stream, &hello).await.expect("send a hello");
        stream.finish();
        let session = self.session.insert(answer);
        within("the server answers the hello", session.expect()).await
    }

    /// The next frame on the session stream.
    pub async fn notice<F: Frame>(&mut self) -> Result<F, RecvError> {
        let session = self.session.as_mut().expect("hello was said");
        within("the server says something", session.expect()).await
    }

    /// A stream of one's own.
    pub async fn stream(&self) -> (SendStream, FrameReader) {
        let (stream, answer) = within("a stream opens", self.connection.open_bi()).await.expect("open a stream");
        (stream, FrameReader::new(answer))
    }

    /// A stream on which some bytes are said and nothing follows.
    pub async fn say(&self, bytes: &[u8]) -> FrameReader {
        let (mut stream, answer) = self.stream().await;
        // The server may stop reading at any byte.
        let _ = stream.write(Bytes::copy_from_slice(bytes)).await;
        stream.finish();
        answer
    }

    /// A request, and its answer.
    pub async fn ask<O: Operation>(&self, operation: &O) -> Result<O::Answer, RecvError> {
        let (mut stream, mut answer) = self.stream().await;
        send(&mut stream, operation).await.expect("send a request");
        stream.finish();
        within("the server answers", answer.expect()).await
    }

    /// One range, and what became of it.
    pub async fn put(&self, header: &PutRange, bytes: Bytes) -> Result<RangeStored, RecvError> {
        let (mut stream, mut answer) = self.stream().await;
        // A server that refuses stops reading; its answer says why.
        let _ = send_range(&mut stream, header, bytes).await;
        within("the server answers", answer.expect()).await
    }

    /// Waits until the server closes the connection; says with which code.
    pub async fn closed(&self) -> ErrorCode {
        match within("the server closes the connection", self.connection.closed()).await {
            Closed::ByPeer(code) => code,
            other => panic!("the connection was lost: {other}"),
        }
    }
}

/// The code of a refusal.
///
/// # Panics
/// When it is none.
pub fn refusal<T: std::fmt::Debug>(answer: Result<T, RecvError>) -> ErrorCode {
    match answer {
        Err(RecvError::Refused(refusal)) => refusal.code,
        other => panic!("not refused: {other:?}"),
    }
}
