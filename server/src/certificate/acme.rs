//! Certificates from an authority that checks automatically whose a name is (ACME, RFC 8555).
//!
//! The check is a TLS connection to the name, on port 443, by the protocol `acme-tls/1` (TLS-ALPN-01, RFC 8737): the TCP
//! port answers it beside everything else, so it needs no web server and no other port. What is obtained lies in two files
//! like any other certificate, and is taken up as new files are.

use super::{CertificateError, write_private};
use crate::settings::{AcmeSettings, TlsFiles};
use hypersend_net::tls;
use instant_acme::{
    Account, AuthorizationStatus, ChallengeType, Error, Identifier, NewAccount, NewOrder, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::{
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::CertifiedKey,
};
use std::{
    collections::HashMap,
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio_util::sync::CancellationToken;
use x509_parser::{error::X509Error, parse_x509_certificate};

/// The protocol by which the authority connects.
pub(crate) const CHALLENGE_ALPN: &[u8] = b"acme-tls/1";

/// How often it is looked whether a certificate is due.
const LOOK_EVERY: Duration = Duration::from_hours(1);

/// Waits after failed attempts: doubling from the first to the last. Authorities allow a few failures an hour.
const FIRST_WAIT: Duration = Duration::from_mins(5);
const LAST_WAIT: Duration = Duration::from_hours(8);

/// How long the authority may take to check, and to sign.
const ANSWER_WITHIN: Duration = Duration::from_mins(2);

/// Why no certificate was obtained.
#[derive(Debug, thiserror::Error)]
enum AcmeError {
    #[error("talk with the authority {directory}")]
    Authority { directory: String, source: Error },
    #[error("the authority does not check {0} by TLS-ALPN-01, which is the only way that this server knows")]
    NoChallenge(String),
    #[error(
        "the authority did not find this server by the names in ACME_DOMAINS: it connects to each of them by TCP on port 443, \
         which has to lead here"
    )]
    NotFound(#[source] Error),
    #[error("the authority calls the order {0:?} after its check")]
    Stuck(OrderStatus),
    #[error("make a certificate for the authority's check")]
    Challenge(#[from] rcgen::Error),
    #[error("use a certificate for the authority's check")]
    Unusable(#[from] rustls::Error),
    #[error("read {}; remove it to have a new account made", .0.display())]
    Account(PathBuf, #[source] io::Error),
    #[error(transparent)]
    Write(#[from] CertificateError),
}

/// The certificates that the authority is to see, by name.
#[derive(Debug, Default)]
pub(super) struct Challenges(Mutex<HashMap<String, Arc<CertifiedKey>>>);

impl Challenges {
    /// For a connection to this name.
    pub(super) fn certificate(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.by_name().get(name).cloned()
    }

    fn by_name(&self) -> MutexGuard<'_, HashMap<String, Arc<CertifiedKey>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a certificate from running out.
#[derive(Clone, Debug)]
pub(super) struct Acme {
    settings: AcmeSettings,
    files: TlsFiles,
    account: PathBuf,
    challenges: Arc<Challenges>,
}

impl Acme {
    /// Keeps everything in this folder.
    pub(super) fn new(settings: AcmeSettings, dir: &Path, challenges: Arc<Challenges>) -> Self {
        let files = TlsFiles { cert: dir.join("cert.pem"), key: dir.join("key.pem") };
        Self { settings, files, account: dir.join("account.json"), challenges }
    }

    /// Where certificate and key are, once there are any.
    pub(super) fn files(&self) -> &TlsFiles {
        &self.files
    }

    /// Obtains and renews until `stopping` is cancelled.
    pub(super) async fn run(self, stopping: CancellationToken) {
        let mut failures = 0;
        loop {
            let mut wait = LOOK_EVERY;
            if self.is_due(SystemTime::now()) {
                let obtained = stopping.run_until_cancelled(self.obtain()).await;
                self.challenges.by_name().clear();
                match obtained {
                    None => return,
                    Some(Ok(())) => {
                        failures = 0;
                        tracing::info!(names = self.settings.domains.join(","), "certificate obtained");
                    }
                    Some(Err(error)) => {
                        wait = wait_after(failures);
                        failures += 1;
                        let next = format!("{} min", wait.as_secs() / 60);
                        tracing::warn!(error = %crate::report(&error), next, "no certificate obtained");
                    }
                }
            }
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = stopping.cancelled() => return,
            }
        }
    }

    /// Whether there is none, or two thirds of its life are over, as authorities advise.
    fn is_due(&self, now: SystemTime) -> bool {
        let life = fs::read(&self.files.cert).ok().and_then(|pem| life(&pem).ok());
        life.is_none_or(|life| life.is_due(now))
    }

    async fn obtain(&self) -> Result<(), AcmeError> {
        let directory = &self.settings.directory;
        let authority = |source| AcmeError::Authority { directory: directory.clone(), source };
        let account = self.account().await?;
        let names: Vec<_> = self.settings.domains.iter().cloned().map(Identifier::Dns).collect();
        let mut order = account.new_order(&NewOrder::new(&names)).await.map_err(authority)?;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(authority)?;
            if authorization.status == AuthorizationStatus::Valid {
                continue;
            }
            let name = authorization.identifier().to_string();
            let Some(mut challenge) = authorization.challenge(ChallengeType::TlsAlpn01) else {
                return Err(AcmeError::NoChallenge(name));
            };
            let shown = challenge_certificate(&name, challenge.key_authorization().digest().as_ref())?;
            self.challenges.by_name().insert(name, Arc::new(shown));
            challenge.set_ready().await.map_err(authority)?;
        }
        let patience = RetryPolicy::default().timeout(ANSWER_WITHIN);
        match order.poll_ready(&patience).await {
            Ok(OrderStatus::Ready) => {}
            Ok(status) => return Err(AcmeError::Stuck(status)),
            Err(error @ (Error::Api(_) | Error::Timeout(_))) => return Err(AcmeError::NotFound(error)),
            Err(error) => return Err(authority(error)),
        }
        let key = order.finalize().await.map_err(authority)?;
        let chain = order.poll_certificate(&patience).await.map_err(authority)?;
        // The key first: a certificate that is there has its key.
        write_private(&self.files.key, &key)?;
        write_private(&self.files.cert, &chain)?;
        Ok(())
    }

    /// The account with the authority, made at the first need.
    async fn account(&self) -> Result<Account, AcmeError> {
        let directory = &self.settings.directory;
        let authority = |source| AcmeError::Authority { directory: directory.clone(), source };
        let builder = match &self.settings.root {
            Some(root) => Account::builder_with_root(root),
            None => Account::builder(),
        };
        let builder = builder.map_err(authority)?;
        let unreadable = |error| AcmeError::Account(self.account.clone(), error);
        match fs::read(&self.account) {
            Ok(kept) => {
                let credentials = serde_json::from_slice(&kept).map_err(|error| unreadable(error.into()))?;
                builder.from_credentials(credentials).await.map_err(authority)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let contact = self.settings.contact.as_ref().map(|email| format!("mailto:{email}"));
                let new = NewAccount {
                    contact: &contact.iter().map(String::as_str).collect::<Vec<_>>(),
                    terms_of_service_agreed: true,
                    only_return_existing: false,
                };
                let (account, credentials) = builder.create(&new, directory.clone(), None).await.map_err(authority)?;
                let credentials = serde_json::to_string(&credentials).expect("strings are JSON");
                write_private(&self.account, &credentials)?;
                Ok(account)
            }
            Err(error) => Err(unreadable(error)),
        }
    }
}

fn wait_after(failures: u32) -> Duration {
    FIRST_WAIT.saturating_mul(1 << failures.min(16)).min(LAST_WAIT)
}

/// What proves that this server is who asked (RFC 8737, 3).
fn challenge_certificate(name: &str, digest: &[u8]) -> Result<CertifiedKey, AcmeError> {
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?.der().clone();
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("the key is PKCS #8");
    // Without the comparison of the two that rustls offers: it does not bear with the extension.
    Ok(CertifiedKey::new(vec![certificate], tls::provider().key_provider.load_private_key(key)?))
}

/// From when until when a certificate is valid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Life {
    begins: SystemTime,
    ends: SystemTime,
}

impl Life {
    fn is_due(self, now: SystemTime) -> bool {
        let whole = self.ends.duration_since(self.begins).unwrap_or_default();
        now >= self.ends - whole / 3
    }
}

/// Of the first certificate in a PEM file.
fn life(pem: &[u8]) -> Result<Life, X509Error> {
    let certificate = CertificateDer::from_pem_slice(pem).map_err(|_| X509Error::InvalidCertificate)?;
    let (_, certificate) = parse_x509_certificate(&certificate)?;
    let moment = |seconds: i64| UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap_or(0));
    let validity = certificate.validity();
    Ok(Life { begins: moment(validity.not_before.timestamp()), ends: moment(validity.not_after.timestamp()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::date_time_ymd;

    const DAY: Duration = Duration::from_hours(24);

    #[test]
    fn a_certificate_is_due_when_two_thirds_of_its_life_are_over() {
        let dir = tempfile::tempdir().unwrap();
        let settings = AcmeSettings { domains: vec![], contact: None, directory: String::new(), root: None };
        let acme = Acme::new(settings, dir.path(), Arc::default());
        assert!(acme.is_due(SystemTime::now()), "there is none");

        let mut params = CertificateParams::new(["chat.example.org".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2026, 1, 1);
        params.not_after = date_time_ymd(2026, 4, 1);
        let pem = params.self_signed(&KeyPair::generate().unwrap()).unwrap().pem();
        fs::write(&acme.files().cert, pem).unwrap();
        let first = UNIX_EPOCH + 20_454 * DAY;
        assert!(!acme.is_due(first + 59 * DAY) && acme.is_due(first + 61 * DAY));

        fs::write(&acme.files().cert, "nonsense").unwrap();
        assert!(acme.is_due(first));
    }

    #[test]
    fn waits_grow_and_end() {
        assert_eq!([0, 1, 6, 99].map(wait_after), [FIRST_WAIT, 2 * FIRST_WAIT, 64 * FIRST_WAIT, LAST_WAIT]);
    }
}
