//! The one place where a relay reads the clocks; the core takes moments as arguments.

use crate::moment::Moment;
use std::time::{Instant, SystemTime};

/// Both clocks, as the core wants them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
}

impl Clock {
    /// A clock that counts from now.
    pub(crate) fn start() -> Self {
        Self { start: Instant::now() }
    }

    /// The moment.
    pub(crate) fn now(&self) -> Moment {
        Moment { steady: self.start.elapsed(), unix: SystemTime::now().into() }
    }
}
