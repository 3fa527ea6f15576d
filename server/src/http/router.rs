//! All routes, and what wraps them.

use super::{
    cors,
    problem::{self, Problem},
    routes::{
        auth, capabilities, chats, events, files, forms, health, messages, metrics, p2p, relays, resumable, signals,
        tus, updates, uploads, users,
    },
    state::HttpState,
};
use crate::settings::CorsOrigins;
use axum::{
    Router,
    extract::{DefaultBodyLimit, MatchedPath, Request, State},
    middleware::{self, Next},
    response::Response,
};
use http::{HeaderName, HeaderValue, StatusCode};
use hypersend_protocol::refusal::{ErrorCode, Refusal};
use std::time::Instant;
use tower::util::option_layer;
use tower_http::compression::{
    CompressionLayer, Predicate,
    predicate::{NotForContentType, SizeAbove},
};
use tracing::Instrument;
use utoipa::{
    Modify, OpenApi,
    openapi::{
        PathItem, RefOr,
        path::Operation,
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
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
        .merge(p2p::router())
        .merge(signals::router())
        .merge(relays::router())
        .merge(updates::router())
        .merge(capabilities::router());
    let v1 = if with_drafts { v1.merge(resumable::router()) } else { v1 };
    let (router, mut document) = OpenApiRouter::with_openapi(Api::openapi()).nest("/api/v1", v1).split_for_parts();
    for operation in operations(&mut document) {
        name(operation);
        call_refusals_problems(operation);
    }
    (router, document)
}

fn operations(document: &mut utoipa::openapi::OpenApi) -> impl Iterator<Item = &mut Operation> {
    document.paths.paths.values_mut().flat_map(|item| {
        let PathItem { get, put, post, delete, patch, head, options, .. } = item;
        [get, put, post, delete, patch, head, options].into_iter().flatten()
    })
}

/// Names an operation by its resource and its handler, such as `chats_list`: several resources have a `list`, and generated
/// clients need one name for each.
fn name(operation: &mut Operation) {
    if let (Some(tags), Some(handler)) = (&operation.tags, &operation.operation_id) {
        operation.operation_id = Some(format!("{}_{handler}", tags.join("_")));
    }
}

/// Says the media type of Problem Details once for all operations.
fn call_refusals_problems(operation: &mut Operation) {
    if let Some(RefOr::T(refusal)) = operation.responses.responses.get_mut("default") {
        let details = refusal.content.shift_remove("application/json");
        refusal.content.extend(details.map(|details| (problem::MEDIA_TYPE.to_owned(), details)));
    }
}

/// The document that describes the API.
pub fn openapi() -> utoipa::openapi::OpenApi {
    api(true).1
}

/// Everything that the HTTP door serves, for HTTP/3, TCP and tests. Pages of these origins may call it.
pub fn router(state: HttpState, cors: &CorsOrigins) -> Router {
    let (api, document) = api(state.limits().resumable_uploads_draft);
    let api = api.layer(DefaultBodyLimit::max(MAX_JSON_BYTES));
    // What is stored is as good as random.
    let compressible = SizeAbove::new(COMPRESS_ABOVE)
        .and(NotForContentType::const_new("application/octet-stream"))
        .and(NotForContentType::SSE);
    Router::new()
        .merge(api)
        .merge(health::router())
        .merge(metrics::router())
        .merge(SwaggerUi::new("/docs").url("/openapi.json", document))
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_that_method)
        .layer(CompressionLayer::new().compress_when(compressible))
        .layer(option_layer(cors::layer(cors)))
        .layer(middleware::from_fn_with_state(state.clone(), identify))
        .with_state(state)
}

async fn nothing_here() -> Problem {
    Refusal::new(ErrorCode::NotFound, "there is nothing at this path; /docs lists what there is").into()
}

async fn not_that_method() -> Problem {
    let refusal = Refusal::new(ErrorCode::Invalid, "this path does not take that method; /docs lists what it takes");
    Problem::with_status(StatusCode::METHOD_NOT_ALLOWED, refusal)
}

/// Gives every request an id, in the log and in the answer, and counts it.
async fn identify(State(state): State<HttpState>, request: Request, next: Next) -> Response {
    let (start, method) = (Instant::now(), request.method().clone());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let id = Uuid::now_v7().to_string();
    let span = tracing::info_span!("request", id, method = %request.method(), path = request.uri().path());
    let mut response = async {
        let response = next.run(request).await;
        tracing::debug!(status = response.status().as_u16(), "answered");
        response
    }
    .instrument(span)
    .await;
    let route = route.as_ref().map(MatchedPath::as_str);
    state.services().metrics.answered(&method, route, response.status(), start.elapsed());
    response.headers_mut().insert(REQUEST_ID, HeaderValue::from_str(&id).expect("a UUID is ASCII"));
    response
}
