//! A server of S3 for tests, with one bucket: moto, which speaks the protocol and keeps everything in memory.

use crate::{
    guarded::{Guarded, free_port},
    wait::eventually,
};
use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::OnceCell,
};

/// What the bucket is called.
const BUCKET: &str = "files";

/// How often another port is tried when somebody was quicker to take the one that was free.
const ATTEMPTS: usize = 3;

/// A bucket of the test's own. Gone when dropped.
#[derive(Debug)]
pub struct Bucket {
    address: SocketAddr,
    _running: Guarded,
    _folder: TempDir,
}

impl Bucket {
    /// Starts a server with an empty bucket.
    pub async fn start() -> Self {
        for _ in 0..ATTEMPTS {
            let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
            let folder = tempfile::Builder::new().prefix("hypersend-bucket-").tempdir().expect("a temporary folder");
            let mut command = Command::new(python().await);
            command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &address.port().to_string()]);
            command.current_dir(folder.path());
            let mut running = Guarded::spawn(command, folder.path());
            let answered = eventually("the server of S3 answers or ends", async || {
                if running.has_ended() {
                    return Some(false);
                }
                ask(address, "PUT", &format!("/{BUCKET}")).await.map(|answer| answer.contains(" 200 "))
            });
            if answered.await {
                return Self { address, _running: running, _folder: folder };
            }
        }
        panic!("the server of S3 does not start");
    }

    /// Where it listens.
    pub fn socket_address(&self) -> SocketAddr {
        self.address
    }

    /// What `OBJECTS_URL` is.
    pub fn url(&self) -> &'static str {
        "s3://files/tests"
    }

    /// What `OBJECTS_ENDPOINT` is.
    pub fn endpoint(&self) -> String {
        Self::endpoint_via(self.address)
    }

    /// The same by way of something else, which may be cut.
    pub fn endpoint_via(way: SocketAddr) -> String {
        format!("http://{way}")
    }

    /// The names of all objects that begin so, behind what `OBJECTS_URL` has of them.
    pub async fn keys(&self, prefix: &str) -> Vec<String> {
        let path = format!("/{BUCKET}?list-type=2&max-keys=1000&prefix=tests/{prefix}");
        let listing = ask(self.address, "GET", &path).await.expect("the server of S3 answers");
        assert!(!listing.contains("<IsTruncated>true"), "more objects than a test should make");
        let keys = listing.split("<Key>tests/").skip(1).filter_map(|rest| rest.split_once("</Key>"));
        keys.map(|(key, _)| key.to_owned()).collect()
    }
}

/// One request without a body; the whole answer.
async fn ask(server: SocketAddr, method: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(server).await.ok()?;
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: {server}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.ok()?;
    Some(String::from_utf8_lossy(&answer).into_owned())
}

/// The Python that has the server, which `scripts/http-venv` makes if need be.
async fn python() -> &'static Path {
    static PYTHON: OnceCell<PathBuf> = OnceCell::const_new();
    let find = async || {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/http-venv");
        let made = tokio::process::Command::new(script).arg("objects").stderr(Stdio::inherit()).output().await;
        let made = made.expect("scripts/http-venv can be run");
        assert!(made.status.success(), "scripts/http-venv could not make the environment of the server of S3");
        PathBuf::from(String::from_utf8(made.stdout).expect("a path is text").trim_end())
    };
    PYTHON.get_or_init(find).await
}
