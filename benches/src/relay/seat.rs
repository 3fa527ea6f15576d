//! How a socket comes to be a side of a session: tickets by a key of the measurement's own, Hello and Bind.

use anyhow::{Context, Result, bail};
use hypersend_protocol::{
    id::{P2pId, RelayId, UserId},
    relay::{
        FromRelay, Nonce, ToRelay,
        ticket::{Side, SignedTicket, Ticket},
    },
    time::UnixMillis,
};
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde::{Deserialize, Serialize};
use std::{
    net::{SocketAddr, UdpSocket},
    time::{Duration, SystemTime},
};
use uuid::Uuid;

/// The relay of a measurement.
pub(super) const RELAY: RelayId = RelayId(Uuid::from_u128(0x019a_0000_0000_7000_8000_0000_0000_0001));

/// What the ids of sessions and users are counted from.
const FIRST: u128 = 0x019a_0000_0000_7000_8000_0001_0000_0000;

/// After how long a question is asked again.
const PATIENCE: Duration = Duration::from_millis(300);

/// How often it is asked.
const ATTEMPTS: u64 = 60;

/// One side of one session at a relay.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Seat {
    /// Where the relay is.
    pub(crate) relay: SocketAddr,
    /// Which session, by a number.
    pub(crate) session: u32,
    /// Whether it is the side to whom a transfer was offered.
    pub(crate) receives: bool,
}

/// The public key of whoever signs the tickets of a measurement.
pub(super) fn server_key() -> Result<Vec<u8>> {
    Ok(key()?.public_key().as_ref().to_vec())
}

fn key() -> Result<Ed25519KeyPair> {
    Ed25519KeyPair::from_seed_unchecked(&[7; 32]).ok().context("make a key to sign tickets with")
}

impl Seat {
    /// Binds a blocking socket's address to this side of the session.
    pub(crate) fn take(self, socket: &UdpSocket) -> Result<()> {
        socket.set_read_timeout(Some(PATIENCE))?;
        let ticket = self.ticket()?;
        let session = ticket.ticket.session;
        for attempt in 0..ATTEMPTS {
            let nonce = Nonce(attempt.to_be_bytes());
            let Some(FromRelay::Challenge { cookie, .. }) = self.ask(socket, &ToRelay::Hello { session, nonce }, nonce)
            else {
                continue;
            };
            match self.ask(socket, &ToRelay::Bind { nonce, cookie, ticket }, nonce) {
                Some(FromRelay::Bound { .. }) => return Ok(socket.set_read_timeout(None)?),
                Some(other) => bail!("the relay answered Bind with {other:?}"),
                None => {}
            }
        }
        bail!("the relay at {} does not answer", self.relay)
    }

    fn ticket(self) -> Result<SignedTicket> {
        let side = if self.receives { Side::Receiver } else { Side::Sender };
        let number = u128::from(self.session);
        let ticket = Ticket {
            relay: RELAY,
            session: P2pId(Uuid::from_u128(FIRST + number)),
            // Nobody has two sides, so the limit of a user's is nowhere in the way.
            user: UserId(Uuid::from_u128(FIRST + 2 * number + side.index() as u128)),
            expires: UnixMillis::from(SystemTime::now()).plus(Duration::from_hours(1)),
            side,
        };
        let signature = key()?.sign(&ticket.message());
        Ok(ticket.signed(signature.as_ref().try_into().context("an Ed25519 signature has 64 bytes")?))
    }

    /// The answer; none if there was none in time.
    fn ask(self, socket: &UdpSocket, question: &ToRelay, asked: Nonce) -> Option<FromRelay> {
        // Nobody may be there yet, which the next call says.
        let _ = socket.send_to(&question.encode(), self.relay);
        let mut datagram = [0; 2048];
        while let Ok(length) = socket.recv(&mut datagram) {
            match FromRelay::read(&datagram[..length]) {
                Ok(
                    answer @ (FromRelay::Challenge { nonce, .. }
                    | FromRelay::Bound { nonce, .. }
                    | FromRelay::Refused { nonce, .. }),
                ) if nonce == asked => return Some(answer),
                _ => {}
            }
        }
        None
    }
}
