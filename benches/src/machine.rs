//! The machine, as far as the figures depend on it.

use crate::{
    settings::{Place, Settings},
    spread::float,
};
use anyhow::{Context, Result};
use std::{
    fmt,
    fs::{self, File},
    os::unix::fs::FileExt,
    process::Command,
    time::{Duration, Instant},
};

/// Bytes written to find out what the disk does: more than a disk's own cache, a second or two of its time.
const PROBE_BYTES: u64 = 1 << 30;

/// How often a small file is flushed to find out what that costs.
const FLUSHES: u32 = 50;

/// What the figures were made on.
#[derive(Debug)]
pub(crate) struct Machine {
    processor: String,
    /// How many.
    pub(crate) cores: usize,
    memory_gib: u64,
    kernel: String,
    rustc: String,
    /// Bytes per second that reach the platter in order, by plain writes and one flush.
    pub(crate) disk_rate: f64,
    /// What flushing 4 KiB costs on an idle disk.
    pub(crate) flush: Duration,
}

impl Machine {
    /// Looks at the machine, and writes a GiB to its disk.
    pub(crate) fn look(settings: &Settings) -> Result<Self> {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| line.split_once(':')).map_or_else(String::new, |(_, value)| value.trim().to_owned())
        };
        let memory = field(&read("/proc/meminfo"), "MemTotal");
        let memory_kib: u64 = memory.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or(0);
        let rustc = Command::new("rustc").arg("--version").output().map(|out| out.stdout).unwrap_or_default();
        let (disk_rate, flush) = probe_disk(settings)?;
        Ok(Self {
            processor: field(&read("/proc/cpuinfo"), "model name"),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_gib: memory_kib >> 20,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            rustc: String::from_utf8_lossy(&rustc).trim().to_owned(),
            disk_rate,
            flush,
        })
    }
}

fn probe_disk(settings: &Settings) -> Result<(f64, Duration)> {
    let dir = settings.scratch(Place::Disk)?;
    let file = File::create(dir.path().join("probe")).context("write to the disk")?;
    let piece = vec![0xa5; 1 << 20];
    let start = Instant::now();
    for offset in (0..PROBE_BYTES).step_by(piece.len()) {
        file.write_all_at(&piece, offset)?;
    }
    file.sync_data()?;
    let rate = float(PROBE_BYTES) / start.elapsed().as_secs_f64();
    let start = Instant::now();
    for turn in 0..FLUSHES {
        file.write_all_at(&piece[..4 << 10], u64::from(turn) << 12)?;
        file.sync_data()?;
    }
    Ok((rate, start.elapsed() / FLUSHES))
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { processor, cores, memory_gib, kernel, rustc, disk_rate, flush } = self;
        writeln!(
            f,
            "{cores} cores of {processor}, {memory_gib} GiB, Linux {kernel}; {rustc}; hypersend {};",
            env!("CARGO_PKG_VERSION")
        )?;
        writeln!(
            f,
            "the disk writes {:.0} MB/s in order and takes {:.1} ms to flush 4 KiB.",
            disk_rate / 1e6,
            flush.as_secs_f64() * 1e3
        )
    }
}
