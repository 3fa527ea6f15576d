//! Transfers from one client to another: the offer, and what became of it.

use crate::http::{
    caller::Auth,
    extract::{Json, Path, Query},
    once::Once,
    page::{Page, PageQuery, Position},
    problem::{Problem, ProblemDetails},
    state::HttpState,
};
use axum::extract::State;
use http::StatusCode;
use hypersend_protocol::{
    id::{ChatId, P2pId, UserId},
    name::FileName,
    p2p::{ChangeP2p, OfferP2p, OfferedFile, P2pPath, P2pSession, P2pStatus},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub(in crate::http) fn router() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new().routes(routes!(list, offer)).routes(routes!(session, change))
}

/// How far a transfer has come.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum StatusView {
    /// The receiver has not answered.
    Offered,
    /// The receiver wants it.
    Accepted,
    /// The receiver does not want it.
    Declined,
    /// Either side has called it off.
    Cancelled,
    /// The receiver has all of it.
    Finished,
    /// Either side has given up.
    Failed,
}

impl From<P2pStatus> for StatusView {
    fn from(status: P2pStatus) -> Self {
        match status {
            P2pStatus::Offered => Self::Offered,
            P2pStatus::Accepted => Self::Accepted,
            P2pStatus::Declined => Self::Declined,
            P2pStatus::Cancelled => Self::Cancelled,
            P2pStatus::Finished => Self::Finished,
            P2pStatus::Failed => Self::Failed,
        }
    }
}

impl From<StatusView> for P2pStatus {
    fn from(status: StatusView) -> Self {
        match status {
            StatusView::Offered => Self::Offered,
            StatusView::Accepted => Self::Accepted,
            StatusView::Declined => Self::Declined,
            StatusView::Cancelled => Self::Cancelled,
            StatusView::Finished => Self::Finished,
            StatusView::Failed => Self::Failed,
        }
    }
}

/// What the bytes take.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum PathView {
    Direct,
    Relayed,
    Stored,
}

impl From<P2pPath> for PathView {
    fn from(path: P2pPath) -> Self {
        match path {
            P2pPath::Direct => Self::Direct,
            P2pPath::Relayed => Self::Relayed,
            P2pPath::Stored => Self::Stored,
        }
    }
}

impl From<PathView> for P2pPath {
    fn from(path: PathView) -> Self {
        match path {
            PathView::Direct => Self::Direct,
            PathView::Relayed => Self::Relayed,
            PathView::Stored => Self::Stored,
        }
    }
}

/// A file or a folder that is offered.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct OfferedView {
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    name: FileName,
    /// In bytes; of a folder, that of all files in it.
    size: u64,
    /// Whether it is a folder.
    #[serde(default)]
    folder: bool,
}

impl From<OfferedFile> for OfferedView {
    fn from(OfferedFile { name, size, folder }: OfferedFile) -> Self {
        Self { name, size, folder }
    }
}

impl From<OfferedView> for OfferedFile {
    fn from(OfferedView { name, size, folder }: OfferedView) -> Self {
        Self { name, size, folder }
    }
}

/// A transfer from one client to another. The bytes never reach the server.
#[derive(Debug, Serialize, ToSchema)]
struct SessionView {
    id: Uuid,
    chat: Uuid,
    sender: Uuid,
    receiver: Uuid,
    files: Vec<OfferedView>,
    status: StatusView,
    /// What the bytes take, as either side said last.
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<PathView>,
    #[schema(format = DateTime)]
    created: String,
    #[schema(format = DateTime)]
    updated: String,
}

impl From<P2pSession> for SessionView {
    fn from(session: P2pSession) -> Self {
        Self {
            id: session.id.0,
            chat: session.chat.0,
            sender: session.sender.0,
            receiver: session.receiver.0,
            files: session.files.into_iter().map(Into::into).collect(),
            status: session.status.into(),
            path: session.path.map(Into::into),
            created: session.created.to_string(),
            updated: session.updated.to_string(),
        }
    }
}

/// What is offered, and to whom.
#[derive(Debug, Deserialize, ToSchema)]
struct NewOffer {
    /// A chat that both are in.
    chat: Uuid,
    /// Another member of it.
    receiver: Uuid,
    #[schema(min_items = 1, max_items = 64)]
    files: Vec<OfferedView>,
}

/// How far a transfer has come; what is left out stays as it is.
#[derive(Debug, Deserialize, ToSchema)]
struct Change {
    /// The receiver says `accepted`, `declined` and `finished`; either says `cancelled` and `failed`.
    #[serde(default)]
    status: Option<StatusView>,
    #[serde(default)]
    path: Option<PathView>,
}

/// The transfers that the caller sends or receives, the newest first.
#[utoipa::path(get, path = "/p2p/sessions", tag = "p2p", params(PageQuery),
    responses((status = 200, body = Page<SessionView>), (status = "default", body = ProblemDetails)))]
async fn list(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<SessionView>>, Problem> {
    let before = page.position()?.map(P2pId);
    let (sessions, more) = state.services().p2p.list(&me, before, page.limit()?).await?;
    let next = sessions.last().filter(|_| more).map(|last| last.id.0.cursor());
    Ok(axum::Json(Page { items: sessions.into_iter().map(Into::into).collect(), next }))
}

/// Offers files to another member of a chat.
#[utoipa::path(post, path = "/p2p/sessions", tag = "p2p",
    params(("Idempotency-Key" = Option<String>, Header, description = "makes one offer however often it is sent")),
    request_body = NewOffer,
    responses((status = 201, body = SessionView), (status = "default", body = ProblemDetails)))]
async fn offer(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Once(client_id): Once,
    Json(NewOffer { chat, receiver, files }): Json<NewOffer>,
) -> Result<(StatusCode, axum::Json<SessionView>), Problem> {
    let files = files.into_iter().map(Into::into).collect();
    let offer = OfferP2p { client_id, chat: ChatId(chat), receiver: UserId(receiver), files };
    Ok((StatusCode::CREATED, axum::Json(state.services().p2p.offer(&me, offer).await?.into())))
}

/// One transfer, to either side.
#[utoipa::path(get, path = "/p2p/sessions/{session}", tag = "p2p", params(("session" = Uuid, Path)),
    responses((status = 200, body = SessionView), (status = "default", body = ProblemDetails)))]
async fn session(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Path(session): Path<P2pId>,
) -> Result<axum::Json<SessionView>, Problem> {
    Ok(axum::Json(state.services().p2p.session(&me, session).await?.into()))
}

/// Says how far a transfer has come; both sides hear of it.
#[utoipa::path(patch, path = "/p2p/sessions/{session}", tag = "p2p", params(("session" = Uuid, Path)),
    request_body = Change,
    responses((status = 200, body = SessionView), (status = "default", body = ProblemDetails)))]
async fn change(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Path(session): Path<P2pId>,
    Json(Change { status, path }): Json<Change>,
) -> Result<axum::Json<SessionView>, Problem> {
    let change = ChangeP2p { session, status: status.map(Into::into), path: path.map(Into::into) };
    Ok(axum::Json(state.services().p2p.change(&me, change).await?.into()))
}
