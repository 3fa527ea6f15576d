//! The native door: `hypersend/1`, on whatever carries streams.
//!
//! | file | what it does |
//! | --- | --- |
//! | `connection` | one connection: greets, serves its streams, closes |
//! | `crowd` | how many connections each session, user and network without an account has |
//! | `greeting` | the session stream's first frames: who is calling |
//! | `guest` | a connection that speaks for nobody: one side of a mailbox |
//! | `tunnel` | datagrams to and from a relay, for clients without UDP |
//! | `requests` | request streams: one frame in, one service call, one frame out |
//! | `chat_stream`, `event_stream`, `signal_stream` | what flows while a chat, the feed or a side of a transfer or mailbox is open |
//! | `chunks` | chunk streams: bulk bytes in and out |
//! | `wire` | domain records as frames |

mod chat_stream;
mod chunks;
mod connection;
mod crowd;
mod event_stream;
mod greeting;
mod guest;
mod requests;
mod signal_stream;
mod tunnel;
mod wire;

use crate::services::Services;
use crowd::Crowd;
use hypersend_net::connection::Connection;
use tokio_util::sync::CancellationToken;

/// Lets clients in to the services. Cloning shares who is connected.
#[derive(Clone)]
pub(crate) struct Door {
    services: Services,
    crowd: Crowd,
}

impl Door {
    pub(crate) fn new(services: Services) -> Self {
        Self { services, crowd: Crowd::default() }
    }

    /// Serves a connection to its end, or until `stopping` is cancelled and what is in flight has finished.
    pub(crate) async fn serve(self, connection: Connection, stopping: CancellationToken) {
        connection::serve(connection, self.services, self.crowd, stopping).await;
    }
}
