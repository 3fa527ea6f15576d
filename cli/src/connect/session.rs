//! A client that says what becomes of its connection, and gives up on a server that stays away.

use crate::{
    failure::{Exit, Failure},
    talk::{Seen, Talk},
    view::words,
};
use hypersend_client::{
    Client, ClientError, Status, Transports,
    protocol::{account::Profile, session::Welcome},
};
use std::time::Duration;
use tokio::{
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;

/// A connected client.
pub(crate) struct Session {
    pub(crate) client: Client,
    me: Option<Profile>,
    /// How long the server may stay away from a request.
    wait: Duration,
    outage: watch::Receiver<Option<Outage>>,
    _watch: AbortOnDropHandle<()>,
}

/// The server does not answer.
#[derive(Clone, Debug)]
struct Outage {
    since: Instant,
    reason: Option<String>,
}

impl Session {
    /// Takes over a client that has been started.
    pub(crate) fn watch(client: Client, transports: Transports, talk: Talk, wait: Duration) -> Self {
        let (told, outage) = watch::channel(Some(Outage { since: Instant::now(), reason: None }));
        let watched = client.clone();
        let watch = tokio::spawn(async move {
            let mut told_of = Seen::before(transports);
            let never = watched.watch_status(|status| {
                talk.connection(watched.server(), &status, &mut told_of);
                told.send_modify(|outage| note(outage, status));
            });
            match never.await {}
        });
        Self { client, me: None, wait, outage, _watch: AbortOnDropHandle::new(watch) }
    }

    /// The server has said whom it takes us for.
    pub(crate) fn greeted(&mut self, welcome: &Welcome) {
        self.me = Some(welcome.me.clone());
    }

    /// Whom the session speaks for.
    pub(crate) fn me(&self) -> &Profile {
        self.me.as_ref().expect("only greeted sessions are given out")
    }

    /// Awaits the answer to a request. Given up when the server stays away for too long.
    pub(crate) async fn ask<T>(&self, request: impl Future<Output = Result<T, ClientError>>) -> Result<T, Failure> {
        Ok(self.within(request).await??)
    }

    /// The same for anything that needs the server for a moment.
    pub(crate) async fn within<T>(&self, request: impl Future<Output = T>) -> Result<T, Failure> {
        tokio::select! {
            biased;
            answer = request => Ok(answer),
            reason = self.given_up() => Err(self.no_answer(reason)),
        }
    }

    async fn given_up(&self) -> Option<String> {
        let mut outage = self.outage.clone();
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
        let message = format!("server {} has not answered for {wait}{reason}", self.client.server());
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
