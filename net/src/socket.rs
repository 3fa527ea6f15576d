//! The sockets: UDP below an endpoint, TCP below a connection.

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::{
    io,
    net::{SocketAddr, UdpSocket},
};
use tokio::net::TcpStream;

/// Kernel buffer asked for in each direction, in bytes. The usual default of 208 KiB loses packets even on loopback; what
/// `net.core.rmem_max` and `wmem_max` allow may be less than this.
pub const BUFFER_SIZE: usize = 4 << 20;

/// The kernel buffers of a socket, in bytes, as the kernel granted them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffers {
    /// For receiving.
    pub receive: usize,
    /// For sending.
    pub send: usize,
}

/// Binds a socket for a quinn endpoint. An unspecified IPv6 address takes IPv4 as well.
pub fn bind(address: SocketAddr) -> io::Result<(UdpSocket, Buffers)> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    let buffers = enlarge(&SockRef::from(&socket))?;
    socket.bind(&address.into())?;
    Ok((socket.into(), buffers))
}

/// Unsent bytes that the kernel takes of a TCP connection. What it has taken cannot be overtaken, so a message waits for it;
/// this is a few milliseconds at 100 Mbit/s, and what is sent and not acknowledged does not count.
const UNSENT: u32 = 128 << 10;

/// Makes a TCP connection fit for small messages beside bulk.
pub fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    #[cfg(any(target_os = "android", target_os = "linux"))]
    SockRef::from(stream).set_tcp_notsent_lowat(UNSENT)?;
    Ok(())
}

fn enlarge(socket: &SockRef<'_>) -> io::Result<Buffers> {
    // Refused sizes are cut to the maximum by the kernel; what was granted is read back and reported.
    socket.set_recv_buffer_size(BUFFER_SIZE)?;
    socket.set_send_buffer_size(BUFFER_SIZE)?;
    // Linux reports twice what it grants, the other half being its own bookkeeping (socket(7)).
    let halved = |reported: usize| if cfg!(target_os = "linux") { reported / 2 } else { reported };
    Ok(Buffers { receive: halved(socket.recv_buffer_size()?), send: halved(socket.send_buffer_size()?) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_bind_and_report_their_buffers() {
        for address in ["127.0.0.1:0", "[::]:0"] {
            let (socket, buffers) = bind(address.parse().unwrap()).unwrap();
            assert_ne!(socket.local_addr().unwrap().port(), 0);
            assert!(buffers.receive > 0 && buffers.send > 0);
        }
    }
}
