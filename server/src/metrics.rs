//! What an operator watches, in the text format of Prometheus (`OpenMetrics` 1.0).
//!
//! Counting costs an atomic addition; families by label are looked up once for each request and not for each byte. No label
//! has a value that a client chooses, so their number is bounded.

mod process;

use http::{Method, StatusCode};
use hypersend_relay::{Observer, metrics::Collected};
use process::Process;
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
        info::Info,
    },
    registry::Registry,
};
use std::{sync::Arc, time::Duration};

/// Counters of everything; cloning shares them.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    registry: Registry,
    connections: Family<ProtocolLabels, Gauge>,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    bytes_received: Counter,
    bytes_sent: Counter,
    logins: Family<OutcomeLabels, Counter>,
    mailboxes: Family<OutcomeLabels, Counter>,
    mailbox_claims: Family<OutcomeLabels, Counter>,
    tunnels: Gauge,
    messages: Counter,
    message_seconds: Histogram,
    uploads_begun: Counter,
    uploads_finished: Counter,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// The native protocol, over QUIC.
    Native,
    /// The native protocol, over TCP.
    NativeTcp,
    /// HTTP/3.
    Http3,
    /// HTTP/2.
    Http2,
    /// HTTP/1.1.
    Http1,
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was let in.
    Accepted,
    /// Its email or password was wrong, or the code.
    Wrong,
    /// It came too soon after others.
    Limited,
    /// The server could not say.
    Failed,
}

impl Outcome {
    fn labels(self) -> OutcomeLabels {
        let outcome = match self {
            Self::Accepted => "accepted",
            Self::Wrong => "wrong",
            Self::Limited => "limited",
            Self::Failed => "failed",
        };
        OutcomeLabels { outcome }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ProtocolLabels {
    protocol: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OutcomeLabels {
    outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    route: String,
    status: u16,
}

/// From half a millisecond to a minute and more: small requests, and bodies of many MiB.
fn latencies() -> Histogram {
    Histogram::new(exponential_buckets(0.0005, 4.0, 9))
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Metrics {
    /// Counters of everything, with those of the relay in this process.
    pub(crate) fn new(relay: Option<Observer>) -> Self {
        let mut registry = Registry::with_prefix("hypersend");
        let build = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The program that is running", build);
        registry.register_collector(Box::new(Process));
        if let Some(relay) = relay {
            registry.sub_registry_with_prefix("relay").register_collector(Box::new(Collected::new(relay)));
        }

        let connections = Family::<ProtocolLabels, Gauge>::default();
        registry.register("connections", "Connections that are open", connections.clone());
        let requests = Family::<RequestLabels, Counter>::default();
        registry.register("http_requests", "HTTP requests answered", requests.clone());
        let request_seconds = Family::new_with_constructor(latencies as fn() -> Histogram);
        let help = "From the head of an HTTP request to the head of its answer, in seconds";
        registry.register("http_request_seconds", help, request_seconds.clone());
        let (bytes_received, bytes_sent) = (Counter::default(), Counter::default());
        registry.register("file_received_bytes", "Bytes of files stored", bytes_received.clone());
        registry.register("file_sent_bytes", "Bytes of files read out to be sent", bytes_sent.clone());
        let logins = Family::<OutcomeLabels, Counter>::default();
        registry.register("logins", "Attempts to log in by password", logins.clone());
        let (mailboxes, mailbox_claims) =
            (Family::<OutcomeLabels, Counter>::default(), Family::<OutcomeLabels, Counter>::default());
        registry.register("mailboxes", "Attempts to open a mailbox without an account", mailboxes.clone());
        registry.register("mailbox_claims", "Attempts to claim one by its code", mailbox_claims.clone());
        let tunnels = Gauge::default();
        registry.register("tunnels", "Open tunnels from clients without UDP to relays", tunnels.clone());
        let (messages, message_seconds) = (Counter::default(), latencies());
        registry.register("messages", "Messages stored", messages.clone());
        let help = "From a message's arrival to its being safe in the store, in seconds";
        registry.register("message_seconds", help, message_seconds.clone());
        let (uploads_begun, uploads_finished) = (Counter::default(), Counter::default());
        registry.register("uploads_begun", "Uploads begun or gone on with", uploads_begun.clone());
        registry.register("uploads_finished", "Uploads that became files", uploads_finished.clone());
        Self(Arc::new(Inner {
            registry,
            connections,
            requests,
            request_seconds,
            bytes_received,
            bytes_sent,
            logins,
            mailboxes,
            mailbox_claims,
            tunnels,
            messages,
            message_seconds,
            uploads_begun,
            uploads_finished,
        }))
    }
}

impl Metrics {
    /// Counts a connection as open until the guard is dropped.
    pub(crate) fn connected(&self, protocol: Protocol) -> Counted {
        let protocol = match protocol {
            Protocol::Native => "native",
            Protocol::NativeTcp => "native-tcp",
            Protocol::Http3 => "http/3",
            Protocol::Http2 => "http/2",
            Protocol::Http1 => "http/1.1",
        };
        let open = self.0.connections.get_or_create_owned(&ProtocolLabels { protocol });
        Counted::new(open)
    }

    /// Counts bytes of a file that were stored.
    pub(crate) fn received(&self, bytes: u64) {
        self.0.bytes_received.inc_by(bytes);
    }

    /// Counts bytes of a file that were read out.
    pub(crate) fn sent(&self, bytes: u64) {
        self.0.bytes_sent.inc_by(bytes);
    }

    /// Counts an HTTP request. `route` is the pattern that its path matched.
    pub(crate) fn answered(&self, method: &Method, route: Option<&str>, status: StatusCode, after: Duration) {
        let (method, route) = (known(method), route.unwrap_or("none").to_owned());
        let labels = RouteLabels { method, route: route.clone() };
        self.0.request_seconds.get_or_create(&labels).observe(after.as_secs_f64());
        self.0.requests.get_or_create(&RequestLabels { method, route, status: status.as_u16() }).inc();
    }

    /// Counts an attempt to log in.
    pub(crate) fn login(&self, outcome: Outcome) {
        self.0.logins.get_or_create(&outcome.labels()).inc();
    }

    /// Counts a tunnel for as long as it is open.
    pub(crate) fn tunnel(&self) -> Counted {
        Counted::new(self.0.tunnels.clone())
    }

    /// Counts an attempt to open a mailbox.
    pub(crate) fn mailbox(&self, outcome: Outcome) {
        self.0.mailboxes.get_or_create(&outcome.labels()).inc();
    }

    /// Counts an attempt to claim a mailbox.
    pub(crate) fn mailbox_claim(&self, outcome: Outcome) {
        self.0.mailbox_claims.get_or_create(&outcome.labels()).inc();
    }

    /// Counts a message that is stored.
    pub(crate) fn message(&self, after: Duration) {
        self.0.messages.inc();
        self.0.message_seconds.observe(after.as_secs_f64());
    }

    /// Counts an upload that is begun or gone on with.
    pub(crate) fn upload_begun(&self) {
        self.0.uploads_begun.inc();
    }

    /// Counts an upload that has become a file.
    pub(crate) fn upload_finished(&self) {
        self.0.uploads_finished.inc();
    }

    /// Everything, as text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        text::encode(&mut text, &self.0.registry).expect("a string takes everything");
        text
    }
}

/// Something that is counted for as long as it is there.
#[derive(Debug)]
pub(crate) struct Counted(Gauge);

impl Counted {
    fn new(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Methods that a client makes up are one.
fn known(method: &Method) -> &'static str {
    let all = [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];
    let names = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];
    all.iter().zip(names).find(|(known, _)| *known == method).map_or("other", |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_told_and_labels_are_bounded() {
        let metrics = Metrics::default();
        let open = (metrics.connected(Protocol::Http3), metrics.tunnel());
        metrics.received(5);
        metrics.mailbox(Outcome::Limited);
        metrics.mailbox_claim(Outcome::Wrong);
        metrics.answered(&"MADEUP".parse().unwrap(), None, StatusCode::NOT_FOUND, Duration::from_millis(3));
        let text = metrics.text();
        for line in [
            "hypersend_connections{protocol=\"http/3\"} 1",
            "hypersend_tunnels 1",
            "hypersend_file_received_bytes_total 5",
            "hypersend_mailboxes_total{outcome=\"limited\"} 1",
            "hypersend_mailbox_claims_total{outcome=\"wrong\"} 1",
            "hypersend_http_requests_total{method=\"other\",route=\"none\",status=\"404\"} 1",
            "hypersend_http_request_seconds_count{method=\"other\",route=\"none\"} 1",
        ] {
            assert!(text.lines().any(|said| said == line), "{line} is not in\n{text}");
        }
        assert!(text.contains("hypersend_process_resident_memory_bytes ") && text.ends_with("# EOF\n"));
        drop(open);
        assert!(metrics.text().contains("hypersend_connections{protocol=\"http/3\"} 0"));
    }
}
