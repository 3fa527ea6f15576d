//! A socket for quinn that keeps from it what is not QUIC: what relays say themselves, and probes.

use crate::core::Via;
use hypersend_protocol::{
    paths::PROBE_MARK,
    relay::{MARK, MAX_ANSWER_BYTES},
};
use quinn::{
    AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller,
    udp::{RecvMeta, Transmit},
};
use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, SocketAddr, UdpSocket},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::sync::mpsc;

/// Datagrams taken out that wait for the driver. More are dropped, as the kernel would: whoever asks, asks again.
pub(crate) const MAX_CAUGHT: usize = 256;

/// A datagram that is not for quinn.
#[derive(Debug)]
pub(crate) struct Caught {
    pub(crate) via: Via,
    pub(crate) from: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Tap {
    inner: Arc<dyn AsyncUdpSocket>,
    /// The same socket, for what is sent past quinn: the runtime does not yet know of a new one that it may be written to, and
    /// the first question to a relay would be lost.
    socket: UdpSocket,
    via: Via,
    is_six: bool,
    caught: mpsc::Sender<Caught>,
    #[cfg(test)]
    pub(crate) is_dead: std::sync::atomic::AtomicBool,
}

impl Tap {
    /// Must be called in a runtime.
    pub(crate) fn new(socket: UdpSocket, via: Via, caught: mpsc::Sender<Caught>) -> io::Result<Self> {
        let inner = TokioRuntime.wrap_udp_socket(socket.try_clone()?)?;
        let is_six = inner.local_addr()?.is_ipv6();
        Ok(Self {
            inner,
            socket,
            via,
            is_six,
            caught,
            #[cfg(test)]
            is_dead: false.into(),
        })
    }

    /// Sends one datagram, or loses it: there may be no room, or no way.
    pub(crate) fn send(&self, to: SocketAddr, bytes: &[u8]) {
        let destination = match to.ip() {
            IpAddr::V4(ip) if self.is_six => SocketAddr::new(ip.to_ipv6_mapped().into(), to.port()),
            _ => to,
        };
        #[cfg(test)]
        if self.is_dead.load(std::sync::atomic::Ordering::Relaxed) {
            return;
        }
        if let Err(error) = self.socket.send_to(bytes, destination) {
            tracing::trace!(%to, %error, "a datagram was not sent");
        }
    }

    /// Takes what is not QUIC out of one message, which has one datagram or several of the same length, the last perhaps
    /// shorter; what is left keeps that form.
    fn sift(&self, buffer: &mut [u8], meta: &mut RecvMeta) {
        let stride = meta.stride.max(1);
        let is_ours = |datagram: &[u8]| matches!(datagram.first(), Some(&(MARK | PROBE_MARK)));
        if !buffer[..meta.len].chunks(stride).any(is_ours) {
            return;
        }
        let (mut kept, mut at) = (0, 0);
        while at < meta.len {
            let end = (at + stride).min(meta.len);
            if is_ours(&buffer[at..end]) {
                let bytes = &buffer[at..end];
                if bytes.len() <= MAX_ANSWER_BYTES {
                    let from = canonical(meta.addr);
                    let _ = self.caught.try_send(Caught { via: self.via, from, bytes: bytes.to_vec() });
                }
            } else {
                buffer.copy_within(at..end, kept);
                kept += end - at;
            }
            at = end;
        }
        meta.len = kept;
    }
}

/// An IPv4 address is one, whatever kind of socket it was seen by.
pub(crate) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

impl AsyncUdpSocket for Tap {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.inner.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        #[cfg(test)]
        if self.is_dead.load(std::sync::atomic::Ordering::Relaxed) {
            return Ok(());
        }
        self.inner.try_send(transmit)
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let messages = ready!(self.inner.poll_recv(context, buffers, meta))?;
        for (buffer, meta) in buffers.iter_mut().zip(meta).take(messages) {
            #[cfg(test)]
            if self.is_dead.load(std::sync::atomic::Ordering::Relaxed) {
                meta.len = 0;
            }
            self.sift(buffer, meta);
        }
        Poll::Ready(Ok(messages))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.inner.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.inner.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.inner.may_fragment()
    }
}
