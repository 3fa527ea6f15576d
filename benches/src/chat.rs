//! How long a message takes, alone and beside bulk that saturates the same connection.

use crate::{
    process::Process,
    report::{Figure, Report, Verdict},
    role::{Bulk, Talk, Talked, Task},
    server::Server,
    settings::{Place, Settings},
    spread::{Spread, millis},
};
use anyhow::{Context, Result};
use hypersend_protocol::id::FileId;
use std::{fs::File, time::Duration};

/// What bulk may add to the round trip on loopback.
const BAR: Duration = Duration::from_millis(5);

/// From one message of one user to the next; both talk, so 100 messages a second: as many as a busy group writes, and few
/// enough that a message does not wait for the one before it.
const EVERY: Duration = Duration::from_millis(20);

/// What the bulk is, in sizes of the file of the other measurement: long enough to talk beside.
const BULK_SIZES: u64 = 2;

/// One phase.
pub(crate) struct Phase {
    name: &'static str,
    /// Of the user whose connection carries the bulk.
    ann: Talked,
    /// Of the other.
    bob: Talked,
    /// From ann to bob.
    pub(crate) there: Spread,
    /// From bob to ann.
    pub(crate) back: Spread,
}

/// Measures in memory, then on the disk.
pub(crate) fn measure(settings: &Settings, report: &mut Report) -> Result<()> {
    for place in [Place::Memory, Place::Disk] {
        let phases = talk(settings, place).with_context(|| format!("talk in {place}"))?;
        conclude(report, place, &phases);
    }
    Ok(())
}

fn talk(settings: &Settings, place: Place) -> Result<Vec<Phase>> {
    let dir = settings.scratch(place)?;
    let server = Server::start(settings, dir.path())?;
    // Sparse: what is read of it costs no disk, and what is written of it is written all the same.
    let source = dir.path().join("bulk");
    File::create(&source)?.set_len(BULK_SIZES * settings.bytes())?;
    let mut ann = Process::role("ann", &Task::Chatter { login: server.login("ann") })?;
    let mut bob = Process::role("bob", &Task::Chatter { login: server.login("bob") })?;
    ann.hear::<()>()?;
    bob.hear::<()>()?;
    ann.ask::<()>(&Talk::Meet { peer: "bob".to_owned() })?;
    bob.ask::<()>(&Talk::Meet { peer: "ann".to_owned() })?;

    let lasting = Duration::from_secs(settings.seconds.into());
    let idle = phase(&mut ann, &mut bob, 0, "idle", lasting)?;
    ann.ask::<()>(&Talk::Begin(Bulk::Upload(source)))?;
    let upload = phase(&mut ann, &mut bob, 1, "upload", lasting)?;
    let file: FileId = ann.ask(&Talk::Finish)?;
    ann.ask::<()>(&Talk::Begin(Bulk::Download(file, dir.path().join("fetched"))))?;
    let download = phase(&mut ann, &mut bob, 2, "download", lasting)?;
    ann.ask::<FileId>(&Talk::Finish)?;
    Ok(vec![idle, upload, download])
}

/// Lets both talk to each other for a while.
pub(crate) fn phase(
    ann: &mut Process,
    bob: &mut Process,
    phase: u32,
    name: &'static str,
    lasting: Duration,
) -> Result<Phase> {
    ann.tell(&Talk::Say { phase, lasting, every: EVERY })?;
    bob.tell(&Talk::Say { phase, lasting, every: EVERY })?;
    let (ann_talked, bob_talked) = (ann.hear()?, bob.hear()?);
    let there = bob.ask(&Talk::Heard { phase })?;
    let back = ann.ask(&Talk::Heard { phase })?;
    Ok(Phase { name, ann: ann_talked, bob: bob_talked, there, back })
}

fn conclude(report: &mut Report, place: Place, phases: &[Phase]) {
    let Some((idle, loaded)) = phases.split_first() else { return };
    let bar = idle.ann.round_trip.p50 + BAR;
    for phase in loaded {
        // The worst of both ways: the one that shares the loaded direction.
        let worst = phase.there.p99.max(phase.back.p99);
        let idle_worst = idle.there.p99.max(idle.back.p99);
        report.figure(Figure {
            what: format!("chat p99 from post to event beside a saturating {} in {place}", phase.name),
            bar: format!("<= {} ms", millis(bar)),
            measured: format!(
                "{} ms there, {} back (idle {}; acknowledged {})",
                millis(phase.there.p99),
                millis(phase.back.p99),
                millis(idle_worst),
                millis(phase.ann.acks.p99)
            ),
            ratio: Some(worst.as_secs_f64() / bar.as_secs_f64()),
            verdict: Verdict::of(worst <= bar),
            bound: bound(report, place, idle),
        });
    }
    let row = |phase: &Phase| {
        vec![
            phase.name.to_owned(),
            format!("{:.0}", phase.ann.bulk_rate / 1e6),
            phase.there.count.to_string(),
            phase.there.to_string(),
            phase.back.to_string(),
            phase.ann.acks.to_string(),
            phase.bob.acks.to_string(),
            phase.ann.round_trip.to_string(),
        ]
    };
    let head = [
        "beside",
        "bulk MB/s",
        "messages each way",
        "loaded user to the other",
        "back",
        "acknowledged to the loaded user",
        "to the other",
        "round trip as QUIC smoothed it",
    ];
    report.table(&format!("Chat in {place}: p50 / p99 / longest in ms"), &head, phases.iter().map(row).collect());
}

fn bound(report: &Report, place: Place, idle: &Phase) -> String {
    let cores = report.machine().cores;
    match place {
        Place::Memory => format!("the scheduler: three processes that never rest on {cores} cores"),
        Place::Disk => format!(
            "flushing the commit beside the bulk's writes ({:.1} ms on the idle disk; idle p50 {} ms)",
            report.machine().flush.as_secs_f64() * 1e3,
            millis(idle.there.p50)
        ),
    }
}
