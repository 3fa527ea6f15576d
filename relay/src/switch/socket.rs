//! The sockets of one UDP port.

use socket2::{Domain, Protocol, Socket, Type};
use std::{
    io,
    net::{SocketAddr, UdpSocket},
};

/// Kernel buffer asked for in each direction, in bytes. What waits while a thread is busy has to fit; the usual default of
/// 208 KiB is three batches. `net.core.rmem_max` and `wmem_max` may allow less.
pub(super) const BUFFER_SIZE: usize = 4 << 20;

/// Sockets on one port, none of which blocks, among which the kernel divides the flows by their addresses. An unspecified IPv6 address takes IPv4
/// as well.
///
/// Several sockets on a port need `SO_REUSEPORT`, with which a second relay could take the same port and half of this one's
/// flows. So the port is first asked for without it, which fails if anybody has it.
pub(super) fn bind(address: SocketAddr, sockets: usize) -> io::Result<Vec<UdpSocket>> {
    if sockets <= 1 {
        return Ok(vec![one(address, false)?]);
    }
    drop(one(address, false)?);
    let first = one(address, true)?;
    let address = first.local_addr()?;
    let mut all = vec![first];
    for _ in 1..sockets {
        all.push(one(address, true)?);
    }
    Ok(all)
}

/// Bytes that the kernel granted for receiving. Linux reports twice that, the other half being its own bookkeeping
/// (socket(7)).
pub(super) fn receive_buffer(socket: &UdpSocket) -> io::Result<usize> {
    let reported = socket2::SockRef::from(socket).recv_buffer_size()?;
    Ok(if cfg!(target_os = "linux") { reported / 2 } else { reported })
}

fn one(address: SocketAddr, shared: bool) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    if shared {
        socket.set_reuse_port(true)?;
    }
    // Refused sizes are cut to the maximum by the kernel.
    socket.set_recv_buffer_size(BUFFER_SIZE)?;
    socket.set_send_buffer_size(BUFFER_SIZE)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_of_one_relay_share_a_port_and_no_other_relay_gets_it() {
        let all = bind("127.0.0.1:0".parse().unwrap(), 3).unwrap();
        let address = all[0].local_addr().unwrap();
        assert!(all.len() == 3 && all.iter().all(|socket| socket.local_addr().unwrap() == address));
        for sockets in [1, 3] {
            assert_eq!(bind(address, sockets).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        }
    }
}
