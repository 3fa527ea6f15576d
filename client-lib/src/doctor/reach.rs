//! The server, over QUIC and over TCP: a handshake each, without a login.

use crate::{
    CertificateProblem, Config, Transport, Transports,
    error::ClientError,
    link::{DialError, Ways, dial, endpoint},
};
use hypersend_net::connection::Connection;
use hypersend_protocol::refusal::ErrorCode;
use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};
use tokio::time::{sleep, timeout};

/// How long a name may take to be found, one of its addresses to answer, and QUIC to find out the longest datagram.
const PATIENCE: Duration = Duration::from_secs(6);

/// How long QUIC may look for the longest datagram that the path takes.
const MTU_SEARCH: Duration = Duration::from_millis(1_500);

/// How often that is looked at.
const MTU_LOOK: Duration = Duration::from_millis(10);

/// How the server is reached by one way.
#[derive(Clone, Debug)]
pub enum Reach {
    /// It answers.
    Answers {
        /// At this one of its addresses.
        address: SocketAddr,
        /// The round trip time.
        round_trip: Duration,
        /// The longest UDP payload that gets through, in bytes, as QUIC has found out; none over TCP.
        mtu: Option<u16>,
    },
    /// Somebody answers who shows a certificate that is not trusted.
    Untrusted(CertificateProblem),
    /// Nobody answers, for this reason.
    Silent(String),
}

impl Reach {
    /// Whether anybody answers.
    pub fn is_answer(&self) -> bool {
        !matches!(self, Self::Silent(_))
    }

    /// The address that answers, if it is the server's own answer.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Answers { address, .. } => Some(*address),
            Self::Untrusted(_) | Self::Silent(_) => None,
        }
    }

    /// The round trip time, if it is known.
    pub fn round_trip(&self) -> Option<Duration> {
        match self {
            Self::Answers { round_trip, .. } => Some(*round_trip),
            Self::Untrusted(_) | Self::Silent(_) => None,
        }
    }
}

/// Looks whether the server answers by one way. Takes 6 s at most.
pub async fn reach(config: &Config, transport: Transport) -> Reach {
    timeout(PATIENCE, connect(config, transport)).await.unwrap_or_else(|_| Reach::Silent("no answer".to_owned()))
}

async fn connect(config: &Config, transport: Transport) -> Reach {
    let endpoint = match endpoint() {
        Ok(endpoint) => endpoint,
        Err(error) => return Reach::Silent(error.to_string()),
    };
    match dial(&endpoint, config, Ways::new(Transports::Only(transport), None)).await {
        Ok(connection) => {
            let mtu = match &connection {
                Connection::Quic(quic) => Some(path_mtu(quic).await),
                Connection::Tcp(_) => None,
            };
            // Asked for after the search, by which it has been measured several times.
            let reach = Reach::Answers { address: canonical(&connection), round_trip: connection.rtt(), mtu };
            connection.close(ErrorCode::Closed);
            reach
        }
        Err(DialError::Fatal(ClientError::Certificate(problem))) => Reach::Untrusted(problem),
        Err(DialError::Fatal(error)) => Reach::Silent(error.to_string()),
        Err(DialError::Unreachable(reason)) => Reach::Silent(reason),
        Err(DialError::Again) => unreachable!("nobody is greeted"),
    }
}

/// What quinn's search comes to. It tells of its probes by a counter only: it is over when no other has been sent for
/// as long as a lost one takes to be noticed (RFC 9002, 6.2.1).
async fn path_mtu(connection: &quinn::Connection) -> u16 {
    let began = Instant::now();
    let (mut sent, mut since) = (0, began);
    loop {
        let path = connection.stats().path;
        if path.sent_plpmtud_probes != sent {
            (sent, since) = (path.sent_plpmtud_probes, Instant::now());
        }
        let quiet = path.rtt * 4 + Duration::from_millis(100);
        if since.elapsed() > quiet || began.elapsed() > MTU_SEARCH {
            return path.current_mtu;
        }
        sleep(MTU_LOOK).await;
    }
}

fn canonical(connection: &Connection) -> SocketAddr {
    let address = connection.remote_address();
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
