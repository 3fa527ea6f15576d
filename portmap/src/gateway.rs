//! Which router this host sends to what is not near, and by which of its own addresses.

use std::{
    fs, io,
    net::{IpAddr, Ipv4Addr, UdpSocket},
};

/// The kernel's IPv4 routes (proc(5)), of the calling thread's network.
const ROUTES: &str = "/proc/thread-self/net/route";

/// Flags of a route that is up and goes by a router: `RTF_UP` and `RTF_GATEWAY`.
const UP_BY_A_ROUTER: u32 = 0x0003;

/// The router of the IPv4 default route. Nobody knows on systems other than Linux; there only UPnP is tried, which calls for
/// its router.
pub(crate) fn gateway() -> Option<Ipv4Addr> {
    // The kernel writes it from memory: nothing waits for a disk here.
    default_gateway(&fs::read_to_string(ROUTES).ok()?)
}

/// The address by which this host talks to another one.
pub(crate) fn own_address(towards: Ipv4Addr) -> io::Result<IpAddr> {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
    // Sends nothing: only chooses a route. The port is of no matter.
    socket.connect((towards, 9))?;
    Ok(socket.local_addr()?.ip())
}

/// Of several default routes, the one with the least metric.
fn default_gateway(routes: &str) -> Option<Ipv4Addr> {
    let default = |line: &str| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let &[_, destination, gateway, flags, _, _, metric, mask, ..] = &fields[..] else { return None };
        let hex = |text| u32::from_str_radix(text, 16).ok();
        let is_default = hex(destination)? == 0 && hex(mask)? == 0 && hex(flags)? & UP_BY_A_ROUTER == UP_BY_A_ROUTER;
        // As it lies in memory, and written as a number of this machine.
        is_default.then_some((metric.parse::<u32>().ok()?, Ipv4Addr::from(hex(gateway)?.to_ne_bytes())))
    };
    routes.lines().filter_map(default).min_by_key(|(metric, _)| *metric).map(|(_, gateway)| gateway)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";

    #[test]
    fn the_default_route_with_the_least_metric_is_taken() {
        let address = |text: &str| u32::from_ne_bytes(text.parse::<Ipv4Addr>().expect("an address").octets());
        let (near, far) = (address("192.168.1.1"), address("10.0.0.1"));
        let lan = "lan\t0001A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        let line = |gateway: u32, metric, flags| {
            format!("lan\t00000000\t{gateway:08X}\t{flags:04X}\t0\t0\t{metric}\t00000000\t0\t0\t0\n")
        };
        let routes = format!("{HEAD}{lan}{}{}{}", line(far, 600, 3), line(near, 100, 3), line(far, 1, 0));
        assert_eq!(default_gateway(&routes), Some(Ipv4Addr::new(192, 168, 1, 1)));
        for none in [String::new(), HEAD.to_owned(), format!("{HEAD}{lan}"), "lan 0 zz 3 0 0 0 0".to_owned()] {
            assert_eq!(default_gateway(&none), None, "{none:?}");
        }
    }
}
