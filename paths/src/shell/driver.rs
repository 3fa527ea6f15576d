//! The one task of a session: tells the core what happens, and does what the core wants.

mod open;
mod wishes;

use super::{
    MAX_EVENTS,
    connections::{Attempt, Connections, Done, LOOK},
    guesses::Guesses,
    mapped::Mapped,
    post::{self, Asked, Post},
    tap::{Caught, canonical},
};
use crate::{
    config::{RelayPlace, Signals},
    core::{Core, Moment, Route, Via},
    event::{Event, Way, Why},
    identity::Identity,
    report::Report,
};
use hypersend_protocol::{
    fingerprint::Fingerprint,
    id::RelayId,
    paths::{Incarnation, PROBE_MARK},
    relay::ticket::Side,
};
use quinn::{ClientConfig, ServerConfig, VarInt};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    net::IpAddr,
    sync::Arc,
    time::Duration,
};
use tokio::{
    sync::{mpsc, watch},
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use tokio_util::sync::CancellationToken;

/// Time for the goodbye to be taken, and for the connections to be closed in good order while the router has its port back; each.
const GOODBYE: Duration = Duration::from_secs(1);

/// Least time between two looks at what it is time for.
const LEAST_SLEEP: Duration = Duration::from_millis(1);

/// Handshakes at once from what claims to be a relay's address, before each has to prove that it is. The
/// other side makes one at a time.
const MAX_UNPROVEN: usize = 2;

/// The session is over.
pub(crate) const CLOSED: VarInt = VarInt::from_u32(0);
/// This path is given up, the session goes on.
pub(crate) const GIVEN_UP: VarInt = VarInt::from_u32(1);

/// What the owner asks for.
#[derive(Debug)]
pub(crate) enum Command {
    AddRelays(Vec<RelayPlace>),
    TunnelMoved(RelayId),
    /// What a test does to it.
    #[cfg(test)]
    Do(fn(&mut Driver)),
}

/// The settings of connections with one run of the other side.
struct Peer {
    run: Incarnation,
    client: ClientConfig,
    server: Arc<ServerConfig>,
}

pub(crate) struct Driver {
    core: Core,
    began: Instant,
    identity: Identity,
    side: Side,
    peer: Option<Peer>,
    signals: Signals,
    is_signalled: bool,
    /// What is to be set, once there is room.
    state: Option<Vec<u8>>,
    pub(super) posts: BTreeMap<Via, Post>,
    guesses: Guesses,
    mapped: Mapped,
    caught: (mpsc::Sender<Caught>, mpsc::Receiver<Caught>),
    ask: mpsc::Sender<Asked>,
    asked: mpsc::Receiver<Asked>,
    connections: Connections,
    events: mpsc::Sender<Event>,
    queue: VecDeque<Event>,
    commands: mpsc::Receiver<Command>,
    hosts: BTreeSet<IpAddr>,
    interfaces: watch::Receiver<BTreeSet<IpAddr>>,
    _watching: JoinSet<()>,
    report: watch::Sender<Report>,
    fingerprint: watch::Sender<Option<Fingerprint>>,
    stop: CancellationToken,
}

impl Driver {
    pub(crate) async fn run(mut self) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (stop, set, events) = (self.stop.clone(), self.signals.set.clone(), self.events.clone());
        loop {
            self.carry_out();
            let now = self.now();
            let wake_at = self.began + self.core.wake_at(now).max(now + LEAST_SLEEP);
            let takes = self.queue.len() < MAX_EVENTS && !self.connections.is_busy();
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep_until(wake_at) => self.core.settle(self.now()),
                Some(caught) = self.caught.1.recv() => self.caught(&caught),
                heard = self.signals.heard.recv(), if self.is_signalled => self.heard(heard),
                permit = set.reserve(), if self.state.is_some() => match (permit, self.state.take()) {
                    (Ok(permit), Some(state)) => permit.send(state),
                    _ => self.heard(None),
                },
                Some(asked) = self.asked.recv(), if takes => self.asked(asked),
                done = self.connections.next() => self.done(done),
                Ok(permit) = events.reserve(), if !self.queue.is_empty() => {
                    if let Some(event) = self.queue.pop_front() {
                        permit.send(event);
                    }
                }
                _ = looks.tick(), if !self.connections.is_empty() => {
                    let now = self.now();
                    for (path, is_heard) in self.connections.look() {
                        self.core.looked_at(now, path, is_heard);
                    }
                }
                Ok(()) = self.interfaces.changed() => self.moved(),
                outside = self.mapped.changed() => self.core.mapped(self.now(), outside),
                Some(command) = self.commands.recv() => match command {
                    Command::AddRelays(relays) => self.core.add_relays(self.now(), relays),
                    Command::TunnelMoved(relay) => self.core.tunnel_moved(self.now(), relay),
                    #[cfg(test)]
                    Command::Do(it) => it(&mut self),
                },
            }
        }
        self.end().await;
    }

    /// A socket over which the other side was heard becomes an endpoint's.
    fn keep(&mut self, via: Via) {
        let takes = open::takes(self.side, &self.identity, &self.ask);
        let post = self.guesses.take(via).and_then(|socket| Post::new(via, socket, self.caught.0.clone(), takes));
        match post {
            Ok(post) => _ = self.posts.insert(via, post),
            Err(error) => tracing::warn!(%error, "a socket that was found by guessing is lost"),
        }
    }

    fn now(&self) -> Moment {
        self.began.elapsed()
    }

    fn caught(&mut self, caught: &Caught) {
        let now = self.now();
        if caught.bytes.first() == Some(&PROBE_MARK) {
            self.core.probe(now, caught.via, caught.from, &caught.bytes);
        } else if caught.via == Via::MAIN {
            self.core.control(now, caught.from, &caught.bytes);
        }
    }

    fn heard(&mut self, state: Option<Vec<u8>>) {
        match state {
            Some(state) => self.core.heard(self.now(), &state),
            None if self.is_signalled => {
                self.is_signalled = false;
                self.queue.push_back(Event::SignalsLost);
            }
            None => {}
        }
        let run = self.core.peer().map(|peer| peer.incarnation);
        if run != self.peer.as_ref().map(|peer| peer.run) {
            let fingerprint = self.core.peer().map(|peer| peer.fingerprint);
            self.peer = run.zip(fingerprint).map(|(run, fingerprint)| Peer {
                run,
                client: self.identity.client_config(fingerprint),
                server: Arc::new(self.identity.server_config(fingerprint)),
            });
            self.fingerprint.send_replace(fingerprint);
        }
    }

    /// Somebody wants to connect. Before any work for it, it is judged by where it comes from.
    fn asked(&mut self, Asked { via, incoming }: Asked) {
        let from = canonical(incoming.remote_address());
        let (Some(route), Some(peer)) = (self.core.admits(via, from), &self.peer) else {
            tracing::debug!(%from, "a stranger wants to connect");
            return incoming.ignore();
        };
        // An address that has sent a valid probe receives there. One that is only said to be a relay's has to show it, when
        // there are more than honest ones come at once.
        let is_doubtful = route.relay.is_some() && self.connections.taking() >= MAX_UNPROVEN;
        if is_doubtful && !incoming.remote_address_validated() && incoming.may_retry() {
            if let Err(error) = incoming.retry() {
                tracing::debug!(%from, %error, "a connection was not asked to come again");
            }
            return;
        }
        let attempt = Attempt { route, run: peer.run, is_own: false };
        match incoming.accept_with(peer.server.clone()) {
            Ok(connecting) => self.connections.attempt(attempt, connecting),
            Err(error) => tracing::debug!(%from, %error, "a connection was not taken"),
        }
    }

    fn done(&mut self, done: Done) {
        let now = self.now();
        match done {
            Done::Handshake(attempt, connection) => {
                let is_of_now = self.peer.as_ref().is_some_and(|peer| peer.run == attempt.run);
                if !self.connections.finish(attempt) || !is_of_now {
                    if let Some(connection) = connection {
                        connection.close(GIVEN_UP, b"too late");
                    }
                    return;
                }
                match connection {
                    Some(connection) => {
                        let path = self.connections.add(connection.clone());
                        let way = self.way(attempt.route);
                        tracing::info!(?path, %way, "a way is open");
                        self.queue.push_back(Event::Up { path, way, connection });
                        self.core.up(now, path, attempt.route);
                    }
                    None if attempt.is_own => self.core.undialed(now, attempt.route),
                    None => {}
                }
            }
            Done::Ended(path) => {
                if self.connections.remove(path, CLOSED, b"") {
                    self.queue.push_back(Event::Down { path, why: Why::Closed });
                }
                self.core.down(now, path);
            }
        }
    }

    fn way(&self, route: Route) -> Way {
        match route.relay {
            Some(relay) => {
                let place = self.core.relay(relay);
                let name = place.map_or_else(String::new, |place| place.name.clone());
                let tunnelled = place.is_some_and(|place| place.tunnel == Some(route.to));
                Way::Relayed { name, address: route.to, tunnelled }
            }
            None => Way::Direct(route.to),
        }
    }

    /// The addresses of this machine have changed. Where one is gone, what was bound may be bound to nothing: another socket.
    fn moved(&mut self) {
        let hosts = self.interfaces.borrow_and_update().clone();
        let is_gone = self.hosts.iter().any(|ip| !hosts.contains(ip));
        tracing::info!(?hosts, is_gone, "the addresses of this machine have changed");
        self.hosts = hosts;
        self.place(is_gone);
    }

    /// Tells the core where this side is, with another socket if it is to be one.
    pub(super) fn place(&mut self, is_new: bool) {
        let hosts: Vec<IpAddr> = self.hosts.iter().copied().collect();
        let caught = self.caught.0.clone();
        let Some(main) = self.posts.get_mut(&Via::MAIN) else { return };
        let rebound = if is_new { post::bind().and_then(|socket| main.rebind(socket, caught)) } else { Ok(()) };
        let port = main.local_addr().map_or(0, |address| address.port());
        if let Err(error) = rebound {
            tracing::warn!(%error, "no other socket after a change of network");
        } else if is_new || self.mapped.outside().is_none() {
            // Another socket has another port; and whoever gave nothing may not be this machine's router any more.
            self.mapped.ask(port);
            self.core.mapped(self.now(), None);
        }
        self.core.placed(self.now(), &hosts, port, is_new);
    }
}
