//! Windows, timeouts and sizes of one connection.

use quinn::{IdleTimeout, MtuDiscoveryConfig, TransportConfig, VarInt};
use std::time::Duration;

/// Silence after which a connection is given up.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// How often an otherwise silent client is heard of: well within [`IDLE_TIMEOUT`] and within what NATs forget (30 s is
/// the least that RFC 4787 recommends against, and seen in the wild).
pub const KEEP_ALIVE: Duration = Duration::from_secs(10);

/// Streams that the client may have open at once: some 130 chunks in each direction beside chats and requests.
pub const MAX_STREAMS: u32 = 256;

/// Unread bytes of one stream. Twice the longest range, so that a range never waits for its window.
pub const STREAM_WINDOW: u32 = 2 << 20;

/// Unread bytes of one connection before login: room for the hello and no more of a stranger's bytes than that.
pub const STRANGER_WINDOW: u32 = 64 << 10;

/// Unacknowledged bytes that the server holds for a connection without a login: those of one tunnel's stream.
pub const GUEST_SEND_WINDOW: u64 = STREAM_WINDOW as u64;

/// Unread bytes of one connection without a login that has a tunnel: the bandwidth-delay product of 160 Mbit/s at 200 ms.
pub const TUNNEL_WINDOW: u32 = 4 << 20;

/// Unread bytes of one HTTP/3 connection before a request on it has shown who sends it. A browser logs in, loads pages
/// and begins uploads on one connection, so 64 KiB would stall it; eight streams at their full window do not.
pub const HTTP_WINDOW: u32 = 16 << 20;

/// Unidirectional streams that a client may have open at once. HTTP/3 needs three, the control stream and two of QPACK
/// (RFC 9114, 6.2), and clients add reserved ones to exercise the server. Nothing reads such streams of a native client:
/// they fill their window and stay there.
pub const MAX_UNI_STREAMS: u32 = 8;

/// Unread bytes of one connection after login. The bandwidth-delay product of 2 Gbit/s at 250 ms; what a slow reader can
/// make the other side's memory hold.
pub const RECEIVE_WINDOW: u32 = 64 << 20;

/// Unacknowledged bytes that one side holds for a connection, chat and bulk together.
pub const SEND_WINDOW: u64 = 48 << 20;

/// How much of [`SEND_WINDOW`] bulk may take. Chat shares the window: were it full of bulk, a message would wait for
/// acknowledgements, whatever its stream's priority (measured at 80 ms: p50/p99 98/322 ms uncapped, 33/37 ms capped).
pub const BULK_WINDOW: u64 = SEND_WINDOW / 2;

/// The settings of every connection of `hypersend/1`.
pub fn config() -> TransportConfig {
    let mut mtu = MtuDiscoveryConfig::default();
    mtu.upper_bound(1452).interval(Duration::from_mins(1)).black_hole_cooldown(Duration::from_secs(15));
    let mut config = TransportConfig::default();
    config
        .max_idle_timeout(Some(IdleTimeout::try_from(IDLE_TIMEOUT).expect("30 s is a QUIC duration")))
        .max_concurrent_bidi_streams(VarInt::from_u32(MAX_STREAMS))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .datagram_receive_buffer_size(None)
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(RECEIVE_WINDOW))
        .send_window(SEND_WINDOW)
        .initial_rtt(Duration::from_millis(100))
        .mtu_discovery_config(Some(mtu));
    config
}

/// The settings of the side that connects: it also keeps the connection alive.
pub fn client_config() -> TransportConfig {
    let mut config = config();
    config.keep_alive_interval(Some(KEEP_ALIVE));
    config
}

/// The settings of the side that accepts: it trusts a stranger with little.
pub fn server_config() -> TransportConfig {
    let mut config = config();
    config
        .receive_window(VarInt::from_u32(STRANGER_WINDOW))
        .max_concurrent_uni_streams(VarInt::from_u32(MAX_UNI_STREAMS));
    config
}
