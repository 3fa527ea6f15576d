//! The draft's own kinds of problem, beside ours.

use super::UPLOAD_COMPLETE;
use crate::http::{offset::UPLOAD_OFFSET, problem::Problem};
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use hypersend_protocol::refusal::ErrorCode;
use serde_json::json;

/// Why a request is refused.
pub(super) enum Refused {
    Problem(Problem),
    /// The bytes do not follow on what is there.
    Offset {
        expected: u64,
        provided: u64,
    },
    /// Two lengths are said that are not the same.
    Length {
        expected: u64,
        provided: u64,
    },
}

impl<P: Into<Problem>> From<P> for Refused {
    fn from(problem: P) -> Self {
        Self::Problem(problem.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, body, offset) = match self {
            Self::Problem(problem) => return problem.into_response(),
            Self::Offset { expected, provided } => {
                let body = json!({
                    "type": "https://iana.org/assignments/http-problem-types#mismatching-upload-offset",
                    "title": "offset from request does not match offset of resource",
                    "status": StatusCode::CONFLICT.as_u16(),
                    "code": ErrorCode::Conflict.slug(),
                    "detail": format!("go on from byte {expected}"),
                    "expected-offset": expected,
                    "provided-offset": provided,
                });
                (StatusCode::CONFLICT, body, Some(expected))
            }
            Self::Length { expected, provided } => {
                let body = json!({
                    "type": "https://iana.org/assignments/http-problem-types#inconsistent-upload-length",
                    "title": "inconsistent length values for upload",
                    "status": StatusCode::BAD_REQUEST.as_u16(),
                    "code": ErrorCode::Invalid.slug(),
                    "detail": format!("the upload has {expected} bytes, and this would make {provided}"),
                });
                (StatusCode::BAD_REQUEST, body, None)
            }
        };
        let mut response = (status, body.to_string()).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(UPLOAD_COMPLETE, HeaderValue::from_static("?0"));
        if let Some(offset) = offset {
            headers.insert(UPLOAD_OFFSET, HeaderValue::from(offset));
        }
        response
    }
}
