//! A client with a login, once the server has greeted it.

use super::outage::Outages;
use crate::{failure::Failure, talk::Talk};
use hypersend_client::{
    Client, ClientError, Transports,
    protocol::{account::Profile, session::Welcome},
};
use std::time::Duration;

/// A connected client.
pub(crate) struct Session {
    pub(crate) client: Client,
    me: Option<Profile>,
    outages: Outages,
}

impl Session {
    /// Takes over a client that has been started.
    pub(crate) fn watch(client: Client, transports: Transports, talk: Talk, wait: Duration) -> Self {
        let watched = client.clone();
        let watching = |tell| async move { watched.watch_status(tell).await };
        let outages = Outages::watch(client.server(), transports, talk, wait, |_| true, watching);
        Self { client, me: None, outages }
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
        self.outages.within(request).await
    }
}
