//! Ways between two clients: over relays at once, directly as soon as a hole is punched.
//!
//! Two clients of one session can have the server keep a small value of each for the other ([`Signals`]). Out of that,
//! [`Paths`] makes authenticated QUIC connections between them, says when they come and go ([`Event`]), and looks for new ones
//! when they are gone. It knows nothing of files, nor of how the server is reached.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`config`] | what a session is opened with |
//! | [`event`] | what its owner hears of |
//! | [`report`] | how it stands, for a person to look at |
//! | [`identity`] | the certificate of one side |
//! | `pin` | believes in one certificate and in no authority |
//! | `words` | six words for two people to compare, and the list that they are from |
//! | `core` | all decisions, without I/O and without a clock |
//! | `shell` | sockets, connections, tasks |
//!
//! What both sides say to each other is in `hypersend_protocol::paths`.

pub mod config;
mod core;
pub mod event;
pub mod identity;
mod pin;
pub mod report;
mod shell;
mod words;

pub use self::core::mapping;
pub use config::{Config, OpenError, RelayPlace, Role, Signals};
pub use event::{Event, PathId, Way, Why};
pub use identity::{Identity, IdentityError};
pub use report::{RelayReport, RelayState, Report, SideReport};
pub use shell::Paths;
pub use words::{check_words, word_list};
