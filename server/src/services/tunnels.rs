//! Tunnels: how clients reach relays where their network lets no UDP through.
//!
//! A tunnel leads to a relay that this server has named to the client, and to nothing else; what goes through it is the relay's to
//! judge, as what comes by UDP.

use super::{Guest, Relays};
use crate::metrics::{Counted, Metrics};
use hypersend_net::tunnel::Socket;
use hypersend_protocol::{
    id::UserId,
    limit::MAX_TUNNELS_PER_USER,
    refusal::{ErrorCode, Refusal},
    signal::RelaySeat,
};
use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{net::lookup_host, time::timeout};

/// Tunnels of all users at once, and as many more of people without accounts, who are not to take those of users: each has a
/// socket, and a process has some thousands.
pub const MAX_TUNNELS: usize = 1_000;

/// How long it may take to find a relay's host.
const LOOKUP: Duration = Duration::from_secs(5);

/// The service of tunnels; cloning shares it.
#[derive(Clone, Debug)]
pub struct Tunnels {
    relays: Relays,
    metrics: Metrics,
    users: Arc<Places>,
    guests: Arc<Places>,
}

/// For whom a tunnel is.
#[derive(Clone, Copy, Debug)]
pub enum Traveller {
    /// A user.
    User(UserId),
    /// Somebody without an account.
    Guest(Guest),
}

/// How many there are.
#[derive(Debug, Default)]
struct Places(Mutex<HashMap<UserId, usize>>);

/// One of them; given back when dropped.
#[derive(Debug)]
struct Place {
    places: Arc<Places>,
    user: UserId,
}

impl Places {
    fn take(self: &Arc<Self>, user: UserId) -> Result<Place, TunnelError> {
        let mut taken = self.lock();
        if taken.get(&user).is_some_and(|&count| count >= MAX_TUNNELS_PER_USER) {
            return Err(TunnelError::TooManyOfUser);
        }
        if taken.values().sum::<usize>() >= MAX_TUNNELS {
            return Err(TunnelError::TooMany);
        }
        *taken.entry(user).or_default() += 1;
        Ok(Place { places: Arc::clone(self), user })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        let left = taken.remove(&self.user).unwrap_or_default().saturating_sub(1);
        if left > 0 {
            taken.insert(self.user, left);
        }
    }
}

/// One end of a tunnel: a socket that is this tunnel's alone, until it is dropped.
#[derive(Debug)]
pub struct Tunnel {
    /// By which datagrams go and come.
    pub socket: Socket,
    /// The relay.
    pub relay: SocketAddr,
    _place: Place,
    _counted: Counted,
}

/// Why there is no tunnel.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// There are too many.
    #[error("as many tunnels lead through this server as may; try again later")]
    TooMany,
    /// This user has too many, or this network without an account.
    #[error("you have {MAX_TUNNELS_PER_USER} tunnels already; let a transfer end first")]
    TooManyOfUser,
    /// Its host is not known here, or not said.
    #[error("this server does not find that relay")]
    NotFound,
    /// The system gives no socket.
    #[error("open a UDP socket")]
    Socket(#[from] io::Error),
}

impl From<TunnelError> for Refusal {
    fn from(error: TunnelError) -> Self {
        let message = error.to_string();
        match error {
            TunnelError::TooMany => Self::new(ErrorCode::LimitReached, message).with_limit(MAX_TUNNELS as u64),
            TunnelError::TooManyOfUser => {
                Self::new(ErrorCode::LimitReached, message).with_limit(MAX_TUNNELS_PER_USER as u64)
            }
            TunnelError::NotFound => Self::new(ErrorCode::NotFound, message),
            TunnelError::Socket(error) => {
                tracing::error!(error = %crate::report(&error), "no socket for a tunnel");
                super::internal()
            }
        }
    }
}

impl Tunnels {
    /// To relays that this service hands out.
    pub fn new(relays: Relays, metrics: Metrics) -> Self {
        Self { relays, metrics, users: Arc::default(), guests: Arc::default() }
    }

    /// Opens a tunnel to a relay at which somebody has a seat.
    pub async fn open(&self, traveller: Traveller, seat: &RelaySeat) -> Result<Tunnel, TunnelError> {
        let place = match traveller {
            Traveller::User(user) => self.users.take(user)?,
            Traveller::Guest(guest) => self.guests.take(guest.id)?,
        };
        let relay = self.address(seat).await.ok_or(TunnelError::NotFound)?;
        let socket = Socket::bind(any(relay))?;
        Ok(Tunnel { socket, relay, _place: place, _counted: self.metrics.tunnel() })
    }

    async fn address(&self, seat: &RelaySeat) -> Option<SocketAddr> {
        if let Some(own) = self.relays.own_address(seat.relay) {
            return Some(own);
        }
        let (host, &port) = (seat.host.as_ref()?, seat.ports.first()?);
        match timeout(LOOKUP, lookup_host((host.as_str(), port))).await {
            Ok(Ok(mut found)) => found.find(|&address| is_reached(address)),
            not_found => {
                let error = not_found.map(|found| found.map(drop));
                tracing::warn!(relay = %seat.name, ?error, "a relay's host is not found");
                None
            }
        }
    }
}

/// Any address of this machine, by which another of the same family is reached.
fn any(other: SocketAddr) -> SocketAddr {
    let ip = if other.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    SocketAddr::new(ip, 0)
}

/// Whether this machine has a way there; nothing is sent.
fn is_reached(address: SocketAddr) -> bool {
    UdpSocket::bind(any(address)).and_then(|socket| socket.connect(address)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_user_has_so_many_and_everybody_together_not_many_more() {
        let places = Arc::new(Places::default());
        let user = |n: usize| UserId(Uuid::from_u128(n as u128));
        let mut hers: Vec<Place> = (0..MAX_TUNNELS_PER_USER).map(|_| places.take(user(0)).unwrap()).collect();
        assert!(matches!(places.take(user(0)), Err(TunnelError::TooManyOfUser)));
        let others = (0..MAX_TUNNELS - MAX_TUNNELS_PER_USER).map(|n| places.take(user(1 + n / 10)).unwrap());
        let others: Vec<Place> = others.collect();
        assert!(matches!(places.take(user(999)), Err(TunnelError::TooMany)));
        hers.pop();
        drop(places.take(user(999)).unwrap());
        hers.push(places.take(user(0)).unwrap());
        drop((hers, others));
        assert!(places.lock().is_empty(), "nobody is remembered");
    }
}
