//! HTTP/2 and HTTP/1.1 on a TLS connection, as the client likes.

use super::{
    linger::lingering,
    patient::{BODY_IDLE, Patient},
};
use axum::{Router, body::Body, extract::ConnectInfo};
use http::{HeaderValue, Request, Version, header::ALT_SVC};
use hyper::body::Incoming;
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{conn::auto, graceful::Watcher},
    service::TowerToHyperService,
};
use std::{net::SocketAddr, time::Duration};
use tokio::io::{AsyncRead, AsyncWrite};
use tower::{Service, ServiceExt};

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

/// Serves requests until the client has enough, or, once there is no time for more, until the last one is answered.
/// `port`: where the same is to be had by HTTP/3.
pub(crate) async fn serve<T>(stream: T, peer: SocketAddr, port: u16, router: Router, watcher: Watcher)
where
    T: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let alt_svc = HeaderValue::from_str(&format!("h3=\":{port}\"; ma=86400")).expect("it is ASCII");
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
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN).max_buf_size(MAX_HEAD_BYTES.max(8 << 10));
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PONG_WITHIN)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(u32::try_from(MAX_HEAD_BYTES).expect("some KiB"));
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
    if let Err(error) = watcher.watch(connection.into_owned()).await {
        tracing::debug!(peer = %peer, error, "connection ended");
    }
}
