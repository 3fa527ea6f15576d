//! What an operator watches, in the text format of Prometheus (`OpenMetrics` 1.0), on a TCP port of its own.
//!
//! Meant for the operator's own network: it asks for no password. What a caller can take up there is bounded all the same.

use crate::{
    counters::DropReason,
    switch::{Observer, Snapshot},
};
use http::{Method, Request, Response, StatusCode, header::CONTENT_TYPE};
use http_body_util::Full;
use hyper::{
    body::{Bytes, Incoming},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric, text},
    metrics::{MetricType, counter::ConstCounter, gauge::ConstGauge, info::Info},
    registry::Registry,
};
use std::{convert::Infallible, fmt, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};

/// Connections at one time: a collector or two, a probe, and somebody who looks. More wait.
const MAX_CONNECTIONS: usize = 16;

/// How long one connection may take, for its one request and the answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long to wait after a connection that could not be accepted, for want of file descriptors as a rule.
const PAUSE: Duration = Duration::from_millis(100);

/// The type that `OpenMetrics` 1.0 names for its text.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers `/metrics`, `/healthz` (the process runs) and `/readyz` (it takes new sessions) for as long as it is awaited.
pub async fn serve(listener: TcpListener, observer: Observer) -> Infallible {
    let mut registry = Registry::with_prefix("hypersend_relay");
    registry.register("build", "The program that is running", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
    registry.register_collector(Box::new(Collected::new(observer.clone())));
    let (registry, room) = (Arc::new(registry), Arc::new(Semaphore::new(MAX_CONNECTIONS)));
    loop {
        let permit = room.clone().acquire_owned().await.expect("nobody closes the semaphore");
        match listener.accept().await {
            Ok((stream, _)) => {
                let (registry, observer) = (registry.clone(), observer.clone());
                // Ends by itself within PATIENCE.
                tokio::spawn(async move {
                    let _ = timeout(PATIENCE, answer(stream, &registry, &observer)).await;
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::warn!(%error, "accept a connection for metrics");
                sleep(PAUSE).await;
            }
        }
    }
}

async fn answer(stream: TcpStream, registry: &Registry, observer: &Observer) {
    let service =
        service_fn(async |request: Request<Incoming>| Ok::<_, Infallible>(page(&request, registry, observer)));
    // Whoever does not speak HTTP or leaves early has nothing to be told.
    let _ = http1::Builder::new().keep_alive(false).serve_connection(TokioIo::new(stream), service).await;
}

fn page(request: &Request<Incoming>, registry: &Registry, observer: &Observer) -> Response<Full<Bytes>> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let (status, kind, text) = match request.uri().path() {
        _ if !is_read => (StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET and HEAD\n".to_owned()),
        "/metrics" => (StatusCode::OK, OPEN_METRICS, written(registry)),
        "/readyz" if observer.is_leaving() => (StatusCode::SERVICE_UNAVAILABLE, "text/plain", "leaving\n".to_owned()),
        "/healthz" | "/readyz" => (StatusCode::OK, "text/plain", "ok\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "text/plain", "try /metrics, /healthz or /readyz\n".to_owned()),
    };
    let answer = Response::builder().status(status).header(CONTENT_TYPE, kind).body(Full::from(text));
    answer.expect("status and type are fixed values")
}

fn written(registry: &Registry) -> String {
    let mut text = String::new();
    text::encode(&mut text, registry).expect("a string takes everything");
    text
}

/// Asked when somebody looks: counting costs the relay nothing more.
pub struct Collected(Observer);

impl Collected {
    /// How this relay stands.
    pub fn new(observer: Observer) -> Self {
        Self(observer)
    }
}

impl fmt::Debug for Collected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Collected")
    }
}

impl Collector for Collected {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let Snapshot { counters, sessions, addresses, unsent, waits, is_leaving } = self.0.snapshot();
        for (name, help, value) in [
            ("sessions", "Sessions that are here", sessions as u64),
            ("addresses", "Addresses that are bound", addresses as u64),
            ("leaving", "1 if nobody new is taken", u64::from(is_leaving)),
        ] {
            let metric = ConstGauge::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)?;
        }
        for (name, help, value) in [
            ("forwarded_datagrams", "Datagrams passed on", counters.forwarded),
            ("forwarded_bytes", "Bytes of datagrams passed on", counters.forwarded_bytes),
            ("answers", "Answers to questions of the relay protocol", counters.answered),
            ("binds", "Binds that were granted", counters.bound),
            ("refusals", "Binds that were refused", counters.refused),
            ("unsent_datagrams", "Datagrams that the kernel did not take", unsent),
            ("send_waits", "Times that the kernel had no room for what was to be sent", waits),
        ] {
            let metric = ConstCounter::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)?;
        }
        let help = "Datagrams that went nowhere, by the reason";
        let mut dropped = encoder.encode_descriptor("dropped_datagrams", help, None, MetricType::Counter)?;
        for &reason in DropReason::ALL {
            let metric = ConstCounter::new(counters.dropped(reason));
            metric.encode(dropped.encode_family(&[("reason", reason.slug())])?)?;
        }
        Ok(())
    }
}
