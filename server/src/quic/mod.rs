//! The native door: `hypersend/1` on QUIC.
//!
//! | file | what it does |
//! | --- | --- |
//! | `listener` | the endpoint: accepts connections and sends each to its protocol by ALPN |
//! | `connection` | one connection: greets, serves its streams, closes |
//! | `crowd` | how many connections each session and user has |
//! | `greeting` | the session stream's first frames: who is calling |
//! | `requests` | request streams: one frame in, one service call, one frame out |
//! | `chat_stream`, `event_stream` | what flows while a chat or the feed is open |
//! | `chunks` | chunk streams: bulk bytes in and out |
//! | `wire` | domain records as frames |

mod chat_stream;
mod chunks;
mod connection;
mod crowd;
mod event_stream;
mod greeting;
mod listener;
mod requests;
mod wire;

pub use listener::{DoorClosed, GRACE, ListenError, Listener};
