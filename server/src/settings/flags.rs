//! The command line.
#![expect(clippy::doc_markdown, reason = "these documents are the help text, where backticks would show")]

use super::LogFormat;
use clap::{Parser, Subcommand};
use std::{net::SocketAddr, path::PathBuf};

/// The HyperSend server: chat and very large files over one port.
///
/// Every setting can be given in the environment or in a file `.env` in the working folder; `.env.example` explains
/// each. Flags come first.
#[derive(Clone, Debug, Default, Parser)]
#[command(name = "hypersend-server", version)]
pub struct Flags {
    /// Address and port to listen on, UDP and TCP [env: LISTEN] [default: 0.0.0.0:8443]
    #[arg(long, global = true, value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// Folder of the database and the files [env: DATA_ROOT] [default: ./data]
    #[arg(long, global = true, value_name = "DIR")]
    pub data_root: Option<PathBuf>,
    /// Folder of the development certificate [env: CERTS_DIR] [default: ./certs]
    #[arg(long, global = true, value_name = "DIR")]
    pub certs_dir: Option<PathBuf>,
    /// Certificate chain, PEM [env: TLS_CERT] [default: a development certificate]
    #[arg(long, global = true, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// Private key, PEM [env: TLS_KEY]
    #[arg(long, global = true, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// How the log looks: text or json [env: LOG_FORMAT] [default: text]
    #[arg(long, global = true, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
    /// What to do instead of serving
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What an operator may want of the program beside serving.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Bring the database to this program's schema version; the server does so at start, too
    Migrate,
    /// Write all records to a new file, from SQLite or MongoDB; the bytes of people's files are not in it
    Export {
        /// Where to; must not be there yet
        file: PathBuf,
    },
    /// Read all records of such a file into an empty database, in SQLite or MongoDB
    Import {
        /// Where from
        file: PathBuf,
    },
    /// Check everything that the server needs; may be run beside it, and changes nothing
    Doctor,
}
