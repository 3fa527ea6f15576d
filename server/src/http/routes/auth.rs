//! Accounts and logins.

use super::users::UserView;
use crate::{
    http::{
        caller::{Auth, Origin},
        extract::{Json, Path, Query},
        page::{Page, PageQuery, Position},
        problem::{Problem, ProblemDetails},
        state::HttpState,
    },
    services::Login,
    store::sessions::Session,
};
use axum::extract::State;
use http::StatusCode;
use hypersend_protocol::{
    id::SessionId,
    name::{DisplayName, Email, Password, Token},
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub(in crate::http) fn router() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new()
        .routes(routes!(register))
        .routes(routes!(login))
        .routes(routes!(refresh))
        .routes(routes!(logout))
        .routes(routes!(sessions))
        .routes(routes!(end_session))
}

/// Who somebody wants to be.
#[derive(Deserialize, ToSchema)]
struct Registration {
    /// The account's name; its case does not matter.
    #[schema(value_type = String, format = Email, max_length = 254)]
    email: Email,
    /// What others see.
    #[schema(value_type = String, min_length = 1, max_length = 100)]
    name: DisplayName,
    /// 8 to 72 bytes.
    #[schema(value_type = String, format = Password, min_length = 8, max_length = 72)]
    password: Password,
}

/// Who somebody says they are.
#[derive(Deserialize, ToSchema)]
struct Credentials {
    #[schema(value_type = String, format = Email)]
    email: Email,
    #[schema(value_type = String, format = Password)]
    password: Password,
}

/// A token to be used up.
#[derive(Deserialize, ToSchema)]
struct Refresh {
    /// The newest refresh token of the login.
    #[schema(value_type = String)]
    refresh_token: Token,
}

/// A login, and the tokens to go on with.
#[derive(Serialize, ToSchema)]
struct LoginView {
    user: UserView,
    /// The login's id.
    session: Uuid,
    /// For the header `Authorization: Bearer`.
    access_token: String,
    /// When the access token expires.
    #[schema(format = DateTime)]
    access_expires: String,
    /// Buys the next two tokens, once.
    refresh_token: String,
    /// When the login ends unless it is refreshed before.
    #[schema(format = DateTime)]
    refresh_expires: String,
}

impl From<Login> for LoginView {
    fn from(Login { caller, tokens }: Login) -> Self {
        Self {
            user: caller.profile.into(),
            session: caller.session.0,
            access_token: tokens.access.as_str().to_owned(),
            access_expires: tokens.access_expires.to_string(),
            refresh_token: tokens.refresh.as_str().to_owned(),
            refresh_expires: tokens.refresh_expires.to_string(),
        }
    }
}

/// A living login.
#[derive(Debug, Serialize, ToSchema)]
struct SessionView {
    id: Uuid,
    /// The program that began it, in its own words.
    agent: String,
    #[schema(format = DateTime)]
    created: String,
    /// When its tokens were last renewed.
    #[schema(format = DateTime)]
    renewed: String,
    /// When it ends unless it is refreshed before.
    #[schema(format = DateTime)]
    expires: String,
    /// Whether the request came by it.
    current: bool,
}

impl SessionView {
    fn new(session: Session, current: SessionId) -> Self {
        Self {
            id: session.id.0,
            agent: session.agent,
            created: session.created.to_string(),
            renewed: session.rotated.to_string(),
            expires: session.expires.to_string(),
            current: session.id == current,
        }
    }
}

/// Makes an account and logs in to it.
#[utoipa::path(post, path = "/auth/register", tag = "auth", security(()),
    request_body = Registration,
    responses((status = 201, body = LoginView), (status = "default", body = ProblemDetails)))]
async fn register(
    State(state): State<HttpState>,
    Origin { address, agent }: Origin,
    Json(Registration { email, name, password }): Json<Registration>,
) -> Result<(StatusCode, axum::Json<LoginView>), Problem> {
    let login = state.services().accounts.register(address, &agent, email, name, password).await?;
    Ok((StatusCode::CREATED, axum::Json(login.into())))
}

/// Begins a login.
#[utoipa::path(post, path = "/auth/login", tag = "auth", security(()),
    request_body = Credentials,
    responses((status = 200, body = LoginView), (status = "default", body = ProblemDetails)))]
async fn login(
    State(state): State<HttpState>,
    Origin { address, agent }: Origin,
    Json(Credentials { email, password }): Json<Credentials>,
) -> Result<axum::Json<LoginView>, Problem> {
    Ok(axum::Json(state.services().accounts.login(address, &agent, email, password).await?.into()))
}

/// Uses up the refresh token for the next two tokens. Presenting one again later ends the login for everybody.
#[utoipa::path(post, path = "/auth/refresh", tag = "auth", security(()),
    request_body = Refresh,
    responses((status = 200, body = LoginView), (status = "default", body = ProblemDetails)))]
async fn refresh(
    State(state): State<HttpState>,
    Json(Refresh { refresh_token }): Json<Refresh>,
) -> Result<axum::Json<LoginView>, Problem> {
    Ok(axum::Json(state.services().accounts.refresh(&refresh_token, None).await?.into()))
}

/// Ends the login: its tokens are worthless and its connections closed.
#[utoipa::path(post, path = "/auth/logout", tag = "auth",
    responses((status = 204), (status = "default", body = ProblemDetails)))]
async fn logout(State(state): State<HttpState>, Auth(me): Auth) -> Result<StatusCode, Problem> {
    state.services().accounts.logout(&me).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// The caller's living logins, newest first.
#[utoipa::path(get, path = "/auth/sessions", tag = "auth", params(PageQuery),
    responses((status = 200, body = Page<SessionView>), (status = "default", body = ProblemDetails)))]
async fn sessions(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Query(page): Query<PageQuery>,
) -> Result<axum::Json<Page<SessionView>>, Problem> {
    let before = page.position::<Uuid>()?.map(SessionId);
    let (sessions, more) = state.services().accounts.sessions(&me, before, page.limit()?).await?;
    let next = sessions.last().filter(|_| more).map(|last| last.id.0.cursor());
    let items = sessions.into_iter().map(|session| SessionView::new(session, me.session)).collect();
    Ok(axum::Json(Page { items, next }))
}

/// Ends one of the caller's logins: its tokens are worthless and its connections closed.
#[utoipa::path(delete, path = "/auth/sessions/{session}", tag = "auth", params(("session" = Uuid, Path)),
    responses((status = 204), (status = "default", body = ProblemDetails)))]
async fn end_session(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Path(session): Path<SessionId>,
) -> Result<StatusCode, Problem> {
    state.services().accounts.end(&me, session).await?;
    Ok(StatusCode::NO_CONTENT)
}
