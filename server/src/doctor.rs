//! What an operator has checked: everything that the server needs, each by trying it. Nothing that is tried is left behind, and
//! all of it may be tried while the server runs.

mod bucket;
mod disk;
mod keys;
mod network;
mod records;

use crate::settings::Settings;
use std::fmt;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Ok,
    Warning,
    Failed,
}

/// What one check found.
#[derive(Clone, Debug)]
pub struct Finding {
    what: &'static str,
    outcome: Outcome,
    /// What is so, and where it is not good, what to do.
    says: String,
}

impl Finding {
    fn ok(what: &'static str, says: impl Into<String>) -> Self {
        Self { what, outcome: Outcome::Ok, says: says.into() }
    }

    /// The server runs, and could do better.
    fn warning(what: &'static str, says: impl Into<String>) -> Self {
        Self { what, outcome: Outcome::Warning, says: says.into() }
    }

    /// The server does not run, or nobody can use it.
    fn failed(what: &'static str, says: impl Into<String>) -> Self {
        Self { what, outcome: Outcome::Failed, says: says.into() }
    }

    /// Whether something has to be done.
    pub fn is_failure(&self) -> bool {
        self.outcome == Outcome::Failed
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            Outcome::Ok => "ok",
            Outcome::Warning => "warning",
            Outcome::Failed => "failed",
        };
        write!(f, "{outcome:<8} {:<12} {}", self.what, self.says)
    }
}

/// Checks everything, in the order in which the server needs it.
pub async fn examine(settings: &Settings) -> Vec<Finding> {
    let mut findings = vec![disk::data_root(settings), disk::free_space(settings)];
    findings.extend(bucket::examine(settings).await);
    findings.extend(records::examine(settings).await);
    findings.extend([keys::certificate(settings), keys::secret(settings)]);
    findings.extend([network::buffers(), network::port(settings.listen).await, network::handshake().await]);
    findings.extend([network::relay(settings.relay_listen), keys::tickets(settings)]);
    findings
}
