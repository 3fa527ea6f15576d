//! `hypersend-bench`: measures the figures that the design promises, with real processes, and says what bounds them.
//!
//! The program starts the release build of `hypersend-server` that lies beside it, and itself again for every client, so
//! that processor time and peak memory are the kernel's own accounts of one role each.
//!
//! | module | what it measures or does |
//! | --- | --- |
//! | [`throughput`] | upload and download, file to file, against raw QUIC streams |
//! | [`chat`] | message latency, idle and beside saturating bulk |
//! | [`http`] | the HTTP door, by each version, beside the native one |
//! | [`messages`] | messages persisted and fanned out per second |
//! | [`nodes`] | messages between clients of two servers on one database |
//! | [`long_chat`] | opening a chat of a million messages |
//! | [`resume`] | going on after kill -9, and the first chunk of a very large file |
//! | [`idle`] | memory of idle connections |
//! | [`relay`] | the relay against a direct way, its cost beside coturn's, and a crowd at it |
//! | [`nat`] | ways between clients behind NATs, and how soon |
//! | [`tunnels`] | a relay that is reached through tunnels, beside the same by UDP |
//! | [`role`] | what a child process does |
//! | [`process`] | child processes and the kernel's accounts of them |
//! | [`server`] | a real server with a data root of its own |
//! | [`warm`] | memory that the host does not take away meanwhile |
//! | [`spread`] | percentiles |
//! | [`report`], [`machine`] | the table, and where it was made |

mod chat;
mod http;
mod idle;
mod long_chat;
mod machine;
mod messages;
mod nat;
mod nodes;
mod process;
mod relay;
mod report;
mod resume;
mod role;
mod server;
mod settings;
mod spread;
mod throughput;
mod tunnels;
mod warm;

use anyhow::{Context, Result};
use clap::Parser;
use report::Report;
use settings::{Bench, Command, Settings};
use warm::Warm;

fn main() -> Result<()> {
    let settings = Settings::parse();
    if let Some(Command::Role { task }) = &settings.command {
        let task = serde_json::from_str(task).context("read the role's task")?;
        return role::run(task);
    }
    let mut report = Report::begin(&settings)?;
    let _warm = Warm::up(&settings)?;
    for bench in settings.benches() {
        eprintln!("--- {bench}");
        let measured = match bench {
            Bench::Throughput => throughput::measure(&settings, &mut report),
            Bench::Http => http::measure(&settings, &mut report),
            Bench::Chat => chat::measure(&settings, &mut report),
            Bench::Messages => messages::measure(&settings, &mut report),
            Bench::Nodes => nodes::measure(&settings, &mut report),
            Bench::LongChat => long_chat::measure(&settings, &mut report),
            Bench::Resume => resume::measure(&settings, &mut report),
            Bench::Idle => idle::measure(&settings, &mut report),
            Bench::Relay => relay::against_direct::measure(&settings, &mut report),
            Bench::RelayCost => relay::cost::measure(&settings, &mut report),
            Bench::RelayCrowd => relay::crowd::measure(&settings, &mut report),
            Bench::Tunnels => tunnels::measure(&settings, &mut report),
            Bench::Nat => nat::measure(&settings, &mut report),
        };
        measured.with_context(|| format!("measure {bench}"))?;
    }
    print!("{report}");
    if let Some(path) = &settings.out {
        std::fs::write(path, report.to_string()).with_context(|| format!("write {}", path.display()))?;
    }
    Ok(())
}
