//! A link of a known rate: two network namespaces, and a third between them that is their router. What goes directly is
//! forwarded by the router's kernel; what is relayed goes up to a relay on the router and down again. Both cross the same two
//! hops, whose rate is the kernel's token bucket (tc-tbf(8)), and nothing else of the machine.

use anyhow::{Context, Result, ensure};
use std::{net::Ipv4Addr, path::Path, process::Command};

/// How long a datagram may wait for its turn at a hop before it is dropped: the queue of a usual router.
const QUEUE_MS: u32 = 20;

/// What a hop may send at once, in KiB: more than a sender hands over as one.
const BURST_KIB: u32 = 128;

/// One namespace; removed when dropped.
pub(crate) struct Namespace(String);

impl Namespace {
    fn add(name: &str) -> Result<Self> {
        // Of a name that no other run has.
        let name = format!("hsbench-{}-{name}", std::process::id());
        run("ip", &format!("netns add {name}"))?;
        Ok(Self(name))
    }

    /// How to run a program in it, or here.
    pub(crate) fn command(namespace: Option<&Self>, program: &Path) -> Command {
        match namespace {
            None => Command::new(program),
            // Becomes the program, so the process is that of the program.
            Some(Self(name)) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", name]).arg(program);
                command
            }
        }
    }

    fn run(&self, line: &str) -> Result<()> {
        run("ip", &format!("netns exec {} {line}", self.0))
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = run("ip", &format!("netns del {}", self.0)) {
            eprintln!("{error:#}");
        }
    }
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
    pub(super) fn up(mbit: u32) -> Result<Self> {
        let link = Self {
            sender: Namespace::add("sender")?,
            router: Namespace::add("router")?,
            receiver: Namespace::add("receiver")?,
        };
        for (end, net) in [(&link.sender, 1), (&link.receiver, 2)] {
            let (there, here) = (&end.0, &link.router.0);
            run("ip", &format!("link add hop netns {there} type veth peer name hop{net} netns {here}"))?;
            end.run(&format!("ip addr add 10.78.{net}.2/24 dev hop"))?;
            link.router.run(&format!("ip addr add 10.78.{net}.1/24 dev hop{net}"))?;
            let shape = format!("root tbf rate {mbit}mbit burst {BURST_KIB}kb latency {QUEUE_MS}ms");
            for (namespace, device) in [(end, "hop".to_owned()), (&link.router, format!("hop{net}"))] {
                namespace.run(&format!("ip link set {device} up"))?;
                namespace.run(&format!("tc qdisc add dev {device} {shape}"))?;
            }
            end.run("ip link set lo up")?;
            end.run(&format!("ip route add default via 10.78.{net}.1"))?;
        }
        link.router.run("ip link set lo up")?;
        link.router.run("sysctl -q -w net.ipv4.ip_forward=1")?;
        Ok(link)
    }
}

fn run(program: &str, line: &str) -> Result<()> {
    let done = Command::new(program).args(line.split(' ')).output().with_context(|| format!("run {program}"))?;
    ensure!(done.status.success(), "{program} {line}: {}", String::from_utf8_lossy(&done.stderr).trim());
    Ok(())
}
