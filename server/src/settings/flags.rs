//! The command line.
#![expect(clippy::doc_markdown, reason = "these documents are the help text, where backticks would show")]

use super::LogFormat;
use clap::Parser;
use std::{net::SocketAddr, path::PathBuf};

/// The HyperSend server: chat and very large files over one port.
///
/// Every setting can be given in the environment or in a file `.env` in the working folder; `.env.example` explains
/// each. Flags come first.
#[derive(Clone, Debug, Default, Parser)]
#[command(name = "hypersend-server", version)]
pub struct Flags {
    /// Address and port to listen on, UDP and TCP [env: LISTEN] [default: 0.0.0.0:8443]
    #[arg(long, value_name = "ADDR:PORT")]
    pub listen: Option<SocketAddr>,
    /// Folder of the database and the files [env: DATA_ROOT] [default: ./data]
    #[arg(long, value_name = "DIR")]
    pub data_root: Option<PathBuf>,
    /// Folder of the development certificate [env: CERTS_DIR] [default: ./certs]
    #[arg(long, value_name = "DIR")]
    pub certs_dir: Option<PathBuf>,
    /// Certificate chain, PEM [env: TLS_CERT] [default: a development certificate]
    #[arg(long, value_name = "FILE", requires = "key")]
    pub cert: Option<PathBuf>,
    /// Private key, PEM [env: TLS_KEY]
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub key: Option<PathBuf>,
    /// How the log looks: text or json [env: LOG_FORMAT] [default: text]
    #[arg(long, value_name = "FORMAT")]
    pub log_format: Option<LogFormat>,
}
