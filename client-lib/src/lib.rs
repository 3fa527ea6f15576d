//! `hypersend-client`: chat and very large file transfer over one QUIC connection, or over TCP where no UDP gets through.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use hypersend_client::{Client, Config, Credentials, MemoryTokens, Trust};
//!
//! let config = Config::new("chat.example.org".parse()?, Trust::web_pki());
//! let login = Credentials::Login { email: "ann@example.org".parse()?, password: "correct horse".parse()? };
//! let client = Client::start(config, login, MemoryTokens::empty())?;
//! client.ready().await?;
//! let file = client.upload("film.mkv").finish().await?;
//! let chat = client.open_direct("bob@example.org".parse()?).await?;
//! client.post(chat.id, Some("The film.".parse()?), vec![file.id]).await?;
//! # Ok(())
//! # }
//! ```
//!
//! A [`Client`] keeps one connection for as long as it lives: it reconnects by itself with backoff, renews its tokens, and
//! repeats what was in flight where repeating cannot do a thing twice. What is going on is seen in [`Client::status`].
//! [`Upload`], [`Download`], [`ChatHandle`], [`Events`] and [`SignalChannel`] outlive any number of connections and end when dropped.
//!
//! Two people without accounts meet by a [`mailbox`], and send files by a code ([`direct::send_by_code`]).
//!
//! The library reads no environment, no home folder and no terminal: tokens live where a [`TokenStore`] puts them, and
//! whether a server's certificate is to be trusted is said in [`Trust`].

mod address;
mod chat;
mod client;
mod config;
pub mod direct;
pub mod doctor;
mod download;
mod error;
mod events;
mod link;
pub mod mailbox;
mod registers;
mod signal;
mod tokens;
mod transfer;
mod trust;
mod tunnel;
mod upload;

pub use address::{BadAddress, ServerAddress};
pub use chat::{ChatEvent, ChatHandle, ChatPoster, PostError, Posting};
pub use client::Client;
pub use config::{Config, Credentials, Transports};
pub use download::{Download, DownloadError};
pub use error::{CertificateProblem, ClientError};
pub use events::Events;
pub use hypersend_net::connection::Transport;
pub use hypersend_protocol as protocol;
pub use hypersend_protocol::fingerprint::Fingerprint;
pub use hypersend_transfer::folder::{ExtractError, TurnError};
pub use link::Status;
pub use signal::SignalChannel;
pub use tokens::{MemoryTokens, TokenGuard, TokenStore};
pub use transfer::Progress;
pub use trust::{Trust, TrustError};
pub use upload::{Upload, UploadError};
