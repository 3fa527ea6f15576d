//! What time it is, which the core is told and never asks.

use hypersend_protocol::time::UnixMillis;
use std::time::Duration;

/// A reading of two clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Since any moment before the first datagram; never goes back.
    pub steady: Duration,
    /// By the calendar, for the tickets' ends.
    pub unix: UnixMillis,
}
