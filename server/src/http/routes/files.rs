//! Files that are whole: finding them, reading them out, and sending one in a single request.

use crate::{
    http::{
        caller::Auth,
        content::{Conditions, Octets, Wanted, content},
        extract::{Path, Query},
        intake::{self, Body, busy},
        once::Once,
        page::{Page, PageQuery, Position},
        problem::{Problem, ProblemDetails},
        state::HttpState,
    },
    services::Begun,
    store::files::File,
};
use axum::{extract::State, response::Response};
use http::{HeaderMap, StatusCode, header::CONTENT_LENGTH};
use hypersend_protocol::{
    hash::UploadKey,
    id::{ClientId, FileId},
    name::FileName,
    refusal::{ErrorCode, Refusal},
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub(in crate::http) fn router() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(file, delete))
        .routes(routes!(download))
        .routes(routes!(send))
}

/// A file on the server.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::http) struct FileView {
    id: Uuid,
    name: String,
    /// In bytes.
    size: u64,
    /// What `b3sum` prints of it.
    blake3: String,
    /// Who uploaded it.
    owner: Uuid,
    #[schema(format = DateTime)]
    at: String,
}

impl From<File> for FileView {
    fn from(file: File) -> Self {
        Self {
            id: file.id.0,
            name: file.name.into(),
            size: file.size,
            blake3: file.root.to_string(),
            owner: file.owner.0,
            at: file.at.to_string(),
        }
    }
}

/// The key of an upload that has no other name than its client's id for it.
pub(in crate::http) fn key_of(client_id: ClientId) -> UploadKey {
    UploadKey(blake3::derive_key("hypersend 2026 upload key of a client id", client_id.0.as_bytes()))
}

/// The caller's own files, newest first.
#[utoipa::path(get, path = "/files", tag = "files", params(PageQuery),
    responses((status = 200, body = Page<FileView>), (status = "default", body = ProblemDetails)))]
async fn list(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<FileView>>, Problem> {
    let before = page.position::<Uuid>()?.map(FileId);
    let (files, more) = state.services().files.list(&me, before, page.limit()?).await?;
    let next = files.last().filter(|_| more).map(|last| last.id.0.cursor());
    Ok(axum::Json(Page { items: files.into_iter().map(Into::into).collect(), next }))
}

/// What is known about a file.
#[utoipa::path(get, path = "/files/{file}", tag = "files", params(("file" = Uuid, Path)),
    responses((status = 200, body = FileView), (status = "default", body = ProblemDetails)))]
async fn file(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Path(file): Path<FileId>,
) -> Result<axum::Json<FileView>, Problem> {
    Ok(axum::Json(state.services().files.file(&me, file).await?.into()))
}

/// Deletes a file of the caller's own. Messages that carry it keep its name and size.
#[utoipa::path(delete, path = "/files/{file}", tag = "files", params(("file" = Uuid, Path)),
    responses((status = 204), (status = "default", body = ProblemDetails)))]
async fn delete(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Path(file): Path<FileId>,
) -> Result<StatusCode, Problem> {
    state.services().files.delete(&me, file).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The file's bytes, or one range of them.
#[utoipa::path(get, path = "/files/{file}/content", tag = "files",
    params(("file" = Uuid, Path),
        ("Range" = Option<String>, Header, description = "one range of bytes (RFC 9110, 14.2)"),
        ("If-Range" = Option<String>, Header), ("If-Match" = Option<String>, Header),
        ("If-None-Match" = Option<String>, Header)),
    responses(
        (status = 200, description = "the whole file; its ETag is its BLAKE3 hash", body = Octets,
            content_type = "application/octet-stream"),
        (status = 206, description = "the range", body = Octets, content_type = "application/octet-stream"),
        (status = 304, description = "the caller has it"),
        (status = "default", body = ProblemDetails)))]
async fn download(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Path(file): Path<FileId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let files = &state.services().files;
    let info = files.file(&me, file).await?;
    match Conditions::of(&headers)?.apply(&info)? {
        Wanted::Nothing(response) => Ok(response),
        Wanted::Span(span) => {
            let place = state.downloads().take(me.id()).await.ok_or_else(|| busy("downloads"))?;
            Ok(content(&info, files.open(&me, file).await?, span, place))
        }
    }
}

/// Stores a file whose bytes are the request's body: `curl -T film.mkv .../files/named/`.
#[utoipa::path(put, path = "/files/named/{name}", tag = "files",
    params(("name" = String, Path),
        ("Idempotency-Key" = Option<String>, Header, description = "stores one file however often it is sent")),
    request_body(content = Octets, content_type = "application/octet-stream"),
    responses((status = 201, body = FileView), (status = 200, body = FileView),
        (status = "default", body = ProblemDetails)))]
async fn send(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Path(name): Path<String>,
    Once(client_id): Once,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Result<(StatusCode, axum::Json<FileView>), Problem> {
    let name = FileName::parse(&name).map_err(|error| Problem::invalid(error.to_string()))?;
    let size = length(&headers)?;
    let handle = match state.services().uploads.begin(&me, key_of(client_id), name, size).await? {
        Begun::Finished(file) => return Ok((StatusCode::OK, axum::Json(file.into()))),
        Begun::Open(handle) => handle,
    };
    let mut body = Body::new(body, &headers)?;
    for chunk in handle.plan().chunks() {
        intake::chunk(&state, &handle, chunk, &mut body).await?;
    }
    body.end().await?;
    Ok((StatusCode::CREATED, axum::Json(handle.finish(None).await?.into())))
}

/// The length of the body, which has to be said: room is reserved before the first byte.
pub(in crate::http) fn length(headers: &HeaderMap) -> Result<u64, Problem> {
    let length = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    length.ok_or_else(|| {
        let refusal = Refusal::new(ErrorCode::Invalid, "say Content-Length; or use POST /uploads, and send in chunks");
        Problem::with_status(StatusCode::LENGTH_REQUIRED, refusal)
    })
}
