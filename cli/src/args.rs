//! The command line.
#![expect(clippy::doc_markdown, reason = "these documents are the help text, where backticks would show")]

mod send;

pub(crate) use send::{SendArguments, SendWays, Sending};

use crate::failure::{Exit, Failure};
use clap::{Args, Parser, Subcommand, ValueEnum, error::ErrorKind};
use hypersend_client::{
    ServerAddress, Transport, Transports,
    protocol::{
        id::{FileId, P2pId, Seq, SessionId},
        name::{ChatTitle, DisplayName, Email},
    },
};
use std::{path::PathBuf, process::ExitCode, time::Duration};

const AFTER_HELP: &str = "\
CHAT is an email address (the direct chat with that person), a group's title, or a chat's id.

Exit codes:
    0  done
    1  refused, or failed for another reason
    2  wrong usage
    3  not logged in, the login has ended, or a wrong password
    4  the server's certificate is not trusted, or has changed
    5  the server does not answer
    6  not found, or no rights
    7  a local file is missing, has changed, is in the way or not permitted, or the disk is full
    8  a limit is reached
  130  interrupted (transfers keep what is stored; the same command goes on)

Environment:
  HYPERSEND_CONFIG_DIR   the folder of --config-dir
  HYPERSEND_PASSWORD     the password of register and login, instead of a prompt
  HYPERSEND_SERVER       the server to meet at by a code, instead of --server

Files, in --config-dir (default: $XDG_CONFIG_HOME/hypersend, or ~/.config/hypersend):
  credentials.json       the login: one for each folder
  known_hosts            accepted certificates, one line for each server: HOST:PORT sha256:FINGERPRINT
  pending/               messages whose posting was interrupted; the same command posts them once

Standard output carries data only; everything else goes to standard error. docs/cli.md tells the rest.";

/// Chat and very large file transfer, from a terminal or a script.
#[derive(Debug, Parser)]
#[command(name = "hypersend", version, after_long_help = AFTER_HELP, after_help = "--help tells more: exit codes, files, environment.")]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What holds for every command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Options {
    /// Folder of the login and the accepted certificates [env: HYPERSEND_CONFIG_DIR]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) config_dir: Option<PathBuf>,
    /// Print JSON: results on standard output, errors and progress on standard error
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Accept the certificate of a server met for the first time without asking; never a changed one
    #[arg(long, global = true)]
    pub(crate) accept_new_key: bool,
    /// Trust only the certificate authorities in this PEM file; register and login remember it for the account
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// How long to wait for a server that does not answer [default: 30; status: 5]
    #[arg(long, global = true, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    wait: Option<u64>,
    /// What carries the connection; auto is QUIC, or TCP while QUIC does not get through
    #[arg(long, global = true, value_enum, default_value_t)]
    pub(crate) transport: TransportChoice,
    /// Say nothing on standard error but errors and questions
    #[arg(short, long, global = true)]
    pub(crate) quiet: bool,
}

/// What carries the connection.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub(crate) enum TransportChoice {
    #[default]
    Auto,
    Quic,
    Tcp,
}

impl From<TransportChoice> for Transports {
    fn from(choice: TransportChoice) -> Self {
        match choice {
            TransportChoice::Auto => Self::Any,
            TransportChoice::Quic => Self::Only(Transport::Quic),
            TransportChoice::Tcp => Self::Only(Transport::Tcp),
        }
    }
}

impl Options {
    /// How long to wait for a server that does not answer.
    pub(crate) fn wait(&self) -> Duration {
        Duration::from_secs(self.wait.unwrap_or(30))
    }

    /// The same for a command that only wants to know whether it answers.
    pub(crate) fn short_wait(&self) -> Duration {
        Duration::from_secs(self.wait.unwrap_or(5))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make an account on a server, and log in to it
    Register {
        /// HOST or HOST:PORT
        server: ServerAddress,
        /// The account's email address
        email: Email,
        /// What others see of you
        #[arg(long)]
        name: DisplayName,
    },
    /// Log in to an account
    Login {
        /// HOST or HOST:PORT
        server: ServerAddress,
        /// The account's email address
        email: Email,
    },
    /// End the login, or another one of yours
    Logout {
        /// The login's id, as shown by logins [default: the login of this folder]
        id: Option<SessionId>,
    },
    /// List your logins that have not ended, the newest first
    Logins,
    /// Change what others see of you
    Rename { name: DisplayName },
    /// Print whom this folder is logged in as
    Whoami,
    /// Print what is known about the server, its certificate, the connection and the login
    Status,
    /// Look at what is between this computer and fast transfers: server, NAT, relays, sockets, disk; and say what to do about it
    Doctor {
        /// HOST or HOST:PORT of another server than the login's
        #[arg(long, value_name = "HOST")]
        server: Option<ServerAddress>,
        /// Write nothing into this folder to see how fast its disk is
        #[arg(long)]
        no_disk: bool,
    },
    /// List your chats, the most recently active first
    Chats,
    /// Make groups, and change who is in them
    #[command(subcommand)]
    Group(GroupCommand),
    /// Print the last messages of a chat
    History {
        chat: String,
        /// How many messages
        #[arg(long, value_name = "N", default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
        /// Only messages before this number
        #[arg(long, value_name = "NUMBER", value_parser = sequence)]
        before: Option<Seq>,
    },
    /// Chat interactively; each line of standard input is a message
    #[command(after_help = CHAT_HELP)]
    Chat { chat: String },
    /// Post a message: a text, files, or both; or send files straight to another computer
    Send(SendArguments),
    /// Fetch what somebody sends by a code; without one, wait for files that others send to your account
    Receive {
        /// The code that the sender was given, like 7-apple-river-moon, or the text of its QR code
        code: Vec<String>,
        /// Accept everything without asking
        #[arg(long)]
        yes: bool,
        /// End after the first transfer
        #[arg(long, conflicts_with = "code")]
        once: bool,
        /// The folder to put them into [default: this one]
        #[arg(short, long, value_name = "DIR")]
        output: Option<PathBuf>,
        /// Use relays alone, so that senders do not learn this computer's addresses
        #[arg(long)]
        relay_only: bool,
        /// For a code: the server to meet at [env: HYPERSEND_SERVER] [default: the login's]
        #[arg(long, value_name = "HOST[:PORT]", requires = "code")]
        server: Option<ServerAddress>,
    },
    /// List the transfers from and to other computers that are not over, the newest first
    Transfers {
        /// Those that are over, too
        #[arg(long)]
        all: bool,
    },
    /// Call off a transfer from or to another computer, for both sides
    Cancel {
        /// The transfer's id, as shown by transfers
        id: P2pId,
    },
    /// Delete a message for everybody
    Delete {
        chat: String,
        /// The message's number
        #[arg(value_parser = sequence)]
        number: Seq,
    },
    /// Mark a chat as read
    Read { chat: String },
    /// Store a file on the server, and print its id; the same command goes on after an interruption
    Upload { path: PathBuf },
    /// List the files that you uploaded, the newest first
    Files,
    /// Fetch a file; the same command goes on after an interruption
    Download {
        /// The file's id, as shown by history, chat and files
        id: FileId,
        /// Where to: a folder, or the file itself [default: the file's own name, here]
        #[arg(short, long, value_name = "PATH")]
        output: Option<PathBuf>,
    },
    /// Remove a file that you uploaded from the server, without asking; messages keep its name
    Remove {
        /// The file's id, as shown by files
        id: FileId,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum GroupCommand {
    /// Make a group with you as its owner
    Create { title: ChatTitle, emails: Vec<Email> },
    /// Add members; for owners
    Add {
        chat: String,
        #[arg(required = true)]
        emails: Vec<Email>,
    },
    /// Take a member out; for owners
    Remove { chat: String, email: Email },
    /// Leave a group
    Leave { chat: String },
    /// List the members
    Members { chat: String },
}

const SEND_USAGE: &str = "\
hypersend send [OPTIONS] CHAT TEXT
       hypersend send [OPTIONS] CHAT [TEXT] --file PATH...
       hypersend send [OPTIONS] --direct CHAT PATH...
       hypersend send [OPTIONS] [--code] PATH...";

const CHAT_HELP: &str = "\
Lines that begin with / are commands:
  /file PATH       send a file
  /get ID [PATH]   fetch a file
  /delete NUMBER   delete a message for everybody
  /members         list the members
  /help            list these commands
  /quit            leave; so does Ctrl-D
A line that begins with // is a message that begins with /.
When standard input is no terminal, its end is waited for, then the server's answers, then the command ends.";

/// A message's number, as it is shown or without the `#`.
pub(crate) fn sequence(text: &str) -> Result<Seq, String> {
    let number = text.trim_start_matches('#').parse().ok().filter(|&number| number > 0);
    number.map(Seq).ok_or_else(|| "a message's number is wanted, like 12".to_owned())
}

/// Reads the command line; help, version and complaints have been printed when there is an exit code instead.
pub(crate) fn parse() -> Result<Arguments, ExitCode> {
    Arguments::try_parse().map_err(|error| {
        let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
        if !asked && std::env::args_os().any(|argument| argument == "--json") {
            return Failure::new(Exit::Usage, "usage", complaint(&error)).or_try("see hypersend --help").tell(true);
        }
        // A reader that has gone away is none of our business.
        let _ = error.print();
        (if asked { Exit::Done } else { Exit::Usage }).into()
    })
}

/// What is wrong, on one line: clap's first paragraph.
fn complaint(error: &clap::Error) -> String {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return "a command is missing".to_owned();
    }
    let text = error.render().to_string();
    let lines = text.lines().map(str::trim).take_while(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join(" ").trim_start_matches("error: ").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn complaints_for_programs_name_what_is_missing() {
        let complaint = |words: &[&str]| complaint(&Arguments::try_parse_from(words).unwrap_err());
        assert!(complaint(&["hypersend", "history"]).ends_with("were not provided: <CHAT>"));
        assert_eq!(complaint(&["hypersend", "group"]), "a command is missing");
    }

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn a_message_number_may_be_written_as_it_is_shown() {
        assert_eq!(sequence("12"), Ok(Seq(12)));
        assert_eq!(sequence("#12"), Ok(Seq(12)));
        assert!(sequence("0").is_err() && sequence("x").is_err());
    }
}
