//! Builds the parts and runs them.

use crate::{
    certificate::{Certificate, CertificateError, write_private},
    disk::Disk,
    http::{self, HttpState, Limits},
    hub::Hub,
    janitor::Janitor,
    metrics::Metrics,
    objects::{Objects, ObjectsError},
    ports::{DoorClosed, Doors, GRACE, ListenError, QuicListener, TcpListener},
    relay::{OwnRelay, RelayPortError},
    services::{
        Accounts, Chats, Files, Mailboxes, P2p, Passwords, Policy, Presence, Rates, Relays, Services, Signals,
        Throttle, TicketKey, TokenKey, Tunnels, Updates, UpdatesError, UploadPolicy, Uploads,
        root::{BucketRoot, FolderRoot, Root},
    },
    settings::{SecretKey, Settings},
    store::{self, Store, StoreError, news::NewsStream},
};
use data_encoding::HEXLOWER;
use futures::StreamExt;
use hypersend_protocol::fingerprint::Fingerprint;
use std::{
    fs, io,
    net::SocketAddr,
    os::unix::fs::{DirBuilderExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// The mode of the folders that hold people's files.
const PRIVATE: u32 = 0o700;

/// How long checkpoints may take when the server stops, beside the door's own grace and farewell: a disk that hangs must
/// not keep it from stopping, and what is lost is only what a power cut would take.
const SETTLING: Duration = Duration::from_secs(2);

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
    #[error("{} {reason}; remove the file to have a new key made (everybody's access tokens will have to be renewed)", path.display())]
    BadSecret {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// No certificate.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The file of releases cannot be used.
    #[error(transparent)]
    Updates(#[from] UpdatesError),
    /// The bucket cannot be used.
    #[error(transparent)]
    Objects(#[from] ObjectsError),
    /// No threads for the disk.
    #[error("start the disk's threads; check the limit on processes (ulimit -u)")]
    Threads(#[source] io::Error),
    /// No port.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// No ports for the relay.
    #[error(transparent)]
    Relay(#[from] RelayPortError),
    /// No database.
    #[error("open the database")]
    Store(#[from] StoreError),
}

/// How many ports are tried where any will do.
const PORTS_TRIED: usize = 20;

/// A server that is bound and ready to run.
pub struct Server {
    quic: QuicListener,
    tcp: TcpListener,
    http: HttpState,
    doors: Doors,
    uploads: Uploads,
    presence: Presence,
    janitor: Janitor,
    certificate: Certificate,
    news: Option<NewsStream>,
    hub: Hub,
    relay: Option<OwnRelay>,
    relays: Relays,
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Server").field("quic", &self.quic).finish_non_exhaustive()
    }
}

/// What people should know of the certificate.
#[derive(Clone, Copy, Debug)]
pub struct CertificateSummary {
    /// Of the leaf certificate.
    pub fingerprint: Fingerprint,
    /// Whether it is a development certificate.
    pub development: bool,
}

impl Server {
    /// Opens everything that can fail to open.
    pub async fn start(settings: &Settings) -> Result<Self, StartError> {
        make_folders(settings)?;
        let certificate = Certificate::load(settings)?;
        let hub = Hub::default();
        let sink = hub.clone();
        let store = store::open(&settings.database(), Arc::new(move |fanout| sink.committed(fanout))).await?;
        // Before anybody listens, so that nothing falls between.
        let news = store.news().await?;
        let throttle = Throttle::new(Rates {
            logins_per_account: settings.logins_per_account,
            logins_per_address: settings.logins_per_address,
            registrations_per_address: settings.registrations_per_address,
            openings_per_address: settings.code_openings_per_address,
            claims_per_address: settings.code_claims_per_address,
        });
        let secret = secret_key(settings)?;
        let disk = Disk::start().map_err(StartError::Threads)?;
        let updates = Updates::open(settings.updates_file.clone(), disk.clone()).await?;
        let root: Root = match &settings.objects {
            Some(bucket) => Arc::new(BucketRoot::new(Objects::open(bucket)?, disk.clone())),
            None => Arc::new(FolderRoot::new(disk.clone(), settings.uploads(), settings.files())),
        };
        let places = (disk, root);
        let presence = Presence::new(store.clone(), hub.clone(), news.is_some());
        let relay = OwnRelay::bind(settings, &secret)?;
        let metrics = Metrics::new(relay.as_ref().map(OwnRelay::observer));
        let services = services(settings, &secret, &store, &presence, throttle.clone(), places, updates, metrics);
        if let Some(relay) = &relay {
            relay.join(&services.relays);
        }
        let relays = services.relays.clone();
        let janitor = Janitor::new(store, &services, throttle, settings);
        let (quic, tcp) = bind(settings, &certificate, &secret).await?;
        let limits = Limits {
            max_file_size: settings.max_file_size,
            registration_open: settings.registration_open,
            upload_lifetime: settings.upload_lifetime,
            resumable_uploads_draft: settings.resumable_uploads_draft,
        };
        let http = HttpState::new(services.clone(), limits, settings.metrics_token.clone());
        let router = http::router(http.clone(), &settings.cors_origins);
        let (uploads, doors) = (services.uploads.clone(), Doors::new(services, router));
        Ok(Self { quic, tcp, http, doors, uploads, presence, janitor, certificate, news, hub, relay, relays })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.quic.local_addr()
    }

    /// What clients will see of the certificate.
    pub fn certificate(&self) -> CertificateSummary {
        CertificateSummary { fingerprint: self.certificate.fingerprint, development: self.certificate.development }
    }

    /// Serves until `stopping` is cancelled, then stops in good order: clients are told, what is in flight finishes or
    /// is checkpointed. Returns within 9 s of the cancellation, which leaves a moment for whatever ends the process; or, with
    /// an error, when nobody can be served any more.
    pub async fn run(self, stopping: CancellationToken) -> Result<(), DoorClosed> {
        let ending = stopping.child_token();
        let doors = self.doors.clone();
        let quic = async {
            let served = self.quic.run(doors, ending.clone()).await;
            ending.cancel();
            served
        };
        let serving = async {
            tokio::join!(
                quic,
                self.tcp.run(self.doors, ending.clone()),
                self.http.tidy(ending.clone()),
                self.certificate.keep(ending.clone()),
                self.janitor.run(ending.clone()),
                pass_on(self.relay, ending.clone()),
                self.relays.announce(ending.clone()),
                hear(self.news, self.hub, self.presence.clone(), ending.clone()),
            )
        };
        let (served, ..) = tokio::select! {
            served = serving => served,
            // Until everybody has gone: those who move to another server meanwhile are not to seem away.
            never = self.presence.run() => match never {},
        };
        let ends = async {
            tokio::join!(timeout(SETTLING, self.uploads.settled()), timeout(SETTLING, self.presence.take_leave()))
        };
        if let (Err(_), _) = ends.await {
            tracing::warn!("stopped before every upload was checkpointed; a power cut now may cost more of them");
        }
        served
    }
}

/// Tells listeners what other servers do.
async fn hear(news: Option<NewsStream>, hub: Hub, presence: Presence, stopping: CancellationToken) {
    let Some(mut news) = news else { return };
    let hearing = async {
        while let Some(news) = news.next().await {
            presence.heard(&news);
            hub.heard(news);
        }
    };
    stopping.run_until_cancelled(hearing).await;
}

/// Has the own relay, if there is one, pass datagrams on.
async fn pass_on(relay: Option<OwnRelay>, stopping: CancellationToken) {
    if let Some(relay) = relay {
        // What lasts as long as the server is not to be carried about in its future.
        Box::pin(relay.run(stopping, GRACE)).await;
    }
}

/// Makes the folders of the data, for the server's own account alone: what is in the files is as private as the database. A
/// data root that is there keeps the permissions that its operator gave it; the folders in it are the server's.
fn make_folders(settings: &Settings) -> Result<(), StartError> {
    let make = |path: &Path| fs::DirBuilder::new().recursive(true).mode(PRIVATE).create(path);
    let close = |path: &Path| fs::set_permissions(path, fs::Permissions::from_mode(PRIVATE));
    for path in [settings.uploads(), settings.files()] {
        make(&path).and_then(|()| close(&path)).map_err(|source| StartError::Folder { path, source })?;
    }
    Ok(())
}

/// Binds both ports. Where any port will do, one has to be found that is free for both protocols.
async fn bind(
    settings: &Settings,
    certificate: &Certificate,
    secret: &SecretKey,
) -> Result<(QuicListener, TcpListener), StartError> {
    let (quic_tls, tcp_tls) = (
        certificate.tls(&[&rustls::version::TLS13]),
        certificate.tls(&[&rustls::version::TLS13, &rustls::version::TLS12]),
    );
    let any_port = settings.listen.port() == 0;
    for attempt in 1.. {
        let reset_key = secret.as_bytes();
        let listener = QuicListener::bind(settings.listen, quic_tls.clone(), reset_key, settings.max_connections)?;
        let address = listener.local_addr().map_err(|source| ListenError::Bind { address: settings.listen, source })?;
        match TcpListener::bind(address, tcp_tls.clone(), settings.max_connections).await {
            Ok(tcp) => return Ok((listener, tcp)),
            Err(_) if any_port && attempt < PORTS_TRIED => {}
            Err(source) => return Err(ListenError::Bind { address, source }.into()),
        }
    }
    unreachable!("the last attempt returns")
}

#[expect(clippy::too_many_arguments, reason = "each is another part of the server, put together once")]
fn services(
    settings: &Settings,
    secret: &SecretKey,
    store: &Arc<dyn Store>,
    presence: &Presence,
    throttle: Throttle,
    (disk, root): (Disk, Root),
    updates: Updates,
    metrics: Metrics,
) -> Services {
    let key = TokenKey::new(secret, settings.access_token_lifetime);
    let policy = Policy { registration_open: settings.registration_open, session_lifetime: settings.session_lifetime };
    let passwords = Passwords::new(settings.bcrypt_cost);
    let hub = presence.hub().clone();
    let relays = Relays::new(store.clone(), TicketKey::new(secret), settings.relay_token.clone());
    let signals = Signals::new(store.clone(), hub.clone(), relays.clone());
    let limits = UploadPolicy { max_file_size: settings.max_file_size, max_reserved: settings.max_reserved };
    Services {
        mailboxes: Mailboxes::new(store.clone(), signals.clone(), throttle.clone(), settings.codes, metrics.clone()),
        accounts: Accounts::new(store.clone(), hub.clone(), passwords, throttle, key, policy, metrics.clone()),
        chats: Chats::new(store.clone(), hub, metrics.clone()),
        presence: presence.clone(),
        uploads: Uploads::new(store.clone(), disk, settings.uploads(), root.clone(), limits, metrics.clone()),
        files: Files::new(store.clone(), root, metrics.clone()),
        p2p: P2p::new(store.clone()),
        signals,
        tunnels: Tunnels::new(relays.clone(), metrics.clone()),
        relays,
        updates,
        metrics,
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

#[cfg(test)]
mod tests {
    use super::*;

    fn settings_in(dir: &Path) -> Settings {
        Settings {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            data_root: dir.join("data"),
            certs_dir: dir.join("certs"),
            relay_listen: None,
            ..Settings::default()
        }
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[tokio::test]
    async fn a_server_that_nobody_can_reach_any_more_ends_with_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(&settings_in(dir.path())).await.unwrap();
        server.quic.fail();
        let running = Box::pin(server.run(CancellationToken::new()));
        let ended = timeout(Duration::from_secs(10), running).await;
        assert!(ended.expect("it ends by itself").is_err());
    }

    #[test]
    fn only_the_server_reads_the_files() {
        let dir = tempfile::tempdir().unwrap();
        let settings = settings_in(dir.path());
        make_folders(&settings).unwrap();
        assert_eq!([&settings.data_root, &settings.uploads(), &settings.files()].map(|path| mode(path)), [0o700; 3]);

        // As an earlier version left them, in a folder that the operator opened to a group.
        for (path, open) in [(&settings.data_root, 0o750), (&settings.uploads(), 0o755), (&settings.files(), 0o755)] {
            fs::set_permissions(path, fs::Permissions::from_mode(open)).unwrap();
        }
        make_folders(&settings).unwrap();
        assert_eq!(mode(&settings.data_root), 0o750, "the operator's");
        assert_eq!([settings.uploads(), settings.files()].map(|path| mode(&path)), [0o700; 2]);
    }
}
