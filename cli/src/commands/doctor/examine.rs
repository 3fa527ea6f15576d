//! The looks, most of them at once. Each is bounded, so that all together are: by some ten seconds.

use super::Subject;
use crate::{
    config::{CredentialStore, Login},
    connect::{TrustPolicy, config},
    context::Context,
    failure::{Exit, Failure},
};
use hypersend_client::{
    Client, Credentials, ServerAddress, Transport,
    doctor::{
        Grant,
        machine::{self, Sockets},
        nat,
        reach::{Reach, reach},
        survey::{Surveyed, survey},
    },
};
use std::{
    io,
    net::{Ipv6Addr, SocketAddr},
    path::Path,
    sync::Arc,
    time::Duration,
};
use tokio::{task::spawn_blocking, time::timeout};

/// How long the server may take to say which relays there are: QUIC is tried alone for 3 s of it.
const LOGIN: Duration = Duration::from_millis(4_500);

/// How long the disk may take. One that needs more is told by that.
const DISK: Duration = Duration::from_millis(2_500);

/// All that was seen.
pub(super) struct Seen {
    /// None where there is no login, and no server was named.
    pub(super) server: Option<Examined>,
    /// What a router gives.
    pub(super) mapping: Option<Grant>,
    /// The computer's own address.
    pub(super) ipv6: Option<Ipv6Addr>,
    pub(super) sockets: io::Result<Sockets>,
    /// Bytes in a second.
    pub(super) seal_rate: u64,
    /// Bytes in a second; none where nothing was to be written.
    pub(super) write_rate: Option<io::Result<u64>>,
}

/// The server and its relays.
pub(super) struct Examined {
    pub(super) server: ServerAddress,
    /// How it is trusted, in words.
    pub(super) certificate: String,
    pub(super) quic: Reach,
    pub(super) tcp: Reach,
    /// Only who is logged in is told of them.
    pub(super) relays: Option<Result<Vec<Surveyed>, Failure>>,
}

impl Examined {
    /// Whether the server itself has answered, by whatever way.
    pub(super) fn is_met(&self) -> bool {
        self.met_at().next().is_some()
    }

    pub(super) fn is_met_over_ipv6(&self) -> bool {
        self.met_at().any(|address| address.is_ipv6())
    }

    fn met_at(&self) -> impl Iterator<Item = SocketAddr> {
        [&self.quic, &self.tcp].into_iter().filter_map(Reach::address)
    }
}

impl Seen {
    /// The relays that were asked.
    pub(super) fn relays(&self) -> &[Surveyed] {
        match self.server.as_ref().and_then(|server| server.relays.as_ref()) {
            Some(Ok(relays)) => relays,
            Some(Err(_)) | None => &[],
        }
    }

    /// The port that a router gives, if it leads outside: where relays see another address than the router names, there
    /// is another NAT behind it.
    pub(super) fn open_port(&self) -> Option<&Grant> {
        let [four, _] = self.nats();
        let observed = four.map(|four| four.observed).unwrap_or_default();
        let is_outside = |grant: &&Grant| observed.iter().all(|observed| observed.ip() == grant.outside.ip());
        self.mapping.as_ref().filter(is_outside)
    }

    /// The NATs for IPv4 and IPv6, as relays see them.
    pub(super) fn nats(&self) -> [Option<nat::Nat>; 2] {
        nat::judge(self.relays().iter().flat_map(|relay| &relay.views))
    }
}

pub(super) async fn examine(context: &Context, subject: Option<&Subject>, disk: bool) -> Result<Seen, Failure> {
    context.talk.say("looking at server, NAT, relays and this computer: ten seconds at most");
    // By itself, as it wants a processor to itself.
    let seal_rate = blocking(machine::seal_rate).await;
    let network = async {
        let server = match subject {
            Some(subject) => Some(look_at(context, subject).await?),
            None => None,
        };
        // Not before times have been taken, which a busy disk would spoil.
        let write_rate = if disk { Some(write_rate().await) } else { None };
        Ok::<_, Failure>((server, write_rate))
    };
    let (network, mapping) = tokio::join!(network, hypersend_client::doctor::port_mapping());
    let (server, write_rate) = network?;
    Ok(Seen { server, mapping, ipv6: nat::own_ipv6(), sockets: machine::sockets(), seal_rate, write_rate })
}

async fn look_at(context: &Context, subject: &Subject) -> Result<Examined, Failure> {
    let server = &subject.server;
    let policy = match &subject.login {
        Some(login) => TrustPolicy::new(context, login)?,
        None => TrustPolicy::of_guest(context, server)?,
    };
    let config = config(context, server, &policy);
    let relays = async {
        match &subject.login {
            Some(login) => Some(relays(context, login, &policy).await),
            None => None,
        }
    };
    let (quic, tcp, relays) = tokio::join!(reach(&config, Transport::Quic), reach(&config, Transport::Tcp), relays);
    Ok(Examined { server: server.clone(), certificate: policy.describe(), quic, tcp, relays })
}

/// Has the server name its relays, and asks them.
async fn relays(context: &Context, login: &Login, policy: &TrustPolicy) -> Result<Vec<Surveyed>, Failure> {
    let server = &login.server;
    let store = Arc::new(CredentialStore::stored(context.folder.clone(), login.clone()));
    let client = Client::start(config(context, server, policy), Credentials::Stored, store)?;
    context.close_later(client.clone());
    let named = timeout(LOGIN, client.relays()).await.map_err(|_| {
        let message = format!("server {server} has not named its relays in time");
        Failure::new(Exit::NoAnswer, "no-answer", message)
    })?;
    let named = named.map_err(|error| context.explain(error.into(), server))?;
    survey(named, server.host())
        .await
        .map_err(|error| Failure::new(Exit::Failed, "failed", format!("open a UDP socket: {error}")))
}

/// Of the disk below this folder.
async fn write_rate() -> io::Result<u64> {
    let rate = timeout(DISK, blocking(|| machine::write_rate(Path::new(".")))).await;
    rate.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

async fn blocking<T: Send + 'static>(look: impl FnOnce() -> T + Send + 'static) -> T {
    spawn_blocking(look).await.expect("a look does not panic")
}
