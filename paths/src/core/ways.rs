//! The connections there are, those that are being made, and whether the direct ones still carry anything.

use super::{Moment, Out, Via, Wish, dice::Dice, key::ProbeKey};
use crate::event::{PathId, Why};
use hypersend_protocol::{id::RelayId, relay::Nonce};
use std::{net::SocketAddr, time::Duration};

/// Silence on a direct path after which it is given up, in spite of pings. No sooner: a hand-over in a mobile network takes a
/// second.
const SILENCE: Duration = Duration::from_millis(2_500);
/// Silence after which a direct path is pinged.
const QUIET: Duration = Duration::from_secs(1);
/// Time between pings to a path that is quiet: five are lost before it is given up.
const PING_EVERY: Duration = Duration::from_millis(300);
/// Silence on a relayed path after which its relay is asked whether it is there; above the keepalive of the connection.
const RELAY_QUIET: Duration = Duration::from_secs(6);
/// Silence on a relayed path, while this side sends, after which its relay is asked: two round trips of a long way.
const RELAY_UNANSWERED: Duration = Duration::from_millis(1_500);
/// Paths at once: a direct one, a relayed one, and those that the other side has not yet noticed to be gone.
pub(crate) const MAX_PATHS: usize = 8;
/// Pings whose answers are waited for.
const MAX_OUTSTANDING: usize = 8;

/// A way to the other side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) via: Via,
    pub(crate) to: SocketAddr,
    /// Whose address that is; none for the other side's own.
    pub(crate) relay: Option<RelayId>,
}

struct Used {
    path: PathId,
    route: Route,
    heard: Moment,
    next: Moment,
    asked: Vec<Nonce>,
}

#[derive(Default)]
pub(crate) struct Ways {
    used: Vec<Used>,
    dialing: Vec<Route>,
}

impl Ways {
    /// Whether there is a direct way, or one is about to be.
    pub(crate) fn has_direct(&self) -> bool {
        self.used.iter().any(|used| used.route.relay.is_none())
    }

    pub(crate) fn is_dialing_direct(&self) -> bool {
        self.dialing.iter().any(|route| route.relay.is_none())
    }

    /// Whether there is a way over a relay, or one is about to be.
    pub(crate) fn has_relayed(&self) -> bool {
        self.used.iter().map(|used| &used.route).chain(&self.dialing).any(|route| route.relay.is_some())
    }

    /// Whether a way in use is this one.
    pub(crate) fn leads_to(&self, via: Via, to: SocketAddr) -> bool {
        self.used.iter().any(|used| used.route.via == via && used.route.to == to)
    }

    /// Whether there is no way at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.used.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.used.len() + self.dialing.len() >= MAX_PATHS
    }

    pub(crate) fn dial(&mut self, route: Route, out: &mut Out) {
        self.dialing.push(route);
        out.push_back(Wish::Dial(route));
    }

    /// A dial has ended, one way or the other.
    pub(crate) fn dialed(&mut self, route: Route) {
        self.dialing.retain(|dialing| *dialing != route);
    }

    pub(crate) fn up(&mut self, now: Moment, path: PathId, route: Route) {
        self.used.push(Used { path, route, heard: now, next: now + QUIET, asked: Vec::new() });
    }

    /// The path is gone. Which way it was.
    pub(crate) fn down(&mut self, path: PathId) -> Option<Route> {
        let at = self.used.iter().position(|used| used.path == path)?;
        Some(self.used.remove(at).route)
    }

    /// All paths are given up.
    pub(crate) fn cut_all(&mut self, why: Why, out: &mut Out) {
        out.extend(self.used.drain(..).map(|used| Wish::Cut(used.path, why)));
        self.dialing.clear();
        out.push_back(Wish::StopDialing);
    }

    /// Something has come over this path. Its relay.
    pub(crate) fn heard(&mut self, now: Moment, path: PathId) -> Option<RelayId> {
        let used = self.used.iter_mut().find(|used| used.path == path)?;
        used.is_alive(now);
        used.route.relay
    }

    /// This side has sent over this path, and nothing came. The relay that is in doubt for it.
    pub(crate) fn unanswered(&mut self, now: Moment, path: PathId) -> Option<RelayId> {
        let used = self.used.iter().find(|used| used.path == path)?;
        used.route.relay.filter(|_| used.heard + RELAY_UNANSWERED <= now)
    }

    /// The seat at this relay is lost, and with it the way.
    pub(crate) fn cut_relayed(&mut self, relay: RelayId, out: &mut Out) {
        // One that succeeds all the same is a way like others.
        self.dialing.retain(|route| route.relay != Some(relay));
        self.used.retain(|used| {
            let is_lost = used.route.relay == Some(relay);
            if is_lost {
                out.push_back(Wish::Cut(used.path, Why::Silent));
            }
            !is_lost
        });
    }

    /// The other side has sent a valid probe from here.
    pub(crate) fn probed(&mut self, now: Moment, via: Via, from: SocketAddr, answers: Option<Nonce>) {
        for used in self.used.iter_mut().filter(|used| used.route.via == via && used.route.to == from) {
            if answers.is_none_or(|nonce| used.asked.contains(&nonce)) {
                used.is_alive(now);
            }
        }
    }

    /// Pings what is quiet and gives up what is silent; the routes given up, and the relays that are in doubt.
    pub(crate) fn tick(&mut self, now: Moment, key: Option<&ProbeKey>, dice: &mut Dice, out: &mut Out) -> Dead {
        let mut dead = Dead::default();
        self.used.retain_mut(|used| {
            let silence = now.saturating_sub(used.heard);
            match used.route.relay {
                Some(relay) => {
                    if silence >= RELAY_QUIET && now >= used.next {
                        used.next = now + RELAY_QUIET;
                        dead.doubted.push(relay);
                    }
                    true
                }
                None if silence >= SILENCE => {
                    out.push_back(Wish::Cut(used.path, Why::Silent));
                    dead.routes.push(used.route);
                    false
                }
                None => {
                    // One ping is lost, as far as can be said. If it is for this side's NAT that has forgotten everything, its seats
                    // are lost too.
                    dead.is_unanswered |= silence >= QUIET + PING_EVERY && now >= used.next;
                    if let Some(key) = key.filter(|_| now >= used.next) {
                        let nonce = dice.nonce();
                        if used.asked.len() == MAX_OUTSTANDING {
                            used.asked.remove(0);
                        }
                        used.asked.push(nonce);
                        used.next = now + PING_EVERY;
                        let bytes = key.ping(nonce).to_vec();
                        out.push_back(Wish::Send { via: used.route.via, to: used.route.to, bytes });
                    }
                    true
                }
            }
        });
        dead
    }

    pub(crate) fn wake_at(&self) -> Option<Moment> {
        let at = |used: &Used| match used.route.relay {
            Some(_) => used.next.max(used.heard + RELAY_QUIET),
            None => used.next.min(used.heard + SILENCE),
        };
        self.used.iter().map(at).min()
    }
}

impl Used {
    fn is_alive(&mut self, now: Moment) {
        self.heard = now;
        self.next = now + QUIET;
    }
}

/// What has been found dead.
#[derive(Default)]
pub(crate) struct Dead {
    pub(crate) routes: Vec<Route>,
    pub(crate) doubted: Vec<RelayId>,
    /// Whether a direct path leaves pings without an answer.
    pub(crate) is_unanswered: bool,
}
