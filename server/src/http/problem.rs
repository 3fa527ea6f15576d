//! Refusals as Problem Details (RFC 9457).

use super::patient::Stalled;
use crate::services::{AccountError, ChatError, FileError, P2pError, RelayError, SignalError, UploadError};
use axum::{
    extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection},
    response::{IntoResponse, Response},
};
use http::{
    HeaderValue, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use hypersend_protocol::refusal::{ErrorCode, Refusal};
use serde::Serialize;
use utoipa::ToSchema;

/// What Problem Details are called on the wire.
pub(super) const MEDIA_TYPE: &str = "application/problem+json";

/// The answer "no", on its way out.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    refusal: Refusal,
}

/// Why a request failed (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ProblemDetails {
    /// Names the kind of problem: `urn:hypersend:problem:` and the code.
    #[serde(rename = "type")]
    kind: String,
    /// The status's usual words.
    title: &'static str,
    /// The HTTP status.
    status: u16,
    /// Cause and remedy, for a person.
    detail: String,
    /// The code, for programs: one of the catalogue in docs/protocol.md.
    code: &'static str,
    /// When to try again, in milliseconds from now, if waiting helps.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    /// The limit that was hit, in its own unit.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<u64>,
}

impl Problem {
    /// With another status than the code's usual one.
    pub(super) fn with_status(status: StatusCode, refusal: Refusal) -> Self {
        Self { status, refusal }
    }

    /// A request that makes no sense.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Refusal::new(ErrorCode::Invalid, message).into()
    }

    /// A body that stopped coming.
    pub(super) fn stalled() -> Self {
        Refusal::new(ErrorCode::TimedOut, "the body stopped coming; send it again").into()
    }

    /// A header that makes no sense.
    pub(super) fn header(name: &str, expected: &str) -> Self {
        Self::invalid(format!("the header {name} is not {expected}"))
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        Self { status: status(refusal.code), refusal }
    }
}

/// What services refuse.
macro_rules! refused {
    ($($error:ty)+) => {$(
        impl From<$error> for Problem {
            fn from(error: $error) -> Self {
                Refusal::from(error).into()
            }
        }
    )+};
}

refused!(AccountError ChatError FileError P2pError RelayError SignalError);

impl From<UploadError> for Problem {
    fn from(error: UploadError) -> Self {
        // What HTTP has a word of its own for.
        let status = match &error {
            UploadError::TooLarge { .. } => Some(StatusCode::PAYLOAD_TOO_LARGE),
            UploadError::Locked | UploadError::Overtaken => Some(StatusCode::LOCKED),
            _ => None,
        };
        let refusal = Refusal::from(error);
        match status {
            Some(status) => Self::with_status(status, refusal),
            None => refusal.into(),
        }
    }
}

/// The status that says the same as a code.
fn status(code: ErrorCode) -> StatusCode {
    match code {
        ErrorCode::Unavailable | ErrorCode::Stopping => StatusCode::SERVICE_UNAVAILABLE,
        ErrorCode::TimedOut => StatusCode::REQUEST_TIMEOUT,
        ErrorCode::BadFrame
        | ErrorCode::UnexpectedFrame
        | ErrorCode::FrameTooLong
        | ErrorCode::UnsupportedVersion
        | ErrorCode::Invalid
        | ErrorCode::HashMismatch => StatusCode::BAD_REQUEST,
        ErrorCode::NotFound => StatusCode::NOT_FOUND,
        ErrorCode::Forbidden => StatusCode::FORBIDDEN,
        ErrorCode::Conflict
        | ErrorCode::Superseded
        | ErrorCode::EmailTaken
        | ErrorCode::Incomplete
        | ErrorCode::FileChanged
        | ErrorCode::Cancelled => StatusCode::CONFLICT,
        ErrorCode::LimitReached => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorCode::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        ErrorCode::StorageFull => StatusCode::INSUFFICIENT_STORAGE,
        ErrorCode::WrongCredentials | ErrorCode::BadToken | ErrorCode::SessionEnded => StatusCode::UNAUTHORIZED,
        // A later version's code, and what should not get here.
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, refusal } = self;
        let details = ProblemDetails {
            kind: format!("urn:hypersend:problem:{}", refusal.code.slug()),
            title: status.canonical_reason().unwrap_or("Error"),
            status: status.as_u16(),
            code: refusal.code.slug(),
            retry_after_ms: refusal.retry_after_ms,
            limit: refusal.limit,
            detail: refusal.message,
        };
        let body = serde_json::to_vec(&details).expect("strings and numbers are JSON");
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        if let Some(wait_ms) = details.retry_after_ms {
            headers.insert(RETRY_AFTER, HeaderValue::from(wait_ms.div_ceil(1_000)));
        }
        if status == StatusCode::UNAUTHORIZED {
            // A token that does not work is not the same as none (RFC 6750, 3.1).
            let challenge = match refusal.code {
                ErrorCode::WrongCredentials => "Bearer",
                _ => "Bearer error=\"invalid_token\"",
            };
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
        }
        response
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        if let JsonRejection::BytesRejection(rejection) = rejection {
            return rejection.into();
        }
        let status = rejection.status();
        // A value that a field does not take is as invalid as one that is missing.
        let status = if status == StatusCode::UNPROCESSABLE_ENTITY { StatusCode::BAD_REQUEST } else { status };
        Self::with_status(status, Refusal::new(ErrorCode::Invalid, rejection.body_text()))
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Self {
        if Stalled::is_cause_of(&rejection) {
            return Self::stalled();
        }
        Self::with_status(rejection.status(), Refusal::new(ErrorCode::Invalid, rejection.body_text()))
    }
}

impl From<PathRejection> for Problem {
    fn from(_: PathRejection) -> Self {
        // What is no id names nothing.
        Refusal::new(ErrorCode::NotFound, "there is nothing at this path; check the ids in it").into()
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Self {
        Self::invalid(rejection.body_text())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn every_code_has_a_status_of_its_own_kind() {
        for &code in ErrorCode::ALL {
            let expected_server_fault = matches!(
                code,
                ErrorCode::Internal
                    | ErrorCode::Unavailable
                    | ErrorCode::Stopping
                    | ErrorCode::StorageFull
                    | ErrorCode::Closed
            );
            assert_eq!(status(code).is_server_error(), expected_server_fault, "{code}");
        }
    }

    #[test]
    fn waits_are_rounded_up_to_seconds() {
        let refusal = Refusal::new(ErrorCode::RateLimited, "too often").with_retry_after(Duration::from_millis(1_001));
        let response = Problem::from(refusal).into_response();
        assert_eq!(response.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(response.headers()[RETRY_AFTER], "2");
    }
}
