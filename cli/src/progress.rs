//! Following a transfer: a bar on a terminal, a line now and then elsewhere.

use crate::talk::Talk;
use hypersend_client::{Progress, protocol::size::Size};
use std::time::{Duration, Instant};
use tokio::{sync::watch, time::interval};

/// How often a bar moves.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How often a line is said where there is no bar: often enough to see that it lives, seldom enough for a log.
const SAY_EVERY: Duration = Duration::from_secs(3);

/// Awaits the end of a transfer, and shows how far it is meanwhile.
pub(crate) async fn follow<T>(
    talk: &Talk,
    name: &str,
    progress: watch::Receiver<Option<Progress>>,
    finish: impl Future<Output = T>,
) -> T {
    let mut show = Show { talk, name, began: false, has_bar: false, said: Instant::now() };
    let mut look = interval(LOOK_EVERY);
    tokio::pin!(finish);
    loop {
        tokio::select! {
            done = &mut finish => {
                // It may have been over between two looks.
                if let Some(reading) = *progress.borrow() {
                    show.begin(&reading);
                }
                return done;
            }
            _ = look.tick() => {
                let reading = *progress.borrow();
                if let Some(reading) = reading {
                    show.reading(&reading);
                }
            }
        }
    }
}

struct Show<'a> {
    talk: &'a Talk,
    name: &'a str,
    began: bool,
    /// The bar is this transfer's: there is one at a time.
    has_bar: bool,
    said: Instant,
}

impl Show<'_> {
    fn begin(&mut self, reading: &Progress) {
        if !self.began {
            self.began = true;
            if reading.resumed_bytes > 0 && reading.resumed_bytes < reading.total_bytes {
                let (resumed, total) = (Size(reading.resumed_bytes), Size(reading.total_bytes));
                self.talk.say(&format!("{} goes on at {resumed} of {total}", self.name));
            }
            if self.talk.wants_bar() {
                self.has_bar = true;
                self.talk.begin_bar(self.name, reading.total_bytes);
            }
        }
    }

    fn reading(&mut self, reading: &Progress) {
        self.begin(reading);
        if self.has_bar {
            self.talk.move_bar(reading);
        } else if self.said.elapsed() >= SAY_EVERY {
            self.said = Instant::now();
            self.talk.progress(self.name, reading);
        }
    }
}

impl Drop for Show<'_> {
    fn drop(&mut self) {
        if self.has_bar {
            self.talk.end_bar();
        }
    }
}
