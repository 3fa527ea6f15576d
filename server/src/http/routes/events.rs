//! What happens, as it happens: Server-Sent Events for those who listen, a WebSocket for those who also talk.
//!
//! Both follow the same feed as the native event stream: each event once, in order, resumed by its cursor.

#![expect(unused_qualifications, reason = "utoipa writes out the path of the query's type")]

use super::{
    messages::MessageView,
    watch::{Seen, Watched},
};
use crate::{
    http::{
        caller::{Auth, TicketAuth},
        extract::Query,
        problem::{Problem, ProblemDetails},
        state::HttpState,
        tickets,
    },
    services::{Caller, FeedItem},
    store::events::{Entry, Event},
};
use axum::{
    extract::{
        State, WebSocketUpgrade,
        ws::{CloseFrame, Message, WebSocket, close_code},
    },
    response::{
        Response, Sse,
        sse::{self, KeepAlive},
    },
};
use futures::{Stream, StreamExt, stream};
use http::HeaderMap;
use hypersend_protocol::{
    chat::Post,
    id::{ChatId, ClientId, Cursor, FileId, Seq},
    name::MessageText,
    refusal::{ErrorCode, Refusal},
};
use serde::{Deserialize, Serialize};
use std::{convert::Infallible, time::Duration, time::Instant};
use tokio::time::{interval, timeout};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

/// How often something is said to a client to whom nothing happens: proxies cut what is silent for a minute.
pub(super) const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// How long a client of a WebSocket may take to read what it is sent.
pub(super) const READ_WITHIN: Duration = Duration::from_secs(30);

/// The longest message of a WebSocket's client, in bytes: a text of the longest kind, escaped, and its files.
const MAX_INTENT_BYTES: usize = 128 << 10;

pub(in crate::http) fn router() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new().routes(routes!(ticket)).routes(routes!(listen)).routes(routes!(talk))
}

/// What opens one event stream or one WebSocket.
#[derive(Debug, Serialize, ToSchema)]
struct TicketView {
    /// For the query, once.
    ticket: String,
    /// Until when it is good, in seconds from now.
    expires_in: u64,
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct Since {
    /// The cursor of the last event that the client has; left out for what happens from now on.
    after: Option<u64>,
    /// A ticket, from a client that cannot send the header Authorization.
    #[serde(rename = "ticket")]
    _ticket: Option<String>,
}

/// One thing that happened.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
enum EventView {
    /// Events before this cursor are not to be had: read the lists anew.
    Reset { cursor: u64 },
    /// A message was posted.
    Posted { cursor: u64, at: String, message: MessageView },
    /// A message was changed in place (deleted).
    Changed { cursor: u64, at: String, chat: Uuid, seq: u64, revision: u64 },
    /// Somebody joined one of the caller's chats; perhaps the caller.
    Joined { cursor: u64, at: String, chat: Uuid, user: Uuid },
    /// Somebody left.
    Left { cursor: u64, at: String, chat: Uuid, user: Uuid },
    /// The caller has read up to here, perhaps on another device.
    Read { cursor: u64, at: String, chat: Uuid, seq: u64 },
    /// A transfer from or to the caller was offered, or got on; how far, its session tells.
    P2p { cursor: u64, at: String, chat: Uuid, session: Uuid },
}

impl EventView {
    fn cursor(&self) -> u64 {
        match *self {
            Self::Reset { cursor }
            | Self::Posted { cursor, .. }
            | Self::Changed { cursor, .. }
            | Self::Joined { cursor, .. }
            | Self::Left { cursor, .. }
            | Self::Read { cursor, .. }
            | Self::P2p { cursor, .. } => cursor,
        }
    }
}

impl From<FeedItem> for EventView {
    fn from(item: FeedItem) -> Self {
        let Event { cursor, at, chat, what } = match item {
            FeedItem::Reset(cursor) => return Self::Reset { cursor: cursor.0 },
            FeedItem::Event(event) => event,
        };
        let (cursor, at, chat) = (cursor.0, at.to_string(), chat.0);
        match what {
            Entry::Posted(message) => Self::Posted { cursor, at, message: message.into() },
            Entry::Changed(seq, revision) => Self::Changed { cursor, at, chat, seq: seq.0, revision: revision.0 },
            Entry::Joined(user) => Self::Joined { cursor, at, chat, user: user.0 },
            Entry::Left(user) => Self::Left { cursor, at, chat, user: user.0 },
            Entry::Read(seq) => Self::Read { cursor, at, chat, seq: seq.0 },
            Entry::P2p(session) => Self::P2p { cursor, at, chat, session: session.0 },
        }
    }
}

/// What a client says on a WebSocket.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Intent {
    Post {
        /// The client's id for the message: sent again, it is posted once.
        id: ClientId,
        chat: ChatId,
        text: Option<MessageText>,
        #[serde(default)]
        files: Vec<FileId>,
        reply_to: Option<u64>,
    },
    Typing {
        chat: ChatId,
    },
    Read {
        chat: ChatId,
        seq: u64,
    },
    /// Say who is present in a chat, and who types.
    Watch {
        chat: ChatId,
    },
    Unwatch {
        chat: ChatId,
    },
}

/// What a client is answered there.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Answer {
    Sent {
        id: Uuid,
        seq: u64,
        at: String,
    },
    Refused {
        id: Option<Uuid>,
        code: &'static str,
        detail: String,
    },
    #[serde(untagged)]
    Seen(Seen),
}

/// A ticket for `GET /events` or `GET /ws`, for clients that cannot send the header there.
#[utoipa::path(post, path = "/events/tickets", tag = "events",
    responses((status = 200, body = TicketView), (status = "default", body = ProblemDetails)))]
async fn ticket(State(state): State<HttpState>, Auth(me): Auth) -> axum::Json<TicketView> {
    let ticket = state.tickets().give(me.session, Instant::now());
    axum::Json(TicketView { ticket, expires_in: tickets::LIFETIME.as_secs() })
}

/// What happens, as Server-Sent Events; their ids are cursors, so `Last-Event-ID` goes on where a connection broke.
#[utoipa::path(get, path = "/events", tag = "events",
    params(Since, ("Last-Event-ID" = Option<u64>, Header, description = "the last event that the client has")),
    responses((status = 200, body = EventView, content_type = "text/event-stream"),
        (status = "default", body = ProblemDetails)))]
async fn listen(
    State(state): State<HttpState>,
    TicketAuth(me): TicketAuth,
    Query(since): Query<Since>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<sse::Event, Infallible>>>, Problem> {
    let resumed = headers.get("last-event-id").map(|id| id.to_str().ok().and_then(|id| id.parse().ok()));
    let resumed = match resumed {
        Some(None) => return Err(Problem::header("Last-Event-ID", "the number of an event")),
        Some(Some(cursor)) => Some(cursor),
        None => since.after,
    };
    let events = feed(&state, &me, resumed.map(Cursor)).map(|view| {
        let data = serde_json::to_string(&view).expect("events are JSON");
        Ok(sse::Event::default().id(view.cursor().to_string()).data(data))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(SIGN_OF_LIFE)))
}

/// The feed until the session or the server ends, or the store fails: then the client comes again with its cursor.
fn feed(state: &HttpState, me: &Caller, after: Option<Cursor>) -> impl Stream<Item = EventView> + Send + use<> {
    let (feed, here) = (state.services().chats.follow(me, after), state.services().presence.enter(me.id()));
    let items = stream::unfold((feed, here), async |(mut feed, here)| {
        Some((EventView::from(feed.next().await.ok()?), (feed, here)))
    });
    let (accounts, session, stopping) = (state.services().accounts.clone(), me.session, state.stopping().clone());
    items.take_until(async move {
        tokio::select! {
            () = accounts.until_over(session) => {}
            () = stopping.cancelled() => {}
        }
    })
}

/// The same events on a WebSocket, whose client also posts, types and reads: JSON objects with a `type`.
#[utoipa::path(get, path = "/ws", tag = "events", params(Since),
    responses((status = 101, description = "a WebSocket"), (status = "default", body = ProblemDetails)))]
async fn talk(
    State(state): State<HttpState>,
    TicketAuth(me): TicketAuth,
    Query(since): Query<Since>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let after = since.after.map(Cursor);
    upgrade.max_message_size(MAX_INTENT_BYTES).on_upgrade(move |socket| conversation(state, me, after, socket))
}

async fn conversation(state: HttpState, me: Caller, after: Option<Cursor>, mut socket: WebSocket) {
    let feed = feed(&state, &me, after);
    tokio::pin!(feed);
    let (mut ping, mut watched) = (interval(SIGN_OF_LIFE), Watched::default());
    loop {
        let said = tokio::select! {
            event = feed.next() => match event {
                Some(event) => vec![text(&event)],
                None => return bye(socket).await,
            },
            heard = socket.recv() => match heard {
                Some(Ok(Message::Text(intent))) => {
                    intend(&state, &me, &mut watched, &intent).await.iter().map(text).collect()
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => continue,
            },
            heard = watched.next() => watched.tell(state.services(), &me, heard).await.iter().map(text).collect(),
            _ = ping.tick() => vec![Message::Ping(bytes::Bytes::new())],
        };
        for said in said {
            if !matches!(timeout(READ_WITHIN, socket.send(said)).await, Ok(Ok(()))) {
                return;
            }
        }
    }
}

fn text(said: &impl Serialize) -> Message {
    Message::Text(serde_json::to_string(said).expect("what is said is JSON").into())
}

pub(super) async fn bye(mut socket: WebSocket) {
    let frame = CloseFrame { code: close_code::AWAY, reason: "connect again".into() };
    // Who does not listen any more knows it already.
    let _ = timeout(READ_WITHIN, socket.send(Message::Close(Some(frame)))).await;
}

async fn intend(state: &HttpState, me: &Caller, watched: &mut Watched, intent: &str) -> Option<Answer> {
    let chats = &state.services().chats;
    match serde_json::from_str(intent) {
        Ok(Intent::Post { id, chat, text, files, reply_to }) => {
            let post = Post { client_id: id, text, files, reply_to: reply_to.map(Seq) };
            Some(match chats.post(me, chat, post).await {
                Ok(posted) => Answer::Sent { id: id.0, seq: posted.seq.0, at: posted.at.to_string() },
                Err(error) => refused(Some(id.0), error),
            })
        }
        Ok(Intent::Typing { chat }) => match chats.chat(me, chat).await {
            Ok(_) => {
                chats.typing(me, chat).await;
                None
            }
            Err(error) => Some(refused(None, error)),
        },
        Ok(Intent::Read { chat, seq }) => {
            chats.mark_read(me, chat, Seq(seq)).await.err().map(|error| refused(None, error))
        }
        Ok(Intent::Watch { chat }) => Some(match watched.watch(state.services(), me, chat).await {
            Ok(seen) => Answer::Seen(seen),
            Err(refusal) => refused(None, refusal),
        }),
        Ok(Intent::Unwatch { chat }) => {
            watched.unwatch(chat);
            None
        }
        Err(error) => Some(refused(None, Refusal::new(ErrorCode::Invalid, error.to_string()))),
    }
}

fn refused(id: Option<Uuid>, error: impl Into<Refusal>) -> Answer {
    let refusal = error.into();
    Answer::Refused { id, code: refusal.code.slug(), detail: refusal.message }
}
