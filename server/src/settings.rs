//! Everything an operator can say: command-line flags over environment variables over `.env` over defaults.

use crate::store::Place;
use hypersend_protocol::{DEFAULT_PORT, limit::MAX_FILE_SIZE, name::Token};
use hypersend_relay::flags::capacity;
use instant_acme::LetsEncrypt;
use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt,
    net::{Ipv4Addr, SocketAddr},
    num::NonZeroU32,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

mod dotenv;
mod flags;
mod mongodb;
mod objects;
mod origins;
mod relay;
mod text;

pub use dotenv::{DotenvError, read_dotenv};
pub use flags::{Command, Flags};
pub use hypersend_relay::place::RelayPlace;
pub use mongodb::MongodbUri;
pub use objects::{BucketPlace, ObjectsSettings};
pub use origins::CorsOrigins;
use text::{bytes, days, ensure, minutes, switch};

/// How a program's environment looks: names and values.
pub type Environment = BTreeMap<String, String>;

/// The variables of a process that are text; no setting is anything else.
pub fn utf8(variables: impl IntoIterator<Item = (OsString, OsString)>) -> Environment {
    variables
        .into_iter()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}

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

/// A certificate and its key, as PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Whom to ask for a certificate. Asking accepts the authority's terms of service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcmeSettings {
    /// `ACME_DOMAINS`: the names, separated by commas. Port 443 of each has to lead to this server's TCP port.
    pub domains: Vec<String>,
    /// `ACME_CONTACT`: an email address for the authority's warnings. None: none.
    pub contact: Option<String>,
    /// `ACME_DIRECTORY`: the authority's address. Let's Encrypt.
    pub directory: String,
    /// `ACME_ROOT`: a PEM file with the certificate that the authority's own server is checked by. None: the usual ones.
    pub root: Option<PathBuf>,
}

/// How the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("expected text or json".into()),
        }
    }
}

/// What access tokens are signed with, or an operator's own token. Prints as `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretKey(String);

impl SecretKey {
    /// The fewest bytes accepted: as many as HMAC-SHA-256 puts out (RFC 7518, 3.2).
    pub const MIN_BYTES: usize = 32;

    /// Accepts a key or says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = text.trim();
        if text.len() < Self::MIN_BYTES {
            return Err(format!("has {} bytes; give at least {}", text.len(), Self::MIN_BYTES));
        }
        Ok(Self(text.to_owned()))
    }

    /// Accepts a key that can be shown in a header, or says what is wrong with it.
    pub fn parse_bearer(text: &str) -> Result<Self, String> {
        let key = Self::parse(text)?;
        let fits = key.0.parse::<Token>().is_ok();
        if fits { Ok(key) } else { Err("expected letters, digits and signs of ASCII, without spaces".into()) }
    }

    /// The key.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// Whether that is it; in a time that does not tell how much of it is right.
    pub fn is(&self, shown: &str) -> bool {
        blake3::hash(shown.as_bytes()) == blake3::hash(self.as_bytes())
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A setting that cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{name}={value:?}: {reason}")]
pub struct SettingError {
    /// Its name.
    pub name: &'static str,
    /// Its value, or `***`.
    pub value: String,
    /// What is wrong, and what would be right.
    pub reason: String,
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
        let tls = match (&flags.cert, &flags.key, from.text("TLS_CERT"), from.text("TLS_KEY")) {
            (Some(cert), Some(key), ..) => Some(TlsFiles { cert: cert.clone(), key: key.clone() }),
            (None, None, Some(cert), Some(key)) => Some(TlsFiles { cert: cert.into(), key: key.into() }),
            (None, None, None, None) => None,
            (None, None, cert, _) => {
                let (name, missing) = if cert.is_some() { ("TLS_KEY", "TLS_CERT") } else { ("TLS_CERT", "TLS_KEY") };
                return Err(SettingError { name, value: String::new(), reason: format!("{missing} is set; set both") });
            }
            _ => unreachable!("clap demands --cert and --key together"),
        };
        let domains = list(from.text("ACME_DOMAINS").unwrap_or_default());
        let acme = (!domains.is_empty()).then(|| AcmeSettings {
            domains,
            contact: from.text("ACME_CONTACT").map(str::to_owned),
            directory: from.text("ACME_DIRECTORY").unwrap_or(LetsEncrypt::Production.url()).to_owned(),
            root: from.text("ACME_ROOT").map(PathBuf::from),
        });
        if let (Some(acme), Some(_)) = (&acme, &tls) {
            let reason = "TLS_CERT is set too; set one of them".to_owned();
            return Err(SettingError { name: "ACME_DOMAINS", value: acme.domains.join(","), reason });
        }
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

impl fmt::Display for Settings {
    /// One setting a line, by the name that sets it; secrets hidden.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = |path: &Path| path.display().to_string();
        let (tls, acme, objects) = (self.tls.as_ref(), self.acme.as_ref(), self.objects.as_ref());
        let secret = |is_set: bool| if is_set { "***".to_owned() } else { String::new() };
        let none = || "(none: development certificate)".to_owned();
        let days = |duration: Duration| (duration.as_secs() / 86_400).to_string();
        let rows = [
            ("LISTEN", self.listen.to_string()),
            ("DATA_ROOT", path(&self.data_root)),
            ("MONGODB_URI", if self.mongodb.is_some() { "***" } else { "(none: SQLite under DATA_ROOT)" }.into()),
            (
                "OBJECTS_URL",
                objects.map_or_else(|| "(none: files under DATA_ROOT)".to_owned(), |objects| objects.place.to_string()),
            ),
            ("OBJECTS_ENDPOINT", objects.and_then(|objects| objects.endpoint.clone()).unwrap_or_default()),
            ("OBJECTS_REGION", objects.map_or_else(String::new, |objects| objects.region.clone())),
            ("OBJECTS_ACCESS_KEY", secret(objects.is_some_and(|objects| objects.keys.is_some()))),
            ("OBJECTS_SECRET_KEY", secret(objects.is_some_and(|objects| objects.keys.is_some()))),
            ("CERTS_DIR", path(&self.certs_dir)),
            ("TLS_CERT", tls.map_or_else(none, |tls| path(&tls.cert))),
            ("TLS_KEY", tls.map_or_else(none, |tls| path(&tls.key))),
            ("ACME_DOMAINS", acme.map_or_else(String::new, |acme| acme.domains.join(","))),
            ("ACME_CONTACT", acme.and_then(|acme| acme.contact.clone()).unwrap_or_default()),
            ("ACME_DIRECTORY", acme.map_or_else(String::new, |acme| acme.directory.clone())),
            ("ACME_ROOT", acme.and_then(|acme| acme.root.as_deref().map(path)).unwrap_or_default()),
            ("SERVER_NAMES", self.server_names.join(",")),
            ("SECRET_KEY", if self.secret_key.is_some() { "***" } else { "(none: kept under DATA_ROOT)" }.into()),
            ("METRICS_TOKEN", if self.metrics_token.is_some() { "***" } else { "(none: no metrics)" }.into()),
            ("RELAY_LISTEN", self.relay_listen.map_or_else(|| "off".to_owned(), |address| address.to_string())),
            ("RELAY_ANNOUNCE", self.relay_announce.as_ref().map_or_else(String::new, ToString::to_string)),
            ("RELAY_CAPACITY", self.relay_capacity.map_or_else(String::new, |bytes| (bytes * 8).to_string())),
            ("RELAY_TOKEN", if self.relay_token.is_some() { "***" } else { "(none: no other relays)" }.into()),
            ("LOG_FORMAT", format!("{:?}", self.log_format).to_lowercase()),
            ("LOG", self.log.clone()),
            ("REGISTRATION", if self.registration_open { "open" } else { "closed" }.into()),
            ("CORS_ORIGINS", self.cors_origins.to_string()),
            ("BCRYPT_COST", self.bcrypt_cost.to_string()),
            ("ACCESS_TOKEN_MINUTES", (self.access_token_lifetime.as_secs() / 60).to_string()),
            ("SESSION_DAYS", days(self.session_lifetime)),
            ("LOGINS_PER_ACCOUNT_PER_MINUTE", self.logins_per_account.to_string()),
            ("LOGINS_PER_ADDRESS_PER_MINUTE", self.logins_per_address.to_string()),
            ("REGISTRATIONS_PER_ADDRESS_PER_MINUTE", self.registrations_per_address.to_string()),
            ("CODES", if self.codes { "on" } else { "off" }.into()),
            ("CODE_OPENINGS_PER_ADDRESS_PER_MINUTE", self.code_openings_per_address.to_string()),
            ("CODE_CLAIMS_PER_ADDRESS_PER_MINUTE", self.code_claims_per_address.to_string()),
            ("MAX_FILE_SIZE", self.max_file_size.to_string()),
            (
                "MAX_RESERVED_PER_USER",
                self.max_reserved.map_or_else(|| "(none: half of what is free)".to_owned(), |size| size.to_string()),
            ),
            ("RESUMABLE_UPLOADS_DRAFT", if self.resumable_uploads_draft { "on" } else { "off" }.into()),
            ("UPDATES_FILE", self.updates_file.as_deref().map(path).unwrap_or_default()),
            ("MAX_CONNECTIONS", self.max_connections.to_string()),
            ("UPLOAD_DAYS", days(self.upload_lifetime)),
            ("EVENT_DAYS", days(self.event_lifetime)),
        ];
        rows.iter().try_for_each(|(name, value)| writeln!(f, "{name}={value}"))
    }
}

/// What stands between commas.
fn list(text: &str) -> Vec<String> {
    text.split(',').map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
}

fn per_minute(count: u32) -> NonZeroU32 {
    NonZeroU32::new(count).expect("the defaults are not zero")
}

/// Reads settings by name. An empty value counts as unset, as compose files write it.
struct Source<'a>(&'a Environment);

impl Source<'_> {
    fn text(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|text| text.trim()).filter(|text| !text.is_empty())
    }

    fn parse<T>(
        &self,
        name: &'static str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<T, SettingError> {
        let Some(text) = self.text(name) else { return Ok(default) };
        parse(text).map_err(|reason| SettingError { name, value: text.to_owned(), reason })
    }

    fn secret<T>(
        &self,
        name: &'static str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<Option<T>, SettingError> {
        let parse = |text| parse(text).map_err(|reason| SettingError { name, value: "***".into(), reason });
        self.text(name).map(parse).transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    fn load(pairs: &[(&str, &str)]) -> Result<Settings, SettingError> {
        let environment = pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Settings::load(&Flags::default(), &environment)
    }

    #[test]
    fn flags_come_before_the_environment_and_that_before_the_defaults() {
        let environment = [("LISTEN", "127.0.0.1:1"), ("DATA_ROOT", "/a")].map(|(n, v)| (n.into(), v.into())).into();
        let flags = Flags { listen: Some("127.0.0.1:2".parse().unwrap()), ..Flags::default() };
        let settings = Settings::load(&flags, &environment).unwrap();
        assert_eq!(settings.listen.port(), 2);
        assert_eq!(settings.data_root, Path::new("/a"));
        assert_eq!(settings.certs_dir, Path::new("certs"));
    }

    #[test]
    fn bad_values_name_the_setting_and_the_remedy() {
        let reason = |pair| load(&[pair]).unwrap_err().to_string();
        assert_eq!(reason(("BCRYPT_COST", "9")), "BCRYPT_COST=\"9\": expected 10 to 16");
        assert_eq!(reason(("BCRYPT_COST", "17")), "BCRYPT_COST=\"17\": expected 10 to 16");
        assert!(load(&[("BCRYPT_COST", "10")]).is_ok() && load(&[("BCRYPT_COST", "16")]).is_ok());
        assert!(load(&[("RESUMABLE_UPLOADS_DRAFT", "on")]).unwrap().resumable_uploads_draft);
        assert!(!load(&[("CODES", "off")]).unwrap().codes && load(&[]).unwrap().codes);
        assert!(reason(("RESUMABLE_UPLOADS_DRAFT", "yes")).ends_with("expected on or off"));
        assert_eq!(reason(("REGISTRATION", "yes")), "REGISTRATION=\"yes\": expected open or closed");
        assert!(reason(("MAX_FILE_SIZE", "17T")).ends_with("expected 1 to 16T"));
        assert!(reason(("MAX_RESERVED_PER_USER", "0")).ends_with("expected at least 1"));
        assert_eq!(load(&[("MAX_RESERVED_PER_USER", "40G")]).unwrap().max_reserved, Some(40 << 30));
        assert!(reason(("SECRET_KEY", "short")).contains("***"), "a secret was printed");
        assert!(load(&[("SECRET_KEY", &"k".repeat(31))]).is_err());
        assert!(load(&[("SECRET_KEY", &"k".repeat(32))]).is_ok());
        assert!(reason(("METRICS_TOKEN", "a token of more than 32 bytes with spaces")).contains("without spaces"));
        assert!(reason(("RELAY_LISTEN", "8444")).ends_with("expected an address with a port, or off"));
        assert_eq!(load(&[("RELAY_LISTEN", "off")]).unwrap().relay_listen, None);
        assert_eq!(load(&[("RELAY_CAPACITY", "200M")]).unwrap().relay_capacity, Some(25_000_000));
        assert!(reason(("RELAY_TOKEN", "short")).contains("***"), "a token was printed");
        assert!(load(&[("METRICS_TOKEN", &"t".repeat(32))]).unwrap().metrics_token.unwrap().is(&"t".repeat(32)));
        assert!(reason(("TLS_CERT", "/c.pem")).contains("set both"));
        let both = [("ACME_DOMAINS", "chat.example.org"), ("TLS_CERT", "/c.pem"), ("TLS_KEY", "/k.pem")];
        assert!(load(&both).unwrap_err().to_string().contains("set one of them"));
    }

    #[test]
    fn a_variable_that_is_no_text_is_overlooked() {
        let os = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        let variables = [(os(b"\xff"), os(b"1")), (os(b"ODD"), os(b"\xff")), (os(b"LOG"), os(b"debug"))];
        assert_eq!(utf8(variables), Environment::from([("LOG".to_owned(), "debug".to_owned())]));
    }

    #[test]
    fn an_empty_value_is_no_value() {
        assert_eq!(load(&[("LISTEN", ""), ("SECRET_KEY", " ")]).unwrap(), Settings::default());
    }

    #[test]
    fn the_secret_is_not_shown() {
        let shown = load(&[("SECRET_KEY", &"k".repeat(40)), ("MONGODB_URI", "mongodb://ann:kkk@db/")]).unwrap();
        assert!(!format!("{shown} {shown:?}").contains("kkk"));
        let objects = [("OBJECTS_URL", "s3://files"), ("OBJECTS_ACCESS_KEY", "kkk-a"), ("OBJECTS_SECRET_KEY", "kkk-s")];
        let shown = load(&objects).unwrap();
        assert!(!format!("{shown} {shown:?}").contains("kkk"));
        assert!(!load(&[("MONGODB_URI", "mongo://ann:kkk@db/")]).unwrap_err().to_string().contains("kkk"));
    }

    /// `.env.example` names every setting with its default, and nothing else.
    #[test]
    fn the_example_is_the_truth() {
        let example = include_str!("../../.env.example");
        let uncommented: String = example
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(setting) if setting.starts_with(|c: char| c.is_ascii_uppercase()) => setting,
                _ => line,
            })
            .fold(String::new(), |text, line| text + line + "\n");
        let named = dotenv::parse(&uncommented).unwrap();
        let shown = Settings::default().to_string();
        let known: Vec<&str> = shown.lines().filter_map(|line| line.split('=').next()).collect();
        for name in &known {
            assert!(named.contains_key(*name), "{name} is missing in .env.example");
        }
        for name in named.keys() {
            assert!(known.contains(&name.as_str()), ".env.example names {name}, which is no setting");
        }
        assert_eq!(Settings::load(&Flags::default(), &named).unwrap(), Settings::default());
    }
}
