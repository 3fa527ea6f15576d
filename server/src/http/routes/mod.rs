//! One file for each resource: its paths, what goes in and out as JSON, and its handlers.

pub(super) mod auth;
pub(super) mod capabilities;
pub(super) mod chats;
pub(super) mod events;
pub(super) mod files;
pub(super) mod forms;
pub(super) mod health;
pub(super) mod messages;
pub(super) mod metrics;
pub(super) mod p2p;
pub(super) mod relays;
pub(super) mod resumable;
pub(super) mod signals;
pub(super) mod tus;
pub(super) mod updates;
pub(super) mod uploads;
pub(super) mod users;
mod watch;
