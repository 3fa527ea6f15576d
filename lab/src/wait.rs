//! Waiting for a state. A test sleeps only here, between two looks, and fails when the state does not come.

use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How long anything may take on a busy machine before it counts as never: well above the longest timeout of the product
/// that a test waits for (10 s for a hello).
pub const PATIENCE: Duration = Duration::from_secs(30);

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks until there is something to be seen, and gives it back.
///
/// # Panics
/// When there is nothing after [`PATIENCE`].
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let end = Instant::now() + PATIENCE;
    loop {
        if let Some(seen) = look().await {
            return seen;
        }
        assert!(Instant::now() < end, "not seen in {PATIENCE:?}: {what}");
        sleep(LOOK_EVERY).await;
    }
}

/// The output of something that must end.
///
/// # Panics
/// When it does not within [`PATIENCE`].
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
}
