//! One side of the lab: a host, and the NAT that it is behind.

use super::kind::{CHANGING, Nat};
use crate::netns::{Namespace, NetworkError};
use std::{
    ffi::OsStr,
    io,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering::Relaxed},
    },
};

/// The device towards the internet, of a NAT or of a host without one.
pub(super) const OUTSIDE: &str = "outside";

/// Where a side is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Home {
    A,
    B,
}

impl Home {
    /// The public host's device towards it.
    fn link(self) -> &'static str {
        match self {
            Self::A => "side-a",
            Self::B => "side-b",
        }
    }

    /// Its network outside: the router is 1 of it, the side 2.
    fn outside(self, host: u8) -> Ipv4Addr {
        match self {
            Self::A => Ipv4Addr::new(203, 0, 113, host),
            Self::B => Ipv4Addr::new(198, 51, 100, host),
        }
    }

    /// Its network inside: the NAT is 1 of it, the host 2.
    fn inside(self, host: u8) -> Ipv4Addr {
        match self {
            Self::A => Ipv4Addr::new(192, 168, 1, host),
            Self::B => Ipv4Addr::new(192, 168, 2, host),
        }
    }
}

/// A host and its NAT. Removed when dropped.
#[derive(Debug)]
pub struct Side {
    home: Home,
    kind: Nat,
    host: Namespace,
    /// None where the host is in the open.
    nat: Option<Arc<Namespace>>,
    /// By how much ports change.
    change: Arc<AtomicU16>,
}

impl Side {
    pub(super) fn new(public: &Namespace, kind: Nat, home: Home) -> Result<Self, NetworkError> {
        let (link, network, router, own) = (home.link(), home.outside(0), home.outside(1), home.outside(2));
        let host = Namespace::new(&format!("{home:?}-host"))?;
        let nat = (kind != Nat::Open).then(|| Namespace::new(&format!("{home:?}-nat")).map(Arc::new)).transpose()?;
        let edge = nat.as_deref().unwrap_or(&host);
        public.ip(&format!(
            "link add name {link} type veth peer name {OUTSIDE} netns {}\n\
             addr add {router}/24 dev {link}\n\
             link set {link} up\n\
             route replace {network}/24 dev {link} scope link src {}\n",
            edge.name(),
            super::NatLab::PUBLIC[0]
        ))?;
        edge.ip(&format!("addr add {own}/24 dev {OUTSIDE}\nlink set {OUTSIDE} up\nroute add default via {router}\n"))?;
        let side = Self { home, kind, host, nat, change: Arc::new(AtomicU16::new(1)) };
        if let Some(nat) = &side.nat {
            let (gateway, own) = (side.gateway(), side.ip());
            nat.ip(&format!(
                "link add name inside type veth peer name home netns {}\n\
                 addr add {gateway}/24 dev inside\n\
                 link set inside up\n",
                side.host.name()
            ))?;
            side.host
                .ip(&format!("addr add {own}/24 dev home\nlink set home up\nroute add default via {gateway}\n"))?;
            nat.nft(&kind.rules(own, side.change.load(Relaxed)))?;
            nat.forward()?;
        }
        Ok(side)
    }

    /// What it is behind.
    pub fn nat(&self) -> Nat {
        self.kind
    }

    /// The host's own address.
    pub fn ip(&self) -> Ipv4Addr {
        if self.nat.is_some() { self.home.inside(2) } else { self.home.outside(2) }
    }

    /// The address by which others see it.
    pub fn outside_ip(&self) -> Ipv4Addr {
        self.home.outside(2)
    }

    /// The router that the host knows: its NAT, or the public host.
    pub fn gateway(&self) -> Ipv4Addr {
        if self.nat.is_some() { self.home.inside(1) } else { self.home.outside(1) }
    }

    /// The host.
    pub fn host(&self) -> &Namespace {
        &self.host
    }

    /// The NAT's own namespace, for what runs on a router; the host's where there is none.
    pub fn edge(&self) -> &Namespace {
        self.nat.as_deref().unwrap_or(&self.host)
    }

    /// How to run a program on the host. `tokio::process::Command::from` takes it too.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        self.host.command(program)
    }

    /// A UDP socket on the host, at a port that is free.
    pub fn socket(&self) -> UdpSocket {
        let bound = self.host.inside(|| UdpSocket::bind(SocketAddr::from((self.ip(), 0))));
        bound.map_err(io::Error::other).flatten().unwrap_or_else(|error| panic!("bind a socket on a side: {error}"))
    }

    /// The NAT forgets all mappings, as when it is started anew: what is outside reaches nobody until the host sends again, and
    /// then looks otherwise. In the open there is nothing to forget.
    pub fn flush_mapping(&self) {
        let Some(nat) = &self.nat else { return };
        // Never 0, with which nothing would change.
        let change = self.change.load(Relaxed) % CHANGING + 1;
        self.change.store(change, Relaxed);
        nat.nft(&self.kind.rules(self.ip(), change)).unwrap_or_else(|error| panic!("flush a NAT: {error}"));
    }

    /// From now on, until the NAT forgets its mappings, it changes this inside port of its own accord no more: for a program on the
    /// router that maps ports and knows nothing of changes.
    pub fn keep_port(&self, port: u16) {
        let Some(nat) = &self.nat else { return };
        let kept = nat.nft(&format!("add element ip nat kept {{ {port} }}"));
        kept.unwrap_or_else(|error| panic!("have a NAT keep a port: {error}"));
    }

    pub(super) fn router(&self) -> Option<Arc<Namespace>> {
        self.nat.clone()
    }

    pub(super) fn change(&self) -> Arc<AtomicU16> {
        self.change.clone()
    }

    pub(super) fn link(&self) -> &'static str {
        self.home.link()
    }
}
