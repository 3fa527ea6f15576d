//! Connections, files, and the two sides.

use bytes::Bytes;
use hypersend_lab::{Proxy, within};
use hypersend_net::{tls, transport};
use hypersend_peer::{Offer, PathId, Progress, Rank, ReceiveError, Received, Receiving, SendError, Sending, Sent};
use quinn::{
    ClientConfig, Connection, Endpoint, ServerConfig,
    crypto::rustls::{QuicClientConfig, QuicServerConfig},
};
use rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer},
};
use std::{
    fs,
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::{
    net::UdpSocket,
    sync::mpsc,
    time::{Instant, sleep_until},
};

pub(crate) const MIB: usize = 1 << 20;

/// How the receiver knows the sender of these tests.
pub(crate) const SENDER: [u8; 32] = [7; 32];

/// An endpoint that takes connections.
pub(crate) struct Door {
    endpoint: Endpoint,
    certificate: CertificateDer<'static>,
}

impl Door {
    pub(crate) fn open() -> Self {
        let key = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let certificate = key.cert.der().clone();
        let private = PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
        let mut tls = rustls::ServerConfig::builder_with_provider(tls::provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.clone()], private)
            .unwrap();
        tls.alpn_protocols = vec![b"test".to_vec()];
        let mut config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls).unwrap()));
        config.transport_config(Arc::new(transport::server_config()));
        let endpoint = Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        Self { endpoint, certificate }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.endpoint.local_addr().unwrap()
    }

    pub(crate) fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// The next connection that comes in.
    pub(crate) async fn accept(&self) -> Connection {
        within("somebody connects", async { self.endpoint.accept().await.unwrap().await.unwrap() }).await
    }

    pub(crate) async fn dial(&self, address: SocketAddr) -> Link {
        let connecting = connect(self.certificate.clone(), address);
        let ((endpoint, sender), receiver) = tokio::join!(connecting, self.accept());
        Link { sender, receiver, _endpoints: [endpoint, self.endpoint.clone()] }
    }
}

/// Connects to a door with this certificate.
pub(crate) async fn connect(certificate: CertificateDer<'static>, address: SocketAddr) -> (Endpoint, Connection) {
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let mut tls = rustls::ClientConfig::builder_with_provider(tls::provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    tls.alpn_protocols = vec![b"test".to_vec()];
    let mut config = ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()));
    config.transport_config(Arc::new(transport::client_config()));
    let endpoint = Endpoint::client((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let connecting = endpoint.connect_with(config, address, "localhost").unwrap();
    let connection = within("a connection is made", connecting).await.unwrap();
    (endpoint, connection)
}

/// One connection, both ends of it. The sender has dialled.
pub(crate) struct Link {
    pub(crate) sender: Connection,
    pub(crate) receiver: Connection,
    _endpoints: [Endpoint; 2],
}

impl Link {
    pub(crate) async fn make() -> Self {
        let door = Door::open();
        door.dial(door.address()).await
    }

    /// By a proxy.
    pub(crate) async fn through_a_proxy() -> (Self, Proxy) {
        let door = Door::open();
        let proxy = Proxy::start(door.address());
        (door.dial(proxy.address()).await, proxy)
    }

    /// By a path on which every datagram takes so long, each way.
    pub(crate) async fn delayed(by: Duration) -> Self {
        let door = Door::open();
        let address = delay(door.address(), by).await;
        door.dial(address).await
    }

    pub(crate) fn join(&self, id: u32, rank: Rank, sending: &Sending, receiving: &Receiving) {
        sending.add_path(PathId(id), rank, self.sender.clone());
        receiving.add_path(PathId(id), rank, self.receiver.clone());
    }
}

/// Passes datagrams of one client on, each after a while. Ends with the test.
async fn delay(to: SocketAddr, by: Duration) -> SocketAddr {
    let front = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
    let back = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap());
    let address = front.local_addr().unwrap();
    let (client, mut known) = tokio::sync::watch::channel(None);
    pass(front.clone(), back.clone(), by, move |from| {
        client.send_replace(Some(from));
        Some(to)
    });
    pass(back, front, by, move |_| *known.borrow_and_update());
    address
}

fn pass(
    from: Arc<UdpSocket>,
    out: Arc<UdpSocket>,
    by: Duration,
    mut target: impl FnMut(SocketAddr) -> Option<SocketAddr> + Send + 'static,
) {
    let (late, mut due) = mpsc::unbounded_channel::<(Instant, Vec<u8>, SocketAddr)>();
    tokio::spawn(async move {
        let mut buffer = vec![0; 65_535];
        while let Ok((length, sender)) = from.recv_from(&mut buffer).await {
            if let Some(target) = target(sender) {
                let _ = late.send((Instant::now() + by, buffer[..length].to_vec(), target));
            }
        }
    });
    tokio::spawn(async move {
        while let Some((at, bytes, target)) = due.recv().await {
            sleep_until(at).await;
            let _ = out.send_to(&bytes, target).await;
        }
    });
}

/// Two folders.
pub(crate) struct World {
    dir: tempfile::TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("from")).unwrap();
        fs::create_dir(dir.path().join("to")).unwrap();
        Self { dir }
    }

    pub(crate) fn from(&self, name: &str) -> PathBuf {
        self.dir.path().join("from").join(name)
    }

    pub(crate) fn to(&self) -> PathBuf {
        self.dir.path().join("to")
    }

    /// A file to be sent, of bytes that are others for every name.
    pub(crate) fn file(&self, name: &str, length: usize) -> PathBuf {
        let path = self.from(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, content(name, length)).unwrap();
        path
    }

    pub(crate) async fn offer(&self, names: &[&str]) -> Arc<Offer> {
        Arc::new(Offer::open(names.iter().map(|name| self.from(name)).collect()).await.unwrap())
    }

    pub(crate) fn receive(&self) -> Receiving {
        Receiving::start(self.to(), SENDER, None)
    }

    /// What is at the destination, hidden things included.
    pub(crate) fn arrived(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(self.to()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

/// Waits until so many bytes are there.
pub(crate) async fn stored(receiving: &Receiving, bytes: u64) -> Progress {
    let mut progress = receiving.progress();
    let enough = |now: &Option<Progress>| now.is_some_and(|now| now.stored_bytes >= bytes);
    within("bytes are stored", progress.wait_for(enough)).await.unwrap().unwrap()
}

pub(crate) fn content(name: &str, length: usize) -> Bytes {
    let mut bytes = vec![0; length];
    blake3::Hasher::new().update(name.as_bytes()).finalize_xof().fill(&mut bytes);
    bytes.into()
}

/// One transfer over one connection, both results.
pub(crate) async fn both(
    sending: &Sending,
    receiving: &mut Receiving,
) -> (Result<Sent, SendError>, Result<Received, ReceiveError>) {
    within("both sides end", async { tokio::join!(sending.finish(), receiving.finish()) }).await
}

/// A transfer that works.
pub(crate) async fn arrives(sending: &Sending, receiving: &mut Receiving) -> Received {
    let (sent, received) = both(sending, receiving).await;
    let (sent, received) = (sent.unwrap(), received.unwrap());
    assert_eq!((sent.files, sent.bytes), (received.files, received.bytes));
    assert!(received.reported);
    received
}

pub(crate) async fn transfer(offer: &Arc<Offer>, world: &World) -> Received {
    let link = Link::make().await;
    let (sending, mut receiving) = (Sending::start(offer.clone()), world.receive());
    link.join(0, Rank::Direct, &sending, &receiving);
    arrives(&sending, &mut receiving).await
}

/// All files below a folder, by their paths in it.
pub(crate) fn tree(root: &Path) -> Vec<(String, Vec<u8>)> {
    let mut files = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else {
                let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
                files.push((name, fs::read(&path).unwrap()));
            }
        }
    }
    files.sort();
    files
}
