//! Bulk of one QUIC connection, memory to memory, directly and through a relay by turns: on loopback, and on links of known
//! rates that both ways share.

use super::{link::Link, programs::Relay, seat::Seat};
use crate::{
    process::Process,
    report::{Figure, Report, Verdict},
    role::{Carried, Sink, Task},
    settings::Settings,
    spread::{float, median},
};
use anyhow::{Context, Result};
use hypersend_lab::Namespace;
use std::{net::Ipv4Addr, time::Duration};

/// The part of the direct rate that is promised.
const BAR: f64 = 0.85;

/// Rates of the links, in Mbit/s.
const LINKS: [u32; 2] = [200, 1_000];

/// How long a run on a link takes, in seconds: long enough for the start to count little.
const SECONDS: u64 = 4;

/// Where the two ends and the relay are.
struct Site<'a> {
    name: String,
    link: Option<&'a Link>,
    receiver: Ipv4Addr,
    relay: Relay,
    bytes: u64,
    rounds: u32,
}

/// One way, once.
struct Run {
    carried: Carried,
    receiver_cpu: Duration,
    relay_cpu: Duration,
    bytes: u64,
}

struct Round {
    direct: Run,
    relayed: Run,
}

/// Measures on loopback, then on the links if they can be made.
pub(crate) fn measure(settings: &Settings, report: &mut Report) -> Result<()> {
    let loopback = Site {
        name: "on loopback".to_owned(),
        link: None,
        receiver: Ipv4Addr::LOCALHOST,
        relay: Relay::start(settings, None, Ipv4Addr::LOCALHOST, &[])?,
        bytes: settings.bytes(),
        // Where the scheduler puts three processes on two cores differs from run to run.
        rounds: 2 * settings.rounds,
    };
    loopback.measure(report)?;
    for mbit in LINKS {
        match Link::up(mbit) {
            Ok(link) => Site::on(settings, &link, mbit)?.measure(report)?,
            Err(error) => report.note(format!("The relay on a link of {mbit} Mbit/s was left out: {error:#}.")),
        }
    }
    Ok(())
}

impl<'a> Site<'a> {
    fn on(settings: &Settings, link: &'a Link, mbit: u32) -> Result<Self> {
        Ok(Self {
            name: format!("on a link of {mbit} Mbit/s"),
            link: Some(link),
            receiver: Link::RECEIVER,
            relay: Relay::start(settings, Some(&link.router), Link::ROUTER, &[])?,
            bytes: u64::from(mbit) * 1_000_000 / 8 * SECONDS,
            rounds: settings.rounds,
        })
    }

    fn measure(&self, report: &mut Report) -> Result<()> {
        let rounds: Vec<Round> = (0..self.rounds.max(1))
            .map(|number| {
                // By turns the first, so that neither is always the one that comes after the other.
                let direct_first = number % 2 == 0;
                let first = self.run(if direct_first { None } else { Some(number) })?;
                let second = self.run(if direct_first { Some(number) } else { None })?;
                let (direct, relayed) = if direct_first { (first, second) } else { (second, first) };
                Ok(Round { direct, relayed })
            })
            .collect::<Result<_>>()
            .with_context(|| format!("relay and direct {}", self.name))?;
        self.conclude(report, &rounds);
        Ok(())
    }

    /// Directly, or in this session of the relay.
    fn run(&self, session: Option<u32>) -> Result<Run> {
        let namespace = |pick: fn(&Link) -> &Namespace| self.link.map(pick);
        let seat = |receives| session.map(|session| Seat { relay: self.relay.address, session, receives });
        let sink = Task::RawSink { at: self.receiver.into(), seat: seat(true) };
        let receiver = Process::role_in(namespace(|link| &link.receiver), "receiver", &sink)?;
        let sink: Sink = receiver.hear()?;
        let source = Task::RawSource { sink, bytes: self.bytes, seat: seat(false) };
        let mut sender = Process::role_in(namespace(|link| &link.sender), "sender", &source)?;
        sender.hear::<()>()?;
        let (before, relay_before) = (receiver.usage()?, self.relay.usage()?);
        let carried: Carried = sender.ask(&())?;
        let (after, relay_after) = (receiver.usage()?, self.relay.usage()?);
        Ok(Run {
            carried,
            receiver_cpu: after.cpu.saturating_sub(before.cpu),
            relay_cpu: relay_after.cpu.saturating_sub(relay_before.cpu),
            bytes: self.bytes,
        })
    }

    fn conclude(&self, report: &mut Report, rounds: &[Round]) {
        let over = |value: &dyn Fn(&Round) -> f64| median(rounds.iter().map(value).collect());
        let (direct, relayed) = (over(&|round| round.direct.rate()), over(&|round| round.relayed.rate()));
        let ratio = relayed / direct;
        let [of_sender, of_receiver, of_relay] =
            [0, 1, 2].map(|who| over(&|round: &Round| round.relayed.cpu_per_gb()[who]));
        let cores = over(&|round| round.relayed.cores());
        let cost = |run: &Run| run.cpu_per_gb().iter().sum::<f64>();
        let of_cost = over(&|round| cost(&round.direct)) / over(&|round| cost(&round.relayed));
        let bound = if self.link.is_none() {
            format!("where the scheduler puts three processes; were all cores full, it would be {of_cost:.2}: ")
        } else {
            "the link and its queue, in either case: ".to_owned()
        };
        report.figure(Figure {
            what: format!("one QUIC connection through the relay {}, against a direct one", self.name),
            bar: format!(">= {BAR}"),
            measured: format!("{:.0} MB/s of {:.0}", relayed / 1e6, direct / 1e6),
            ratio: Some(ratio),
            verdict: Verdict::of(ratio >= BAR),
            bound: format!(
                "{bound}{cores:.1} of {} cores busy; {of_sender:.2} s/GB at the sender, {of_receiver:.2} at the \
                 receiver, {of_relay:.2} in the relay",
                report.machine().cores
            ),
        });
        let rows = (1..).zip(rounds).flat_map(|(number, round)| {
            [("direct", &round.direct), ("relayed", &round.relayed)].map(|(name, run)| run.row(number, name))
        });
        let head = ["round", "way", "MB/s", "sender s/GB", "receiver s/GB", "relay s/GB"];
        report.table(&format!("Relay against direct {}", self.name), &head, rows.collect());
    }
}

impl Run {
    fn rate(&self) -> f64 {
        float(self.bytes) / self.carried.elapsed.as_secs_f64()
    }

    /// Processor seconds of sender, receiver and relay for each 10^9 bytes.
    fn cpu_per_gb(&self) -> [f64; 3] {
        [self.carried.cpu, self.receiver_cpu, self.relay_cpu].map(|cpu| cpu.as_secs_f64() / float(self.bytes) * 1e9)
    }

    fn cores(&self) -> f64 {
        let cpu = self.carried.cpu + self.receiver_cpu + self.relay_cpu;
        cpu.as_secs_f64() / self.carried.elapsed.as_secs_f64()
    }

    fn row(&self, round: usize, name: &str) -> Vec<String> {
        let [sender, receiver, relay] = self.cpu_per_gb().map(|cpu| format!("{cpu:.2}"));
        vec![round.to_string(), name.to_owned(), format!("{:.0}", self.rate() / 1e6), sender, receiver, relay]
    }
}
