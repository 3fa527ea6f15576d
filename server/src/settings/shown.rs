//! The settings as they are in effect.

use super::Settings;
use std::{fmt, path::Path, time::Duration};

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
