//! What is known about the login, the server and the way to it.

use crate::{
    connect::{TrustPolicy, connect_within},
    context::Context,
    failure::{Exit, Failure},
    view::{Person, words},
};
use hypersend_client::{Status, protocol::session::VERSION};
use serde::Serialize;
use std::{fmt, time::Duration};

/// Fields stay away as long as nothing is known about them.
#[derive(Serialize)]
struct Report {
    client_version: &'static str,
    client_protocol: u32,
    folder: String,
    credentials: String,
    logged_in: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    login_ends: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate: Option<String>,
    answers: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    connection: Option<Connection>,
}

/// What only a server that answers can tell.
#[derive(Serialize)]
struct Connection {
    me: Person,
    server_protocol: u32,
    over: String,
    round_trip_us: u64,
    #[serde(skip)]
    round_trip: Duration,
}

pub(super) async fn status(context: &Context) -> Result<(), Failure> {
    let mut report = Report {
        client_version: env!("CARGO_PKG_VERSION"),
        client_protocol: VERSION,
        folder: context.folder.path().display().to_string(),
        credentials: context.folder.credentials_path().display().to_string(),
        logged_in: false,
        email: None,
        login_ends: None,
        server: None,
        certificate: None,
        answers: false,
        connection: None,
    };
    let looked = look(context, &mut report).await;
    context.out.print(&report)?;
    looked
}

/// Fills in what can be found out; the failure is what kept it from more.
async fn look(context: &Context, report: &mut Report) -> Result<(), Failure> {
    let account = context.account()?;
    report.logged_in = true;
    report.email = Some(account.email.to_string());
    report.login_ends = Some(account.ends.to_string());
    report.server = Some(account.server.to_string());
    let session = connect_within(context, context.options.short_wait()).await?;
    // A connection may move the end of the login, and may have taught us the certificate.
    report.login_ends = Some(context.account()?.ends.to_string());
    report.certificate = Some(TrustPolicy::new(context, &context.login()?)?.describe());
    report.answers = true;
    let welcome = session.ask(session.client.ready()).await?;
    let Status::Connected { over } = session.client.status() else {
        return Err(Failure::new(Exit::NoAnswer, "no-answer", format!("server {} has just gone", account.server)));
    };
    let round_trip = session.ask(session.client.round_trip()).await?;
    report.connection = Some(Connection {
        me: session.me().into(),
        server_protocol: welcome.version,
        over: over.to_string().to_lowercase(),
        round_trip_us: u64::try_from(round_trip.as_micros()).unwrap_or(u64::MAX),
        round_trip,
    });
    Ok(())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut row = |name: &str, value: &str| writeln!(f, "{name:<12} {value}");
        if let Some(server) = &self.server {
            row("server", server)?;
            row("answers", if self.answers { "yes" } else { "no" })?;
        }
        if let Some(connection) = &self.connection {
            row("over", &connection.over.to_uppercase())?;
            row("round trip", &words::millis(connection.round_trip))?;
        }
        if let Some(certificate) = &self.certificate {
            row("certificate", certificate)?;
        }
        match (&self.connection, &self.email) {
            (Some(connection), _) => row("account", &format!("{} {}", connection.me, connection.me.id))?,
            (None, Some(email)) => row("account", email)?,
            (None, None) => row("account", "not logged in")?,
        }
        if let Some(ends) = &self.login_ends {
            row("login ends", &format!("{ends} unless it is used before"))?;
        }
        let server =
            self.connection.as_ref().map(|connection| format!("; server: protocol {}", connection.server_protocol));
        let version =
            format!("{}, protocol {}{}", self.client_version, self.client_protocol, server.unwrap_or_default());
        row("version", &version)?;
        row("credentials", &self.credentials)
    }
}
