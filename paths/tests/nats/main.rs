//! Two processes behind the kernel's own NATs, in network namespaces: which pairs of NATs find which way.
//!
//! Needs root, `ip` and `nft`; without them it says so and does nothing. Has no harness, because it starts itself: in the
//! namespaces it is a side or a relay ([`meet`]).

#![expect(clippy::unwrap_used, reason = "what fails here is a failed test")]
#![expect(clippy::print_stdout, reason = "there is no harness to print")]

mod meet;

use std::{
    env, fs,
    path::PathBuf,
    process::{Child, Command, ExitCode, Stdio, exit, id},
    time::Instant,
};

const RELAYS: [(&str, &str, &str); 2] = [("pub", "198.51.100.1:4001", "1"), ("pub2", "198.51.100.2:4002", "2")];

/// The NATs of sender and receiver, and the way that they are to find.
const PAIRS: [(&str, &str, &str); 8] = [
    ("open", "open", "direct"),
    ("restricted", "restricted", "direct"),
    ("cone", "symmetric", "direct"),
    ("symmetric", "open", "direct"),
    // By guessing.
    ("restricted", "symmetric", "direct"),
    ("symmetric", "restricted", "direct"),
    // By nothing but a relay.
    ("symmetric", "symmetric", "relayed"),
    ("restricted", "restricted", "relayed"),
];

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if matches!(words.first(), Some(&("relay" | "sender" | "receiver"))) {
        let outcome = meet::be(&words);
        return outcome.map_or_else(
            |error| {
                println!("{error}");
                ExitCode::FAILURE
            },
            |()| ExitCode::SUCCESS,
        );
    }
    // What a harness would be told: a filter, or that the tests be named.
    if words.contains(&"--list") || words.iter().any(|word| !word.starts_with('-') && !"nats".contains(word)) {
        return ExitCode::SUCCESS;
    }
    let lab = Lab { prefix: format!("hs{}", id()) };
    if let Err(why) = lab.run(&["up", "open", "open"]) {
        println!("skipped: network namespaces with NATs need root, ip and nft; {why}");
        return ExitCode::SUCCESS;
    }
    let mut failed = 0;
    for (sender, receiver, way) in PAIRS {
        let began = Instant::now();
        let outcome = pair(&lab, sender, receiver, way);
        println!("{sender} to {receiver}, {way}: {outcome:?} in {:.1} s", began.elapsed().as_secs_f64());
        failed += u8::from(outcome.is_err());
    }
    drop(lab);
    ExitCode::from(failed)
}

fn pair(lab: &Lab, sender: &str, receiver: &str, way: &str) -> Result<(), String> {
    lab.run(&["up", sender, receiver])?;
    let folder = env::temp_dir().join(format!("hypersend-{}", lab.prefix));
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir(&folder).map_err(|e| e.to_string())?;
    let relays: Vec<Process> =
        RELAYS.iter().map(|(host, address, number)| lab.start(host, &["relay", address, number])).collect();
    let mut sides: Vec<Process> = [("a", "sender"), ("b", "receiver")]
        .map(|(host, role)| {
            let mut words = vec![role, folder.to_str().unwrap(), way];
            words.extend(RELAYS.map(|(_, address, _)| address));
            lab.start(host, &words)
        })
        .into();
    let met: Vec<bool> = sides.iter_mut().map(|side| side.0.wait().is_ok_and(|status| status.success())).collect();
    drop(relays);
    let _ = fs::remove_dir_all(&folder);
    if met == [true, true] { Ok(()) } else { Err(format!("sender, receiver: {met:?}")) }
}

/// The namespaces; gone when this is dropped.
struct Lab {
    prefix: String,
}

impl Lab {
    fn command(&self, words: &[&str]) -> Command {
        let script: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests/nats/natlab"].iter().collect();
        let mut command = Command::new(script);
        command.arg(&self.prefix).args(words).stdin(Stdio::null());
        command
    }

    fn run(&self, words: &[&str]) -> Result<(), String> {
        let output = self.command(words).output().map_err(|e| e.to_string())?;
        if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
    }

    /// This program, at a host.
    fn start(&self, host: &str, words: &[&str]) -> Process {
        let program = env::current_exe().unwrap();
        let mut all = vec!["exec", host, program.to_str().unwrap()];
        all.extend(words);
        Process(self.command(&all).spawn().unwrap_or_else(|error| {
            println!("cannot start: {error}");
            exit(1)
        }))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.run(&["down"]);
    }
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
