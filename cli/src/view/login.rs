//! Logins.

use super::words;
use hypersend_client::protocol::{account::SessionInfo, session::AGENT_BYTES};
use serde::Serialize;
use std::fmt;

/// A login that has not ended.
#[derive(Debug, Serialize)]
pub(crate) struct LoginView {
    id: String,
    agent: String,
    created: String,
    renewed: String,
    expires: String,
    current: bool,
    #[serde(skip)]
    shown_at: String,
}

impl From<&SessionInfo> for LoginView {
    fn from(login: &SessionInfo) -> Self {
        Self {
            id: login.id.to_string(),
            agent: login.agent.clone(),
            created: login.created.to_string(),
            renewed: login.renewed.to_string(),
            expires: login.expires.to_string(),
            current: login.current,
            shown_at: words::minute(login.created),
        }
    }
}

/// The logins of one account.
#[derive(Debug, Serialize)]
pub(crate) struct LoginList {
    pub(crate) logins: Vec<LoginView>,
}

impl fmt::Display for LoginList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.logins.iter().try_for_each(|login| {
            // Any program may have begun the login, and called itself anything.
            let agent = words::short(&login.agent, AGENT_BYTES);
            let mark = if login.current { "  (this one)" } else { "" };
            writeln!(f, "{}  {}  {agent}{mark}", login.id, login.shown_at)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hypersend_client::protocol::{id::SessionId, time::UnixMillis};

    #[test]
    fn a_login_is_one_line_whatever_its_program_is_called() {
        let info = SessionInfo {
            id: SessionId("019a0000-0000-7000-8000-000000000009".parse().unwrap()),
            agent: "evil\n\x1b[2Jclient".to_owned(),
            created: UnixMillis(1_795_340_412_345),
            renewed: UnixMillis(1_795_340_412_345),
            expires: UnixMillis(1_795_340_412_345),
            current: false,
        };
        let own = SessionInfo { agent: "hypersend/0.1.0".to_owned(), current: true, ..info.clone() };
        let list = LoginList { logins: vec![(&info).into(), (&own).into()] };
        let id = info.id;
        assert_eq!(
            list.to_string(),
            format!("{id}  2026-11-22 09:40  evil [2Jclient\n{id}  2026-11-22 09:40  hypersend/0.1.0  (this one)\n")
        );
    }
}
