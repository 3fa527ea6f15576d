//! What clients are shown, looked at without making or obtaining anything.

use super::{Acme, CertificateError, Challenges, load};
use crate::settings::{Settings, TlsFiles};
use hypersend_protocol::time::UnixMillis;
use std::{net::IpAddr, sync::Arc};
use x509_parser::{
    extensions::{GeneralName, ParsedExtension},
    parse_x509_certificate,
};

/// A certificate as clients look at it.
#[derive(Debug)]
pub(crate) struct Shown {
    /// Where it is.
    pub(crate) files: TlsFiles,
    /// Whether it is a development certificate.
    pub(crate) development: bool,
    /// Whether an authority has been asked for another.
    pub(crate) pending: bool,
    /// For whom it is.
    pub(crate) names: Vec<String>,
    /// For whom the settings want it to be.
    pub(crate) wanted: Vec<String>,
    /// From when on it is valid.
    pub(crate) begins: UnixMillis,
    /// Until when.
    pub(crate) ends: UnixMillis,
}

/// The certificate that a server with these settings would show now; `None` when it would have to make one.
pub(crate) fn shown(settings: &Settings) -> Result<Option<Shown>, CertificateError> {
    let there = |files: &TlsFiles| files.cert.exists() && files.key.exists();
    if let Some(files) = &settings.tls {
        return look(files, false, false, &[]).map(Some);
    }
    if let Some(acme) = &settings.acme {
        let wanted = acme.domains.clone();
        let acme = Acme::new(acme.clone(), &settings.data_root.join("acme"), Arc::new(Challenges::default()));
        if there(acme.files()) {
            return look(acme.files(), false, false, &wanted).map(Some);
        }
    }
    let files = super::development_files(settings);
    if !there(&files) {
        return Ok(None);
    }
    look(&files, true, settings.acme.is_some(), &settings.server_names).map(Some)
}

fn look(files: &TlsFiles, development: bool, pending: bool, wanted: &[String]) -> Result<Shown, CertificateError> {
    let (key, _) = load(files)?;
    let unreadable = || CertificateError::Empty(files.cert.clone());
    let leaf = key.cert.first().ok_or_else(unreadable)?;
    let (_, leaf) = parse_x509_certificate(leaf).map_err(|_| unreadable())?;
    let mut names = Vec::new();
    for extension in leaf.extensions() {
        if let ParsedExtension::SubjectAlternativeName(alternatives) = extension.parsed_extension() {
            names.extend(alternatives.general_names.iter().filter_map(name));
        }
    }
    let moment = |seconds: i64| UnixMillis(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000));
    Ok(Shown {
        files: files.clone(),
        development,
        pending,
        names,
        wanted: wanted.to_vec(),
        begins: moment(leaf.validity().not_before.timestamp()),
        ends: moment(leaf.validity().not_after.timestamp()),
    })
}

fn name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes.len() {
            4 => <[u8; 4]>::try_from(*bytes).ok().map(|ip| IpAddr::from(ip).to_string()),
            16 => <[u8; 16]>::try_from(*bytes).ok().map(|ip| IpAddr::from(ip).to_string()),
            _ => None,
        },
        _ => None,
    }
}
