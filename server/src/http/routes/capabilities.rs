//! What this server can do, and how much.

use super::forms::MAX_FORM_BYTES;
use crate::http::{offset::MAX_CHECKED_BYTES, state::HttpState};
use axum::extract::State;
use hypersend_protocol::{limit, session::VERSION};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(in crate::http) fn router() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new().routes(routes!(capabilities))
}

/// Versions and limits.
#[derive(Debug, Serialize, ToSchema)]
struct Capabilities {
    /// The server's version.
    version: &'static str,
    /// The version of the native protocol on the same UDP port, ALPN `hypersend/1`.
    protocol: u32,
    /// Whether anybody may make an account.
    registration_open: bool,
    /// Whether the draft of HTTP's own resumable uploads is served.
    resumable_uploads_draft: bool,
    limits: LimitsView,
}

/// Lengths in bytes.
#[derive(Debug, Serialize, ToSchema)]
struct LimitsView {
    max_file_size: u64,
    max_chunks: u32,
    min_chunk_size: u64,
    max_file_name: usize,
    max_message: usize,
    max_files_per_message: usize,
    max_members: usize,
    max_offered_files: usize,
    max_open_offers: usize,
    max_page: u32,
    max_open_uploads: usize,
    max_checked_append: u64,
    max_form: u64,
    min_password: usize,
    max_password: usize,
}

/// What this server can do; needs no login.
#[utoipa::path(get, path = "/capabilities", tag = "server", security(()),
    responses((status = 200, body = Capabilities)))]
async fn capabilities(State(state): State<HttpState>) -> axum::Json<Capabilities> {
    let limits = state.limits();
    axum::Json(Capabilities {
        version: env!("CARGO_PKG_VERSION"),
        protocol: VERSION,
        registration_open: limits.registration_open,
        resumable_uploads_draft: limits.resumable_uploads_draft,
        limits: LimitsView {
            max_file_size: limits.max_file_size,
            max_chunks: limit::MAX_CHUNKS,
            min_chunk_size: limit::MIN_CHUNK_SIZE,
            max_file_name: limit::MAX_FILE_NAME_BYTES,
            max_message: limit::MAX_MESSAGE_BYTES,
            max_files_per_message: limit::MAX_FILES_PER_MESSAGE,
            max_members: limit::MAX_MEMBERS,
            max_offered_files: limit::MAX_OFFERED_FILES,
            max_open_offers: limit::MAX_OPEN_OFFERS,
            max_page: limit::MAX_PAGE,
            max_open_uploads: limit::MAX_OPEN_UPLOADS,
            max_checked_append: MAX_CHECKED_BYTES,
            max_form: MAX_FORM_BYTES,
            min_password: limit::MIN_PASSWORD_BYTES,
            max_password: limit::MAX_PASSWORD_BYTES,
        },
    })
}
