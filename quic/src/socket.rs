//! The UDP socket below an endpoint.

use socket2::{Domain, Protocol, SockRef, Socket, Type};
use std::{
    io,
    net::{SocketAddr, UdpSocket},
};

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
