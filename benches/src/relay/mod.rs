//! The relay: against a direct way on the same link, its cost beside coturn's, and many sessions that want more than there is.
//!
//! | module | what it measures or does |
//! | --- | --- |
//! | [`against_direct`] | bulk of one QUIC connection, directly and relayed |
//! | [`cost`] | processor time for what is passed on, beside coturn |
//! | [`crowd`] | a capacity shared by many sessions |
//! | [`programs`] | a relay's process, and a coturn's |
//! | [`link`] | a link of a known rate, between network namespaces |
//! | [`seat`] | how a socket comes to be a side of a session |

pub(crate) mod against_direct;
pub(crate) mod cost;
pub(crate) mod crowd;
mod link;
mod programs;
mod seat;

pub(crate) use link::command;
pub(crate) use seat::Seat;
