//! A real `hypersend-server` process with a home of its own.

use crate::{
    program,
    wait::{eventually, within},
};
use hypersend_client::{Config, Fingerprint, ServerAddress, Transport, Transports, Trust};
use hypersend_net::tls;
use rustix::process::{Pid, Signal, kill_process};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::task::spawn_blocking;

/// The longest that a server may take to stop, by its own promise.
pub const STOPS_WITHIN: Duration = Duration::from_secs(10);

/// How much of the log is shown when a test fails, in bytes.
const LOG_SHOWN: usize = 16 << 10;

/// A server on a loopback port, with its data, certificate and log in a temporary folder. Killed and removed when
/// dropped; when the test is failing, its log is printed.
#[derive(Debug)]
pub struct TestServer {
    home: TempDir,
    settings: BTreeMap<String, String>,
    address: SocketAddr,
    process: Option<Child>,
}

impl TestServer {
    /// A server with settings that suit tests: cheap passwords, no rate limits.
    pub async fn start() -> Self {
        Self::with([]).await
    }

    /// A server with some settings more, by their names in the environment.
    pub async fn with<const N: usize>(settings: [(&str, &str); N]) -> Self {
        let usual = [
            ("BCRYPT_COST", "10"),
            ("LOGINS_PER_ACCOUNT_PER_MINUTE", "100000"),
            ("LOGINS_PER_ADDRESS_PER_MINUTE", "100000"),
            ("REGISTRATIONS_PER_ADDRESS_PER_MINUTE", "100000"),
            ("CODE_OPENINGS_PER_ADDRESS_PER_MINUTE", "100000"),
            ("CODE_CLAIMS_PER_ADDRESS_PER_MINUTE", "100000"),
            ("LOG", "info,hypersend_server=debug"),
            // Its ports are the same for all unless a test says so.
            ("RELAY_LISTEN", "off"),
        ];
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Self::of(usual.into_iter().chain(settings).map(own).collect()).await
    }

    /// Another server on the same records, files and certificate, which have to be such as two can use.
    pub async fn beside(&self) -> Self {
        let mut settings = self.settings.clone();
        for (name, folder) in [("DATA_ROOT", self.data_root()), ("CERTS_DIR", self.certs())] {
            settings.insert(name.to_owned(), folder.to_str().expect("temporary folders have plain names").to_owned());
        }
        Self::of(settings).await
    }

    /// Another server with the same settings and certificate, and with a data root of its own.
    pub async fn apart(&self) -> Self {
        let mut settings = self.settings.clone();
        let certs = self.certs().to_str().expect("temporary folders have plain names").to_owned();
        settings.insert("CERTS_DIR".to_owned(), certs);
        Self::of(settings).await
    }

    async fn of(settings: BTreeMap<String, String>) -> Self {
        let home = tempfile::tempdir().expect("make a temporary folder");
        let mut server = Self { home, settings, address: SocketAddr::from(([127, 0, 0, 1], 0)), process: None };
        server.start_again().await;
        server
    }

    /// Changes a setting, for the next start.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.insert(name.to_owned(), value.to_owned());
    }

    /// Where it listens; the same after a restart.
    pub fn socket_address(&self) -> SocketAddr {
        self.address
    }

    /// Where it listens, for a client.
    pub fn address(&self) -> ServerAddress {
        self.address.to_string().parse().expect("a socket address is a server address")
    }

    /// Its data: the database, `uploads`, `files`.
    pub fn data_root(&self) -> PathBuf {
        self.folder("DATA_ROOT", "data")
    }

    /// Its certificate, in PEM.
    pub fn certificate(&self) -> PathBuf {
        self.certs().join("dev-cert.pem")
    }

    /// What a client pins.
    pub fn fingerprint(&self) -> Fingerprint {
        let certificate = CertificateDer::from_pem_file(self.certificate()).expect("the server has a certificate");
        tls::fingerprint(&certificate)
    }

    /// Trust in its certificate, and nothing else.
    pub fn trust(&self) -> Trust {
        Trust::web_pki().or_pinned(self.fingerprint())
    }

    /// What a client needs to reach it.
    pub fn config(&self) -> Config {
        Config { transports: Transports::Only(transport()), ..Config::new(self.address(), self.trust()) }
    }

    /// What a client needs to reach it by way of something else, over whatever gets through.
    pub fn config_via(&self, way: SocketAddr) -> Config {
        Config {
            server: way.to_string().parse().expect("a socket address is a server address"),
            ..Config::new(self.address(), self.trust())
        }
    }

    /// What it has logged.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(self.log_path()).unwrap_or_default()).into_owned()
    }

    /// The most memory that it ever held, in bytes: `VmHWM` of proc(5).
    pub fn peak_memory(&self) -> u64 {
        let process = self.process.as_ref().expect("the server runs");
        let status = fs::read_to_string(format!("/proc/{}/status", process.id())).expect("the process is there");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux counts it");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of KiB") << 10
    }

    /// SIGKILL. What it had not given to the kernel is lost.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("the server runs");
        process.kill().expect("a child may be killed");
        process.wait().expect("a child can be waited for");
    }

    /// Starts it again on the same data and port, after [`TestServer::kill`] or [`TestServer::stop`].
    pub async fn start_again(&mut self) {
        assert!(self.process.is_none(), "the server runs already");
        let log = File::options().append(true).create(true).open(self.log_path()).expect("open the log");
        let mut command = Command::new(program::server());
        // The folder has no `.env`, and the environment of whoever runs the tests is not the server's.
        command.env_clear().envs(&self.settings).current_dir(self.home.path());
        command.env("LISTEN", self.address.to_string());
        command.env("DATA_ROOT", self.data_root()).env("CERTS_DIR", self.certs());
        let mut process =
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).spawn().expect("start the server");
        let stdout = process.stdout.take().expect("it is piped");
        self.process = Some(process);
        let first_line = spawn_blocking(move || BufReader::new(stdout).lines().next());
        let line = within("the server says where it listens", first_line).await.expect("reading does not panic");
        let line = line.and_then(Result::ok).unwrap_or_else(|| panic!("the server did not start:\n{}", self.log()));
        let address = line.strip_prefix("listening on ").and_then(|address| address.parse().ok());
        self.address = address.unwrap_or_else(|| panic!("{line:?} does not say where the server listens"));
    }

    /// SIGKILL, and started again at once.
    pub async fn restart(&mut self) {
        self.kill();
        self.start_again().await;
    }

    /// SIGTERM, without waiting for the end.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGSTOP: what is said to it waits in the kernel until [`TestServer::resume`].
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("the server runs");
        kill_process(Pid::from_child(process), signal).expect("a child may be signalled");
    }

    /// SIGTERM; says how long it took to end.
    ///
    /// # Panics
    /// When it takes more than [`STOPS_WITHIN`], or ends with an error.
    pub async fn stop(&mut self) -> Duration {
        let begun = Instant::now();
        self.terminate();
        let mut process = self.process.take().expect("the server runs");
        let look = || std::future::ready(process.try_wait().expect("a child can be waited for"));
        let status = eventually("the server stops", look).await;
        let took = begun.elapsed();
        assert!(status.success(), "the server ended with {status}:\n{}", self.log());
        assert!(took < STOPS_WITHIN, "the server took {took:?} to stop");
        took
    }

    /// Takes its certificate away, so that it makes another at its next start.
    pub fn forget_certificate(&self) {
        fs::remove_dir_all(self.certs()).expect("remove the certificate");
    }

    fn certs(&self) -> PathBuf {
        self.folder("CERTS_DIR", "certs")
    }

    fn folder(&self, setting: &str, usual: &str) -> PathBuf {
        self.home.path().join(self.settings.get(setting).map_or(usual, String::as_str))
    }

    fn log_path(&self) -> PathBuf {
        self.home.path().join("log")
    }
}

/// What clients and raw peers of a test use where it does not matter: QUIC, or what `HYPERSEND_LAB_TRANSPORT` says, so that
/// the same tests can be run over TCP.
pub fn transport() -> Transport {
    match std::env::var("HYPERSEND_LAB_TRANSPORT").as_deref() {
        Err(_) | Ok("quic") => Transport::Quic,
        Ok("tcp") => Transport::Tcp,
        Ok(other) => panic!("HYPERSEND_LAB_TRANSPORT is quic or tcp, not {other:?}"),
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if self.process.is_some() {
            self.kill();
        }
        if std::thread::panicking() {
            let log = self.log();
            let start = log.floor_char_boundary(log.len().saturating_sub(LOG_SHOWN));
            eprintln!("--- log of the server at {} ---\n{}--- end of the log ---", self.address, &log[start..]);
        }
    }
}
