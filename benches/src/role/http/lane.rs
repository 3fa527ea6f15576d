//! Ways to send one request at a time; many of them share a connection where the version allows that.

use super::Version;
use crate::role::Login;
use anyhow::{Context, Result, bail};
use bytes::{Buf, Bytes};
use futures::future::try_join_all;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hypersend_net::{socket, tls, transport};
use quinn::{ClientConfig, Endpoint, EndpointConfig, TokioRuntime, crypto::rustls::QuicClientConfig};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use std::{net::SocketAddr, sync::Arc};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, client::TlsStream};

/// Unread bytes of a stream and of a connection over HTTP/2: what quinn's windows allow over QUIC.
const WINDOW: u32 = 16 << 20;

/// One request at a time.
pub(super) enum Lane {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
    Http3(h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>),
}

impl Lane {
    /// So many of them, over as many connections as the version needs.
    pub(super) async fn open(login: &Login, version: Version, count: usize) -> Result<Vec<Self>> {
        match version {
            Version::Http1 => try_join_all((0..count).map(|_| http1(login))).await,
            Version::Http2 => {
                let shared = http2(login).await?;
                Ok((0..count).map(|_| Self::Http2(shared.clone())).collect())
            }
            Version::Http3 => {
                let shared = http3(login).await?;
                Ok((0..count).map(|_| Self::Http3(shared.clone())).collect())
            }
        }
    }

    /// Sends a request and gives the pieces of the answer's body; an answer that is a refusal is an error.
    pub(super) async fn exchange(
        &mut self,
        request: Request<Bytes>,
        mut sink: impl FnMut(Bytes) -> Result<()>,
    ) -> Result<()> {
        let (status, mut body) = match self {
            Self::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request.map(Full::new)).await?.into_parts()
            }
            Self::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request.map(Full::new)).await?.into_parts()
            }
            Self::Http3(sender) => return exchange_by_quic(sender, request, sink).await,
        };
        while let Some(frame) = body.frame().await {
            if let Ok(piece) = frame?.into_data() {
                sink(piece)?;
            }
        }
        good(status.status)
    }
}

async fn exchange_by_quic(
    sender: &mut h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>,
    request: Request<Bytes>,
    mut sink: impl FnMut(Bytes) -> Result<()>,
) -> Result<()> {
    let (parts, body) = request.into_parts();
    let mut stream = sender.send_request(Request::from_parts(parts, ())).await?;
    if !body.is_empty() {
        stream.send_data(body).await?;
    }
    stream.finish().await?;
    let status = stream.recv_response().await?.status();
    while let Some(mut piece) = stream.recv_data().await? {
        sink(piece.copy_to_bytes(piece.remaining()))?;
    }
    good(status)
}

fn good(status: StatusCode) -> Result<()> {
    if !status.is_success() {
        bail!("the server answered {status}");
    }
    Ok(())
}

fn tls(login: &Login, protocol: &[u8]) -> Result<rustls::ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(&login.certificate)? {
        roots.add(certificate?)?;
    }
    let builder = rustls::ClientConfig::builder_with_provider(tls::provider());
    let mut tls =
        builder.with_protocol_versions(&[&rustls::version::TLS13])?.with_root_certificates(roots).with_no_client_auth();
    tls.alpn_protocols = vec![protocol.to_vec()];
    Ok(tls)
}

async fn tcp(login: &Login, protocol: &[u8]) -> Result<TokioIo<TlsStream<TcpStream>>> {
    let stream = TcpStream::connect(login.server).await.context("connect by TCP")?;
    stream.set_nodelay(true)?;
    let connector = TlsConnector::from(Arc::new(tls(login, protocol)?));
    Ok(TokioIo::new(connector.connect(ServerName::from(login.server.ip()), stream).await?))
}

async fn http1(login: &Login) -> Result<Lane> {
    let (sender, connection) = http1::handshake(tcp(login, b"http/1.1").await?).await?;
    tokio::spawn(connection);
    Ok(Lane::Http1(sender))
}

async fn http2(login: &Login) -> Result<http2::SendRequest<Full<Bytes>>> {
    let (sender, connection) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .handshake(tcp(login, b"h2").await?)
        .await?;
    tokio::spawn(connection);
    Ok(sender)
}

async fn http3(login: &Login) -> Result<h3::client::SendRequest<h3_quinn::OpenStreams, Bytes>> {
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls(login, b"h3")?)?));
    let mut transport = transport::client_config();
    transport.max_concurrent_uni_streams(transport::MAX_UNI_STREAMS.into());
    config.transport_config(Arc::new(transport));
    // With the buffers that the native client has: those of the kernel's choice lose packets even on loopback.
    let (socket, _) = socket::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let endpoint = Endpoint::new(EndpointConfig::default(), None, socket, Arc::new(TokioRuntime))?;
    let name = login.server.ip().to_string();
    let connection = endpoint.connect_with(config, login.server, &name)?.await.context("connect by QUIC")?;
    let (mut driver, sender) = h3::client::new(h3_quinn::Connection::new(connection)).await?;
    tokio::spawn(async move { driver.wait_idle().await });
    Ok(sender)
}
