//! Child processes: spoken to in lines of JSON, accounted for by the kernel, killed when dropped.

use crate::relay::command;
use anyhow::{Context, Result, bail};
use hypersend_lab::Namespace;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::Duration,
};

/// Ticks of `/proc/PID/stat` in a second: `USER_HZ`, 100 on every Linux.
const TICKS_PER_SECOND: u64 = 100;

/// How long any single step of any role may take; a hanging child ends the measurement instead of hanging it.
pub(crate) const PATIENCE: Duration = Duration::from_mins(2);

/// What the kernel has counted for a process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Usage {
    /// Processor time in user and kernel mode since the process began.
    pub(crate) cpu: Duration,
    /// Memory resident now, in KiB.
    pub(crate) resident_kib: u64,
    /// The most that was resident since the process began or [`reset_peak`], in KiB.
    pub(crate) peak_kib: u64,
}

impl Usage {
    /// Of this process.
    pub(crate) fn own() -> Result<Self> {
        Self::of(std::process::id())
    }

    /// Of any process of this user.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("read a process's times")?;
        // The name is in parentheses and may hold anything; utime and stime are the 14th and 15th fields (proc(5)).
        let (_, rest) = stat.rsplit_once(')').context("read a process's times")?;
        let ticks: u64 = rest.split_whitespace().skip(11).take(2).map(|field| field.parse().unwrap_or(0)).sum();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).context("read a process's memory")?;
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()).and_then(|field| field.parse().ok()).unwrap_or(0)
        };
        Ok(Self {
            cpu: Duration::from_millis(ticks * 1_000 / TICKS_PER_SECOND),
            resident_kib: kib("VmRSS:"),
            peak_kib: kib("VmHWM:"),
        })
    }
}

/// Begins the peak of a process's memory anew (proc(5), `clear_refs`).
pub(crate) fn reset_peak(pid: u32) -> Result<()> {
    fs::write(format!("/proc/{pid}/clear_refs"), "5").context("reset a process's peak memory")
}

/// A child process. Its standard error is ours.
pub(crate) struct Process {
    name: String,
    child: Child,
    lines: Receiver<String>,
}

impl Process {
    /// Starts a program.
    pub(crate) fn start(name: &str, command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("start {}", Path::new(command.get_program()).display()))?;
        let out = child.stdout.take().expect("it is piped");
        let (sender, lines) = channel();
        // Ends with the child's standard output, so with the child.
        thread::spawn(move || BufReader::new(out).lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
        Ok(Self { name: name.to_owned(), child, lines })
    }

    /// Starts this program in a role.
    pub(crate) fn role(name: &str, task: &impl Serialize) -> Result<Self> {
        Self::role_in(None, name, task)
    }

    /// The same in a network namespace, if one is named.
    pub(crate) fn role_in(namespace: Option<&Namespace>, name: &str, task: &impl Serialize) -> Result<Self> {
        let program = std::env::current_exe().context("find this program")?;
        Self::start(name, command(namespace, &program).arg("role").arg(serde_json::to_string(task)?))
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The kernel's account of it.
    pub(crate) fn usage(&self) -> Result<Usage> {
        Usage::of(self.pid()).with_context(|| format!("account for {}", self.name))
    }

    /// Says one line of JSON.
    pub(crate) fn tell(&mut self, said: &impl Serialize) -> Result<()> {
        let mut line = serde_json::to_string(said)?;
        line.push('\n');
        let input = self.child.stdin.as_mut().expect("it is piped");
        input.write_all(line.as_bytes()).with_context(|| format!("speak to {}", self.name))
    }

    /// The next line as it is.
    pub(crate) fn line(&self) -> Result<String> {
        match self.lines.recv_timeout(PATIENCE) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => bail!("{} said nothing for {PATIENCE:?}", self.name),
            Err(RecvTimeoutError::Disconnected) => bail!("{} ended early", self.name),
        }
    }

    /// The next line as JSON.
    pub(crate) fn hear<T: DeserializeOwned>(&self) -> Result<T> {
        let line = self.line()?;
        serde_json::from_str(&line).with_context(|| format!("{} said {line:?}", self.name))
    }

    /// The last line as JSON, once nothing more was said for `quiet`; none if nothing was said at all.
    pub(crate) fn hear_out<T: DeserializeOwned>(&self, quiet: Duration) -> Result<Option<T>> {
        let mut last = None;
        while let Ok(line) = self.lines.recv_timeout(quiet) {
            last = Some(line);
        }
        last.map(|line| serde_json::from_str(&line).with_context(|| format!("{} said {line:?}", self.name))).transpose()
    }

    /// Says something and hears the answer.
    pub(crate) fn ask<T: DeserializeOwned>(&mut self, said: &impl Serialize) -> Result<T> {
        self.tell(said)?;
        self.hear()
    }

    /// Kills it at once, as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        // Fails only for a child that has ended, and then there is nothing to kill.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}
