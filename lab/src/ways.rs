//! Both ways to a server, by UDP and by TCP, at one address as at the server itself.

use crate::{Proxy, TcpPath};
use std::net::SocketAddr;

/// How often a port is looked for that is free for both.
const ATTEMPTS: usize = 20;

/// The two paths. They end when dropped.
#[derive(Debug)]
pub struct Ways {
    /// What QUIC goes through.
    pub udp: Proxy,
    /// What TCP goes through.
    pub tcp: TcpPath,
}

impl Ways {
    /// Paths to what answers by UDP and to what answers by TCP, which may be two servers.
    pub async fn to(udp: SocketAddr, tcp: SocketAddr) -> Self {
        for _ in 0..ATTEMPTS {
            let udp = Proxy::start(udp);
            // The number may be that of somebody's connection by TCP.
            if let Ok(tcp) = TcpPath::listen(tcp, udp.address()).await {
                return Self { udp, tcp };
            }
        }
        panic!("{ATTEMPTS} ports that are free for UDP, and none of them for TCP")
    }

    /// Where clients find the server.
    pub fn address(&self) -> SocketAddr {
        self.udp.address()
    }
}
