//! As much of a TURN client (RFC 8656) as a measurement needs: an allocation over UDP without credentials, a permission, and a
//! channel to one peer. IPv4 only.

use anyhow::{Context, Result, bail, ensure};
use std::{
    net::{Ipv4Addr, SocketAddr, SocketAddrV4, UdpSocket},
    time::Duration,
};

/// What `ChannelData` begins with: the channel, and the length of what follows (RFC 8656, 12.4).
pub(super) const CHANNEL_HEAD: usize = 4;

/// The first of the channels that there are.
const CHANNEL: u16 = 0x4000;

/// In every message (RFC 8489, 5).
const MAGIC: u32 = 0x2112_a442;

const ALLOCATE: u16 = 0x003;
const CREATE_PERMISSION: u16 = 0x008;
const CHANNEL_BIND: u16 = 0x009;
const SUCCESS: u16 = 0x100;

const CHANNEL_NUMBER: u16 = 0x000c;
const XOR_PEER_ADDRESS: u16 = 0x0012;
const XOR_RELAYED_ADDRESS: u16 = 0x0016;
const REQUESTED_TRANSPORT: u16 = 0x0019;

/// After how long a request is sent again; coturn takes a while to start.
const PATIENCE: Duration = Duration::from_millis(300);

/// How often it is sent.
const ATTEMPTS: usize = 60;

/// Has the server relay between this blocking socket and a peer. Gives the address that the peer is to send to.
pub(super) fn allocate(socket: &UdpSocket, server: SocketAddr, peer: SocketAddr) -> Result<SocketAddr> {
    socket.set_read_timeout(Some(PATIENCE))?;
    // UDP's number among the protocols, then three bytes for later use.
    let allocated = ask(socket, server, ALLOCATE, &[(REQUESTED_TRANSPORT, vec![17, 0, 0, 0])])?;
    let peer = (XOR_PEER_ADDRESS, crossed(peer)?);
    ask(socket, server, CREATE_PERMISSION, std::slice::from_ref(&peer))?;
    let [high, low] = CHANNEL.to_be_bytes();
    ask(socket, server, CHANNEL_BIND, &[(CHANNEL_NUMBER, vec![high, low, 0, 0]), peer])?;
    socket.set_read_timeout(None)?;
    let relayed = attribute(&allocated, XOR_RELAYED_ADDRESS).context("an allocation without an address")?;
    uncrossed(relayed)
}

/// What stands before so many bytes of data on the channel.
pub(super) fn channel_head(length: usize) -> Result<[u8; CHANNEL_HEAD]> {
    let ([a, b], [c, d]) = (CHANNEL.to_be_bytes(), u16::try_from(length)?.to_be_bytes());
    Ok([a, b, c, d])
}

/// The attributes of the answer.
fn ask(socket: &UdpSocket, server: SocketAddr, method: u16, attributes: &[(u16, Vec<u8>)]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    for (kind, value) in attributes {
        body.extend(kind.to_be_bytes());
        body.extend(u16::try_from(value.len())?.to_be_bytes());
        body.extend(value);
    }
    for _ in 0..ATTEMPTS {
        let transaction = uuid::Uuid::new_v4();
        let mut message = Vec::new();
        message.extend(method.to_be_bytes());
        message.extend(u16::try_from(body.len())?.to_be_bytes());
        message.extend(MAGIC.to_be_bytes());
        message.extend(&transaction.as_bytes()[..12]);
        message.extend(&body);
        // Nobody may be there yet, which the next call says.
        let _ = socket.send_to(&message, server);
        let mut answer = [0; 2048];
        while let Ok(length) = socket.recv(&mut answer) {
            let Some((head, attributes)) = answer[..length].split_first_chunk::<20>() else { continue };
            if head[4..] == message[4..20] {
                let kind = u16::from_be_bytes([head[0], head[1]]);
                ensure!(kind == method | SUCCESS, "coturn answered {method:#x} with {kind:#x}: {attributes:?}");
                return Ok(attributes.to_vec());
            }
        }
    }
    bail!("coturn at {server} does not answer")
}

fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    loop {
        let (&[a, b, c, d], rest) = attributes.split_first_chunk()?;
        let length = usize::from(u16::from_be_bytes([c, d]));
        if u16::from_be_bytes([a, b]) == wanted {
            return rest.get(..length);
        }
        attributes = rest.get(length.next_multiple_of(4)..)?;
    }
}

/// An address as it travels (RFC 8489, 14.2).
fn crossed(address: SocketAddr) -> Result<Vec<u8>> {
    let SocketAddr::V4(address) = address else { bail!("an IPv6 address") };
    let mut value = vec![0, 1];
    value.extend((address.port() ^ 0x2112).to_be_bytes());
    value.extend((address.ip().to_bits() ^ MAGIC).to_be_bytes());
    Ok(value)
}

fn uncrossed(value: &[u8]) -> Result<SocketAddr> {
    let &[_, 1, a, b, ref ip @ ..] = value else { bail!("no IPv4 address: {value:?}") };
    let port = u16::from_be_bytes([a, b]) ^ 0x2112;
    let ip = u32::from_be_bytes(ip.try_into().context("an IPv4 address has four bytes")?) ^ MAGIC;
    Ok(SocketAddrV4::new(Ipv4Addr::from_bits(ip), port).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_crossed_as_rfc_5769_has_it() {
        let address = "192.0.2.1:32853".parse().unwrap();
        let crossed = crossed(address).unwrap();
        assert_eq!(crossed, [0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43]);
        assert_eq!(uncrossed(&crossed).unwrap(), address);
    }

    #[test]
    fn an_attribute_is_found_behind_a_padded_one() {
        let attributes = [0x80, 0x22, 0, 3, b'a', b'b', b'c', 0, 0, 0x16, 0, 1, 9, 0, 0, 0];
        assert_eq!(attribute(&attributes, XOR_RELAYED_ADDRESS), Some(&[9][..]));
        assert_eq!(attribute(&attributes, CHANNEL_NUMBER), None);
    }
}
