//! A relay's process.

use crate::tickets::{RELAY, server_key};
use data_encoding::BASE64;
use rustix::process::{Pid, Signal, kill_process};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpStream},
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
    thread,
    time::Duration,
};

/// Killed when it is dropped.
pub(crate) struct Program {
    child: Child,
    /// Kept, so that nothing it writes fails.
    _stdout: BufReader<ChildStdout>,
    addresses: Vec<SocketAddr>,
    metrics: SocketAddr,
}

impl Program {
    /// Starts a relay at this address and waits until it answers. It tells its metrics, too.
    pub(crate) fn start(listen: &str, more: &[&str]) -> Self {
        let (id, key) = (RELAY.to_string(), BASE64.encode(&server_key()));
        let mut command = Command::new(env!("CARGO_BIN_EXE_hypersend-relay"));
        command.args(["--listen", listen, "--id", &id, "--server-key", &key, "--metrics", "127.0.0.1:0"]).args(more);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let metrics = loop {
            let line = line(&mut log);
            assert!(!line.is_empty(), "the relay ended before it said where its metrics are");
            eprint!("relay: {line}");
            if let Some((_, address)) = line.split_once("metrics address=") {
                break address.trim().parse().unwrap();
            }
        };
        thread::spawn(move || log.lines().map_while(Result::ok).for_each(|line| eprintln!("relay: {line}")));
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let lines = 1 + more.iter().filter(|&&word| word == "--listen").count();
        let address = |said: &str| said.strip_prefix("listening on ").unwrap().trim().parse().unwrap();
        let addresses = (0..lines).map(|_| address(&line(&mut stdout))).collect();
        Self { child, _stdout: stdout, addresses, metrics }
    }

    /// Where it listens, for a client on this machine.
    pub(crate) fn at(&self, ip: &str) -> SocketAddr {
        SocketAddr::new(ip.parse().unwrap(), self.addresses[0].port())
    }

    /// Its other doors.
    pub(crate) fn elsewhere(&self) -> &[SocketAddr] {
        &self.addresses[1..]
    }

    /// As `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn terminate(&self) {
        let pid = Pid::from_raw(self.child.id().try_into().unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> ExitStatus {
        eventually("the relay's end", || self.child.try_wait().unwrap())
    }

    /// Memory in use, in bytes: the second number in statm, in pages (proc(5)).
    pub(crate) fn resident_bytes(&self) -> u64 {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.child.id())).unwrap();
        let pages: u64 = statm.split(' ').nth(1).unwrap().parse().unwrap();
        pages * rustix::param::page_size() as u64
    }

    /// Head and body of what it answers over HTTP.
    pub(crate) fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.metrics).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: relay\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// The value of one metric, by its whole name with labels.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let text = self.get("/metrics");
        let value =
            text.lines().find_map(|line| line.strip_prefix("hypersend_relay_")?.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in\n{text}")).parse().unwrap()
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks until there is something to be seen, and gives it back. A test sleeps only here, between two looks.
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    const LOOK_EVERY: Duration = Duration::from_millis(20);
    for _ in 0..1_500 {
        if let Some(seen) = look() {
            return seen;
        }
        thread::sleep(LOOK_EVERY);
    }
    panic!("not seen in 30 s: {what}");
}

fn line(from: &mut impl BufRead) -> String {
    let mut line = String::new();
    from.read_line(&mut line).unwrap();
    line
}
