//! Builds the parts and runs them.

use crate::{
    certificate::{Certificate, CertificateError, write_private},
    disk::Disk,
    http::{self, HttpState, Limits, TcpListener},
    hub::Hub,
    janitor::Janitor,
    quic::{self, ListenError, Listener},
    services::{Accounts, Chats, Files, Passwords, Policy, Rates, Services, Throttle, TokenKey, UploadPolicy, Uploads},
    settings::{SecretKey, Settings},
    store::{self, Store, StoreError},
};
use data_encoding::HEXLOWER;
use std::{fs, io, net::SocketAddr, path::PathBuf, sync::Arc};
use tokio_util::sync::CancellationToken;

/// The server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A folder under the data root cannot be made.
    #[error("create {}; check DATA_ROOT and its permissions", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kept secret key cannot be read.
    #[error("read {}", path.display())]
    Secret {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kept secret key is unusable.
    #[error("{} {reason}; remove the file to have a new key made (everybody will have to log in again)", path.display())]
    BadSecret {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// No certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// No port.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// No database.
    #[error("open the database")]
    Store(#[from] StoreError),
}

/// How many ports are tried where any will do.
const PORTS_TRIED: usize = 20;

/// A server that is bound and ready to run.
pub struct Server {
    listener: Listener,
    tcp: TcpListener,
    http: HttpState,
    services: Services,
    janitor: Janitor,
    certificate: Certificate,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("listener", &self.listener).finish_non_exhaustive()
    }
}

/// What people should know of the certificate.
#[derive(Clone, Copy, Debug)]
pub struct CertificateSummary {
    /// SHA-256 of the leaf certificate.
    pub fingerprint: [u8; 32],
    /// Whether it is a development certificate.
    pub development: bool,
}

impl Server {
    /// Opens everything that can fail to open.
    pub async fn start(settings: &Settings) -> Result<Self, StartError> {
        for path in [settings.uploads(), settings.files()] {
            fs::create_dir_all(&path).map_err(|source| StartError::Folder { path, source })?;
        }
        let certificate = Certificate::load(settings)?;
        let hub = Hub::default();
        let sink = hub.clone();
        let store = store::open(&settings.database(), Arc::new(move |fanout| sink.committed(fanout))).await?;
        let throttle = Throttle::new(Rates {
            logins_per_account: settings.logins_per_account,
            logins_per_address: settings.logins_per_address,
            registrations_per_address: settings.registrations_per_address,
        });
        let secret = secret_key(settings)?;
        let services = services(settings, &secret, &store, hub, throttle.clone());
        let janitor = Janitor::new(store, &services, throttle, settings);
        let (listener, tcp) = bind(settings, &certificate, &secret).await?;
        let limits = Limits { max_file_size: settings.max_file_size, registration_open: settings.registration_open };
        let http = HttpState::new(services.clone(), limits);
        Ok(Self { listener, tcp, http, services, janitor, certificate })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// What clients will see of the certificate.
    pub fn certificate(&self) -> CertificateSummary {
        CertificateSummary { fingerprint: self.certificate.fingerprint, development: self.certificate.development }
    }

    /// Serves until `stopping` is cancelled, then stops in good order: clients are told, what is in flight finishes or
    /// is checkpointed. Returns within 10 s of the cancellation.
    pub async fn run(self, stopping: CancellationToken) {
        let uploads = self.services.uploads.clone();
        let router = http::router(self.http.clone());
        tokio::join!(
            self.listener.run(self.services, stopping.clone()),
            self.tcp.run(router, stopping.clone(), quic::GRACE),
            self.http.tidy(stopping.clone()),
            self.certificate.follow_files(stopping.clone()),
            self.janitor.run(stopping),
        );
        uploads.settled().await;
    }
}

/// Binds both ports. Where any port will do, one has to be found that is free for both protocols.
async fn bind(
    settings: &Settings,
    certificate: &Certificate,
    secret: &SecretKey,
) -> Result<(Listener, TcpListener), StartError> {
    let (quic_tls, tcp_tls) = (
        certificate.tls(&[&rustls::version::TLS13]),
        certificate.tls(&[&rustls::version::TLS13, &rustls::version::TLS12]),
    );
    let any_port = settings.listen.port() == 0;
    for attempt in 1.. {
        let reset_key = secret.as_bytes();
        let listener = Listener::bind(settings.listen, quic_tls.clone(), reset_key, settings.max_connections)?;
        let address = listener.local_addr().map_err(|source| ListenError::Bind { address: settings.listen, source })?;
        match TcpListener::bind(address, tcp_tls.clone(), settings.max_connections).await {
            Ok(tcp) => return Ok((listener, tcp)),
            Err(_) if any_port && attempt < PORTS_TRIED => {}
            Err(source) => return Err(ListenError::Bind { address, source }.into()),
        }
    }
    unreachable!("the last attempt returns")
}

fn services(settings: &Settings, secret: &SecretKey, store: &Arc<dyn Store>, hub: Hub, throttle: Throttle) -> Services {
    let key = TokenKey::new(secret, settings.access_token_lifetime);
    let policy = Policy { registration_open: settings.registration_open, session_lifetime: settings.session_lifetime };
    let passwords = Passwords::new(settings.bcrypt_cost);
    let disk = Disk::default();
    let limits = UploadPolicy { max_file_size: settings.max_file_size };
    Services {
        accounts: Accounts::new(store.clone(), hub.clone(), passwords, throttle, key, policy),
        chats: Chats::new(store.clone(), hub),
        uploads: Uploads::new(store.clone(), disk.clone(), settings.uploads(), settings.files(), limits),
        files: Files::new(store.clone(), disk, settings.files()),
    }
}

/// The key from the settings, or the one kept under the data root, made at first start.
fn secret_key(settings: &Settings) -> Result<SecretKey, StartError> {
    if let Some(key) = &settings.secret_key {
        return Ok(key.clone());
    }
    let path = settings.data_root.join("secret.key");
    match fs::read_to_string(&path) {
        Ok(text) => SecretKey::parse(&text).map_err(|reason| StartError::BadSecret { path, reason }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let mut bytes = [0; 32];
            getrandom::fill(&mut bytes).expect("the kernel gives random bytes");
            let text = HEXLOWER.encode(&bytes);
            write_private(&path, &text)?;
            Ok(SecretKey::parse(&text).expect("64 digits"))
        }
        Err(source) => Err(StartError::Secret { path, source }),
    }
}
