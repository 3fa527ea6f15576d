//! What other servers on the same records do, as far as those who are connected to this one have to hear of it; and what
//! servers settle among themselves.

use super::events::Fanout;
use futures::stream::BoxStream;
use hypersend_protocol::{
    id::{ChatId, P2pId, SessionId, UserId},
    name::Email,
    relay::ticket::Side,
};
use std::net::{IpAddr, Ipv6Addr};

/// One server, as long as it runs, to the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Node(pub i64);

/// What was done on another server.
#[derive(Clone, Debug)]
pub enum News {
    /// An act was committed.
    Committed(Fanout),
    /// A session was ended.
    SessionEnded(SessionId),
    /// A member is typing.
    Typing(ChatId, UserId),
    /// A user has connected to that server, or no longer is.
    Present(Node, UserId, bool),
    /// The others no longer have it from this server that a user is connected to it.
    Forgotten(UserId),
    /// A side's register of a transfer was opened or set.
    Signal(P2pId, Side),
    /// A side has left a mailbox for good.
    MailboxLeft(P2pId),
    /// Some of it was not heard of: what has come of it is in the store.
    Missed,
}

/// It never ends, whatever becomes of the database in the meantime.
pub type NewsStream = BoxStream<'static, News>;

/// What only one of the servers does at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// Forgetting what nobody needs any more.
    Tidying,
}

/// Something of which there may be only so much in a minute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// A login to an account, which need not exist.
    LoginTo(Email),
    /// A login from an address.
    LoginFrom(IpAddr),
    /// A registration from an address.
    RegistrationFrom(IpAddr),
    /// A mailbox opened from an address.
    OpeningFrom(IpAddr),
    /// A mailbox claimed from an address, rightly or wrongly.
    ClaimFrom(IpAddr),
    /// The same, from the IPv6 site of an address.
    ClaimFromSite(Ipv6Addr),
}
