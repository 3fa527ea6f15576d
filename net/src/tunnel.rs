//! The datagrams of a UDP socket on a stream: either end of a tunnel ([`hypersend_protocol::tunnel`]).

use crate::{
    frames::{FrameReader, RecvError},
    stream::{SendStream, StreamError},
};
use bytes::BytesMut;
use hypersend_protocol::{
    frame::encode,
    limit::MAX_DATAGRAM_BYTES,
    tunnel::{Datagram, DatagramBytes},
};
use socket2::SockRef;
use std::{
    io,
    net::SocketAddr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::net::UdpSocket;

/// What the kernel is asked to keep of datagrams that wait for the stream, in bytes. It is the queue before the tunnel: shorter,
/// and a burst is lost; longer, and everything waits behind it.
const BUFFER: usize = 512 << 10;

/// Bytes after which a write is not made longer by what else has come.
const WRITE: usize = 64 << 10;

/// Silence of somebody on this machine after which another may speak in its place: its socket may have become another.
const SILENCE: Duration = Duration::from_secs(3);

/// Who is at the other end of the socket.
#[derive(Clone, Copy, Debug)]
pub enum Far {
    /// This address: what comes from others is not for the tunnel.
    At(SocketAddr),
    /// Whoever speaks first, until it has been silent for a while. For a socket that only this machine reaches.
    WhoeverSpeaks,
}

/// Why a tunnel is over before its stream is finished.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// The socket failed.
    #[error("the tunnel's socket failed")]
    Socket(#[from] io::Error),
    /// What comes by the stream is a refusal or no datagram, or breaks off.
    #[error(transparent)]
    Received(#[from] RecvError),
    /// The stream takes nothing any more.
    #[error("the stream broke")]
    Stream(#[from] StreamError),
}

/// Binds a socket for one end of a tunnel. Must be called in a runtime.
pub fn bind(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = std::net::UdpSocket::bind(address)?;
    socket.set_nonblocking(true)?;
    // What is not granted is cut by the kernel.
    SockRef::from(&socket).set_recv_buffer_size(BUFFER)?;
    UdpSocket::from_std(socket)
}

/// Carries datagrams both ways until the other side of the stream finishes.
pub async fn carry(
    socket: &UdpSocket,
    far: Far,
    out: &mut SendStream,
    reader: &mut FrameReader,
) -> Result<(), TunnelError> {
    let far = Mutex::new(Heard { far, last: None });
    tokio::select! {
        // It has no end but an error.
        ended = to_stream(socket, &far, out) => ended,
        ended = to_socket(socket, &far, reader) => ended,
    }
}

async fn to_stream(socket: &UdpSocket, far: &Mutex<Heard>, out: &mut SendStream) -> Result<(), TunnelError> {
    // One byte more, to tell what is too long.
    let mut buffer = [0; MAX_DATAGRAM_BYTES + 1];
    let mut frames = BytesMut::new();
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await?;
        add(&mut frames, far, from, &buffer[..length])?;
        // What else has come by now goes along.
        while frames.len() < WRITE {
            match socket.try_recv_from(&mut buffer) {
                Ok((length, from)) => add(&mut frames, far, from, &buffer[..length])?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error.into()),
            }
        }
        if !frames.is_empty() {
            out.write(frames.split().freeze()).await?;
        }
    }
}

/// Adds a datagram to what is to be written, if it is for the tunnel and fits.
fn add(frames: &mut BytesMut, far: &Mutex<Heard>, from: SocketAddr, datagram: &[u8]) -> Result<(), RecvError> {
    if lock(far).takes(from, Instant::now())
        && let Ok(bytes) = DatagramBytes::new(datagram.to_vec())
    {
        frames.extend_from_slice(&encode(&Datagram { bytes })?);
    }
    Ok(())
}

async fn to_socket(socket: &UdpSocket, far: &Mutex<Heard>, reader: &mut FrameReader) -> Result<(), TunnelError> {
    while let Some(Datagram { bytes }) = reader.next().await? {
        let to = lock(far).address();
        if let Some(to) = to
            && let Err(error) = socket.send_to(bytes.as_slice(), to).await
        {
            // Too long for the network, or no way there: lost, as it would be there.
            tracing::trace!(%to, %error, "a datagram is not sent");
        }
    }
    Ok(())
}

fn lock(far: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    far.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Who is at the other end, and who has spoken.
#[derive(Debug)]
struct Heard {
    far: Far,
    last: Option<(SocketAddr, Instant)>,
}

impl Heard {
    /// Whether what comes from this address is for the tunnel.
    fn takes(&mut self, from: SocketAddr, now: Instant) -> bool {
        match (self.far, self.last) {
            (Far::At(address), _) => address == from,
            (Far::WhoeverSpeaks, Some((speaker, at))) if speaker != from && now < at + SILENCE => false,
            (Far::WhoeverSpeaks, _) => {
                self.last = Some((from, now));
                true
            }
        }
    }

    /// Where datagrams go.
    fn address(&self) -> Option<SocketAddr> {
        match self.far {
            Far::At(address) => Some(address),
            Far::WhoeverSpeaks => self.last.map(|(speaker, _)| speaker),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_speaks_in_place_of_who_has_been_silent() {
        let [one, other] = [1, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let (mut heard, now) = (Heard { far: Far::WhoeverSpeaks, last: None }, Instant::now());
        assert_eq!(heard.address(), None);
        assert!(heard.takes(one, now));
        let soon = now + SILENCE / 2;
        assert!(!heard.takes(other, soon) && heard.takes(one, soon));
        assert!(!heard.takes(other, now + SILENCE), "it has spoken since");
        assert_eq!(heard.address(), Some(one));
        assert!(heard.takes(other, soon + SILENCE));
        assert_eq!(heard.address(), Some(other));
    }

    #[test]
    fn nobody_speaks_in_place_of_a_relay() {
        let [relay, other] = [1, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let mut heard = Heard { far: Far::At(relay), last: None };
        assert!(heard.takes(relay, Instant::now()) && !heard.takes(other, Instant::now()));
        assert_eq!(heard.address(), Some(relay));
    }
}
