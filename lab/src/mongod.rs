//! A real MongoDB for tests, and databases in it.
//!
//! [`database`] is what most tests want: an empty database of their own, dropped after them, on a server that all tests of a
//! program share. That is the one that `MONGODB_URI` names, or else a `mongod` from the path, or else one that
//! `scripts/mongod` fetches; of the latter two a replica set of one member is started in a temporary folder. A test that
//! kills its server, or makes it ill, has one of its own: [`Mongod::start`]; or three, of which one may go: [`ReplicaSet`].

mod database;
mod illness;
mod replica_set;

pub use database::{Database, database};
pub use illness::Illness;
pub use replica_set::ReplicaSet;

use crate::{
    guarded::{Guarded, free_port},
    wait::eventually,
};
use mongodb::{
    Client,
    bson::{Document, doc},
    options::ClientOptions,
};
use std::{
    env, fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};
use tempfile::TempDir;
use tokio::sync::OnceCell;

/// How often another port is tried when somebody was quicker to take the one that was free.
const ATTEMPTS: usize = 3;

/// A `mongod` of the test's own.
pub struct Mongod {
    port: u16,
    role: Role,
    running: Option<Guarded>,
    folder: TempDir,
}

/// What a `mongod` is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Standalone,
    /// A replica set of its own.
    Set,
    /// A part of one.
    Member,
}

impl Mongod {
    /// Starts a replica set of one member.
    pub async fn start() -> Self {
        let mongod = Self::spawn(Role::Set).await;
        mongod.initiate(&[mongod.port]).await;
        mongod.primary().await;
        mongod
    }

    /// Starts one that is no replica set.
    pub async fn standalone() -> Self {
        Self::spawn(Role::Standalone).await
    }

    /// Starts one that is to be a replica set and was never initiated.
    pub async fn uninitiated() -> Self {
        Self::spawn(Role::Set).await
    }

    /// The connection string of its database `test`.
    pub fn uri(&self) -> String {
        let set = if self.role == Role::Standalone { "" } else { "?replicaSet=rs0" };
        format!("mongodb://127.0.0.1:{}/test{set}", self.port)
    }

    /// The same without the replica set's name.
    pub fn plain_uri(&self) -> String {
        format!("mongodb://127.0.0.1:{}/test", self.port)
    }

    /// The connection string by way of something else, which may be cut.
    pub fn uri_via(&self, way: SocketAddr) -> String {
        format!("mongodb://{way}/test?directConnection=true")
    }

    /// Where it listens.
    pub fn socket_address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.port))
    }

    /// Kills it, so that it can do nothing about it.
    pub fn kill(&mut self) {
        if let Some(running) = self.running.take() {
            running.kill();
        }
    }

    /// Starts it again with what it left.
    pub async fn restart(&mut self) {
        self.kill();
        assert!(self.run().await, "mongod does not start again: {}", self.log());
        if self.role == Role::Set {
            self.primary().await;
        }
    }

    async fn spawn(role: Role) -> Self {
        let folder = tempfile::Builder::new().prefix("hypersend-mongod-").tempdir().expect("a temporary folder");
        let mut mongod = Self { port: 0, role, running: None, folder };
        for _ in 0..ATTEMPTS {
            mongod.port = free_port();
            if mongod.run().await {
                return mongod;
            }
        }
        panic!("mongod does not start: {}", mongod.log());
    }

    /// Starts the process; `false` when it ends before it answers.
    async fn run(&mut self) -> bool {
        let data = self.folder.path().join("data");
        fs::create_dir_all(&data).expect("a folder in the temporary folder");
        let mut command = Command::new(program().await);
        command.arg("--dbpath").arg(&data).arg("--logpath").arg(self.log_path()).arg("--logappend");
        command.args(["--port", &self.port.to_string(), "--bind_ip", "127.0.0.1", "--nounixsocket"]);
        let (cache, oplog) = if self.role == Role::Member { ("0.25", "64") } else { ("0.5", "256") };
        command.args(["--wiredTigerCacheSizeGB", cache, "--setParameter", "diagnosticDataCollectionEnabled=false"]);
        // The tests' clocks are turned by hand and stand in 1970: nothing may expire by the server's own.
        command.args(["--setParameter", "ttlMonitorEnabled=false"]);
        // What `Illness` is made of.
        command.args(["--setParameter", "enableTestCommands=1"]);
        if self.role != Role::Standalone {
            command.args(["--replSet", "rs0", "--oplogSize", oplog]);
        }
        let mut running = Guarded::spawn(command, self.folder.path());
        let client = client(self.port);
        let answered = eventually("mongod answers or ends", async || {
            if running.has_ended() {
                return Some(false);
            }
            client.database("admin").run_command(doc! { "hello": 1 }).await.is_ok().then_some(true)
        });
        let answered = answered.await;
        self.running = Some(running);
        answered
    }

    /// Makes a replica set of those that listen on these ports.
    async fn initiate(&self, ports: &[u16]) {
        let member = |(id, port): (i32, &u16)| doc! { "_id": id, "host": format!("127.0.0.1:{port}") };
        let members: Vec<Document> = (0..).zip(ports).map(member).collect();
        let initiate = doc! { "replSetInitiate": { "_id": "rs0", "members": members } };
        self.admin().run_command(initiate).await.expect("a replica set is initiated once");
    }

    async fn primary(&self) {
        eventually("a primary", async || self.says("isWritablePrimary").await.then_some(())).await;
    }

    /// Whether it answers, and says this of itself.
    async fn says(&self, what: &str) -> bool {
        let hello = self.admin().run_command(doc! { "hello": 1 }).await;
        hello.is_ok_and(|hello| hello.get_bool(what).unwrap_or(false))
    }

    /// Its database of commands that concern itself.
    fn admin(&self) -> mongodb::Database {
        client(self.port).database("admin")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("mongod.log")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_else(|error| error.to_string())
    }
}

/// A client for one member, whatever the set that it is in says.
fn client(port: u16) -> Client {
    let host = mongodb::options::ServerAddress::Tcp { host: "127.0.0.1".to_owned(), port: Some(port) };
    let patience = Duration::from_secs(1);
    let options = ClientOptions::builder()
        .hosts(vec![host])
        .direct_connection(true)
        .server_selection_timeout(patience)
        .connect_timeout(patience)
        .build();
    Client::with_options(options).expect("these options can be used")
}

/// A `mongod` from the path, or what `scripts/mongod` fetches.
async fn program() -> &'static Path {
    static PROGRAM: OnceCell<PathBuf> = OnceCell::const_new();
    let find = async || {
        let paths = env::var_os("PATH").unwrap_or_default();
        if let Some(found) = env::split_paths(&paths).map(|folder| folder.join("mongod")).find(|path| path.is_file()) {
            return found;
        }
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/mongod");
        let fetched = tokio::process::Command::new(script).stderr(Stdio::inherit()).output().await;
        let fetched = fetched.expect("scripts/mongod can be run");
        assert!(fetched.status.success(), "scripts/mongod could not fetch a mongod");
        PathBuf::from(String::from_utf8(fetched.stdout).expect("a path is text").trim_end())
    };
    PROGRAM.get_or_init(find).await
}
