//! Whether anybody is still there. TCP itself takes a quarter of an hour to say that nobody is.

use super::watched::Activity;
use crate::transport::{IDLE_TIMEOUT, KEEP_ALIVE};
use h2::{Ping, PingPong};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

/// How long the client waits for any byte after a ping. Longer than over QUIC: the ping waits behind what is in the
/// kernel's buffers, and a lost packet holds up everything.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often either side looks.
const CLIENT_LOOKS_EVERY: Duration = Duration::from_secs(2);
const SERVER_LOOKS_EVERY: Duration = Duration::from_secs(10);

/// A `PING` with its header, in bytes (RFC 9113, 4.1 and 6.7).
const PING_BYTES: u64 = 17;

/// Looks now and then whether something came. So much the kernel tells too: where it had no more room for what is to be
/// sent, it has some only because the peer's kernel has acknowledged something. On a slow path a ping may wait for long.
pub(super) struct Pulse {
    look: Interval,
    activity: Activity,
    heard: u64,
    written: u64,
    was_stuck: bool,
    alive_at: Instant,
    pings: Option<Pings>,
}

/// The client's: it keeps the connection alive and measures it, and the server only listens.
struct Pings {
    ping_pong: PingPong,
    round_trip: Arc<AtomicU64>,
    sent: Option<Instant>,
    last: Instant,
    /// Bytes written with the last ping.
    said: u64,
}

impl Pulse {
    pub(super) fn new(activity: Activity, ping_pong: Option<PingPong>, round_trip: Arc<AtomicU64>) -> Self {
        let now = Instant::now();
        let every = if ping_pong.is_some() { CLIENT_LOOKS_EVERY } else { SERVER_LOOKS_EVERY };
        let mut look = interval(every);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let pings = ping_pong.map(|ping_pong| Pings { ping_pong, round_trip, sent: None, last: now, said: 0 });
        Self { look, activity, heard: 0, written: 0, was_stuck: false, alive_at: now, pings }
    }

    /// Ready when nobody is there.
    pub(super) fn poll_stopped(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(pings) = &mut self.pings {
            pings.poll_pong(cx);
        }
        while self.look.poll_tick(cx).is_ready() {
            let now = Instant::now();
            let (heard, written) = (self.activity.read(), self.activity.written());
            if heard != self.heard || self.was_stuck && written != self.written {
                self.alive_at = now;
            }
            (self.heard, self.written, self.was_stuck) = (heard, written, self.activity.is_stuck());
            let is_silent = match &self.pings {
                Some(pings) => pings.sent.is_some_and(|sent| now.duration_since(sent.max(self.alive_at)) >= PATIENCE),
                None => now.duration_since(self.alive_at) >= IDLE_TIMEOUT,
            };
            if is_silent {
                return Poll::Ready(());
            }
            if let Some(pings) = &mut self.pings {
                pings.ping(now, written);
            }
        }
        Poll::Pending
    }
}

impl Pings {
    fn poll_pong(&mut self, cx: &mut Context<'_>) {
        let Some(sent) = self.sent else { return };
        if let Poll::Ready(Ok(_)) = self.ping_pong.poll_pong(cx) {
            let micros = u64::try_from(sent.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.round_trip.store(micros, Ordering::Relaxed);
            self.sent = None;
        }
    }

    /// Asks for a sign of life: at every look while something is said, else as often as keeps the connection alive.
    fn ping(&mut self, now: Instant, said: u64) {
        let is_due = said != self.said || now.duration_since(self.last) >= KEEP_ALIVE;
        if self.sent.is_none() && is_due && self.ping_pong.send_ping(Ping::opaque()).is_ok() {
            (self.sent, self.last, self.said) = (Some(now), now, said + PING_BYTES);
        }
    }
}
