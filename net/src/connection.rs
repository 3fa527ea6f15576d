//! A connection that carries streams.

use crate::{
    stream::{RecvStream, SendStream},
    tcp,
    transport::RECEIVE_WINDOW,
};
use hypersend_protocol::refusal::ErrorCode;
use quinn::{ConnectionError, VarInt};
use std::{fmt, net::SocketAddr, time::Duration};

/// What carries a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// QUIC, over UDP.
    Quic,
    /// HTTP/2 streams in TLS, over TCP.
    Tcp,
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Quic => "QUIC",
            Self::Tcp => "TCP",
        })
    }
}

/// Why a connection is over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Closed {
    /// The other side closed it, and said why.
    #[error("closed by the other side ({0})")]
    ByPeer(ErrorCode),
    /// This side closed it.
    #[error("closed")]
    Here,
    /// It broke.
    #[error("{0}")]
    Lost(String),
}

impl From<ConnectionError> for Closed {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::ApplicationClosed(close) => {
                let code = u16::try_from(close.error_code.into_inner());
                Self::ByPeer(code.map_or(ErrorCode::Internal, ErrorCode::from))
            }
            ConnectionError::LocallyClosed => Self::Here,
            broken => Self::Lost(broken.to_string()),
        }
    }
}

/// A connection. Cloning shares it; it ends with its last handle and its last stream.
#[derive(Clone, Debug)]
pub enum Connection {
    /// Over QUIC.
    Quic(quinn::Connection),
    /// Over TCP.
    Tcp(tcp::Connection),
}

impl From<quinn::Connection> for Connection {
    fn from(connection: quinn::Connection) -> Self {
        Self::Quic(connection)
    }
}

impl From<tcp::Connection> for Connection {
    fn from(connection: tcp::Connection) -> Self {
        Self::Tcp(connection)
    }
}

impl Connection {
    /// Opens a stream; waits while as many are open as the peer allows.
    pub async fn open_bi(&self) -> Result<(SendStream, RecvStream), Closed> {
        match self {
            Self::Quic(connection) => {
                let (send, recv) = connection.open_bi().await?;
                Ok((send.into(), recv.into()))
            }
            Self::Tcp(connection) => connection.open().await,
        }
    }

    /// The next stream that the peer opens. Cancel safe.
    pub async fn accept_bi(&self) -> Result<(SendStream, RecvStream), Closed> {
        match self {
            Self::Quic(connection) => {
                let (send, recv) = connection.accept_bi().await?;
                Ok((send.into(), recv.into()))
            }
            Self::Tcp(connection) => connection.accept().await,
        }
    }

    /// Closes it at once and says why. What streams have sent and the peer not received may be lost.
    pub fn close(&self, code: ErrorCode) {
        match self {
            Self::Quic(connection) => connection.close(close_code(code), code.slug().as_bytes()),
            Self::Tcp(connection) => connection.close(code),
        }
    }

    /// Waits for its end.
    pub async fn closed(&self) -> Closed {
        match self {
            Self::Quic(connection) => connection.closed().await.into(),
            Self::Tcp(connection) => connection.closed().await,
        }
    }

    /// Whether it is over.
    pub fn is_closed(&self) -> bool {
        match self {
            Self::Quic(connection) => connection.close_reason().is_some(),
            Self::Tcp(connection) => connection.is_closed(),
        }
    }

    /// Takes more unread bytes from a peer that is no stranger any more.
    pub fn welcome(&self) {
        self.widen(RECEIVE_WINDOW);
    }

    /// Takes so many unread bytes from the peer.
    pub fn widen(&self, window: u32) {
        match self {
            Self::Quic(connection) => connection.set_receive_window(VarInt::from_u32(window)),
            Self::Tcp(connection) => connection.widen(window),
        }
    }

    /// Keeps so many unacknowledged bytes for the peer. Over TCP it is the kernel that does.
    pub fn narrow(&self, window: u64) {
        match self {
            Self::Quic(connection) => connection.set_send_window(window),
            Self::Tcp(_) => {}
        }
    }

    /// The round trip time as last measured. Over TCP it includes what waits in the kernel's buffers.
    pub fn rtt(&self) -> Duration {
        match self {
            Self::Quic(connection) => connection.rtt(),
            Self::Tcp(connection) => connection.rtt(),
        }
    }

    /// The peer's address.
    pub fn remote_address(&self) -> SocketAddr {
        match self {
            Self::Quic(connection) => connection.remote_address(),
            Self::Tcp(connection) => connection.remote_address(),
        }
    }

    /// What carries it.
    pub fn transport(&self) -> Transport {
        match self {
            Self::Quic(_) => Transport::Quic,
            Self::Tcp(_) => Transport::Tcp,
        }
    }
}

/// The application error code that a code travels as over QUIC.
pub fn close_code(code: ErrorCode) -> VarInt {
    VarInt::from_u32(u16::from(code).into())
}
