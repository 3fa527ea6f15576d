//! What is in front of an end.

use crate::core::{Moment, Via};
use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// After how long a NAT forgets where somebody has sent.
const FORGETS: Duration = Duration::from_secs(30);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing.
    Open,
    /// One port outside for each socket; lets in what was sent to (RFC 4787: endpoint-independent mapping, address- and
    /// port-dependent filtering).
    Independent,
    /// A port for each socket and destination; lets in what was sent to.
    Dependent,
    /// Lets no UDP out.
    Blocked,
}

pub(super) struct Nat {
    pub(super) kind: Kind,
    pub(super) outside: IpAddr,
    /// For a socket, and a destination if that matters: the port outside.
    ports: BTreeMap<(Via, Option<SocketAddr>), u16>,
    /// Nothing that the main socket sends gets out, until there is another.
    pub(super) is_broken: bool,
    /// When a port outside has last sent to an address.
    sent: BTreeMap<(u16, SocketAddr), Moment>,
    /// The port outside that is the main socket's for whoever sends there.
    pub(super) mapped: Option<u16>,
    /// Who has. What goes to them goes out by that port, and nothing else does: as little as a router may do for it.
    by_mapped: BTreeSet<SocketAddr>,
}

impl Nat {
    pub(super) fn new(kind: Kind, outside: IpAddr) -> Self {
        Self {
            kind,
            outside,
            ports: BTreeMap::new(),
            is_broken: false,
            sent: BTreeMap::new(),
            mapped: None,
            by_mapped: BTreeSet::new(),
        }
    }

    /// As what a datagram goes out.
    pub(super) fn out(&mut self, now: Moment, via: Via, inner: u16, to: SocketAddr, random: u64) -> Option<SocketAddr> {
        let of = match self.kind {
            _ if self.is_broken && via == Via::MAIN => return None,
            Kind::Blocked => return None,
            Kind::Open => return Some(SocketAddr::new(self.outside, inner)),
            Kind::Independent => (via, None),
            Kind::Dependent => (via, Some(to)),
        };
        if let Some(mapped) = self.mapped.filter(|_| via == Via::MAIN && self.by_mapped.contains(&to)) {
            return Some(SocketAddr::new(self.outside, mapped));
        }
        let mut port = u16::try_from(1_024 + random % 64_512).unwrap();
        while self.ports.values().any(|taken| *taken == port) {
            port = port.checked_add(1).unwrap_or(1_024);
        }
        let port = *self.ports.entry(of).or_insert(port);
        self.sent.insert((port, to), now);
        Some(SocketAddr::new(self.outside, port))
    }

    /// There is another main socket.
    pub(super) fn rebind(&mut self) {
        self.is_broken = false;
        self.ports.retain(|(via, _), _| *via != Via::MAIN);
    }

    /// Which socket a datagram from outside reaches; by its port if there is no NAT.
    pub(super) fn take(&mut self, now: Moment, port: u16, from: SocketAddr) -> Option<Via> {
        match self.kind {
            Kind::Blocked => None,
            _ if self.mapped == Some(port) => {
                self.by_mapped.insert(from);
                Some(Via::MAIN)
            }
            Kind::Open => Some(Via(u32::from(port - super::end::PORT))),
            Kind::Independent | Kind::Dependent => {
                let sent = self.sent.get(&(port, from))?;
                let is_known = now.saturating_sub(*sent) < FORGETS;
                self.ports.iter().find(|(_, taken)| is_known && **taken == port).map(|((via, _), _)| *via)
            }
        }
    }

    /// Forgets everything, as when it is started anew.
    pub(super) fn forget(&mut self) {
        self.ports.clear();
        self.sent.clear();
    }
}
