//! Conversations and who is in them.

use super::{messages::MessageView, users::UserView};
use crate::{
    http::{
        caller::Auth,
        extract::{Json, Path, Query},
        once::Once,
        page::{Page, PageQuery, Position},
        problem::{Problem, ProblemDetails},
        state::HttpState,
    },
    store::chats::{Chat, ChatLine, Member},
};
use axum::extract::State;
use http::StatusCode;
use hypersend_protocol::{
    chat::{ChatKind, ChatPosition, Role},
    id::{ChatId, Seq, UserId},
    name::{ChatTitle, Email},
    time::UnixMillis,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub(in crate::http) fn router() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(chat))
        .routes(routes!(add_members))
        .routes(routes!(remove_member))
        .routes(routes!(mark_read))
        .routes(routes!(presence))
}

/// What kind of chat.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum KindView {
    Direct,
    Group,
}

impl From<ChatKind> for KindView {
    fn from(kind: ChatKind) -> Self {
        match kind {
            ChatKind::Direct => Self::Direct,
            ChatKind::Group => Self::Group,
        }
    }
}

/// What a member may do.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum RoleView {
    Member,
    Owner,
}

/// Somebody in a chat.
#[derive(Debug, Serialize, ToSchema)]
struct MemberView {
    user: UserView,
    role: RoleView,
    /// The last message that they have read.
    read: u64,
}

impl From<Member> for MemberView {
    fn from(member: Member) -> Self {
        let role = match member.role {
            Role::Member => RoleView::Member,
            Role::Owner => RoleView::Owner,
        };
        Self { user: member.profile.into(), role, read: member.read.0 }
    }
}

/// A chat with its members.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct ChatView {
    id: Uuid,
    kind: KindView,
    /// Groups have one.
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    members: Vec<MemberView>,
    /// The number of its newest message; 0 when there is none.
    last: u64,
    /// How often its messages have been changed in place.
    revision: u64,
}

impl From<Chat> for ChatView {
    fn from(chat: Chat) -> Self {
        Self {
            id: chat.id.0,
            kind: chat.kind.into(),
            title: chat.title.map(Into::into),
            members: chat.members.into_iter().map(Into::into).collect(),
            last: chat.last.0,
            revision: chat.revision.0,
        }
    }
}

/// A chat in the list.
#[derive(Debug, Serialize, ToSchema)]
struct ChatLineView {
    id: Uuid,
    kind: KindView,
    #[serde(skip_serializing_if = "Option::is_none")]
    title: Option<String>,
    /// The other one, in a direct chat.
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<UserView>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_message: Option<MessageView>,
    unread: u64,
    /// When something last happened in it.
    #[schema(format = DateTime)]
    active: String,
}

impl From<ChatLine> for ChatLineView {
    fn from(line: ChatLine) -> Self {
        Self {
            id: line.id.0,
            kind: line.kind.into(),
            title: line.title.map(Into::into),
            peer: line.peer.map(|peer| UserView::from(hypersend_protocol::account::Profile::from(peer))),
            last_message: line.last_message.map(Into::into),
            unread: line.unread,
            active: line.active.to_string(),
        }
    }
}

/// The chat to make or to find.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
enum NewChat {
    /// The direct chat with somebody; there is one for each pair.
    Direct {
        #[schema(value_type = String, format = Email)]
        email: Email,
    },
    /// A group, with the caller as its owner.
    Group {
        #[schema(value_type = String, min_length = 1, max_length = 200)]
        title: ChatTitle,
        /// Who else is in it.
        #[serde(default)]
        #[schema(value_type = Vec<String>, max_items = 999)]
        members: Vec<Email>,
    },
}

/// Who joins.
#[derive(Debug, Deserialize, ToSchema)]
struct Newcomers {
    #[schema(value_type = Vec<String>, min_items = 1, max_items = 1000)]
    emails: Vec<Email>,
}

/// How far somebody has read.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
struct ReadMark {
    /// A message's number. A mark only moves forward.
    seq: u64,
}

/// Who is present.
#[derive(Debug, Serialize, ToSchema)]
struct PresenceView {
    /// The ids of users, in no order; the caller is left out.
    present: Vec<Uuid>,
}

impl Position for ChatPosition {
    fn read(bytes: &[u8]) -> Option<Self> {
        let (active, id) = bytes.split_first_chunk::<8>()?;
        Some(Self { active: UnixMillis(u64::from_be_bytes(*active)), id: ChatId(Uuid::from_slice(id).ok()?) })
    }

    fn write(&self) -> Vec<u8> {
        [&self.active.0.to_be_bytes()[..], self.id.0.as_bytes()].concat()
    }
}

/// The caller's chats, the most recently active first.
#[utoipa::path(get, path = "/chats", tag = "chats", params(PageQuery),
    responses((status = 200, body = Page<ChatLineView>), (status = "default", body = ProblemDetails)))]
async fn list(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<ChatLineView>>, Problem> {
    let limit = page.limit()?;
    let lines = state.services().chats.list(&me, page.position()?, limit).await?;
    let full = lines.len() == limit as usize;
    let next = lines.last().filter(|_| full).map(|last| ChatPosition { active: last.active, id: last.id }.cursor());
    Ok(axum::Json(Page { items: lines.into_iter().map(Into::into).collect(), next }))
}

/// Makes a chat, or finds the direct chat that is there.
#[utoipa::path(post, path = "/chats", tag = "chats",
    params(("Idempotency-Key" = Option<String>, Header, description = "makes one group however often it is sent")),
    request_body = NewChat,
    responses((status = 200, body = ChatView), (status = "default", body = ProblemDetails)))]
async fn create(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Once(client_id): Once,
    Json(new): Json<NewChat>,
) -> Result<axum::Json<ChatView>, Problem> {
    let chats = &state.services().chats;
    let chat = match new {
        NewChat::Direct { email } => chats.open_direct(&me, &email).await?,
        NewChat::Group { title, members } => chats.create_group(&me, client_id, title, &members).await?,
    };
    Ok(axum::Json(chat.into()))
}

/// A chat with its members.
#[utoipa::path(get, path = "/chats/{chat}", tag = "chats", params(("chat" = Uuid, Path)),
    responses((status = 200, body = ChatView), (status = "default", body = ProblemDetails)))]
async fn chat(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Path(chat): Path<ChatId>,
) -> Result<axum::Json<ChatView>, Problem> {
    Ok(axum::Json(state.services().chats.chat(&me, chat).await?.into()))
}

/// Adds members to a group; for its owners.
#[utoipa::path(post, path = "/chats/{chat}/members", tag = "chats", params(("chat" = Uuid, Path)),
    request_body = Newcomers,
    responses((status = 200, body = ChatView), (status = "default", body = ProblemDetails)))]
async fn add_members(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Path(chat): Path<ChatId>,
    Json(Newcomers { emails }): Json<Newcomers>,
) -> Result<axum::Json<ChatView>, Problem> {
    Ok(axum::Json(state.services().chats.add_members(&me, chat, &emails).await?.into()))
}

/// Takes somebody out of a group; oneself to leave.
#[utoipa::path(delete, path = "/chats/{chat}/members/{user}", tag = "chats",
    params(("chat" = Uuid, Path), ("user" = Uuid, Path)),
    responses((status = 204), (status = "default", body = ProblemDetails)))]
async fn remove_member(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Path((chat, user)): Path<(ChatId, UserId)>,
) -> Result<StatusCode, Problem> {
    state.services().chats.remove_member(&me, chat, user).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Moves the caller's read mark forward; says where it stands.
#[utoipa::path(put, path = "/chats/{chat}/read", tag = "chats", params(("chat" = Uuid, Path)),
    request_body = ReadMark,
    responses((status = 200, body = ReadMark), (status = "default", body = ProblemDetails)))]
async fn mark_read(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Path(chat): Path<ChatId>,
    Json(ReadMark { seq }): Json<ReadMark>,
) -> Result<axum::Json<ReadMark>, Problem> {
    let stands = state.services().chats.mark_read(&me, chat, Seq(seq)).await?;
    Ok(axum::Json(ReadMark { seq: stands.0 }))
}

/// Which other members are present: connected by the native protocol, by an event stream or by a WebSocket.
#[utoipa::path(get, path = "/chats/{chat}/presence", tag = "chats", params(("chat" = Uuid, Path)),
    responses((status = 200, body = PresenceView), (status = "default", body = ProblemDetails)))]
async fn presence(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Path(chat): Path<ChatId>,
) -> Result<axum::Json<PresenceView>, Problem> {
    let chat = state.services().chats.chat(&me, chat).await?;
    let present = state.services().presence.others(&chat, me.id());
    Ok(axum::Json(PresenceView { present: present.into_iter().map(|user| user.0).collect() }))
}
