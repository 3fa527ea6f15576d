//! The HTTP door beside the native one, in the same run: a large file up and down, and small requests.

use crate::{
    process::Process,
    report::{Figure, Report, Verdict},
    role::{Carried, HttpDone, HttpJob, HttpVersion, Login, Task},
    server::Server,
    settings::{Place, Settings},
    spread::{Spread, float, median, millis},
    throughput::{hash_file, make_file},
};
use anyhow::{Context, Result, ensure};
use hypersend_protocol::id::FileId;
use serde::de::DeserializeOwned;
use std::{path::Path, time::Duration};

/// The part of the native protocol's rate that is promised of HTTP/3.
const BAR: f64 = 0.8;

/// Small requests under way at once.
const DEPTH: usize = 32;

const VERSIONS: [HttpVersion; 3] = [HttpVersion::Http3, HttpVersion::Http2, HttpVersion::Http1];

/// One transfer, from both ends.
struct Run {
    bytes: u64,
    client: Carried,
    server_cpu: Duration,
    server_peak_kib: u64,
}

/// One door's two transfers.
struct Pair {
    upload: Run,
    download: Run,
}

/// The native protocol, each version of HTTP, and the native protocol over TCP.
const DOORS: usize = 5;

/// Measures in memory, so that the disk is not what is measured.
pub(crate) fn measure(settings: &Settings, report: &mut Report) -> Result<()> {
    let rounds = settings.rounds.max(1);
    let transfers: Vec<[Pair; DOORS]> = (0..rounds).map(|_| transfers(settings)).collect::<Result<_>>()?;
    for (what, pick) in [("upload", (|pair| &pair.upload) as fn(&Pair) -> &Run), ("download", |pair| &pair.download)] {
        conclude(report, what, &transfers, pick);
    }
    details(report, &transfers);
    small(settings, report)
}

/// By each door.
fn transfers(settings: &Settings) -> Result<[Pair; DOORS]> {
    let dir = settings.scratch(Place::Memory)?;
    let (source, to) = (dir.path().join("source"), dir.path().join("fetched"));
    let root = make_file(&source, settings.bytes())?;
    let server = Server::start(settings, dir.path())?;
    let login = || server.login("ann");
    let fetched = |to: &Path| -> Result<()> {
        ensure!(hash_file(to)? == root, "what was fetched is not what was sent");
        Ok(std::fs::remove_file(to)?)
    };

    let native = |tcp| -> Result<Pair> {
        // Nobody sends a file that is theirs already.
        let login = || Login { tcp, ..server.login(if tcp { "bob" } else { "ann" }) };
        let run = |task| {
            carry(&server, &task, settings.bytes(), |carried: Carried| {
                let file = carried.file.as_ref().map(|file| file.id);
                (carried, file)
            })
        };
        let (upload, file) = run(Task::Upload { login: login(), file: source.clone() })?;
        let file = file.context("an upload gives a file")?;
        let (download, _) = run(Task::Download { login: login(), file, to: to.clone() })?;
        fetched(&to)?;
        Ok(Pair { upload, download })
    };
    let (native, native_tcp) = (native(false)?, native(true)?);

    let by_http = |version: HttpVersion| -> Result<Pair> {
        let run = |job| {
            let task = Task::Http { login: login(), version, job };
            carry(&server, &task, settings.bytes(), |done: HttpDone| (done.carried, done.file))
        };
        let (upload, file) = run(HttpJob::Upload(source.clone()))?;
        let file = file.context("an upload gives a file")?;
        let (download, _) = run(HttpJob::Download(file, to.clone()))?;
        fetched(&to)?;
        Ok(Pair { upload, download })
    };
    let [http3, http2, http1] = VERSIONS.map(by_http);
    Ok([native, http3?, http2?, http1?, native_tcp])
}

fn carry<T: DeserializeOwned>(
    server: &Server,
    task: &Task,
    bytes: u64,
    split: impl FnOnce(T) -> (Carried, Option<FileId>),
) -> Result<(Run, Option<FileId>)> {
    let mut client = Process::role("client", task)?;
    client.hear::<()>()?;
    server.reset_peak()?;
    let before = server.usage()?;
    let (carried, file) = split(client.ask(&())?);
    let after = server.usage()?;
    let server_cpu = after.cpu.saturating_sub(before.cpu);
    Ok((Run { bytes, client: carried, server_cpu, server_peak_kib: after.peak_kib }, file))
}

impl Run {
    /// Bytes per second.
    fn rate(&self) -> f64 {
        float(self.bytes) / self.client.elapsed.as_secs_f64()
    }

    /// Processor seconds for each 10^9 bytes.
    fn per_gb(&self, cpu: Duration) -> f64 {
        cpu.as_secs_f64() / float(self.bytes) * 1e9
    }
}

fn conclude(report: &mut Report, what: &str, rounds: &[[Pair; DOORS]], pick: fn(&Pair) -> &Run) {
    let over = |value: &dyn Fn(&[Pair; DOORS]) -> f64| median(rounds.iter().map(value).collect());
    let rate = |door: usize| over(&|round| pick(&round[door]).rate()) / 1e6;
    let ratio_of = |round: &[Pair; DOORS]| pick(&round[1]).rate() / pick(&round[0]).rate();
    let ratio = over(&ratio_of);
    let (least, most) = rounds
        .iter()
        .map(ratio_of)
        .fold((f64::MAX, f64::MIN), |(least, most), ratio| (ratio.min(least), ratio.max(most)));
    let cores = report.machine().cores;
    report.figure(Figure {
        what: format!("{what} by HTTP/3, in memory, against the native protocol"),
        bar: format!(">= {BAR}"),
        measured: format!(
            "{:.0} MB/s of {:.0}, {least:.2} to {most:.2} in the rounds; HTTP/2 {:.0}, HTTP/1.1 {:.0}, \
             native over TCP {:.0}",
            rate(1),
            rate(0),
            rate(2),
            rate(3),
            rate(4)
        ),
        ratio: Some(ratio),
        verdict: Verdict::of(ratio >= BAR),
        bound: format!("the {cores} cores, which both ends share"),
    });
}

fn details(report: &mut Report, rounds: &[[Pair; DOORS]]) {
    let versions = VERSIONS.map(|version| version.to_string());
    let names = ["native".to_owned()].into_iter().chain(versions).chain(["native over TCP".to_owned()]);
    let names: Vec<_> = names.collect();
    let row = |round: usize, name: &str, what: &str, run: &Run| {
        vec![
            round.to_string(),
            format!("{name} {what}"),
            format!("{:.0}", run.rate() / 1e6),
            format!("{:.2}", run.per_gb(run.client.cpu)),
            format!("{:.2}", run.per_gb(run.server_cpu)),
            (run.client.peak_kib >> 10).to_string(),
            (run.server_peak_kib >> 10).to_string(),
        ]
    };
    let rows = (1..).zip(rounds).flat_map(|(number, round)| {
        let pairs = names.iter().zip(round);
        pairs.flat_map(move |(name, pair)| {
            [row(number, name, "upload", &pair.upload), row(number, name, "download", &pair.download)]
        })
    });
    let head = ["round", "run", "MB/s", "client s/GB", "server s/GB", "client MiB", "server MiB"];
    report.table("Both doors: a file in memory", &head, rows.collect());
}

/// Requests that carry next to nothing.
fn small(settings: &Settings, report: &mut Report) -> Result<()> {
    let dir = settings.scratch(Place::Memory)?;
    let server = Server::start(settings, dir.path())?;
    let (login, lasting) = (|| server.login("ann"), Duration::from_secs(settings.seconds.into()));
    let mut client = Process::role("asker", &Task::Asker { login: login(), lasting, depth: DEPTH })?;
    client.hear::<()>()?;
    let mut rows = vec![requests("native", lasting, client.ask(&())?)];
    for version in VERSIONS {
        let job = HttpJob::Ask { lasting, depth: DEPTH };
        let mut client = Process::role("asker", &Task::Http { login: login(), version, job })?;
        client.hear::<()>()?;
        let done: HttpDone = client.ask(&())?;
        rows.push(requests(&version.to_string(), lasting, done.asked));
    }
    let head = ["door", "requests/s", "p50 ms", "p99 ms", "longest ms"];
    report.table(&format!("Both doors: who am I, {DEPTH} requests at once"), &head, rows);
    Ok(())
}

fn requests(door: &str, lasting: Duration, asked: Spread) -> Vec<String> {
    let count = u64::try_from(asked.count).unwrap_or(u64::MAX);
    let rate = float(count) / lasting.as_secs_f64();
    vec![door.to_owned(), format!("{rate:.0}"), millis(asked.p50), millis(asked.p99), millis(asked.max)]
}
