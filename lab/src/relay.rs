//! A real `hypersend-relay` process that registers with a test server.

use crate::{program, server::TestServer};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    fs,
    process::{Child, Command, Stdio},
};
use tempfile::TempDir;

/// A relay on loopback ports. Killed when dropped; when the test is failing, its log is printed.
#[derive(Debug)]
pub struct TestRelay {
    home: TempDir,
    process: Child,
}

impl TestRelay {
    /// Starts one that shows this token to the server, under a name.
    pub fn start(server: &TestServer, token: &str, name: &str) -> Self {
        let home = tempfile::tempdir().expect("make a temporary folder");
        let log = fs::File::create(home.path().join("log")).expect("make the log");
        let mut command = Command::new(program::relay());
        command.env_clear().env("RELAY_TOKEN", token).args(["--listen", "127.0.0.1:0", "--listen", "127.0.0.1:0"]);
        command.args(["--server", &format!("https://{}", server.socket_address())]);
        command.args(["--server-fingerprint", &server.fingerprint().to_string(), "--name", name, "--sockets", "1"]);
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("start the relay");
        Self { home, process }
    }

    /// SIGTERM, without waiting for the end.
    pub fn terminate(&self) {
        kill_process(Pid::from_child(&self.process), Signal::TERM).expect("a child may be signalled");
    }

    /// With which code it has ended, if it has.
    pub fn ended(&mut self) -> Option<Option<i32>> {
        self.process.try_wait().expect("a child can be waited for").map(|status| status.code())
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.home.path().join("log")).unwrap_or_default()
    }
}

impl Drop for TestRelay {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if std::thread::panicking() {
            eprintln!("--- log of the relay ---\n{}--- end of the log ---", self.log());
        }
    }
}
