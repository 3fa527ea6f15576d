//! A response on its way from the handler to the stream.

use super::{
    adapter, fault,
    gate::Lane,
    head::{CONNECTION_SPECIFIC, content_length},
};
use axum::body::Body;
use bytes::Bytes;
use h3::{
    error::{Code, StreamError},
    server::RequestStream,
};
use http::{Method, Response, StatusCode, header::CONTENT_LENGTH};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use std::time::Duration;
use tokio::time::timeout;

/// Body bytes that go into one DATA frame. quinn's send window counts a handed-over piece until all of it is
/// acknowledged; and a client that takes less than this in the idle time is taken for one that does not read.
const PIECE: usize = 128 << 10;

/// The sending half of one request.
pub(super) struct Responder<'a> {
    pub(super) stream: &'a mut RequestStream<adapter::SendStream, Bytes>,
    pub(super) lane: &'a Lane,
    /// How long the client may refuse to take anything.
    pub(super) idle: Duration,
}

impl Responder<'_> {
    /// Sends all of it; an error is what the stream is to be reset with.
    pub(super) async fn respond(mut self, method: &Method, response: Response<Body>) -> Result<(), Code> {
        let (mut head, body) = response.into_parts();
        if head.status.is_informational() {
            tracing::error!(status = %head.status, "a handler switched protocols, which HTTP/3 has no way to do");
            return Err(Code::H3_INTERNAL_ERROR);
        }
        for name in CONNECTION_SPECIFIC {
            head.headers.remove(name);
        }
        if head.status == StatusCode::NO_CONTENT {
            head.headers.remove(CONTENT_LENGTH);
        }
        let bodiless =
            method == Method::HEAD || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let mut length = content_length(&head.headers).map_err(|_| Code::H3_INTERNAL_ERROR)?;
        if !bodiless && length.is_none() {
            length = body.size_hint().exact();
            head.headers.extend(length.map(|length| (CONTENT_LENGTH, length.into())));
        }
        let sending = self.stream.send_response(Response::from_parts(head, ()));
        within(self.idle, sending).await?;
        if bodiless {
            drop(body);
        } else {
            self.send_body(body, length).await?;
        }
        within(self.idle, self.stream.finish()).await
    }

    async fn send_body(&mut self, mut body: Body, length: Option<u64>) -> Result<(), Code> {
        let mut sent = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|error| {
                tracing::debug!(error = crate::report(&error), "response body failed");
                Code::H3_INTERNAL_ERROR
            })?;
            match frame.into_data() {
                Ok(data) => {
                    sent += data.len() as u64;
                    if length.is_some_and(|length| sent > length) {
                        break;
                    }
                    self.send_data(data).await?;
                }
                Err(frame) => {
                    let Ok(trailers) = frame.into_trailers() else { continue };
                    within(self.idle, self.stream.send_trailers(trailers)).await?;
                    break;
                }
            }
        }
        if length.is_some_and(|length| sent != length) {
            tracing::error!(?length, sent, "a response body is not as long as its head says");
            return Err(Code::H3_INTERNAL_ERROR);
        }
        Ok(())
    }

    async fn send_data(&mut self, mut data: Bytes) -> Result<(), Code> {
        while !data.is_empty() {
            let piece = data.split_to(data.len().min(PIECE));
            self.lane.lend(piece.clone());
            within(self.idle, self.stream.send_data(piece)).await?;
        }
        Ok(())
    }
}

async fn within<T>(idle: Duration, sending: impl Future<Output = Result<T, StreamError>>) -> Result<T, Code> {
    match timeout(idle, sending).await {
        Ok(Ok(sent)) => Ok(sent),
        // The client takes no head as large as ours.
        Ok(Err(StreamError::HeaderTooBig { .. })) => Err(Code::H3_INTERNAL_ERROR),
        Ok(Err(error)) => Err(fault(&error)),
        Err(_) => Err(Code::H3_REQUEST_CANCELLED),
    }
}
