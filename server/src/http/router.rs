//! All routes, and what wraps them.

use super::{
    problem::Problem,
    routes::{auth, capabilities, chats, events, files, forms, health, messages, resumable, tus, uploads, users},
    state::HttpState,
};
use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    middleware::{self, Next},
    response::Response,
};
use http::{HeaderName, HeaderValue, StatusCode};
use hypersend_protocol::refusal::{ErrorCode, Refusal};
use tower_http::compression::{
    CompressionLayer, Predicate,
    predicate::{NotForContentType, SizeAbove},
};
use tracing::Instrument;
use utoipa::{
    Modify, OpenApi,
    openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
};
use utoipa_axum::router::OpenApiRouter;
use utoipa_swagger_ui::SwaggerUi;
use uuid::Uuid;

/// The longest JSON body, in bytes: a thousand addresses of the longest kind in a group's first list.
const MAX_JSON_BYTES: usize = 512 << 10;

/// The shortest body worth compressing, in bytes.
const COMPRESS_ABOVE: u64 = 1 << 10;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

#[derive(OpenApi)]
#[openapi(
    info(title = "HyperSend", description = "Chat and very large file transfer. Errors are Problem Details (RFC 9457)."),
    modifiers(&Security),
    security(("bearer" = []))
)]
struct Api;

struct Security;

impl Modify for Security {
    fn modify(&self, api: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
        api.components.get_or_insert_default().add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}

/// What is a draft elsewhere is served if the operator says so.
fn api(with_drafts: bool) -> (Router<HttpState>, utoipa::openapi::OpenApi) {
    let v1 = OpenApiRouter::new()
        .merge(auth::router())
        .merge(users::router())
        .merge(chats::router())
        .merge(messages::router())
        .merge(files::router())
        .merge(forms::router())
        .merge(uploads::router())
        .merge(tus::router())
        .merge(events::router())
        .merge(capabilities::router());
    let v1 = if with_drafts { v1.merge(resumable::router()) } else { v1 };
    OpenApiRouter::with_openapi(Api::openapi()).nest("/api/v1", v1).split_for_parts()
}

/// The document that describes the API.
pub fn openapi() -> utoipa::openapi::OpenApi {
    api(true).1
}

/// Everything that the HTTP door serves, for HTTP/3, TCP and tests.
pub fn router(state: HttpState) -> Router {
    let (api, document) = api(state.limits().resumable_uploads_draft);
    let api = api.layer(DefaultBodyLimit::max(MAX_JSON_BYTES));
    // What is stored is as good as random.
    let compressible = SizeAbove::new(COMPRESS_ABOVE)
        .and(NotForContentType::const_new("application/octet-stream"))
        .and(NotForContentType::SSE);
    Router::new()
        .merge(api)
        .merge(health::router())
        .merge(SwaggerUi::new("/docs").url("/openapi.json", document))
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_that_method)
        .layer(CompressionLayer::new().compress_when(compressible))
        .layer(middleware::from_fn(identify))
        .with_state(state)
}

async fn nothing_here() -> Problem {
    Refusal::new(ErrorCode::NotFound, "there is nothing at this path; /docs lists what there is").into()
}

async fn not_that_method() -> Problem {
    let refusal = Refusal::new(ErrorCode::Invalid, "this path does not take that method; /docs lists what it takes");
    Problem::with_status(StatusCode::METHOD_NOT_ALLOWED, refusal)
}

/// Gives every request an id, in the log and in the answer.
async fn identify(request: Request, next: Next) -> Response {
    let id = Uuid::now_v7().to_string();
    let span = tracing::info_span!("request", id, method = %request.method(), path = request.uri().path());
    let mut response = async {
        let response = next.run(request).await;
        tracing::debug!(status = response.status().as_u16(), "answered");
        response
    }
    .instrument(span)
    .await;
    response.headers_mut().insert(REQUEST_ID, HeaderValue::from_str(&id).expect("a UUID is ASCII"));
    response
}
