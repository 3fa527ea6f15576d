//! What a client is told at its start.

use crate::{ServerAddress, Trust};
use hypersend_net::connection::Transport;
use hypersend_protocol::name::{DisplayName, Email, Password};

/// Which server, and how to meet it.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where the server is.
    pub server: ServerAddress,
    /// Which certificate it may have.
    pub trust: Trust,
    /// Program and version, for the server's list of logins. `hypersend-client` and this crate's version.
    pub agent: String,
    /// What may carry the connection. Whatever works.
    pub transports: Transports,
}

/// What may carry the connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Transports {
    /// QUIC; TCP while QUIC does not get through.
    #[default]
    Any,
    /// This one alone.
    Only(Transport),
}

impl Config {
    /// With this library's own name as the agent.
    pub fn new(server: ServerAddress, trust: Trust) -> Self {
        let agent = concat!("hypersend-client/", env!("CARGO_PKG_VERSION")).to_owned();
        Self { server, trust, agent, transports: Transports::default() }
    }
}

/// How the first connection proves whom it speaks for; later ones use the tokens that it got.
#[derive(Clone, Debug)]
pub enum Credentials {
    /// By the tokens that the store holds.
    Stored,
    /// By email address and password.
    Login {
        /// The account's name.
        email: Email,
        /// The account's password.
        password: Password,
    },
    /// By making an account.
    Register {
        /// The account's name.
        email: Email,
        /// What others see.
        name: DisplayName,
        /// The account's password, at least eight bytes.
        password: Password,
    },
}
