//! The registers by which the two sides of a transfer speak before there is a path between them. What is in them is of use for
//! minutes: no backend keeps it for longer than [`FORGOTTEN_AFTER`].

use hypersend_protocol::{id::P2pId, relay::ticket::Side, signal::SignalValue};
use std::time::Duration;

/// How long a register is there that nobody sets or renews. A transfer that was interrupted for longer begins to speak anew.
pub const FORGOTTEN_AFTER: Duration = Duration::from_hours(1);

/// One register: a side of a session.
pub type Place = (P2pId, Side);

/// Whoever may set a register: the stream that was opened last. Random, so that no two are alike on any server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holder(pub i64);

/// A register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Register {
    /// Who may set it.
    pub holder: Holder,
    /// What it says, if it was ever set.
    pub value: Option<SignalValue>,
}
