//! HTTP's own resumable uploads (draft-ietf-httpbis-resumable-upload, interop version 8), while they are a draft only if the
//! operator says so. They are the uploads of `uploads`, under the same ids.
//!
//! An upload is complete when a request says that it completes it, not when it has all its bytes. Left out are the interim
//! answers with status 104, which hyper cannot send; a client that wants to resume begins with `Upload-Complete: ?0`.

mod refusal;

use self::refusal::Refused;
use super::files::{FileView, key_of};
use crate::{
    clock,
    http::{
        caller::Auth,
        content::Octets,
        disposition::file_name,
        extract::Path,
        intake::{Body, expected_digest},
        offset::{self, Checksum, Standing, UPLOAD_LENGTH, UPLOAD_OFFSET, number},
        once::Once,
        problem::{Problem, ProblemDetails},
        state::HttpState,
    },
    services::{Appender, Begun, UploadHandle},
    store::files::File,
};
use axum::{
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION},
};
use hypersend_protocol::{
    id::FileId,
    refusal::{ErrorCode, Refusal},
};
use ring::digest::SHA256;
use std::{sync::Arc, time::Duration};
use utoipa_axum::{router::OpenApiRouter, routes};

const INTEROP_VERSION: HeaderName = HeaderName::from_static("upload-draft-interop-version");
const VERSION: HeaderValue = HeaderValue::from_static("8");
const UPLOAD_COMPLETE: HeaderName = HeaderName::from_static("upload-complete");
const UPLOAD_LIMIT: HeaderName = HeaderName::from_static("upload-limit");
const PARTIAL_UPLOAD: &str = "application/partial-upload";

pub(in crate::http) fn router() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new()
        .routes(routes!(discover, create))
        .routes(routes!(look, append, cancel))
        .layer(middleware::from_fn(versioned))
}

/// Refuses clients of another version of the draft, and names ours in every answer.
async fn versioned(request: Request, next: Next) -> Response {
    let theirs = request.headers().get(&INTEROP_VERSION);
    let mut response = if theirs.is_none_or(|theirs| *theirs == VERSION) {
        next.run(request).await
    } else {
        let message = "this server speaks interop version 8 of draft-ietf-httpbis-resumable-upload";
        Problem::from(Refusal::new(ErrorCode::UnsupportedVersion, message)).into_response()
    };
    response.headers_mut().insert(INTEROP_VERSION, VERSION);
    response
}

/// What an upload is held to; needs no login.
#[utoipa::path(options, path = "/resumable", tag = "resumable uploads", security(()),
    responses((status = 204, description = "Upload-Limit")))]
async fn discover(State(state): State<HttpState>) -> (StatusCode, HeaderMap) {
    let lifetime = state.limits().upload_lifetime;
    (StatusCode::NO_CONTENT, [(UPLOAD_LIMIT, limits(&state, lifetime))].into_iter().collect())
}

/// Begins an upload with all of the file, its first bytes, or none.
#[utoipa::path(post, path = "/resumable", tag = "resumable uploads",
    params(("Upload-Complete" = String, Header, description = "`?1` if the body is all of it, else `?0`"),
        ("Upload-Length" = Option<u64>, Header, description = "the file's bytes; needed unless Content-Length says it"),
        ("Content-Disposition" = Option<String>, Header, description = "`inline; filename=\"film.mkv\"`"),
        ("Content-Digest" = Option<String>, Header,
            description = "`sha-256=:BASE64:` of the body, which then has at most 64 MiB"),
        ("Idempotency-Key" = Option<String>, Header, description = "begins one upload however often it is sent")),
    request_body(content = Option<Octets>, content_type = "application/octet-stream"),
    responses((status = 201, description = "the file, or the Location of the upload", body = Option<FileView>),
        (status = "default", body = ProblemDetails)))]
async fn create(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Once(client_id): Once,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Result<Response, Refused> {
    let said = Said::of(&headers)?;
    let needed = || Problem::invalid("say Upload-Length: room is reserved before the first byte");
    let size = said.length(0)?.ok_or_else(needed)?;
    let disposition = headers.get(CONTENT_DISPOSITION).map(|value| String::from_utf8_lossy(value.as_bytes()));
    let name = disposition.map(|text| file_name(&text)).transpose()?.flatten().unwrap_or_else(offset::unnamed);
    let handle =
        match state.services().uploads.begin(&me, key_of(client_id), name, size).await.map_err(Problem::from)? {
            Begun::Finished(file) => return Ok(complete(StatusCode::CREATED, file)),
            Begun::Open(handle) => state.uploads().keep(handle),
        };
    let mut appender = handle.append().await.map_err(Problem::from)?;
    // Begun before with the same Idempotency-Key: how far it came is for the client to find out.
    if appender.offset() == 0 {
        receive(&state, &handle, &mut appender, &headers, body).await?;
    }
    let location = HeaderValue::from_str(&format!("/api/v1/resumable/{}", handle.id())).expect("a UUID is ASCII");
    let response = answer(&state, &handle, appender, said.complete, StatusCode::CREATED).await?;
    if said.complete { Ok(response) } else { Ok(([(LOCATION, location)], response).into_response()) }
}

/// Where an upload stands. Whoever is sending is told to stop, so that the answer stays true.
#[utoipa::path(head, path = "/resumable/{upload}", tag = "resumable uploads", params(("upload" = uuid::Uuid, Path)),
    responses((status = 204, description = "Upload-Offset, Upload-Complete, Upload-Length, Upload-Limit"),
        (status = "default", body = ProblemDetails)))]
async fn look(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Path(upload): Path<FileId>,
) -> Result<(StatusCode, HeaderMap), Problem> {
    let (size, mut headers) = match state.uploads().find_level(&state, &me, upload).await? {
        Ok(handle) => {
            let standing = Standing::of(&state, &handle, &handle.append().await?);
            (handle.plan().size(), under_way(&state, &standing))
        }
        Err(file) => (file.size, of_file(&file)),
    };
    headers.insert(UPLOAD_LENGTH, HeaderValue::from(size));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok((StatusCode::NO_CONTENT, headers))
}

/// Appends bytes, and completes the upload if it is said so. What has been answered survives a crash of the server.
#[utoipa::path(patch, path = "/resumable/{upload}", tag = "resumable uploads",
    params(("upload" = uuid::Uuid, Path),
        ("Upload-Offset" = u64, Header, description = "where the upload stands"),
        ("Upload-Complete" = String, Header, description = "`?1` if these are the last bytes, else `?0`"),
        ("Content-Digest" = Option<String>, Header,
            description = "`sha-256=:BASE64:` of the body, which then has at most 64 MiB")),
    request_body(content = Octets, content_type = "application/partial-upload"),
    responses((status = 200, description = "complete", body = FileView), (status = 204, description = "Upload-Offset"),
        (status = "default", body = ProblemDetails)))]
async fn append(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Path(upload): Path<FileId>,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Result<Response, Refused> {
    if headers.get(CONTENT_TYPE).is_none_or(|kind| kind != PARTIAL_UPLOAD) {
        let refusal = Refusal::new(ErrorCode::Invalid, format!("say Content-Type: {PARTIAL_UPLOAD}"));
        return Err(Problem::with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, refusal).into());
    }
    let said = Said::of(&headers)?;
    let provided =
        number(&headers, &UPLOAD_OFFSET)?.ok_or_else(|| Problem::invalid("say Upload-Offset; HEAD tells it"))?;
    let handle = match state.uploads().find_level(&state, &me, upload).await? {
        Ok(handle) => handle,
        // The answer to the last bytes was lost.
        Err(file) if file.size == provided => return Ok(complete(StatusCode::OK, file)),
        Err(file) => return Err(Refused::Offset { expected: file.size, provided }),
    };
    let mut appender = handle.append().await.map_err(Problem::from)?;
    let expected = appender.offset();
    if expected != provided {
        return Err(Refused::Offset { expected, provided });
    }
    if let Some(length) = said.length(provided)?.filter(|&length| length != handle.plan().size()) {
        return Err(Refused::Length { expected: handle.plan().size(), provided: length });
    }
    receive(&state, &handle, &mut appender, &headers, body).await?;
    answer(&state, &handle, appender, said.complete, StatusCode::OK).await
}

/// Drops an upload and what was stored of it.
#[utoipa::path(delete, path = "/resumable/{upload}", tag = "resumable uploads", params(("upload" = uuid::Uuid, Path)),
    responses((status = 204), (status = "default", body = ProblemDetails)))]
async fn cancel(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Path(upload): Path<FileId>,
) -> Result<StatusCode, Problem> {
    let handle = state.uploads().find(&state, &me, upload).await?;
    let is_file = |_| Refusal::new(ErrorCode::Conflict, "the upload is complete; DELETE /files/{id} deletes the file");
    offset::discard(&state, &me, &handle.map_err(is_file)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a request says of the whole.
struct Said {
    /// Whether it brings the last bytes.
    complete: bool,
    upload_length: Option<u64>,
    content_length: Option<u64>,
}

impl Said {
    fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let complete = match headers.get(&UPLOAD_COMPLETE).map(HeaderValue::as_bytes) {
            Some(b"?1") => true,
            Some(b"?0") => false,
            _ => return Err(Problem::invalid("say Upload-Complete: ?1 with the last bytes, and ?0 with others")),
        };
        let [upload_length, content_length] = [UPLOAD_LENGTH, CONTENT_LENGTH].map(|name| number(headers, &name));
        Ok(Self { complete, upload_length: upload_length?, content_length: content_length? })
    }

    /// The length of the whole, as far as this request tells, whose body begins at this offset.
    fn length(&self, offset: u64) -> Result<Option<u64>, Refused> {
        let to_its_end = self.content_length.filter(|_| self.complete).map(|length| offset.saturating_add(length));
        match (self.upload_length, to_its_end) {
            (Some(expected), Some(provided)) if expected != provided => Err(Refused::Length { expected, provided }),
            (said, computed) => Ok(said.or(computed)),
        }
    }
}

async fn receive(
    state: &HttpState,
    handle: &UploadHandle,
    appender: &mut Appender,
    headers: &HeaderMap,
    body: axum::body::Body,
) -> Result<(), Problem> {
    let checksum = expected_digest(headers)?.map(|expected| Checksum {
        algorithm: &SHA256,
        expected: expected.to_vec(),
        mismatch: StatusCode::BAD_REQUEST,
    });
    offset::fits(handle, appender, headers, checksum.as_ref())?;
    offset::receive(state, handle, appender, Body::unchecked(body), checksum).await
}

async fn answer(
    state: &HttpState,
    handle: &Arc<UploadHandle>,
    appender: Appender,
    completes: bool,
    status: StatusCode,
) -> Result<Response, Refused> {
    let standing = Standing::of(state, handle, &appender);
    drop(appender);
    let size = handle.plan().size();
    if !completes {
        let status = if status == StatusCode::CREATED { status } else { StatusCode::NO_CONTENT };
        return Ok((status, under_way(state, &standing)).into_response());
    }
    if standing.offset < size {
        return Err(Refused::Length { expected: size, provided: standing.offset });
    }
    Ok(complete(status, offset::finish(state, handle).await?))
}

fn under_way(state: &HttpState, standing: &Standing) -> HeaderMap {
    let left = standing.expires.since(clock::now());
    let headers = [
        (UPLOAD_OFFSET, HeaderValue::from(standing.offset)),
        (UPLOAD_COMPLETE, HeaderValue::from_static("?0")),
        (UPLOAD_LIMIT, limits(state, left)),
    ];
    headers.into_iter().collect()
}

fn of_file(file: &File) -> HeaderMap {
    let headers = [(UPLOAD_OFFSET, HeaderValue::from(file.size)), (UPLOAD_COMPLETE, HeaderValue::from_static("?1"))];
    headers.into_iter().collect()
}

fn complete(status: StatusCode, file: File) -> Response {
    (status, of_file(&file), axum::Json(FileView::from(file))).into_response()
}

fn limits(state: &HttpState, left: Duration) -> HeaderValue {
    let limits = format!("max-size={}, max-age={}", state.limits().max_file_size, left.as_secs());
    HeaderValue::from_str(&limits).expect("numbers are ASCII")
}
