//! Whether to trust a server, as ssh decides it.

use crate::{
    config::{Folder, Known, Login},
    context::Context,
    failure::{Exit, Failure},
    talk::Talk,
    terminal,
};
use hypersend_client::{Fingerprint, ServerAddress, Trust};
use std::{fs, path::PathBuf};

/// What is known about one server, and what may be learned.
pub(crate) struct TrustPolicy {
    server: ServerAddress,
    folder: Folder,
    talk: Talk,
    accept: bool,
    vouched: bool,
    authorities: Authorities,
    known: Option<Known>,
}

enum Authorities {
    /// Those of this machine; other certificates can be accepted.
    Machine,
    /// Those in a file, and nothing else.
    File { path: PathBuf, trust: Trust },
}

impl TrustPolicy {
    /// For the server of a login.
    pub(crate) fn new(context: &Context, login: &Login) -> Result<Self, Failure> {
        Self::begin(context, &login.server, login.ca.as_ref(), login.vouched)
    }

    /// For a server to which nobody need be logged in; as for the login's, if it is that one.
    pub(crate) fn of_guest(context: &Context, server: &ServerAddress) -> Result<Self, Failure> {
        match context.folder.account()? {
            Some(account) if account.server == *server => {
                Self::begin(context, server, account.ca.as_ref(), account.vouched)
            }
            _ => Self::begin(context, server, None, false),
        }
    }

    fn begin(context: &Context, server: &ServerAddress, ca: Option<&PathBuf>, vouched: bool) -> Result<Self, Failure> {
        // For this command alone: the login keeps the authorities that it was begun with.
        let authorities = match context.options.ca.as_ref().or(ca) {
            None => Authorities::Machine,
            Some(path) => {
                let pem = fs::read(path).map_err(|error| Failure::local("read", path, &error))?;
                let trust = Trust::authorities(&pem).map_err(|error| {
                    let message = format!("{}: {error}", path.display());
                    Failure::new(Exit::Certificate, "certificate-authority", message)
                })?;
                Authorities::File { path: path.clone(), trust }
            }
        };
        let known = match authorities {
            Authorities::Machine => context.folder.known_host(server)?,
            Authorities::File { .. } => None,
        };
        Ok(Self {
            server: server.clone(),
            folder: context.folder.clone(),
            talk: context.talk.clone(),
            accept: context.options.accept_new_key,
            vouched,
            authorities,
            known,
        })
    }

    /// Whether an authority of this machine is needed, and nothing else will do.
    pub(crate) fn is_by_authority(&self) -> bool {
        matches!(self.authorities, Authorities::Machine) && self.known.is_none()
    }

    /// Whom to believe as things are.
    pub(crate) fn trust(&self) -> Trust {
        match (&self.authorities, self.known) {
            (Authorities::File { trust, .. }, _) => trust.clone(),
            (Authorities::Machine, None) => Trust::web_pki(),
            (Authorities::Machine, Some(known)) => Trust::web_pki().or_pinned(known.fingerprint),
        }
    }

    /// How the server is trusted, in words.
    pub(crate) fn describe(&self) -> String {
        match (&self.authorities, self.known) {
            (Authorities::File { path, .. }, _) => format!("by an authority in {}", path.display()),
            (Authorities::Machine, None) => "by an authority of this machine".to_owned(),
            (Authorities::Machine, Some(known)) => format!("accepted: {}", known.fingerprint),
        }
    }

    /// A certificate that nobody vouches for, seen for the first time: accepted and remembered, or refused.
    pub(crate) async fn meet(&mut self, fingerprint: Fingerprint) -> Result<(), Failure> {
        let server = &self.server;
        let unknown = |message: String| Failure::new(Exit::Certificate, "certificate-unknown", message);
        if let Authorities::File { path, .. } = &self.authorities {
            let path = path.display();
            return Err(unknown(format!(
                "no authority in {path} vouches for {server}, whose fingerprint is {fingerprint}"
            ))
            .or_try("another --ca; or log in again without it, to accept the fingerprint"));
        }
        if self.vouched {
            let message = format!(
                "no authority vouches any more for {server}, as one did when this login was begun; \
                 SOMEBODY MAY BE LISTENING IN. The fingerprint is {fingerprint} now"
            );
            return Err(unknown(message)
                .or_try("ask the server's operator; if the fingerprint is right, hypersend login once more"));
        }
        if !self.accept {
            if !terminal::can_ask() {
                return Err(unknown(format!(
                    "the server {server} is not known, and there is no terminal to ask; its fingerprint is {fingerprint}"
                ))
                .or_try("--accept-new-key, if the server's operator confirms the fingerprint"));
            }
            let question = format!(
                "The server {server} is not known, and no authority vouches for it.\n\
                 The fingerprint of its certificate is {fingerprint}\n\
                 Its operator finds the same in the server's log. Trust it from now on?"
            );
            if !terminal::ask_yes_no(question).await? {
                return Err(unknown(format!("the certificate of {server} was not accepted")));
            }
        }
        self.folder.add_known_host(server, fingerprint)?;
        self.talk.say(&format!("{server} is known from now on, by {fingerprint}"));
        self.known = self.folder.known_host(server)?;
        Ok(())
    }
}
