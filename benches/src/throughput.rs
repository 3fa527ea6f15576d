//! Upload and download of one file over one connection on loopback, against raw QUIC streams in the same run.

use crate::{
    process::Process,
    report::{Figure, Report, Verdict},
    role::{Carried, Sink, Task},
    server::Server,
    settings::{Place, Settings},
    spread::{float, median},
};
use anyhow::{Context, Result, ensure};
use hypersend_protocol::hash::RootHash;
use std::{
    fs::File,
    io::Write,
    net::Ipv4Addr,
    path::Path,
    time::{Duration, Instant},
};

/// The part of raw QUIC's rate that is promised.
const BAR: f64 = 0.8;

/// The peak memory that is promised, in KiB.
const MEMORY_BAR_KIB: u64 = 96 << 10;

/// One transfer, from both ends.
struct Run {
    client: Carried,
    server_cpu: Duration,
    server_peak_kib: u64,
    bytes: u64,
    /// Writing as many bytes to the same place just before, if they were written.
    plain: Option<Duration>,
}

/// Raw, upload, raw, download, raw.
struct Round {
    raw: [Run; 3],
    upload: Run,
    download: Run,
}

/// Measures in memory, then on the disk.
pub(crate) fn measure(settings: &Settings, report: &mut Report) -> Result<()> {
    for place in [Place::Memory, Place::Disk] {
        let rounds: Vec<Round> = (0..settings.rounds.max(1))
            .map(|round| run_round(settings, place).with_context(|| format!("round {round} in {place}")))
            .collect::<Result<_>>()?;
        conclude(report, place, "upload", &rounds, |round| (&round.upload, &round.raw[0], &round.raw[1]));
        conclude(report, place, "download", &rounds, |round| (&round.download, &round.raw[1], &round.raw[2]));
        memory(report, place, &rounds);
        details(report, place, &rounds);
    }
    Ok(())
}

fn run_round(settings: &Settings, place: Place) -> Result<Round> {
    let dir = settings.scratch(place)?;
    let source = dir.path().join("source");
    let root = make_file(&source, settings.bytes())?;
    let server = Server::start(settings, dir.path())?;
    let raw_sink = Process::role("raw sink", &Task::RawSink { at: Ipv4Addr::LOCALHOST.into(), seat: None })?;
    let sink: Sink = raw_sink.hear()?;
    let raw = || raw(&raw_sink, &sink, settings.bytes());

    let first = raw()?;
    let upload = Task::Upload { login: server.login("ann"), file: source.clone() };
    let upload = carry(&server, dir.path(), "upload", &upload, settings.bytes())?;
    let file = upload.client.file.clone().context("an upload gives a file")?;
    ensure!(file.root == root, "the server has {}, and the file is {root}", file.root);
    let second = raw()?;
    let to = dir.path().join("fetched");
    let download = Task::Download { login: server.login("ann"), file: file.id, to: to.clone() };
    let download = carry(&server, dir.path(), "download", &download, settings.bytes())?;
    ensure!(hash_file(&to)? == root, "what was fetched is not what was sent");
    let third = raw()?;
    Ok(Round { raw: [first, second, third], upload, download })
}

fn raw(sink_process: &Process, sink: &Sink, bytes: u64) -> Result<Run> {
    let mut source = Process::role("raw source", &Task::RawSource { sink: sink.clone(), bytes, seat: None })?;
    source.hear::<()>()?;
    let before = sink_process.usage()?;
    let client: Carried = source.ask(&())?;
    let after = sink_process.usage()?;
    Ok(Run {
        client,
        server_cpu: after.cpu.saturating_sub(before.cpu),
        server_peak_kib: after.peak_kib,
        bytes,
        plain: None,
    })
}

fn carry(server: &Server, dir: &Path, name: &str, task: &Task, bytes: u64) -> Result<Run> {
    let mut client = Process::role(name, task)?;
    client.hear::<()>()?;
    server.reset_peak()?;
    let plain = Some(write_plainly(dir, bytes)?);
    let before = server.usage()?;
    let carried: Carried = client.ask(&())?;
    let after = server.usage()?;
    let server_cpu = after.cpu.saturating_sub(before.cpu);
    Ok(Run { client: carried, server_cpu, server_peak_kib: after.peak_kib, bytes, plain })
}

/// Writes as many bytes to the same place with nothing else to do: what the place itself costs.
pub(crate) fn write_plainly(dir: &Path, bytes: u64) -> Result<Duration> {
    let path = dir.join("plain");
    let mut file = File::create(&path).context("write a file")?;
    let piece = vec![0; 1 << 20];
    let start = Instant::now();
    for _ in 0..bytes >> 20 {
        file.write_all(&piece)?;
    }
    let elapsed = start.elapsed();
    drop(file);
    std::fs::remove_file(path)?;
    Ok(elapsed)
}

/// Bytes that nothing can compress or guess, on the platter; gives their hash.
pub(crate) fn make_file(path: &Path, bytes: u64) -> Result<RootHash> {
    let mut file = File::create(path).context("make the file to send")?;
    let mut hasher = blake3::Hasher::new();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut piece = vec![0; 1 << 20];
    for _ in 0..bytes >> 20 {
        for word in piece.as_chunks_mut::<8>().0 {
            // xorshift64 (Marsaglia, 2003).
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            *word = state.to_le_bytes();
        }
        hasher.update(&piece);
        file.write_all(&piece)?;
    }
    file.sync_all()?;
    Ok(RootHash(hasher.finalize().into()))
}

/// The hash of what was fetched.
pub(crate) fn hash_file(path: &Path) -> Result<RootHash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path).context("open what was fetched")?)?;
    Ok(RootHash(hasher.finalize().into()))
}

impl Run {
    /// Bytes per second, flushing and checking included.
    fn rate(&self) -> f64 {
        float(self.bytes) / self.client.elapsed.as_secs_f64()
    }

    /// Bytes per second until the last chunk was stored.
    fn stored_rate(&self) -> f64 {
        float(self.bytes) / self.client.stored.as_secs_f64()
    }

    /// Bytes per second of a plain write just before.
    fn plain_rate(&self) -> f64 {
        self.plain.map_or(f64::NAN, |plain| float(self.bytes) / plain.as_secs_f64())
    }

    /// Processor seconds of the client and of the server for each 10^9 bytes.
    fn cpu_per_gb(&self) -> (f64, f64) {
        let per_gb = |cpu: Duration| cpu.as_secs_f64() / float(self.bytes) * 1e9;
        (per_gb(self.client.cpu), per_gb(self.server_cpu))
    }

    /// How many cores both ends kept busy.
    fn cores(&self) -> f64 {
        (self.client.cpu + self.server_cpu).as_secs_f64() / self.client.elapsed.as_secs_f64()
    }
}

fn conclude(
    report: &mut Report,
    place: Place,
    what: &str,
    rounds: &[Round],
    pick: impl Fn(&Round) -> (&Run, &Run, &Run),
) {
    let over = |value: &dyn Fn(&Round) -> f64| median(rounds.iter().map(value).collect());
    let raw_rate = |round: &Round| f64::midpoint(pick(round).1.rate(), pick(round).2.rate());
    let rate = over(&|round| pick(round).0.rate());
    let stored = over(&|round| pick(round).0.stored_rate());
    let raw = over(&raw_rate);
    let ratio = over(&|round| pick(round).0.rate() / raw_rate(round));
    let cores = over(&|round| pick(round).0.cores());
    let (client, server) = (over(&|round| pick(round).0.cpu_per_gb().0), over(&|round| pick(round).0.cpu_per_gb().1));
    let machine = report.machine();
    let bound = if place == Place::Disk && rate > 0.8 * machine.disk_rate {
        format!("the disk ({:.0} MB/s)", machine.disk_rate / 1e6)
    } else {
        let plain = over(&|round| pick(round).0.plain_rate());
        format!(
            "{cores:.1} of {} cores busy: {client:.2} s/GB at the client, {server:.2} at the server; \
             a plain write of as much just before made {:.0} MB/s",
            machine.cores,
            plain / 1e6
        )
    };
    report.figure(Figure {
        what: format!("{what}, file to file, in {place}, against raw QUIC"),
        bar: format!(">= {BAR}"),
        measured: format!("{:.0} MB/s ({:.0} to the last chunk) of {:.0}", rate / 1e6, stored / 1e6, raw / 1e6),
        ratio: Some(ratio),
        // Without a disk it is the engine that is measured; with one, the slower of the two.
        verdict: Verdict::of(ratio >= BAR),
        bound,
    });
}

fn memory(report: &mut Report, place: Place, rounds: &[Round]) {
    let runs = || rounds.iter().flat_map(|round| [&round.upload, &round.download]);
    let client = runs().map(|run| run.client.peak_kib).max().unwrap_or(0);
    let server = runs().map(|run| run.server_peak_kib).max().unwrap_or(0);
    for (who, peak) in [("client", client), ("server", server)] {
        report.figure(Figure {
            what: format!("peak memory of the {who} during transfers in {place}"),
            bar: "<= 96 MiB".to_owned(),
            measured: format!("{} MiB", peak >> 10),
            ratio: Some(float(peak) / float(MEMORY_BAR_KIB)),
            verdict: Verdict::of(peak <= MEMORY_BAR_KIB),
            bound: "chunks in flight, and what the allocator keeps".to_owned(),
        });
    }
}

fn details(report: &mut Report, place: Place, rounds: &[Round]) {
    let row = |round: usize, name: &str, run: &Run| {
        let (client, server) = run.cpu_per_gb();
        vec![
            round.to_string(),
            name.to_owned(),
            format!("{:.0}", run.rate() / 1e6),
            format!("{:.0}", run.stored_rate() / 1e6),
            format!("{client:.2}"),
            format!("{server:.2}"),
            (run.client.peak_kib >> 10).to_string(),
            (run.server_peak_kib >> 10).to_string(),
        ]
    };
    let rows = (1..).zip(rounds).flat_map(|(number, round)| {
        let [first, second, third] = &round.raw;
        let runs =
            [("raw", first), ("upload", &round.upload), ("raw", second), ("download", &round.download), ("raw", third)];
        runs.map(|(name, run)| row(number, name, run))
    });
    let head =
        ["round", "run", "MB/s", "MB/s to the last chunk", "client s/GB", "server s/GB", "client MiB", "server MiB"];
    report.table(&format!("Throughput in {place}"), &head, rows.collect());
}
