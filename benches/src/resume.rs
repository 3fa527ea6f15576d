//! Going on after kill -9, and the first chunk of a very large file.

use crate::{
    process::{PATIENCE, Process},
    report::{Figure, Report, Verdict},
    role::{Stored, Task},
    server::Server,
    settings::{Place, Settings},
    spread::{float, millis},
};
use anyhow::{Context, Result, ensure};
use hypersend_protocol::{hash::ChunkValue, id::ChunkIndex, name::FileName};
use hypersend_transfer::{
    folder::{CHECKPOINT_BYTES, Manifest, TransferFolder, free_bytes},
    journal::{Journal, Record},
    plan::ChunkPlan,
    tree,
};
use std::{
    fs::File,
    path::Path,
    time::{Duration, Instant},
};
use uuid::Uuid;

/// How long the decision to go on may take.
const RESUME_BAR: Duration = Duration::from_secs(2);

/// How long the first chunk may take.
const FIRST_BAR: Duration = Duration::from_secs(1);

/// When a client that tells its progress every 100 ms has told all of it.
const QUIET: Duration = Duration::from_millis(300);

/// The very large file.
const LARGE: u64 = 40 << 30;

/// What the server insists on keeping free, and then some.
const SPARE: u64 = 4 << 30;

/// Measures all four.
pub(crate) fn measure(settings: &Settings, report: &mut Report) -> Result<()> {
    interrupted(settings, report).context("resume an upload")?;
    let dir = settings.scratch(Place::Disk)?;
    let free = free_bytes(dir.path())?;
    if free < LARGE + SPARE {
        report.note(format!("The disk has {} GiB free: the measurements of a 40 GiB file were left out.", free >> 30));
        return Ok(());
    }
    journal(dir.path(), report).context("open a large journal")?;
    drop(dir);
    first_chunk(settings, report).context("begin a large upload")
}

/// Kills the server half-way, then the client as well.
fn interrupted(settings: &Settings, report: &mut Report) -> Result<()> {
    let dir = settings.scratch(Place::Disk)?;
    let source = dir.path().join("source");
    let size = 4 * settings.bytes();
    File::create(&source)?.set_len(size)?;
    let mut server = Server::start(settings, dir.path())?;
    let begin = || Task::Begin { login: server.login("ann"), file: source.clone() };
    let task = begin();
    let mut client = Process::role("client", &task)?;
    client.hear::<()>()?;
    client.tell(&())?;
    let acknowledged = until(&client, |stored| stored.bytes >= size / 4)?.bytes;

    // The client stays, and finds the server again by itself. What it had been told before the death is none of the progress
    // after it.
    server.kill();
    let acknowledged = client.hear_out::<Stored>(QUIET)?.map_or(acknowledged, |stored| stored.bytes);
    server.restart()?;
    let restarted = Instant::now();
    let after = until(&client, |stored| stored.bytes > acknowledged)?.bytes;
    let by_itself = restarted.elapsed();
    let acknowledged = until(&client, |stored| stored.bytes >= size / 2)?.bytes.max(after);

    // Both are killed.
    server.kill();
    client.kill();
    server.restart()?;
    let restarted = Instant::now();
    let mut client = Process::role("client", &task)?;
    client.hear::<()>()?;
    let logged_in = restarted.elapsed();
    client.tell(&())?;
    let decided: Stored = client.hear()?;
    let moved = until(&client, |stored| stored.bytes > decided.bytes)?;
    ensure!(
        decided.bytes >= acknowledged,
        "of {acknowledged} bytes acknowledged the server has {} after its death",
        decided.bytes
    );

    let total = logged_in + decided.after;
    report.figure(Figure {
        what: format!("going on with an upload of {} GiB after kill -9 of both ends", size >> 30),
        bar: "< 2 s, nothing acknowledged is lost".to_owned(),
        measured: format!(
            "{} ms to the receive map ({} of it logging in), {} more to the next chunk; {} MiB acknowledged, {} kept",
            millis(total),
            millis(logged_in),
            millis(moved.after.saturating_sub(decided.after)),
            acknowledged >> 20,
            decided.bytes >> 20
        ),
        ratio: Some(total.as_secs_f64() / RESUME_BAR.as_secs_f64()),
        verdict: Verdict::of(total < RESUME_BAR),
        bound: "hashing again what no checkpoint covers; the server's first read of it from the disk".to_owned(),
    });
    report.figure(Figure {
        what: "the same, when only the server dies".to_owned(),
        bar: "< 2 s".to_owned(),
        measured: format!("{} ms from the server's return to the next chunk", millis(by_itself)),
        ratio: Some(by_itself.as_secs_f64() / RESUME_BAR.as_secs_f64()),
        verdict: Verdict::of(by_itself < RESUME_BAR),
        bound: "how soon the client notices, its wait before it dials again, and progress told every 100 ms".to_owned(),
    });
    Ok(())
}

/// Reads on until the upload is that far.
fn until(client: &Process, far: impl Fn(&Stored) -> bool) -> Result<Stored> {
    let give_up = Instant::now() + PATIENCE;
    loop {
        let stored: Stored = client.hear()?;
        if far(&stored) {
            return Ok(stored);
        }
        ensure!(Instant::now() < give_up, "the upload does not get on: {stored:?}");
    }
}

/// Opens the folder of a 40 GiB file of which everything is recorded and all but the last checkpoint's worth settled.
fn journal(dir: &Path, report: &mut Report) -> Result<()> {
    let folder = dir.join("folder");
    let plan = ChunkPlan::for_size(LARGE)?;
    let id = hypersend_protocol::id::FileId(Uuid::nil());
    drop(TransferFolder::create(&folder, Manifest::new(id, FileName::parse("large")?, plan, None))?);
    let unsettled = u32::try_from(CHECKPOINT_BYTES / plan.chunk_size())?;
    let settled = plan.chunk_count() - unsettled;
    let zeros = vec![0; usize::try_from(plan.chunk_size())?];
    let records = plan.chunks().flat_map(|index| {
        // A settled chunk is believed; the others are compared with what is there, which is zeros.
        let value = match plan.chunk(index) {
            Some(span) if index.0 >= settled => tree::range_value(&plan, span, std::iter::once(&zeros[..])),
            _ => ChunkValue([7; 32]),
        };
        let checkpoint = (index.0 + 1 == settled).then_some(Record::Checkpoint(settled));
        std::iter::once(Record::Stored(ChunkIndex(index.0), value)).chain(checkpoint)
    });
    Journal::create_with(&folder.join("journal"), records)?;

    let start = Instant::now();
    let opened = TransferFolder::open(&folder)?;
    let elapsed = start.elapsed();
    ensure!(opened.map().is_full(), "{} of {} chunks were taken up", opened.map().stored(), plan.chunk_count());
    report.figure(Figure {
        what: format!(
            "opening the folder of a 40 GiB upload: {} records, {unsettled} of them unsettled",
            plan.chunk_count()
        ),
        bar: "< 2 s".to_owned(),
        measured: format!("{} ms", millis(elapsed)),
        ratio: Some(elapsed.as_secs_f64() / RESUME_BAR.as_secs_f64()),
        verdict: Verdict::of(elapsed < RESUME_BAR),
        bound: format!(
            "hashing {} MiB, here from memory: a disk of 200 MB/s adds {:.1} s",
            CHECKPOINT_BYTES >> 20,
            float(CHECKPOINT_BYTES) / 2e8
        ),
    });
    Ok(())
}

/// Begins to send a sparse file of 40 GiB.
fn first_chunk(settings: &Settings, report: &mut Report) -> Result<()> {
    let dir = settings.scratch(Place::Disk)?;
    let source = dir.path().join("source");
    File::create(&source)?.set_len(LARGE)?;
    let server = Server::start(settings, dir.path())?;
    let mut client = Process::role("client", &Task::Begin { login: server.login("ann"), file: source })?;
    client.hear::<()>()?;
    client.tell(&())?;
    let answered: Stored = client.hear()?;
    let first = if answered.bytes > 0 { answered } else { until(&client, |stored| stored.bytes > 0)? };
    report.figure(Figure {
        what: "first chunk of a 40 GiB upload stored".to_owned(),
        bar: "< 1 s".to_owned(),
        measured: format!("{} ms ({} to the server's answer)", millis(first.after), millis(answered.after)),
        ratio: Some(first.after.as_secs_f64() / FIRST_BAR.as_secs_f64()),
        verdict: Verdict::of(first.after < FIRST_BAR),
        bound: "reserving the file's space; progress is told every 100 ms".to_owned(),
    });
    Ok(())
}
