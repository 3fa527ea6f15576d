//! Why a command did not do what was asked: an exit code for scripts, a cause and a remedy for people. Told in one place.

use crate::view::words;
use hypersend_client::{
    CertificateProblem, ClientError, DownloadError, ExtractError, Fingerprint, PostError, ServerAddress, TrustError,
    TurnError, UploadError,
    direct::{CodeError, DirectError, OfferError, SendError},
    protocol::{
        name::NameError,
        refusal::{ErrorCode, Refusal},
    },
};
use serde::Serialize;
use std::{
    error::Error,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

/// The exit codes, as documented in `hypersend --help`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Also when whoever read our output has gone away.
    Done = 0,
    Failed = 1,
    Usage = 2,
    Login = 3,
    Certificate = 4,
    NoAnswer = 5,
    NotFound = 6,
    LocalFile = 7,
    Limit = 8,
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// What helps when there is no login to go on with, before it is known whose.
pub(crate) const LOG_IN: &str = "hypersend login SERVER EMAIL, or hypersend register SERVER EMAIL --name NAME";

/// What helps when a code has led to nothing.
const NEW_CODE: &str = "a new code, by the sender's hypersend send; what has arrived stays";

const CERTIFICATE_CHANGED: &str = "certificate-changed";

/// A command that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// For programs: the server's own code, or one of ours of the same form.
    code: &'static str,
    message: String,
    remedy: Option<String>,
    /// Already told, when it happened.
    told: bool,
}

impl Failure {
    pub(crate) fn new(exit: Exit, code: &'static str, message: impl Into<String>) -> Self {
        Self { exit, code, message: message.into(), remedy: None, told: false }
    }

    /// It counts, and has been told already.
    pub(crate) fn silent(mut self) -> Self {
        self.told = true;
        self
    }

    /// Names a way out.
    #[must_use]
    pub(crate) fn or_try(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Whether its remedy is to log in, to an account still to be named.
    pub(crate) fn wants_account(&self) -> bool {
        self.remedy.as_deref() == Some(LOG_IN)
    }

    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(Exit::Usage, "usage", message)
    }

    pub(crate) fn not_logged_in() -> Self {
        Self::new(Exit::Login, "not-logged-in", "not logged in").or_try(LOG_IN)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Exit::NotFound, ErrorCode::NotFound.slug(), message)
    }

    pub(crate) fn interrupted(message: impl Into<String>) -> Self {
        Self::new(Exit::Interrupted, "interrupted", message)
    }

    /// The alarm: this is not the certificate that was accepted. The remedy is the line to remove.
    fn certificate_changed(server: &ServerAddress, expected: Fingerprint, found: Fingerprint) -> Self {
        let message = format!(
            "THE CERTIFICATE OF {server} HAS CHANGED\n\
             Either the server's operator has replaced it, or SOMEBODY IS LISTENING IN on the\n\
             connection right now. Nothing was sent, and nothing will be.\n\
             \x20 expected  {expected}\n\
             \x20 found     {found}\n\
             Ask the operator which certificate the server has (its log shows the fingerprint)."
        );
        Self::new(Exit::Certificate, CERTIFICATE_CHANGED, message)
    }

    /// Whether its remedy is still to be found in the list of accepted certificates.
    pub(crate) fn wants_known_host(&self) -> bool {
        self.code == CERTIFICATE_CHANGED && self.remedy.is_none()
    }

    /// Something with a file of ours, or of the user's.
    pub(crate) fn local(attempt: &str, path: &Path, error: &io::Error) -> Self {
        local(format!("{attempt} {}: {error}", path.display()), error)
    }

    /// Standard output cannot be written; a reader that has gone away is a fine end.
    pub(crate) fn output(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::new(Exit::Done, "closed-pipe", "the reader has gone"),
            _ => local(format!("write to standard output: {error}"), error),
        }
    }

    /// Tells it on standard error, and gives the exit code.
    pub(crate) fn tell(&self, json: bool) -> ExitCode {
        if self.exit != Exit::Done && !self.told {
            // There is nobody left to tell that telling failed.
            let _ = writeln!(io::stderr().lock(), "{}", self.as_words(json));
        }
        self.exit.into()
    }

    /// In one of its two forms.
    pub(crate) fn as_words(&self, json: bool) -> String {
        if json { self.as_json() } else { self.as_text() }
    }

    /// Cause and remedy, one line each.
    pub(crate) fn as_text(&self) -> String {
        let remedy = self.remedy.as_ref().map(|remedy| format!("\n  try: {remedy}")).unwrap_or_default();
        let stars = if self.code == CERTIFICATE_CHANGED { format!("{}\n", "*".repeat(78)) } else { String::new() };
        words::printable(&format!("{stars}error: {}{remedy}", self.message))
    }

    fn as_json(&self) -> String {
        #[derive(Serialize)]
        struct Told<'a> {
            error: Details<'a>,
        }
        #[derive(Serialize)]
        struct Details<'a> {
            code: &'a str,
            message: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            remedy: Option<&'a str>,
        }
        let error = Details { code: self.code, message: &self.message, remedy: self.remedy.as_deref() };
        serde_json::to_string(&Told { error }).expect("strings are JSON")
    }
}

fn local(message: String, error: &io::Error) -> Failure {
    let failure = Failure::new(Exit::LocalFile, "local-file", message);
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            failure.or_try("free some space, then the same command again")
        }
        io::ErrorKind::PermissionDenied => failure.or_try("another folder, or ask its owner for permission"),
        io::ErrorKind::ReadOnlyFilesystem => failure.or_try("a folder on a disk that can be written"),
        _ => failure,
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let (exit, remedy) = match refusal.code {
            ErrorCode::WrongCredentials => (Exit::Login, None),
            ErrorCode::BadToken | ErrorCode::SessionEnded => (Exit::Login, Some(LOG_IN)),
            ErrorCode::NotFound | ErrorCode::Forbidden => (Exit::NotFound, None),
            ErrorCode::LimitReached | ErrorCode::RateLimited => (Exit::Limit, None),
            ErrorCode::StorageFull => (Exit::Limit, Some("the same command later: what is stored already stays")),
            ErrorCode::Unavailable | ErrorCode::Stopping | ErrorCode::TimedOut => {
                (Exit::NoAnswer, Some("the same command in a moment"))
            }
            ErrorCode::FileChanged => (Exit::LocalFile, None),
            ErrorCode::HashMismatch => {
                (Exit::Failed, Some("the same command again; a disk or the memory may be faulty"))
            }
            ErrorCode::UnsupportedVersion | ErrorCode::BadFrame | ErrorCode::UnexpectedFrame => {
                (Exit::Failed, Some("a hypersend of the server's version"))
            }
            _ => (Exit::Failed, None),
        };
        Self {
            exit,
            code: refusal.code.slug(),
            message: refusal.message,
            remedy: remedy.map(str::to_owned),
            told: false,
        }
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Refused(refusal) => refusal.into(),
            ClientError::NotLoggedIn => Self::not_logged_in(),
            ClientError::Certificate(CertificateProblem::Unknown { .. }) => {
                Self::new(Exit::Certificate, "certificate-unknown", error.to_string())
            }
            ClientError::Certificate(CertificateProblem::Changed { server, expected, found }) => {
                Self::certificate_changed(&server, expected, found)
            }
            ClientError::Tokens(source) => local(format!("use the login of this folder: {source}"), &source),
            ClientError::Trust(error) => error.into(),
            error => Self::new(Exit::Failed, "failed", chain(&error)),
        }
    }
}

impl From<TrustError> for Failure {
    fn from(error: TrustError) -> Self {
        Self::new(Exit::Certificate, "certificate-authority", error.to_string())
    }
}

impl From<PostError> for Failure {
    fn from(error: PostError) -> Self {
        match error {
            PostError::Refused(refusal) => refusal.into(),
            PostError::Closed => Self::new(Exit::Failed, "failed", error.to_string()),
        }
    }
}

impl From<UploadError> for Failure {
    fn from(error: UploadError) -> Self {
        match error {
            UploadError::Client(error) => error.into(),
            UploadError::Source(_) => local_chain(&error),
            _ => Self::new(Exit::Failed, "failed", chain(&error)),
        }
    }
}

impl From<DownloadError> for Failure {
    fn from(error: DownloadError) -> Self {
        match error {
            DownloadError::Client(error) => error.into(),
            DownloadError::Exists(path) | DownloadError::Extract(ExtractError::Exists(path)) => {
                Self::new(Exit::LocalFile, "exists", format!("{} is already there", path.display()))
                    .or_try("another name, or remove it first")
            }
            DownloadError::Plan(_) | DownloadError::Turn { source: TurnError::Expect(_), .. } => {
                Self::new(Exit::Failed, "failed", chain(&error))
            }
            DownloadError::Damaged { .. }
            | DownloadError::Turn { source: TurnError::Plan | TurnError::Journal(_), .. } => {
                local_chain(&error).or_try("remove that folder; then the same command begins anew")
            }
            DownloadError::NotOurs(_) => local_chain(&error).or_try("another folder, or have that one removed"),
            _ => local_chain(&error),
        }
    }
}

impl From<OfferError> for Failure {
    fn from(error: OfferError) -> Self {
        local_chain(&error)
    }
}

impl From<DirectError> for Failure {
    fn from(error: DirectError) -> Self {
        match error {
            DirectError::Client(error) => error.into(),
            DirectError::Upload(error) => error.into(),
            DirectError::Download(error) => error.into(),
            DirectError::Declined => Self::new(Exit::Failed, "declined", error.to_string()),
            DirectError::Elsewhere => Self::new(Exit::Failed, "elsewhere", error.to_string()),
            DirectError::NoWayForFolders => Self::new(Exit::NoAnswer, "no-way", error.to_string()),
            DirectError::NoWay => Self::new(Exit::NoAnswer, "no-way", error.to_string())
                .or_try("another network; or log in on both sides, and hypersend send --direct"),
            DirectError::OtherAway => Self::new(Exit::NoAnswer, "no-answer", error.to_string()).or_try(NEW_CODE),
            DirectError::Code(error) => error.into(),
            DirectError::Receive(_) | DirectError::Send(SendError::Source(_)) | DirectError::NotOffered(_) => {
                local_chain(&error)
            }
            error if error.is_own_cancellation() || error.is_others_cancellation() => {
                Self::new(Exit::Failed, "cancelled", error.to_string())
            }
            error => Self::new(Exit::Failed, "failed", chain(&error)),
        }
    }
}

impl From<CodeError> for Failure {
    fn from(error: CodeError) -> Self {
        let (exit, code) = match error {
            CodeError::Wrong | CodeError::Guessed | CodeError::Interference => (Exit::Failed, "wrong-code"),
            CodeError::NoSender | CodeError::Gone | CodeError::Lapsed => (Exit::NoAnswer, "no-answer"),
            CodeError::LongNames => return Self::usage(error.to_string()),
            CodeError::Nonsense(_) => return Self::new(Exit::Failed, "failed", chain(&error)),
        };
        Self::new(exit, code, error.to_string()).or_try(NEW_CODE)
    }
}

/// An argument that is no name of its kind.
impl From<NameError> for Failure {
    fn from(error: NameError) -> Self {
        Self::usage(error.to_string())
    }
}

fn local_chain(error: &(dyn Error + 'static)) -> Failure {
    let mut cause = Some(error);
    while let Some(next) = cause {
        if let Some(io) = next.downcast_ref::<io::Error>() {
            return local(chain(error), io);
        }
        cause = next.source();
    }
    Failure::new(Exit::LocalFile, "local-file", chain(error))
}

/// An error and what caused it, each said once.
pub(crate) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        cause = next.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn refusals_have_the_exit_codes_of_the_documents() {
        let exit = |code| Failure::from(Refusal::new(code, "no")).exit;
        assert_eq!(exit(ErrorCode::WrongCredentials), Exit::Login);
        assert_eq!(exit(ErrorCode::SessionEnded), Exit::Login);
        assert_eq!(exit(ErrorCode::NotFound), Exit::NotFound);
        assert_eq!(exit(ErrorCode::Forbidden), Exit::NotFound);
        assert_eq!(exit(ErrorCode::RateLimited), Exit::Limit);
        assert_eq!(exit(ErrorCode::Unavailable), Exit::NoAnswer);
        assert_eq!(exit(ErrorCode::FileChanged), Exit::LocalFile);
        assert_eq!(exit(ErrorCode::EmailTaken), Exit::Failed);
        assert_eq!(exit(ErrorCode::Other(9_999)), Exit::Failed);
    }

    #[test]
    fn a_closed_pipe_is_success_and_a_full_disk_names_its_remedy() {
        assert_eq!(Failure::output(&io::ErrorKind::BrokenPipe.into()).exit, Exit::Done);
        let full = Failure::local("write", Path::new("/x"), &io::ErrorKind::StorageFull.into());
        assert_eq!(full.exit, Exit::LocalFile);
        assert!(full.as_text().contains("\n  try: free some space"), "{}", full.as_text());
    }

    #[test]
    fn json_has_a_remedy_only_when_there_is_one() {
        let bare = Failure::new(Exit::Failed, "failed", "it \"broke\"");
        assert_eq!(bare.as_json(), r#"{"error":{"code":"failed","message":"it \"broke\""}}"#);
        assert!(bare.or_try("again").as_json().ends_with(r#","remedy":"again"}}"#));
    }

    #[test]
    fn what_a_server_says_cannot_command_the_terminal() {
        let text = Failure::from(Refusal::new(ErrorCode::Invalid, "\x1b[2Jhello")).as_text();
        assert!(!text.contains('\x1b'), "{text:?}");
    }

    #[test]
    fn a_folder_that_a_download_cannot_go_on_with_is_named() {
        let folder = PathBuf::from("/x/.film.mkv.1.part");
        let turn = |source| Failure::from(DownloadError::Turn { folder: folder.clone(), source }).as_text();
        let text = turn(TurnError::Plan);
        assert!(text.contains("/x/.film.mkv.1.part") && text.contains("try: remove that folder"), "{text}");
        let full = turn(TurnError::Io(io::ErrorKind::StorageFull.into()));
        assert!(full.contains("/x/.film.mkv.1.part") && full.contains("try: free some space"), "{full}");
        let foreign = Failure::from(DownloadError::NotOurs(folder.clone())).as_text();
        assert!(foreign.contains("/x/.film.mkv.1.part belongs to another user"), "{foreign}");
    }

    #[test]
    fn a_missing_file_is_a_local_failure() {
        let error = DownloadError::Io(io::ErrorKind::StorageFull.into());
        let failure = Failure::from(error);
        assert_eq!(failure.exit, Exit::LocalFile);
        assert!(failure.remedy.is_some());
    }
}
