//! Two cores in virtual time, on a net with NATs, losses and a real relay's core.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`net`] | the net |
//! | [`end`] | an end of it |
//! | [`nat`] | what is in front of an end |
//! | [`punching`] | which pairs of NATs find which way |
//! | [`trouble`] | losses, restarts, dead paths |
//! | [`hostile`] | what the other side cannot have this one do |

mod end;
mod hostile;
mod nat;
mod net;
mod punching;
mod trouble;
