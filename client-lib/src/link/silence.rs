//! Noticing that the other side is dead long before the idle timeout does.
//!
//! A live peer answers anything that needs an acknowledgement within a round trip or so, and a sender repeats itself when
//! it does not (RFC 9002, 6.2). So packets going out and none coming in for a few seconds mean that nobody is there.

use quinn::Connection;
use std::time::Duration;
use tokio::time::{Instant, interval};

/// How long to talk into the silence. Ten round trips of the longest path on earth, and longer than a server takes to
/// restart.
const PATIENCE: Duration = Duration::from_secs(6);

const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Returns when the peer has not answered for [`PATIENCE`] although it was spoken to.
pub(super) async fn detect(connection: &Connection) {
    let mut look = interval(LOOK_EVERY);
    let mut heard = 0;
    let mut said = 0;
    let mut unanswered: Option<Instant> = None;
    loop {
        look.tick().await;
        let stats = connection.stats();
        if stats.udp_rx.datagrams != heard {
            (heard, said, unanswered) = (stats.udp_rx.datagrams, stats.udp_tx.datagrams, None);
        } else if stats.udp_tx.datagrams != said {
            let since = *unanswered.get_or_insert_with(Instant::now);
            if since.elapsed() >= PATIENCE {
                return;
            }
        }
    }
}
