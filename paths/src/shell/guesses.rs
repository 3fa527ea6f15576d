//! The many sockets of a round of guessing: small ones, each of which may become an endpoint's.

use super::tap::Caught;
use crate::core::Via;
use hypersend_net::socket::BUFFER_SIZE;
use hypersend_protocol::paths::{PROBE_BYTES, PROBE_MARK};
use socket2::SockRef;
use std::{
    collections::BTreeMap,
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};
use tokio::{
    net::UdpSocket,
    sync::mpsc,
    task::{AbortHandle, JoinSet},
};

/// Which part of the files that this process may open a round may take. The others are the owner's.
const SHARE_OF_FILES: u64 = 4;

#[derive(Default)]
pub(crate) struct Guesses {
    sockets: BTreeMap<Via, (Arc<UdpSocket>, AbortHandle)>,
    tasks: JoinSet<()>,
}

impl Guesses {
    /// Opens as many as it can. Which these are.
    pub(crate) fn open(&mut self, vias: Vec<Via>, caught: &mpsc::Sender<Caught>) -> Vec<Via> {
        self.close();
        let most = usize::try_from(files() / SHARE_OF_FILES).unwrap_or(usize::MAX);
        for via in vias.into_iter().take(most) {
            if let Err(error) = self.add(via, caught.clone()) {
                tracing::debug!(%error, opened = self.sockets.len(), "fewer sockets than wanted");
                break;
            }
        }
        self.sockets.keys().copied().collect()
    }

    /// Sends one datagram, or loses it.
    pub(crate) fn send(&self, via: Via, to: SocketAddr, bytes: &[u8]) {
        if let Some((socket, _)) = self.sockets.get(&via) {
            // Past tokio, which does not yet know of a new socket that it may be written to.
            let _ = SockRef::from(&**socket).send_to(bytes, &to.into());
        }
    }

    /// Takes one out, for an endpoint.
    pub(crate) fn take(&mut self, via: Via) -> io::Result<std::net::UdpSocket> {
        let (socket, reads) = self.sockets.remove(&via).ok_or(io::ErrorKind::NotFound)?;
        reads.abort();
        let socket = SockRef::from(&*socket).try_clone()?;
        // What the kernel does not grant, it cuts.
        socket.set_recv_buffer_size(BUFFER_SIZE)?;
        socket.set_send_buffer_size(BUFFER_SIZE)?;
        Ok(socket.into())
    }

    pub(crate) fn close(&mut self) {
        self.tasks.abort_all();
        self.sockets.clear();
        // Those that have ended are forgotten; the others end at their next turn.
        while self.tasks.try_join_next().is_some() {}
    }

    fn add(&mut self, via: Via, caught: mpsc::Sender<Caught>) -> io::Result<()> {
        let socket = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.set_nonblocking(true)?;
        let socket = Arc::new(UdpSocket::from_std(socket)?);
        let reads = self.tasks.spawn(read(via, socket.clone(), caught));
        self.sockets.insert(via, (socket, reads));
        Ok(())
    }
}

async fn read(via: Via, socket: Arc<UdpSocket>, caught: mpsc::Sender<Caught>) {
    let mut buffer = [0; PROBE_BYTES + 1];
    // An error is of one datagram that was sent: nobody is at the port.
    loop {
        if let Ok((PROBE_BYTES, from)) = socket.recv_from(&mut buffer).await
            && buffer[0] == PROBE_MARK
        {
            let _ = caught.try_send(Caught { via, from, bytes: buffer[..PROBE_BYTES].to_vec() });
        }
    }
}

/// How many files this process may have open.
fn files() -> u64 {
    #[cfg(unix)]
    return rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(u64::MAX);
    #[cfg(not(unix))]
    return 1 << 10;
}
