//! What the two sides of a transfer say to each other before there is a path between them, on a WebSocket for each.

use super::events::{READ_WITHIN, SIGN_OF_LIFE, bye};
use crate::{
    http::{
        caller::TicketAuth,
        extract::Path,
        problem::{Problem, ProblemDetails},
        state::HttpState,
    },
    services::{Caller, SignalLine},
};
use axum::{
    extract::{
        State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket},
    },
    response::Response,
};
use data_encoding::BASE64;
use hypersend_net::pace::SignalPace;
use hypersend_protocol::{
    id::P2pId,
    limit::MAX_SIGNAL_BYTES,
    refusal::{ErrorCode, Refusal},
    signal::{RelaySeat, SignalValue},
};
use serde::Serialize;
use tokio::time::{interval, timeout};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

/// What is added to an error code to make it the code of a close frame: those from 4000 on are for applications
/// (RFC 6455, 7.4.2).
const CLOSE_CODES: u16 = 4_000;

pub(in crate::http) fn router() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new().routes(routes!(signals))
}

/// The first message of the WebSocket.
#[derive(Debug, Serialize, ToSchema)]
struct Opened {
    /// Relays that this side may use, the best first.
    relays: Vec<SeatView>,
}

/// A place at a relay, for one side of one transfer.
#[derive(Debug, Serialize, ToSchema)]
struct SeatView {
    relay: Uuid,
    name: String,
    /// Its host; left out for the host by which the client reaches the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    /// Its UDP ports; the first is for binding.
    ports: Vec<u16>,
    /// In base64.
    ticket: String,
}

impl From<&RelaySeat> for SeatView {
    fn from(seat: &RelaySeat) -> Self {
        Self {
            relay: seat.relay.0,
            name: seat.name.to_string(),
            host: seat.host.as_ref().map(ToString::to_string),
            ports: seat.ports.clone(),
            ticket: BASE64.encode(&seat.ticket.to_bytes()),
        }
    }
}

/// What the other side of a transfer says: a WebSocket. Its first message is text, a JSON object with `relays`; after that each
/// binary message is a value, from the client its own and from the server the other side's newest.
#[utoipa::path(get, path = "/p2p/sessions/{session}/signals", tag = "p2p",
    params(("session" = Uuid, Path), ("ticket" = Option<String>, Query, description = "a ticket of `POST /events/tickets`, from a client that cannot send the header Authorization")),
    responses((status = 101, description = "a WebSocket", body = Opened), (status = "default", body = ProblemDetails)))]
async fn signals(
    State(state): State<HttpState>,
    TicketAuth(me): TicketAuth,
    Path(session): Path<P2pId>,
    upgrade: WebSocketUpgrade,
) -> Result<Response, Problem> {
    let line = state.services().signals.open(&me, session).await?;
    let upgrade = upgrade.max_message_size(MAX_SIGNAL_BYTES).max_frame_size(MAX_SIGNAL_BYTES);
    Ok(upgrade.on_upgrade(move |socket| talk(state, me, line, socket)))
}

async fn talk(state: HttpState, me: Caller, mut line: SignalLine, mut socket: WebSocket) {
    let _here = state.services().presence.enter(me.id());
    let over = state.services().accounts.until_over(me.session);
    tokio::pin!(over);
    let opened = Opened { relays: line.relays().iter().map(Into::into).collect() };
    let opened = serde_json::to_string(&opened).expect("what is said is JSON");
    if !say(&mut socket, Message::Text(opened.into())).await {
        return;
    }
    let (mut ping, mut pace) = (interval(SIGN_OF_LIFE), SignalPace::default());
    loop {
        let said = tokio::select! {
            value = line.next() => match value {
                Ok(value) => Message::Binary(value.into_bytes().into()),
                Err(error) => return refuse(socket, &error.into()).await,
            },
            heard = next(&mut socket, &pace) => match heard {
                Some(Ok(Message::Binary(value))) => {
                    pace.count();
                    let set = match SignalValue::new(value.into()) {
                        Ok(value) => line.set(value).await.map_err(Refusal::from),
                        Err(error) => Err(Refusal::new(ErrorCode::Invalid, error.to_string())),
                    };
                    match set {
                        Ok(()) => continue,
                        Err(refusal) => return refuse(socket, &refusal).await,
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => {
                    pace.count();
                    continue;
                }
            },
            _ = ping.tick() => Message::Ping(bytes::Bytes::new()),
            () = &mut over => return bye(socket).await,
            () = state.stopping().cancelled() => return bye(socket).await,
        };
        if !say(&mut socket, said).await {
            return;
        }
    }
}

/// The client's next message, not before it may come. Cancel safe.
async fn next(socket: &mut WebSocket, pace: &SignalPace) -> Option<Result<Message, axum::Error>> {
    pace.ready().await;
    socket.recv().await
}

async fn say(socket: &mut WebSocket, message: Message) -> bool {
    matches!(timeout(READ_WITHIN, socket.send(message)).await, Ok(Ok(())))
}

async fn refuse(mut socket: WebSocket, refusal: &Refusal) {
    let code = CLOSE_CODES.saturating_add(refusal.code.into());
    let frame = CloseFrame { code, reason: refusal.code.slug().into() };
    say(&mut socket, Message::Close(Some(frame))).await;
}
