//! A link of a known rate: two network namespaces, and a third between them that is their router. What goes directly is
//! forwarded by the router's kernel; what is relayed goes up to a relay on the router and down again. Both cross the same two
//! hops, whose rate is the kernel's token bucket (tc-tbf(8)), and nothing else of the machine.

use hypersend_lab::netns::{Namespace, NetworkError};
use std::{net::Ipv4Addr, path::Path, process::Command};

/// How to run a program in a namespace, or here.
pub(crate) fn command(namespace: Option<&Namespace>, program: &Path) -> Command {
    namespace.map_or_else(|| Command::new(program), |namespace| namespace.command(program))
}

/// Both ends and the router.
pub(super) struct Link {
    pub(super) sender: Namespace,
    pub(super) router: Namespace,
    pub(super) receiver: Namespace,
}

impl Link {
    /// Where the receiver is.
    pub(super) const RECEIVER: Ipv4Addr = Ipv4Addr::new(10, 78, 2, 2);
    /// Where the router is, for both.
    pub(super) const ROUTER: Ipv4Addr = Ipv4Addr::new(10, 78, 1, 1);

    /// Makes one of so many Mbit/s, each way. Needs root, iproute2, and a kernel that has veth and tbf.
    pub(super) fn up(mbit: u32) -> Result<Self, NetworkError> {
        let link = Self {
            sender: Namespace::new("sender")?,
            router: Namespace::new("router")?,
            receiver: Namespace::new("receiver")?,
        };
        for (end, net) in [(&link.sender, 1), (&link.receiver, 2)] {
            let (here, near) = (format!("hop{net}"), end.name());
            link.router.ip(&format!(
                "link add name {here} type veth peer name hop netns {near}\n\
                 addr add 10.78.{net}.1/24 dev {here}\n\
                 link set {here} up\n"
            ))?;
            end.ip(&format!(
                "addr add 10.78.{net}.2/24 dev hop\nlink set hop up\nroute add default via 10.78.{net}.1\n"
            ))?;
            end.limit("hop", mbit)?;
            link.router.limit(&here, mbit)?;
        }
        link.router.forward()?;
        Ok(link)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypersend_lab::nat::missing;
    use std::{net::UdpSocket, time::Duration};

    #[test]
    fn datagrams_go_from_end_to_end_and_to_the_router() {
        if missing().is_some() {
            return;
        }
        let link = Link::up(100).expect("there is what it takes");
        let bind = |namespace: &Namespace, ip| {
            let socket = namespace.inside(|| UdpSocket::bind((ip, 0))).expect("enter").expect("bind");
            socket.set_read_timeout(Some(Duration::from_secs(10))).expect("it can be bounded");
            socket
        };
        let sender = bind(&link.sender, Ipv4Addr::UNSPECIFIED);
        for socket in [bind(&link.receiver, Link::RECEIVER), bind(&link.router, Link::ROUTER)] {
            sender.send_to(b"hello", socket.local_addr().expect("it is bound")).expect("there is a route");
            assert_eq!(socket.recv(&mut [0; 8]).expect("it comes"), 5);
        }
    }
}
