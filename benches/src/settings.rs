//! The command line.

use anyhow::{Context, Result};
use clap::{Parser, Subcommand, ValueEnum};
use std::{
    fmt,
    path::{Path, PathBuf},
};
use tempfile::TempDir;

/// Measures HyperSend's figures on this machine, with the release server that lies beside this program.
#[derive(Debug, Parser)]
#[command(name = "hypersend-bench", version)]
pub(crate) struct Settings {
    /// What to measure; everything when not given
    #[arg(value_enum)]
    only: Vec<Bench>,
    /// MiB of the file that is sent and fetched
    #[arg(long, default_value_t = 1_024)]
    pub(crate) size: u64,
    /// Rounds of the transfers; medians are quoted
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: u32,
    /// Seconds of each chat and message phase
    #[arg(long, default_value_t = 5)]
    pub(crate) seconds: u32,
    /// Messages of the long chat
    #[arg(long, default_value_t = 1_000_000)]
    pub(crate) messages: u64,
    /// Idle connections
    #[arg(long, default_value_t = 500)]
    pub(crate) connections: u32,
    /// Folder on the disk to measure [default: beside this program]
    #[arg(long)]
    dir: Option<PathBuf>,
    /// Folder in memory, which takes the disk out of the measurement
    #[arg(long, default_value = "/dev/shm")]
    memory: PathBuf,
    /// The server program [default: hypersend-server beside this program]
    #[arg(long)]
    server: Option<PathBuf>,
    /// Sessions that share a relay's capacity
    #[arg(long, default_value_t = 1_000)]
    pub(crate) sessions: u32,
    /// The relay's program [default: hypersend-relay beside this program]
    #[arg(long)]
    relay: Option<PathBuf>,
    /// Meetings of the NATs for which ports are guessed
    #[arg(long, default_value_t = 50)]
    pub(crate) guesses: u32,
    /// The date to write into the results
    #[arg(long, default_value = "undated")]
    pub(crate) date: String,
    /// Where to write the results, as Markdown
    #[arg(long)]
    pub(crate) out: Option<PathBuf>,
    /// What a child process of this program does
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

/// For this program's own use.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Plays one role of a measurement
    #[command(hide = true)]
    Role {
        /// As JSON
        task: String,
    },
}

/// One measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bench {
    /// Upload and download against raw QUIC
    Throughput,
    /// Transfers and small requests by HTTP/3, HTTP/2 and HTTP/1.1
    Http,
    /// Message latency, idle and beside bulk
    Chat,
    /// Messages per second
    Messages,
    /// Messages between clients of two servers
    Nodes,
    /// Opening a chat of a million messages
    LongChat,
    /// Resume decisions and first chunks
    Resume,
    /// Memory of idle connections
    Idle,
    /// One connection through a relay, against a direct one
    Relay,
    /// Processor time of the relay beside coturn's
    RelayCost,
    /// A relay's capacity shared by many sessions
    RelayCrowd,
    /// A relay reached through tunnels, beside the same by UDP
    Tunnels,
    /// Ways between clients behind NATs
    Nat,
}

impl fmt::Display for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.to_possible_value().expect("none is skipped").get_name())
    }
}

/// Where the files of a measurement lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// On a disk.
    Disk,
    /// In memory.
    Memory,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Disk => "disk",
            Self::Memory => "memory",
        })
    }
}

impl Settings {
    /// What to measure, in order.
    pub(crate) fn benches(&self) -> Vec<Bench> {
        if self.only.is_empty() { Bench::value_variants().to_vec() } else { self.only.clone() }
    }

    /// Bytes of the file that is sent and fetched.
    pub(crate) fn bytes(&self) -> u64 {
        self.size << 20
    }

    /// A folder of its own for one measurement, removed when dropped.
    pub(crate) fn scratch(&self, place: Place) -> Result<TempDir> {
        let parent = match (place, &self.dir) {
            (Place::Memory, _) => self.memory.clone(),
            (Place::Disk, Some(dir)) => dir.clone(),
            (Place::Disk, None) => beside_this_program()?,
        };
        tempfile::Builder::new()
            .prefix("hypersend-bench-")
            .tempdir_in(&parent)
            .with_context(|| format!("make a folder in {}", parent.display()))
    }

    /// The server's program.
    pub(crate) fn server(&self) -> Result<PathBuf> {
        program(self.server.as_deref(), "hypersend-server")
    }

    /// The relay's program.
    pub(crate) fn relay(&self) -> Result<PathBuf> {
        program(self.relay.as_deref(), "hypersend-relay")
    }
}

fn program(named: Option<&Path>, name: &str) -> Result<PathBuf> {
    let path = match named {
        Some(path) => path.to_owned(),
        None => beside_this_program()?.join(name),
    };
    anyhow::ensure!(path.exists(), "{} is not there; cargo build --release -p {name}", path.display());
    Ok(path)
}

fn beside_this_program() -> Result<PathBuf> {
    let program = std::env::current_exe().context("find this program")?;
    Ok(program.parent().context("find this program's folder")?.to_owned())
}
