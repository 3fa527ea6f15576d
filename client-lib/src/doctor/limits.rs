//! What a transfer can reach at most by the protocol's own bounds.

use hypersend_net::transport::{BULK_WINDOW, RECEIVE_WINDOW};
use std::time::Duration;

/// Bytes in a second that the windows of one connection let through at this round trip time: what is under way and not
/// acknowledged is bounded, by what the sender holds for bulk and by what the receiver lets be unread.
pub fn window_rate(round_trip: Duration) -> u64 {
    let window = u128::from(BULK_WINDOW.min(RECEIVE_WINDOW.into()));
    let nanos = round_trip.as_nanos().max(1);
    u64::try_from(window * 1_000_000_000 / nanos).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_the_way_the_less_the_windows_let_through() {
        assert_eq!(window_rate(Duration::from_secs(1)), BULK_WINDOW);
        assert_eq!(window_rate(Duration::from_millis(100)), BULK_WINDOW * 10);
        assert!(window_rate(Duration::ZERO) > 1 << 50);
    }
}
