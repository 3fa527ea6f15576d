//! Messages persisted and fanned out per second.

use crate::{
    process::Process,
    report::{Figure, Report, Verdict},
    role::{Flood, Flooded, Heard, Received, Task},
    server::Server,
    settings::{Place, Settings},
    spread::{Spread, float, millis},
};
use anyhow::{Context, Result};
use hypersend_lab::mongod::Mongod;
use hypersend_protocol::id::ChatId;
use std::time::Duration;
use tokio::runtime::Runtime;

/// Messages per second promised on two cores; with MongoDB the database is on them too.
const SQLITE_BAR: f64 = 10_000.0;
const MONGODB_BAR: f64 = 4_000.0;

/// The longest that 99 in 100 may take, from post to event.
const LATENCY_BAR: Duration = Duration::from_millis(50);

/// Connections that post; each has a chat with each of those that listen, so 32 chats.
const POSTERS: usize = 8;

/// Connections that listen.
const LISTENERS: usize = 4;

/// One way of posting.
struct Way {
    name: String,
    flooded: Flooded,
    received: Received,
    server_cpu: Duration,
}

/// Measures SQLite in memory and on the disk, then MongoDB, whose journal is on the disk too.
pub(crate) fn measure(settings: &Settings, report: &mut Report) -> Result<()> {
    for place in [Place::Memory, Place::Disk] {
        let ways = flood(settings, place, None).with_context(|| format!("flood in {place}"))?;
        conclude(report, &format!("SQLite, in {place}"), SQLITE_BAR, &ways);
    }
    let runtime = Runtime::new().context("start the runtime")?;
    let mongod = runtime.block_on(Mongod::start());
    let ways = flood(settings, Place::Disk, Some(mongod.uri())).context("flood with MongoDB")?;
    conclude(report, "MongoDB beside it, on disk", MONGODB_BAR, &ways);
    Ok(())
}

fn flood(settings: &Settings, place: Place, mongodb: Option<String>) -> Result<Vec<Way>> {
    let dir = settings.scratch(place)?;
    let server = Server::start_on(settings, dir.path(), mongodb)?;
    let names = |role: &str, count| (0..count).map(|number| format!("{role}{number}")).collect::<Vec<_>>();
    let (posters, listeners) = (names("poster", POSTERS), names("listener", LISTENERS));
    let logins = |names: &[String]| names.iter().map(|name| server.login(name)).collect();
    let mut listener = Process::role("listener", &Task::Listen { logins: logins(&listeners) })?;
    listener.hear::<()>()?;
    let mut poster = Process::role("poster", &Task::Flood { logins: logins(&posters), peers: listeners })?;
    let chats: Vec<ChatId> = poster.hear()?;
    let chats = (0..LISTENERS).cycle().zip(chats).collect();
    listener.ask::<()>(&Heard::Open(chats))?;

    let lasting = Duration::from_secs(settings.seconds.into());
    // On its stream a chat takes one post after the other; requests may overtake each other.
    let ways = [(true, 1), (false, 2), (false, 4), (false, 12)];
    ways.into_iter()
        .map(|(on_chat_streams, depth)| {
            let before = server.usage()?;
            let flooded: Flooded = poster.ask(&Flood { lasting, depth, on_chat_streams })?;
            let received = listener.ask(&Heard::Count(flooded.posted))?;
            let server_cpu = server.usage()?.cpu.saturating_sub(before.cpu);
            let by = if on_chat_streams { "on chat streams" } else { "as requests" };
            Ok(Way { name: format!("{by}, {depth} under way in each chat"), flooded, received, server_cpu })
        })
        .collect()
}

impl Way {
    /// Messages per second that reached the other side.
    fn rate(&self) -> f64 {
        float(self.flooded.posted) / self.received.elapsed.max(self.flooded.elapsed).as_secs_f64()
    }

    fn deliveries(&self) -> Spread {
        self.received.deliveries
    }
}

fn conclude(report: &mut Report, store: &str, bar: f64, ways: &[Way]) {
    // The fastest of those that are fast enough for everybody, if there are some.
    let rank = |way: &&Way| (way.deliveries().p99 < LATENCY_BAR, way.rate());
    let Some(best) = ways.iter().max_by(|a, b| rank(a).partial_cmp(&rank(b)).expect("rates are numbers")) else {
        return;
    };
    let latency = best.deliveries().p99;
    report.figure(Figure {
        what: format!("messages persisted and fanned out, {store}, 32 direct chats"),
        bar: format!(">= {bar}/s, p99 < 50 ms"),
        measured: format!("{:.0}/s, p99 {} ms ({})", best.rate(), millis(latency), best.name),
        ratio: Some(best.rate() / bar),
        verdict: Verdict::of(best.rate() >= bar && latency < LATENCY_BAR),
        bound: format!(
            "{:.1} of {} cores busy in the server, the clients have the rest",
            best.server_cpu.as_secs_f64() / best.flooded.elapsed.as_secs_f64(),
            report.machine().cores
        ),
    });
    let row = |way: &Way| {
        let micros = way.server_cpu.as_secs_f64() * 1e6 / float(way.flooded.posted.max(1));
        vec![
            way.name.clone(),
            format!("{:.0}", way.rate()),
            way.flooded.acks.to_string(),
            way.deliveries().to_string(),
            format!("{micros:.0}"),
        ]
    };
    let head = ["posted", "messages/s", "acknowledged", "delivered", "server µs of processor each"];
    report.table(&format!("Messages, {store}: p50 / p99 / longest in ms"), &head, ways.iter().map(row).collect());
}
