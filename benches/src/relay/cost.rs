//! What it costs to pass datagrams on: processor time of the relay for each GB, beside coturn's for the same traffic.

use super::programs::{Coturn, Relay};
use crate::{
    process::{Process, Usage},
    report::{Figure, Report, Verdict},
    role::{Passed, Run, Shape, Task, Through, Way},
    settings::{Place, Settings},
    spread::{float, median},
};
use anyhow::Result;
use std::{net::Ipv4Addr, time::Duration};

/// Bytes of the datagrams: QUIC's least, and the most that the product sends on Ethernet.
const SIZES: [usize; 2] = [1_200, 1_452];

/// Datagrams that the sender hands to its kernel in one call: one, or as many as quinn does.
const TOGETHER: [usize; 2] = [1, 10];

/// Pairs of clients: enough for both programs to use several threads.
const PAIRS: u32 = 4;

/// How long each run takes.
const LASTING: Duration = Duration::from_secs(2);

/// Rounds; medians are quoted.
const ROUNDS: usize = 3;

/// One run through one program.
struct Cost {
    passed: Passed,
    cpu: Duration,
    bytes: u64,
}

/// Measures both programs by turns, for each kind of traffic.
pub(crate) fn measure(settings: &Settings, report: &mut Report) -> Result<()> {
    let relay = Relay::start(settings, None, Ipv4Addr::LOCALHOST, &[])?;
    let dir = settings.scratch(Place::Memory)?;
    let Some(coturn) = Coturn::start(dir.path())? else {
        report.note("The relay's cost beside coturn's was left out: there is no turnserver on the path.");
        return Ok(());
    };
    let mut rows = Vec::new();
    for together in TOGETHER {
        for bytes in SIZES {
            let shape = Shape { pairs: PAIRS, bytes, together };
            compare(report, &mut rows, shape, &relay, &coturn)?;
        }
    }
    let head = [
        "program",
        "bytes",
        "datagrams in a call",
        "way",
        "datagrams/s",
        "MB/s",
        "s/GB",
        "datagrams for a second of processor",
        "lost in 1000",
    ];
    report.table("What passing datagrams on costs", &head, rows);
    report.note(format!(
        "coturn is {} as Debian has it, with its usual threads, without credentials, TCP, TLS or a log. In either program {PAIRS} pairs of \
         clients use the same sockets and calls; a sender waits when 40 datagrams are under way. On the way there coturn \
         takes off the four bytes of ChannelData, on the way back it puts them in front; what counts are the bytes behind \
         them. The relay takes and sends datagrams in batches where the kernel has them so (GRO and GSO), coturn one by \
         one; where the sender hands over ten in a call, loopback delivers them so.",
        coturn.version
    ));
    Ok(())
}

fn compare(
    report: &mut Report,
    rows: &mut Vec<Vec<String>>,
    shape: Shape,
    relay: &Relay,
    coturn: &Coturn,
) -> Result<()> {
    let traffic = |name, through| -> Result<Process> {
        let process = Process::role(name, &Task::Traffic { through, shape })?;
        process.hear::<()>()?;
        Ok(process)
    };
    let mut by_relay = traffic("relay's clients", Through::Relay(relay.address))?;
    let mut by_coturn = traffic("coturn's clients", Through::Turn(coturn.address))?;
    let mut costs: [[Vec<Cost>; 2]; 2] = [const { [const { Vec::new() }; 2] }; 2];
    for _ in 0..ROUNDS {
        for (number, way) in [Way::There, Way::Back].into_iter().enumerate() {
            costs[0][number].push(run(&mut by_relay, way, shape, || relay.usage())?);
            costs[1][number].push(run(&mut by_coturn, way, shape, || coturn.usage())?);
        }
    }
    let over = |costs: &[Cost], value: fn(&Cost) -> f64| median(costs.iter().map(value).collect());
    let both_ways = |costs: &[Vec<Cost>; 2], value| f64::midpoint(over(&costs[0], value), over(&costs[1], value));
    let [ours, theirs] = [0, 1].map(|program| both_ways(&costs[program], Cost::per_gb));
    let [our_rate, their_rate] = [0, 1].map(|program| both_ways(&costs[program], Cost::rate));
    report.figure(Figure {
        what: format!(
            "processor time of the relay for each GB in datagrams of {} bytes, {} in a call of the sender",
            shape.bytes, shape.together
        ),
        bar: "< coturn's".to_owned(),
        measured: format!("{ours:.2} s/GB of {theirs:.2}; {our_rate:.0} datagrams/s of {their_rate:.0}"),
        ratio: Some(ours / theirs),
        verdict: Verdict::of(ours < theirs),
        bound: if shape.together == 1 {
            "the kernel's work for each packet, which is sent and received alone".to_owned()
        } else {
            "the kernel's copies of what it takes and gives in batches".to_owned()
        },
    });
    for (program, costs) in ["relay", "coturn"].into_iter().zip(&costs) {
        for (way, costs) in ["there", "back"].into_iter().zip(costs) {
            rows.push(vec![
                program.to_owned(),
                shape.bytes.to_string(),
                shape.together.to_string(),
                way.to_owned(),
                format!("{:.0}", over(costs, Cost::rate)),
                format!("{:.0}", over(costs, |cost| float(cost.bytes) / cost.passed.elapsed.as_secs_f64() / 1e6)),
                format!("{:.2}", over(costs, Cost::per_gb)),
                format!("{:.0}", over(costs, |cost| float(cost.passed.datagrams) / cost.cpu.as_secs_f64())),
                format!("{:.1}", over(costs, Cost::lost)),
            ]);
        }
    }
    Ok(())
}

fn run(clients: &mut Process, way: Way, shape: Shape, usage: impl Fn() -> Result<Usage>) -> Result<Cost> {
    let before = usage()?;
    let passed: Passed = clients.ask(&Run { way, lasting: LASTING })?;
    let cpu = usage()?.cpu.saturating_sub(before.cpu);
    Ok(Cost { passed, cpu, bytes: passed.datagrams * shape.bytes as u64 })
}

impl Cost {
    /// Processor seconds for each 10^9 bytes.
    fn per_gb(&self) -> f64 {
        self.cpu.as_secs_f64() / float(self.bytes) * 1e9
    }

    /// Datagrams in a second.
    fn rate(&self) -> f64 {
        float(self.passed.datagrams) / self.passed.elapsed.as_secs_f64()
    }

    /// Of a thousand.
    fn lost(&self) -> f64 {
        float(self.passed.lost) / float(self.passed.lost + self.passed.datagrams) * 1e3
    }
}
