//! `hypersend-server`: reads the settings, runs the server until SIGTERM or SIGINT, or does what an operator asks for instead.

use anyhow::{Context, Result};
use clap::Parser;
use hypersend_server::{
    Server, Settings,
    doctor::{self, Finding},
    settings::{Command, Environment, Flags, LogFormat, read_dotenv, utf8},
    store::{self, Migrated, archive},
};
use std::{
    io::{IsTerminal, Write},
    path::Path,
    process::ExitCode,
    time::Duration,
};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;

/// The target of the lines that say what the settings are: logged whatever `LOG` says.
const SETTINGS: &str = "settings";

/// How long work that blocks may go on when everything else has stopped: part of the promise to stop within 10 s.
const LAST_BLOCKERS: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let flags = Flags::parse();
    run(&flags).unwrap_or_else(|error| {
        eprintln!("hypersend-server: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(flags: &Flags) -> Result<ExitCode> {
    let mut environment: Environment = read_dotenv(Path::new(".env"))?;
    environment.extend(utf8(std::env::vars_os()));
    let settings = Settings::load(flags, &environment)?;
    log_to_stderr(&settings)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    let done = runtime.block_on(async {
        match &flags.command {
            None => serve(&settings).await.map(|()| ExitCode::SUCCESS),
            Some(command) => carry_out(command, &settings).await,
        }
    });
    // Dropping it would wait for whatever still blocks, however long.
    runtime.shutdown_timeout(LAST_BLOCKERS);
    done
}

/// Does what an operator asks for, and says on standard output what came of it.
async fn carry_out(command: &Command, settings: &Settings) -> Result<ExitCode> {
    let (mut out, place) = (std::io::stdout(), settings.database());
    match command {
        Command::Migrate => {
            let Migrated { found, now } = store::migrate(&place).await?;
            writeln!(out, "schema version {found} found, {now} now")?;
        }
        Command::Export { file } => {
            let counts = archive::export(&place, file).await?;
            writeln!(out, "exported to {}: {}", file.display(), said(&counts))?;
        }
        Command::Import { file } => {
            let counts = archive::import(&place, file).await?;
            writeln!(out, "imported from {}: {}", file.display(), said(&counts))?;
        }
        Command::Doctor => {
            let findings = doctor::examine(settings).await;
            findings.iter().try_for_each(|finding| writeln!(out, "{finding}"))?;
            return Ok(if findings.iter().any(Finding::is_failure) { ExitCode::FAILURE } else { ExitCode::SUCCESS });
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// How many of each kind.
fn said(counts: &archive::Counts) -> String {
    let counts: Vec<String> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    counts.join(", ")
}

async fn serve(settings: &Settings) -> Result<()> {
    // Before anything is announced, so that whoever reads the announcement may signal at once.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    for line in settings.to_string().lines() {
        tracing::info!(target: SETTINGS, setting = line, "effective");
    }
    let server = Server::start(settings).await?;
    let certificate = server.certificate();
    let kind = if certificate.development { "development" } else { "operator's" };
    tracing::info!(kind, fingerprint = %certificate.fingerprint, "certificate");
    let stopping = CancellationToken::new();
    let address = server.local_addr()?;
    let mut running = tokio::spawn(server.run(stopping.clone()));
    announce(address)?;
    tokio::select! {
        _ = terminate.recv() => tracing::info!("stopping on SIGTERM"),
        _ = interrupt.recv() => tracing::info!("stopping on SIGINT"),
        ended = &mut running => return ended.context("run the server")?.context("serve"),
    }
    stopping.cancel();
    running.await.context("run the server")?.context("stop the server")?;
    tracing::info!("stopped");
    Ok(())
}

/// The one line on standard output, which scripts wait for.
fn announce(address: std::net::SocketAddr) -> Result<()> {
    let mut out = std::io::stdout();
    writeln!(out, "listening on {address}")?;
    out.flush()?;
    Ok(())
}

fn log_to_stderr(settings: &Settings) -> Result<()> {
    let filter = EnvFilter::try_new(&settings.log).with_context(|| format!("LOG={:?}", settings.log))?;
    let filter = filter.add_directive(format!("{SETTINGS}=info").parse().context("log the settings")?);
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match settings.log_format {
        LogFormat::Text => log.with_ansi(std::io::stderr().is_terminal()).init(),
        LogFormat::Json => log.json().init(),
    }
    Ok(())
}
