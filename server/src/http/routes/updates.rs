//! Releases of client programs, as the operator publishes them.

#![expect(unused_qualifications, reason = "utoipa names the query's fields by their whole path")]

use crate::{
    http::{
        extract::Query,
        problem::{Problem, ProblemDetails},
        state::HttpState,
    },
    services::{Build, Release},
};
use axum::{
    extract::State,
    response::{IntoResponse, Response},
};
use http::StatusCode;
use semver::Version;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

pub(in crate::http) fn router() -> OpenApiRouter<HttpState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(latest))
}

/// All releases.
#[derive(Debug, Serialize, ToSchema)]
struct Releases {
    items: Vec<ReleaseView>,
}

/// A version of the client programs.
#[derive(Debug, Serialize, ToSchema)]
struct ReleaseView {
    /// By Semantic Versioning.
    version: String,
    /// What is new, for people.
    notes: String,
    builds: Vec<BuildView>,
}

/// A file to be downloaded.
#[derive(Debug, Serialize, ToSchema)]
struct BuildView {
    /// What it runs on, such as `linux-x86_64`.
    platform: String,
    url: String,
    /// 64 hexadecimal digits.
    sha256: String,
    /// In bytes.
    size: u64,
}

/// A release and the one build of it that was asked for.
#[derive(Debug, Serialize, ToSchema)]
struct UpdateView {
    /// By Semantic Versioning.
    version: String,
    /// What is new, for people.
    notes: String,
    build: BuildView,
}

impl From<Build> for BuildView {
    fn from(Build { platform, url, sha256, size }: Build) -> Self {
        Self { platform, url, sha256, size }
    }
}

impl From<Release> for ReleaseView {
    fn from(Release { version, notes, builds }: Release) -> Self {
        Self { version: version.to_string(), notes, builds: builds.into_iter().map(Into::into).collect() }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct Installed {
    /// What the client runs on.
    platform: String,
    /// Its version.
    #[param(value_type = String, example = "1.0.0")]
    current: Version,
}

/// Every release, the newest first; needs no login.
#[utoipa::path(get, path = "/updates", tag = "updates", security(()),
    responses((status = 200, body = Releases), (status = "default", body = ProblemDetails)))]
async fn list(State(state): State<HttpState>) -> axum::Json<Releases> {
    let all = state.services().updates.all().await;
    axum::Json(Releases { items: all.iter().cloned().map(Into::into).collect() })
}

/// The newest release for a platform, if it is newer than what is installed; needs no login.
#[utoipa::path(get, path = "/updates/latest", tag = "updates", security(()), params(Installed),
    responses((status = 200, body = UpdateView), (status = 204, description = "there is nothing newer"),
        (status = "default", body = ProblemDetails)))]
async fn latest(
    State(state): State<HttpState>,
    Query(Installed { platform, current }): Query<Installed>,
) -> Result<Response, Problem> {
    let Some((release, build)) = state.services().updates.newer(&platform, &current).await? else {
        return Ok(StatusCode::NO_CONTENT.into_response());
    };
    let (version, notes) = (release.version.to_string(), release.notes);
    Ok(axum::Json(UpdateView { version, notes, build: build.into() }).into_response())
}
