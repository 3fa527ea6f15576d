//! A relay's process, and a coturn's.

use super::{
    link,
    seat::{RELAY, server_key},
};
use crate::{
    process::{Process, Usage},
    settings::Settings,
};
use anyhow::{Context, Result};
use data_encoding::BASE64;
use hypersend_lab::Namespace;
use std::{
    env,
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::{Path, PathBuf},
    process::Command,
};

/// A relay that listens.
pub(super) struct Relay {
    process: Process,
    pub(super) address: SocketAddr,
}

impl Relay {
    /// Starts one at this address, perhaps in a namespace, with more flags.
    pub(super) fn start(
        settings: &Settings,
        namespace: Option<&Namespace>,
        ip: Ipv4Addr,
        more: &[&str],
    ) -> Result<Self> {
        let mut command = link::command(namespace, &settings.relay()?);
        let key = BASE64.encode(&server_key()?);
        command.args(["--listen", &format!("{ip}:0"), "--id", &RELAY.to_string(), "--server-key", &key]);
        command.args(["--log", "warn"]).args(more);
        let process = Process::start("hypersend-relay", &mut command)?;
        let line = process.line()?;
        let address = line.strip_prefix("listening on ").and_then(|address| address.parse().ok());
        Ok(Self { process, address: address.with_context(|| format!("the relay said {line:?}"))? })
    }

    /// The kernel's account of it.
    pub(super) fn usage(&self) -> Result<Usage> {
        self.process.usage()
    }
}

/// A coturn on loopback.
pub(super) struct Coturn {
    process: Process,
    pub(super) address: SocketAddr,
    pub(super) version: String,
}

impl Coturn {
    /// Starts one, if it is installed. Whoever speaks to it asks until it answers.
    pub(super) fn start(dir: &Path) -> Result<Option<Self>> {
        let Some(program) = on_the_path("turnserver") else { return Ok(None) };
        let version = Command::new(&program).arg("--version").output().context("ask coturn for its version")?;
        let version = String::from_utf8_lossy(&version.stdout).lines().last().unwrap_or_default().trim().to_owned();
        // It cannot choose a port by itself.
        let address = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?;
        let mut command = Command::new(program);
        command.current_dir(dir);
        // Neither a database nor a log of each session, TCP or a command line: what forwards, and nothing else.
        command.args(["-n", "--no-auth", "--no-tls", "--no-dtls", "--no-tcp", "--no-tcp-relay", "--no-cli"]);
        command.args(["--no-rfc5780", "--allow-loopback-peers", "--no-stdout-log", "--log-file", "/dev/null"]);
        command.args(["--listening-ip", "127.0.0.1", "--relay-ip", "127.0.0.1"]);
        command.arg("--listening-port").arg(address.port().to_string());
        command.arg("--userdb").arg(dir.join("turndb")).arg("--pidfile").arg(dir.join("turnserver.pid"));
        Ok(Some(Self { process: Process::start("turnserver", &mut command)?, address, version }))
    }

    /// The kernel's account of it.
    pub(super) fn usage(&self) -> Result<Usage> {
        self.process.usage()
    }
}

fn on_the_path(program: &str) -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).map(|dir| dir.join(program)).find(|path| path.is_file())
}
