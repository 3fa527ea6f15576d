//! One run of the program: what every command needs, and how it ends.

use crate::{
    args::{Arguments, Command, Options, SendArguments},
    commands,
    config::{Account, Folder, Login},
    failure::{Exit, Failure},
    output::Output,
    talk::Talk,
};
use hypersend_client::{Client, ServerAddress};
use std::{
    pin::pin,
    process::ExitCode,
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};
use tokio::{runtime::Runtime, signal, time::sleep};
use tokio_util::sync::CancellationToken;

/// How long an interrupted command may take to say goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

/// What every command needs.
pub(crate) struct Context {
    pub(crate) options: Options,
    pub(crate) folder: Folder,
    pub(crate) talk: Talk,
    pub(crate) out: Output,
    /// Connected clients, to be closed in good order at the end.
    clients: Mutex<Vec<Client>>,
    /// Cancelled by an interruption, where a command has something to say before it ends.
    farewell: OnceLock<CancellationToken>,
}

/// Runs a command to its exit code.
pub(crate) fn run(arguments: Arguments) -> ExitCode {
    let json = arguments.options.json;
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return Failure::new(Exit::Failed, "failed", format!("start: {error}")).tell(json),
    };
    let done = runtime.block_on(run_async(arguments));
    // A thread that waits for somebody to type ends with the process.
    runtime.shutdown_background();
    match done {
        Ok(()) => Exit::Done.into(),
        Err(failure) => failure.tell(json),
    }
}

async fn run_async(Arguments { options, command }: Arguments) -> Result<(), Failure> {
    let folder = Folder::open(options.config_dir.clone())?;
    let talk = Talk::new(options.json, options.quiet);
    let out = Output::new(options.json);
    let context = Context { options, folder, talk, out, clients: Mutex::default(), farewell: OnceLock::new() };
    let interrupted = when_interrupted(&command);
    let mut running = pin!(commands::run(command, &context));
    let done = tokio::select! {
        done = &mut running => done,
        // Without the signal handler the signal ends the process as it always did.
        Ok(()) = signal::ctrl_c() => match context.farewell.get() {
            None => Err(interrupted),
            Some(farewell) => {
                farewell.cancel();
                tokio::select! {
                    done = &mut running => done,
                    // Nobody is held up who is in a hurry.
                    Ok(()) = signal::ctrl_c() => Err(interrupted),
                    () = sleep(GOODBYE) => Err(interrupted),
                }
            }
        },
    };
    context.close().await;
    done.map_err(|failure| context.explain_by_account(failure))
}

fn when_interrupted(command: &Command) -> Failure {
    match command {
        Command::Send(SendArguments { direct: true, .. }) | Command::Receive { .. } => {
            Failure::interrupted("interrupted; what has arrived stays")
                .or_try("the same command: it goes on from there")
        }
        Command::Send(send) if send.is_text() => {
            Failure::interrupted("interrupted").or_try("the same command: the message is posted once")
        }
        Command::Upload { .. } | Command::Download { .. } | Command::Send(_) => {
            Failure::interrupted("interrupted; what is stored stays").or_try("the same command: it goes on from there")
        }
        _ => Failure::interrupted("interrupted"),
    }
}

impl Context {
    /// The login of this folder.
    pub(crate) fn account(&self) -> Result<Account, Failure> {
        self.folder.account()?.ok_or_else(Failure::not_logged_in)
    }

    /// What that login takes to go on with it.
    pub(crate) fn login(&self) -> Result<Login, Failure> {
        let Account { server, email, ca, vouched, .. } = self.account()?;
        Ok(Login { server, email, ca, vouched })
    }

    /// Has a client closed at the end.
    pub(crate) fn close_later(&self, client: Client) {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner).push(client);
    }

    /// What an interruption cancels from now on, instead of ending the command: which then ends by itself, and soon.
    pub(crate) fn farewell(&self) -> CancellationToken {
        self.farewell.get_or_init(CancellationToken::new).clone()
    }

    async fn close(&self) {
        let clients = std::mem::take(&mut *self.clients.lock().unwrap_or_else(PoisonError::into_inner));
        futures::future::join_all(clients.iter().map(Client::close)).await;
    }

    /// Adds to a failure what only this folder knows: how to log in again, and which line to remove.
    pub(crate) fn explain(&self, failure: Failure, server: &ServerAddress) -> Failure {
        if failure.wants_known_host()
            && let Ok(Some(known)) = self.folder.known_host(server)
        {
            let (line, file) = (known.line, self.folder.known_hosts_path());
            let remedy =
                format!("if the new one is right: remove line {line} of {}, and repeat the command", file.display());
            return failure.or_try(remedy);
        }
        match self.folder.account() {
            Ok(Some(account)) if failure.wants_account() => {
                failure.or_try(format!("hypersend login {} {}", account.server, account.email))
            }
            _ => failure,
        }
    }

    fn explain_by_account(&self, failure: Failure) -> Failure {
        match self.folder.account() {
            Ok(Some(account)) => self.explain(failure, &account.server),
            _ => failure,
        }
    }
}
