//! A program beside the tests that ends with them. A guard beside it stops it and removes its folder when the test program is
//! gone, however it went.

use rustix::process::{Pid, Signal, kill_process};
use std::{
    net::TcpListener,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
};

/// Stops a process and removes a folder once its standard input ends. Looks for half a minute at most: nobody may be there
/// to take leave of the process.
const GUARD: &str = r#"cat >/dev/null; kill -TERM "$1" 2>/dev/null
for _ in $(seq 300); do kill -0 "$1" 2>/dev/null || break; sleep 0.1; done; rm -rf "$2""#;

/// A process and its guard. Stopped when dropped.
#[derive(Debug)]
pub(crate) struct Guarded {
    process: Child,
    guard: Child,
    /// Closed when the guard is to act.
    leash: Option<ChildStdin>,
}

impl Guarded {
    /// Starts a program, and a guard that will remove this folder.
    pub(crate) fn spawn(mut command: Command, folder: &Path) -> Self {
        // A group of their own each, so that what interrupts the tests from the keyboard leaves the guard to its work.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let process = command.spawn().unwrap_or_else(|error| panic!("run {command:?}: {error}"));
        let mut guard = Command::new("sh");
        guard.args(["-c", GUARD, "guard", &process.id().to_string()]).arg(folder);
        guard.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let mut guard = guard.spawn().expect("a shell can be run");
        let leash = guard.stdin.take();
        Self { process, guard, leash }
    }

    /// Whether it has ended by itself.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.try_wait().expect("it can be looked after").is_some()
    }

    /// Kills it, so that it can do nothing about it.
    pub(crate) fn kill(mut self) {
        self.process.kill().expect("it can be killed");
        self.process.wait().expect("it can be waited for");
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // A process that has been waited for is not signalled: its number may be another's.
        let ended = self.process.try_wait().is_ok_and(|ended| ended.is_some());
        let stopped =
            ended || kill_process(Pid::from_child(&self.process), Signal::TERM).is_ok() && self.process.wait().is_ok();
        if !stopped {
            eprintln!("lab: a program was not stopped; its guard will see to it");
        }
        // The guard goes without doing anything: the process has ended, and the folder may be wanted again.
        drop(self.guard.kill());
        drop(self.guard.wait());
        self.leash = None;
    }
}

/// A port on which nobody listens just now.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    listener.local_addr().expect("a listener has an address").port()
}
