//! The TLS certificate: the operator's files, one obtained by ACME, or a development certificate made at first start.
//!
//! A development certificate is self-signed and lives for ten years: clients pin it on first use, as ssh does with host
//! keys, so replacing it is an event that they are loudly told of.

mod acme;
mod shown;

pub(crate) use acme::CHALLENGE_ALPN;
pub(crate) use shown::{Shown, shown};

use crate::settings::{Settings, TlsFiles};
use acme::{Acme, Challenges};
use arc_swap::ArcSwap;
use hypersend_net::tls;
use hypersend_protocol::fingerprint::Fingerprint;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, date_time_ymd};
use rustls::{
    ServerConfig, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
};
use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio_util::sync::CancellationToken;

/// The server has no usable certificate.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A PEM file cannot be read.
    #[error("read {}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// A file holds no certificate.
    #[error("{} holds no certificate; give a PEM file with the whole chain", .0.display())]
    Empty(PathBuf),
    /// Certificate and key do not belong together, or are of an unusable kind.
    #[error("use the certificate {} with its key", cert.display())]
    Unusable {
        /// The certificate's file.
        cert: PathBuf,
        /// Why.
        source: rustls::Error,
    },
    /// The development certificate cannot be made.
    #[error("make a development certificate for {names:?}; check SERVER_NAMES")]
    Make {
        /// Its names.
        names: Vec<String>,
        /// Why.
        source: rcgen::Error,
    },
    /// It cannot be kept.
    #[error("write {}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// A certificate ready for use by every listener, and replaced under them when its files change.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// Of the leaf certificate: what clients that pin it show.
    pub fingerprint: Fingerprint,
    /// Whether it is a development certificate.
    pub development: bool,
    files: TlsFiles,
    acme: Option<Acme>,
    current: Arc<Current>,
}

/// What handshakes are answered with from now on.
#[derive(Debug)]
struct Current {
    key: ArcSwap<CertifiedKey>,
    challenges: Arc<Challenges>,
}

impl ResolvesServerCert for Current {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let is_challenge = hello.alpn().is_some_and(|mut protocols| protocols.any(|name| name == CHALLENGE_ALPN));
        if is_challenge { self.challenges.certificate(hello.server_name()?) } else { Some(self.key.load_full()) }
    }
}

/// How often the files are looked at. A renewed certificate is valid for weeks beside the one it replaces.
const LOOK_EVERY: Duration = Duration::from_secs(2);

impl Certificate {
    /// Loads the certificate that the settings name, or makes one; where one is yet to be obtained, it is made for the time
    /// until then.
    pub fn load(settings: &Settings) -> Result<Self, CertificateError> {
        if let Some(acme) = &settings.acme {
            let challenges = Arc::new(Challenges::default());
            let acme = Acme::new(acme.clone(), &settings.data_root.join("acme"), challenges.clone());
            let files = acme.files().clone();
            let obtained = files.cert.exists() && files.key.exists();
            let first = if obtained { read(&files, false, challenges)? } else { development(settings, challenges)? };
            return Ok(Self { files, acme: Some(acme), ..first });
        }
        let challenges = Arc::default();
        match &settings.tls {
            Some(files) => read(files, false, challenges),
            None => development(settings, challenges),
        }
    }

    /// TLS as a listener wants it; it sets the protocols.
    pub fn tls(&self, versions: &[&'static SupportedProtocolVersion]) -> ServerConfig {
        ServerConfig::builder_with_provider(tls::provider())
            .with_protocol_versions(versions)
            .expect("the provider has these versions")
            .with_no_client_auth()
            .with_cert_resolver(self.current.clone())
    }

    /// Keeps the certificate good until `stopping` is cancelled: renews it, if that is the server's business, and takes up new
    /// files.
    pub async fn keep(self, stopping: CancellationToken) {
        let acme = self.acme.clone();
        let renewing = async {
            if let Some(acme) = acme {
                acme.run(stopping.clone()).await;
            }
        };
        tokio::join!(renewing, self.follow_files(stopping.clone()));
    }

    /// Takes up new files until `stopping` is cancelled. Open connections go on with the certificate that they began with;
    /// files that cannot be used change nothing.
    async fn follow_files(self, stopping: CancellationToken) {
        let mut seen = modified(&self.files);
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK_EVERY) => {}
                () = stopping.cancelled() => return,
            }
            let now = modified(&self.files);
            if now == seen {
                continue;
            }
            match load(&self.files) {
                Ok((key, fingerprint)) => {
                    seen = now;
                    self.current.key.store(Arc::new(key));
                    tracing::info!(%fingerprint, "certificate replaced");
                }
                // The other of the two may still be on its way.
                Err(error) => tracing::warn!(error = %crate::report(&error), "new certificate not taken up"),
            }
        }
    }
}

fn modified(files: &TlsFiles) -> [Option<SystemTime>; 2] {
    [&files.cert, &files.key].map(|path| fs::metadata(path).and_then(|metadata| metadata.modified()).ok())
}

/// The development certificate, made if there is none.
fn development(settings: &Settings, challenges: Arc<Challenges>) -> Result<Certificate, CertificateError> {
    let files = development_files(settings);
    if !(files.cert.exists() && files.key.exists()) {
        make(&files, &settings.server_names)?;
    }
    read(&files, true, challenges)
}

/// Where it is kept.
fn development_files(settings: &Settings) -> TlsFiles {
    let dir = &settings.certs_dir;
    TlsFiles { cert: dir.join("dev-cert.pem"), key: dir.join("dev-key.pem") }
}

fn read(files: &TlsFiles, development: bool, challenges: Arc<Challenges>) -> Result<Certificate, CertificateError> {
    let (key, fingerprint) = load(files)?;
    let current = Arc::new(Current { key: ArcSwap::from_pointee(key), challenges });
    Ok(Certificate { fingerprint, development, files: files.clone(), acme: None, current })
}

/// The chain with its key, and the fingerprint of its leaf.
fn load(files: &TlsFiles) -> Result<(CertifiedKey, Fingerprint), CertificateError> {
    let pem = |path: &Path| {
        let path = path.to_owned();
        move |source| CertificateError::Pem { path, source }
    };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_file_iter(&files.cert).and_then(Iterator::collect);
    let chain = chain.map_err(pem(&files.cert))?;
    let Some(leaf) = chain.first() else { return Err(CertificateError::Empty(files.cert.clone())) };
    let fingerprint = tls::fingerprint(leaf);
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(pem(&files.key))?;
    let key = CertifiedKey::from_der(chain, key, &tls::provider())
        .map_err(|source| CertificateError::Unusable { cert: files.cert.clone(), source })?;
    Ok((key, fingerprint))
}

fn make(files: &TlsFiles, names: &[String]) -> Result<(), CertificateError> {
    let made = || {
        let mut params = CertificateParams::new(names.to_vec())?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "HyperSend development certificate");
        let today = time_of_day_one();
        params.not_before = date_time_ymd(today, 1, 1);
        params.not_after = date_time_ymd(today + 10, 1, 1);
        let key = KeyPair::generate()?;
        let cert = params.self_signed(&key)?;
        Ok((cert.pem(), key.serialize_pem()))
    };
    let (cert, key) = made().map_err(|source| CertificateError::Make { names: names.to_vec(), source })?;
    // The key first: without it the certificate is not taken for complete.
    write_private(&files.key, &key)?;
    write_private(&files.cert, &cert)
}

/// The year, by the clock.
fn time_of_day_one() -> i32 {
    let days = crate::clock::now().0 / 86_400_000;
    // Every year counted as 365.2425 days lands in the right year but for a day at its edges, which does not matter here:
    // the certificate is valid from the first of January.
    1970 + i32::try_from(days * 10_000 / 3_652_425).expect("some thousand years")
}

/// Writes a file that only its owner may read.
pub(crate) fn write_private(path: &Path, text: &str) -> Result<(), CertificateError> {
    let write = || {
        if let Some(dir) = path.parent() {
            fs::create_dir_all(dir)?;
        }
        let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()
    };
    write().map_err(|source| CertificateError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn settings(dir: &Path) -> Settings {
        Settings { certs_dir: dir.to_owned(), ..Settings::default() }
    }

    #[test]
    fn the_development_certificate_is_made_once_and_kept_private() {
        let dir = tempfile::tempdir().unwrap();
        let first = Certificate::load(&settings(dir.path())).unwrap();
        let again = Certificate::load(&settings(dir.path())).unwrap();
        assert!(first.development);
        assert_eq!(first.fingerprint, again.fingerprint);
        let mode = fs::metadata(dir.path().join("dev-key.pem")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn nothing_is_done_before_a_handshake_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let certificate = Certificate::load(&settings(dir.path())).unwrap();
        // What comes in 0-RTT can be sent again by anybody who saw it (RFC 8446, 8).
        assert_eq!(certificate.tls(&[&rustls::version::TLS13]).max_early_data_size, 0);
    }

    #[test]
    fn unusable_files_are_named() {
        let dir = tempfile::tempdir().unwrap();
        let files = TlsFiles { cert: dir.path().join("c.pem"), key: dir.path().join("k.pem") };
        let with = |files: &TlsFiles| Settings { tls: Some(files.clone()), ..settings(dir.path()) };
        let message = Certificate::load(&with(&files)).unwrap_err().to_string();
        assert!(message.contains("c.pem"), "{message}");
        fs::write(&files.cert, "").unwrap();
        assert!(matches!(Certificate::load(&with(&files)), Err(CertificateError::Empty(_))));
        make(&files, &["localhost".into()]).unwrap();
        let other = TlsFiles { cert: files.cert, key: dir.path().join("other.pem") };
        make(&TlsFiles { cert: dir.path().join("x.pem"), key: other.key.clone() }, &["localhost".into()]).unwrap();
        assert!(matches!(Certificate::load(&with(&other)), Err(CertificateError::Unusable { .. })));
    }
}
