//! The threads on which file I/O blocks: a bounded number, apart from the async threads.

use std::sync::Arc;
use tokio::{sync::Semaphore, task::spawn_blocking};

/// How many disk operations run at once. More than the cores, because some wait for the disk; few, because each holds a
/// range (1 MiB) in memory and the disk has one head or one queue anyway.
const AT_ONCE: usize = 8;

/// The disk; cloning shares it.
#[derive(Clone, Debug)]
pub struct Disk(Arc<Semaphore>);

impl Default for Disk {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(AT_ONCE)))
    }
}

impl Disk {
    /// Runs something that blocks, when its turn comes. Once begun it runs to its end, also when the caller goes away.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let turn = self.0.clone().acquire_owned().await.expect("the semaphore is never closed");
        let done = spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        done.await.expect("disk work does not panic")
    }
}
