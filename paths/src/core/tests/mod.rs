//! Two cores in virtual time, on a net with NATs, losses and a real relay's core.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`net`] | the net and the two ends |
//! | [`nat`] | what is in front of an end |
//! | [`punching`] | which pairs of NATs find which way |
//! | [`trouble`] | losses, restarts, dead paths |
//! | [`hostile`] | what the other side cannot have this one do |

mod hostile;
mod nat;
mod net;
mod punching;
mod trouble;
