//! Somebody with a folder for the login and one to work in, who types commands.

use hypersend_lab::{
    eventually,
    fixtures::random_file,
    user::{PASSWORD, email},
    within,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::{
    ffi::OsStr,
    fs::{self, File},
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

/// The program under test.
pub(crate) const HYPERSEND: &str = env!("CARGO_BIN_EXE_hypersend");

/// One account, one folder.
pub(crate) struct Person {
    home: TempDir,
    pub(crate) email: String,
}

impl Person {
    /// Somebody without an account.
    pub(crate) fn new(name: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("work")).unwrap();
        Self { home, email: email(name).to_string() }
    }

    /// Somebody with an account on a server, who trusts its certificate.
    pub(crate) async fn registered(name: &str, server: SocketAddr) -> Self {
        let person = Self::new(name);
        let server = server.to_string();
        person.run(["--accept-new-key", "register", &server, &person.email, "--name", name]).await.ok();
        person
    }

    /// Another folder with the same login.
    pub(crate) fn twin(&self) -> Self {
        let twin = Self { home: tempfile::tempdir().unwrap(), email: self.email.clone() };
        for dir in ["work", "config"] {
            fs::create_dir(twin.home.path().join(dir)).unwrap();
        }
        for file in ["credentials.json", "known_hosts"] {
            fs::copy(self.config().join(file), twin.config().join(file)).unwrap();
        }
        twin
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.home.path().join("config")
    }

    /// A path in the folder to work in.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join("work").join(name)
    }

    /// A file of random bytes there.
    pub(crate) fn file(&self, name: &str, size: u64) -> PathBuf {
        random_file(&self.path(name), size, size)
    }

    /// A program with this person's folders, and nothing else of the environment of whoever runs the tests.
    pub(crate) fn program(&self, name: &str) -> Command {
        let mut command = Command::new(name);
        command.env_clear().env("HYPERSEND_CONFIG_DIR", self.config()).current_dir(self.home.path().join("work"));
        command
    }

    pub(crate) fn command<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Command {
        let mut command = self.program(HYPERSEND);
        command.args(words).env("HYPERSEND_PASSWORD", PASSWORD);
        command
    }

    /// Types a command and waits for its end.
    pub(crate) async fn run<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Ended {
        self.start(words).end().await
    }

    /// Types a command and lets it run.
    pub(crate) fn start<S: AsRef<OsStr>>(&self, words: impl IntoIterator<Item = S>) -> Running {
        Running::start(self.command(words))
    }
}

/// A command that runs, with files for what it says. Killed when dropped.
pub(crate) struct Running {
    pub(crate) process: Child,
    said: TempDir,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let said = tempfile::tempdir().unwrap();
        let file = |name| File::create(said.path().join(name)).unwrap();
        command.stdin(Stdio::piped()).stdout(file("out")).stderr(file("err"));
        Self { process: command.spawn().unwrap(), said }
    }

    pub(crate) fn out(&self) -> String {
        fs::read_to_string(self.said.path().join("out")).unwrap()
    }

    pub(crate) fn err(&self) -> String {
        fs::read_to_string(self.said.path().join("err")).unwrap()
    }

    /// Waits until standard output has a text in it.
    pub(crate) async fn prints(&self, text: &str) {
        let look = async || self.out().contains(text).then_some(());
        eventually(&format!("{text:?} on standard output"), look).await;
    }

    /// Waits until standard error has a text in it.
    pub(crate) async fn tells(&self, text: &str) {
        let look = async || self.err().contains(text).then_some(());
        eventually(&format!("{text:?} on standard error"), look).await;
    }

    /// SIGINT: what Ctrl-C does.
    pub(crate) fn interrupt(&self) {
        kill_process(Pid::from_child(&self.process), Signal::INT).unwrap();
    }

    /// SIGKILL.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub(crate) async fn end(mut self) -> Ended {
        drop(self.process.stdin.take());
        let status = within("the command ends", async {
            eventually("it ends", async || self.process.try_wait().unwrap()).await
        });
        let status: ExitStatus = status.await;
        Ended { code: status.code(), out: self.out(), err: self.err() }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Ended {
    /// What it printed, because it succeeded.
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.out.trim_end().to_owned()
    }

    /// What it printed, as JSON.
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.ok()).unwrap()
    }

    /// What it told, because it failed with this code; scripts find nothing on its output.
    pub(crate) fn fails(self, code: i32) -> String {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert_eq!(self.out, "");
        self.err
    }
}

/// Hashes a file off the async threads.
pub(crate) async fn b3_of(path: &Path) -> String {
    let path = path.to_owned();
    spawn_blocking(move || hypersend_lab::fixtures::b3_of(&path).to_string()).await.unwrap()
}
