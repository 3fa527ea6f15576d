//! A real MongoDB for tests, and databases in it.
//!
//! [`database`] is what most tests want: an empty database of their own, dropped after them, on a server that all tests of a
//! program share. That is the one that `MONGODB_URI` names, or else a `mongod` from the path, or else one that
//! `scripts/mongod` fetches; of the latter two a replica set of one member is started in a temporary folder. A test that
//! kills its server has one of its own: [`Mongod::start`].
//!
//! A guard beside each `mongod` stops it and removes its folder when the test program is gone, however it went.

use crate::wait::eventually;
use mongodb::{
    Client,
    bson::{Document, doc},
    options::ClientOptions,
};
use rustix::process::{Pid, Signal, kill_process};
use std::{
    env, fs,
    net::TcpListener,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    thread,
    time::Duration,
};
use tempfile::TempDir;
use tokio::sync::OnceCell;
use uuid::Uuid;

/// How often another port is tried when somebody was quicker to take the one that was free.
const ATTEMPTS: usize = 3;

/// Stops a process and removes a folder once its standard input ends. Looks for half a minute at most: nobody may be there
/// to take leave of the process.
const GUARD: &str = r#"cat >/dev/null; kill -TERM "$1" 2>/dev/null
for _ in $(seq 300); do kill -0 "$1" 2>/dev/null || break; sleep 0.1; done; rm -rf "$2""#;

/// A `mongod` of the test's own.
pub struct Mongod {
    port: u16,
    replica_set: bool,
    running: Option<Running>,
    folder: TempDir,
}

/// A process and its guard.
struct Running {
    process: Child,
    guard: Child,
    /// Closed when the guard is to act.
    leash: Option<ChildStdin>,
}

/// An empty database, dropped with this.
pub struct Database {
    server: String,
    name: String,
}

/// A database of the test's own on the server that all tests of this program share.
pub async fn database() -> Database {
    static SHARED: OnceCell<Shared> = OnceCell::const_new();
    let server = match SHARED.get_or_init(Shared::find).await {
        Shared::Named(uri) => uri.clone(),
        Shared::Ours(mongod) => mongod.uri(),
    };
    Database { server, name: format!("test-{}", Uuid::new_v4().simple()) }
}

enum Shared {
    Named(String),
    Ours(Mongod),
}

impl Shared {
    async fn find() -> Self {
        let Ok(uri) = env::var("MONGODB_URI") else { return Self::Ours(Mongod::start().await) };
        // The tests' clocks are turned by hand and stand in 1970: nothing may expire by the server's own.
        let client = Client::with_uri_str(&uri).await.expect("MONGODB_URI can be used");
        let quiet = doc! { "setParameter": 1, "ttlMonitorEnabled": false };
        client.database("admin").run_command(quiet).await.expect("the server of MONGODB_URI takes parameters");
        Self::Named(uri)
    }
}

impl Database {
    /// Its connection string.
    pub fn uri(&self) -> String {
        with_path(&self.server, &self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let (uri, name) = (self.server.clone(), self.name.clone());
        // On a thread of its own: a runtime cannot be waited for from within another.
        let dropped = thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime
                .expect("a runtime can be made")
                .block_on(async { Client::with_uri_str(&uri).await?.database(&name).drop().await })
        });
        if !matches!(dropped.join(), Ok(Ok(()))) {
            eprintln!("lab: the database {} was not dropped", self.name);
        }
    }
}

/// A connection string with another path.
fn with_path(uri: &str, path: &str) -> String {
    let (scheme, rest) = uri.split_once("://").expect("a connection string has a scheme");
    let (hosts, options) = rest.split_once('?').unwrap_or((rest, ""));
    let hosts = hosts.rsplit_once('/').map_or(hosts, |(hosts, _)| hosts);
    format!("{scheme}://{hosts}/{path}?{options}")
}

impl Mongod {
    /// Starts a replica set of one member.
    pub async fn start() -> Self {
        let mut mongod = Self::spawn(true).await;
        mongod.initiate().await;
        mongod
    }

    /// Starts one that is no replica set.
    pub async fn standalone() -> Self {
        Self::spawn(false).await
    }

    /// Starts one that is to be a replica set and was never initiated.
    pub async fn uninitiated() -> Self {
        Self::spawn(true).await
    }

    /// The connection string of its database `test`.
    pub fn uri(&self) -> String {
        let set = if self.replica_set { "?replicaSet=rs0" } else { "" };
        format!("mongodb://127.0.0.1:{}/test{set}", self.port)
    }

    /// The same without the replica set's name.
    pub fn plain_uri(&self) -> String {
        format!("mongodb://127.0.0.1:{}/test", self.port)
    }

    /// Kills it, so that it can do nothing about it.
    pub fn kill(&mut self) {
        if let Some(mut running) = self.running.take() {
            running.process.kill().expect("it can be killed");
            running.process.wait().expect("it can be waited for");
            running.release();
        }
    }

    /// Starts it again with what it left.
    pub async fn restart(&mut self) {
        self.kill();
        assert!(self.run().await, "mongod does not start again: {}", self.log());
        if self.replica_set {
            self.primary().await;
        }
    }

    async fn spawn(replica_set: bool) -> Self {
        let folder = tempfile::Builder::new().prefix("hypersend-mongod-").tempdir().expect("a temporary folder");
        let mut mongod = Self { port: 0, replica_set, running: None, folder };
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
        command.args(["--wiredTigerCacheSizeGB", "0.5", "--setParameter", "diagnosticDataCollectionEnabled=false"]);
        // The tests' clocks are turned by hand and stand in 1970: nothing may expire by the server's own.
        command.args(["--setParameter", "ttlMonitorEnabled=false"]);
        if self.replica_set {
            command.args(["--replSet", "rs0", "--oplogSize", "256"]);
        }
        let mut running = Running::spawn(command, self.folder.path());
        let client = client(self.port);
        let answered = eventually("mongod answers or ends", async || {
            if running.process.try_wait().expect("it can be looked after").is_some() {
                return Some(false);
            }
            client.database("admin").run_command(doc! { "hello": 1 }).await.is_ok().then_some(true)
        });
        let answered = answered.await;
        self.running = Some(running);
        answered
    }

    async fn initiate(&mut self) {
        let member = doc! { "_id": 0, "host": format!("127.0.0.1:{}", self.port) };
        let initiate = doc! { "replSetInitiate": { "_id": "rs0", "members": [member] } };
        client(self.port).database("admin").run_command(initiate).await.expect("a replica set is initiated once");
        self.primary().await;
    }

    async fn primary(&self) {
        let admin = client(self.port).database("admin");
        eventually("a primary", async || {
            let hello: Document = admin.run_command(doc! { "hello": 1 }).await.ok()?;
            hello.get_bool("isWritablePrimary").ok()?.then_some(())
        })
        .await;
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("mongod.log")
    }

    fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_else(|error| error.to_string())
    }
}

impl Drop for Mongod {
    fn drop(&mut self) {
        if let Some(mut running) = self.running.take() {
            let pid = Pid::from_child(&running.process);
            let stopped = kill_process(pid, Signal::TERM).is_ok() && running.process.wait().is_ok();
            if !stopped {
                eprintln!("lab: mongod was not stopped; its guard will see to it");
            }
            running.release();
        }
    }
}

impl Running {
    fn spawn(mut command: Command, folder: &Path) -> Self {
        // A group of their own each, so that what interrupts the tests from the keyboard leaves the guard to its work.
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let process = command.spawn().expect("mongod can be run");
        let mut guard = Command::new("sh");
        guard.args(["-c", GUARD, "guard", &process.id().to_string()]).arg(folder);
        guard.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let mut guard = guard.spawn().expect("a shell can be run");
        let leash = guard.stdin.take();
        Self { process, guard, leash }
    }

    /// Lets the guard go without doing anything: the process has ended, and the folder may be wanted again.
    fn release(&mut self) {
        drop(self.guard.kill());
        drop(self.guard.wait());
        self.leash = None;
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
    listener.local_addr().expect("a listener has an address").port()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_put_into_a_connection_string() {
        for (uri, expected) in [
            ("mongodb://a:1", "mongodb://a:1/p?"),
            ("mongodb://u:w@a:1,b:2/?replicaSet=rs0", "mongodb://u:w@a:1,b:2/p?replicaSet=rs0"),
            ("mongodb+srv://a/old", "mongodb+srv://a/p?"),
        ] {
            assert_eq!(with_path(uri, "p"), expected);
        }
    }
}
