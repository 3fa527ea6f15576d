//! What an idle connection costs the server.

use crate::{
    process::Process,
    report::{Figure, Report, Verdict},
    role::Task,
    server::Server,
    settings::{Place, Settings},
    spread::float,
};
use anyhow::{Result, ensure};
use std::{thread, time::Duration};

/// Promised for each, in KiB.
const BAR_KIB: f64 = 40.0;

/// Connections that share a login. A server takes 32 of one, and the first of each stays open beside these.
const OF_ONE_LOGIN: u32 = 31;

/// How long the last handshakes and their buffers take to be over.
const SETTLE: Duration = Duration::from_secs(2);

/// Measures connections that are open and nothing more, then with an event stream on each.
pub(crate) fn measure(settings: &Settings, report: &mut Report) -> Result<()> {
    let dir = settings.scratch(Place::Memory)?;
    let server = Server::start(settings, dir.path())?;
    let connections = settings.connections;
    let users = connections.div_ceil(OF_ONE_LOGIN);
    let logins = (0..users).map(|number| server.login(&format!("idler{number}"))).collect();
    let mut idlers = Process::role("idlers", &Task::Idlers { logins, connections: usize::try_from(connections)? })?;
    idlers.hear::<()>()?;
    let settled = || {
        thread::sleep(SETTLE);
        server.usage()
    };
    let before = settled()?;
    for what in ["logged in", "logged in, with an event stream open"] {
        let count: u32 = idlers.ask(&())?;
        ensure!(count == connections, "{count} of {connections} connected");
        let grown = settled()?.resident_kib.saturating_sub(before.resident_kib);
        let each = float(grown) / f64::from(connections);
        report.figure(Figure {
            what: format!("memory of the server for each of {connections} idle connections, {what}"),
            bar: "<= 40 KiB".to_owned(),
            measured: format!("{each:.1} KiB"),
            ratio: Some(each / BAR_KIB),
            verdict: Verdict::of(each <= BAR_KIB),
            bound: "quinn's and rustls's state of a connection, and what the handshakes left in the allocator"
                .to_owned(),
        });
    }
    Ok(())
}
