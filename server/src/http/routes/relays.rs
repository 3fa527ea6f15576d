//! Relays that say that they are there, and how much they have to do. For the operator's own: they show the operator's token.

use crate::http::{
    caller::{Origin, bearer},
    extract::{Json, Path},
    problem::{Problem, ProblemDetails},
    state::HttpState,
};
use crate::{services::RELAY_SAYS_EVERY, store::relays::Relay};
use axum::extract::State;
use data_encoding::BASE64;
use http::HeaderMap;
use hypersend_protocol::{
    id::RelayId,
    name::{RelayHost, RelayName},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

pub(in crate::http) fn router() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new().routes(routes!(register))
}

/// How a relay stands.
#[derive(Debug, Deserialize, ToSchema)]
struct Standing {
    /// What people call it.
    #[schema(value_type = String, min_length = 1, max_length = 64)]
    name: RelayName,
    /// Where clients find it; left out for the address that this request comes from.
    #[serde(default)]
    #[schema(value_type = Option<String>, min_length = 1, max_length = 253)]
    host: Option<RelayHost>,
    /// Its UDP ports, the first for binding; none only while it takes nobody.
    #[schema(max_items = 2)]
    ports: Vec<u16>,
    /// Sessions that it has.
    sessions: u32,
    /// Sessions that it may have.
    max_sessions: u32,
    /// Whether it takes nobody new.
    #[serde(default)]
    draining: bool,
}

/// What a relay is told.
#[derive(Debug, Serialize, ToSchema)]
struct Registered {
    /// The Ed25519 public key by which it verifies tickets, in base64.
    server_key: String,
    /// In how many seconds to say it again.
    next_seconds: u64,
}

/// Says that a relay is there. One that has not said so for 30 s is handed out to nobody.
#[utoipa::path(put, path = "/relays/{relay}", tag = "relays", params(("relay" = Uuid, Path)),
    request_body = Standing,
    responses((status = 200, body = Registered), (status = "default", body = ProblemDetails)))]
async fn register(
    State(state): State<HttpState>,
    Path(id): Path<RelayId>,
    origin: Origin,
    headers: HeaderMap,
    Json(standing): Json<Standing>,
) -> Result<axum::Json<Registered>, Problem> {
    let relays = &state.services().relays;
    relays.admit(bearer(&headers)?.as_str())?;
    let Standing { name, host, ports, sessions, max_sessions, draining } = standing;
    let seen = || origin.address.to_canonical().to_string().parse().ok();
    let host = host.or_else(seen);
    relays.register(Relay { id, name, host, ports, sessions, max_sessions, draining }).await?;
    let server_key = BASE64.encode(&relays.public_key());
    Ok(axum::Json(Registered { server_key, next_seconds: RELAY_SAYS_EVERY.as_secs() }))
}
