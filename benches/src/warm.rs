//! Memory that stays with this machine while it is measured.
//!
//! The host of a virtual machine may take what its kernel reports as free, which is done by whole blocks of 2 MiB, and gives
//! it again page by page at the first touch. That can cost more than everything else that is measured here (2.5 s of
//! processor time for a GB, on the machine of RESULTS.md), at random, to whoever comes first. So as much as is needed is
//! written once, and given back but for a page in each MiB: what is free then lies in pieces too small to be reported.

use crate::settings::{Place, Settings};
use anyhow::{Context, Result};
use std::{
    fs::{self, File},
    io::Write,
};
use tempfile::{TempDir, tempfile_in};

const PAGE: usize = 4 << 10;

/// What is held of each piece is a page, and a block of 2 MiB has a whole piece in it wherever it begins.
const PIECE: usize = 1 << 20;

/// Copies of the file that the largest measurement has in memory at once: its source, what was sent by each door, and what
/// was fetched.
const COPIES: u64 = 8;

/// Keeps memory warm until dropped.
pub(crate) struct Warm {
    _held: File,
    _dir: TempDir,
}

impl Warm {
    /// Warms what the transfers need, or two thirds of what there is.
    pub(crate) fn up(settings: &Settings) -> Result<Self> {
        let dir = settings.scratch(Place::Memory)?;
        let (mut given, mut held) = (tempfile_in(dir.path())?, tempfile_in(dir.path())?);
        let piece = vec![0; PIECE];
        for _ in 0..(COPIES * settings.bytes()).min(available()? / 3 * 2) / PIECE as u64 {
            let (page, rest) = piece.split_at(PAGE);
            given.write_all(rest).and_then(|()| held.write_all(page)).context("write memory warm")?;
        }
        Ok(Self { _held: held, _dir: dir })
    }
}

/// Bytes of memory that can be had without harm to others.
fn available() -> Result<u64> {
    let memory = fs::read_to_string("/proc/meminfo").context("ask for free memory")?;
    let line =
        memory.lines().find_map(|line| line.strip_prefix("MemAvailable:")).context("free memory, in its line")?;
    let kib: u64 = line.split_whitespace().next().context("free memory")?.parse()?;
    Ok(kib << 10)
}
