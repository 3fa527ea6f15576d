//! The wire, held to its golden bytes, its limits and its document.
//!
//! | module | what it checks |
//! | --- | --- |
//! | [`examples`] | one fixed value of every frame; the list that the others go through |
//! | [`golden`] | the bytes never change, and none of the frames was forgotten |
//! | [`round_trip`] | whatever is written is read back the same |
//! | [`ceilings`] | the largest value that the limits allow fits, and not much more |
//! | [`hostile`] | bytes made to hurt are refused, cheaply |
//! | [`paths`] | the same for what two clients say to each other to find ways |
//! | [`code`] | the same for what they say where a code is all they have in common |
//! | [`relay`] | the same for the datagrams of the relay, which are no frames |
//! | [`spec`] | `docs/protocol.md` says what the code does |

#![expect(clippy::unwrap_used, reason = "a fixed value that its own parser refuses is a failed test")]

mod ceilings;
mod code;
mod examples;
mod golden;
mod hostile;
mod paths;
mod relay;
mod round_trip;
mod spec;
