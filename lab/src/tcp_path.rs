//! The path between client and server over TCP: carries everything, holds it back, stands still, or breaks.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
    time::sleep,
};
use tokio_util::task::AbortOnDropHandle;

/// Bytes carried at once.
const PIECE: usize = 16 << 10;

/// The most connections at once. Whoever is held back may try again a few times a second.
const MAX_CONNECTIONS: usize = 512;

/// A path on loopback. Ends when dropped, and with it the connections through it.
#[derive(Debug)]
pub struct TcpPath {
    address: SocketAddr,
    state: watch::Sender<State>,
    rate: watch::Sender<Option<u32>>,
    _forwarding: AbortOnDropHandle<()>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    Held,
    Still,
    Broken,
}

impl TcpPath {
    /// A path to a server.
    pub async fn start(server: SocketAddr) -> Self {
        Self::listen(server, (Ipv4Addr::LOCALHOST, 0).into()).await.expect("bind a loopback port")
    }

    /// The same, where clients expect it.
    pub(crate) async fn listen(server: SocketAddr, at: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(at).await?;
        let (state, watched) = watch::channel(State::Open);
        let (rate, limit) = watch::channel(None);
        let address = listener.local_addr().expect("it is bound");
        let forwarding = AbortOnDropHandle::new(tokio::spawn(forward(listener, server, watched, limit)));
        Ok(Self { address, state, rate, _forwarding: forwarding })
    }

    /// Where clients find the server.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Carries nothing until [`TcpPath::restore`], and then everything that was said meanwhile, late as it is: as when a
    /// network is cut and repaired.
    pub fn hold(&self) {
        self.state.send_replace(State::Held);
    }

    /// Carries nothing any more, and says so to nobody: as when a cable is pulled.
    pub fn stand_still(&self) {
        self.state.send_replace(State::Still);
    }

    /// Breaks all connections and takes no new ones.
    pub fn cut(&self) {
        self.state.send_replace(State::Broken);
    }

    /// Carries about so many bytes a second, on each connection each way.
    pub fn slow_to(&self, bytes_per_second: u32) {
        self.rate.send_replace(Some(bytes_per_second));
    }

    /// Carries everything again. Connections that stood still stay so.
    pub fn restore(&self) {
        self.state.send_replace(State::Open);
    }
}

type Rate = watch::Receiver<Option<u32>>;

async fn forward(listener: TcpListener, server: SocketAddr, state: watch::Receiver<State>, rate: Rate) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else { continue };
        while connections.try_join_next().is_some() {}
        let is_taken = matches!(*state.borrow(), State::Open | State::Held);
        if is_taken && connections.len() < MAX_CONNECTIONS {
            connections.spawn(carry(client, server, state.clone(), rate.clone()));
        }
    }
}

async fn carry(client: TcpStream, server: SocketAddr, state: watch::Receiver<State>, rate: Rate) {
    let carried = async {
        passes(&state).await;
        let Ok(server) = TcpStream::connect(server).await else { return };
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        let up = copy(from_client, to_server, &state, &rate);
        let down = copy(from_server, to_client, &state, &rate);
        let both = async { tokio::join!(up, down) };
        tokio::select! {
            // However it ends, both see it end.
            _ = both => {}
            () = becomes(state.clone(), State::Still) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = carried => {}
        () = becomes(state.clone(), State::Broken) => {}
    }
}

async fn becomes(mut state: watch::Receiver<State>, wanted: State) {
    // A path that is gone takes its connections along.
    let _ = state.wait_for(|state| *state == wanted).await;
}

/// Waits while everything is held back.
async fn passes(state: &watch::Receiver<State>) {
    let _ = state.clone().wait_for(|state| *state != State::Held).await;
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    state: &watch::Receiver<State>,
    rate: &Rate,
) -> io::Result<()> {
    let mut piece = vec![0; PIECE];
    loop {
        let length = from.read(&mut piece).await?;
        passes(state).await;
        if length == 0 {
            return to.shutdown().await;
        }
        to.write_all(&piece[..length]).await?;
        let rate = *rate.borrow();
        if let (Some(rate), Ok(length)) = (rate, u32::try_from(length)) {
            sleep(Duration::from_secs(1) * length / rate).await;
        }
    }
}
