//! Accounts and logins.

use super::users::UserView;
use crate::{
    http::{
        caller::{Auth, Origin},
        extract::Json,
        problem::{Problem, ProblemDetails},
        state::HttpState,
    },
    services::Login,
};
use axum::extract::State;
use http::StatusCode;
use hypersend_protocol::name::{DisplayName, Email, Password, Token};
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

/// Makes an account and logs in to it.
#[utoipa::path(post, path = "/auth/register", tag = "auth", security(()),
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
    state.services().accounts.logout(me.session).await?;
    Ok(StatusCode::NO_CONTENT)
}
