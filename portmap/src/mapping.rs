//! A mapping: wanted, perhaps there, renewed, and given back when it is wanted no more.

use crate::held::Held;
use std::{net::SocketAddr, num::NonZeroU16, time::Duration};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// How long until a router that gave nothing is asked again: somebody may have been started anew, or the host is elsewhere.
const RETRY: Duration = Duration::from_mins(1);

/// How often a mapping is renewed at most, however short its time is (RFC 6887, 11.2.1).
const RENEW_EVERY: Duration = Duration::from_secs(4);

/// How long giving back may take.
pub(crate) const GIVE_BACK: Duration = Duration::from_secs(3);

/// An outside UDP port that is wanted for a port of this host. Given back when this is dropped, as long as the runtime runs;
/// [`close`](Self::close) waits for it.
#[derive(Debug)]
pub struct Mapping {
    outside: watch::Receiver<Option<SocketAddr>>,
    /// Ends the task, which then gives back what it holds.
    stop: DropGuard,
    task: JoinHandle<()>,
}

impl Mapping {
    /// Begins to ask the router for a mapping of this port of the host, over IPv4: at once, and again every minute while there
    /// is none. Must be called in a runtime.
    pub fn request(local_port: NonZeroU16) -> Self {
        let (sender, outside) = watch::channel(None);
        let stop = CancellationToken::new();
        let task = tokio::spawn(keep(local_port, sender, stop.clone()));
        Self { outside, stop: stop.drop_guard(), task }
    }

    /// The address by which others reach the port, for as long as there is one; it may change.
    pub fn outside(&self) -> watch::Receiver<Option<SocketAddr>> {
        self.outside.clone()
    }

    /// Gives it back, and waits until the router has it, for some seconds at most.
    pub async fn close(self) {
        drop(self.stop);
        // A task that panicked holds nothing any more.
        let _ = self.task.await;
    }
}

async fn keep(port: NonZeroU16, outside: watch::Sender<Option<SocketAddr>>, stop: CancellationToken) {
    loop {
        // What is granted after it was given up is over by itself in some minutes.
        let Some(obtained) = stop.run_until_cancelled(Held::obtain(port)).await else { return };
        match obtained {
            Ok(mut held) => {
                tracing::info!(port, outside = %held.outside(), protocol = held.protocol(), "port mapped");
                let end = stop.run_until_cancelled(hold(&mut held, &outside)).await;
                outside.send_replace(None);
                if end.is_none() {
                    if timeout(GIVE_BACK, held.give_back()).await.is_err() {
                        tracing::debug!("the router did not take a port mapping back");
                    }
                    return;
                }
                // It was there and is not any more: perhaps the router was started anew, so it is asked at once.
                continue;
            }
            Err(error) => tracing::debug!(port, error = &error as &dyn std::error::Error, "no port mapping"),
        }
        if stop.run_until_cancelled(sleep(RETRY)).await.is_none() {
            return;
        }
    }
}

/// Renews a mapping until that fails for as long as it lasts.
async fn hold(held: &mut Held, outside: &watch::Sender<Option<SocketAddr>>) {
    let mut expires = Instant::now() + held.lifetime();
    loop {
        outside.send_if_modified(|seen| seen.replace(held.outside()) != Some(held.outside()));
        let left = expires.saturating_duration_since(Instant::now());
        sleep((left / 2).max(RENEW_EVERY)).await;
        match held.renew().await {
            Ok(()) => expires = Instant::now() + held.lifetime(),
            Err(error) if Instant::now() + RENEW_EVERY >= expires => {
                tracing::debug!(error = &error as &dyn std::error::Error, "port mapping lost");
                return;
            }
            Err(_) => {}
        }
    }
}
