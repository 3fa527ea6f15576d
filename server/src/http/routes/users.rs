//! People.

#![expect(unused_qualifications, reason = "utoipa writes out the path of the query's type")]

use crate::http::{
    caller::Auth,
    extract::{Json, Query},
    problem::{Problem, ProblemDetails},
    state::HttpState,
};
use axum::extract::State;
use hypersend_protocol::{
    account::Profile,
    name::{DisplayName, Email},
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};
use uuid::Uuid;

pub(in crate::http) fn router() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new().routes(routes!(me, rename)).routes(routes!(find))
}

/// Somebody with an account.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub(in crate::http) struct UserView {
    id: Uuid,
    #[schema(format = Email)]
    email: String,
    /// What others see.
    name: String,
}

impl From<Profile> for UserView {
    fn from(profile: Profile) -> Self {
        Self { id: profile.id.0, email: profile.email.into(), name: profile.name.into() }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Wanted {
    /// Their address, whole.
    #[param(value_type = String, format = Email)]
    email: Email,
}

/// Who the caller is.
#[utoipa::path(get, path = "/users/me", tag = "users",
    responses((status = 200, body = UserView), (status = "default", body = ProblemDetails)))]
async fn me(State(state): State<HttpState>, Auth(me): Auth) -> Result<axum::Json<UserView>, Problem> {
    Ok(axum::Json(state.services().accounts.me(&me).await?.into()))
}

/// What to change of one's profile.
#[derive(Debug, Deserialize, ToSchema)]
struct ProfileChange {
    /// What others see.
    #[schema(value_type = String, min_length = 1, max_length = 100)]
    name: DisplayName,
}

/// Changes what others see of the caller.
#[utoipa::path(patch, path = "/users/me", tag = "users",
    request_body = ProfileChange,
    responses((status = 200, body = UserView), (status = "default", body = ProblemDetails)))]
async fn rename(
    State(state): State<HttpState>,
    Auth(me): Auth,
    Json(ProfileChange { name }): Json<ProfileChange>,
) -> Result<axum::Json<UserView>, Problem> {
    Ok(axum::Json(state.services().accounts.rename(&me, name).await?.into()))
}

/// Who has an email address.
#[utoipa::path(get, path = "/users", tag = "users", params(Wanted),
    responses((status = 200, body = UserView), (status = "default", body = ProblemDetails)))]
async fn find(
    State(state): State<HttpState>,
    Auth(_): Auth,
    Query(Wanted { email }): Query<Wanted>,
) -> Result<axum::Json<UserView>, Problem> {
    Ok(axum::Json(state.services().accounts.find(&email).await?.into()))
}
