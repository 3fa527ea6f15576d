//! `send`: what its words mean.

use super::SEND_USAGE;
use crate::failure::Failure;
use clap::Args;
use hypersend_client::{
    ServerAddress,
    protocol::{id::ChatId, name::Email},
};
use std::{
    ffi::{OsStr, OsString},
    path::{Path, PathBuf},
};

pub(super) const SEND_HELP: &str = "\
Where all words are files and folders that exist, they are for whoever types the code that is printed; the first may be
neither an email address nor an id. --code says the same. Neither side needs an account, or a login.

With --direct nothing is stored on the server. In a group everybody else is sent to. Where no way is found, files (not
folders) go through the server.

With both, the two sides look for a way to each other through their NATs, and go over a relay meanwhile; either may be
interrupted, and the same again goes on from there.";

/// What is sent, and how.
#[derive(Debug, Args)]
#[command(override_usage = SEND_USAGE, after_help = SEND_HELP)]
pub(crate) struct SendArguments {
    /// The chat and the text; with --direct the chat, and files and folders; for a code files and folders alone
    #[arg(required = true, value_name = "CHAT and TEXT, or PATH")]
    words: Vec<OsString>,
    /// Files to upload and send with the message, at most 32
    #[arg(long, value_name = "PATH", num_args = 1.., conflicts_with_all = ["direct", "code"])]
    file: Vec<PathBuf>,
    /// From this computer to the receiver's, who runs hypersend receive; files and folders of any size
    #[arg(long)]
    pub(crate) direct: bool,
    /// From this computer to whoever types the code that is printed, by hypersend receive CODE
    #[arg(long, conflicts_with = "direct")]
    code: bool,
    /// For a code: the server to meet at [env: HYPERSEND_SERVER] [default: the login's]
    #[arg(long, value_name = "HOST[:PORT]", conflicts_with_all = ["direct", "file"])]
    server: Option<ServerAddress>,
    #[command(flatten)]
    ways: SendWays,
}

/// Which ways files may take to another computer.
#[derive(Clone, Debug, Args)]
pub(crate) struct SendWays {
    /// With --direct, or for a code: use relays alone, so that the receiver does not learn this computer's addresses
    #[arg(long, conflicts_with = "file")]
    pub(crate) relay_only: bool,
    /// With --direct: never through the server, even where there is no other way
    #[arg(long, requires = "direct", conflicts_with_all = ["store_after", "code"])]
    pub(crate) no_store: bool,
    /// With --direct: how long to wait for a receiver who does not answer, or is gone, before files go through the server
    /// [default: for ever]
    #[arg(long, requires = "direct", conflicts_with = "code", value_name = "SECONDS")]
    pub(crate) store_after: Option<u64>,
}

/// What is sent, and to whom.
#[derive(Debug)]
pub(crate) enum Sending {
    /// A message, with files that are stored on the server.
    Message { chat: String, text: Option<String>, files: Vec<PathBuf> },
    /// Files and folders, from computer to computer.
    Direct { chat: String, paths: Vec<PathBuf>, ways: SendWays },
    /// The same, to whoever types a code.
    Code { paths: Vec<PathBuf>, server: Option<ServerAddress>, relay_only: bool },
}

impl SendArguments {
    /// Whether nothing is uploaded or sent but a message.
    pub(crate) fn is_text(&self) -> bool {
        self.file.is_empty() && !self.direct
    }

    /// Makes out what the words mean.
    pub(crate) fn sending(self) -> Result<Sending, Failure> {
        let Self { words, file, direct, code, server, ways } = self;
        let relay_only = ways.relay_only;
        if code || (!direct && file.is_empty() && are_paths(&words)) {
            return Ok(Sending::Code { paths: words.into_iter().map(PathBuf::from).collect(), server, relay_only });
        }
        if !direct && (relay_only || server.is_some()) {
            return Err(Failure::usage(format!("there is no file {}", first_that_is_none(&words).display()))
                .or_try("hypersend send PATH..., to send files by a code"));
        }
        let mut words = words.into_iter();
        let first = words.next().unwrap_or_default();
        if direct {
            let paths: Vec<PathBuf> = words.map(PathBuf::from).collect();
            if paths.is_empty() {
                return Err(
                    Failure::usage("what is to be sent is missing").or_try("hypersend send --direct CHAT PATH...")
                );
            }
            return Ok(Sending::Direct { chat: text_of(first)?, paths, ways });
        }
        let chat = text_of(first)?;
        match (words.next(), words.next()) {
            (None, _) if file.is_empty() && is_somebody(&chat) => {
                Err(Failure::usage("the text is missing").or_try("hypersend send CHAT TEXT, or --file PATH"))
            }
            (None, _) if file.is_empty() => {
                Err(Failure::usage(format!("there is no file {chat} to send, and no text for the chat {chat}"))
                    .or_try("hypersend send PATH..., or hypersend send CHAT TEXT"))
            }
            (_, Some(_)) => {
                Err(Failure::usage("a message is one text, and not all of these are files").or_try("quotes around it"))
            }
            (text, None) => Ok(Sending::Message { chat, text: text.map(text_of).transpose()?, files: file }),
        }
    }
}

/// Whether these are files and folders, and nothing that names a chat before all else.
fn are_paths(words: &[OsString]) -> bool {
    let names_chat = words.first().and_then(|first| first.to_str()).is_some_and(is_somebody);
    !names_chat && words.iter().all(|word| exists(word))
}

/// An email address or an id, which is never taken for a file.
fn is_somebody(word: &str) -> bool {
    Email::parse(word).is_ok() || word.parse::<ChatId>().is_ok()
}

fn exists(word: &OsStr) -> bool {
    Path::new(word).exists()
}

fn first_that_is_none(words: &[OsString]) -> &OsStr {
    words.iter().find(|word| !exists(word)).or(words.first()).map_or(OsStr::new(""), OsString::as_os_str)
}

fn text_of(word: OsString) -> Result<String, Failure> {
    word.into_string().map_err(|word| Failure::usage(format!("{} is no text", word.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Arguments, Command};
    use clap::Parser;

    /// What the command line means, unless it is none.
    fn send(words: &[&str]) -> Option<Result<Sending, Failure>> {
        match Arguments::try_parse_from([&["hypersend", "send"], words].concat()).ok()?.command {
            Command::Send(arguments) => Some(arguments.sending()),
            _ => None,
        }
    }

    #[test]
    fn a_message_has_a_text_or_files_or_both() {
        let message = |words: &[&str]| match send(&[&["bob@x"], words].concat()) {
            Some(Ok(Sending::Message { text, files, .. })) => Some((text.is_some(), files.len())),
            _ => None,
        };
        assert_eq!(message(&["hello"]), Some((true, 0)));
        assert_eq!(message(&["--file", "a", "b"]), Some((false, 2)));
        assert_eq!(message(&["hello", "--file", "a", "--file", "b"]), Some((true, 2)));
        assert_eq!(message(&[]), None);
        assert_eq!(message(&["hello", "there"]), None);
    }

    #[test]
    fn what_is_sent_directly_are_paths() {
        let direct = |words: &[&str]| match send(words) {
            Some(Ok(Sending::Direct { chat, paths, .. })) => Some((chat, paths.len())),
            _ => None,
        };
        assert_eq!(direct(&["--direct", "Team", "a", "b"]), Some(("Team".to_owned(), 2)));
        assert_eq!(direct(&["--direct", "Team", "--relay-only", "a"]), Some(("Team".to_owned(), 1)));
        assert_eq!(direct(&["--direct", "Team"]), None);
        assert_eq!(direct(&["--direct", "Team", "--file", "a"]), None);
        assert_eq!(direct(&["--direct", "Team", "a", "--server", "x"]), None);
        assert_eq!(direct(&["Team", "a", "--relay-only"]), None);
    }

    #[test]
    fn what_exists_goes_by_a_code_unless_the_first_word_is_somebody() {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str| {
            let path = dir.path().join(name);
            std::fs::write(&path, "x").unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (film, other) = (make("film.mkv"), make("other"));
        let missing = dir.path().join("missing").to_str().unwrap().to_owned();
        let by_code = |words: &[&str]| match send(words) {
            Some(Ok(Sending::Code { paths, .. })) => Some(paths.len()),
            _ => None,
        };
        assert_eq!(by_code(&[&film]), Some(1));
        assert_eq!(by_code(&[&film, &other, "--relay-only", "--server", "example.org"]), Some(2));
        assert_eq!(by_code(&["--code", &missing]), Some(1), "which says itself what is missing");
        assert_eq!(by_code(&[&missing]), None);
        assert_eq!(by_code(&[&film, &missing]), None, "a text for a chat");
        assert_eq!(by_code(&["bob@example.org", &film]), None);
        assert_eq!(by_code(&["01a207c7-ec19-7d21-8f0a-5b6c7d8e9f01", &film]), None);
        assert_eq!(by_code(&["--code", "--direct", &film]), None);
        assert_eq!(by_code(&["--code", &film, "--store-after", "3"]), None);
        let both = send(&[&missing]).unwrap().unwrap_err().as_text();
        assert!(both.contains("no file") && both.contains("no text for the chat"), "{both}");
        let none = send(&[&film, &missing, "--server", "example.org"]).unwrap().unwrap_err().as_text();
        assert!(none.contains(&format!("no file {missing}")), "{none}");
    }
}
