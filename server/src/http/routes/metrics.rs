//! What an operator watches, for whoever has the operator's token.

use crate::http::{caller::bearer, problem::Problem, state::HttpState};
use axum::{Router, extract::State, response::IntoResponse, routing::get};
use http::{HeaderMap, header::CONTENT_TYPE};
use hypersend_protocol::refusal::{ErrorCode, Refusal};

/// The text format of `OpenMetrics`, as Prometheus asks for it.
const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

pub(in crate::http) fn router() -> Router<HttpState> {
    Router::new().route("/metrics", get(metrics))
}

async fn metrics(State(state): State<HttpState>, headers: HeaderMap) -> Result<impl IntoResponse, Problem> {
    let Some(token) = state.metrics_token() else {
        let message = "this server's operator has set no METRICS_TOKEN, so there are no metrics to be had";
        return Err(Refusal::new(ErrorCode::NotFound, message).into());
    };
    if !token.is(bearer(&headers)?.as_str()) {
        let message = "that is not the METRICS_TOKEN of this server; ask its operator";
        return Err(Refusal::new(ErrorCode::BadToken, message).into());
    }
    Ok(([(CONTENT_TYPE, MEDIA_TYPE)], state.services().metrics.text()))
}
