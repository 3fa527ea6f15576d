//! Files from a form: `curl -F file=@film.mkv`, or a page's `<input type="file" multiple>`.
//!
//! A form does not say how long its files are, and an upload is cut by its size. So each is put aside on the disk first, in a
//! file without a name, and becomes an upload when the form's end has come: it is written twice, and for very large files there
//! are better ways. A form is stored whole or not at all.

use super::files::{FileView, length};
use crate::{
    http::{
        caller::Auth,
        content::Octets,
        disposition::file_name,
        intake::{Body, RANGE_WITHIN, place},
        multipart::Multipart,
        once::Once,
        problem::{Problem, ProblemDetails},
        state::HttpState,
    },
    services::{Begun, Caller, Staging, UploadError},
    store::files::File,
};
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use hypersend_protocol::{
    hash::UploadKey,
    id::ClientId,
    limit::{MAX_FILES_PER_MESSAGE, MAX_RANGE_LENGTH},
    name::FileName,
    refusal::{ErrorCode, Refusal},
};
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

/// The longest form, in bytes: its files lie on the disk beside what uploads have reserved.
pub(super) const MAX_FORM_BYTES: u64 = 4 << 30;

/// Forms at once; others wait. Together they have four times the longest on the disk.
pub(in crate::http) const FORMS_AT_ONCE: usize = 4;

/// How many of them may be one user's.
pub(in crate::http) const FORMS_PER_USER: usize = 2;

pub(in crate::http) fn router() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new().routes(routes!(send_form))
}

/// The parts of a form; each is a file, whatever it is called.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described: a form is read as it comes")]
struct Form {
    file: Vec<Octets>,
}

/// Stores the files of a form, at most 32 of them and 4 GiB in all: `curl -F file=@film.mkv .../files`.
#[utoipa::path(post, path = "/files", tag = "files",
    params(("Idempotency-Key" = Option<String>, Header, description = "stores each file once however often it is sent")),
    request_body(content = Form, content_type = "multipart/form-data"),
    responses((status = 201, body = Vec<FileView>), (status = "default", body = ProblemDetails)))]
async fn send_form(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Once(client_id): Once,
    headers: HeaderMap,
    body: axum::body::Body,
) -> Result<(StatusCode, axum::Json<Vec<FileView>>), Problem> {
    let expected = length(&headers)?;
    if expected > MAX_FORM_BYTES {
        let message =
            format!("a form has {MAX_FORM_BYTES} bytes at most; larger files go by PUT /files/named/{{name}}");
        let refusal = Refusal::new(ErrorCode::LimitReached, message).with_limit(MAX_FORM_BYTES);
        return Err(Problem::with_status(StatusCode::PAYLOAD_TOO_LARGE, refusal));
    }
    let mut form = Multipart::new(Body::unchecked(body), &headers)?;
    let _place = place(state.forms(), me.id()).await?;
    let mut staged = Vec::new();
    while let Some(disposition) = form.part().await? {
        let no_file = || Problem::invalid("a part of the form has no filename; send nothing but files");
        let name = file_name(&disposition)?.ok_or_else(no_file)?;
        if staged.len() == MAX_FILES_PER_MESSAGE {
            let message = format!("a form has {MAX_FILES_PER_MESSAGE} files at most; send the others in another");
            return Err(Refusal::new(ErrorCode::LimitReached, message).with_limit(MAX_FILES_PER_MESSAGE as u64).into());
        }
        staged.push((name, put_aside(&state, &me, &mut form, expected).await?));
    }
    if staged.is_empty() {
        return Err(Problem::invalid("the form has no file"));
    }
    let mut files = Files { state: &state, me: &me, client_id, stored: Vec::new() };
    for (name, staged) in staged {
        if let Err(problem) = files.store(name, &staged).await {
            files.withdraw().await?;
            return Err(problem);
        }
    }
    Ok((StatusCode::CREATED, axum::Json(files.stored.into_iter().map(|(file, _)| file.into()).collect())))
}

/// Reads the bytes of one part onto the disk.
async fn put_aside(state: &HttpState, me: &Caller, form: &mut Multipart, expected: u64) -> Result<Staging, Problem> {
    let limit = state.limits().max_file_size;
    let mut staged = state.services().uploads.stage(expected).await?;
    loop {
        let _place = place(state.ranges(), me.id()).await?;
        let (mut pieces, mut gathered) = (Vec::new(), 0);
        let end = Instant::now() + RANGE_WITHIN;
        while gathered < MAX_RANGE_LENGTH as usize
            && let Some(piece) = timeout_at(end, form.piece()).await.map_err(|_| Problem::stalled())??
        {
            gathered += piece.len();
            pieces.push(piece);
        }
        if gathered == 0 {
            return Ok(staged);
        }
        let size = staged.length() + gathered as u64;
        if size > limit {
            return Err(UploadError::TooLarge { size, limit }.into());
        }
        staged.push(pieces).await?;
    }
}

/// The files of a form that has come to its end.
struct Files<'a> {
    state: &'a HttpState,
    me: &'a Caller,
    client_id: ClientId,
    /// Each with whether it was not there before.
    stored: Vec<(File, bool)>,
}

impl Files<'_> {
    async fn store(&mut self, name: FileName, staged: &Staging) -> Result<(), Problem> {
        let handle = match self.state.services().uploads.begin(self.me, self.key(), name, staged.length()).await? {
            Begun::Open(handle) => handle,
            Begun::Finished(file) => {
                self.stored.push((file, false));
                return Ok(());
            }
        };
        for chunk in handle.map().missing() {
            for span in handle.plan().ranges(chunk) {
                let _place = place(self.state.ranges(), self.me.id()).await?;
                let bytes = staged.read(span.offset, span.length as usize).await?;
                handle.put(span, None, vec![bytes]).await?;
            }
        }
        self.stored.push((handle.finish(None).await?, true));
        Ok(())
    }

    /// The same place in the same form is the same file.
    fn key(&self) -> UploadKey {
        let place = [self.client_id.0.as_bytes().as_slice(), &self.stored.len().to_le_bytes()].concat();
        UploadKey(blake3::derive_key("hypersend 2026 upload key of a file in a form", &place))
    }

    /// Takes back what was stored, for a form of which not all can be.
    async fn withdraw(self) -> Result<(), Problem> {
        for (file, _) in self.stored.into_iter().filter(|(_, fresh)| *fresh) {
            self.state.services().files.delete(self.me, file.id).await?;
        }
        Ok(())
    }
}
