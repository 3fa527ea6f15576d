//! One side of a session: what it says to the other by way of the server, and the ways that come of it.

mod relays;
#[cfg(test)]
mod tests;

use super::{
    error::DirectError,
    line::Line,
    transfer::{Keys, Told, Whereabouts},
};
use hypersend_paths::{Config, Event, Identity, PathId, Paths, Report, Role, SideReport, Signals, Way, check_words};
use hypersend_protocol::{id::P2pId, paths::Mapping};
use relays::Relays;
use std::{collections::BTreeMap, time::Duration};
use tokio::{
    sync::{mpsc, watch},
    task::JoinHandle,
    time::{Instant, sleep_until, timeout},
};

/// How long to wait at the end for the other side to close its ways.
const LINGER: Duration = Duration::from_secs(2);

/// How long a way is looked for at most where one side gets no datagram through to any relay, nor an answer. Ways within one
/// network are found by then, and there are no others.
const SEEK_BLOCKED: Duration = Duration::from_secs(8);

/// Values of either side that wait to be passed on.
const WAITING: usize = 4;

/// One side of a session. Dropping it closes all ways.
pub(super) struct Meeting<'a, L> {
    line: &'a mut L,
    relays: Relays,
    paths: Paths,
    report: watch::Receiver<Report>,
    say: mpsc::Receiver<Vec<u8>>,
    heard: mpsc::Sender<Vec<u8>>,
    /// The newest that was heard, until there is room for it.
    to_pass_on: Option<Vec<u8>>,
    ways: BTreeMap<PathId, Way>,
    /// Why nothing comes by the line any more, though there are ways.
    broken: Option<DirectError>,
    /// Whether the other side is there.
    has_peer: bool,
    /// The words for the other side's certificate, while they are being made.
    naming: Option<JoinHandle<[&'static str; 6]>>,
    /// Whether there ever was a way to it as it is now.
    was_up: bool,
    /// Since when it has been as it is without a way.
    since: Instant,
    terms: Terms,
}

/// What a side puts up with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Terms {
    /// Whether to use relays alone.
    pub(super) relay_only: bool,
    /// How long to look for a way while the other side is there. None: for ever.
    pub(super) seek: Option<Duration>,
    /// How long to wait for another side that is gone, or was never there. None: for ever.
    pub(super) wait: Option<Duration>,
    /// Whether the server's storage is no way for what is to be sent.
    pub(super) is_never_stored: bool,
}

/// What has happened.
pub(super) enum Happening {
    /// A way is open.
    Up(PathId, Way, quinn::Connection),
    /// A way is gone.
    Down(PathId),
    /// The other side has come, or gone.
    Peer,
    /// The session is over, as the server says.
    Over,
    /// The other side is there, and no way to it is found; or it has been gone for longer than there is patience.
    NoWay,
}

impl Happening {
    /// Whether nothing follows.
    fn is_end(&self) -> bool {
        matches!(self, Self::Over)
    }
}

impl<'a, L: Line> Meeting<'a, L> {
    /// Opens this side of a session.
    pub(super) fn open(
        role: Role,
        session: P2pId,
        line: &'a mut L,
        host: &str,
        terms: Terms,
    ) -> Result<Self, DirectError> {
        let (set, say) = mpsc::channel(WAITING);
        let (heard, hear) = mpsc::channel(WAITING);
        let config = Config { direct: !terms.relay_only, ..Config::new(role, session, Identity::new()?) };
        let paths = Paths::open(config, Signals { set, heard: hear })?;
        Ok(Self {
            line,
            relays: Relays::new(host, terms.is_never_stored),
            report: paths.report(),
            paths,
            say,
            heard,
            to_pass_on: None,
            ways: BTreeMap::new(),
            broken: None,
            has_peer: false,
            naming: None,
            was_up: false,
            since: Instant::now(),
            terms,
        })
    }

    /// All ways there are.
    pub(super) fn ways(&self) -> impl Iterator<Item = PathId> {
        self.ways.keys().copied()
    }

    /// The way that is used; before one is, the best there is.
    fn way(&self, is_used: impl Fn(PathId) -> bool) -> Option<&Way> {
        let used = self.ways.iter().find(|(path, _)| is_used(**path)).map(|(_, way)| way);
        let direct = || self.ways.values().find(|way| way.is_direct());
        used.or_else(direct).or_else(|| self.ways.values().next())
    }

    /// Where the transfer is, for people.
    pub(super) fn whereabouts(&self, is_used: impl Fn(PathId) -> bool) -> Whereabouts {
        match self.way(is_used) {
            Some(way) => Whereabouts::Carried(way.clone()),
            None if self.has_peer => Whereabouts::Seeking,
            None => Whereabouts::Waiting,
        }
    }

    /// When to give up looking for a way.
    fn end_of_patience(&self) -> Option<Instant> {
        let patience = match self.terms.seek {
            Some(seek) if self.is_seeking() && self.is_blocked() => Some(seek.min(SEEK_BLOCKED)),
            seek if self.is_seeking() => seek,
            // A side that was reached once will be again, unless it is gone.
            _ => self.terms.wait,
        };
        patience.filter(|_| self.ways.is_empty()).map(|patience| self.since + patience)
    }

    fn is_seeking(&self) -> bool {
        self.has_peer && !self.was_up
    }

    /// What it means that there is no way, where there is nothing else to try.
    pub(super) fn without_way(&self) -> DirectError {
        if self.is_seeking() { DirectError::NoWay } else { DirectError::OtherAway }
    }

    /// Whether datagrams do not get from either side to a relay and back, nor by a tunnel.
    fn is_blocked(&self) -> bool {
        let report = self.report.borrow();
        let is_cut_off = |side: &SideReport| side.mapping == Mapping::Blocked && side.relays.is_empty();
        [Some(&report.own), report.peer.as_ref()].into_iter().flatten().any(is_cut_off)
    }

    /// What happens next; tells of keys and reports by itself. Cancel safe.
    pub(super) async fn next(&mut self, told: &Told) -> Result<Happening, DirectError> {
        let room = self.heard.clone();
        loop {
            if let Some(error) = self.broken.take_if(|_| self.ways.is_empty()) {
                return Err(error);
            }
            let has_way = !self.ways.is_empty();
            self.relays.settle(self.line, &self.report.borrow(), self.has_peer, has_way);
            self.relays.tell(&self.paths).await;
            let give_up = self.end_of_patience();
            tokio::select! {
                Some(value) = self.say.recv() => {
                    self.line.set(value);
                }
                heard = self.line.next(), if self.broken.is_none() => match heard {
                    Ok(Some(value)) => self.to_pass_on = Some(value),
                    Ok(None) => return Ok(Happening::Over),
                    // The two need it only to find each other.
                    Err(error) if L::is_outlived(&error) => self.broken = Some(error),
                    Err(error) => return Err(error),
                },
                Ok(permit) = room.reserve(), if self.to_pass_on.is_some() => {
                    permit.send(self.to_pass_on.take().expect("the branch is for when it is there"));
                }
                Some(event) = self.paths.next() => {
                    if let Some(happening) = self.note(event, told) {
                        return Ok(happening);
                    }
                }
                Ok(()) = self.report.changed() => {
                    told.report.send_replace(Some(self.report.borrow_and_update().clone()));
                }
                () = self.relays.changed(has_way) => {}
                words = done(&mut self.naming) => {
                    self.naming = None;
                    // Lost only in a runtime that ends.
                    told.keys.send_replace(words.ok().map(Keys));
                }
                () = until(give_up) => {
                    self.since = Instant::now();
                    return Ok(Happening::NoWay);
                }
            }
        }
    }

    fn note(&mut self, event: Event, told: &Told) -> Option<Happening> {
        match event {
            Event::Up { path, way, connection } => {
                self.ways.insert(path, way.clone());
                self.was_up = true;
                Some(Happening::Up(path, way, connection))
            }
            Event::Down { path, .. } => {
                self.ways.remove(&path);
                self.since = Instant::now();
                Some(Happening::Down(path))
            }
            Event::PeerChanged => {
                (self.has_peer, self.was_up, self.since) = (true, false, Instant::now());
                // The old words are not for the new certificate.
                told.keys.send_replace(None);
                let to_compare = self.paths.fingerprints().filter(|_| !L::IS_SEALED);
                self.naming = to_compare.map(|(own, peer)| {
                    // Not between two packets: it takes some 20 ms.
                    tokio::task::spawn_blocking(move || check_words(own, peer))
                });
                Some(Happening::Peer)
            }
            Event::PeerLeft => {
                (self.has_peer, self.since) = (false, Instant::now());
                Some(Happening::Peer)
            }
            // The channel to the server outlives connections, and says itself when it is over.
            Event::SignalsLost => None,
        }
    }

    /// Keeps the ways open for as long as the other side does; not for long. Its last question may not be answered yet.
    pub(super) async fn linger(&mut self, told: &Told) {
        let leaving = async {
            while self.has_peer
                && !self.ways.is_empty()
                && self.next(told).await.is_ok_and(|happening| !happening.is_end())
            {}
        };
        // It has all it wanted either way.
        let _ = timeout(LINGER, leaving).await;
    }

    /// Says goodbye, and waits until the server has that.
    pub(super) async fn close(self, told: &Told) {
        let Self { line, paths, mut say, naming, .. } = self;
        let passing_on = async {
            while let Some(value) = say.recv().await {
                line.set(value);
            }
        };
        let naming = async {
            // A transfer may be over before it is known with whom it was.
            if let Some(Ok(words)) = async { Some(naming?.await) }.await {
                told.keys.send_replace(Some(Keys(words)));
            }
        };
        tokio::join!(paths.close(), passing_on, naming);
        line.settle().await;
    }
}

/// Waits for what is under way; for ever while nothing is.
async fn done<T>(under_way: &mut Option<impl Future<Output = T> + Unpin>) -> T {
    match under_way {
        Some(under_way) => under_way.await,
        None => std::future::pending().await,
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}
