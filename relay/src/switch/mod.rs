//! The shell around the core: sockets, the clock, and an end.
//!
//! A relay has one UDP port or more, its doors, and one or several sockets on each, with a task for each socket. They share the
//! core behind a lock that is held for the decisions about one batch, and never across an await. So a datagram may come in by one
//! socket and its session's other side be known from another; it goes out by the socket that it came in by or, where the other
//! side knows another door, by the first one there.

mod bundle;
mod port;
mod socket;

use crate::{
    clock::Clock,
    counters::Counters,
    relay::{Door, Relay},
    settings::{SWEEP, Settings},
};
use port::Port;
use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{
    net::UdpSocket as AsyncUdpSocket,
    task::JoinSet,
    time::{Instant, MissedTickBehavior, interval},
};
use tokio_util::sync::CancellationToken;

/// The port could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("listen on {address} (UDP); choose another address by --listen, or stop what uses it")]
pub struct BindError {
    address: SocketAddr,
    source: io::Error,
}

impl BindError {
    /// What the system said.
    pub fn reason(self) -> io::Error {
        self.source
    }
}

/// A socket failed while the relay was running.
#[derive(Debug, thiserror::Error)]
#[error("the UDP socket failed; nothing is passed on any more, start the relay again")]
pub struct SocketFailed(#[source] io::Error);

/// A relay with its sockets.
pub struct Switch {
    shared: Arc<Shared>,
    /// By doors. Each has one at least.
    doors: Vec<Vec<UdpSocket>>,
}

/// What the sockets have in common.
struct Shared {
    relay: Mutex<Relay>,
    clock: Clock,
    is_leaving: AtomicBool,
    unsent: AtomicU64,
    waits: AtomicU64,
}

impl Shared {
    fn relay(&self) -> MutexGuard<'_, Relay> {
        // Whoever panics with the lock takes the whole relay with it.
        self.relay.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a relay stands. Cloning shares it.
#[derive(Clone)]
pub struct Observer(Arc<Shared>);

/// How a relay stood at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// What has been passed on and dropped.
    pub counters: Counters,
    /// Sessions, with those that ended within the last [`SWEEP`].
    pub sessions: usize,
    /// Addresses that are bound.
    pub addresses: usize,
    /// Datagrams that the kernel did not take: mostly those too large for the way out.
    pub unsent: u64,
    /// How often the kernel had no room for what was to be sent.
    pub waits: u64,
    /// Whether it takes nobody new.
    pub is_leaving: bool,
}

impl Observer {
    /// How it stands now.
    pub fn snapshot(&self) -> Snapshot {
        let relay = self.0.relay();
        Snapshot {
            counters: relay.counters().clone(),
            sessions: relay.sessions(),
            addresses: relay.addresses(),
            unsent: self.0.unsent.load(Relaxed),
            waits: self.0.waits.load(Relaxed),
            is_leaving: self.is_leaving(),
        }
    }

    /// Whether it takes nobody new.
    pub fn is_leaving(&self) -> bool {
        self.0.is_leaving.load(Relaxed)
    }
}

impl Switch {
    /// Binds the port of each address with so many sockets, each of which takes 2 MiB and up to 8 MiB of the kernel's. More
    /// sockets than cores are of no use; where the kernel does not divide the flows among them, one is used.
    pub fn bind(settings: &Settings, addresses: &[SocketAddr], sockets: usize) -> Result<Self, BindError> {
        let sockets = if cfg!(target_os = "linux") { sockets } else { 1 };
        let door = |&address| {
            let failed = |source| BindError { address, source };
            let all = socket::bind(address, sockets).map_err(failed)?;
            let granted = socket::receive_buffer(&all[0]).map_err(failed)?;
            if granted < socket::BUFFER_SIZE {
                let wanted = socket::BUFFER_SIZE;
                tracing::warn!(granted, wanted, "small receive buffer; raise net.core.rmem_max for full speed");
            }
            Ok(all)
        };
        let doors = addresses.iter().map(door).collect::<Result<_, BindError>>()?;
        let shared = Arc::new(Shared {
            relay: Mutex::new(Relay::new(settings)),
            clock: Clock::start(),
            is_leaving: AtomicBool::new(false),
            unsent: AtomicU64::new(0),
            waits: AtomicU64::new(0),
        });
        Ok(Self { shared, doors })
    }

    /// Where it listens, door by door.
    pub fn local_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        self.doors.iter().map(|sockets| sockets[0].local_addr()).collect()
    }

    /// To watch it by.
    pub fn observer(&self) -> Observer {
        Observer(self.shared.clone())
    }

    /// Passes datagrams on until `stopping` is cancelled. Then takes nobody new, and returns when the last session has
    /// ended or `grace` is over. Whoever watches it sees when it has ended for another reason, too.
    pub async fn run(self, stopping: CancellationToken, grace: Duration) -> Result<(), SocketFailed> {
        let shared = self.shared.clone();
        let ended = self.pass_on(stopping, grace).await;
        shared.is_leaving.store(true, Relaxed);
        ended
    }

    async fn pass_on(self, stopping: CancellationToken, grace: Duration) -> Result<(), SocketFailed> {
        let mut ports = JoinSet::new();
        let shared = |socket| AsyncUdpSocket::from_std(socket).map(Arc::new);
        let door = |sockets: Vec<_>| sockets.into_iter().map(shared).collect::<io::Result<Vec<_>>>();
        let doors = self.doors.into_iter().map(door).collect::<Result<Vec<_>, _>>().map_err(SocketFailed)?;
        let first_of_doors: Vec<_> = doors.iter().map(|sockets| sockets[0].clone()).collect();
        for (at, sockets) in doors.iter().enumerate() {
            for socket in sockets {
                let port = Port::new(socket, Door(at), &first_of_doors, self.shared.clone());
                ports.spawn(port.map_err(SocketFailed)?.run());
            }
        }
        let mut sweeps = interval(SWEEP);
        sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut leaves_at = None;
        loop {
            tokio::select! {
                _ = sweeps.tick() => self.shared.sweep(),
                () = stopping.cancelled(), if leaves_at.is_none() => {
                    leaves_at = Some(Instant::now() + grace);
                    self.shared.leave();
                }
                Some(ended) = ports.join_next() => {
                    return Err(SocketFailed(ended.unwrap_or_else(io::Error::other)));
                }
            }
            if let Some(leaves_at) = leaves_at {
                let sessions = self.shared.relay().sessions();
                if sessions == 0 {
                    return Ok(());
                }
                if Instant::now() >= leaves_at {
                    tracing::warn!(sessions, "sessions cut at the end of the grace");
                    return Ok(());
                }
            }
        }
    }
}

impl Shared {
    fn sweep(&self) {
        let ended = self.relay().sweep(self.clock.now());
        for ended in ended {
            let [of_sender, of_receiver] = ended.forwarded;
            tracing::info!(session = %ended.session, of_sender, of_receiver, "session ended");
        }
    }

    fn leave(&self) {
        self.is_leaving.store(true, Relaxed);
        let mut relay = self.relay();
        relay.leave();
        let sessions = relay.sessions();
        drop(relay);
        tracing::info!(sessions, "leaving: nobody new is taken");
    }
}
