//! A capacity shared by many sessions, each of which wants far more than its share: floods of datagrams, and QUIC connections.

use super::programs::Relay;
use crate::{
    process::Process,
    report::{Figure, Report, Verdict},
    role::{CrowdOf, Crowded, Task},
    settings::Settings,
    spread::float,
};
use anyhow::{Context, Result};
use std::{net::Ipv4Addr, time::Duration};

/// The fairness that is promised.
const BAR: f64 = 0.95;

/// What the relay may pass on, in Mbit/s: so little that the senders, on the same cores, offer many times as much.
const MBIT: u32 = 200;

/// How long they send before it counts: each begins with 64 KiB that it may send at once.
const BEFORE: Duration = Duration::from_secs(3);

/// How long they send.
const LASTING: Duration = Duration::from_secs(10);

/// Peak memory that is expected of a relay with its usual limits, in KiB: its sockets' batches are 2 MiB for each core, and a
/// session takes less than 1 KiB.
const MEMORY_BAR_KIB: u64 = 32 << 10;

/// Measures each kind of crowd once.
pub(crate) fn measure(settings: &Settings, report: &mut Report) -> Result<()> {
    measure_one(settings, report, CrowdOf::Datagrams)?;
    measure_one(settings, report, CrowdOf::Connections)
}

fn measure_one(settings: &Settings, report: &mut Report, of: CrowdOf) -> Result<()> {
    let capacity = format!("{MBIT}M");
    let relay = Relay::start(settings, None, Ipv4Addr::LOCALHOST, &["--capacity", &capacity])?;
    let mut crowd = Process::role("crowd", &Task::Crowd { of, relay: relay.address, sessions: settings.sessions })?;
    crowd.hear::<()>()?;
    crowd.ask::<Crowded>(&BEFORE).context("a crowd comes to the relay")?;
    let before = relay.usage()?;
    let crowded: Crowded = crowd.ask(&LASTING).context("a crowd at the relay")?;
    let usage = relay.usage()?;
    let cpu = usage.cpu.saturating_sub(before.cpu);

    let seconds = crowded.elapsed.as_secs_f64();
    let mbit = |bytes: u64| float(bytes) * 8.0 / seconds / 1e6;
    let (delivered, offered) = (crowded.delivered.iter().sum(), crowded.offered.iter().sum());
    let jain = jain(&crowded.delivered);
    let most = crowded.delivered.iter().max().copied().unwrap_or(0);
    let least = crowded.delivered.iter().min().copied().unwrap_or(0);
    let (what, bound) = match of {
        CrowdOf::Datagrams => {
            ("flooding sessions", "whole datagrams of two sizes; what the kernel drops before the relay sees it")
        }
        CrowdOf::Connections => (
            "QUIC connections",
            "congestion control in steps of whole packets, of which each has some twenty in a second",
        ),
    };
    report.figure(Figure {
        what: format!("Jain's index over the bytes of {} {what} that share {MBIT} Mbit/s", settings.sessions),
        bar: format!(">= {BAR}"),
        measured: format!(
            "{jain:.4}; {} to {} kB each in {seconds:.0} s; {:.0} of {MBIT} Mbit/s passed on, {:.0} offered",
            least / 1000,
            most / 1000,
            mbit(delivered),
            mbit(offered)
        ),
        ratio: Some(jain),
        verdict: Verdict::of(jain >= BAR),
        bound: format!("{bound}. The relay took {:.2} of a core", cpu.as_secs_f64() / seconds),
    });
    report.figure(Figure {
        what: format!("peak memory of the relay with {} {what}", settings.sessions),
        bar: format!("<= {} MiB", MEMORY_BAR_KIB >> 10),
        measured: format!("{:.1} MiB", float(usage.peak_kib) / 1024.0),
        ratio: Some(float(usage.peak_kib) / float(MEMORY_BAR_KIB)),
        verdict: Verdict::of(usage.peak_kib <= MEMORY_BAR_KIB),
        bound: "the buffers of its sockets, and the places of all sessions that there may be".to_owned(),
    });
    Ok(())
}

/// 1 when all have the same, 1/n when one has all (Jain, Chiu and Hawe, 1984).
fn jain(values: &[u64]) -> f64 {
    let sum: f64 = values.iter().copied().map(float).sum();
    let squares: f64 = values.iter().map(|&value| float(value).powi(2)).sum();
    sum.powi(2) / (squares * float(values.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_is_one_when_all_have_the_same_and_a_part_when_some_have_nothing() {
        let close = |values: &[u64], wanted: f64| (jain(values) - wanted).abs() < 1e-9;
        assert!(close(&[5, 5, 5, 5], 1.0) && close(&[8, 0, 0, 0], 0.25) && close(&[3, 1], 0.8));
    }
}
