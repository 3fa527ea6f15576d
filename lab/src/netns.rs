//! Network namespaces: hosts of their own on this machine, with their own links, addresses, routes and firewalls (ip-netns(8)).
//!
//! A namespace's name has the process id of who made it. It goes when its [`Namespace`] is dropped, with all programs that
//! still run in it; those of processes that were killed are cleared away by the next that makes one. Making them needs
//! root, and iproute2.

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{self, Write},
    os::fd::AsFd,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Once,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    thread,
};

/// What the name of every namespace begins with; then come the process id, a number, and a label.
const PREFIX: &str = "hslab-";

/// Where iproute2 keeps the names.
const NAMES: &str = "/run/netns";

/// How long a datagram may wait at a limited device before it is dropped: the queue of a usual router.
const QUEUE_MS: u32 = 20;

/// What a limited device may send at once, in KiB: more than a sender hands over as one.
const BURST_KIB: u32 = 128;

/// A network could not be made or changed.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A program is not there.
    #[error("run {program}; it is in iproute2, or nftables")]
    Run {
        /// Which one.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// A program was not content.
    #[error("{program} in {namespace}: {said}")]
    Refused {
        /// Which one.
        program: String,
        /// Where.
        namespace: String,
        /// What it said.
        said: String,
    },
    /// The namespace is there and cannot be entered.
    #[error("enter {namespace}")]
    Enter {
        /// Which one.
        namespace: String,
        /// Why not.
        source: io::Error,
    },
}

/// A network namespace. Removed when dropped.
#[derive(Debug)]
pub struct Namespace(String);

impl Namespace {
    /// Makes one in which only loopback is there, and forwards nothing.
    pub fn new(label: &str) -> Result<Self, NetworkError> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        static SWEEP: Once = Once::new();
        SWEEP.call_once(sweep);
        let name = format!("{PREFIX}{}-{}-{label}", std::process::id(), NUMBER.fetch_add(1, Relaxed));
        run(Command::new("ip").args(["netns", "add", &name]), &name, "")?;
        let namespace = Self(name);
        namespace.ip("link set lo up")?;
        Ok(namespace)
    }

    /// Its name, by which iproute2 knows it.
    pub fn name(&self) -> &str {
        &self.0
    }

    /// How to run a program in it. The process that comes of it is the program's own.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.0]).arg(program);
        command
    }

    /// Does something in it, on a thread of its own: a socket that is made there stays there.
    pub fn inside<T: Send>(&self, what: impl FnOnce() -> T + Send) -> Result<T, NetworkError> {
        let enter = || -> io::Result<()> {
            let file = File::open(Path::new(NAMES).join(&self.0))?;
            Ok(move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?)
        };
        let done = thread::scope(|scope| scope.spawn(|| enter().map(|()| what())).join());
        let done = done.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        done.map_err(|source| NetworkError::Enter { namespace: self.0.clone(), source })
    }

    /// Runs commands of ip(8), a line each, until one fails.
    pub fn ip(&self, lines: &str) -> Result<(), NetworkError> {
        run(Command::new("ip").args(["-n", &self.0, "-batch", "-"]), &self.0, lines)
    }

    /// Lets a device send no more than so many Mbit/s (tc-tbf(8)).
    pub fn limit(&self, device: &str, mbit: u32) -> Result<(), NetworkError> {
        let limit = format!("root tbf rate {mbit}mbit burst {BURST_KIB}kb latency {QUEUE_MS}ms");
        let line = format!("qdisc add dev {device} {limit}");
        run(Command::new("tc").args(["-n", &self.0, "-batch", "-"]), &self.0, &line)
    }

    /// Changes its packet filter by a text of nft(8): all of it or nothing.
    pub fn nft(&self, text: &str) -> Result<(), NetworkError> {
        run(self.command("nft").args(["-f", "-"]), &self.0, text)
    }

    /// From now on it is a router.
    pub fn forward(&self) -> Result<(), NetworkError> {
        let written = self.inside(|| fs::write("/proc/sys/net/ipv4/ip_forward", "1"))?;
        written.map_err(|source| NetworkError::Enter { namespace: self.0.clone(), source })
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        remove(&self.0);
    }
}

/// Runs a program that reads this, and waits for its end.
fn run(command: &mut Command, namespace: &str, input: &str) -> Result<(), NetworkError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let failed = |source| NetworkError::Run { program: program.clone(), source };
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(failed)?;
    // What fits a pipe; who ends before it has read everything says why.
    let _ = child.stdin.take().expect("it is piped").write_all(input.as_bytes());
    let done = child.wait_with_output().map_err(failed)?;
    if done.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    Err(NetworkError::Refused { program, namespace: namespace.to_owned(), said })
}

/// Clears away what killed processes have left.
fn sweep() {
    let names = fs::read_dir(NAMES).into_iter().flatten().filter_map(Result::ok);
    for name in names.filter_map(|entry| entry.file_name().into_string().ok()) {
        let owner = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()?.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            remove(&name);
        }
    }
}

/// Ends what runs in a namespace, which would keep it, and removes it. A drop must not fail, so this only says so.
fn remove(name: &str) {
    if let Ok(pids) = Command::new("ip").args(["netns", "pids", name]).output() {
        let pids = String::from_utf8_lossy(&pids.stdout).into_owned();
        for pid in pids.lines().filter_map(|pid| rustix::process::Pid::from_raw(pid.trim().parse().ok()?)) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
    if let Err(error) = run(Command::new("ip").args(["netns", "del", name]), name, "") {
        eprintln!("lab: a network namespace stays: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::nat::missing;
    use std::{net::UdpSocket, process::Child};

    #[test]
    fn what_is_done_inside_is_done_there_and_goes_with_it() {
        if missing().is_some() {
            return;
        }
        let namespace = Namespace::new("inside").unwrap();
        let taken = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let outside = UdpSocket::bind(taken).unwrap();
        let inside = namespace.inside(|| UdpSocket::bind(taken)).unwrap().unwrap();
        inside.send_to(b"in", taken).unwrap();
        let mut bytes = [0; 8];
        assert_eq!(inside.recv(&mut bytes).unwrap(), 2, "it is another loopback");
        outside.set_nonblocking(true).unwrap();
        assert!(outside.recv(&mut bytes).is_err());

        let mut program: Child = namespace.command("sleep").arg("600").spawn().unwrap();
        let path = Path::new(NAMES).join(namespace.name());
        assert!(path.exists());
        // Until it has become the program it is not there yet.
        let pids = || Command::new("ip").args(["netns", "pids", namespace.name()]).output().unwrap().stdout;
        while pids().is_empty() {
            thread::yield_now();
        }
        drop(namespace);
        assert!(!path.exists());
        assert!(!program.wait().unwrap().success(), "it was killed");
    }

    #[test]
    fn it_goes_after_a_panic_and_what_the_dead_left_goes_too() {
        if missing().is_some() {
            return;
        }
        let mut dead = Command::new("true").spawn().unwrap();
        dead.wait().unwrap();
        let left = format!("{PREFIX}{}-0-left", dead.id());
        run(Command::new("ip").args(["netns", "add", &left]), &left, "").unwrap();
        let name = thread::spawn(|| {
            let namespace = Namespace::new("panics").unwrap();
            std::panic::panic_any(namespace.name().to_owned());
        });
        let name = *name.join().unwrap_err().downcast::<String>().unwrap();
        sweep();
        assert!(!Path::new(NAMES).join(name).exists());
        assert!(!Path::new(NAMES).join(left).exists());
    }
}
