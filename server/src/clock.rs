//! The one place where the server reads the clock and makes ids; everything below takes them as arguments.

use hypersend_protocol::time::UnixMillis;
use std::time::SystemTime;
use uuid::Uuid;

/// The moment.
pub fn now() -> UnixMillis {
    SystemTime::now().into()
}

/// A fresh UUIDv7: later ones sort behind earlier ones.
pub fn new_id() -> Uuid {
    Uuid::now_v7()
}
