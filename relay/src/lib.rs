//! The relay: passes UDP datagrams between the two sides of a transfer that do not reach each other.
//!
//! What it passes on are QUIC packets, which it can neither read nor change. Who may use it, it learns from tickets that the
//! server has signed: it holds no secret of the server and asks nobody. The core has no socket, no clock and no randomness:
//! [`Relay::datagram`] takes a datagram and says what to do with it. The shell around it has the rest.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`relay`](mod@relay) | the one entry: each datagram, and the sweep once a second |
//! | [`settings`] | what an operator says, and the limits |
//! | [`counters`] | what has been passed on and dropped, and why |
//! | `cookie` | proves addresses without remembering them |
//! | `table` | sessions, their sides, and the addresses that these are at |
//! | `caps` | holds each session to a rate |
//! | `shares` | shares the capacity among the sessions that want more than there is |
//! | [`switch`] | the shell: the sockets, the sweep, and an end |
//! | `clock` | the one place that reads the clocks |
//! | [`metrics`] | what an operator watches, over HTTP |
//! | [`flags`] | the command line |
//! | [`place`] | where clients find a relay |
//! | [`register`] | says to the server that the relay is there |
//!
//! The datagrams are those of `hypersend_protocol::relay`; `docs/protocol.md` has their flow.

mod caps;
mod clock;
mod cookie;
pub mod counters;
pub mod flags;
pub mod metrics;
mod moment;
pub mod place;
pub mod register;
pub mod relay;
pub mod settings;
mod shares;
pub mod switch;
mod table;

pub use counters::{Counters, DropReason};
pub use flags::Flags;
pub use moment::Moment;
pub use relay::{Action, Door, Notice, Relay};
pub use settings::Settings;
pub use switch::{Observer, Snapshot, Switch};
pub use table::Ended;
