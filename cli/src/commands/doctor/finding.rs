//! What is said of one thing: in the form of the server's doctor.

use crate::view::words;
use serde::Serialize;
use std::fmt;

/// How a look came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    Ok,
    /// It works, and could do better.
    Warning,
    /// It does not work.
    Failed,
}

/// What one look found.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    what: &'static str,
    outcome: Outcome,
    /// What is so.
    says: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Finding {
    pub(super) fn ok(what: &'static str, says: impl Into<String>) -> Self {
        Self { what, outcome: Outcome::Ok, says: says.into(), remedy: None }
    }

    pub(super) fn warning(what: &'static str, says: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what, outcome: Outcome::Warning, says: says.into(), remedy: Some(remedy.into()) }
    }

    pub(super) fn failed(what: &'static str, says: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what, outcome: Outcome::Failed, says: says.into(), remedy: Some(remedy.into()) }
    }

    pub(super) fn is_good(&self) -> bool {
        self.outcome == Outcome::Ok
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            Outcome::Ok => "ok",
            Outcome::Warning => "warning",
            Outcome::Failed => "failed",
        };
        // Names of relays come from the server.
        write!(f, "{outcome:<8} {:<12} {}", self.what, words::printable(&self.says))?;
        self.remedy.as_ref().map_or(Ok(()), |remedy| write!(f, ": {}", words::printable(remedy)))
    }
}
