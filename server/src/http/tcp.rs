//! The TCP port of the same number: TLS, then HTTP/2 or HTTP/1.1, as the client likes.

use super::{
    linger::lingering,
    patient::{BODY_IDLE, Patient},
    socket::{After, Socket},
};
use crate::certificate::CHALLENGE_ALPN;
use axum::{Router, body::Body, extract::ConnectInfo};
use http::{HeaderValue, Request, Version, header::ALT_SVC};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
    service::TowerToHyperService,
};
use rustls::ServerConfig;
use std::{io, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tower::{Service, ServiceExt};

/// How long a TLS handshake may take.
const HANDSHAKE_WITHIN: Duration = Duration::from_secs(10);

/// How long the head of an HTTP/1.1 request may take.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// How often a silent HTTP/2 connection is asked whether it lives, and how long it may take to answer.
const PING_EVERY: Duration = Duration::from_secs(20);
const PONG_WITHIN: Duration = Duration::from_secs(10);

/// Unread bytes of one HTTP/2 stream and of one connection: the bandwidth-delay product of 1 Gbit/s at 64 ms.
const STREAM_WINDOW: u32 = 2 << 20;
const CONNECTION_WINDOW: u32 = 8 << 20;

/// Requests of one HTTP/2 connection at once.
const MAX_STREAMS: u32 = 128;

/// The longest header section, in bytes: a token of 1 KiB and whatever browsers add.
const MAX_HEAD_BYTES: usize = 16 << 10;

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
        tls.alpn_protocols = [b"h2", &b"http/1.1"[..], CHALLENGE_ALPN].map(<[u8]>::to_vec).to_vec();
        let listener = tokio::net::TcpListener::bind(address).await?;
        let places = Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS)));
        Ok(Self { listener, tls: TlsAcceptor::from(Arc::new(tls)), places })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stopping` is cancelled; then lets requests finish, and cuts those that take longer than `grace`.
    pub async fn run(self, router: Router, stopping: CancellationToken, grace: Duration) {
        let port = self.local_addr().map_or(0, |address| address.port());
        let alt_svc = HeaderValue::from_str(&format!("h3=\":{port}\"; ma=86400")).expect("it is ASCII");
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
            // Small frames of a conversation should not wait for more of them.
            let _ = stream.set_nodelay(true);
            let stream = Socket::new(stream, After { tasks: connections.clone(), cut: cut.clone(), place });
            let connection = Connection { peer, router: router.clone(), alt_svc: alt_svc.clone() };
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
        let _ = timeout(grace, ends).await;
        cut.cancel();
        connections.wait().await;
    }
}

struct Connection {
    peer: SocketAddr,
    router: Router,
    alt_svc: HeaderValue,
}

impl Connection {
    async fn serve(self, stream: Socket, tls: &TlsAcceptor, watcher: Watcher) {
        let Ok(Ok(stream)) = timeout(HANDSHAKE_WITHIN, tls.accept(stream)).await else {
            return tracing::debug!(peer = %self.peer, "TLS handshake failed");
        };
        // Somebody who checks whose this server is has seen it in the handshake.
        if stream.get_ref().1.alpn_protocol() == Some(CHALLENGE_ALPN) {
            return;
        }
        let (peer, alt_svc) = (self.peer, self.alt_svc.clone());
        let router = self.router.clone();
        let service = tower::service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(ConnectInfo(peer));
            let (mut router, alt_svc) = (router.clone(), alt_svc.clone());
            async move {
                let ready = ServiceExt::<Request<Body>>::ready(&mut router).await?;
                let is_http1 = request.version() <= Version::HTTP_11;
                let request = request.map(|body| {
                    let body = Body::new(Patient::new(body, BODY_IDLE));
                    if is_http1 { lingering(body) } else { body }
                });
                let mut response = ready.call(request).await?;
                response.headers_mut().insert(ALT_SVC, alt_svc);
                Ok::<_, std::convert::Infallible>(response)
            }
        });
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_WITHIN)
            .max_buf_size(MAX_HEAD_BYTES.max(8 << 10));
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PONG_WITHIN)
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).expect("some KiB"));
        let connection =
            builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
        if let Err(error) = watcher.watch(connection.into_owned()).await {
            tracing::debug!(peer = %self.peer, error, "connection ended");
        }
    }
}
