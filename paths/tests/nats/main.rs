//! Two processes behind the kernel's own NATs, in network namespaces: which pairs of NATs find which way.
//!
//! Needs root, iproute2 and nftables; without them it says so and does nothing. Has no harness, because it starts itself: in the
//! namespaces it is a side or a relay ([`meet`]).

#![expect(clippy::unwrap_used, reason = "what fails here is a failed test")]
#![expect(clippy::print_stdout, reason = "there is no harness to print")]

mod meet;

use hypersend_lab::{
    Nat::{self, Cone, Open, Restricted, Symmetric},
    NatLab,
    nat::{PortMapper, Speaks, missing},
    netns::Namespace,
};
use std::{
    env,
    net::UdpSocket,
    process::{Child, ExitCode, Stdio},
    time::Instant,
};
use tempfile::TempDir;

/// Where relays are, and their numbers.
const RELAYS: [(&str, &str); 2] = [("192.0.2.1:4001", "1"), ("192.0.2.2:4002", "2")];

/// Where routers are asked for ports (RFC 6887, 19).
const ASKED: u16 = 5351;

/// The NATs of sender and receiver, and the way that they are to find.
const PAIRS: [(Nat, Nat, &str); 10] = [
    (Open, Open, "direct"),
    (Restricted, Restricted, "direct"),
    (Cone, Symmetric, "direct"),
    (Symmetric, Open, "direct"),
    // By guessing.
    (Restricted, Symmetric, "direct"),
    (Symmetric, Restricted, "direct"),
    // By nothing but a relay.
    (Symmetric, Symmetric, "relayed"),
    (Restricted, Restricted, "relayed"),
    // By a port from the router.
    (Symmetric, Symmetric, "mapped"),
    // Who wants no direct way asks for none.
    (Symmetric, Symmetric, "relay-only"),
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
    let is_other = |word: &&str| !word.starts_with('-') && !"nats".contains(*word);
    if words.contains(&"--list") || words.iter().any(is_other) || missing().is_some() {
        return ExitCode::SUCCESS;
    }
    let mut failed = 0;
    for (sender, receiver, way) in PAIRS {
        let began = Instant::now();
        let outcome = pair(sender, receiver, way);
        println!("{sender:?} to {receiver:?}, {way}: {outcome:?} in {:.1} s", began.elapsed().as_secs_f64());
        failed += u8::from(outcome.is_err());
    }
    ExitCode::from(failed)
}

fn pair(sender: Nat, receiver: Nat, way: &str) -> Result<(), String> {
    let lab = NatLab::new(sender, receiver).expect("nothing is missing");
    let router = (way == "mapped").then(|| PortMapper::start(&lab.a, Speaks::Pcp, 600));
    let ears = (way == "relay-only").then(|| {
        let ears = lab.a.edge().inside(|| UdpSocket::bind((lab.a.gateway(), ASKED))).unwrap().unwrap();
        ears.set_nonblocking(true).unwrap();
        ears
    });
    let folder = TempDir::new().map_err(|e| e.to_string())?;
    let relays: Vec<Process> =
        RELAYS.iter().map(|(address, number)| start(lab.public(), &["relay", address, number])).collect();
    let mut sides: Vec<Process> = [(lab.a.host(), "sender"), (lab.b.host(), "receiver")]
        .map(|(host, role)| {
            let mut words = vec![role, folder.path().to_str().unwrap(), way];
            words.extend(RELAYS.map(|(address, _)| address));
            start(host, &words)
        })
        .into();
    let met: Vec<bool> = sides.iter_mut().map(|side| side.0.wait().is_ok_and(|status| status.success())).collect();
    drop(relays);
    let left = router.map_or_else(Vec::new, |router| router.mapped());
    let has_asked = ears.is_some_and(|ears| ears.recv(&mut [0; 64]).is_ok());
    match (&met[..], &left[..], has_asked) {
        ([true, true], [], false) => Ok(()),
        _ => Err(format!("sender, receiver: {met:?}; still mapped: {left:?}; has asked: {has_asked}")),
    }
}

/// This program, in a namespace.
fn start(host: &Namespace, words: &[&str]) -> Process {
    let mut command = host.command(env::current_exe().unwrap());
    Process(command.args(words).stdin(Stdio::null()).spawn().unwrap())
}

struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
