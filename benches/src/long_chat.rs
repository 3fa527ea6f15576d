//! A chat that has gone on for years.

use crate::{
    process::Process,
    report::{Figure, Report, Verdict},
    role::{Flood, Flooded, Opened, Task},
    server::Server,
    settings::{Place, Settings},
    spread::millis,
};
use anyhow::{Context, Result};
use hypersend_lab::mongod::Mongod;
use hypersend_protocol::id::ChatId;
use std::time::Duration;
use tokio::runtime::Runtime;

/// What is felt as at once (Miller 1968; Nielsen, Usability Engineering, 1993, section 5.5).
const BAR: Duration = Duration::from_millis(100);

/// Posts under way while it grows.
const DEPTH: usize = 48;

/// It grows for so long, and is looked at how long it is.
const STRETCH: Duration = Duration::from_secs(5);

/// Measures with SQLite and with MongoDB, on the disk.
pub(crate) fn measure(settings: &Settings, report: &mut Report) -> Result<()> {
    conclude(report, "SQLite", &grow(settings, None).context("a long chat in SQLite")?);
    let runtime = Runtime::new().context("start the runtime")?;
    let mongod = runtime.block_on(Mongod::start());
    conclude(report, "MongoDB", &grow(settings, Some(mongod.uri())).context("a long chat in MongoDB")?);
    Ok(())
}

/// The chat when it is new, and when it is long.
fn grow(settings: &Settings, mongodb: Option<String>) -> Result<[Opened; 2]> {
    let dir = settings.scratch(Place::Disk)?;
    let server = Server::start_on(settings, dir.path(), mongodb)?;
    let mut reader = Process::role("reader", &Task::Reader { login: server.login("reader") })?;
    reader.hear::<()>()?;
    let flood = Task::Flood { logins: vec![server.login("poster")], peers: vec!["reader".to_owned()] };
    let mut poster = Process::role("poster", &flood)?;
    let chats: Vec<ChatId> = poster.hear()?;
    let chat = chats.first().context("one chat")?;
    let mut posted = 0;
    let mut post = |lasting| -> Result<u64> {
        let flooded: Flooded = poster.ask(&Flood { lasting, depth: DEPTH, on_chat_streams: false })?;
        posted += flooded.posted;
        Ok(posted)
    };
    post(Duration::from_millis(100))?;
    let new = reader.ask(chat)?;
    while post(STRETCH)? < settings.messages {}
    Ok([new, reader.ask(chat)?])
}

fn conclude(report: &mut Report, store: &str, opened: &[Opened; 2]) {
    let [new, long] = opened;
    let longest = long.at_the_end.p99;
    report.figure(Figure {
        what: format!("opening a chat of {} messages, {store}: its record, 50 messages, its stream", long.messages),
        bar: format!("p99 <= {} ms", millis(BAR)),
        measured: format!(
            "p50 {} ms, p99 {} (with {} messages {}, {}); 50 messages from anywhere in it {}, {}",
            millis(long.at_the_end.p50),
            millis(longest),
            new.messages,
            millis(new.at_the_end.p50),
            millis(new.at_the_end.p99),
            millis(long.within.p50),
            millis(long.within.p99),
        ),
        ratio: Some(longest.as_secs_f64() / BAR.as_secs_f64()),
        verdict: Verdict::of(longest <= BAR),
        bound: "three round trips to the server, each with its questions to the database".to_owned(),
    });
}
