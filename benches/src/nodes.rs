//! How long a message takes from a client of one server to a client of another, on one database.

use crate::{
    chat::{self, Phase},
    process::Process,
    report::{Figure, Report, Verdict},
    role::{Talk, Task},
    server::Server,
    settings::{Place, Settings},
    spread::millis,
};
use anyhow::{Context, Result};
use hypersend_lab::mongod::Mongod;
use std::time::Duration;
use tokio::runtime::Runtime;

/// The longest that 99 in 100 may take, from post to event.
const BAR: Duration = Duration::from_millis(100);

/// Measures two who are connected to the same server, then to two.
pub(crate) fn measure(settings: &Settings, report: &mut Report) -> Result<()> {
    let runtime = Runtime::new().context("start the runtime")?;
    let mongod = runtime.block_on(Mongod::start());
    let (dir, other_dir) = (settings.scratch(Place::Disk)?, settings.scratch(Place::Disk)?);
    let server = Server::start_on(settings, dir.path(), Some(mongod.uri()))?;
    let other = Server::start_on(settings, other_dir.path(), Some(mongod.uri()))?;
    let lasting = Duration::from_secs(settings.seconds.into());
    let talk = |number, name, others: [&Server; 2]| -> Result<Phase> {
        let names = [format!("ann{number}"), format!("bob{number}")];
        let chatter =
            |user: usize| Process::role("chatter", &Task::Chatter { login: others[user].login(&names[user]) });
        let (mut ann, mut bob) = (chatter(0)?, chatter(1)?);
        ann.hear::<()>()?;
        bob.hear::<()>()?;
        ann.ask::<()>(&Talk::Meet { peer: names[1].clone() })?;
        bob.ask::<()>(&Talk::Meet { peer: names[0].clone() })?;
        chat::phase(&mut ann, &mut bob, number, name, lasting)
    };
    let same = talk(0, "the same server", [&server, &server])?;
    let apart = talk(1, "two servers", [&server, &other])?;
    let worst = |phase: &Phase| phase.there.p99.max(phase.back.p99);
    report.figure(Figure {
        what: "a message from a client of one server to a client of another, one MongoDB, p99 from post to event"
            .to_owned(),
        bar: format!("<= {} ms", millis(BAR)),
        measured: format!(
            "{} ms there, {} back (p50 {}, {}); on one server {}, {}",
            millis(apart.there.p99),
            millis(apart.back.p99),
            millis(apart.there.p50),
            millis(apart.back.p50),
            millis(same.there.p99),
            millis(same.back.p99)
        ),
        ratio: Some(worst(&apart).as_secs_f64() / BAR.as_secs_f64()),
        verdict: Verdict::of(worst(&apart) <= BAR),
        bound: "the commit and its flush, and the change stream, which tells what a majority has".to_owned(),
    });
    Ok(())
}
