//! One side of a session: what it says by way of the server, and the ways that come of it.

use super::{
    error::DirectError,
    transfer::{Keys, Told, Whereabouts},
};
use crate::SignalChannel;
use hypersend_paths::{Config, Event, Identity, PathId, Paths, RelayPlace, Report, Role, Signals, Way};
use hypersend_peer::Progress;
use hypersend_protocol::{id::P2pId, refusal::ErrorCode, signal::RelaySeat};
use std::{collections::BTreeMap, net::SocketAddr, time::Duration};
use tokio::{
    net::lookup_host,
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

/// Values of either side that wait to be passed on.
const WAITING: usize = 4;

/// One side of a session. Dropping it closes all ways.
pub(super) struct Meeting {
    role: Role,
    channel: SignalChannel,
    /// The relays of the last time that they were looked at.
    relays: Vec<RelaySeat>,
    host: String,
    paths: Paths,
    report: watch::Receiver<Report>,
    say: mpsc::Receiver<Vec<u8>>,
    heard: mpsc::Sender<Vec<u8>>,
    ways: BTreeMap<PathId, Way>,
    /// Whether the other side is there.
    has_peer: bool,
    /// Whether there ever was a way to it.
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
}

/// What has happened.
pub(super) enum Happening {
    /// A way is open.
    Up(PathId, Way, quinn::Connection),
    /// A way is gone.
    Down(PathId),
    /// The session is over, as the server says.
    Over,
    /// The other side is there, and no way to it is found; or it has been gone for longer than there is patience.
    NoWay,
}

impl Meeting {
    /// Opens this side of a session.
    pub(super) async fn open(
        role: Role,
        session: P2pId,
        channel: SignalChannel,
        host: &str,
        terms: Terms,
    ) -> Result<Self, DirectError> {
        let (set, say) = mpsc::channel(WAITING);
        let (heard, hear) = mpsc::channel(WAITING);
        let relays = channel.relays();
        let config = Config {
            relays: places(host, &relays).await,
            direct: !terms.relay_only,
            ..Config::new(role, session, Identity::new()?)
        };
        let paths = Paths::open(config, Signals { set, heard: hear })?;
        Ok(Self {
            role,
            channel,
            relays,
            host: host.to_owned(),
            report: paths.report(),
            paths,
            say,
            heard,
            ways: BTreeMap::new(),
            has_peer: false,
            was_up: false,
            since: Instant::now(),
            terms,
        })
    }

    /// The best way there is.
    fn way(&self) -> Option<&Way> {
        let direct = self.ways.values().find(|way| way.is_direct());
        direct.or_else(|| self.ways.values().next())
    }

    /// Where the transfer is, for people.
    fn whereabouts(&self) -> Whereabouts {
        match self.way() {
            Some(way) => Whereabouts::Carried(way.clone()),
            None if self.has_peer => Whereabouts::Seeking,
            None => Whereabouts::Waiting,
        }
    }

    /// Tells where the transfer is. The sender leaves as soon as it hears that everything is there; what becomes of the ways
    /// then is how a transfer ends, and no news to a receiver.
    fn tell(&self, told: &Told) {
        let has_all = |progress: &Progress| progress.stored_bytes == progress.total_bytes;
        let is_carried = matches!(*told.whereabouts.borrow(), Whereabouts::Carried(_));
        if self.role == Role::Receiver && is_carried && told.progress.borrow().as_ref().is_some_and(has_all) {
            return;
        }
        told.whereabouts(self.whereabouts());
    }

    /// When to give up looking for a way.
    fn end_of_patience(&self) -> Option<Instant> {
        // A side that was reached once will be again, unless it is gone.
        let patience = if self.has_peer && !self.was_up { self.terms.seek } else { self.terms.wait };
        patience.filter(|_| self.ways.is_empty()).map(|patience| self.since + patience)
    }

    /// What happens next, and tells what there is to be told. Not cancel safe in the midst of passing on a value, which is
    /// harmless: the newest is passed on again.
    pub(super) async fn next(&mut self, told: &Told) -> Result<Happening, DirectError> {
        loop {
            self.tell(told);
            let give_up = self.end_of_patience();
            tokio::select! {
                Some(value) = self.say.recv() => {
                    // What the core makes is never too long.
                    self.channel.set(value).expect("a state is no longer than a signal may be");
                }
                heard = self.channel.next() => match heard {
                    Ok(Some(value)) => {
                        self.look_at_relays().await;
                        // Taken as soon as the other end gets to it, which waits for nothing.
                        let _ = self.heard.send(value).await;
                    }
                    Ok(None) => return Ok(Happening::Over),
                    Err(error) if error.code() == Some(ErrorCode::Superseded) => return Err(DirectError::Elsewhere),
                    Err(error) => return Err(error.into()),
                },
                Some(event) = self.paths.next() => {
                    if let Some(happening) = self.note(event, told) {
                        self.tell(told);
                        return Ok(happening);
                    }
                }
                Ok(()) = self.report.changed() => {
                    told.report.send_replace(Some(self.report.borrow_and_update().clone()));
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
                (self.has_peer, self.since) = (true, Instant::now());
                told.keys.send_replace(self.paths.check_words().map(Keys));
                None
            }
            Event::PeerLeft => {
                (self.has_peer, self.since) = (false, Instant::now());
                None
            }
            // The channel to the server outlives connections, and says itself when it is over.
            Event::SignalsLost => None,
        }
    }

    /// New tickets and relays come with each stream to the server.
    async fn look_at_relays(&mut self) {
        let relays = self.channel.relays();
        if relays != self.relays {
            self.paths.add_relays(places(&self.host, &relays).await).await;
            self.relays = relays;
        }
    }

    /// Says goodbye, and waits until the server has that.
    pub(super) async fn close(self) {
        let Self { mut channel, paths, mut say, .. } = self;
        let passing_on = async {
            while let Some(value) = say.recv().await {
                // The transfer is over, whatever becomes of this.
                let _ = channel.set(value);
            }
        };
        tokio::join!(paths.close(), passing_on);
        channel.settle().await;
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment).await,
        None => std::future::pending().await,
    }
}

/// Where these relays are; those whose name is not known to the network are left out.
async fn places(host: &str, seats: &[RelaySeat]) -> Vec<RelayPlace> {
    let mut places = Vec::with_capacity(seats.len());
    for seat in seats {
        let host = seat.host.as_ref().map_or(host, |host| host.as_str());
        let Some((&port, others)) = seat.ports.split_first() else { continue };
        let found: Vec<SocketAddr> = match lookup_host((host, port)).await {
            Ok(found) => found.collect(),
            Err(error) => {
                tracing::warn!(relay = %seat.name, host, %error, "a relay's host is not found");
                continue;
            }
        };
        let observe = others.iter().flat_map(|&port| found.iter().map(move |at| SocketAddr::new(at.ip(), port)));
        places.push(RelayPlace {
            id: seat.relay,
            name: seat.name.to_string(),
            observe: observe.collect(),
            addresses: found,
            ticket: seat.ticket,
        });
    }
    places
}
