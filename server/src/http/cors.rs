//! Pages of other origins: none, unless the operator lists them.

use crate::settings::CorsOrigins;
use http::{
    HeaderName, Method,
    header::{
        ACCEPT_RANGES, AUTHORIZATION, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, IF_MATCH,
        IF_NONE_MATCH, IF_RANGE, LOCATION, RANGE, RETRY_AFTER,
    },
};
use std::time::Duration;
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How long a browser may believe what it was told.
const BELIEVED_FOR: Duration = Duration::from_hours(2);

/// What the API's methods are.
const METHODS: [Method; 7] =
    [Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::PATCH, Method::DELETE, Method::OPTIONS];

const fn name(name: &'static str) -> HeaderName {
    HeaderName::from_static(name)
}

/// What requests say beside what every page may.
const SAID: [HeaderName; 19] = [
    AUTHORIZATION,
    CONTENT_TYPE,
    IF_MATCH,
    IF_NONE_MATCH,
    IF_RANGE,
    RANGE,
    name("content-digest"),
    name("idempotency-key"),
    name("last-event-id"),
    name("tus-resumable"),
    name("upload-checksum"),
    name("upload-complete"),
    name("upload-concat"),
    name("upload-draft-interop-version"),
    name("upload-length"),
    name("upload-metadata"),
    name("upload-offset"),
    name("x-http-method-override"),
    name("x-requested-with"),
];

/// What answers tell a page beside what every page may know.
const TOLD: [HeaderName; 22] = [
    ACCEPT_RANGES,
    CONTENT_DISPOSITION,
    CONTENT_LENGTH,
    CONTENT_RANGE,
    ETAG,
    LOCATION,
    RETRY_AFTER,
    name("file-id"),
    name("tus-checksum-algorithm"),
    name("tus-extension"),
    name("tus-max-size"),
    name("tus-resumable"),
    name("tus-version"),
    name("upload-complete"),
    name("upload-concat"),
    name("upload-draft-interop-version"),
    name("upload-expires"),
    name("upload-length"),
    name("upload-limit"),
    name("upload-metadata"),
    name("upload-offset"),
    name("x-request-id"),
];

/// What is said to browsers; nothing if it is all the same to them.
pub(super) fn layer(origins: &CorsOrigins) -> Option<CorsLayer> {
    let origins = match origins {
        CorsOrigins::Own => return None,
        CorsOrigins::Any => AllowOrigin::any(),
        CorsOrigins::These(origins) => AllowOrigin::list(origins.clone()),
    };
    // Tokens come in a header, which a page has to know; there are no cookies that could go along by themselves.
    let layer = CorsLayer::new().allow_origin(origins).allow_methods(METHODS).allow_headers(SAID);
    Some(layer.expose_headers(TOLD).max_age(BELIEVED_FOR))
}
