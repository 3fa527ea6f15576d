//! The program on real sockets.
//!
//! | module | what it checks |
//! | --- | --- |
//! | [`transfers`] | two quinn endpoints talk through it, and go on after it was killed |
//! | [`strangers`] | who has not proved itself gets nothing, and floods leave nothing behind |
//! | [`stopping`] | it takes nobody new, lets the others finish, and ends |

#![expect(clippy::unwrap_used, reason = "whatever fails here is a failed test")]

mod client;
mod program;
mod stopping;
mod strangers;
mod tickets;
mod transfers;
