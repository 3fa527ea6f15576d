//! One connection.

use super::{
    Limits, MAX_HEADER_SECTION, Transport,
    adapter::{self, LastAccepted},
    request::{self, Ending, Shared},
};
use axum::body::Body;
use bytes::Bytes;
use h3::error::{Code, ConnectionError};
use http::{Request, Response};
use quinn::VarInt;
use std::{convert::Infallible, time::Duration};
use tokio::{
    task::{JoinError, JoinSet},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tower::Service;
use tracing::Instrument as _;

/// Requests of one connection that may be cut off for what the client did before the connection is. h3 0.0.8 keeps the id
/// of a request whose head never came, and quinn a waker of a stream that we reset; so a connection that only misbehaves
/// would cost about 100 bytes each time, 1 MB at this limit.
const MAX_CUT: u32 = 10_000;

/// How long a client of a stopping server has for what it has received, before the connection is closed.
const HANDING_ON: Duration = Duration::from_millis(500);

/// Serves one connection that speaks HTTP/3 to its end. When `stopping` is cancelled, new requests are refused and the
/// running ones finish; how long they may take is the caller's to say, by dropping this.
pub(crate) async fn serve<S>(connection: quinn::Connection, service: S, stopping: CancellationToken)
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let span = tracing::info_span!("connection", peer = %connection.remote_address(), protocol = "h3");
    serve_within(Limits::default(), connection, service, stopping).instrument(span).await;
}

/// [`serve`] with other limits than the server's, for tests.
pub(super) async fn serve_within<S>(
    limits: Limits,
    connection: quinn::Connection,
    service: S,
    stopping: CancellationToken,
) where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let transport = Transport::new(connection.clone());
    let (adapter, accepted) = adapter::Connection::new(connection.clone());
    let mut builder = h3::server::builder();
    builder.max_field_section_size(MAX_HEADER_SECTION).send_grease(false);
    let server = match timeout(limits.head, builder.build(adapter)).await {
        Ok(Ok(server)) => server,
        Ok(Err(error)) => return tracing::debug!(%error, "HTTP/3 did not begin"),
        Err(_) => return close(&connection, Code::H3_GENERAL_PROTOCOL_ERROR, b"no room for control streams"),
    };
    let shared = Shared { transport, limits, stopping };
    let mut door = Door { server, accepted, service, shared, requests: JoinSet::new(), cut: 0, was_busy: false };
    match door.run().await {
        Ok(()) => {
            // Some clients take a close for a failure of what they have received and not yet handed on.
            if door.shared.stopping.is_cancelled() && door.was_busy {
                let _ = timeout(HANDING_ON, connection.closed()).await;
            }
            close(&connection, Code::H3_NO_ERROR, b"");
        }
        Err(Left::Broken(error)) => tracing::debug!(%error, "disconnected"),
        Err(Left::Misused) => close(&connection, Code::H3_EXCESSIVE_LOAD, b"too many broken requests"),
    }
    door.requests.shutdown().await;
}

/// Why a connection ends before its requests do.
enum Left {
    Broken(ConnectionError),
    Misused,
}

struct Door<S> {
    server: h3::server::Connection<adapter::Connection, Bytes>,
    accepted: LastAccepted,
    service: S,
    shared: Shared,
    requests: JoinSet<Ending>,
    cut: u32,
    /// Whether requests were under way when the server was told to stop.
    was_busy: bool,
}

impl<S> Door<S>
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    async fn run(&mut self) -> Result<(), Left> {
        loop {
            tokio::select! {
                request = self.server.accept() => match request.map_err(Left::Broken)? {
                    Some(request) => self.begin(request),
                    // The client said goodbye.
                    None => return self.drain().await,
                },
                Some(ended) = self.requests.join_next() => self.count(&ended)?,
                () = self.shared.stopping.cancelled() => break,
            }
        }
        self.was_busy = !self.requests.is_empty();
        // "No request behind the last one that was accepted."
        self.server.shutdown(1).await.map_err(Left::Broken)?;
        while !self.requests.is_empty() {
            tokio::select! {
                // What h3 still gives out is behind the last one: dropped, it is reset with H3_REQUEST_REJECTED.
                request = self.server.accept() => if request.map_err(Left::Broken)?.is_none() { break },
                Some(ended) = self.requests.join_next() => self.count(&ended)?,
            }
        }
        self.drain().await
    }

    fn begin(&mut self, request: h3::server::RequestResolver<adapter::Connection, Bytes>) {
        let accepted = self.accepted.take().expect("h3 gives out the stream that it was given");
        let serving = request::serve(request, accepted, self.service.clone(), self.shared.clone());
        self.requests.spawn(serving.in_current_span());
    }

    fn count(&mut self, ended: &Result<Ending, JoinError>) -> Result<(), Left> {
        if !matches!(ended, Ok(Ending::Fair)) {
            self.cut += 1;
        }
        if self.cut > MAX_CUT { Err(Left::Misused) } else { Ok(()) }
    }

    async fn drain(&mut self) -> Result<(), Left> {
        while let Some(ended) = self.requests.join_next().await {
            self.count(&ended)?;
        }
        Ok(())
    }
}

fn close(connection: &quinn::Connection, code: Code, reason: &[u8]) {
    connection.close(VarInt::from_u64(code.value()).expect("h3's codes are small"), reason);
}
