//! The whole of it: the list, what is missing, its place, the last report.

use super::{
    ReceiveError, Received,
    carry::{CarryError, Carrying},
    list::Lists,
    prepare::{Parts, Prepared, prepare},
    queue::{Job, Next, Queue},
};
use crate::{
    ask::ask,
    blocking,
    listing::Listing,
    paths::Paths,
    publish::{Note, publish},
};
use hypersend_protocol::{
    limit::MAX_REFUSAL_MESSAGE_BYTES,
    p2p::OfferedFile,
    peer::{ReceiverState, Report},
    refusal::ErrorCode,
};
use hypersend_transfer::progress::{Meter, Progress};
use std::{
    error::Error,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{interval, sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

/// How often progress is refreshed.
const TICK: Duration = Duration::from_millis(100);

/// How often the sender hears how far it is.
const REPORT_EVERY: Duration = Duration::from_millis(200);

/// How long the sender may take to hear that everything is there: it shows a success as a failure otherwise. And how long
/// to hear that it is not, which it finds out by itself.
const LAST_REPORT: Duration = Duration::from_secs(10);
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Everything has arrived and is to be moved, or has been.
enum Arrived {
    Parts(Arc<Listing>, Parts),
    Published(Arc<Listing>, Vec<PathBuf>),
}

/// What is to be received.
#[derive(Debug)]
pub(super) struct Wanted {
    pub(super) destination: PathBuf,
    pub(super) sender: [u8; 32],
    pub(super) expected: Option<Vec<OfferedFile>>,
}

pub(super) async fn run(
    wanted: Wanted,
    paths: Arc<Paths>,
    told: watch::Sender<Option<Progress>>,
    mut cancelled: watch::Receiver<bool>,
) -> Result<Received, ReceiveError> {
    let reporting = AbortOnDropHandle::new(tokio::spawn(report_on(paths.clone(), told.subscribe())));
    let arrived = tokio::select! {
        arrived = arrive(&wanted, &paths, &told) => arrived,
        _ = paths.ended() => Err(ReceiveError::SenderCancelled),
        _ = cancelled.wait_for(|cancelled| *cancelled) => Err(ReceiveError::Cancelled),
    };
    // From here on nothing calls it off: the first thing that is moved could not be taken back.
    let settled = match arrived {
        Ok(arrived) => {
            let Wanted { destination, sender, .. } = wanted;
            blocking(move || settle(&destination, &sender, arrived)).await
        }
        Err(error) => Err(error),
    };
    drop(reporting);
    match settled {
        Ok(settled) => {
            let Settled { mut received, parts, note } = settled;
            received.reported = last_report(&paths, received.bytes, ReceiverState::Finished, LAST_REPORT).await;
            blocking(move || {
                // Whatever is left of them is cleared away by the next transfer of the same.
                let cleared = parts.into_iter().map(crate::part::Part::clear).fold(true, |all, one| all & one.is_ok());
                if cleared {
                    let _ = note.remove();
                }
            })
            .await;
            Ok(received)
        }
        Err(error) => {
            tracing::debug!(%error, "not received");
            let stored = told.borrow().map_or(0, |progress| progress.stored_bytes);
            last_report(&paths, stored, state_of(&error), LAST_WORDS).await;
            if matches!(error, ReceiveError::Cancelled) {
                paths.close(ErrorCode::Cancelled);
            }
            Err(error)
        }
    }
}

/// Gets everything that is missing.
async fn arrive(
    wanted: &Wanted,
    paths: &Arc<Paths>,
    told: &watch::Sender<Option<Progress>>,
) -> Result<Arrived, ReceiveError> {
    let mut lists = Lists::default();
    loop {
        let listing = Arc::new(lists.fetch(paths).await?);
        check_expected(wanted.expected.as_deref(), &listing)?;
        let prepared = {
            let (destination, sender, listing) = (wanted.destination.clone(), wanted.sender, listing.clone());
            blocking(move || prepare(&destination, &sender, &listing)).await?
        };
        let mut parts = match prepared {
            Prepared::Published(places) => {
                let (now, total) = (Instant::now(), listing.bytes());
                told.send_replace(Some(Meter::new(now, total, total).progress(now)));
                return Ok(Arrived::Published(listing, places));
            }
            Prepared::Parts(parts) => parts,
        };
        let carrying = Arc::new(Carrying::new(listing.clone(), paths.clone(), &mut parts));
        let done = std::mem::take(&mut parts.done);
        let mut jobs = JoinSet::new();
        let carried = carry_all(&carrying, &mut jobs, done, told).await;
        jobs.shutdown().await;
        carrying.settled().await;
        match carried {
            Ok(()) => {
                parts.folders = Arc::into_inner(carrying).expect("all jobs are over").parts;
                return Ok(Arrived::Parts(listing, parts));
            }
            // What has arrived is found again by its keys.
            Err(CarryError::Stale) => {}
            Err(CarryError::Fatal(error)) => return Err(error),
        }
    }
}

/// A name may mean something in the destination, a size is what its user has judged by.
fn check_expected(expected: Option<&[OfferedFile]>, listing: &Listing) -> Result<(), ReceiveError> {
    let Some(expected) = expected else { return Ok(()) };
    let sent = listing.offered();
    if sent == expected {
        return Ok(());
    }
    let other = sent.iter().find(|file| !expected.contains(file));
    Err(ReceiveError::Unexpected(other.map_or_else(|| "less of it".to_owned(), shown)))
}

fn shown(file: &OfferedFile) -> String {
    let kind = if file.folder { "the folder" } else { "the file" };
    format!("{kind} {:?} of {} bytes", file.name.as_str(), file.size)
}

async fn carry_all(
    carrying: &Arc<Carrying>,
    jobs: &mut JoinSet<Result<Job, CarryError>>,
    done: Vec<bool>,
    told: &watch::Sender<Option<Progress>>,
) -> Result<(), CarryError> {
    let paths = &carrying.paths;
    let stored = || carrying.stored.load(Ordering::Relaxed);
    let mut meter = Meter::new(Instant::now(), carrying.listing.bytes(), stored());
    let mut tell = || {
        let now = Instant::now();
        meter.update(now, stored());
        told.send_replace(Some(meter.progress(now)));
    };
    let mut queue = Queue::new(carrying.listing.clone(), done);
    let mut under_way = 0;
    let mut tick = interval(TICK);
    loop {
        let mut given_out = false;
        while under_way < paths.window() {
            match queue.next() {
                Next::Job(job) => {
                    under_way += job.cost();
                    jobs.spawn(carrying.clone().carry(job));
                }
                Next::Begin(entry) => {
                    let folder = carrying.begin(entry).await?;
                    queue.begun(entry, folder.plan(), folder.map());
                }
                Next::Nothing => {
                    given_out = true;
                    break;
                }
            }
        }
        if given_out && jobs.is_empty() {
            tell();
            return Ok(());
        }
        tokio::select! {
            Some(carried) = jobs.join_next() => {
                let job = carried.expect("a job neither panics nor is aborted while awaited")?;
                under_way -= job.cost();
                queue.done(&job);
            }
            _ = tick.tick() => tell(),
        }
    }
}

struct Settled {
    received: Received,
    parts: Vec<crate::part::Part>,
    note: Note,
}

/// Puts everything together and moves it to its place. Blocks.
fn settle(destination: &Path, sender: &[u8; 32], arrived: Arrived) -> Result<Settled, ReceiveError> {
    let (listing, parts, places) = match arrived {
        Arrived::Published(listing, places) => {
            let parts = reopen(destination, sender, &listing);
            (listing, parts, places)
        }
        Arrived::Parts(listing, parts) => {
            let places = place(destination, &listing, &parts)?;
            (listing, parts.folders, places)
        }
    };
    let note = Note::of(destination, sender, &listing);
    // Everything is where it belongs; without the note a crash before the end costs a second copy, and no more.
    let _ = note.write(&places);
    let received = Received { files: listing.files(), bytes: listing.bytes(), places, reported: false };
    Ok(Settled { received, parts, note })
}

fn place(destination: &Path, listing: &Listing, parts: &Parts) -> Result<Vec<PathBuf>, ReceiveError> {
    for (item, part) in parts.folders.iter().enumerate().filter(|(item, _)| parts.published[*item].is_none()) {
        part.assemble(listing, item, &parts.item_ids[item])?;
    }
    let mut places = Vec::with_capacity(parts.folders.len());
    for (item, part) in parts.folders.iter().enumerate() {
        let top = listing.get(listing.tops()[item]).expect("an entry");
        places.push(match &parts.published[item] {
            Some(place) => place.clone(),
            None => publish(part, destination, top.name, top.folder, &parts.item_ids[item])?,
        });
    }
    Ok(places)
}

/// The parts that are still there, to be cleared away.
fn reopen(destination: &Path, sender: &[u8; 32], listing: &Listing) -> Vec<crate::part::Part> {
    let tops = listing.tops().iter().filter_map(|&top| listing.get(top));
    tops.filter_map(|top| crate::part::Part::open(destination, top.name, sender, top.key).ok()).collect()
}

/// Tells the sender how far it is, for as long as it goes on.
async fn report_on(paths: Arc<Paths>, mut progress: watch::Receiver<Option<Progress>>) {
    let mut last = None;
    while let Ok(now) = progress.wait_for(|now| *now != last).await.map(|now| *now) {
        last = now;
        if let Some(Progress { stored_bytes, total_bytes, .. }) = now {
            let report = Report { stored: stored_bytes, total: total_bytes, state: ReceiverState::Receiving };
            // It is for showing only.
            let _ = ask(&paths, &report).await;
        }
        sleep(REPORT_EVERY).await;
    }
}

/// Tells the sender how it ended; whether it knows.
async fn last_report(paths: &Paths, stored: u64, state: ReceiverState, patience: Duration) -> bool {
    let report = Report { stored, total: stored, state };
    matches!(timeout(patience, ask(paths, &report)).await, Ok(Ok(_)))
}

fn state_of(error: &ReceiveError) -> ReceiverState {
    match error {
        ReceiveError::Cancelled => ReceiverState::Cancelled,
        error => {
            let mut message = error.to_string();
            let mut cause = error.source();
            while let Some(error) = cause {
                message = format!("{message}: {error}");
                cause = error.source();
            }
            message.truncate(message.floor_char_boundary(MAX_REFUSAL_MESSAGE_BYTES));
            ReceiverState::Failed { message }
        }
    }
}
