//! HTTP/1.1 has no way to say "stop sending": a connection that is closed over a body that nobody wants is reset, and takes
//! the answer with it that says why. So what is left of a body is read away for a while, as other servers do (lingering
//! close). A client that waits for `100 Continue` never gets that far.

use axum::body::{Body, BodyDataStream};
use bytes::Bytes;
use futures::StreamExt;
use http_body::{Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};
use tokio::{runtime::Handle, time::timeout};

/// How much is read away, in bytes, and for how long. After that the connection is closed over the rest.
const LINGER_BYTES: usize = 256 << 20;
const LINGER_FOR: Duration = Duration::from_secs(10);

/// A body whose rest is read away when it is dropped.
struct Lingering(Option<Body>);

/// A request's body, read to its end even if its handler does not.
pub(super) fn lingering(body: Body) -> Body {
    Body::new(Lingering(Some(body)))
}

impl Drop for Lingering {
    fn drop(&mut self) {
        let Some(body) = self.0.take().filter(|body| !http_body::Body::is_end_stream(body)) else { return };
        // Ends with the connection; without a runtime there is none.
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(timeout(LINGER_FOR, read_away(body.into_data_stream())));
        }
    }
}

async fn read_away(mut body: BodyDataStream) {
    let mut left = LINGER_BYTES;
    while let Some(Ok(piece)) = body.next().await {
        match left.checked_sub(piece.len()) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

impl http_body::Body for Lingering {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let Some(body) = &mut self.0 else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(cx);
        // What has ended, well or not, leaves nothing to be read away.
        if matches!(frame, Poll::Ready(None | Some(Err(_)))) {
            self.0 = None;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.0.as_ref().is_none_or(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.0.as_ref().map_or_else(|| SizeHint::with_exact(0), http_body::Body::size_hint)
    }
}
