//! The command line, and how its values are written.
#![expect(clippy::doc_markdown, reason = "these documents are the help text, where backticks would show")]

use crate::place::RelayPlace;
use clap::Parser;
use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL_NOPAD};
use hypersend_protocol::{
    fingerprint::Fingerprint,
    id::RelayId,
    name::{RelayName, Token},
};
use std::{fs, io, net::SocketAddr, time::Duration};

/// What stands before the 32 bytes of an Ed25519 key in a public key of X.509, which PEM files hold (RFC 8410, 4).
const SPKI_OF_ED25519: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The HyperSend relay: passes the datagrams of a transfer between two clients that do not reach each other.
///
/// It can neither read nor change what it passes on. Prints "listening on ADDR:PORT" when it answers, a line for each
/// --listen. On SIGTERM or SIGINT
/// it takes nobody new and ends with its last session, at the latest after the grace; a second signal ends it at once.
#[derive(Clone, Debug, Parser)]
#[command(name = "hypersend-relay", version)]
pub struct Flags {
    /// Address and UDP port to listen on; all of IPv6 takes IPv4 as well. On a host with several addresses, name the one that
    /// clients are told. May be given several times, and each does the same: a client that is seen from two learns what its NAT
    /// does
    #[arg(long, value_name = "ADDR:PORT", default_value = "[::]:8444")]
    pub listen: Vec<SocketAddr>,
    /// The server's Ed25519 public key, by which tickets are verified: 32 bytes in base64, or a file that holds them or a
    /// PEM public key. With --server the server tells it
    #[arg(long, value_name = "BASE64-or-FILE", value_parser = server_key, required_unless_present = "server")]
    pub server_key: Option<[u8; 32]>,
    /// The server that is to hand this relay out, which is told every ten seconds that it is there
    #[arg(long, value_name = "https://HOST[:PORT]", value_parser = server)]
    pub server: Option<String>,
    /// The server's certificate, sha256:..., where no authority vouches for it
    #[arg(long, value_name = "FINGERPRINT", requires = "server")]
    pub server_fingerprint: Option<Fingerprint>,
    /// What the server's operator has set as RELAY_TOKEN; other users of this machine see it here and not in the environment
    /// [env: RELAY_TOKEN]
    #[arg(long, value_name = "TOKEN", requires = "server")]
    pub token: Option<Token>,
    /// What people call this relay
    #[arg(long, value_name = "NAME", default_value = "relay")]
    pub name: RelayName,
    /// Where clients find this relay, and the port that leads to the first --listen if it is another [default: the address that
    /// the server sees]
    #[arg(long, value_name = "HOST[:PORT]", requires = "server")]
    pub announce: Option<RelayPlace>,
    /// Id of this relay, a UUID; tickets name it [default: a new one at each start, which the log tells]
    #[arg(long, value_name = "UUID")]
    pub id: Option<RelayId>,
    /// Bits that are passed on in a second, all sessions together, with k, M or G for 1000, 1000² and 1000³: 200M. UDP
    /// payload counts. Sessions that want more than there is get equal shares [default: no bound]
    #[arg(long, value_name = "RATE", value_parser = capacity)]
    pub capacity: Option<u64>,
    /// The same for one session, both ways together [default: its share]
    #[arg(long, value_name = "RATE", value_parser = capacity)]
    pub session_capacity: Option<u64>,
    /// Sessions at one time, each with less than 1 KiB of memory
    #[arg(long, value_name = "COUNT", default_value = "10000", value_parser = max_sessions)]
    pub max_sessions: usize,
    /// Sides of sessions at one time that are one user's
    #[arg(long, value_name = "COUNT", default_value = "32", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_sessions_of_user: u32,
    /// Sockets on each port, each with a thread, 1 to 64 [default: as many as cores]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=64))]
    pub sockets: Option<u8>,
    /// Seconds that sessions may go on for after a signal to stop
    #[arg(long, value_name = "SECONDS", default_value = "30", value_parser = seconds)]
    pub drain: Duration,
    /// Answer /metrics, /healthz and /readyz over HTTP at this address; without a password, so not one that everybody
    /// reaches [default: not at all]
    #[arg(long, value_name = "ADDR:PORT")]
    pub metrics: Option<SocketAddr>,
    /// What is logged, to standard error: error, warn, info, debug, or rules of tracing-subscriber's EnvFilter
    #[arg(long, value_name = "FILTER", default_value = "info")]
    pub log: String,
}

/// Why a text is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It is no key itself, so it was taken for a file's name.
    #[error("neither 32 bytes in base64 nor a file that can be read: {0}")]
    Read(#[source] io::Error),
    /// The file holds something else.
    #[error("the file holds no Ed25519 public key: 32 bytes in base64, or PEM as of `openssl pkey -pubout`")]
    Content,
}

fn server(text: &str) -> Result<String, String> {
    let host = text.strip_prefix("https://").map(|rest| rest.trim_end_matches('/'));
    let is_host = |host: &str| !host.is_empty() && !host.contains(['/', '?', '#', '@', ' ']);
    let host =
        host.filter(|host| is_host(host)).ok_or_else(|| "expected https://HOST or https://HOST:PORT".to_owned())?;
    Ok(format!("https://{host}"))
}

fn server_key(text: &str) -> Result<[u8; 32], KeyError> {
    if let Some(key) = raw_key(text) {
        return Ok(key);
    }
    let content = fs::read_to_string(text).map_err(KeyError::Read)?;
    pem_key(&content).or_else(|| raw_key(content.trim())).ok_or(KeyError::Content)
}

fn raw_key(text: &str) -> Option<[u8; 32]> {
    let decoded = [BASE64, BASE64_NOPAD, BASE64URL_NOPAD].iter().find_map(|form| form.decode(text.as_bytes()).ok())?;
    decoded.try_into().ok()
}

fn pem_key(text: &str) -> Option<[u8; 32]> {
    let (_, rest) = text.split_once("-----BEGIN PUBLIC KEY-----")?;
    let (body, _) = rest.split_once("-----END PUBLIC KEY-----")?;
    let body: String = body.split_whitespace().collect();
    let decoded = BASE64.decode(body.as_bytes()).ok()?;
    decoded.strip_prefix(&SPKI_OF_ED25519)?.try_into().ok()
}

/// Bytes in a second, from bits with a suffix, such as 200M; or what was expected.
pub fn capacity(text: &str) -> Result<u64, String> {
    let expected = || "expected bits in a second, 8k to 8000G, with k, M or G for 1000, 1000² and 1000³".to_owned();
    let (number, scale) = match text.char_indices().last() {
        Some((at, 'k')) => (&text[..at], 1_000),
        Some((at, 'M')) => (&text[..at], 1_000_000),
        Some((at, 'G')) => (&text[..at], 1_000_000_000),
        _ => (text, 1),
    };
    let number: u64 = number.parse().map_err(|_| expected())?;
    let bytes = number.checked_mul(scale).ok_or_else(expected)? / 8;
    // Below it a session's first datagrams alone are more; above it there is no machine, and sums stay far from their ends.
    if (1_000..=1_000_000_000_000).contains(&bytes) { Ok(bytes) } else { Err(expected()) }
}

/// With a capacity, what all sessions may send is there from the start: some 60 bytes for each.
fn max_sessions(text: &str) -> Result<usize, String> {
    let count = text.parse().ok().filter(|count| (1..=1_000_000).contains(count));
    count.ok_or_else(|| "expected 1 to 1000000".to_owned())
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|&seconds| seconds <= 86_400);
    seconds.map(Duration::from_secs).ok_or_else(|| "expected 0 to 86400".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;
    use std::io::Write;

    /// Of 32 times the byte 7, by OpenSSL 3.
    const PEM: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEABwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n-----END PUBLIC KEY-----\n";

    #[test]
    fn the_flags_are_consistent() {
        Flags::command().debug_assert();
    }

    #[test]
    fn a_key_is_base64_or_a_file_of_it_or_of_pem() {
        let key = [7; 32];
        let text = BASE64.encode(&key);
        for text in [&text, text.trim_end_matches('='), &BASE64URL_NOPAD.encode(&key)] {
            assert_eq!(server_key(text).unwrap(), key);
        }
        for content in [format!("{text}\n"), PEM.to_owned()] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            file.write_all(content.as_bytes()).unwrap();
            assert_eq!(server_key(file.path().to_str().unwrap()).unwrap(), key);
        }
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(PEM.replace("MCowBQYDK2Vw", "MCowBQYDK2Vu").as_bytes()).unwrap();
        assert!(matches!(server_key(file.path().to_str().unwrap()), Err(KeyError::Content)));
        assert!(matches!(server_key("no such file"), Err(KeyError::Read(_))));
    }

    #[test]
    fn a_capacity_is_in_bits() {
        assert_eq!(capacity("200M"), Ok(25_000_000));
        assert_eq!(capacity("8k"), Ok(1_000));
        assert_eq!(capacity("1G"), Ok(125_000_000));
        assert_eq!(capacity("8000"), Ok(1_000));
        for bad in ["", "k", "7k", "-1M", "1.5M", "1m", "9000G", "99999999999999999999", "²"] {
            assert!(capacity(bad).is_err(), "{bad:?} was accepted");
        }
    }
}
