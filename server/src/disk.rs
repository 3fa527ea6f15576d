//! The threads on which file I/O blocks: a bounded number, apart from the async threads.

use rustix::process::nice;
use std::{cell::Cell, sync::Arc};
use tokio::{sync::Semaphore, task::spawn_blocking};

/// How many disk operations run at once. More than the cores, because some wait for the disk; few, because each holds a
/// range (1 MiB) in memory and the disk has one head or one queue anyway.
const AT_ONCE: usize = 8;

/// How far threads that hash and write stand back from those that carry messages (nice(2)): a sixth of their share of a
/// core that both want.
const STEP_BACK: i32 = 8;

thread_local! {
    static STANDS_BACK: Cell<bool> = const { Cell::new(false) };
}

/// Has the kernel prefer other threads to this one, from the first time on. To Linux that is a thread's own affair.
fn give_way() {
    if !STANDS_BACK.replace(true) {
        // A kernel that refuses costs latency and nothing else.
        let _ = nice(STEP_BACK);
    }
}

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
            give_way();
            let done = work();
            drop(turn);
            done
        });
        done.await.expect("disk work does not panic")
    }
}
