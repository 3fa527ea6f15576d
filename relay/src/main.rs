//! `hypersend-relay`: runs the relay until SIGTERM or SIGINT.

use anyhow::{Context, Result, bail};
use clap::Parser;
use hypersend_protocol::{id::RelayId, name::Token};
use hypersend_relay::{
    Flags, Settings, Switch, metrics,
    register::{Registered, Registrar, Registration},
};
use std::{
    io::{IsTerminal, Write},
    net::SocketAddr,
    process::ExitCode,
    thread::available_parallelism,
};
use tokio::{
    net::TcpListener,
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;
use tracing_subscriber::EnvFilter;
use uuid::Uuid;

fn main() -> ExitCode {
    match run(&Flags::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("hypersend-relay: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(flags: &Flags) -> Result<()> {
    let filter = EnvFilter::try_new(&flags.log).with_context(|| format!("--log {:?}", flags.log))?;
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    log.with_ansi(std::io::stderr().is_terminal()).init();
    let sockets = flags.sockets.map_or_else(|| available_parallelism().map_or(1, usize::from).min(64), usize::from);
    // A thread for each socket of a port, and one for signals, the sweep and the metrics.
    let runtime = Builder::new_multi_thread().worker_threads(sockets + 1).enable_all().build();
    runtime.context("start the runtime")?.block_on(serve(flags, sockets))
}

async fn serve(flags: &Flags, sockets: usize) -> Result<()> {
    // Before anything is announced, so that whoever reads the announcement may signal at once.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let id = flags.id.unwrap_or_else(|| RelayId(Uuid::now_v7()));
    let registrar = registrar(flags, id)?;
    let introduced = match &registrar {
        None => None,
        Some(registrar) => tokio::select! {
            introduced = registrar.introduce() => Some(introduced?),
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        },
    };
    let settings = settings(flags, id, introduced)?;
    let switch = Switch::bind(&settings, &flags.listen, sockets)?;
    let addresses = switch.local_addrs().context("ask for the addresses")?;
    if let Some(address) = flags.metrics {
        let failed = || format!("listen on {address} (TCP); choose another address by --metrics");
        let listener = TcpListener::bind(address).await.with_context(failed)?;
        tracing::info!(address = %listener.local_addr().with_context(failed)?, "metrics");
        tokio::spawn(metrics::serve(listener, switch.observer()));
    }
    tracing::info!(id = %settings.id, capacity = settings.capacity, sockets, "relay");
    let (stopping, observer) = (CancellationToken::new(), switch.observer());
    let mut running = tokio::spawn(switch.run(stopping.clone(), flags.drain));
    announce(&addresses)?;
    let registering = async {
        match (&registrar, introduced) {
            (Some(registrar), Some(introduced)) => registrar.keep(introduced, &addresses, &observer).await,
            _ => std::future::pending().await,
        }
    };
    let mut stop = async || {
        tokio::select! {
            _ = terminate.recv() => tracing::info!("SIGTERM"),
            _ = interrupt.recv() => tracing::info!("SIGINT"),
        }
    };
    let ended = tokio::select! {
        () = stop() => Ok(()),
        ended = &mut running => ended.context("run the relay")?.map_err(anyhow::Error::from),
        changed = registering => match changed {
            Err(error) => Err(error.into()),
            Ok(never) => match never {},
        },
    };
    // Whatever the reason is: nobody is sent here any more, and who is here may go on.
    stopping.cancel();
    let leaving = async {
        let farewell = async {
            if let Some(registrar) = &registrar {
                registrar.farewell().await;
            }
        };
        let drained = async {
            if running.is_finished() {
                return Ok(());
            }
            running.await.context("run the relay")?.map_err(anyhow::Error::from)
        };
        tokio::join!(farewell, drained).1
    };
    tokio::select! {
        () = stop() => tracing::info!("stopped at once"),
        drained = leaving => drained?,
    }
    ended
}

fn registrar(flags: &Flags, id: RelayId) -> Result<Option<Registrar>> {
    let Some(server) = flags.server.clone() else { return Ok(None) };
    let token = match &flags.token {
        Some(token) => String::from(token.clone()),
        None => {
            let token =
                std::env::var("RELAY_TOKEN").context("--server needs the server's RELAY_TOKEN in the environment")?;
            // A file that it was read from ends with a line break.
            String::from(Token::parse(token.trim()).context("RELAY_TOKEN")?)
        }
    };
    let registration = Registration {
        server,
        fingerprint: flags.server_fingerprint,
        token,
        id,
        name: flags.name.clone(),
        announce: flags.announce.clone(),
        max_sessions: flags.max_sessions,
    };
    Ok(Some(Registrar::new(registration)?))
}

fn settings(flags: &Flags, id: RelayId, introduced: Option<Registered>) -> Result<Settings> {
    let mut cookie_secret = [0; 32];
    getrandom::fill(&mut cookie_secret).context("ask the system for random bytes")?;
    let told = introduced.map(|introduced| introduced.server_key);
    if let (Some(told), Some(given)) = (told, flags.server_key)
        && told != given
    {
        bail!("the server says another key than --server-key; leave --server-key out, or look whom --server names");
    }
    let key = told.or(flags.server_key).context("give --server or --server-key")?;
    let mut settings = Settings::new(id, key, cookie_secret);
    settings.capacity = flags.capacity;
    settings.session_capacity = flags.session_capacity;
    settings.max_sessions = flags.max_sessions;
    settings.max_sessions_of_user = flags.max_sessions_of_user;
    Ok(settings)
}

/// What is on standard output, which scripts wait for: a line for each address.
fn announce(addresses: &[SocketAddr]) -> Result<()> {
    let mut out = std::io::stdout();
    for address in addresses {
        writeln!(out, "listening on {address}")?;
    }
    out.flush()?;
    Ok(())
}
