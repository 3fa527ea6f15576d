//! Ways between two clients behind NATs: how soon after the receiver's yes there is a way, and a direct one, for each pair of
//! kinds of NAT; and how often guessing ports succeeds.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `site` | the NATs, a server with its relay, and a client on each side |

mod site;

use crate::{
    report::{Figure, Report, Verdict},
    role::Met,
    settings::Settings,
    spread::{Spread, float},
};
use anyhow::{Result, anyhow};
use hypersend_lab::{Nat, nat::missing};
use site::Site;
use std::{thread, time::Duration};

/// Within which a direct way is promised, where one is possible without guessing.
const BAR: Duration = Duration::from_secs(2);

/// How long a direct way is waited for: three rounds of guessing of six seconds, the pauses between, and what comes before.
const PATIENCE: Duration = Duration::from_secs(35);

/// How long it is waited for where none is possible: longer than any possible one should take.
const VAIN: Duration = Duration::from_secs(4);

/// The part of the meetings in which the right port is to be guessed: less than one round promises by arithmetic, which is 0.98.
const GUESSED: f64 = 0.95;

/// Labs in which ports are guessed at once: a meeting mostly waits.
const LANES: u32 = 4;

/// What a pair of NATs allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Possible {
    Directly,
    /// If the right port is guessed.
    ByGuessing,
    OverRelay,
}

impl Possible {
    fn of(a: Nat, b: Nat) -> Self {
        match (a, b) {
            (Nat::Symmetric, Nat::Symmetric) => Self::OverRelay,
            (Nat::Symmetric, Nat::Restricted) | (Nat::Restricted, Nat::Symmetric) => Self::ByGuessing,
            _ => Self::Directly,
        }
    }
}

/// Measures each pair of NATs that let UDP through: without it there is no way but the server.
pub(crate) fn measure(settings: &Settings, report: &mut Report) -> Result<()> {
    if let Some(why) = missing() {
        report.note(format!("Ways through NATs were left out: {why}."));
        return Ok(());
    }
    let (mut rows, mut direct, mut relayed, mut guesses) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for (sender, receiver) in pairs() {
        let possible = Possible::of(sender, receiver);
        let meet = |rounds, patience| Site::open(settings, sender, receiver)?.meet(rounds, patience);
        let met = match possible {
            Possible::Directly => meet(settings.rounds, PATIENCE)?,
            Possible::ByGuessing => side_by_side(settings.guesses, &|rounds| meet(rounds, PATIENCE))?,
            Possible::OverRelay => meet(settings.rounds, VAIN)?,
        };
        rows.push(row(sender, receiver, &met));
        match possible {
            Possible::Directly => direct.extend(met),
            Possible::ByGuessing => guesses.extend(met),
            Possible::OverRelay => relayed.extend(met),
        }
    }
    let head =
        ["sender", "receiver", "meetings", "first way, ms", "worst, ms", "direct", "direct way, ms", "worst, ms"];
    report.table("Ways through NATs, from the receiver's yes", &head, rows);
    report.figure(promised(&direct));
    report.figure(fallen_back(&relayed));
    report.figure(guessed(&guesses));
    Ok(())
}

/// Has several labs share these rounds.
fn side_by_side(rounds: u32, meet: &(impl Fn(u32) -> Result<Vec<Met>> + Sync)) -> Result<Vec<Met>> {
    thread::scope(|scope| {
        let share = |lane| rounds / LANES + u32::from(lane < rounds % LANES);
        let lanes: Vec<_> = (0..LANES).map(|lane| scope.spawn(move || meet(share(lane)))).collect();
        let mut all = Vec::new();
        for lane in lanes {
            all.extend(lane.join().map_err(|_| anyhow!("a lab panicked"))??);
        }
        Ok(all)
    })
}

/// Sender and receiver: every unordered pair.
fn pairs() -> impl Iterator<Item = (Nat, Nat)> {
    const KINDS: [Nat; 4] = [Nat::Open, Nat::Cone, Nat::Restricted, Nat::Symmetric];
    KINDS.into_iter().enumerate().flat_map(|(n, sender)| KINDS[n..].iter().map(move |&receiver| (sender, receiver)))
}

fn firsts(met: &[Met]) -> Spread {
    Spread::of(met.iter().filter_map(|met| met.first).collect())
}

fn directs(met: &[Met]) -> Spread {
    Spread::of(met.iter().filter_map(|met| met.direct).collect())
}

fn row(sender: Nat, receiver: Nat, met: &[Met]) -> Vec<String> {
    let (first, direct) = (firsts(met), directs(met));
    let mut row = vec![format!("{sender:?}"), format!("{receiver:?}"), met.len().to_string()];
    row.extend([whole(first, first.p50), whole(first, first.max), direct.count.to_string()]);
    row.extend([whole(direct, direct.p50), whole(direct, direct.max)]);
    row
}

/// Whole milliseconds, unless there were none to take them of.
fn whole(of: Spread, duration: Duration) -> String {
    if of.count == 0 { "-".to_owned() } else { duration.as_millis().to_string() }
}

fn promised(met: &[Met]) -> Figure {
    let direct = directs(met);
    let in_time = met.iter().filter(|met| met.direct.is_some_and(|direct| direct <= BAR)).count();
    Figure {
        what: "direct way through NATs, where one is possible".to_owned(),
        bar: format!("all within {} s", BAR.as_secs()),
        measured: format!(
            "{in_time} of {}; median {} ms, worst {} ms",
            met.len(),
            direct.p50.as_millis(),
            direct.max.as_millis()
        ),
        ratio: None,
        verdict: Verdict::of(in_time == met.len()),
        bound: "rounds of dialling; links without latency".to_owned(),
    }
}

fn fallen_back(met: &[Met]) -> Figure {
    let first = firsts(met);
    Figure {
        what: "relayed way between symmetric NATs".to_owned(),
        bar: "all".to_owned(),
        measured: format!("{} of {}; worst {} ms", first.count, met.len(), first.max.as_millis()),
        ratio: None,
        verdict: Verdict::of(first.count == met.len()),
        bound: "binding to the relay".to_owned(),
    }
}

fn guessed(met: &[Met]) -> Figure {
    let direct = directs(met);
    let rate = float(direct.count as u64) / float(met.len() as u64);
    Figure {
        what: "direct way by guessing ports, restricted and symmetric".to_owned(),
        bar: format!("{GUESSED} of all"),
        measured: format!(
            "{} of {}; median {} ms, worst {} ms",
            direct.count,
            met.len(),
            direct.p50.as_millis(),
            direct.max.as_millis()
        ),
        ratio: Some(rate / GUESSED),
        verdict: Verdict::of(rate >= GUESSED),
        bound: "chance: sockets times probes against all ports".to_owned(),
    }
}
