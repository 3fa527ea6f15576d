//! tus 1.0 (<https://tus.io/protocols/resumable-upload>): uploads that are gone on with at any byte, by the clients that there
//! are for it. They are the uploads of `uploads`, under the same ids.

mod headers;

use self::headers::{
    ALGORITHMS, FILE_ID, Note, TUS_CHECKSUM_ALGORITHM, TUS_EXTENSION, TUS_MAX_SIZE, TUS_RESUMABLE, TUS_VERSION,
    UPLOAD_CONCAT, UPLOAD_EXPIRES, UPLOAD_METADATA, X_HTTP_METHOD_OVERRIDE, checksum,
};
use super::files::key_of;
use crate::{
    http::{
        caller::Auth,
        content::Octets,
        extract::Path,
        intake::Body,
        offset::{self, Standing, UPLOAD_LENGTH, UPLOAD_OFFSET, number},
        once::Once,
        problem::{Problem, ProblemDetails},
        state::HttpState,
    },
    services::{Begun, Caller, UploadHandle},
    store::files::File,
};
use axum::{
    extract::{Request, State},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{options, post},
};
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE, LOCATION},
};
use hypersend_protocol::{
    hash::UploadKey,
    id::FileId,
    refusal::{ErrorCode, Refusal},
};
use std::sync::Arc;
use utoipa_axum::{router::OpenApiRouter, routes};

const VERSION: HeaderValue = HeaderValue::from_static("1.0.0");
const EXTENSIONS: &str = "creation,creation-with-upload,expiration,checksum,termination,concatenation";
const OFFSET_OCTET_STREAM: &str = "application/offset+octet-stream";

pub(in crate::http) fn router() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new()
        .routes(routes!(discover, create))
        .routes(routes!(look, append, terminate))
        .route("/tus/{upload}", options(discover).merge(post(overridden)))
        .layer(middleware::from_fn(versioned))
}

/// Holds requests to the version that they name, and names it in every answer.
async fn versioned(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let ours = method == Method::OPTIONS || request.headers().get(&TUS_RESUMABLE) == Some(&VERSION);
    let mut response = if ours {
        next.run(request).await
    } else {
        let refusal = Refusal::new(ErrorCode::UnsupportedVersion, "say Tus-Resumable: 1.0.0, the version spoken here");
        let mut response = Problem::with_status(StatusCode::PRECONDITION_FAILED, refusal).into_response();
        response.headers_mut().insert(TUS_VERSION, VERSION);
        response
    };
    response.headers_mut().insert(TUS_RESUMABLE, VERSION);
    if method == Method::HEAD {
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// What of tus there is; needs no login.
#[utoipa::path(options, path = "/tus", tag = "tus", security(()),
    responses((status = 204, description = "Tus-Version, Tus-Extension, Tus-Max-Size, Tus-Checksum-Algorithm")))]
async fn discover(State(state): State<HttpState>) -> Response {
    let headers = [
        (TUS_VERSION, VERSION),
        (TUS_EXTENSION, HeaderValue::from_static(EXTENSIONS)),
        (TUS_MAX_SIZE, HeaderValue::from(state.limits().max_file_size)),
        (TUS_CHECKSUM_ALGORITHM, HeaderValue::from_static(ALGORITHMS)),
    ];
    (StatusCode::NO_CONTENT, headers.into_iter().collect::<HeaderMap>()).into_response()
}

/// Begins an upload, of which the body may be the first bytes; or makes a file of partial ones.
#[utoipa::path(post, path = "/tus", tag = "tus",
    params(("Tus-Resumable" = String, Header, description = "1.0.0"),
        ("Upload-Length" = Option<u64>, Header, description = "the file's bytes; needed but for a final upload"),
        ("Upload-Metadata" = Option<String>, Header, description = "`filename BASE64`, and others; at most 4096 bytes"),
        ("Upload-Concat" = Option<String>, Header, description = "`partial`, or `final;` and at most 100 addresses"),
        ("Upload-Checksum" = Option<String>, Header, description = "`sha1 BASE64` or `sha256 BASE64` of the body"),
        ("Idempotency-Key" = Option<String>, Header, description = "begins one upload however often it is sent")),
    request_body(content = Option<Octets>, content_type = "application/offset+octet-stream"),
    responses((status = 201, description = "Location, Upload-Offset, Upload-Expires; File-Id once it is a file"),
        (status = "default", body = ProblemDetails)))]
async fn create(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Once(client_id): Once,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Result<Response, Problem> {
    let note = Note::of(&headers)?;
    if let Some(parts) = note.parts()? {
        return concatenate(&state, &me, &note, &parts).await;
    }
    let needed = || Problem::invalid("say Upload-Length: room is reserved before the first byte");
    let size = number(&headers, &UPLOAD_LENGTH)?.ok_or_else(needed)?;
    let checksum = checksum(&headers)?;
    let handle = match state.services().uploads.begin(&me, key_of(client_id), note.file_name()?, size).await? {
        Begun::Finished(file) => return Ok(created(file.id, of_file(&file))),
        Begun::Open(handle) => state.uploads().keep(handle),
    };
    handle.write_note(note.to_json()).await?;
    let mut appender = if has_bytes(&headers) {
        let mut appender = offset::begin(&handle, 0, &headers, checksum.as_ref()).await?;
        offset::receive(&state, &handle, &mut appender, Body::unchecked(body), checksum).await?;
        appender
    } else {
        handle.append().await?
    };
    appender.settle().await?;
    let standing = Standing::of(&state, &handle, &appender);
    drop(appender);
    Ok(created(handle.id(), stands(&state, &handle, &note, &standing).await?))
}

/// Where an upload stands. Whoever is sending is told to stop, so that the answer stays true.
#[utoipa::path(head, path = "/tus/{upload}", tag = "tus",
    params(("upload" = Uuid, Path), ("Tus-Resumable" = String, Header, description = "1.0.0")),
    responses((status = 200, description = "Upload-Offset, Upload-Length, Upload-Metadata, Upload-Concat, Upload-Expires"),
        (status = "default", body = ProblemDetails)))]
async fn look(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Path(upload): Path<FileId>,
) -> Result<HeaderMap, Problem> {
    let found = state.uploads().find_level(&state, &me, upload).await?;
    let note = Note::read(&state, upload).await?;
    let (size, mut headers) = match found {
        Err(file) => (file.size, of_file(&file)),
        Ok(handle) => {
            let standing = Standing::of(&state, &handle, &handle.append().await?);
            (handle.plan().size(), stands(&state, &handle, &note, &standing).await?)
        }
    };
    headers.insert(UPLOAD_LENGTH, HeaderValue::from(size));
    for (name, text) in [(UPLOAD_METADATA, note.metadata), (UPLOAD_CONCAT, note.concat)] {
        if let Some(text) = text {
            headers.insert(name, HeaderValue::from_str(&text).map_err(|_| Problem::invalid("the note is damaged"))?);
        }
    }
    Ok(headers)
}

/// Appends bytes. What has been answered survives a crash of the server; with a checksum, nothing counts that is not
/// what was meant.
#[utoipa::path(patch, path = "/tus/{upload}", tag = "tus",
    params(("upload" = Uuid, Path), ("Tus-Resumable" = String, Header, description = "1.0.0"),
        ("Upload-Offset" = u64, Header, description = "where the upload stands"),
        ("Upload-Checksum" = Option<String>, Header,
            description = "`sha1 BASE64` or `sha256 BASE64` of the body, which then has at most 64 MiB")),
    request_body(content = Octets, content_type = "application/offset+octet-stream"),
    responses((status = 204, description = "Upload-Offset, Upload-Expires; File-Id once it is a file"),
        (status = 460, description = "not what the checksum says", body = ProblemDetails),
        (status = "default", body = ProblemDetails)))]
async fn append(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Path(upload): Path<FileId>,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Result<(StatusCode, HeaderMap), Problem> {
    if !has_bytes(&headers) {
        let refusal = Refusal::new(ErrorCode::Invalid, format!("say Content-Type: {OFFSET_OCTET_STREAM}"));
        return Err(Problem::with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE, refusal));
    }
    let needed = || Problem::invalid("say Upload-Offset; HEAD tells it");
    let at = number(&headers, &UPLOAD_OFFSET)?.ok_or_else(needed)?;
    let checksum = checksum(&headers)?;
    let found = state.uploads().find_level(&state, &me, upload).await?;
    let note = Note::read(&state, upload).await?;
    let handle = match found {
        Ok(handle) => handle,
        Err(_) if note.is_final() => {
            let message = "a final upload is made of others and takes no bytes of its own";
            return Err(Refusal::new(ErrorCode::Forbidden, message).into());
        }
        // The answer to the last bytes was lost.
        Err(file) if file.size == at => return Ok((StatusCode::NO_CONTENT, of_file(&file))),
        Err(_) => {
            return Err(Refusal::new(ErrorCode::Conflict, "the upload is complete; it takes no more bytes").into());
        }
    };
    let mut appender = offset::begin(&handle, at, &headers, checksum.as_ref()).await?;
    offset::receive(&state, &handle, &mut appender, Body::unchecked(body), checksum).await?;
    let standing = Standing::of(&state, &handle, &appender);
    drop(appender);
    Ok((StatusCode::NO_CONTENT, stands(&state, &handle, &note, &standing).await?))
}

/// Drops an upload and what was stored of it, or deletes the file that it has become.
#[utoipa::path(delete, path = "/tus/{upload}", tag = "tus",
    params(("upload" = Uuid, Path), ("Tus-Resumable" = String, Header, description = "1.0.0")),
    responses((status = 204), (status = "default", body = ProblemDetails)))]
async fn terminate(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Path(upload): Path<FileId>,
) -> Result<StatusCode, Problem> {
    match state.uploads().find(&state, &me, upload).await? {
        Ok(handle) => offset::discard(&state, &me, &handle).await?,
        Err(_) => state.services().files.delete(&me, upload).await?,
    }
    Ok(StatusCode::NO_CONTENT)
}

/// A request whose method its sender was not able to send.
async fn overridden(
    state: State<HttpState>,
    auth: Auth,
    upload: Path<FileId>,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Result<Response, Problem> {
    match headers.get(&X_HTTP_METHOD_OVERRIDE).map(HeaderValue::as_bytes) {
        Some(b"PATCH") => Ok(append(state, auth, upload, headers, body).await?.into_response()),
        Some(b"DELETE") => Ok(terminate(state, auth, upload).await?.into_response()),
        Some(b"HEAD") => Ok(look(state, auth, upload).await?.into_response()),
        _ => {
            let message =
                "this path takes HEAD, PATCH and DELETE; POST only with one of them in X-HTTP-Method-Override";
            let refusal = Refusal::new(ErrorCode::Invalid, message);
            Err(Problem::with_status(StatusCode::METHOD_NOT_ALLOWED, refusal))
        }
    }
}

/// Makes a file of complete partial uploads, in their order, and drops them.
async fn concatenate(state: &HttpState, me: &Caller, note: &Note, parts: &[FileId]) -> Result<Response, Problem> {
    let name = note.file_name()?;
    let mut handles = Vec::new();
    for &part in parts {
        let handle = state.uploads().find_level(state, me, part).await?;
        let partial = Note::read(state, part).await?.is_partial();
        handles.push(handle.ok().filter(|_| partial).ok_or_else(|| {
            let message = format!("upload {part} was not begun with Upload-Concat: partial");
            Problem::from(Refusal::new(ErrorCode::Conflict, message))
        })?);
    }
    if let Some(part) = handles.iter().find(|part| !part.map().is_full()) {
        let message = format!("upload {} is not complete; send the rest of it first", part.id());
        return Err(Refusal::new(ErrorCode::Incomplete, message).into());
    }
    let size = handles.iter().map(|part| part.plan().size()).fold(0, u64::saturating_add);
    let file = match state.services().uploads.begin(me, key_of_parts(parts), name, size).await? {
        Begun::Finished(file) => file,
        Begun::Open(whole) => {
            let whole = state.uploads().keep(whole);
            whole.write_note(note.to_json()).await?;
            whole.fill(&handles).await?;
            offset::finish(state, &whole).await?
        }
    };
    for part in &handles {
        offset::discard(state, me, part).await?;
    }
    Ok(created(file.id, of_file(&file)))
}

/// The same parts make the same file, also when a crash came in between.
fn key_of_parts(parts: &[FileId]) -> UploadKey {
    let mut hash = blake3::Hasher::new_derive_key("hypersend 2026 upload key of the parts of a file");
    for part in parts {
        hash.update(part.0.as_bytes());
    }
    UploadKey(hash.finalize().into())
}

fn has_bytes(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(OFFSET_OCTET_STREAM))
}

/// The headers of an upload under way; of the file, if this was all of it.
async fn stands(
    state: &HttpState,
    handle: &Arc<UploadHandle>,
    note: &Note,
    standing: &Standing,
) -> Result<HeaderMap, Problem> {
    if standing.offset == handle.plan().size() && !note.is_partial() {
        return Ok(of_file(&offset::finish(state, handle).await?));
    }
    let expires = httpdate::fmt_http_date(standing.expires.to_system_time());
    let expires = HeaderValue::from_str(&expires).expect("a date is ASCII");
    Ok([(UPLOAD_OFFSET, HeaderValue::from(standing.offset)), (UPLOAD_EXPIRES, expires)].into_iter().collect())
}

fn of_file(file: &File) -> HeaderMap {
    let id = HeaderValue::from_str(&file.id.to_string()).expect("a UUID is ASCII");
    [(UPLOAD_OFFSET, HeaderValue::from(file.size)), (FILE_ID, id)].into_iter().collect()
}

fn created(id: FileId, headers: HeaderMap) -> Response {
    let location = HeaderValue::from_str(&format!("/api/v1/tus/{id}")).expect("a UUID is ASCII");
    (StatusCode::CREATED, [(LOCATION, location)], headers).into_response()
}
