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
use hypersend_protocol::id::ChatId;
use std::time::Duration;

/// Messages per second promised with SQLite on two cores.
const RATE_BAR: f64 = 10_000.0;

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

/// Measures in memory, then on the disk.
pub(crate) fn measure(settings: &Settings, report: &mut Report) -> Result<()> {
    for place in [Place::Memory, Place::Disk] {
        let ways = flood(settings, place).with_context(|| format!("flood in {place}"))?;
        conclude(report, place, &ways);
    }
    Ok(())
}

fn flood(settings: &Settings, place: Place) -> Result<Vec<Way>> {
    let dir = settings.scratch(place)?;
    let server = Server::start(settings, dir.path())?;
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
    let ways = [(true, 1), (false, 4), (false, 12)];
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

fn conclude(report: &mut Report, place: Place, ways: &[Way]) {
    let Some(best) = ways.iter().max_by(|a, b| a.rate().total_cmp(&b.rate())) else { return };
    let latency = best.deliveries().p99;
    report.figure(Figure {
        what: format!("messages persisted and fanned out, SQLite, 32 direct chats, in {place}"),
        bar: ">= 10000/s, p99 < 50 ms".to_owned(),
        measured: format!("{:.0}/s, p99 {} ms ({})", best.rate(), millis(latency), best.name),
        ratio: Some(best.rate() / RATE_BAR),
        verdict: Verdict::of(best.rate() >= RATE_BAR && latency < LATENCY_BAR),
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
    report.table(&format!("Messages in {place}: p50 / p99 / longest in ms"), &head, ways.iter().map(row).collect());
}
