//! The shell around the core: sockets, the clock, and an end.
//!
//! A relay has one UDP port for its sessions and one or several sockets on it, each with a task of its own; and perhaps more
//! ports, with a socket each, at which it only says how whoever asks looks from there. They share the core behind a
//! lock that is held for the decisions about one batch, and never across an await. So a datagram may come in by one
//! socket and its session's other side be known from another; it goes out by the socket that it came in by.

mod bundle;
mod port;
mod socket;

use crate::{
    clock::Clock,
    counters::Counters,
    relay::Relay,
    settings::{SWEEP, Settings},
};
use port::{Port, Purpose};
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

/// A socket failed while the relay was running.
#[derive(Debug, thiserror::Error)]
#[error("the UDP socket failed; nothing is passed on any more, start the relay again")]
pub struct SocketFailed(#[source] io::Error);

/// A relay with its sockets.
pub struct Switch {
    shared: Arc<Shared>,
    sockets: Vec<UdpSocket>,
    elsewhere: Vec<UdpSocket>,
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
    /// Binds the port of the first address with so many sockets, each of which takes 2 MiB and up to 8 MiB of the kernel's. More sockets than
    /// cores are of no use; where the kernel does not divide the flows among them, one is used. At the
    /// addresses in `elsewhere` only Observe is answered.
    pub fn bind(
        settings: &Settings,
        address: SocketAddr,
        elsewhere: &[SocketAddr],
        sockets: usize,
    ) -> Result<Self, BindError> {
        let failed = |source| BindError { address, source };
        let sockets = if cfg!(target_os = "linux") { sockets } else { 1 };
        let sockets = socket::bind(address, sockets).map_err(failed)?;
        let granted = socket::receive_buffer(&sockets[0]).map_err(failed)?;
        if granted < socket::BUFFER_SIZE {
            let wanted = socket::BUFFER_SIZE;
            tracing::warn!(granted, wanted, "small receive buffer; raise net.core.rmem_max for full speed");
        }
        let one = |&address| socket::one(address).map_err(|source| BindError { address, source });
        let elsewhere = elsewhere.iter().map(one).collect::<Result<_, _>>()?;
        let shared = Arc::new(Shared {
            relay: Mutex::new(Relay::new(settings)),
            clock: Clock::start(),
            is_leaving: AtomicBool::new(false),
            unsent: AtomicU64::new(0),
            waits: AtomicU64::new(0),
        });
        Ok(Self { shared, sockets, elsewhere })
    }

    /// Where it listens: first where its sessions are, then where it answers only Observe.
    pub fn local_addrs(&self) -> io::Result<Vec<SocketAddr>> {
        self.sockets[..1].iter().chain(&self.elsewhere).map(UdpSocket::local_addr).collect()
    }

    /// To watch it by.
    pub fn observer(&self) -> Observer {
        Observer(self.shared.clone())
    }

    /// Passes datagrams on until `stopping` is cancelled. Then takes nobody new, and returns when the last session has
    /// ended or `grace` is over.
    pub async fn run(self, stopping: CancellationToken, grace: Duration) -> Result<(), SocketFailed> {
        let mut ports = JoinSet::new();
        let sessions = self.sockets.into_iter().map(|socket| (socket, Purpose::Sessions));
        let elsewhere = self.elsewhere.into_iter().map(|socket| (socket, Purpose::Observe));
        for (socket, purpose) in sessions.chain(elsewhere) {
            ports.spawn(Port::new(socket, purpose, self.shared.clone()).map_err(SocketFailed)?.run());
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
