//! Two sides of a session on real sockets, with a real relay and without.
//!
//! | module | what it checks |
//! | --- | --- |
//! | [`pair`] | the two sides, the registers between them, a relay |
//! | [`direct`] | ways without a relay |
//! | [`relayed`] | ways over a relay |
//! | [`hostile`] | strangers who send probes and want to connect |

#![expect(clippy::unwrap_used, reason = "what fails here is a failed test")]

mod direct;
mod hostile;
mod pair;
mod relayed;
