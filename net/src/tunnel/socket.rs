//! A tunnel's socket. What the kernel can put together (GRO) or take apart (GSO) costs one call.

use hypersend_protocol::tunnel::DatagramBytes;
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use socket2::SockRef;
use std::{
    io::{self, IoSliceMut},
    net::SocketAddr,
};
use tokio::{io::Interest, net::UdpSocket};

/// What the kernel is asked to keep of datagrams that wait for the stream, in bytes. It is the queue before the tunnel: shorter,
/// and a burst is lost; longer, and everything waits behind it.
const BUFFER: usize = 512 << 10;

/// The most that a kernel hands over or takes at once, in bytes: a UDP datagram's length has 16 bits.
pub(super) const MOST: usize = (1 << 16) - 1;

/// One end of a tunnel.
#[derive(Debug)]
pub struct Socket {
    socket: UdpSocket,
    state: UdpSocketState,
}

impl Socket {
    /// Must be called in a runtime.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        let socket = std::net::UdpSocket::bind(address)?;
        // What is not granted is cut by the kernel.
        SockRef::from(&socket).set_recv_buffer_size(BUFFER)?;
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Self { socket: UdpSocket::from_std(socket)?, state })
    }

    /// The address it is bound to.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    /// Receives one datagram, or some of the same length and a last one. Cancel safe.
    pub(super) async fn recv(&self, buffer: &mut [u8]) -> io::Result<RecvMeta> {
        let received = self.socket.async_io(Interest::READABLE, || {
            let mut meta = [RecvMeta::default()];
            self.state.recv((&self.socket).into(), &mut [IoSliceMut::new(buffer)], &mut meta)?;
            Ok(meta[0])
        });
        received.await
    }

    /// Sends a batch; waits while the kernel has no room. What cannot get there is lost, as it would be on the way.
    pub(super) async fn send(&self, to: SocketAddr, batch: &Batch) -> io::Result<()> {
        let segment_size = (batch.bytes.len() > batch.segment).then_some(batch.segment);
        let transmit = Transmit { destination: to, ecn: None, contents: &batch.bytes, segment_size, src_ip: None };
        self.socket.async_io(Interest::WRITABLE, || self.state.send((&self.socket).into(), &transmit)).await
    }

    /// Begins a batch, of what the kernel takes at once: it may take less than before, if an interface has refused more.
    pub(super) fn begin(&self, batch: &mut Batch) {
        batch.bytes.clear();
        (batch.segment, batch.count, batch.most) = (0, 0, self.state.max_gso_segments());
    }
}

/// Datagrams of the same length, of which the last may be shorter.
#[derive(Debug, Default)]
pub(super) struct Batch {
    bytes: Vec<u8>,
    segment: usize,
    count: usize,
    /// How many at most.
    most: usize,
}

impl Batch {
    /// Adds a datagram, unless it has to begin another batch.
    pub(super) fn add(&mut self, datagram: &DatagramBytes) -> bool {
        let datagram = datagram.as_slice();
        let is_first = self.count == 0;
        let fits = is_first
            || (self.count < self.most
                && datagram.len() <= self.segment
                && self.bytes.len() == self.count * self.segment
                && self.bytes.len() + datagram.len() <= MOST - HEADERS);
        if fits {
            if is_first {
                self.segment = datagram.len();
            }
            self.bytes.extend_from_slice(datagram);
            self.count += 1;
        }
        fits
    }
}

/// What the headers of UDP and IPv6 take of what a kernel takes at once.
const HEADERS: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;
    use hypersend_protocol::limit::MAX_DATAGRAM_BYTES;

    fn datagram(length: usize) -> DatagramBytes {
        DatagramBytes::new(vec![7; length]).unwrap()
    }

    #[test]
    fn a_batch_is_of_one_length_but_for_the_last() {
        let adds = |most: usize, lengths: &[usize]| {
            let mut batch = Batch { most, ..Batch::default() };
            let taken: Vec<bool> = lengths.iter().map(|&length| batch.add(&datagram(length))).collect();
            (taken, batch.bytes.len(), batch.segment)
        };
        assert_eq!(adds(4, &[100, 101, 100, 99, 99]), (vec![true, false, true, true, false], 299, 100));
        assert_eq!(adds(4, &[5; 5]), (vec![true, true, true, true, false], 20, 5));
        assert_eq!(adds(1, &[5; 2]), (vec![true, false], 5, 5));
        let (taken, ..) = adds(64, &[MAX_DATAGRAM_BYTES; 64]);
        assert_eq!(taken.iter().filter(|taken| **taken).count(), (MOST - HEADERS) / MAX_DATAGRAM_BYTES);
    }

    #[tokio::test]
    async fn batches_arrive_as_the_datagrams_that_they_were() {
        let [one, other] = [(); 2].map(|()| Socket::bind(([127, 0, 0, 1], 0).into()).unwrap());
        let lengths: Vec<usize> = (0..20).map(|_| 1_000).chain([17]).collect();
        let to = other.local_addr().unwrap();
        let mut batch = Batch::default();
        one.begin(&mut batch);
        for &length in &lengths {
            // Where the kernel takes none apart, each is a batch.
            if !batch.add(&datagram(length)) {
                one.send(to, &batch).await.unwrap();
                one.begin(&mut batch);
                assert!(batch.add(&datagram(length)));
            }
        }
        one.send(to, &batch).await.unwrap();
        let (mut buffer, mut received) = (vec![0; MOST], Vec::new());
        while received.len() < lengths.len() {
            let meta = other.recv(&mut buffer).await.unwrap();
            assert_eq!(meta.addr, one.local_addr().unwrap());
            received.extend(buffer[..meta.len].chunks(meta.stride).map(<[u8]>::len));
        }
        assert_eq!(received, lengths);
    }
}
