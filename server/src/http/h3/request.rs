//! One request: its stream on one side, the service on the other.

use super::{
    Limits, Transport,
    adapter::{self, Accepted, Outcome, Over},
    body, head,
    respond::Responder,
};
use crate::http::patient::Patient;
use axum::{body::Body, extract::ConnectInfo};
use bytes::Bytes;
use futures::StreamExt as _;
use h3::{error::Code, server::RequestResolver};
use http::{Request, Response, StatusCode};
use std::{convert::Infallible, pin::pin, time::Duration};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt as _};

/// How long the last bytes may take to the client when the server stops, before the connection is closed over them.
const LAST_WORDS: Duration = Duration::from_secs(3);

/// What the requests of one connection share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) transport: Transport,
    pub(super) limits: Limits,
    pub(super) stopping: CancellationToken,
}

/// How a request's stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// By a response, or because the client did not want one.
    Fair,
    /// By our cutting it off.
    Cut,
}

/// Serves one request to its end.
pub(super) async fn serve<S>(
    resolver: RequestResolver<adapter::Connection, Bytes>,
    accepted: Accepted,
    service: S,
    shared: Shared,
) -> Ending
where
    S: Service<Request<Body>, Response = Response<Body>, Error = Infallible>,
{
    let Accepted { lane, mut over } = accepted;
    let (head, stream) = match timeout(shared.limits.head, resolver.resolve_request()).await {
        Ok(Ok(resolved)) => resolved,
        Ok(Err(error)) => {
            tracing::debug!(%error, "no request came");
            return Ending::Cut;
        }
        Err(_) => {
            tracing::debug!("no request came in time");
            return Ending::Cut;
        }
    };
    lane.resolved();
    let (mut send, mut recv) = stream.split();
    let method = head.method().clone();
    let responder = Responder { stream: &mut send, lane: &lane, idle: shared.limits.response };
    let (answered, rest) = match head::check(&head) {
        Ok(length) => {
            let (pump, body) = body::channel(length, lane.clone());
            let body = Body::new(Patient::new(body, shared.limits.body));
            let request = dress(head, body, &shared.transport);
            let answer = async {
                let Ok(response) = service.oneshot(request).await;
                responder.respond(&method, response).await
            };
            // A handler that did not want the body was right to answer without it: the rest is refused, and not as a fault.
            (exchange(answer, pump.run(&mut recv), &mut over).await, Code::H3_NO_ERROR)
        }
        Err(malformed) => {
            tracing::debug!(%malformed, "bad request");
            let answer = responder.respond(&method, refusal());
            (exchange(answer, std::future::ready(Ok(())), &mut over).await, Code::H3_MESSAGE_ERROR)
        }
    };
    match answered {
        Ok(()) => {
            recv.stop_sending(rest);
            delivered(over, &shared.stopping).await;
            Ending::Fair
        }
        Err(Stop::Gone) => {
            lane.end_with(Code::H3_REQUEST_CANCELLED);
            Ending::Fair
        }
        Err(Stop::Reset(code)) => {
            tracing::debug!(%code, "request cut off");
            lane.end_with(code);
            Ending::Cut
        }
    }
}

/// Why an exchange stopped before its response was sent.
enum Stop {
    /// The client does not want the response, or is gone.
    Gone,
    /// The stream is to be reset.
    Reset(Code),
}

/// Runs the answer and the reading side by side, until the answer is sent. When either side of the stream breaks, both are
/// dropped at once, and the handler and its response's body with them.
async fn exchange(
    answer: impl Future<Output = Result<(), Code>>,
    reading: impl Future<Output = Result<(), Code>>,
    over: &mut Outcome,
) -> Result<(), Stop> {
    let (mut answer, mut reading) = (pin!(answer), pin!(reading));
    let mut is_reading = true;
    loop {
        tokio::select! {
            biased;
            over = over.next() => return if over == Some(Over::Gone) { Err(Stop::Gone) } else { Ok(()) },
            answered = &mut answer => return answered.map_err(Stop::Reset),
            read = &mut reading, if is_reading => match read {
                Ok(()) => is_reading = false,
                Err(code) => return Err(Stop::Reset(code)),
            },
        }
    }
}

fn dress(head: Request<()>, body: Body, transport: &Transport) -> Request<Body> {
    let mut request = head.map(|()| body);
    request.extensions_mut().insert(ConnectInfo(transport.remote_address()));
    request.extensions_mut().insert(transport.clone());
    request
}

fn refusal() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}

/// Waits until the client has all of the response: closing the connection drops what was not delivered. Ends with the
/// connection at the latest, and soon when the server stops.
async fn delivered(mut over: Outcome, stopping: &CancellationToken) {
    tokio::select! {
        _ = over.next() => {}
        () = async { stopping.cancelled().await; sleep(LAST_WORDS).await } => {}
    }
}
