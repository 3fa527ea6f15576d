//! What is between this computer and fast transfers: looks at it, says what it found, and what to do about it.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `examine` | the looks, most of them at once, within ten seconds |
//! | `finding` | what is said of one thing |
//! | `network`, `computer` | what is said of what was seen |
//! | `verdict` | the one sentence at the end |
//! | `report` | all of it, for people and for programs |

mod computer;
mod examine;
mod finding;
mod network;
mod report;
mod verdict;

use crate::{
    config::Login,
    context::Context,
    failure::{Exit, Failure},
};
use examine::{Examined, Seen, examine};
use hypersend_client::{ClientError, ServerAddress, doctor::reach::Reach};
use report::Report;

/// What somebody wants to be looked at.
#[derive(Debug)]
pub(super) struct Wishes {
    /// Another server than the one of the login.
    pub(super) server: Option<ServerAddress>,
    /// Whether nothing is to be written.
    pub(super) no_disk: bool,
}

/// Whom the looks are about.
#[derive(Debug)]
struct Subject {
    server: ServerAddress,
    /// The login to it; none where there is none, and it can only be knocked at.
    login: Option<Login>,
}

pub(super) async fn doctor(context: &Context, wishes: Wishes) -> Result<(), Failure> {
    let login = context.folder.account()?.is_some().then(|| context.login()).transpose()?;
    let subject = match (wishes.server, login) {
        (None, None) => None,
        (None, Some(login)) => Some(Subject { server: login.server.clone(), login: Some(login) }),
        (Some(server), login) => {
            let login = login.filter(|login| login.server == server);
            Some(Subject { server, login })
        }
    };
    let seen = examine(context, subject.as_ref(), !wishes.no_disk).await?;
    context.out.print(&Report::new(&seen))?;
    judge(context, &seen)
}

/// What keeps people from working with the server at all; what merely slows them down is no failure.
fn judge(context: &Context, seen: &Seen) -> Result<(), Failure> {
    let Some(Examined { server, quic, tcp, relays, .. }) = &seen.server else { return Err(Failure::not_logged_in()) };
    match (quic, tcp) {
        (Reach::Silent(quic), Reach::Silent(tcp)) => {
            let message = format!("server {server} does not answer, over QUIC ({quic}) as over TCP ({tcp})");
            Err(Failure::new(Exit::NoAnswer, "no-answer", message).or_try(network::NO_ANSWER))
        }
        (Reach::Untrusted(problem), _) | (Reach::Silent(_), Reach::Untrusted(problem)) => {
            Err(context.explain(ClientError::Certificate(problem.clone()).into(), server))
        }
        _ => match relays {
            Some(Err(failure)) => Err(failure.clone()),
            Some(Ok(_)) | None => Ok(()),
        },
    }
}
