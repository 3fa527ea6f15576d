//! The path between client and server, in hand: UDP datagrams pass through it and may be lost, slowed down, cut off, or
//! sent on from another port, as a NAT does that has forgotten a mapping.
//!
//! A cut after so many bytes puts a transfer into the same state on any machine, where waiting for a time would not.

use crate::dice::Dice;
use hypersend_net::socket;
use std::{
    collections::HashMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{
    net::UdpSocket,
    sync::watch,
    time::{Instant, sleep_until},
};
use tokio_util::task::AbortOnDropHandle;

/// The most clients at once; each has a socket and a task.
const MAX_FLOWS: usize = 64;

/// The largest datagram there is.
const MAX_DATAGRAM: usize = 65_535;

/// How far ahead of its rate a slowed path may run: a timer is no finer than a few of these.
const BURST: Duration = Duration::from_millis(5);

/// A path on loopback. Ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    path: Arc<Path>,
    _forwarding: AbortOnDropHandle<()>,
}

#[derive(Debug)]
struct Path {
    server: Mutex<SocketAddr>,
    front: UdpSocket,
    /// One way to the server for each client, as a NAT has it.
    flows: Mutex<HashMap<SocketAddr, Flow>>,
    rules: Mutex<Rules>,
    is_cut: watch::Sender<bool>,
    carried: [AtomicU64; 2],
}

#[derive(Debug)]
struct Flow {
    back: Arc<UdpSocket>,
    _returning: AbortOnDropHandle<()>,
}

/// Which way a datagram goes.
#[derive(Clone, Copy)]
enum Way {
    Up,
    Down,
}

#[derive(Debug)]
struct Rules {
    passage: Passage,
    /// Lost datagrams of a thousand.
    loss: u64,
    dice: Option<Dice>,
    /// Bytes per second, each way.
    rate: Option<u64>,
    /// When the next datagram may leave, each way.
    free_at: [Instant; 2],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Passage {
    Open,
    /// So many bytes more, both ways together.
    OpenFor(u64),
    Cut,
}

impl Proxy {
    /// A path to a server that carries everything. Must be called within a tokio runtime.
    pub fn start(server: SocketAddr) -> Self {
        let path = Arc::new(Path {
            server: Mutex::new(server),
            front: bind().expect("bind a loopback port"),
            flows: Mutex::default(),
            rules: Mutex::new(Rules {
                passage: Passage::Open,
                loss: 0,
                dice: None,
                rate: None,
                free_at: [Instant::now(); 2],
            }),
            is_cut: watch::Sender::new(false),
            carried: Default::default(),
        });
        let address = path.front.local_addr().expect("it is bound");
        let forwarding = AbortOnDropHandle::new(tokio::spawn(path.clone().forward()));
        Self { address, path, _forwarding: forwarding }
    }

    /// Where clients find the server now.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Lets nothing through any more.
    pub fn cut(&self) {
        self.path.pass(Passage::Cut);
    }

    /// Lets so many bytes more through, both ways together, and then nothing.
    pub fn cut_after(&self, bytes: u64) {
        self.path.pass(Passage::OpenFor(bytes));
    }

    /// Waits until the path is cut.
    pub async fn until_cut(&self) {
        let mut is_cut = self.path.is_cut.subscribe();
        let waited = crate::within("the path is used up", is_cut.wait_for(|cut| *cut)).await;
        waited.expect("the proxy is there");
    }

    /// Lets everything through again.
    pub fn restore(&self) {
        self.path.pass(Passage::Open);
    }

    /// Leads to another server from now on, as a balancer does when one has gone.
    pub fn lead_to(&self, server: SocketAddr) {
        *self.path.server.lock().unwrap_or_else(PoisonError::into_inner) = server;
    }

    /// Goes on from other ports towards the server, as after a NAT's restart; answers to the old ones are lost.
    pub fn rebind(&self) {
        self.path.flows().clear();
    }

    /// Loses so many datagrams of a thousand, each way. Prints its seed.
    pub fn lose(&self, of_thousand: u64) {
        let mut rules = self.path.rules();
        rules.loss = of_thousand;
        rules.dice = Some(Dice::new());
    }

    /// Carries at most so many bytes a second, each way; the kernel's buffer is the queue before the bottleneck.
    pub fn slow_to(&self, bytes_per_second: u64) {
        self.path.rules().rate = Some(bytes_per_second);
    }

    /// Bytes of datagrams carried towards the server.
    pub fn carried_up(&self) -> u64 {
        self.path.carried[Way::Up as usize].load(Ordering::Relaxed)
    }

    /// Bytes of datagrams carried towards the clients.
    pub fn carried_down(&self) -> u64 {
        self.path.carried[Way::Down as usize].load(Ordering::Relaxed)
    }
}

impl Path {
    async fn forward(self: Arc<Self>) {
        let mut datagram = vec![0; MAX_DATAGRAM];
        loop {
            // The only errors on an unconnected socket are about datagrams sent before.
            let Ok((length, client)) = self.front.recv_from(&mut datagram).await else { continue };
            let Some(back) = self.flow(client) else { continue };
            if self.admits(Way::Up, length).await {
                let _ = back.send_to(&datagram[..length], self.server()).await;
            }
        }
    }

    async fn give_back(self: Arc<Self>, back: Arc<UdpSocket>, client: SocketAddr) {
        let mut datagram = vec![0; MAX_DATAGRAM];
        loop {
            let Ok((length, from)) = back.recv_from(&mut datagram).await else { continue };
            if from == self.server() && self.admits(Way::Down, length).await {
                let _ = self.front.send_to(&datagram[..length], client).await;
            }
        }
    }

    /// The client's way to the server; none for one client too many.
    fn flow(self: &Arc<Self>, client: SocketAddr) -> Option<Arc<UdpSocket>> {
        let mut flows = self.flows();
        if let Some(flow) = flows.get(&client) {
            return Some(flow.back.clone());
        }
        if flows.len() >= MAX_FLOWS {
            return None;
        }
        let back = Arc::new(bind().ok()?);
        let returning = tokio::spawn(self.clone().give_back(back.clone(), client));
        flows.insert(client, Flow { back: back.clone(), _returning: AbortOnDropHandle::new(returning) });
        Some(back)
    }

    /// Whether a datagram comes through; waits until it would, on a slow path.
    async fn admits(&self, way: Way, length: usize) -> bool {
        let bytes = length as u64;
        let leaves = {
            let mut rules = self.rules();
            if !self.passes(&mut rules, bytes) || rules.loses() {
                return false;
            }
            rules.leaves(way, bytes)
        };
        if let Some(leaves) = leaves {
            sleep_until(leaves).await;
        }
        self.carried[way as usize].fetch_add(bytes, Ordering::Relaxed);
        true
    }

    fn passes(&self, rules: &mut Rules, bytes: u64) -> bool {
        match rules.passage {
            Passage::Open => true,
            Passage::Cut => false,
            Passage::OpenFor(left) => {
                rules.passage = left.checked_sub(bytes).map_or(Passage::Cut, Passage::OpenFor);
                self.is_cut.send_replace(rules.passage == Passage::Cut);
                rules.passage != Passage::Cut
            }
        }
    }

    fn pass(&self, passage: Passage) {
        self.rules().passage = passage;
        self.is_cut.send_replace(passage == Passage::Cut);
    }

    fn server(&self) -> SocketAddr {
        *self.server.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flows(&self) -> MutexGuard<'_, HashMap<SocketAddr, Flow>> {
        self.flows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rules {
    fn loses(&mut self) -> bool {
        let loss = self.loss;
        self.dice.as_mut().is_some_and(|dice| dice.below(1_000) < loss)
    }

    /// When a datagram may leave; none for now.
    fn leaves(&mut self, way: Way, bytes: u64) -> Option<Instant> {
        let rate = self.rate?;
        let (now, free_at) = (Instant::now(), &mut self.free_at[way as usize]);
        let leaves = now.max(*free_at);
        *free_at = leaves + Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / rate);
        (leaves > now + BURST).then_some(leaves)
    }
}

fn bind() -> io::Result<UdpSocket> {
    let (socket, _) = socket::bind((Ipv4Addr::LOCALHOST, 0).into())?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::within;

    /// Sends until something comes back, as anybody who uses UDP has to.
    async fn echo(client: &UdpSocket, proxy: &Proxy, server: &UdpSocket) -> SocketAddr {
        client.send_to(b"ping", proxy.address()).await.unwrap();
        let mut bytes = [0; 8];
        let (length, from) = within("the server hears", server.recv_from(&mut bytes)).await.unwrap();
        server.send_to(&bytes[..length], from).await.unwrap();
        within("the client hears", client.recv_from(&mut bytes)).await.unwrap();
        from
    }

    #[tokio::test]
    async fn a_path_is_cut_restored_and_seen_from_another_port() {
        let (client, server) = (bind().unwrap(), bind().unwrap());
        let proxy = Proxy::start(server.local_addr().unwrap());
        let before = echo(&client, &proxy, &server).await;
        assert_eq!(echo(&client, &proxy, &server).await, before);
        proxy.rebind();
        assert_ne!(echo(&client, &proxy, &server).await, before);
        assert_eq!((proxy.carried_up(), proxy.carried_down()), (12, 12));

        proxy.cut_after(7);
        client.send_to(b"ping", proxy.address()).await.unwrap();
        client.send_to(b"lost", proxy.address()).await.unwrap();
        proxy.until_cut().await;
        proxy.restore();
        client.send_to(b"pong", proxy.address()).await.unwrap();
        let mut bytes = [0; 4];
        for expected in [b"ping", b"pong"] {
            within("the server hears", server.recv_from(&mut bytes)).await.unwrap();
            assert_eq!(&bytes, expected);
        }
    }
}
