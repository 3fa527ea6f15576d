//! The relays of a session: where they are, and the tunnels to them where no UDP gets through.

use super::{SEEK_BLOCKED, done, until};
use crate::{direct::line::Line, tunnel::Tunnel};
use futures::future::join_all;
use hypersend_paths::{Paths, RelayPlace, Report};
use hypersend_protocol::{id::RelayId, paths::Mapping, signal::RelaySeat};
use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::SocketAddr,
    time::Duration,
};
use tokio::{
    net::lookup_host,
    sync::mpsc,
    time::{Instant, sleep_until, timeout},
};
use tokio_util::task::AbortOnDropHandle;

/// How long it may take at first to find out where relays are: those that are found wait for the others.
const LOOKUP: Duration = Duration::from_secs(3);

/// How long when that is tried again: a name server that is gone is given up for another one after five seconds.
const LOOKUP_AGAIN: Duration = Duration::from_secs(9);

/// How long until relays are looked at again: for new ones, and for those whose hosts the network did not know.
const AGAIN: Duration = Duration::from_secs(10);

/// How long nothing gets to any relay by UDP before there are tunnels, where the server's storage is the better way: longer than it takes
/// to come to that.
const DIG_AFTER: Duration = SEEK_BLOCKED.saturating_add(Duration::from_secs(2));

/// Tunnels that have been dug and not heeded yet. One that is not told of is noticed by the relay's silence.
const MAX_DUG: usize = 16;

/// What the paths are told of relays.
#[derive(Debug)]
pub(super) struct Relays {
    /// By which the server is reached: relays may be there.
    host: String,
    /// As the server named them.
    known: Vec<RelaySeat>,
    /// Where they are, but for the tunnels.
    places: Vec<RelayPlace>,
    /// Whether the paths have that, and the tunnels.
    are_told: bool,
    /// Whether all of their hosts were found.
    are_all_found: bool,
    /// Where newer ones are, while that is being found out.
    looking: Option<AbortOnDropHandle<Found>>,
    /// When to look again, though nothing else happens.
    again: Instant,
    tunnels: BTreeMap<RelayId, Tunnel>,
    dig_after: Duration,
    /// When there are to be tunnels, as nothing gets to any relay by UDP.
    dig_at: Option<Instant>,
    dug: (mpsc::Sender<RelayId>, mpsc::Receiver<RelayId>),
    /// Those whose tunnels lead from new places, of which the paths are to be told.
    moved: Vec<RelayId>,
}

/// Relays, where they are, and whether all were found.
type Found = (Vec<RelaySeat>, Vec<RelayPlace>, bool);

impl Relays {
    /// None yet. `is_never_stored`: whether the server's storage is no way for what is to be sent.
    pub(super) fn new(host: &str, is_never_stored: bool) -> Self {
        Self {
            host: host.to_owned(),
            known: Vec::new(),
            places: Vec::new(),
            are_told: true,
            are_all_found: true,
            looking: None,
            again: Instant::now(),
            tunnels: BTreeMap::new(),
            dig_after: if is_never_stored { Duration::ZERO } else { DIG_AFTER },
            dig_at: None,
            dug: mpsc::channel(MAX_DUG),
            moved: Vec::new(),
        }
    }

    /// Does what is to be done as things are, but for [`tell`](Self::tell).
    pub(super) fn settle<L: Line>(&mut self, line: &L, report: &Report, has_peer: bool, has_way: bool) {
        self.look(line);
        self.heed(report, has_peer);
        if !has_way && self.lacks_tunnels() && self.dig_at.is_some_and(|at| at <= Instant::now()) {
            self.dig(line);
        }
    }

    /// Tells the paths what they do not know. Cancel safe.
    pub(super) async fn tell(&mut self, paths: &Paths) {
        if !self.are_told {
            let mut places = self.places.clone();
            for place in &mut places {
                place.tunnel = self.tunnels.get(&place.id).map(Tunnel::address);
            }
            paths.add_relays(places).await;
            self.are_told = true;
        }
        while let Some(&relay) = self.moved.last() {
            paths.tunnel_moved(relay).await;
            self.moved.pop();
        }
    }

    /// Waits until there is something to settle or to tell. Cancel safe.
    pub(super) async fn changed(&mut self, has_way: bool) {
        let dig_at = self.dig_at.filter(|_| !has_way && self.lacks_tunnels());
        tokio::select! {
            found = done(&mut self.looking) => {
                // Its end may not be awaited again.
                self.looking = None;
                // Lost only in a runtime that ends.
                self.are_all_found = false;
                if let Ok(found) = found {
                    (self.known, self.places, self.are_all_found) = found;
                    self.are_told = false;
                }
            }
            () = sleep_until(self.again), if self.looking.is_none() => {}
            Some(relay) = self.dug.1.recv() => self.moved.push(relay),
            () = until(dig_at) => {}
        }
    }

    /// Has a task find out where relays are that are new: with each stream to the server come other tickets.
    fn look<L: Line>(&mut self, line: &L) {
        let is_due = self.again <= Instant::now();
        if is_due {
            self.again = Instant::now() + AGAIN;
        }
        let relays = line.relays();
        let is_wanted = relays != self.known || !self.are_all_found;
        // A host that is not found is not asked for at every turn.
        if is_wanted && (is_due || self.are_all_found) && self.looking.is_none() {
            let patience = if self.are_all_found { LOOKUP } else { LOOKUP_AGAIN };
            let finding = find(self.host.clone(), relays, patience);
            self.looking = Some(AbortOnDropHandle::new(tokio::spawn(finding)));
        }
    }

    /// Decides from when on tunnels are needed, and which are not any more.
    fn heed(&mut self, report: &Report, has_peer: bool) {
        let before = self.tunnels.len();
        let is_used = |id: &RelayId| report.relays.iter().any(|relay| relay.id == *id && relay.tunnelled);
        match report.own.mapping {
            Mapping::Blocked if has_peer => {
                self.dig_at.get_or_insert_with(|| Instant::now() + self.dig_after);
            }
            // It is not known whether that has changed.
            Mapping::Blocked | Mapping::Unknown => {}
            Mapping::Independent | Mapping::Dependent | Mapping::Other => {
                self.dig_at = None;
                self.tunnels.retain(|id, _| is_used(id));
            }
        }
        self.tunnels.retain(|id, _| is_used(id) || self.known.iter().any(|seat| seat.relay == *id));
        self.are_told &= self.tunnels.len() == before;
    }

    fn lacks_tunnels(&self) -> bool {
        self.known.iter().any(|seat| !self.tunnels.contains_key(&seat.relay))
    }

    /// Has a tunnel to each relay.
    fn dig<L: Line>(&mut self, line: &L) {
        for seat in &self.known {
            if let Entry::Vacant(free) = self.tunnels.entry(seat.relay) {
                match line.tunnel(seat.relay, self.dug.0.clone()) {
                    Ok(tunnel) => _ = free.insert(tunnel),
                    Err(error) => {
                        tracing::warn!(relay = %seat.name, %error, "there is no socket for a tunnel");
                        self.dig_at = Some(Instant::now() + AGAIN);
                    }
                }
            }
        }
        self.are_told = false;
    }
}

/// Where these relays are. One whose host the network does not know, or not in time, has no address: a tunnel may lead there.
async fn find(host: String, seats: Vec<RelaySeat>, patience: Duration) -> Found {
    let finding = seats.iter().filter_map(|seat| {
        let host = seat.host.as_ref().map_or(host.as_str(), |host| host.as_str());
        let (&port, others) = seat.ports.split_first()?;
        Some(async move { (seat, others, timeout(patience, lookup_host((host, port))).await) })
    });
    let (mut places, mut are_all_found) = (Vec::with_capacity(seats.len()), true);
    for (seat, others, found) in join_all(finding).await {
        let addresses = match found {
            Ok(Ok(found)) => found.collect(),
            not_found => {
                let error = not_found.map(|found| found.map(drop));
                tracing::warn!(relay = %seat.name, ?error, "a relay's host is not found");
                are_all_found = false;
                Vec::new()
            }
        };
        places.push(place(seat, addresses, others));
    }
    (seats, places, are_all_found)
}

fn place(seat: &RelaySeat, addresses: Vec<SocketAddr>, others: &[u16]) -> RelayPlace {
    let observe = others.iter().flat_map(|&port| addresses.iter().map(move |at| SocketAddr::new(at.ip(), port)));
    let (name, observe) = (seat.name.to_string(), observe.collect());
    RelayPlace { id: seat.relay, name, observe, addresses, tunnel: None, ticket: seat.ticket }
}
