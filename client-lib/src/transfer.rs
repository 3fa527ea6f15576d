//! What uploads and downloads have in common: chunks carried on a connection, in the order and number that a
//! [`Schedule`] wishes for.

use crate::{
    error::{Attempt, ClientError, Patience, wait_after},
    link::Live,
};
use hypersend_net::transport::BULK_WINDOW;
use hypersend_protocol::{id::ChunkIndex, refusal::Refusal};
pub use hypersend_transfer::progress::Progress;
use hypersend_transfer::{
    map::ReceiveMap,
    plan::ChunkPlan,
    progress::Meter,
    schedule::{Event, PathId, Schedule, ScheduleConfig, Wish},
};
use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    sync::watch,
    task::{JoinSet, spawn_blocking},
    time::{interval, sleep_until},
};

/// How often the round trip is measured and the progress refreshed.
const TICK: Duration = Duration::from_millis(100);

/// How often one chunk may arrive damaged: damage on the way passes, a disk or memory that lies does not.
const DAMAGES: u32 = 6;

/// The client's one path so far.
const SERVER: PathId = PathId(0);

/// Carries single chunks.
pub(crate) trait Carrier: Send + Sync + 'static {
    type Error: From<ClientError> + Send;

    /// Carries one chunk over one connection; when this returns, it is stored at the other end.
    fn carry(
        self: Arc<Self>,
        live: Live,
        chunk: ChunkIndex,
    ) -> impl Future<Output = Result<(), CarryError<Self::Error>>> + Send;
}

/// Why a chunk was not carried.
pub(crate) enum CarryError<E> {
    /// The connection is gone or going.
    Lost,
    /// It may be, later.
    Again(Refusal),
    /// The transfer cannot go on.
    Fatal(E),
}

impl<E: From<ClientError>> From<Attempt> for CarryError<E> {
    fn from(attempt: Attempt) -> Self {
        match attempt {
            Attempt::Lost => Self::Lost,
            Attempt::Failed(ClientError::Refused(refusal)) if refusal.code.is_transient() => Self::Again(refusal),
            Attempt::Failed(error) => Self::Fatal(error.into()),
        }
    }
}

/// What has gone wrong lately. Many chunks are in flight and fail together, so time is counted and not their number.
#[derive(Debug, Default)]
struct Setbacks {
    /// Since a chunk was last stored.
    patience: Patience,
    /// How often each chunk that is not stored was damaged. The schedule begins nothing new while too many wait.
    damages: BTreeMap<ChunkIndex, u32>,
}

impl Setbacks {
    fn stored(&mut self, chunk: ChunkIndex) {
        self.patience.rest();
        self.damages.remove(&chunk);
    }

    /// Whether a chunk that was refused now is worth another attempt.
    fn bears(&mut self, now: Instant, chunk: ChunkIndex, refusal: &Refusal) -> bool {
        if refusal.code.is_transient() {
            return self.patience.bears(now);
        }
        let damages = self.damages.entry(chunk).or_default();
        *damages += 1;
        *damages < DAMAGES
    }
}

/// How far the work on one connection got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Driven {
    /// Every chunk is stored.
    Finished,
    /// The connection was lost; go on with the next.
    Lost,
}

/// Tells whoever watches how far a transfer is.
#[derive(Debug)]
pub(crate) struct Gauge {
    meter: Option<Meter>,
    told: watch::Sender<Option<Progress>>,
}

impl Gauge {
    pub(crate) fn new() -> (Self, watch::Receiver<Option<Progress>>) {
        let (told, watched) = watch::channel(None);
        (Self { meter: None, told }, watched)
    }

    /// A connection carries the transfer from here.
    fn begin(&mut self, total: u64, stored: u64) {
        let now = Instant::now();
        match &mut self.meter {
            Some(meter) => meter.resume(now, stored),
            None => self.meter = Some(Meter::new(now, total, stored)),
        }
        self.update(stored);
    }

    fn update(&mut self, stored: u64) {
        let now = Instant::now();
        let meter = self.meter.as_mut().expect("it was begun");
        meter.update(now, stored);
        self.told.send_replace(Some(meter.progress(now)));
    }
}

/// Carries what is missing in `map` over one connection, as long as it lasts. Chunks are tasks of their own, which end
/// with this future.
pub(crate) async fn drive<C: Carrier>(
    live: &Live,
    plan: ChunkPlan,
    map: &ReceiveMap,
    carrier: &Arc<C>,
    gauge: &mut Gauge,
) -> Result<Driven, C::Error> {
    let config = ScheduleConfig { ceiling: BULK_WINDOW, ..ScheduleConfig::default() };
    let mut schedule = Schedule::new(plan, map, config);
    schedule.handle(Instant::now(), Event::PathUp(SERVER));
    let mut chunks = JoinSet::new();
    let mut tick = interval(TICK);
    let mut wake = None;
    // Until when the server wants to be left alone.
    let mut hold: Option<Instant> = None;
    let mut setbacks = Setbacks::default();
    gauge.begin(plan.size(), schedule.stored_bytes());
    loop {
        let draining = live.draining.is_cancelled();
        while let Some(wish) = (!draining && hold.is_none()).then(|| schedule.poll(Instant::now())).flatten() {
            match wish {
                Wish::Send { chunk, .. } => {
                    let carrying = carrier.clone().carry(live.clone(), chunk);
                    chunks.spawn(async move { (chunk, carrying.await) });
                }
                Wish::WakeAt(at) => wake = Some(at),
                Wish::Finished => {
                    gauge.update(plan.size());
                    return Ok(Driven::Finished);
                }
            }
        }
        if draining && chunks.is_empty() {
            return Ok(Driven::Lost);
        }
        tokio::select! {
            Some(carried) = chunks.join_next() => {
                let (chunk, carried) = carried.expect("a chunk's task neither panics nor is aborted while awaited");
                match carried {
                    Ok(()) => {
                        setbacks.stored(chunk);
                        schedule.handle(Instant::now(), Event::Stored(chunk));
                    }
                    Err(CarryError::Again(refusal)) => {
                        let now = Instant::now();
                        if !setbacks.bears(now, chunk, &refusal) {
                            return Err(ClientError::from(refusal).into());
                        }
                        if refusal.retry_after_ms.is_some() {
                            hold = hold.max(Some(now + wait_after(&refusal)));
                        }
                        schedule.handle(now, Event::Failed(chunk));
                    }
                    Err(CarryError::Lost) => {
                        live.gone().await;
                        if !live.draining.is_cancelled() {
                            return Ok(Driven::Lost);
                        }
                    }
                    Err(CarryError::Fatal(error)) => return Err(error),
                }
            }
            _ = tick.tick() => {
                schedule.handle(Instant::now(), Event::RoundTrip(SERVER, live.connection.rtt()));
                gauge.update(schedule.stored_bytes());
            }
            () = until(wake) => wake = None,
            () = until(hold) => hold = None,
            _ = live.connection.closed() => return Ok(Driven::Lost),
        }
    }
}

async fn until(moment: Option<Instant>) {
    match moment {
        Some(moment) => sleep_until(moment.into()).await,
        None => std::future::pending().await,
    }
}

/// Runs something that blocks off the async threads. How many do at once is bounded by the chunks in flight.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(work).await.expect("disk work does not panic")
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypersend_protocol::refusal::ErrorCode;

    #[test]
    fn chunks_that_fail_together_are_one_setback() {
        let busy = Refusal::new(ErrorCode::Unavailable, "busy");
        let mut setbacks = Setbacks::default();
        let start = Instant::now();
        assert!((0..1_000).all(|n| setbacks.bears(start, ChunkIndex(n), &busy)));
        let later = |n| start + Duration::from_secs(50) * n;
        assert!((1..=5).all(|n| setbacks.bears(later(n), ChunkIndex(n), &busy)));
        assert!(!setbacks.bears(later(6), ChunkIndex(0), &busy), "nothing was stored for five minutes");
        setbacks.stored(ChunkIndex(7));
        assert!(setbacks.bears(later(6), ChunkIndex(0), &busy));
    }

    #[test]
    fn a_chunk_that_stays_damaged_is_given_up_whatever_becomes_of_others() {
        let damaged = Refusal::new(ErrorCode::HashMismatch, "damaged");
        let mut setbacks = Setbacks::default();
        let now = Instant::now();
        for _ in 1..DAMAGES {
            assert!(setbacks.bears(now, ChunkIndex(0), &damaged));
            assert!(setbacks.bears(now, ChunkIndex(1), &damaged));
            setbacks.stored(ChunkIndex(1));
        }
        assert!(!setbacks.bears(now, ChunkIndex(0), &damaged));
        assert!(setbacks.bears(now, ChunkIndex(1), &damaged));
    }
}
