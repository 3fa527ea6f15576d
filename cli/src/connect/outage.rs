//! What becomes of a connection is said, and a server that stays away is given up.

use crate::{
    failure::{Exit, Failure},
    talk::{Seen, Talk},
    view::words,
};
use hypersend_client::{ServerAddress, Status, Transports};
use std::{convert::Infallible, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;

/// Called at every change of a connection's status.
pub(super) type Tell = Box<dyn FnMut(Status) + Send>;

/// Says what becomes of one connection for as long as this is kept.
pub(crate) struct Outages {
    server: ServerAddress,
    /// How long the server may stay away from a request.
    wait: Duration,
    now: watch::Receiver<Option<Outage>>,
    _watch: AbortOnDropHandle<()>,
}

/// The server does not answer.
#[derive(Clone, Debug)]
struct Outage {
    since: Instant,
    reason: Option<String>,
}

impl Outages {
    /// Begins to watch a connection that is just being made, and tells of what is to be told.
    pub(super) fn watch<W>(
        server: &ServerAddress,
        transports: Transports,
        talk: Talk,
        wait: Duration,
        is_told: fn(&Status) -> bool,
        watching: impl FnOnce(Tell) -> W,
    ) -> Self
    where
        W: Future<Output = Infallible> + Send + 'static,
    {
        let (told, now) = watch::channel(Some(Outage { since: Instant::now(), reason: None }));
        let (named, mut told_of) = (server.clone(), Seen::before(transports));
        let never = watching(Box::new(move |status| {
            if is_told(&status) {
                talk.connection(&named, &status, &mut told_of);
            }
            told.send_modify(|outage| note(outage, status));
        }));
        let watch = tokio::spawn(async move { match never.await {} });
        Self { server: server.clone(), wait, now, _watch: AbortOnDropHandle::new(watch) }
    }

    /// Awaits something that needs the server for a moment. Given up when the server stays away for too long.
    pub(crate) async fn within<T>(&self, request: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            answer = request => Ok(answer),
            reason = self.given_up() => Err(self.no_answer(reason)),
        }
    }

    async fn given_up(&self) -> Option<String> {
        let mut outage = self.now.clone();
        loop {
            let now = outage.borrow_and_update().clone();
            let patience = async {
                match &now {
                    Some(outage) => sleep_until(outage.since + self.wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = patience => return now.and_then(|outage| outage.reason),
                Ok(()) = outage.changed() => {}
            }
        }
    }

    fn no_answer(&self, reason: Option<String>) -> Failure {
        let reason = reason.map(|reason| format!(" ({reason})")).unwrap_or_default();
        let wait = words::duration(self.wait);
        let message = format!("server {} has not answered for {wait}{reason}", self.server);
        Failure::new(Exit::NoAnswer, "no-answer", message)
            .or_try("check the address, the network, and that the server runs; --wait SECONDS waits longer")
    }
}

fn note(outage: &mut Option<Outage>, status: Status) {
    match status {
        Status::Connected { .. } => *outage = None,
        Status::Connecting { reason, .. } => {
            let since = outage.as_ref().map_or_else(Instant::now, |outage| outage.since);
            *outage = Some(Outage { since, reason });
        }
        // Whoever asks is told why.
        Status::Ended(_) => {}
    }
}
