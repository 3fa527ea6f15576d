//! A server with its relay, or with two others, in the public host; and two people with a program each behind a NAT each.

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
    io::{BufRead, BufReader, Read},
    net::Ipv4Addr,
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

/// What relays show to the server.
const RELAY_TOKEN: &str = "thirty-two-bytes-as-is-demanded-at-least";

/// How long a transfer of this size may take: 8 s of looking for a way in vain, before the file goes through the server, and the rest of it
/// on a busy machine.
const PATIENCE: Duration = Duration::from_secs(70);

/// How much longer for each MiB beyond: what a processor does that has other things to do.
const PATIENCE_PER_MIB: Duration = Duration::from_millis(100);

/// How long a look at everything may take, which is ten seconds at most; and as much again on a busy machine.
const DOCTOR: Duration = Duration::from_secs(20);

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Who does what, where. Everything ends when dropped.
pub(crate) struct Stage {
    // Runs for as long as this is here.
    _server: Program,
    relays: Vec<Program>,
    ann: Person,
    bob: Person,
    home: TempDir,
    // The last to go, when nothing runs in it any more.
    pub(crate) lab: NatLab,
}

impl Stage {
    /// Ann behind one NAT, and Bob behind another; none where the lab cannot be made.
    pub(crate) fn set(ann: Nat, bob: Nat) -> Option<Self> {
        let [public, _] = NatLab::PUBLIC;
        Self::made(ann, bob, LINK_MBIT, &[("RELAY_LISTEN", &format!("{public}:8444"))])
    }

    /// The same without any relay.
    pub(crate) fn set_without_relay(ann: Nat, bob: Nat) -> Option<Self> {
        Self::made(ann, bob, LINK_MBIT, &[("RELAY_LISTEN", "off")])
    }

    /// The same with these relays as programs of their own, and links of so many Mbit/s.
    pub(crate) fn set_with_relays(ann: Nat, bob: Nat, relays: [&'static str; 2], mbit: u32) -> Option<Self> {
        let mut stage = Self::made(ann, bob, mbit, &[("RELAY_LISTEN", "off"), ("RELAY_TOKEN", RELAY_TOKEN)])?;
        let known = fs::read_to_string(stage.ann.config.join("known_hosts")).unwrap();
        let (_, fingerprint) = known.trim().rsplit_once("sha256:").unwrap();
        for (name, address) in relays.into_iter().zip(NatLab::PUBLIC) {
            stage.relays.push(relay(&stage.lab, name, address, fingerprint, stage.home.path()));
        }
        Some(stage)
    }

    fn made(ann: Nat, bob: Nat, mbit: u32, settings: &[(&str, &str)]) -> Option<Self> {
        let lab = NatLab::new(ann, bob)?;
        lab.limit(mbit);
        let home = tempfile::tempdir().unwrap();
        let server = serve(&lab, home.path(), settings);
        let [ann, bob] =
            [("ann", &lab.a), ("bob", &lab.b)].map(|(name, side)| Person::register(name, side, home.path()));
        Some(Self { _server: server, relays: Vec::new(), ann, bob, home, lab })
    }

    /// Kills a relay with -9.
    pub(crate) fn kill_relay(&mut self, name: &str) {
        self.relays.retain(|relay| relay.name != name);
    }

    /// What Ann's doctor finds, as JSON, and how it ends.
    pub(crate) fn doctor(&self, words: &[&str]) -> Value {
        let words = [&["--json", "doctor"], words].concat();
        let mut doctor = Program::start("doctor", &mut self.ann.command(&self.lab.a, &words), self.home.path());
        doctor.succeed(DOCTOR);
        serde_json::from_str(&doctor.out()).unwrap()
    }

    /// Begins to send a file from Ann to Bob.
    pub(crate) fn send(&self, size: u64) -> Transfer {
        let (file, folder) = self.places(size);
        let receiver = self.receive(&folder);
        let mut send = self.ann.command(&self.lab.a, &["--json", "send", "--direct", &self.bob.email]);
        let sender = Program::start("send", send.arg(&file), self.home.path());
        Transfer::begun(file, folder, sender, receiver)
    }

    /// The same by a code; nobody's login is used.
    pub(crate) fn send_by_code(&self, size: u64) -> Transfer {
        let (file, folder) = self.places(size);
        let mut send = self.ann.command(&self.lab.a, &["--json", "send", "--code"]);
        let mut sender = Program::start("send", send.arg(&file), self.home.path());
        let code = sender.until(PATIENCE, "a code", |sender| {
            let printed: Value = serde_json::from_str(&sender.out()).ok()?;
            printed["code"].as_str().map(str::to_owned)
        });
        let mut receive = self.bob.command(&self.lab.b, &["--json", "receive", "--yes", &code, "-o"]);
        let receiver = Program::start("receive", receive.arg(&folder), self.home.path());
        Transfer::begun(file, folder, sender, receiver)
    }

    fn places(&self, size: u64) -> (PathBuf, PathBuf) {
        let file = random_file(&self.home.path().join("film.mkv"), size, size);
        let folder = self.home.path().join("arrived");
        fs::create_dir(&folder).unwrap();
        (file, folder)
    }

    fn receive(&self, folder: &Path) -> Program {
        let mut receive = self.bob.command(&self.lab.b, &["--json", "receive", "--yes", "--once", "-o"]);
        Program::start("receive", receive.arg(folder), self.home.path())
    }
}

/// A server in the public host.
fn serve(lab: &NatLab, home: &Path, settings: &[(&str, &str)]) -> Program {
    let [public, _] = NatLab::PUBLIC;
    let mut command = lab.public().command(program::server());
    keep_path(&mut command);
    command.current_dir(home).envs([
        ("LISTEN", format!("{public}:8443").as_str()),
        ("BCRYPT_COST", "10"),
        ("LOG", "info,hypersend_server=debug,hypersend_relay=debug"),
    ]);
    command.envs(settings.iter().copied());
    let mut server = Program::start("server", &mut command, home);
    server.until(PATIENCE, "it listens", |server| server.out().contains("listening on").then_some(()));
    server
}

/// A relay in the public host, which has said who it is.
fn relay(lab: &NatLab, name: &'static str, address: Ipv4Addr, fingerprint: &str, home: &Path) -> Program {
    let [public, _] = NatLab::PUBLIC;
    let mut command = lab.public().command(program::relay());
    keep_path(&mut command);
    command.env("RELAY_TOKEN", RELAY_TOKEN).args(["--name", name, "--server-fingerprint", fingerprint]);
    command.args(["--server", &format!("https://{public}:8443"), "--announce", &address.to_string()]);
    for port in [9444, 9445] {
        command.args(["--listen", &format!("{address}:{port}")]);
    }
    let mut relay = Program::start(name, &mut command, home);
    relay.until(PATIENCE, "it listens", |relay| relay.out().contains("listening on").then_some(()));
    relay
}

/// Waits for a state of something that is no program of the stage.
pub(crate) fn until(what: &str, is_so: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "not in {PATIENCE:?}: {what}");
        thread::sleep(LOOK_EVERY);
    }
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
        registering.succeed(PATIENCE);
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
pub(crate) struct Transfer {
    file: PathBuf,
    folder: PathBuf,
    sender: Program,
    receiver: Program,
    /// How many ways the sender has told of that were waited for or passed over.
    heard: usize,
    began: Instant,
    patience: Duration,
}

impl Transfer {
    fn begun(file: PathBuf, folder: PathBuf, sender: Program, receiver: Program) -> Self {
        let mib = u32::try_from(file.metadata().unwrap().len() / MIB).unwrap();
        let patience = PATIENCE + PATIENCE_PER_MIB * mib;
        Self { file, folder, sender, receiver, heard: 0, began: Instant::now(), patience }
    }

    /// Waits for the end, and for both sides to say that it failed, with this code.
    pub(crate) fn fails(&mut self, code: &str) {
        for side in [&mut self.sender, &mut self.receiver] {
            let status = side.until(self.patience, "its end", |program| program.process.try_wait().unwrap());
            assert!(!status.success(), "{} succeeded", side.name);
            let told = side.notes();
            assert!(told.iter().any(|note| note["error"]["code"] == code), "{}: {told:?}", side.name);
        }
    }

    /// Waits until the sender says that the file goes this way from now on, before its end. The relay's name, if it is one.
    pub(crate) fn goes(&mut self, state: &str) -> Option<String> {
        let heard = self.heard;
        let (at, relay) = self.sender.until(self.patience, state, |sender| {
            let told = sender.told_ways();
            let at = told.iter().skip(heard).position(|way| way["state"] == state)? + heard;
            Some((at, told[at]["relay"].as_str().map(str::to_owned)))
        });
        self.heard = at + 1;
        relay
    }

    /// Waits until the receiver says that it has so many percent.
    pub(crate) fn has(&mut self, percent: u64) {
        self.receiver.until(self.patience, "progress", |receiver| {
            let notes = receiver.notes();
            let progress = notes.iter().rev().map(|note| &note["progress"]).find(|progress| progress.is_object())?;
            let [stored, total] = ["stored_bytes", "total_bytes"].map(|name| progress[name].as_u64().unwrap());
            (stored * 100 >= total * percent).then_some(())
        });
    }

    /// Kills the receiver with -9, and has it begin again.
    pub(crate) fn kill_receiver(&mut self, stage: &Stage) {
        self.receiver.kill();
        self.receiver = stage.receive(&self.folder);
    }

    /// Whether the receiver says that it goes on with what had arrived.
    pub(crate) fn goes_on(&self) -> bool {
        let notes = self.receiver.notes();
        notes.iter().filter_map(|note| note["note"].as_str()).any(|note| note.contains(" goes on at "))
    }

    /// Waits for the end: all bytes are there, and both sides say so.
    pub(crate) fn end(&mut self, lab: &NatLab) -> Outcome {
        self.sender.succeed(self.patience);
        self.receiver.succeed(self.patience);
        let took = self.began.elapsed();
        assert!(are_same(&self.file, &self.folder.join("film.mkv")), "what arrived is not what was sent");
        let (sent, received) = (self.sender.ways(), self.receiver.ways());
        println!("{:?} to {:?} in {took:.1?}: {sent:?}, {received:?}", lab.a.nat(), lab.b.nat());
        let is_tcp = |program: &Program| program.notes().iter().any(|note| note["connection"]["over"] == "tcp");
        let over_tcp = [is_tcp(&self.sender), is_tcp(&self.receiver)];
        let is_tunnelled = |program: &Program| program.told_ways().iter().any(|way| way["tunnelled"] == true);
        let tunnelled = [is_tunnelled(&self.sender), is_tunnelled(&self.receiver)];
        Outcome { sent, received, over_tcp, tunnelled }
    }
}

/// Without having either in memory.
fn are_same(one: &Path, other: &Path) -> bool {
    let mut files = [one, other].map(|path| File::open(path).unwrap());
    loop {
        let [one, other] = files.each_mut().map(|file| {
            let mut bytes = Vec::new();
            file.take(MIB).read_to_end(&mut bytes).unwrap();
            bytes
        });
        if one != other || one.is_empty() {
            return one == other;
        }
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
    /// Whether either came to the relay by way of the server.
    pub(crate) tunnelled: [bool; 2],
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

    fn told_ways(&self) -> Vec<Value> {
        self.notes().iter().map(|note| note["way"].clone()).filter(Value::is_object).collect()
    }

    fn ways(&self) -> Vec<String> {
        self.told_ways().iter().filter_map(|way| Some(way["state"].as_str()?.to_owned())).collect()
    }

    fn until<T>(&mut self, patience: Duration, what: &str, mut look: impl FnMut(&mut Self) -> Option<T>) -> T {
        let end = Instant::now() + patience;
        loop {
            if let Some(seen) = look(self) {
                return seen;
            }
            assert!(Instant::now() < end, "{}: not in {patience:?}: {what}", self.name);
            thread::sleep(LOOK_EVERY);
        }
    }

    fn kill(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    fn succeed(&mut self, patience: Duration) {
        let status = self.until(patience, "its end", |program| program.process.try_wait().unwrap());
        assert!(status.success(), "{} ended with {status}", self.name);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
        if thread::panicking() {
            for stream in ["out", "err"] {
                let said = fs::read_to_string(self.said.path().join(stream)).unwrap_or_default();
                eprintln!("--- {} of {} ---\n{said}", stream, self.name);
            }
        }
    }
}
