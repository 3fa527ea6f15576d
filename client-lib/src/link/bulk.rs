//! How many bytes of files may be under way on one connection.

use hypersend_net::transport::BULK_WINDOW;
use hypersend_transfer::plan::Span;
use tokio::sync::{Semaphore, SemaphorePermit};

/// One budget for each direction, shared by all transfers of a connection: each fills its side's send window, and what
/// one transfer may have under way by its schedule two would have twice. A transfer alone never waits here, because its
/// schedule has the same bound.
#[derive(Debug)]
pub(crate) struct Bulk {
    up: Semaphore,
    down: Semaphore,
}

impl Bulk {
    pub(super) fn new() -> Self {
        let budget = || Semaphore::new(usize::try_from(BULK_WINDOW).expect("24 MiB"));
        Self { up: budget(), down: budget() }
    }

    /// Waits for room for a range to the server, in the order of the calls; taken until dropped.
    pub(crate) async fn up(&self, span: Span) -> SemaphorePermit<'_> {
        take(&self.up, span).await
    }

    /// Likewise for a range from the server.
    pub(crate) async fn down(&self, span: Span) -> SemaphorePermit<'_> {
        take(&self.down, span).await
    }
}

async fn take(budget: &Semaphore, span: Span) -> SemaphorePermit<'_> {
    budget.acquire_many(span.length).await.expect("it is never closed")
}
