//! Relays: which there are, for users; and for the relays themselves, which show the operator's token, to say that they
//! are there, and how much they have to do.

use crate::http::{
    caller::{Auth, Origin, bearer},
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
    p2p::RelayInfo,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub(in crate::http) fn router() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(register))
}

/// Relays that take sessions.
#[derive(Debug, Serialize, ToSchema)]
struct RelayItems {
    /// The least loaded first; at most 64.
    items: Vec<RelayView>,
}

/// A relay, without leave to use it.
#[derive(Debug, Serialize, ToSchema)]
struct RelayView {
    relay: Uuid,
    name: String,
    /// Its host; left out for the host by which the client reaches the server.
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    /// Its UDP ports. Each says to whoever asks how it looks from there.
    ports: Vec<u16>,
}

impl From<RelayInfo> for RelayView {
    fn from(RelayInfo { relay, name, host, ports }: RelayInfo) -> Self {
        Self { relay: relay.0, name: name.to_string(), host: host.map(|host| host.to_string()), ports }
    }
}

/// Relays that there are.
#[utoipa::path(get, path = "/relays", tag = "relays",
    responses((status = 200, body = RelayItems), (status = "default", body = ProblemDetails)))]
async fn list(State(state): State<HttpState>, _: Auth) -> Result<axum::Json<RelayItems>, Problem> {
    let relays = state.services().relays.list().await?;
    Ok(axum::Json(RelayItems { items: relays.into_iter().map(RelayView::from).collect() }))
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
