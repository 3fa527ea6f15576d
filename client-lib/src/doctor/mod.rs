//! What is between this computer and fast transfers, found out by trying it. Every look is bounded in time, disturbs
//! nobody, and leaves nothing behind; whoever calls judges what was found.
//!
//! | module | what it looks at |
//! | --- | --- |
//! | [`reach`] | the server, over QUIC and over TCP |
//! | [`survey`] | relays: how far they are, and how this computer looks from there |
//! | [`nat`] | what that tells of the NAT in front of this computer |
//! | [`machine`] | what the kernel grants to sockets, the processor's ciphers, the disk |
//! | [`limits`] | what a transfer can reach at most by the protocol's own bounds |

pub mod limits;
pub mod machine;
pub mod nat;
pub mod reach;
pub mod survey;

pub use hypersend_portmap::Grant;

use std::{
    net::{Ipv4Addr, UdpSocket},
    num::NonZeroU16,
    time::Duration,
};

/// How long routers are asked for a mapping: until the last of the protocols has been tried.
const ROUTER: Duration = Duration::from_secs(6);

/// The outside port that a router gives to a socket of this computer, if one does. It is given back at once.
pub async fn port_mapping() -> Option<Grant> {
    // Held until the end, so that what is mapped is nobody else's port.
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    let port = NonZeroU16::new(socket.local_addr().ok()?.port())?;
    hypersend_portmap::try_out(port, ROUTER).await
}
