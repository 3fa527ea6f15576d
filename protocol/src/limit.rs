//! Every number that a peer is held to, with its reason. What an operator may set is in the server's settings.

use std::time::Duration;

/// The most bulk bytes one stream carries. Streams of at most this stay clear of QUIC's reassembly limits (about 1,024
/// gaps in one stream end the connection), and a lost stream costs no more than this.
pub const MAX_RANGE_LENGTH: u32 = 1 << 20;

/// The smallest chunk: one range.
pub const MIN_CHUNK_SIZE: u64 = MAX_RANGE_LENGTH as u64;

/// The most chunks one file has; larger files have larger chunks. Bounds a receive map to 8 KiB and a file's chunk values
/// to 2 MiB.
pub const MAX_CHUNKS: u32 = 1 << 16;

/// The largest file: what ext4 can hold with 4 KiB blocks.
pub const MAX_FILE_SIZE: u64 = 16 << 40;

/// Chunk values in one answer; 256 KiB of them.
pub const MAX_VALUES_PER_PAGE: u32 = 8_192;

/// Longest file name, in bytes: what common file systems take.
pub const MAX_FILE_NAME_BYTES: usize = 255;
/// Longest email address, in bytes (RFC 5321, 4.5.3.1.3).
pub const MAX_EMAIL_BYTES: usize = 254;
/// Longest display name, in bytes.
pub const MAX_DISPLAY_NAME_BYTES: usize = 100;
/// Longest title of a group, in bytes.
pub const MAX_CHAT_TITLE_BYTES: usize = 200;
/// Longest text of one message, in bytes.
pub const MAX_MESSAGE_BYTES: usize = 16 << 10;
/// Shortest password accepted for a new account, in bytes.
pub const MIN_PASSWORD_BYTES: usize = 8;
/// Longest password, in bytes: bcrypt reads no more, and what it would not read is refused rather than ignored.
pub const MAX_PASSWORD_BYTES: usize = 72;
/// Longest token of either kind, in bytes.
pub const MAX_TOKEN_BYTES: usize = 1 << 10;

/// Longest message of a refusal, in bytes: it may quote what was refused, and must fit into its own frame.
pub const MAX_REFUSAL_MESSAGE_BYTES: usize = 2 << 10;

/// Files in one message.
pub const MAX_FILES_PER_MESSAGE: usize = 32;
/// Members of one group; a message is fanned out to each.
pub const MAX_MEMBERS: usize = 1_000;
/// Users that one request adds to a group. Each member hears of each of them, in one act that all other acts wait for: some
/// 90,000 entries at worst, where a thousand newcomers to half a group would be a quarter of a million.
pub const MAX_NEWCOMERS: usize = 100;
/// Items in one page of any list.
pub const MAX_PAGE: u32 = 200;
/// Uploads that one user may have under way.
pub const MAX_OPEN_UPLOADS: usize = 1_000;

/// Files in one offer from client to client.
pub const MAX_OFFERED_FILES: usize = 64;
/// Offers that one user may have made that are not over.
pub const MAX_OPEN_OFFERS: usize = 100;

/// Files and folders of one transfer from client to client. Either side has all of them in memory, 64 bytes and a name each.
pub const MAX_LISTING_ENTRIES: u32 = 1_000_000;
/// Entries in one page of a listing.
pub const MAX_ENTRIES_PER_PAGE: u32 = 1_000;
/// Bytes of all names of a listing together: what either side has in memory of them.
pub const MAX_LISTING_NAME_BYTES: usize = 64 << 20;
/// Folders within each other, and the path in the innermost, in bytes: with room for where the receiver puts it, what
/// systems take as a path (`PATH_MAX` is 4,096 bytes).
pub const MAX_LISTING_DEPTH: usize = 64;
/// Longest path within a listing, in bytes; see [`MAX_LISTING_DEPTH`].
pub const MAX_LISTING_PATH_BYTES: usize = 3_000;
/// Small files in one request: their frames are then a small part of the answer's [`MAX_RANGE_LENGTH`].
pub const MAX_SMALL_FILES: usize = 256;
/// Longest value that one side of a transfer sets for the other, in bytes: a fingerprint and some dozens of addresses.
pub const MAX_SIGNAL_BYTES: usize = 8 << 10;
/// Values that a side may set at once; more wait until the server reads on.
pub const MAX_SIGNALS_AT_ONCE: u32 = 20;
/// Values that a side may set in a second after that.
pub const SIGNALS_PER_SECOND: u32 = 10;
/// The largest number by which a mailbox is found: six digits, which people still type.
pub const MAX_NAMEPLATE: u32 = 999_999;
/// Mailboxes that are not over, of one server or of several on the same records: so many people at once wait for somebody to
/// type their code, or send without an account.
pub const MAX_MAILBOXES: usize = 1_000;
/// Those of them that one network (an IPv4 address, a /64 of IPv6) has opened: an office shares an address.
pub const MAX_MAILBOXES_PER_ADDRESS: usize = 20;
/// How long a mailbox waits for somebody to claim it while its sender is there: a person may see a code only on the next day.
pub const MAILBOX_LIFETIME: Duration = Duration::from_hours(24);
/// How long a mailbox that nobody has claimed waits for its sender to come back: long enough for a server that is restarted or a
/// network that is changed; what is opened and dropped keeps nobody else from a number for longer.
pub const MAILBOX_UNCLAIMED_ABSENCE: Duration = Duration::from_mins(10);
/// How long whoever has claimed a mailbox may say nothing: a sender waits in vain for somebody else to come.
pub const MAILBOX_SILENCE: Duration = Duration::from_mins(1);
/// How long a mailbox that was claimed waits for a side to come back, and is known to be over: as long as its registers are kept.
pub const MAILBOX_ABSENCE: Duration = Duration::from_hours(1);
/// Tunnels of one user at once, or of one network without an account: one to each relay of a good dozen transfers.
pub const MAX_TUNNELS_PER_USER: usize = 64;
/// Longest datagram in a tunnel, in bytes: what a packet of Ethernet's 1,500 has room for over IPv4.
pub const MAX_DATAGRAM_BYTES: usize = 1_472;
/// Relays that a side is told of: one that works, and some for when it does not.
pub const MAX_RELAYS: usize = 4;
/// Relays in one list: with these a client finds one near it, whoever runs more.
pub const MAX_LISTED_RELAYS: usize = 64;
/// Longest name of a relay, in bytes.
pub const MAX_RELAY_NAME_BYTES: usize = 64;
/// Longest host of a relay, in bytes: what DNS allows (RFC 1035, 2.3.4).
pub const MAX_RELAY_HOST_BYTES: usize = 253;
/// Ports of one relay: one to bind at, and a second that shows how a NAT treats another.
pub const MAX_RELAY_PORTS: usize = 2;

/// How long a stream may take to say what it is, and a connection to log in.
pub const HELLO_TIMEOUT: Duration = Duration::from_secs(10);
