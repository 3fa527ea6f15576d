//! Uploads in chunks: begun, filled in any order and in parallel, looked at, completed. They are the native protocol's
//! uploads, on the same journal.

use super::files::{FileView, key_of};
use crate::{
    http::{
        caller::Auth,
        content::Octets,
        extract::{Json, MaybeJson, Path},
        intake::{self, Body},
        once::Once,
        problem::{Problem, ProblemDetails},
        state::HttpState,
    },
    services::{Begun, UploadHandle},
};
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use hypersend_protocol::{
    hash::{RootHash, UploadKey},
    id::{ChunkIndex, FileId},
    name::FileName,
    refusal::{ErrorCode, Refusal},
};
use hypersend_transfer::map::ReceiveMap;
use serde::{Deserialize, Serialize};
use std::str::FromStr;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub(in crate::http) fn router() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new()
        .routes(routes!(begin))
        .routes(routes!(upload, cancel))
        .routes(routes!(put_chunk))
        .routes(routes!(complete))
}

/// The file to come.
#[derive(Debug, Deserialize, ToSchema)]
struct NewUpload {
    #[schema(value_type = String, min_length = 1, max_length = 255)]
    name: FileName,
    /// In bytes.
    size: u64,
    /// Names the source, so that the same source finds its upload again: 64 hexadecimal digits. Left out, the
    /// Idempotency-Key does.
    #[schema(min_length = 64, max_length = 64)]
    key: Option<String>,
}

/// How an upload stands.
#[derive(Debug, Serialize, ToSchema)]
struct UploadView {
    id: Uuid,
    name: String,
    /// In bytes.
    size: u64,
    /// Bytes of every chunk but the last.
    chunk_size: u64,
    chunk_count: u32,
    /// Which chunks are stored: pairs of the first and the last of each run.
    stored: Vec<[u32; 2]>,
    /// The file, once the upload is complete.
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<FileView>,
}

impl From<&UploadHandle> for UploadView {
    fn from(handle: &UploadHandle) -> Self {
        let plan = handle.plan();
        Self {
            id: handle.id().0,
            name: handle.name().to_string(),
            size: plan.size(),
            chunk_size: plan.chunk_size(),
            chunk_count: plan.chunk_count(),
            stored: runs(&handle.map()),
            file: None,
        }
    }
}

impl From<crate::store::files::File> for UploadView {
    fn from(file: crate::store::files::File) -> Self {
        let chunk_count = u32::try_from(file.size.div_ceil(file.chunk_size)).unwrap_or(u32::MAX);
        Self {
            id: file.id.0,
            name: file.name.to_string(),
            size: file.size,
            chunk_size: file.chunk_size,
            chunk_count,
            stored: chunk_count.checked_sub(1).map(|last| [0, last]).into_iter().collect(),
            file: Some(file.into()),
        }
    }
}

/// What the sender has computed of the whole.
#[derive(Debug, Deserialize, ToSchema)]
struct Completion {
    /// The file's BLAKE3 hash, to be compared with what is stored.
    #[schema(min_length = 64, max_length = 64)]
    blake3: Option<String>,
}

/// The runs of stored chunks.
fn runs(map: &ReceiveMap) -> Vec<[u32; 2]> {
    let mut runs: Vec<[u32; 2]> = Vec::new();
    for index in (0..map.count()).filter(|&index| map.contains(ChunkIndex(index))) {
        match runs.last_mut() {
            Some([_, last]) if *last + 1 == index => *last = index,
            _ => runs.push([index, index]),
        }
    }
    runs
}

/// Begins an upload, or finds the one of the same key.
#[utoipa::path(post, path = "/uploads", tag = "uploads",
    params(("Idempotency-Key" = Option<String>, Header, description = "begins one upload however often it is sent")),
    request_body = NewUpload,
    responses((status = 201, body = UploadView), (status = "default", body = ProblemDetails)))]
async fn begin(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Once(client_id): Once,
    Json(NewUpload { name, size, key }): Json<NewUpload>,
) -> Result<(StatusCode, axum::Json<UploadView>), Problem> {
    let key = match key {
        Some(key) => UploadKey::from_str(&key).map_err(|error| Problem::invalid(format!("key: {error}")))?,
        None => key_of(client_id),
    };
    let view = match state.services().uploads.begin(&me, key, name, size).await? {
        Begun::Finished(file) => file.into(),
        Begun::Open(handle) => UploadView::from(&*state.uploads().keep(handle)),
    };
    Ok((StatusCode::CREATED, axum::Json(view)))
}

/// How an upload stands: which chunks need not be sent again.
#[utoipa::path(get, path = "/uploads/{upload}", tag = "uploads", params(("upload" = Uuid, Path)),
    responses((status = 200, body = UploadView), (status = "default", body = ProblemDetails)))]
async fn upload(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Path(upload): Path<FileId>,
) -> Result<axum::Json<UploadView>, Problem> {
    Ok(axum::Json(match state.uploads().find_level(&state, &me, upload).await? {
        Ok(handle) => UploadView::from(&*handle),
        Err(file) => file.into(),
    }))
}

/// Stores one chunk, in any order and side by side with others; once stored it survives a crash of the server.
#[utoipa::path(put, path = "/uploads/{upload}/chunks/{index}", tag = "uploads",
    params(("upload" = Uuid, Path), ("index" = u32, Path),
        ("Content-Digest" = Option<String>, Header, description = "`sha-256=:BASE64:`, checked before the chunk counts")),
    request_body(content = Octets, content_type = "application/octet-stream"),
    responses((status = 204), (status = "default", body = ProblemDetails)))]
async fn put_chunk(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Path((upload, index)): Path<(FileId, u32)>,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Result<StatusCode, Problem> {
    // A file that is whole already needs no chunk.
    let Ok(handle) = state.uploads().find(&state, &me, upload).await? else { return Ok(StatusCode::NO_CONTENT) };
    let index = ChunkIndex(index);
    let span = handle.plan().chunk(index).ok_or_else(|| {
        let count = handle.plan().chunk_count();
        Problem::from(Refusal::new(ErrorCode::NotFound, format!("the upload has {count} chunks, counted from 0")))
    })?;
    let length = super::files::length(&headers)?;
    if length != u64::from(span.length) {
        return Err(Problem::invalid(format!(
            "chunk {} has {} bytes, and {length} are said to come",
            index.0, span.length
        )));
    }
    intake::whole_chunk(&state, &handle, index, Body::new(body, &headers)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Turns an upload whose chunks are all stored into a file.
#[utoipa::path(post, path = "/uploads/{upload}/complete", tag = "uploads", params(("upload" = Uuid, Path)),
    request_body = Option<Completion>,
    responses((status = 200, body = FileView), (status = "default", body = ProblemDetails)))]
async fn complete(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Path(upload): Path<FileId>,
    MaybeJson(completion): MaybeJson<Completion>,
) -> Result<axum::Json<FileView>, Problem> {
    let expected = completion.and_then(|said| said.blake3).map(|hash| hash.parse::<RootHash>()).transpose();
    let expected = expected.map_err(|error| Problem::invalid(format!("blake3: {error}")))?;
    let file = match state.uploads().find(&state, &me, upload).await? {
        Ok(handle) => handle.finish(expected).await?,
        Err(file) => file,
    };
    state.uploads().release(upload);
    Ok(axum::Json(file.into()))
}

/// Drops an upload and what was stored of it.
#[utoipa::path(delete, path = "/uploads/{upload}", tag = "uploads", params(("upload" = Uuid, Path)),
    responses((status = 204), (status = "default", body = ProblemDetails)))]
async fn cancel(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Path(upload): Path<FileId>,
) -> Result<StatusCode, Problem> {
    state.uploads().release(upload);
    state.services().uploads.cancel(&me, upload).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_say_what_the_map_says() {
        let mut map = ReceiveMap::new(10);
        assert!(runs(&map).is_empty());
        for index in [0, 1, 2, 5, 8, 9] {
            map.insert(ChunkIndex(index));
        }
        assert_eq!(runs(&map), [[0, 2], [5, 5], [8, 9]]);
    }
}
