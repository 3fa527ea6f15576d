//! Two NATs, a server with its relay in the open, and a client behind each NAT.

use crate::{
    process::Process,
    role::{Login, Met, Task},
    settings::{Place, Settings},
};
use anyhow::{Context, Result, ensure};
use hypersend_lab::{Nat, NatLab, fixtures::sparse_file};
use std::{fs, net::SocketAddr, path::Path, time::Duration};
use tempfile::TempDir;

/// What each link carries, in Mbit/s: a file lasts, and processor time is left for what is measured.
const LINK_MBIT: u32 = 20;

/// The file that is offered, in bytes: more than the link carries while a way is waited for.
const FILE: u64 = 128 << 20;

/// Everything ends when dropped, the NATs last.
pub(super) struct Site {
    sender: Process,
    _receiver: Process,
    _server: Process,
    _home: TempDir,
    _lab: NatLab,
}

impl Site {
    /// Makes it, and has both clients log in.
    pub(super) fn open(settings: &Settings, sender: Nat, receiver: Nat) -> Result<Self> {
        let lab = NatLab::new(sender, receiver).context("the machine's means were looked at before")?;
        lab.limit(LINK_MBIT);
        let home = settings.scratch(Place::Memory)?;
        let (server, address) = serve(settings, &lab, home.path())?;
        let login = |user: &str| Login {
            server: address,
            certificate: home.path().join("certs/dev-cert.pem"),
            user: user.to_owned(),
            tcp: false,
        };
        let folder = home.path().join("arrived");
        fs::create_dir(&folder).context("make a folder")?;
        let receiving = Task::Receiver { login: login("bob"), folder };
        let receiver = Process::role_in(Some(lab.b.host()), "receiver", &receiving)?;
        receiver.hear::<()>()?;
        let file = sparse_file(&home.path().join("film.mkv"), FILE);
        let sending = Task::Sender { login: login("ann"), peer: "bob".to_owned(), file };
        let sender = Process::role_in(Some(lab.a.host()), "sender", &sending)?;
        sender.hear::<()>()?;
        Ok(Self { sender, _receiver: receiver, _server: server, _home: home, _lab: lab })
    }

    /// Offers the file so many times, each time until there is a direct way, or no patience any more.
    pub(super) fn meet(&mut self, rounds: u32, patience: Duration) -> Result<Vec<Met>> {
        (0..rounds).map(|_| self.sender.ask(&patience)).collect()
    }
}

fn serve(settings: &Settings, lab: &NatLab, home: &Path) -> Result<(Process, SocketAddr)> {
    let [public, _] = NatLab::PUBLIC;
    let mut command = lab.public().command(settings.server()?);
    command.current_dir(home).envs([
        ("LISTEN", format!("{public}:8443").as_str()),
        ("RELAY_LISTEN", &format!("{public}:8444")),
        ("SERVER_NAMES", &public.to_string()),
        ("LOG", "warn"),
        ("BCRYPT_COST", "10"),
    ]);
    let process = Process::start("hypersend-server", &mut command)?;
    let line = process.line()?;
    let address = line.strip_prefix("listening on ").and_then(|address| address.parse().ok());
    ensure!(home.join("certs/dev-cert.pem").exists(), "the server made no certificate");
    Ok((process, address.with_context(|| format!("the server said {line:?}"))?))
}
