//! What a child process of this program does.
//!
//! A role prints one line of JSON when it is ready, then answers each line that it reads with one line. It ends when its
//! standard input does, so no role outlives the measurement.

mod asker;
mod chatter;
mod coder;
mod connections;
mod crowd;
mod flood;
mod http;
mod idlers;
mod listen;
mod meet;
mod raw;
mod reader;
mod sender;
mod traffic;
mod turn;

pub(crate) use chatter::{Bulk, Talk, Talked};
pub(crate) use coder::Coded;
pub(crate) use crowd::{CrowdOf, Crowded};
pub(crate) use flood::{Flood, Flooded};
pub(crate) use http::{Done as HttpDone, Job as HttpJob, Version as HttpVersion};
pub(crate) use listen::{Heard, Received};
pub(crate) use meet::Met;
pub(crate) use raw::Sink;
pub(crate) use reader::Opened;
pub(crate) use sender::{Carried, Stored};
pub(crate) use traffic::{Passed, Run, Shape, Through, Way};

use crate::relay::Seat;
use anyhow::{Context, Result};
use hypersend_client::{Client, ClientError, Config, Credentials, MemoryTokens, Transport, Transports, Trust};
use hypersend_protocol::{
    id::FileId,
    name::{Email, NameError},
    refusal::ErrorCode,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{
    io::{Stdout, Write},
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::io::{AsyncBufReadExt, BufReader, Lines, Stdin};

/// What to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Task {
    /// Takes raw streams in.
    RawSink {
        /// Where.
        at: IpAddr,
        /// Through a relay, if there is one.
        seat: Option<Seat>,
    },
    /// Sends raw streams.
    RawSource {
        /// Where to, and by which certificate.
        sink: Sink,
        /// How much.
        bytes: u64,
        /// Through a relay, if there is one.
        seat: Option<Seat>,
    },
    /// Sends datagrams through a relay or coturn, and takes them in.
    Traffic {
        /// Which of the two.
        through: Through,
        /// What they are like.
        shape: Shape,
    },
    /// Sends far too much in many sessions of a relay at once.
    Crowd {
        /// What.
        of: CrowdOf,
        /// Where it is.
        relay: SocketAddr,
        /// How many.
        sessions: u32,
    },
    /// Sends one file.
    Upload {
        /// As whom.
        login: Login,
        /// Which.
        file: PathBuf,
    },
    /// Fetches one file.
    Download {
        /// As whom.
        login: Login,
        /// Which.
        file: FileId,
        /// Where to.
        to: PathBuf,
    },
    /// Sends, fetches or asks by HTTP.
    Http {
        /// As whom.
        login: Login,
        /// By which version.
        version: HttpVersion,
        /// What.
        job: HttpJob,
    },
    /// Asks who it is, over and over.
    Asker {
        /// As whom.
        login: Login,
        /// How long.
        lasting: Duration,
        /// Requests under way at once.
        depth: usize,
    },
    /// Begins to send one file and says how far it is, until killed.
    Begin {
        /// As whom.
        login: Login,
        /// Which.
        file: PathBuf,
    },
    /// Talks with one other, perhaps beside bulk.
    Chatter {
        /// As whom.
        login: Login,
    },
    /// Posts as much as is taken.
    Flood {
        /// As whom.
        logins: Vec<Login>,
        /// With each of these.
        peers: Vec<String>,
    },
    /// Opens a chat, over and over.
    Reader {
        /// As whom.
        login: Login,
    },
    /// Counts what is posted.
    Listen {
        /// As whom.
        logins: Vec<Login>,
    },
    /// Offers a file from client to client, over and over.
    Sender {
        /// As whom.
        login: Login,
        /// To whom, by name.
        peer: String,
        /// Which.
        file: PathBuf,
    },
    /// Accepts what is offered.
    Receiver {
        /// As whom.
        login: Login,
        /// Where to put it.
        folder: PathBuf,
    },
    /// Sends a file by a code, and receives it, over and over.
    Coder {
        /// To which server; nobody logs in.
        login: Login,
        /// Which.
        file: PathBuf,
        /// Where it arrives.
        folder: PathBuf,
    },
    /// Connects many times and does nothing.
    Idlers {
        /// As whom, by turns.
        logins: Vec<Login>,
        /// How often in all.
        connections: usize,
    },
}

/// How to log in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Login {
    /// Where the server is.
    pub(crate) server: SocketAddr,
    /// Its certificate.
    pub(crate) certificate: PathBuf,
    /// The user's name.
    pub(crate) user: String,
    /// Whether over TCP, and not over QUIC.
    pub(crate) tcp: bool,
}

/// Plays a role to its end.
pub(crate) fn run(task: Task) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    // On a worker, as all that it works with: a thread beside them would have to be woken for every packet.
    let done = runtime.block_on(runtime.spawn(async {
        let lines = BufReader::new(tokio::io::stdin()).lines();
        let stage = Stage { lines, out: std::io::stdout() };
        match task {
            Task::RawSink { at, seat } => raw::sink(stage, at, seat).await,
            Task::RawSource { sink, bytes, seat } => raw::source(stage, sink, bytes, seat).await,
            Task::Traffic { through, shape } => traffic::run(stage, through, shape).await,
            Task::Crowd { of: CrowdOf::Datagrams, relay, sessions } => crowd::run(stage, relay, sessions).await,
            Task::Crowd { of: CrowdOf::Connections, relay, sessions } => connections::run(stage, relay, sessions).await,
            Task::Upload { login, file } => sender::upload(stage, login, file).await,
            Task::Download { login, file, to } => sender::download(stage, login, file, to).await,
            Task::Http { login, version, job } => http::run(stage, login, version, job).await,
            Task::Asker { login, lasting, depth } => asker::run(stage, login, lasting, depth).await,
            Task::Begin { login, file } => sender::begin(stage, login, file).await,
            Task::Chatter { login } => chatter::run(stage, login).await,
            Task::Flood { logins, peers } => flood::run(stage, logins, peers).await,
            Task::Reader { login } => reader::run(stage, login).await,
            Task::Listen { logins } => listen::run(stage, logins).await,
            Task::Sender { login, peer, file } => meet::send(stage, login, peer, file).await,
            Task::Receiver { login, folder } => meet::receive(stage, login, folder).await,
            Task::Coder { login, file, folder } => coder::run(stage, login, file, folder).await,
            Task::Idlers { logins, connections } => idlers::run(stage, logins, connections).await,
        }
    }));
    // A thread may still wait for standard input.
    runtime.shutdown_background();
    done.context("the role broke down")?
}

/// The parent's end of the conversation.
pub(crate) struct Stage {
    lines: Lines<BufReader<Stdin>>,
    out: Stdout,
}

impl Stage {
    /// Says one line.
    fn say(&self, said: &impl Serialize) -> Result<()> {
        let mut out = self.out.lock();
        serde_json::to_writer(&mut out, said)?;
        out.write_all(b"\n")?;
        Ok(out.flush()?)
    }

    /// The next line; `None` when the parent wants no more.
    async fn next<T: DeserializeOwned>(&mut self) -> Result<Option<T>> {
        match self.lines.next_line().await? {
            Some(line) => Ok(Some(serde_json::from_str(&line).with_context(|| format!("was told {line:?}"))?)),
            None => Ok(None),
        }
    }

    /// Waits until the parent wants no more.
    async fn over(&mut self) -> Result<()> {
        while self.lines.next_line().await?.is_some() {}
        Ok(())
    }
}

impl Login {
    /// A connected client; the account is made if there is none.
    async fn connect(&self) -> Result<Client> {
        self.connect_keeping(MemoryTokens::empty()).await
    }

    /// The same, with the tokens left where the caller finds them.
    async fn connect_keeping(&self, tokens: Arc<MemoryTokens>) -> Result<Client> {
        let password = "a password for a measurement".parse()?;
        let register = Credentials::Register { email: email(&self.user)?, name: self.user.parse()?, password };
        match self.start(register, tokens.clone()).await {
            Err(error)
                if error.downcast_ref::<ClientError>().and_then(ClientError::code) == Some(ErrorCode::EmailTaken) =>
            {
                let password = "a password for a measurement".parse()?;
                self.start(Credentials::Login { email: email(&self.user)?, password }, tokens).await
            }
            started => started,
        }
    }

    /// A client with these credentials, connected.
    async fn start(&self, credentials: Credentials, tokens: Arc<MemoryTokens>) -> Result<Client> {
        let client = Client::start(self.config()?, credentials, tokens)?;
        client.ready().await?;
        Ok(client)
    }

    /// Where the server is, and how it is reached.
    fn config(&self) -> Result<Config> {
        let pem = std::fs::read(&self.certificate).context("read the server's certificate")?;
        // By address, as that is what is measured; the certificate names it.
        let transports = Transports::Only(if self.tcp { Transport::Tcp } else { Transport::Quic });
        Ok(Config { transports, ..Config::new(self.server.to_string().parse()?, Trust::authorities(&pem)?) })
    }
}

/// The address of a user of a measurement.
fn email(user: &str) -> Result<Email, NameError> {
    Email::parse(&format!("{user}@example.org"))
}

/// Nanoseconds since 1970: a clock that all processes of a measurement share.
fn now_nanos() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}

/// How long ago that was.
fn since_nanos(then: u64) -> Duration {
    Duration::from_nanos(now_nanos().saturating_sub(then))
}
