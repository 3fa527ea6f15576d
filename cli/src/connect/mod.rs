//! From a folder to a connected client: which server, whether to trust it, how long to wait for it, and what is said
//! meanwhile.

mod outage;
mod session;
mod trust;

pub(crate) use outage::Outages;
pub(crate) use session::Session;
pub(crate) use trust::TrustPolicy;

use crate::{
    config::{CredentialStore, Login},
    context::Context,
    failure::Failure,
};
use hypersend_client::{
    CertificateProblem, Client, ClientError, Config, Credentials, ServerAddress, Status, direct::DirectError,
    mailbox::Guest,
};
use std::{sync::Arc, time::Duration};

/// Connects with the login of the folder.
pub(crate) async fn connect(context: &Context) -> Result<Session, Failure> {
    connect_within(context, context.options.wait()).await
}

/// The same, with another patience.
pub(crate) async fn connect_within(context: &Context, wait: Duration) -> Result<Session, Failure> {
    let login = context.login()?;
    let store = Arc::new(CredentialStore::stored(context.folder.clone(), login.clone()));
    let (session, _) = start(context, &login, Credentials::Stored, store, wait).await?;
    Ok(session)
}

/// Connects with a new login, which takes the place of the folder's.
pub(crate) async fn log_in(context: &Context, login: &Login, credentials: Credentials) -> Result<Session, Failure> {
    let store = Arc::new(CredentialStore::fresh(context.folder.clone(), login.clone()));
    let (session, trust) = start(context, login, credentials, store.clone(), context.options.wait()).await?;
    store.greeted(session.me(), trust.is_by_authority())?;
    Ok(session)
}

/// How a server is met.
pub(crate) fn config(context: &Context, server: &ServerAddress, policy: &TrustPolicy) -> Config {
    let agent = concat!("hypersend/", env!("CARGO_PKG_VERSION")).to_owned();
    let transports = context.options.transport.into();
    Config { server: server.clone(), trust: policy.trust(), agent, transports }
}

async fn start(
    context: &Context,
    login: &Login,
    credentials: Credentials,
    store: Arc<CredentialStore>,
    wait: Duration,
) -> Result<(Session, TrustPolicy), Failure> {
    let mut policy = TrustPolicy::new(context, login)?;
    loop {
        let config = config(context, &login.server, &policy);
        let transports = config.transports;
        let client = Client::start(config, credentials.clone(), store.clone())?;
        context.close_later(client.clone());
        let mut session = Session::watch(client, transports, context.talk.clone(), wait);
        match session.within(session.client.ready()).await? {
            Ok(welcome) => {
                session.greeted(&welcome);
                return Ok((session, policy));
            }
            Err(ClientError::Certificate(CertificateProblem::Unknown { fingerprint, .. })) => {
                policy.meet(fingerprint).await?;
            }
            Err(error) => return Err(context.explain(error.into(), &login.server)),
        }
    }
}

/// Has something done at a server by a connection that speaks for nobody. The connection is watched while what comes with it is
/// kept.
pub(crate) async fn visit<T>(
    context: &Context,
    server: &ServerAddress,
    errand: impl AsyncFn(Guest) -> Result<T, DirectError>,
) -> Result<(T, Outages), Failure> {
    let mut policy = TrustPolicy::of_guest(context, server)?;
    loop {
        let config = config(context, server, &policy);
        let transports = config.transports;
        let guest = Guest::start(config)?;
        let watched = guest.clone();
        let watching = |tell| async move { watched.watch_status(tell).await };
        // The server closes the connection when the mailbox is over: worth a word only if it is not there any more.
        let is_told = |status: &Status| !matches!(status, Status::Connecting { failures: 0, reason: Some(_), .. });
        let outages =
            Outages::watch(server, transports, context.talk.clone(), context.options.wait(), is_told, watching);
        match outages.within(errand(guest)).await? {
            Ok(done) => return Ok((done, outages)),
            Err(DirectError::Client(ClientError::Certificate(CertificateProblem::Unknown { fingerprint, .. }))) => {
                policy.meet(fingerprint).await?;
            }
            Err(error) => return Err(context.explain(error.into(), server)),
        }
    }
}
