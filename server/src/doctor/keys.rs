//! The certificate, and the key of access tokens.

use super::Finding;
use crate::{
    certificate::{self, Shown},
    clock, report,
    services::TicketKey,
    settings::{SecretKey, Settings},
};
use data_encoding::BASE64;
use std::{fs, io, os::unix::fs::PermissionsExt};

/// From so long before its end on a certificate should have been renewed.
const RENEWED_BEFORE: u64 = 14 * 86_400_000;

/// Whether there is a certificate that clients take, by the clock and by the names that the settings tell of.
pub(super) fn certificate(settings: &Settings) -> Finding {
    let what = "certificate";
    let shown = match certificate::shown(settings) {
        Ok(Some(shown)) => shown,
        Ok(None) => return Finding::ok(what, "none yet: the server makes one for development at its first start"),
        Err(error) => return Finding::failed(what, report(&error)),
    };
    let (now, says) = (clock::now(), format!("for {}", shown.names.join(", ")));
    if now < shown.begins {
        return Finding::failed(what, format!("{says}: not valid yet; set the clock, or wait"));
    }
    if now >= shown.ends {
        return Finding::failed(what, format!("{says}: expired; {}", remedy(&shown)));
    }
    let days = (shown.ends.0 - now.0) / 86_400_000;
    let missing: Vec<&str> =
        shown.wanted.iter().map(String::as_str).filter(|name| !shown.names.iter().any(|has| has == name)).collect();
    if !missing.is_empty() {
        return Finding::warning(what, format!("{says}: not for {}; {}", missing.join(", "), remedy(&shown)));
    }
    if shown.ends.0 - now.0 < RENEWED_BEFORE {
        return Finding::warning(what, format!("{says}: {days} days left; {}", remedy(&shown)));
    }
    if shown.pending {
        return Finding::warning(
            what,
            "for development, until the authority has issued the one that ACME_DOMAINS asks for",
        );
    }
    let kind = if shown.development { "for development, which clients pin, " } else { "" };
    Finding::ok(what, format!("{kind}{says}, {days} days left"))
}

fn remedy(shown: &Shown) -> String {
    let [cert, key] = [&shown.files.cert, &shown.files.key].map(|path| path.display());
    if shown.development {
        return format!("remove {cert} and {key} to have another made, which clients will have to pin anew");
    }
    format!("renew {cert} and {key}; with ACME_DOMAINS the server does so, and its log says why it did not")
}

/// Whether there is a key that only the server knows.
pub(super) fn secret(settings: &Settings) -> Finding {
    let what = "secret key";
    if settings.secret_key.is_some() {
        return Finding::ok(what, "SECRET_KEY");
    }
    let path = settings.data_root.join("secret.key");
    let shown = path.display();
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Finding::ok(what, "none yet: the server makes one at its first start");
        }
        Err(error) => return Finding::failed(what, format!("{shown} ({error}): let the server's account read it")),
    };
    if let Err(reason) = SecretKey::parse(&text) {
        return Finding::failed(what, format!("{shown} {reason}; remove it to have another made"));
    }
    match fs::metadata(&path).map(|metadata| metadata.permissions().mode() & 0o077) {
        Ok(0) => Finding::ok(what, shown.to_string()),
        _ => Finding::warning(what, format!("others can read {shown}: chmod 600 {shown}")),
    }
}

/// By which key relays verify the tickets of this server: what `hypersend-relay --server-key` takes.
pub(super) fn tickets(settings: &Settings) -> Finding {
    let what = "relay key";
    let kept = || SecretKey::parse(&fs::read_to_string(settings.data_root.join("secret.key")).ok()?).ok();
    match settings.secret_key.clone().or_else(kept) {
        Some(secret) => Finding::ok(what, BASE64.encode(&TicketKey::new(&secret).public())),
        None => Finding::ok(what, "none yet: it is made from the secret key"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{AcmeSettings, TlsFiles};
    use rcgen::{CertificateParams, KeyPair};
    use std::{path::Path, time::SystemTime};

    const DAY: i64 = 86_400;

    /// Settings with a certificate for these names, valid from and until so many days from now.
    fn with(dir: &Path, names: &[&str], days: [i64; 2]) -> Settings {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs().cast_signed();
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        let [begins, ends] = days.map(|days| {
            rcgen::date_time_ymd(1970, 1, 1) + std::time::Duration::from_secs((now + days * DAY).cast_unsigned())
        });
        (params.not_before, params.not_after) = (begins, ends);
        let key = KeyPair::generate().unwrap();
        let files = TlsFiles { cert: dir.join("cert.pem"), key: dir.join("key.pem") };
        fs::write(&files.cert, params.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(&files.key, key.serialize_pem()).unwrap();
        Settings { tls: Some(files), data_root: dir.to_owned(), ..Settings::default() }
    }

    #[test]
    fn a_certificate_is_looked_at_by_the_clock() {
        let dir = tempfile::tempdir().unwrap();
        for (days, begins, says) in [
            ([-1, 100], "ok", "chat.example.org, 192.0.2.1, 99 days left"),
            ([-90, 10], "warning", "9 days left; renew"),
            ([-90, -1], "failed", "expired; renew"),
            ([1, 100], "failed", "not valid yet"),
        ] {
            let found = certificate(&with(dir.path(), &["chat.example.org", "192.0.2.1"], days)).to_string();
            assert!(found.starts_with(begins) && found.contains(says), "{found}");
        }
    }

    #[test]
    fn names_that_are_missing_are_told() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("acme")).unwrap();
        let domains = ["chat.example.org", "talk.example.org"].map(str::to_owned).into();
        let acme = AcmeSettings { domains, contact: None, directory: String::new(), root: None };
        let settings = with(&dir.path().join("acme"), &["chat.example.org"], [-1, 100]);
        let settings = Settings { tls: None, acme: Some(acme), data_root: dir.path().to_owned(), ..settings };
        let found = certificate(&settings).to_string();
        assert!(found.starts_with("warning") && found.contains("not for talk.example.org"), "{found}");
    }

    #[test]
    fn a_secret_that_others_can_read_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings { data_root: dir.path().to_owned(), ..Settings::default() };
        assert!(secret(&settings).to_string().contains("none yet"));
        let path = dir.path().join("secret.key");
        fs::write(&path, "k".repeat(SecretKey::MIN_BYTES)).unwrap();
        for (mode, begins) in [(0o600, "ok"), (0o644, "warning")] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let found = secret(&settings).to_string();
            assert!(found.starts_with(begins), "{found}");
        }
        assert_eq!(tickets(&settings).to_string().trim_end().len(), "ok       relay key    ".len() + 44);
        fs::write(&path, "short").unwrap();
        assert!(secret(&settings).is_failure());
    }
}
