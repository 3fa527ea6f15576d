//! Who is calling, by the Bearer token (RFC 6750), which comes in the header and nowhere else: URLs end up in logs.

use super::{extract::Query, h3::Transport, problem::Problem, state::HttpState};
use crate::services::Caller;
use axum::extract::{ConnectInfo, FromRequestParts};
use http::{HeaderMap, header::AUTHORIZATION, header::USER_AGENT, request::Parts};
use hypersend_protocol::{
    name::Token,
    refusal::{ErrorCode, Refusal},
};
use serde::Deserialize;
use std::{
    net::{IpAddr, SocketAddr},
    time::Instant,
};

/// Somebody who has proved who they are.
pub(super) struct Auth(pub(super) Caller);

impl FromRequestParts<HttpState> for Auth {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let token = bearer(&parts.headers)?;
        let me = state.services().accounts.authenticate(&token).await?;
        // Over HTTP/3 a connection is given more room once it has shown whom it is for.
        if let Some(transport) = parts.extensions.get::<Transport>() {
            transport.trust();
        }
        Ok(Self(me))
    }
}

/// The same, where a ticket will do: browsers cannot set headers on an `EventSource` or a `WebSocket`.
pub(super) struct TicketAuth(pub(super) Caller);

#[derive(Deserialize)]
struct Ticket {
    ticket: Option<String>,
}

impl FromRequestParts<HttpState> for TicketAuth {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &HttpState) -> Result<Self, Problem> {
        let Query(Ticket { ticket }) = Query::from_request_parts(parts, state).await?;
        let Some(ticket) = ticket else {
            let Auth(me) = Auth::from_request_parts(parts, state).await?;
            return Ok(Self(me));
        };
        let session = state.tickets().take(&ticket, Instant::now()).ok_or_else(|| {
            Problem::from(Refusal::new(ErrorCode::BadToken, "the ticket was used or is too old; ask for another"))
        })?;
        Ok(Self(state.services().accounts.resume(session).await?))
    }
}

/// The token that a request comes with.
pub(super) fn bearer(headers: &HeaderMap) -> Result<Token, Problem> {
    let missing = || {
        let message = "log in first: this needs the header Authorization: Bearer, with an access token";
        Problem::from(Refusal::new(ErrorCode::BadToken, message))
    };
    let header = headers.get(AUTHORIZATION).and_then(|header| header.to_str().ok()).ok_or_else(missing)?;
    let (scheme, token) = header.split_once(' ').ok_or_else(missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(missing());
    }
    token.trim().parse().map_err(|_| missing())
}

/// Where a request comes from, and by which program: for rate limits and the list of logins.
pub(super) struct Origin {
    pub(super) address: IpAddr,
    pub(super) agent: String,
}

impl<S: Sync> FromRequestParts<S> for Origin {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let connection = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        let ConnectInfo(peer) = connection.expect("both listeners say where a request comes from");
        let agent = parts.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or("an HTTP client");
        Ok(Self { address: peer.ip(), agent: agent.to_owned() })
    }
}
