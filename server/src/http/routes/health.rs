//! Whether the server lives, and whether it can serve.

use crate::http::state::HttpState;
use axum::{Router, extract::State, routing::get};
use http::StatusCode;

pub(in crate::http) fn router() -> Router<HttpState> {
    Router::new().route("/healthz", get(async || "ok\n")).route("/readyz", get(ready))
}

/// Ready is who can ask the database.
async fn ready(State(state): State<HttpState>) -> (StatusCode, &'static str) {
    if state.services().accounts.can_ask_the_store().await {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n")
    }
}
