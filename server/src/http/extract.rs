//! Bodies, paths and queries, whose failures are Problem Details.

use super::problem::Problem;
use axum::extract::{FromRequest, FromRequestParts, Request};
use bytes::Bytes;
use serde::de::DeserializeOwned;
use std::time::Duration;
use tokio::time::timeout;

/// How long a JSON body may take, however steadily it drips: 512 KiB at 70 kbit/s.
const JSON_WITHIN: Duration = Duration::from_mins(1);

/// A JSON body.
#[derive(Debug)]
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let read = timeout(JSON_WITHIN, axum::Json::from_request(request, state)).await;
        let axum::Json(value) = read.map_err(|_| Problem::stalled())??;
        Ok(Self(value))
    }
}

/// A JSON body that need not be there: who has nothing to say sends none, whatever a client library says of its type.
#[derive(Debug)]
pub(super) struct MaybeJson<T>(pub(super) Option<T>);

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for MaybeJson<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let read = timeout(JSON_WITHIN, Bytes::from_request(request, state)).await;
        let body = read.map_err(|_| Problem::stalled())??;
        if body.is_empty() {
            return Ok(Self(None));
        }
        serde_json::from_slice(&body).map(Self).map_err(|error| Problem::invalid(error.to_string()))
    }
}

/// The path's variables.
#[derive(Debug, FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Problem))]
pub(super) struct Path<T>(pub(super) T);

/// The query's fields.
#[derive(Debug, FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Problem))]
pub(super) struct Query<T>(pub(super) T);
