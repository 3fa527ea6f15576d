//! What an operator types: the real program, in a folder of its own, and killed when that is the question.

use hypersend_lab::{TestServer, eventually, mongod};
use std::{
    fs,
    net::UdpSocket,
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};
use tempfile::TempDir;

/// A folder with the program's data, and its environment.
struct Home {
    folder: TempDir,
    settings: Vec<(&'static str, String)>,
}

impl Home {
    fn new() -> Self {
        let listen = ("LISTEN", "127.0.0.1:0".to_owned());
        let relay = ("RELAY_LISTEN", "off".to_owned());
        Self { folder: tempfile::tempdir().expect("a temporary folder"), settings: vec![listen, relay] }
    }

    fn set(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.settings.push((name, value.into()));
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_hypersend-server"));
        command.env_clear().envs(self.settings.iter().map(|(name, value)| (name, value)));
        command.current_dir(self.folder.path()).args(arguments).stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().expect("the program can be run")
    }

    /// What it says when all goes well.
    fn says(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    }

    /// What it says when it fails.
    fn refusal(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", text(&output.stdout));
        text(&output.stderr)
    }

    /// What the doctor finds, and whether it is content.
    fn doctor(&self) -> (String, bool) {
        let output = self.run(&["doctor"]);
        (text(&output.stdout), output.status.success())
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The line about one thing.
fn line<'a>(findings: &'a str, what: &str) -> &'a str {
    let line = findings.lines().find(|line| line.contains(&format!(" {what} ")));
    line.unwrap_or_else(|| panic!("nothing is said of {what}:\n{findings}"))
}

/// Looks how much memory a process has held at most, and whether that is little beside this file.
fn holds_little(process: &Child, file: &Path) {
    let status = fs::read_to_string(format!("/proc/{}/status", process.id())).expect("the process is there");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux counts it");
    let peak = line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number of KiB") << 10;
    let size = fs::metadata(file).expect("it is there").len();
    assert!(peak < size, "{peak} bytes were held for a file of {size}");
}

/// Everything below a folder.
fn tree(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).expect("it is a folder") {
        let path = entry.expect("it can be listed").path();
        if path.is_dir() {
            all.extend(tree(&path));
        }
        all.push(path);
    }
    all.sort();
    all
}

/// An archive of a chat with so many messages.
fn archive(path: &Path, messages: usize) {
    let id = |n: usize| format!("01900000-0000-7000-8000-{n:012x}");
    let (user, chat) = (id(1), id(2));
    let member = format!(r#"{{"user":"{user}","role":"owner","read":0,"joined":1}}"#);
    let mut lines = vec![
        r#"{"hypersend_archive":1}"#.to_owned(),
        format!(
            r#"{{"user":{{"id":"{user}","email":"ann@example.org","name":"Ann","password_hash":"$2b$12$x","created":1}}}}"#
        ),
        format!(
            r#"{{"chat":{{"id":"{chat}","kind":"group","title":"a group","pair":null,"made":null,"last":{messages},"last_at":9,"revision":0,"members":[{member}]}}}}"#
        ),
    ];
    let words = "words".repeat(50);
    lines.extend((1..=messages).map(|seq| {
        let client = id(seq);
        format!(
            r#"{{"message":{{"chat":"{chat}","seq":{seq},"sender":"{user}","client_id":"{client}","at":9,"text":"{words}","files":[],"reply_to":null,"deleted":null,"revision":0}}}}"#
        )
    }));
    lines.push(format!(r#"{{"feed":{{"user":"{user}","head":0,"pruned":0}}}}"#));
    let records = lines.join("\n") + "\n";
    let hash = blake3::hash(records.as_bytes()).to_hex();
    let counts = format!(r#"{{"chat":1,"feed":1,"message":{messages},"user":1}}"#);
    let end = format!(r#"{{"end":{{"counts":{counts},"blake3":"{hash}"}}}}"#);
    fs::write(path, records + &end + "\n").expect("write the archive");
}

#[test]
fn migrating_says_from_where_to_where() {
    let home = Home::new();
    assert_eq!(home.says(&["migrate"]), "schema version 0 found, 4 now\n");
    assert_eq!(home.says(&["migrate"]), "schema version 4 found, 4 now\n");
    // Flags may stand on either side.
    assert_eq!(home.says(&["--data-root", "data", "migrate"]), "schema version 4 found, 4 now\n");
    assert_eq!(home.says(&["migrate", "--data-root", "other"]), "schema version 0 found, 4 now\n");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_into_sqlite_that_is_killed_leaves_nothing() {
    let home = Home::new();
    archive(&home.path("archive"), 300_000);
    let mut import = home.command(&["import", "archive"]).spawn().unwrap();
    let log = home.path("data/hypersend.db-wal");
    let begun = async || fs::metadata(&log).is_ok_and(|log| log.len() > 4 << 20).then_some(());
    eventually("records are written", begun).await;
    holds_little(&import, &home.path("archive"));
    import.kill().unwrap();
    assert_eq!(import.wait().unwrap().signal(), Some(9), "the import was over before it was killed");

    let exported = home.says(&["export", "nothing"]);
    assert!(exported.ends_with("nothing: \n"), "{exported}");
    home.says(&["import", "archive"]);
    home.says(&["export", "again"]);
    assert!(fs::read(home.path("archive")).unwrap() == fs::read(home.path("again")).unwrap());
    assert!(home.refusal(&["import", "archive"]).contains("not empty"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_into_mongodb_that_is_killed_starts_over() {
    let database = mongod::database().await;
    let home = Home::new().set("MONGODB_URI", database.uri());
    archive(&home.path("archive"), 100_000);
    let mut import = home.command(&["import", "archive"]).spawn().unwrap();
    let half = "run `hypersend-server import FILE` again";
    let begun = async || text(&home.run(&["migrate"]).stderr).contains(half).then_some(());
    eventually("records are written", begun).await;
    import.kill().unwrap();
    assert_eq!(import.wait().unwrap().signal(), Some(9), "the import was over before it was killed");

    // The server does not start on it, and the doctor knows why.
    assert!(home.refusal(&[]).contains(half));
    let (findings, content) = home.doctor();
    assert!(!content && line(&findings, "database").contains(half), "{findings}");
    home.says(&["import", "archive"]);
    home.says(&["export", "again"]);
    assert!(fs::read(home.path("archive")).unwrap() == fs::read(home.path("again")).unwrap());
    assert!(home.refusal(&["import", "archive"]).contains("not empty"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_is_content_before_the_first_start_and_beside_a_server() {
    let fresh = Home::new();
    let (findings, content) = fresh.doctor();
    assert!(content, "{findings}");
    assert!(tree(fresh.folder.path()).is_empty(), "it has made something");

    let server = TestServer::start().await;
    let root = server.data_root();
    let certs = server.certificate().parent().unwrap().to_owned();
    let beside = Home::new()
        .set("DATA_ROOT", root.to_str().unwrap())
        .set("CERTS_DIR", certs.to_str().unwrap())
        .set("LISTEN", server.socket_address().to_string());
    let before = tree(&root);
    let (findings, content) = beside.doctor();
    assert!(content, "{findings}");
    assert_eq!(tree(&root), before, "it has left something, or taken something away");
    for (what, says) in [
        ("data root", "takes files"),
        ("database", "SQLite"),
        ("certificate", "for localhost"),
        ("secret key", "secret.key"),
        ("port", "a server answers"),
        ("QUIC", "a handshake"),
        ("relay key", "="),
    ] {
        let line = line(&findings, what);
        assert!(line.starts_with("ok") && line.contains(says), "{line}");
    }
}

#[test]
fn a_relay_port_that_is_taken_keeps_the_server_from_starting_and_is_named() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let says = Home::new().set("RELAY_LISTEN", address.clone()).refusal(&[]);
    assert!(says.contains(&address) && says.contains("give another RELAY_LISTEN, `off` for no relay"), "{says}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_doctor_compares_clocks_with_mongodb() {
    let database = mongod::database().await;
    let home = Home::new().set("MONGODB_URI", database.uri());
    let (findings, content) = home.doctor();
    assert!(content, "{findings}");
    assert!(line(&findings, "database").starts_with("warning") && findings.contains("hypersend-server migrate"));
    assert!(line(&findings, "clock").contains("apart from the database's"), "{findings}");
    home.says(&["migrate"]);
    assert!(line(&home.doctor().0, "database").starts_with("ok       database     MongoDB, replica set"));
}

#[test]
fn the_doctor_says_what_is_wrong_and_what_to_do() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let home = Home::new().set("LISTEN", taken.local_addr().unwrap().to_string());
    let wrong = home.set("TLS_CERT", "missing.pem").set("TLS_KEY", "missing.pem");
    fs::create_dir(wrong.path("data")).unwrap();
    fs::write(wrong.path("data/hypersend.db"), "certainly not a database, though as long as the head of one would be")
        .unwrap();
    fs::write(wrong.path("data/secret.key"), "short").unwrap();
    fs::write(wrong.path("data/uploads"), "no folder").unwrap();
    let (findings, content) = wrong.doctor();
    assert!(!content, "{findings}");
    for (what, says) in [
        ("data root", "let the server's account write there"),
        ("database", "not a database"),
        ("certificate", "missing.pem"),
        ("secret key", "remove it to have another made"),
        ("port", "give another LISTEN"),
    ] {
        let line = line(&findings, what);
        assert!(line.starts_with("failed") && line.contains(says), "{line}");
    }

    let nobody = Home::new().set("MONGODB_URI", "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=300");
    let (findings, content) = nobody.doctor();
    assert!(!content && line(&findings, "database").starts_with("failed"), "{findings}");
}
