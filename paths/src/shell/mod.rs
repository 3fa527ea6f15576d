//! The shell around the core: sockets, connections, tasks, the clock.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `driver` | the one task of a session: tells the core what happens, does what the core wants |
//! | `connections` | connections being made and being there, each watched until its end |
//! | `post` | a socket with its quinn endpoint |
//! | `tap` | takes out of what a socket receives what is not for quinn |
//! | `guesses` | the sockets of a round of guessing |
//! | `interfaces` | watches the addresses of this machine |
//! | `mapped` | the main socket's outside port, from the router |

mod connections;
mod driver;
mod guesses;
mod interfaces;
mod mapped;
mod post;
mod tap;
#[cfg(test)]
mod tests;

use crate::{
    config::{Config, OpenError, RelayPlace, Signals},
    event::Event,
    report::Report,
};
use driver::{Command, Driver};
use hypersend_protocol::{fingerprint::Fingerprint, id::RelayId};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Events that wait for the owner. While as many wait, no new connection is made or taken.
const MAX_EVENTS: usize = 64;

/// A session: looks for ways to the other side until it is closed.
///
/// Dropping it ends it as [`close`](Self::close) does, but waits for nothing.
#[derive(Debug)]
pub struct Paths {
    events: mpsc::Receiver<Event>,
    report: watch::Receiver<Report>,
    commands: mpsc::Sender<Command>,
    own: Fingerprint,
    peer: watch::Receiver<Option<Fingerprint>>,
    driver: Option<JoinHandle<()>>,
    stop: DropGuard,
}

impl Paths {
    /// Opens the session's socket and begins to look for ways. Must be called in a runtime.
    pub fn open(config: Config, signals: Signals) -> Result<Self, OpenError> {
        let (event, events) = mpsc::channel(MAX_EVENTS);
        let (commands, command) = mpsc::channel(1);
        let stop = CancellationToken::new();
        let own = config.identity.fingerprint();
        let (driver, report, peer) = Driver::new(config, signals, event, command, stop.clone())?;
        let driver = Some(tokio::spawn(driver.run()));
        Ok(Self { events, report, commands, own, peer, driver, stop: stop.drop_guard() })
    }

    /// What happens next; `None` after the end. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// How things stand, and when that changes.
    pub fn report(&self) -> watch::Receiver<Report> {
        self.report.clone()
    }

    /// More relays, or new tickets for those that are known.
    pub async fn add_relays(&self, relays: Vec<RelayPlace>) {
        // After the end there is nobody to take them.
        let _ = self.commands.send(Command::AddRelays(relays)).await;
    }

    /// The tunnel to a relay leads from another place than before: the relay does not know this side any more.
    pub async fn tunnel_moved(&self, relay: RelayId) {
        // Likewise.
        let _ = self.commands.send(Command::TunnelMoved(relay)).await;
    }

    /// This side's certificate and the other's, for [`check_words`](crate::check_words); none before the other side has been
    /// heard of. The other's changes when it begins anew.
    pub fn fingerprints(&self) -> Option<(Fingerprint, Fingerprint)> {
        (*self.peer.borrow()).map(|peer| (self.own, peer))
    }

    /// Says goodbye to the other side and the relays, closes all connections, gives the router its port back, and
    /// waits until that is done: 2 s at most.
    pub async fn close(mut self) {
        drop(self.stop);
        if let Some(driver) = self.driver.take() {
            // A driver that panicked has nothing left to close.
            let _ = driver.await;
        }
    }
}
