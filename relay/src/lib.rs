//! The relay: passes UDP datagrams between the two sides of a transfer that do not reach each other.
//!
//! What it passes on are QUIC packets, which it can neither read nor change. Who may use it, it learns from tickets that the
//! server has signed: it holds no secret of the server and asks nobody. What is here is the core, which has no socket,
//! no clock and no randomness: [`Relay::datagram`] takes a datagram and says what to do with it.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`relay`](mod@relay) | the one entry: each datagram, and the sweep once a second |
//! | [`settings`] | what an operator says, and the limits |
//! | [`counters`] | what has been passed on and dropped, and why |
//! | `cookie` | proves addresses without remembering them |
//! | `table` | sessions, their sides, and the addresses that these are at |
//! | `shares` | shares the capacity among the sessions that want more than there is |
//!
//! The datagrams are those of `hypersend_protocol::relay`; `docs/protocol.md` has their flow.

mod cookie;
pub mod counters;
mod moment;
pub mod relay;
pub mod settings;
mod shares;
mod table;

pub use counters::{Counters, DropReason};
pub use moment::Moment;
pub use relay::{Action, Notice, Relay};
pub use settings::Settings;
pub use table::Ended;
