//! What has been passed on and dropped since the start, and why.

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $slug:literal;)+) => {
        /// Why a datagram went nowhere and had no answer.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum DropReason {
            $($(#[$doc])* $name,)+
        }

        impl DropReason {
            /// Every reason.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// The reason's name in metrics and logs.
            pub fn slug(self) -> &'static str {
                match self {
                    $(Self::$name => $slug,)+
                }
            }
        }
    };
}

reasons! {
    /// Begins with a byte that is neither QUIC's nor the relay protocol's.
    Foreign = "foreign";
    /// Of a version of the relay protocol that is not spoken here.
    Version = "version";
    /// Of no kind that a client sends, or of the wrong length.
    Malformed = "malformed";
    /// The cookie is for another address or session, or its time is over.
    BadCookie = "bad-cookie";
    /// More signatures to verify than one second takes.
    Busy = "busy";
    /// From an address that is not bound.
    Unknown = "unknown";
    /// Names a session that is not the one bound at its address.
    OtherSession = "other-session";
    /// From an address whose ticket or patience is over.
    Ended = "ended";
    /// The other side is not there.
    NoPeer = "no-peer";
    /// The session has used up its share of the capacity.
    OverShare = "over-share";
    /// The session is above what one session may have.
    OverCap = "over-cap";
}

/// Counted since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams passed on.
    pub forwarded: u64,
    /// Their bytes.
    pub forwarded_bytes: u64,
    /// Answers of all kinds.
    pub answered: u64,
    /// Binds that were granted.
    pub bound: u64,
    /// Binds that were refused.
    pub refused: u64,
    dropped: [u64; DropReason::ALL.len()],
}

impl Counters {
    /// Datagrams dropped for this reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    pub(crate) fn drop(&mut self, reason: DropReason, datagrams: usize) {
        self.dropped[reason as usize] += datagrams as u64;
    }
}
