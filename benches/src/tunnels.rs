//! Files over a relay that is reached through tunnels, beside the same by UDP: by a code, both sides in one process.

use crate::{
    process::{Process, Usage},
    report::Report,
    role::{Coded, Login, Task},
    server::Server,
    settings::{Place, Settings},
    spread::{float, median},
};
use anyhow::{Result, ensure};
use hypersend_lab::fixtures::random_file;
use std::{fs, time::Duration};

/// How both sides come to the relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum By {
    Udp,
    /// Tunnels in QUIC connections, of which there are none where they are needed.
    QuicTunnels,
    TcpTunnels,
}

/// A server with its relay, and somebody who sends over it.
struct Site {
    by: By,
    server: Server,
    coder: Process,
    rounds: Vec<Round>,
}

struct Round {
    coded: Coded,
    server_cpu: Duration,
}

/// Measures by turns.
pub(crate) fn measure(settings: &Settings, report: &mut Report) -> Result<()> {
    let dir = settings.scratch(Place::Memory)?;
    let file = random_file(&dir.path().join("film.mkv"), settings.bytes(), 7);
    let mut sites = Vec::new();
    for by in [By::Udp, By::QuicTunnels, By::TcpTunnels] {
        let home = dir.path().join(format!("{by:?}"));
        let folder = home.join("arrived");
        fs::create_dir_all(&folder)?;
        let mut given = vec![("RELAY_LISTEN", "127.0.0.1:0")];
        if by != By::Udp {
            // Where nobody answers.
            given.push(("RELAY_ANNOUNCE", "127.0.0.9:9"));
        }
        let server = Server::start_with(settings, &home, &given)?;
        let login = Login { tcp: by == By::TcpTunnels, ..server.login("nobody") };
        let coder = Process::role("coder", &Task::Coder { login, file: file.clone(), folder })?;
        coder.hear::<()>()?;
        sites.push(Site { by, server, coder, rounds: Vec::new() });
    }
    for _ in 0..settings.rounds {
        for site in &mut sites {
            site.send()?;
        }
    }
    let gigabytes = float(settings.bytes()) / 1e9;
    let rate = |site: &Site| {
        gigabytes * 1_000.0 / median(site.rounds.iter().map(|round| round.coded.took.as_secs_f64()).collect())
    };
    let by_udp = rate(&sites[0]);
    let rows = sites.iter().map(|site| {
        let of =
            |what: fn(&Round) -> Duration| median(site.rounds.iter().map(|round| what(round).as_secs_f64()).collect());
        vec![
            site.by.words().to_owned(),
            format!("{:.0}", rate(site)),
            format!("{:.2}", rate(site) / by_udp),
            format!("{:.1}", of(|round| round.server_cpu) / gigabytes),
            format!("{:.1}", of(|round| round.coded.way_after)),
        ]
    });
    let head = ["to the relay", "MB/s", "of that by UDP", "server's processor s/GB", "way after, s"];
    report.table(
        "A file by a code over the relay in the server, both sides likewise, on loopback",
        &head,
        rows.collect(),
    );
    Ok(())
}

impl Site {
    fn send(&mut self) -> Result<()> {
        let before: Usage = self.server.usage()?;
        let coded: Coded = self.coder.ask(&())?;
        ensure!(coded.tunnelled == (self.by != By::Udp), "not the way that is measured");
        let server_cpu = self.server.usage()?.cpu.saturating_sub(before.cpu);
        self.rounds.push(Round { coded, server_cpu });
        Ok(())
    }
}

impl By {
    fn words(self) -> &'static str {
        match self {
            Self::Udp => "by UDP",
            Self::QuicTunnels => "through tunnels in QUIC",
            Self::TcpTunnels => "through tunnels over TCP",
        }
    }
}
