//! Noticing over QUIC that the other side is dead long before the idle timeout does.
//!
//! A live peer answers anything that needs an acknowledgement within a round trip or so, and a sender repeats itself when
//! it does not (RFC 9002, 6.2). So such frames going out and nothing coming in for a few seconds mean that nobody is
//! there. A bare acknowledgement does not count as spoken to: nobody answers it (RFC 9000, 13.2.1), and with nothing else
//! to say it is the last word for as long as the connection is idle.

use hypersend_net::connection::Connection;
use quinn::{ConnectionStats, FrameStats};
use std::time::Duration;
use tokio::time::{Instant, interval};

/// How long to talk into the silence. Ten round trips of the longest path on earth, and longer than a server takes to
/// restart.
const PATIENCE: Duration = Duration::from_secs(6);

const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Returns when the peer has not answered for [`PATIENCE`] although it was spoken to. Over TCP the connection itself sees to
/// that.
pub(super) async fn detect(connection: &Connection) {
    let Connection::Quic(connection) = connection else { return std::future::pending().await };
    let mut look = interval(LOOK_EVERY);
    let mut silence = Silence::default();
    while !silence.is_too_long(look.tick().await, &connection.stats()) {}
}

/// What was seen at the last look.
#[derive(Debug, Default)]
struct Silence {
    /// Datagrams that came.
    heard: u64,
    /// Frames sent that want an answer, up to when something came.
    said: u64,
    /// Since when there are more of them.
    unanswered: Option<Instant>,
}

impl Silence {
    fn is_too_long(&mut self, now: Instant, stats: &ConnectionStats) -> bool {
        let (heard, said) = (stats.udp_rx.datagrams, wanting_an_answer(&stats.frame_tx));
        if heard != self.heard {
            *self = Self { heard, said, unanswered: None };
        } else if said != self.said {
            let since = *self.unanswered.get_or_insert(now);
            return now.duration_since(since) >= PATIENCE;
        }
        false
    }
}

/// All but `ACK`, `PADDING` and `CONNECTION_CLOSE` (RFC 9002, 2).
fn wanting_an_answer(frames: &FrameStats) -> u64 {
    let streams = frames.stream + frames.reset_stream + frames.stop_sending + frames.datagram;
    let windows = frames.max_data + frames.max_stream_data + frames.max_streams_bidi + frames.max_streams_uni;
    let blocked =
        frames.data_blocked + frames.stream_data_blocked + frames.streams_blocked_bidi + frames.streams_blocked_uni;
    let paths = frames.path_challenge
        + frames.path_response
        + frames.new_connection_id
        + frames.retire_connection_id
        + frames.new_token;
    let probes = frames.ping + frames.immediate_ack + frames.ack_frequency;
    streams + windows + blocked + paths + probes + frames.crypto + u64::from(frames.handshake_done)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A connection whose counters are turned by hand, looked at as often as a real one.
    struct Watched {
        silence: Silence,
        stats: ConnectionStats,
        now: Instant,
    }

    impl Watched {
        fn new() -> Self {
            let mut watched =
                Self { silence: Silence::default(), stats: ConnectionStats::default(), now: Instant::now() };
            watched.hears();
            watched.says(|frames| frames.crypto += 3);
            assert!(!watched.is_too_long_in(LOOK_EVERY));
            watched.hears();
            assert!(!watched.is_too_long_in(LOOK_EVERY));
            watched
        }

        fn hears(&mut self) {
            self.stats.udp_rx.datagrams += 1;
        }

        fn says(&mut self, count: impl Fn(&mut FrameStats)) {
            self.stats.udp_tx.datagrams += 1;
            count(&mut self.stats.frame_tx);
        }

        fn is_too_long_in(&mut self, time: Duration) -> bool {
            let end = self.now + time;
            while self.now < end {
                self.now += LOOK_EVERY;
                if self.silence.is_too_long(self.now, &self.stats) {
                    return true;
                }
            }
            false
        }
    }

    #[test]
    fn who_does_not_answer_is_dead() {
        let speak: [fn(&mut FrameStats); 4] = [
            |frames| frames.stream += 1,
            |frames| frames.ping += 1,
            |frames| frames.max_data += 1,
            |frames| frames.reset_stream += 1,
        ];
        for say in speak {
            let mut watched = Watched::new();
            watched.says(say);
            assert!(!watched.is_too_long_in(PATIENCE));
            assert!(watched.is_too_long_in(2 * LOOK_EVERY));
        }
    }

    #[test]
    fn who_answers_is_not() {
        let mut watched = Watched::new();
        for _ in 0..10 {
            watched.says(|frames| frames.stream += 1);
            assert!(!watched.is_too_long_in(PATIENCE));
            watched.hears();
            assert!(!watched.is_too_long_in(PATIENCE));
        }
    }

    #[test]
    fn nobody_answers_an_acknowledgement() {
        let mut watched = Watched::new();
        for _ in 0..10 {
            watched.hears();
            assert!(!watched.is_too_long_in(LOOK_EVERY));
            // Sent a little later than what it acknowledges came: between two looks.
            watched.says(|frames| frames.acks += 1);
            assert!(!watched.is_too_long_in(10 * PATIENCE));
        }
    }
}
