//! How long a request's body may stop coming.

use http_body::{Frame, SizeHint};
use std::{
    error::Error,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep};

/// How long a client may say nothing in the middle of a body.
pub(super) const BODY_IDLE: Duration = Duration::from_secs(30);

/// A body that fails with [`Stalled`] when nothing of it comes for a while, though somebody wants it.
pub(super) struct Patient<B> {
    body: B,
    idle: Duration,
    /// Runs while the reader waits.
    timer: Option<Pin<Box<Sleep>>>,
}

/// The body stopped coming.
#[derive(Debug, thiserror::Error)]
#[error("no byte of the body came for {0:?}")]
pub(super) struct Stalled(Duration);

impl Stalled {
    /// Whether that is why a body failed.
    pub(super) fn is_cause_of(error: &(dyn Error + 'static)) -> bool {
        error.is::<Self>() || error.source().is_some_and(Self::is_cause_of)
    }
}

impl<B> Patient<B> {
    pub(super) fn new(body: B, idle: Duration) -> Self {
        Self { body, idle, timer: None }
    }
}

impl<B> http_body::Body for Patient<B>
where
    B: http_body::Body<Error: Into<axum::BoxError>> + Unpin,
{
    type Data = B::Data;
    type Error = axum::BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<B::Data>, Self::Error>>> {
        let idle = self.idle;
        match Pin::new(&mut self.body).poll_frame(cx) {
            Poll::Ready(frame) => {
                if let Some(timer) = &mut self.timer {
                    timer.as_mut().reset(Instant::now() + idle);
                }
                Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
            }
            Poll::Pending => {
                let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(idle)));
                ready!(timer.as_mut().poll(cx));
                Poll::Ready(Some(Err(Stalled(idle).into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::{Body, to_bytes};
    use futures::{StreamExt, stream};

    const IDLE: Duration = Duration::from_millis(100);

    fn body(pieces: usize, each_after: Duration) -> Body {
        let pieces = stream::iter(0..pieces).then(move |_| async move {
            sleep(each_after).await;
            Ok::<_, axum::Error>("piece")
        });
        Body::new(Patient::new(Body::from_stream(pieces), IDLE))
    }

    #[tokio::test]
    async fn a_body_may_take_long_and_not_stop_for_long() {
        let slow = to_bytes(body(8, IDLE / 4), usize::MAX).await.unwrap();
        assert_eq!(slow.len(), 8 * "piece".len(), "twice as long in all as it may stop");
        let stalled = to_bytes(body(1, 20 * IDLE), usize::MAX).await.unwrap_err();
        assert!(Stalled::is_cause_of(&stalled), "{stalled:?}");
    }
}
