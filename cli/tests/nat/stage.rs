//! A server with its relay in the public host, and two people with a program each behind a NAT each.

use hypersend_lab::{
    Nat, NatLab,
    fixtures::{MIB, random_file},
    nat::Side,
    program,
    user::PASSWORD,
};
use serde_json::Value;
use std::{
    env,
    fs::{self, File},
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// What each link carries, in Mbit/s: a file takes long enough for a direct way to come before it is across, and both programs
/// and the server have processor time left.
pub(crate) const LINK_MBIT: u32 = 40;

/// The file: five seconds of [`LINK_MBIT`].
pub(crate) const LONG: u64 = 24 * MIB;

/// The file where nothing is to happen meanwhile.
pub(crate) const SHORT: u64 = 2 * MIB;

/// How long a transfer may take: 8 s of looking for a way in vain, before the file goes through the server, and the rest of it
/// on a busy machine.
const PATIENCE: Duration = Duration::from_secs(70);

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Who does what, where. Everything ends when dropped.
pub(crate) struct Stage {
    // Runs for as long as this is here.
    _server: Program,
    ann: Person,
    bob: Person,
    home: TempDir,
    // The last to go, when nothing runs in it any more.
    pub(crate) lab: NatLab,
}

impl Stage {
    /// Ann behind one NAT, and Bob behind another; none where the lab cannot be made.
    pub(crate) fn set(ann: Nat, bob: Nat) -> Option<Self> {
        let lab = NatLab::new(ann, bob)?;
        lab.limit(LINK_MBIT);
        let home = tempfile::tempdir().unwrap();
        let server = serve(&lab, home.path());
        let [ann, bob] =
            [("ann", &lab.a), ("bob", &lab.b)].map(|(name, side)| Person::register(name, side, home.path()));
        Some(Self { _server: server, ann, bob, home, lab })
    }

    /// Begins to send a file from Ann to Bob.
    pub(crate) fn send(&self, size: u64) -> Transfer<'_> {
        let file = random_file(&self.home.path().join("film.mkv"), size, size);
        let folder = self.home.path().join("arrived");
        fs::create_dir(&folder).unwrap();
        let mut receive = self.bob.command(&self.lab.b, &["--json", "receive", "--yes", "--once", "-o"]);
        let receiver = Program::start("receive", receive.arg(&folder), self.home.path());
        let mut send = self.ann.command(&self.lab.a, &["--json", "send", "--direct", &self.bob.email]);
        let sender = Program::start("send", send.arg(&file), self.home.path());
        Transfer { stage: self, file, folder, sender, receiver, began: Instant::now() }
    }
}

/// A server and its relay in the public host.
fn serve(lab: &NatLab, home: &Path) -> Program {
    let [public, _] = NatLab::PUBLIC;
    let mut command = lab.public().command(program::server());
    keep_path(&mut command);
    command.current_dir(home).envs([
        ("LISTEN", format!("{public}:8443").as_str()),
        ("RELAY_LISTEN", &format!("{public}:8444")),
        ("BCRYPT_COST", "10"),
        ("LOG", "info,hypersend_server=debug,hypersend_relay=debug"),
    ]);
    let mut server = Program::start("server", &mut command, home);
    server.until("it listens", |server| server.out().contains("listening on").then_some(()));
    server
}

/// Nothing of the environment of whoever runs the tests but where programs are.
fn keep_path(command: &mut Command) {
    let path = env::var_os("PATH").unwrap_or_default();
    command.env_clear().env("PATH", path);
}

struct Person {
    email: String,
    config: PathBuf,
}

impl Person {
    fn register(name: &str, side: &Side, home: &Path) -> Self {
        let [public, _] = NatLab::PUBLIC;
        let person = Self { email: format!("{name}@example.org"), config: home.join(name) };
        let server = format!("{public}:8443");
        let words = ["--accept-new-key", "register", &server, &person.email, "--name", name];
        let mut registering = Program::start("register", &mut person.command(side, &words), home);
        registering.succeed();
        person
    }

    fn command(&self, side: &Side, words: &[&str]) -> Command {
        let mut command = side.command(env!("CARGO_BIN_EXE_hypersend"));
        keep_path(&mut command);
        command.env("HYPERSEND_CONFIG_DIR", &self.config).env("HYPERSEND_PASSWORD", PASSWORD).args(words);
        command
    }
}

/// A file under way.
pub(crate) struct Transfer<'a> {
    stage: &'a Stage,
    file: PathBuf,
    folder: PathBuf,
    sender: Program,
    receiver: Program,
    began: Instant,
}

impl Transfer<'_> {
    /// Waits until the sender says that the file goes this way, before its end.
    pub(crate) fn goes(&mut self, state: &str) {
        self.sender.until(state, |sender| sender.ways().iter().any(|way| way == state).then_some(()));
    }

    /// Waits for the end: all bytes are there, and both sides say so.
    pub(crate) fn end(mut self) -> Outcome {
        self.sender.succeed();
        self.receiver.succeed();
        let took = self.began.elapsed();
        let arrived = fs::read(self.folder.join("film.mkv")).unwrap();
        assert!(arrived == fs::read(&self.file).unwrap(), "what arrived is not what was sent");
        let Stage { lab, .. } = self.stage;
        let (sent, received) = (self.sender.ways(), self.receiver.ways());
        println!("{:?} to {:?} in {took:.1?}: {sent:?}, {received:?}", lab.a.nat(), lab.b.nat());
        let is_tcp = |program: &Program| program.notes().iter().any(|note| note["connection"]["over"] == "tcp");
        let over_tcp = [is_tcp(&self.sender), is_tcp(&self.receiver)];
        Outcome { sent, received, over_tcp }
    }
}

/// What both sides said.
pub(crate) struct Outcome {
    /// Which ways the sender told of, in order.
    pub(crate) sent: Vec<String>,
    /// And the receiver.
    pub(crate) received: Vec<String>,
    /// Whether the sender, and the receiver, said that TCP reaches the server, and UDP does not.
    pub(crate) over_tcp: [bool; 2],
}

impl Outcome {
    /// The last way that each side told of.
    pub(crate) fn last(&self) -> [&str; 2] {
        [&self.sent, &self.received].map(|ways| ways.last().map_or("", String::as_str))
    }
}

/// A process, with files for what it says. Killed when dropped; when the test is failing, what it said is shown.
struct Program {
    name: &'static str,
    process: Child,
    said: TempDir,
}

impl Program {
    fn start(name: &'static str, command: &mut Command, home: &Path) -> Self {
        let said = tempfile::tempdir_in(home).unwrap();
        let file = |name| File::create(said.path().join(name)).unwrap();
        let command = command.stdin(Stdio::null()).stdout(file("out")).stderr(file("err"));
        Self { name, process: command.spawn().unwrap(), said }
    }

    fn out(&self) -> String {
        fs::read_to_string(self.said.path().join("out")).unwrap()
    }

    /// What it has told on standard error, a value a line.
    fn notes(&self) -> Vec<Value> {
        let lines = BufReader::new(File::open(self.said.path().join("err")).unwrap()).lines();
        lines.map_while(Result::ok).filter_map(|line| serde_json::from_str(&line).ok()).collect()
    }

    fn ways(&self) -> Vec<String> {
        self.notes().iter().filter_map(|note| Some(note["way"]["state"].as_str()?.to_owned())).collect()
    }

    fn until<T>(&mut self, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(seen) = look(self) {
                return seen;
            }
            assert!(Instant::now() < end, "{}: not in {PATIENCE:?}: {what}", self.name);
            thread::sleep(LOOK_EVERY);
        }
    }

    fn succeed(&mut self) {
        let status = self.until("its end", |program| program.process.try_wait().unwrap());
        assert!(status.success(), "{} ended with {status}", self.name);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
        if thread::panicking() {
            for stream in ["out", "err"] {
                let said = fs::read_to_string(self.said.path().join(stream)).unwrap_or_default();
                eprintln!("--- {} of {} ---\n{said}", stream, self.name);
            }
        }
    }
}
