//! Accounts and logins.

use crate::{
    config::Login,
    connect::{Session, connect, log_in},
    context::Context,
    failure::{Exit, Failure},
    terminal,
    view::{LoginList, LoginView, Person},
};
use hypersend_client::{
    Credentials, ServerAddress,
    protocol::{
        account::Profile,
        id::SessionId,
        name::{DisplayName, Email},
    },
};
use serde::Serialize;
use std::fmt;

/// Whom a login speaks for.
#[derive(Serialize)]
struct Whom {
    #[serde(flatten)]
    person: Person,
    server: String,
}

impl Whom {
    fn of(session: &Session) -> Self {
        Self::new(session, session.me())
    }

    fn new(session: &Session, me: &Profile) -> Self {
        Self { person: me.into(), server: session.client.server().to_string() }
    }
}

impl fmt::Display for Whom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.person, self.person.id)
    }
}

pub(super) async fn register(
    context: &Context,
    server: ServerAddress,
    email: Email,
    name: DisplayName,
) -> Result<(), Failure> {
    let login = new_login(context, server, email.clone())?;
    let password = terminal::password(true).await?;
    let session = log_in(context, &login, Credentials::Register { email, name, password }).await?;
    context.out.print(&Whom::of(&session))
}

pub(super) async fn login(context: &Context, server: ServerAddress, email: Email) -> Result<(), Failure> {
    let login = new_login(context, server, email.clone())?;
    let password = terminal::password(false).await?;
    let session = log_in(context, &login, Credentials::Login { email, password }).await?;
    context.out.print(&Whom::of(&session))
}

fn new_login(context: &Context, server: ServerAddress, email: Email) -> Result<Login, Failure> {
    // A damaged file is no reason not to log in anew.
    if let Ok(Some(before)) = context.folder.account()
        && (&before.server, &before.email) != (&server, &email)
    {
        let account = format!("{} at {}", before.email, before.server);
        context.talk.say(&format!("this folder is logged in as {account}; that login is replaced, not ended"));
    }
    // Later commands may be given in other folders.
    let ca = context.options.ca.as_ref().map(|path| match path.canonicalize() {
        Ok(path) if path.to_str().is_some() => Ok(path),
        Ok(path) => Err(Failure::usage(format!("{} cannot be remembered: it is not UTF-8", path.display()))
            .or_try("another name for the file")),
        Err(error) => Err(Failure::local("read", path, &error)),
    });
    Ok(Login { server, email, ca: ca.transpose()?, vouched: false })
}

#[derive(Serialize)]
struct LoggedOut {
    logged_out: bool,
}

impl fmt::Display for LoggedOut {
    fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}

pub(super) async fn logout(context: &Context) -> Result<(), Failure> {
    match end_own_login(context).await {
        // It has ended already.
        Err(failure) if failure.exit == Exit::Login && context.folder.account()?.is_some() => {}
        Err(failure) if failure.exit == Exit::NoAnswer => {
            let path = context.folder.credentials_path();
            let remedy = format!("again later; or remove {}, and the login ends when it expires", path.display());
            return Err(failure.or_try(remedy));
        }
        ended => ended?,
    }
    forget_login(context)?;
    context.out.print(&LoggedOut { logged_out: true })
}

fn forget_login(context: &Context) -> Result<(), Failure> {
    context.folder.forget_account()?;
    context.talk.say("logged out");
    Ok(())
}

async fn end_own_login(context: &Context) -> Result<(), Failure> {
    let session = connect(context).await?;
    session.ask(session.client.logout()).await
}

pub(super) async fn end_login(context: &Context, id: SessionId) -> Result<(), Failure> {
    let session = connect(context).await?;
    let own = session.ask(session.client.ready()).await?.session == id;
    session.ask(session.client.end_session(id)).await?;
    if own {
        forget_login(context)?;
    } else {
        context.talk.say("that login has ended");
    }
    context.out.print(&LoggedOut { logged_out: true })
}

pub(super) async fn logins(context: &Context) -> Result<(), Failure> {
    let session = connect(context).await?;
    let (mut logins, mut before) = (Vec::new(), None);
    loop {
        let page = session.ask(session.client.sessions(before)).await?;
        logins.extend(page.sessions.iter().map(LoginView::from));
        before = page.sessions.last().map(|login| login.id);
        if !page.more || before.is_none() {
            break;
        }
    }
    context.out.print(&LoginList { logins })
}

pub(super) async fn rename(context: &Context, name: DisplayName) -> Result<(), Failure> {
    let session = connect(context).await?;
    let me = session.ask(session.client.rename(name)).await?;
    context.out.print(&Whom::new(&session, &me))
}

pub(super) async fn whoami(context: &Context) -> Result<(), Failure> {
    let session = connect(context).await?;
    context.out.print(&Whom::of(&session))
}
