//! Who is at the other end of a tunnel's socket.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU16, Ordering::Relaxed},
    },
};

/// Who is at the other end: what comes from others is not for the tunnel.
#[derive(Clone, Debug)]
pub enum Far {
    /// This address.
    At(SocketAddr),
    /// This port of this machine's loopback (IPv4): another, when it changes; nobody while it is 0.
    Port(Arc<AtomicU16>),
}

impl Far {
    /// Where datagrams go.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::At(address) => Some(*address),
            Self::Port(port) => {
                Some(port.load(Relaxed)).filter(|port| *port != 0).map(|port| (Ipv4Addr::LOCALHOST, port).into())
            }
        }
    }

    /// Whether what comes from this address is for the tunnel.
    pub(super) fn is_at(&self, address: SocketAddr) -> bool {
        self.address() == Some(address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_else_is_listened_to() {
        let [one, other] = [1, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let relay = Far::At(one);
        assert!(relay.is_at(one) && !relay.is_at(other));
        let port = Arc::new(AtomicU16::new(0));
        let near = Far::Port(port.clone());
        assert!(near.address().is_none() && !near.is_at(one));
        port.store(2, Relaxed);
        assert!(near.is_at(other) && !near.is_at(one));
        assert!(!near.is_at(([192, 0, 2, 1], 2).into()));
    }
}
