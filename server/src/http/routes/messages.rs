//! What is said.

#![expect(unused_qualifications, reason = "utoipa writes out the path of the query's type")]

use crate::{
    http::{
        caller::Auth,
        extract::{Json, Path, Query},
        once::Once,
        page::limit,
        problem::{Problem, ProblemDetails},
        state::HttpState,
    },
    store::messages::Message,
};
use axum::extract::State;
use http::StatusCode;
use hypersend_protocol::{
    chat::Post,
    file::FileCard,
    id::{ChatId, FileId, Seq},
    name::MessageText,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub(in crate::http) fn router() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new().routes(routes!(list, post)).routes(routes!(delete))
}

/// A file that a message carries.
#[derive(Clone, Debug, Serialize, ToSchema)]
struct CardView {
    id: Uuid,
    name: String,
    /// In bytes.
    size: u64,
}

impl From<FileCard> for CardView {
    fn from(card: FileCard) -> Self {
        Self { id: card.id.0, name: card.name.into(), size: card.size }
    }
}

/// A message. Deleted, it keeps its number, sender and time.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::http) struct MessageView {
    chat: Uuid,
    /// Its number in the chat: 1, 2, 3 and so on.
    seq: u64,
    /// The sender's id.
    sender: Uuid,
    /// What the sender called it, see `Idempotency-Key`.
    client_id: Uuid,
    #[schema(format = DateTime)]
    at: String,
    text: Option<String>,
    files: Vec<CardView>,
    /// The message that it answers.
    #[serde(skip_serializing_if = "Option::is_none")]
    reply_to: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = DateTime)]
    deleted: Option<String>,
    /// The chat's revision by which this was last changed; 0 for never.
    revision: u64,
}

impl From<Message> for MessageView {
    fn from(message: Message) -> Self {
        Self {
            chat: message.chat.0,
            seq: message.seq.0,
            sender: message.sender.0,
            client_id: message.client_id.0,
            at: message.at.to_string(),
            text: message.text.map(Into::into),
            files: message.files.into_iter().map(Into::into).collect(),
            reply_to: message.reply_to.map(|seq| seq.0),
            deleted: message.deleted.map(|at| at.to_string()),
            revision: message.revision.0,
        }
    }
}

/// Which messages.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Only messages before this number; left out for the newest.
    before: Option<u64>,
    /// The most messages, 1 to 200; 50 when left out.
    #[param(minimum = 1, maximum = 200)]
    limit: Option<u32>,
}

/// Messages, oldest first.
#[derive(Debug, Serialize, ToSchema)]
struct Messages {
    items: Vec<MessageView>,
    /// Whether there are older ones.
    more: bool,
}

/// What to say: a text, files, or both.
#[derive(Debug, Deserialize, ToSchema)]
struct NewMessage {
    #[schema(value_type = Option<String>)]
    text: Option<MessageText>,
    /// Ids of files that the caller may read, at most 32.
    #[serde(default)]
    #[schema(value_type = Vec<Uuid>, max_items = 32)]
    files: Vec<FileId>,
    /// The number of the message that this answers.
    reply_to: Option<u64>,
}

/// Where a message has its place.
#[derive(Debug, Serialize, ToSchema)]
struct PostedView {
    seq: u64,
    #[schema(format = DateTime)]
    at: String,
}

/// Messages of a chat.
#[utoipa::path(get, path = "/chats/{chat}/messages", tag = "messages", params(("chat" = Uuid, Path), Wanted),
    responses((status = 200, body = Messages), (status = "default", body = ProblemDetails)))]
async fn list(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Path(chat): Path<ChatId>,
    Query(wanted): Query<Wanted>,
) -> Result<axum::Json<Messages>, Problem> {
    let limit = limit(wanted.limit)?;
    let (messages, more) = state.services().chats.history(&me, chat, wanted.before.map(Seq), limit).await?;
    Ok(axum::Json(Messages { items: messages.into_iter().map(Into::into).collect(), more }))
}

/// Posts a message, once for each Idempotency-Key.
#[utoipa::path(post, path = "/chats/{chat}/messages", tag = "messages",
    params(("chat" = Uuid, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "posts one message however often it is sent")),
    request_body = NewMessage,
    responses((status = 201, body = PostedView), (status = "default", body = ProblemDetails)))]
async fn post(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Path(chat): Path<ChatId>,
    Once(client_id): Once,
    Json(NewMessage { text, files, reply_to }): Json<NewMessage>,
) -> Result<(StatusCode, axum::Json<PostedView>), Problem> {
    let post = Post { client_id, text, files, reply_to: reply_to.map(Seq) };
    let posted = state.services().chats.post(&me, chat, post).await?;
    Ok((StatusCode::CREATED, axum::Json(PostedView { seq: posted.seq.0, at: posted.at.to_string() })))
}

/// Deletes a message for everybody; a tombstone stays.
#[utoipa::path(delete, path = "/chats/{chat}/messages/{seq}", tag = "messages",
    params(("chat" = Uuid, Path), ("seq" = u64, Path)),
    responses((status = 204), (status = "default", body = ProblemDetails)))]
async fn delete(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Path((chat, seq)): Path<(ChatId, u64)>,
) -> Result<StatusCode, Problem> {
    state.services().chats.delete(&me, chat, Seq(seq)).await?;
    Ok(StatusCode::NO_CONTENT)
}
