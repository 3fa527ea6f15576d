//! The threads on which file I/O blocks: a bounded number of its own. Neither the async threads nor the runtime's blocking
//! threads, which read the database and hash passwords, ever wait for the disk here or give way to others.

use rustix::process::nice;
use std::{
    any::Any,
    io,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{Arc, Mutex, PoisonError},
    thread,
};
use tokio::sync::{mpsc, oneshot};

/// How many disk operations run at once. More than the cores, because some wait for the disk; few, because each holds a
/// range (1 MiB) in memory and the disk has one head or one queue anyway.
const AT_ONCE: usize = 8;

/// Operations that wait for a thread; whoever comes later waits to be let in. One for each thread, so that none is idle
/// between two.
const MAX_WAITING: usize = AT_ONCE;

/// How far threads that hash and write stand back from those that carry messages (nice(2)): a sixth of their share of a
/// core that both want.
const STEP_BACK: i32 = 8;

type Job = Box<dyn FnOnce() + Send>;

/// The disk; cloning shares it. The threads end when the last clone is dropped and what waits is done.
#[derive(Clone, Debug)]
pub struct Disk(mpsc::Sender<Job>);

impl Disk {
    /// Starts the threads.
    pub fn start() -> io::Result<Self> {
        let (queue, waiting) = mpsc::channel(MAX_WAITING);
        let waiting = Arc::new(Mutex::new(waiting));
        for n in 0..AT_ONCE {
            let waiting = waiting.clone();
            thread::Builder::new().name(format!("disk-{n}")).spawn(move || work_off(&waiting))?;
        }
        Ok(Self(queue))
    }

    /// Runs something that blocks, when its turn comes. Once queued it runs to its end, also when the caller goes away. A
    /// panic in it is the caller's.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let (answer, answered) = oneshot::channel::<Result<T, Box<dyn Any + Send>>>();
        let job = move || {
            // Whoever asked may have gone.
            let _ = answer.send(catch_unwind(AssertUnwindSafe(work)));
        };
        self.0.send(Box::new(job)).await.expect("the threads outlive the queue");
        match answered.await.expect("a job answers, also when it panics") {
            Ok(done) => done,
            Err(panic) => resume_unwind(panic),
        }
    }
}

fn work_off(waiting: &Mutex<mpsc::Receiver<Job>>) {
    // To Linux that is a thread's own affair. A kernel that refuses costs latency and nothing else.
    let _ = nice(STEP_BACK);
    // One thread at a time waits for the next job, with the lock in hand; the others wait for the lock.
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).blocking_recv();
    while let Some(job) = next() {
        job();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::future::join_all;
    use std::sync::{Barrier, Weak};

    fn niceness() -> i32 {
        nice(0).unwrap()
    }

    #[tokio::test]
    async fn as_many_as_said_run_at_once_on_threads_that_give_way() {
        let (disk, usual) = (Disk::start().unwrap(), niceness());
        // Returns only when all of them are there.
        let barrier = Arc::new(Barrier::new(AT_ONCE));
        let mut threads = join_all((0..AT_ONCE).map(|_| {
            let barrier = barrier.clone();
            disk.run(move || {
                barrier.wait();
                (thread::current().name().map(str::to_owned), niceness())
            })
        }))
        .await;
        let mut expected: Vec<_> = (0..AT_ONCE).map(|n| (Some(format!("disk-{n}")), usual + STEP_BACK)).collect();
        threads.sort();
        expected.sort();
        assert_eq!(threads, expected);
        assert_eq!(tokio::task::spawn_blocking(niceness).await.unwrap(), usual, "nobody else gives way");
    }

    #[tokio::test]
    async fn a_panic_costs_no_thread_and_leaves_nobody_waiting() {
        let disk = Disk::start().unwrap();
        for _ in 0..2 * AT_ONCE {
            let disk = disk.clone();
            let failed = tokio::spawn(async move { disk.run(|| panic!("a bug")).await });
            assert!(failed.await.unwrap_err().is_panic());
        }
        assert_eq!(disk.run(|| 7).await, 7);
    }

    #[tokio::test]
    async fn work_outlives_its_caller_and_the_threads_end_with_the_last_clone() {
        let disk = Disk::start().unwrap();
        let (open, gate) = std::sync::mpsc::channel::<()>();
        let (done, heard) = oneshot::channel();
        let asked = tokio::spawn({
            let disk = disk.clone();
            async move {
                disk.run(move || {
                    gate.recv().expect("opened below");
                    done.send(()).expect("heard below");
                })
                .await;
            }
        });
        // The job is queued, on this one async thread, as soon as the task has run.
        tokio::task::yield_now().await;
        asked.abort();
        open.send(()).unwrap();
        heard.await.unwrap();

        // What a thread holds is gone when the thread is.
        let (held, ended) = oneshot::channel::<()>();
        let held: Weak<_> = {
            let held = Arc::new(held);
            let weak = Arc::downgrade(&held);
            disk.run(move || HELD.set(Some(held))).await;
            weak
        };
        assert!(held.upgrade().is_some());
        drop(disk);
        ended.await.unwrap_err();
    }

    thread_local! {
        static HELD: std::cell::Cell<Option<Arc<oneshot::Sender<()>>>> = const { std::cell::Cell::new(None) };
    }
}
