//! Meeting somebody at a server without an account: one side opens a mailbox and tells the other its number, the other claims
//! it, and both set values that the other hears.
//!
//! The number is short and no secret: who the other side is has to be settled by what the two say to each other. A mailbox has a
//! connection of its own, and is used for nothing else.

use crate::{
    Config, ServerAddress, Status,
    error::ClientError,
    link::{Link, Nobody, StatusCursor},
    registers::{Door, Opened, Registers},
    tunnel::Tunnel,
};
use hypersend_net::{
    frames::{SendError, send},
    stream::SendStream,
};
use hypersend_protocol::{
    id::{P2pId, RelayId},
    mailbox::{ClaimMailbox, MailboxKey, MailboxOpen, Nameplate, OpenMailbox, ResumeMailbox},
    refusal::ErrorCode,
    relay::ticket::Side,
    session::VERSION,
    signal::{NotASignal, RelaySeat},
};
use std::{convert::Infallible, io, sync::Arc, time::Duration};
use tokio::sync::mpsc;
use uuid::Uuid;

/// A connection to one server that speaks for nobody, kept until what was begun on it is over; cloning shares it, so that its
/// status can be watched.
#[derive(Clone, Debug)]
pub struct Guest {
    link: Arc<Link<()>>,
}

impl Guest {
    /// Begins to connect, and goes on trying until the server answers. What is wanted follows at once: a server closes
    /// connections on which nothing is said. Must be called within a tokio runtime.
    pub fn start(config: Config) -> Result<Self, ClientError> {
        Ok(Self { link: Arc::new(Link::start(config, Nobody)?) })
    }

    /// Which server.
    pub fn server(&self) -> &ServerAddress {
        self.link.server()
    }

    /// What is being done about the connection.
    pub fn status(&self) -> Status {
        self.link.status()
    }

    /// Calls back at every change of [`Guest::status`], for as long as the returned future is awaited.
    pub async fn watch_status(&self, mut told: impl FnMut(Status)) -> Infallible {
        let mut seen = StatusCursor::default();
        loop {
            told(self.link.changed(&mut seen).await);
        }
    }

    /// Opens a mailbox, of which this side is the sender. A guest has one mailbox.
    pub async fn open(self) -> Result<MailboxChannel, ClientError> {
        MailboxChannel::begin(self.link, Entry::Open).await
    }

    /// Claims a mailbox, of which this side is then the receiver. A guest has one mailbox.
    pub async fn claim(self, nameplate: Nameplate) -> Result<MailboxChannel, ClientError> {
        MailboxChannel::begin(self.link, Entry::Claim(nameplate)).await
    }
}

/// One side of a mailbox. Outlives any number of connections; what is dropped without [`MailboxChannel::leave`] leaves the
/// other side waiting.
#[derive(Debug)]
pub struct MailboxChannel {
    registers: Registers<MailboxOpen>,
    link: Arc<Link<()>>,
    side: Side,
}

impl MailboxChannel {
    /// Opens a mailbox, of which this side is the sender. Waits for the server for as long as that takes; who wants to know
    /// meanwhile what keeps it begins with [`Guest::start`]. Must be called within a tokio runtime.
    pub async fn open(config: Config) -> Result<Self, ClientError> {
        Guest::start(config)?.open().await
    }

    /// Claims a mailbox, of which this side is then the receiver; likewise. [`ErrorCode::NotFound`] when there is none of this
    /// number, or somebody has claimed it.
    pub async fn claim(config: Config, nameplate: Nameplate) -> Result<Self, ClientError> {
        Guest::start(config)?.claim(nameplate).await
    }

    async fn begin(link: Arc<Link<()>>, entry: Entry) -> Result<Self, ClientError> {
        let side = match entry {
            Entry::Open => Side::Sender,
            Entry::Claim(_) => Side::Receiver,
        };
        let key = MailboxKey(Uuid::new_v4().into_bytes());
        let registers = Registers::open(link.clone(), Mailbox { entry, key }).await?;
        Ok(Self { registers, link, side })
    }

    /// By what the receiver claims the mailbox.
    pub fn nameplate(&self) -> Nameplate {
        self.registers.opened().nameplate
    }

    /// The mailbox: what its two sides have instead of a transfer's id.
    pub fn id(&self) -> P2pId {
        self.registers.opened().mailbox
    }

    /// Which side this is.
    pub fn side(&self) -> Side {
        self.side
    }

    /// How long the mailbox lasts unless a side is heard of, as the server said when it was last asked.
    pub fn lasts(&self) -> Duration {
        self.registers.opened().lasts()
    }

    /// Relays that this side may use, the best first; newer ones after each lost connection.
    pub fn relays(&self) -> Vec<RelaySeat> {
        self.registers.relays()
    }

    /// A way to one of these relays by the connection to the server.
    pub(crate) fn tunnel(&self, relay: RelayId, dug: mpsc::Sender<RelayId>) -> io::Result<Tunnel> {
        Tunnel::open(relay, self.registers.connection(), dug)
    }

    /// Sets this side's value, of 1 to 8192 bytes: the other side is told of it, unless it is replaced before.
    pub fn set(&self, value: Vec<u8>) -> Result<(), NotASignal> {
        self.registers.set(value)
    }

    /// Waits until what was set last is sent; not for long.
    pub async fn settle(&mut self) {
        self.registers.settle().await;
    }

    /// The other side's newest value, once there is one that was not given out; `None` when the mailbox is over: the other side
    /// has left it, or nobody came in time. Cancel safe.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, ClientError> {
        self.registers.next().await
    }

    /// Leaves for good, behind what was set last: the mailbox is over. Not for long: a server that cannot be reached is left
    /// to find out by itself.
    pub async fn leave(mut self) {
        self.registers.leave().await;
        self.link.close().await;
    }
}

/// By which way a side came.
#[derive(Clone, Copy, Debug)]
enum Entry {
    Open,
    Claim(Nameplate),
}

/// The stream of a mailbox. The key is the same for every attempt, so that one whose answer was lost is found again.
struct Mailbox {
    entry: Entry,
    key: MailboxKey,
}

impl Door for Mailbox {
    type Welcome = ();
    type Opened = MailboxOpen;

    const IS_ALONE: bool = true;

    async fn ask(&self, out: &mut SendStream, before: Option<&MailboxOpen>) -> Result<(), SendError> {
        let (version, key) = (VERSION, self.key);
        match (before, self.entry) {
            (Some(open), _) => send(out, &ResumeMailbox { version, mailbox: open.mailbox, key }).await,
            (None, Entry::Open) => send(out, &OpenMailbox { version, key }).await,
            (None, Entry::Claim(nameplate)) => send(out, &ClaimMailbox { version, nameplate, key }).await,
        }
    }

    /// What is over is forgotten after a while.
    fn is_over(code: ErrorCode) -> bool {
        matches!(code, ErrorCode::Conflict | ErrorCode::NotFound)
    }
}

impl Opened for MailboxOpen {
    fn relays(&self) -> &[RelaySeat] {
        &self.relays
    }
}
