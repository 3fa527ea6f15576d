//! Everything an operator can say: command-line flags over environment variables over `.env` over defaults.

mod certificate;
mod dotenv;
mod flags;
mod log;
mod mongodb;
mod objects;
mod origins;
mod relay;
mod secret;
mod shown;
mod source;
#[cfg(test)]
mod tests;
mod text;

pub use certificate::{AcmeSettings, TlsFiles};
pub use dotenv::{DotenvError, read_dotenv};
pub use flags::{Command, Flags};
pub use hypersend_relay::place::RelayPlace;
pub use log::LogFormat;
pub use mongodb::MongodbUri;
pub use objects::{BucketPlace, ObjectsSettings};
pub use origins::CorsOrigins;
pub use secret::SecretKey;
pub use source::{Environment, SettingError, utf8};

use crate::store::Place;
use hypersend_protocol::{DEFAULT_PORT, limit::MAX_FILE_SIZE};
use hypersend_relay::flags::capacity;
use source::Source;
use std::{
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    path::PathBuf,
    time::Duration,
};
use text::{bytes, days, ensure, list, minutes, switch};

/// The server's settings. Each field's documentation is what `.env.example` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// `LISTEN`: address and port, UDP and TCP. 0.0.0.0:8443.
    pub listen: SocketAddr,
    /// `DATA_ROOT`: database and files; one file system. ./data.
    pub data_root: PathBuf,
    /// `MONGODB_URI`: where the MongoDB is that keeps the records. None: SQLite, in a file under the data root.
    pub mongodb: Option<MongodbUri>,
    /// `OBJECTS_URL` and the rest: the bucket in which finished files are. None: they are under the data root.
    pub objects: Option<ObjectsSettings>,
    /// `CERTS_DIR`: where the development certificate is kept. ./certs.
    pub certs_dir: PathBuf,
    /// `TLS_CERT` and `TLS_KEY`: PEM files of a real certificate, both or neither. None: a development certificate.
    pub tls: Option<TlsFiles>,
    /// `ACME_DOMAINS` and the rest: who certifies this server, and by which names. None: nobody.
    pub acme: Option<AcmeSettings>,
    /// `SERVER_NAMES`: host names and addresses in the development certificate, separated by commas.
    /// `localhost,127.0.0.1,::1`.
    pub server_names: Vec<String>,
    /// `SECRET_KEY`: signs access tokens; at least 32 bytes. None: made at first start and kept under the data root.
    pub secret_key: Option<SecretKey>,
    /// `METRICS_TOKEN`: who shows it as a Bearer token may read `/metrics`; at least 32 bytes. None: nobody.
    pub metrics_token: Option<SecretKey>,
    /// `RELAY_LISTEN`: address and UDP port of the relay in this process, which takes the next port too; or off. None: no such
    /// relay. \[::\]:8444.
    pub relay_listen: Option<SocketAddr>,
    /// `RELAY_ANNOUNCE`: the host, perhaps with a port, at which clients find that relay. None: the host by which they reach this
    /// server, and other servers do not hand it out.
    pub relay_announce: Option<RelayPlace>,
    /// `RELAY_CAPACITY`: what that relay passes on in a second, all transfers together; set in bits (200M), here in bytes. None: no
    /// bound.
    pub relay_capacity: Option<u64>,
    /// `RELAY_TOKEN`: relays elsewhere that show it as a Bearer token are handed out to clients; at least 32 bytes. None: none are.
    pub relay_token: Option<SecretKey>,
    /// `LOG_FORMAT`: text or json. text.
    pub log_format: LogFormat,
    /// `LOG`: what is logged, in the syntax of tracing's `EnvFilter`. info.
    pub log: String,
    /// `REGISTRATION`: open (anybody may make an account) or closed. open.
    pub registration_open: bool,
    /// `CORS_ORIGINS`: origins whose web pages may call the API, separated by commas, or `*`. None but the server's own.
    pub cors_origins: CorsOrigins,
    /// `BCRYPT_COST`: base-2 logarithm of the rounds of a password hash, 10 to 16. 12: about 0.25 s of one core a login.
    pub bcrypt_cost: u32,
    /// `ACCESS_TOKEN_MINUTES`: lifetime of an access token. 15.
    pub access_token_lifetime: Duration,
    /// `SESSION_DAYS`: how long a login lasts without being used. 30.
    pub session_lifetime: Duration,
    /// `LOGINS_PER_ACCOUNT_PER_MINUTE`. 10.
    pub logins_per_account: NonZeroU32,
    /// `LOGINS_PER_ADDRESS_PER_MINUTE`. 60: a family or an office shares an address.
    pub logins_per_address: NonZeroU32,
    /// `REGISTRATIONS_PER_ADDRESS_PER_MINUTE`. 10.
    pub registrations_per_address: NonZeroU32,
    /// `CODES`: on or off, whether people without accounts may meet here by a code, and use the relays. on.
    pub codes: bool,
    /// `CODE_OPENINGS_PER_ADDRESS_PER_MINUTE`: codes handed out. 10.
    pub code_openings_per_address: NonZeroU32,
    /// `CODE_CLAIMS_PER_ADDRESS_PER_MINUTE`: codes tried, rightly or wrongly. 10.
    pub code_claims_per_address: NonZeroU32,
    /// `MAX_FILE_SIZE`: bytes, or with a suffix (500M, 40G, 2T). 16T, which is also the most that can be set.
    pub max_file_size: u64,
    /// `MAX_RESERVED_PER_USER`: bytes, or with a suffix, that one user's unfinished uploads may have reserved on the disk.
    /// None: half of what would be free without them.
    pub max_reserved: Option<u64>,
    /// `RESUMABLE_UPLOADS_DRAFT`: on or off, whether HTTP's own resumable uploads are served, which are a draft still. off.
    pub resumable_uploads_draft: bool,
    /// `UPDATES_FILE`: a JSON file of client programs' releases to publish. None: none are.
    pub updates_file: Option<PathBuf>,
    /// `MAX_CONNECTIONS`: at once. 10000; an idle one costs about 60 KiB.
    pub max_connections: usize,
    /// `UPLOAD_DAYS`: how long an upload that nobody resumes is kept. 7.
    pub upload_lifetime: Duration,
    /// `EVENT_DAYS`: how long a client may be away and still catch up by cursor. 30.
    pub event_lifetime: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self::load(&Flags::default(), &Environment::new()).expect("the defaults are usable")
    }
}

impl Settings {
    /// Puts the settings together.
    pub fn load(flags: &Flags, environment: &Environment) -> Result<Self, SettingError> {
        let from = Source(environment);
        let path = |flag: &Option<PathBuf>, name, default: &str| {
            flag.clone().or_else(|| from.text(name).map(PathBuf::from)).unwrap_or_else(|| default.into())
        };
        let (tls, acme) = certificate::load(flags, &from)?;
        let default_listen = SocketAddr::from((Ipv4Addr::UNSPECIFIED, DEFAULT_PORT));
        Ok(Self {
            listen: flags.listen.map_or_else(|| from.parse("LISTEN", default_listen, text::parse), Ok)?,
            data_root: path(&flags.data_root, "DATA_ROOT", "data"),
            mongodb: from.secret("MONGODB_URI", MongodbUri::parse)?,
            objects: ObjectsSettings::load(&from)?,
            certs_dir: path(&flags.certs_dir, "CERTS_DIR", "certs"),
            tls,
            acme,
            server_names: list(from.text("SERVER_NAMES").unwrap_or("localhost,127.0.0.1,::1")),
            secret_key: from.secret("SECRET_KEY", SecretKey::parse)?,
            metrics_token: from.secret("METRICS_TOKEN", SecretKey::parse_bearer)?,
            relay_listen: from.parse("RELAY_LISTEN", Some(relay::LISTEN), relay::listen)?,
            relay_announce: from.parse("RELAY_ANNOUNCE", None, |text| text::parse(text).map(Some))?,
            relay_capacity: from.parse("RELAY_CAPACITY", None, |text| capacity(text).map(Some))?,
            relay_token: from.secret("RELAY_TOKEN", SecretKey::parse_bearer)?,
            log_format: flags.log_format.map_or_else(|| from.parse("LOG_FORMAT", LogFormat::Text, text::parse), Ok)?,
            log: from.text("LOG").unwrap_or("info").to_owned(),
            registration_open: from.parse("REGISTRATION", true, |text| switch(text, "open", "closed"))?,
            cors_origins: from.parse("CORS_ORIGINS", CorsOrigins::Own, CorsOrigins::parse)?,
            bcrypt_cost: from.parse("BCRYPT_COST", 12, |text| {
                ensure(text::parse(text)?, |cost| (10..=16).contains(cost), "10 to 16")
            })?,
            access_token_lifetime: from.parse("ACCESS_TOKEN_MINUTES", Duration::from_mins(15), minutes)?,
            session_lifetime: from.parse("SESSION_DAYS", Duration::from_hours(30 * 24), days)?,
            logins_per_account: from.parse("LOGINS_PER_ACCOUNT_PER_MINUTE", per_minute(10), text::parse)?,
            logins_per_address: from.parse("LOGINS_PER_ADDRESS_PER_MINUTE", per_minute(60), text::parse)?,
            registrations_per_address: from.parse(
                "REGISTRATIONS_PER_ADDRESS_PER_MINUTE",
                per_minute(10),
                text::parse,
            )?,
            codes: from.parse("CODES", true, |text| switch(text, "on", "off"))?,
            code_openings_per_address: from.parse(
                "CODE_OPENINGS_PER_ADDRESS_PER_MINUTE",
                per_minute(10),
                text::parse,
            )?,
            code_claims_per_address: from.parse("CODE_CLAIMS_PER_ADDRESS_PER_MINUTE", per_minute(10), text::parse)?,
            max_file_size: from.parse("MAX_FILE_SIZE", MAX_FILE_SIZE, |text| {
                ensure(bytes(text)?, |size| (1..=MAX_FILE_SIZE).contains(size), "1 to 16T")
            })?,
            max_reserved: from.parse("MAX_RESERVED_PER_USER", None, |text| {
                ensure(bytes(text)?, |&size| size > 0, "at least 1").map(Some)
            })?,
            resumable_uploads_draft: from.parse("RESUMABLE_UPLOADS_DRAFT", false, |text| switch(text, "on", "off"))?,
            updates_file: from.text("UPDATES_FILE").map(PathBuf::from),
            max_connections: from.parse("MAX_CONNECTIONS", 10_000, |text| {
                ensure(text::parse(text)?, |&count: &usize| count > 0, "at least 1")
            })?,
            upload_lifetime: from.parse("UPLOAD_DAYS", Duration::from_hours(7 * 24), days)?,
            event_lifetime: from.parse("EVENT_DAYS", Duration::from_hours(30 * 24), days)?,
        })
    }

    /// Where the records are.
    pub fn database(&self) -> Place {
        match &self.mongodb {
            Some(uri) => Place::Mongodb(uri.clone()),
            None => Place::File(self.data_root.join("hypersend.db")),
        }
    }

    /// Where files under way are.
    pub fn uploads(&self) -> PathBuf {
        self.data_root.join("uploads")
    }

    /// Where finished files are.
    pub fn files(&self) -> PathBuf {
        self.data_root.join("files")
    }
}

fn per_minute(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).expect("the defaults are not zero")
}
