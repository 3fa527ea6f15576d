//! Files from this computer to another one, and from there to here.

mod list;
mod receive;
mod send;
mod show;

pub(super) use list::{cancel, list};
pub(super) use receive::{Wishes, destination, receive};
pub(super) use send::{open_offer, send};
pub(super) use show::watch;
