//! Whose certificate the server has: an operator's, one that it is to obtain, or none of these.

use super::{Flags, SettingError, source::Source, text::list};
use instant_acme::LetsEncrypt;
use std::path::PathBuf;

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

/// Either of the two, or neither.
pub(super) fn load(flags: &Flags, from: &Source<'_>) -> Result<(Option<TlsFiles>, Option<AcmeSettings>), SettingError> {
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
    Ok((tls, acme))
}
