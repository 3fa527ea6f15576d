//! The connections of one transfer as its receiver sees them: which one to ask on, and which have fallen silent.
//!
//! The best path is the one that is not silent, of the best rank, the lowest number. A path is silent when something was
//! asked on it and no byte came for [`SILENCE`]; it is asked a trifle then, again and again until that is answered, and is
//! itself again. One that falls silent again and again is asked after longer and longer: it may carry trifles and nothing else.
//! A silent path is used only where all are.

use hypersend_net::{
    connection::{Closed, Connection},
    frames::{FrameReader, RecvError, send},
    transport::SEND_WINDOW,
};
use hypersend_protocol::{
    peer::{GetListing, ListingPage},
    refusal::ErrorCode,
};
use hypersend_transfer::{progress::Meter, schedule::PathId};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    sync::{Notify, watch},
    time::{interval, sleep, timeout},
};
use tokio_util::task::AbortOnDropHandle;

/// How long nothing may come on a path on which something was asked. Longer than a lost packet or a short outage takes to be
/// made good on nearly all paths, and as long as a person watches a bar that stands still.
pub const SILENCE: Duration = Duration::from_secs(3);

/// How long a path that fell silent soon after it was found to speak is left alone before it is asked; twice as long each
/// further time.
const FIRST_DISTRUST: Duration = Duration::from_secs(1);
const LAST_DISTRUST: Duration = Duration::from_mins(1);

/// How long the answer to a trifle may take. A connection on which nothing comes for as long ends by itself, so on one that
/// lives this answer is not under way any more.
const PATIENCE: Duration = Duration::from_secs(30);

/// For how long a path has to speak to be trusted as before.
const TRUSTED_AFTER: Duration = Duration::from_mins(2);

/// How often a request looks at its path.
const LOOK: Duration = Duration::from_millis(250);

/// Bytes that may always be asked for at once: the product of 640 Mbit/s and 100 ms. What a path is known to carry in two
/// round trips may be more, up to what the sender may have unacknowledged, which no chat shares here.
const FLOOR: u64 = 8 << 20;
const CEILING: u64 = SEND_WINDOW;

/// How good a path is, the best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rank {
    /// From one side to the other.
    Direct,
    /// By way of a relay, whose operator pays for each byte.
    Relayed,
}

/// All paths of one receiver.
#[derive(Debug)]
pub(crate) struct Paths {
    known: Mutex<BTreeMap<PathId, Path>>,
    /// Told whenever a path comes, goes, falls silent or speaks again.
    changed: watch::Sender<u64>,
    current: watch::Sender<Option<PathId>>,
    /// Why the sender closed a path for good, if it did.
    ended: watch::Sender<Option<ErrorCode>>,
    start: Instant,
}

#[derive(Debug)]
struct Path {
    live: Live,
    _watched: AbortOnDropHandle<()>,
}

/// One path, to ask on.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) id: PathId,
    pub(crate) rank: Rank,
    pub(crate) connection: Connection,
    health: Arc<Health>,
}

#[derive(Debug)]
struct Health {
    /// When a byte last came, in milliseconds after the start.
    heard: AtomicU64,
    silent: AtomicBool,
    fell_silent: Notify,
    rate: Mutex<(Meter, u64)>,
}

impl Paths {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            known: Mutex::default(),
            changed: watch::Sender::new(0),
            current: watch::Sender::new(None),
            ended: watch::Sender::new(None),
            start: Instant::now(),
        })
    }

    pub(crate) fn add(self: &Arc<Self>, id: PathId, rank: Rank, connection: quinn::Connection) {
        tracing::debug!(path = id.0, ?rank, "path added");
        let connection = Connection::from(connection);
        connection.welcome();
        let now = Instant::now();
        let health = Arc::new(Health {
            heard: AtomicU64::new(self.now()),
            silent: AtomicBool::new(false),
            fell_silent: Notify::new(),
            rate: Mutex::new((Meter::new(now, u64::MAX, 0), 0)),
        });
        let live = Live { id, rank, connection, health };
        // The task must not keep what holds it.
        let watched = tokio::spawn(watch_path(Arc::downgrade(self), live.clone()));
        self.known().insert(id, Path { live, _watched: AbortOnDropHandle::new(watched) });
        self.tell();
    }

    pub(crate) fn remove(&self, id: PathId) {
        if self.known().remove(&id).is_some() {
            self.tell();
        }
    }

    /// The path to ask on, once there is one.
    pub(crate) async fn best(&self) -> Live {
        let mut changed = self.changed.subscribe();
        loop {
            changed.borrow_and_update();
            if let Some(live) = self.choose() {
                self.current.send_if_modified(|current| current.replace(live.id) != Some(live.id));
                return live;
            }
            changed.changed().await.expect("its other end is here");
        }
    }

    pub(crate) fn current(&self) -> watch::Receiver<Option<PathId>> {
        self.current.subscribe()
    }

    /// Waits until the sender has closed a path with a code that ends the transfer.
    pub(crate) async fn ended(&self) -> ErrorCode {
        let mut ended = self.ended.subscribe();
        let code = ended.wait_for(Option::is_some).await.expect("its other end is here");
        code.expect("it was waited for")
    }

    /// Closes all of them.
    pub(crate) fn close(&self, code: ErrorCode) {
        for (_, path) in std::mem::take(&mut *self.known()) {
            path.live.connection.close(code);
        }
        self.tell();
    }

    /// How much may be asked for at once: twice what the best path carries in a round trip, within bounds.
    pub(crate) fn window(&self) -> u64 {
        let Some(best) = self.choose() else { return FLOOR };
        let rate = best.health.rate().0.progress(Instant::now()).bytes_per_second;
        let round_trip = best.connection.rtt().as_micros();
        let product = u128::from(rate).saturating_mul(2 * round_trip) / 1_000_000;
        u64::try_from(product).unwrap_or(u64::MAX).clamp(FLOOR, CEILING)
    }

    /// Waits until something asked on this path, and not answered yet, had better be asked on another one: because this one is
    /// gone or silent, or because there is one of a better rank. What is under way on a slow relay would take up the window for
    /// as long as the relay is slow; what of it has come is little, and is given up.
    pub(crate) async fn leave(&self, live: &Live) {
        let asked = self.now();
        let mut changed = self.changed.subscribe();
        let mut look = interval(LOOK);
        loop {
            tokio::select! {
                _ = look.tick() => {}
                _ = changed.changed() => {}
            }
            if !self.knows(live) {
                return;
            }
            let quiet = self.now().saturating_sub(live.health.heard.load(Ordering::Relaxed).max(asked));
            if Duration::from_millis(quiet) >= SILENCE && !live.health.silent.swap(true, Ordering::Relaxed) {
                tracing::debug!(path = live.id.0, "path is silent");
                live.health.fell_silent.notify_one();
                self.tell();
            }
            let Some(best) = self.choose() else { continue };
            let worse = live.health.silent.load(Ordering::Relaxed) || best.rank < live.rank;
            if worse && !best.health.silent.load(Ordering::Relaxed) {
                return;
            }
        }
    }

    /// Bytes came on this path.
    pub(crate) fn heard(&self, live: &Live, bytes: usize) {
        live.health.heard.store(self.now(), Ordering::Relaxed);
        let mut rate = live.health.rate();
        rate.1 += bytes as u64;
        let (meter, sum) = &mut *rate;
        meter.update(Instant::now(), *sum);
        drop(rate);
        if live.health.silent.swap(false, Ordering::Relaxed) {
            tracing::debug!(path = live.id.0, "path speaks again");
            self.tell();
        }
    }

    fn choose(&self) -> Option<Live> {
        let known = self.known();
        let open = known.values().map(|path| &path.live).filter(|live| !live.connection.is_closed());
        open.min_by_key(|live| (live.health.silent.load(Ordering::Relaxed), live.rank, live.id)).cloned()
    }

    fn closed(&self, live: &Live, closed: &Closed) {
        tracing::debug!(path = live.id.0, %closed, "path ended");
        if let Closed::ByPeer(code @ ErrorCode::Cancelled) = closed {
            self.ended.send_replace(Some(*code));
        }
        // Its number may have been given to another connection.
        if self.knows(live) {
            self.remove(live.id);
        }
    }

    fn knows(&self, live: &Live) -> bool {
        self.known().get(&live.id).is_some_and(|path| Arc::ptr_eq(&path.live.health, &live.health))
    }

    fn tell(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    fn now(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).expect("no process runs for 500 million years")
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<PathId, Path>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Health {
    fn rate(&self) -> MutexGuard<'_, (Meter, u64)> {
        self.rate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Removes a path that has closed, and asks a silent one whether it is there again.
async fn watch_path(paths: std::sync::Weak<Paths>, live: Live) {
    let mut distrust = Duration::ZERO;
    let mut spoke = Instant::now();
    let closed = loop {
        tokio::select! {
            closed = live.connection.closed() => break closed,
            () = live.health.fell_silent.notified() => {}
        }
        let again = spoke.elapsed() < TRUSTED_AFTER;
        distrust = if again { (2 * distrust).clamp(FIRST_DISTRUST, LAST_DISTRUST) } else { Duration::ZERO };
        tokio::select! {
            closed = live.connection.closed() => break closed,
            () = until_it_speaks(&live.connection, distrust) => {
                let Some(paths) = paths.upgrade() else { return };
                paths.heard(&live, 0);
                spoke = Instant::now();
            }
        }
    };
    if let Some(paths) = paths.upgrade() {
        paths.closed(&live, &closed);
    }
}

/// Asks trifles until one is answered, the first after a pause, each further one after a longer one.
async fn until_it_speaks(connection: &Connection, first: Duration) {
    let mut pause = first;
    loop {
        sleep(pause).await;
        if matches!(timeout(PATIENCE, trifle(connection)).await, Ok(true)) {
            return;
        }
        pause = (2 * pause).clamp(FIRST_DISTRUST, LAST_DISTRUST);
    }
}

/// The smallest question there is. Whether anything is said to it: a refusal is a sign of life as well.
async fn trifle(connection: &Connection) -> bool {
    let Ok((mut stream, recv)) = connection.open_bi().await else { return false };
    if send(&mut stream, &GetListing { first: 0, count: 1 }).await.is_err() {
        return false;
    }
    stream.finish();
    !matches!(FrameReader::new(recv).expect::<ListingPage>().await, Err(RecvError::Ended | RecvError::Stream(_)))
}
