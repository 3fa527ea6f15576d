//! Standard error: everything that is said while a command works. Nothing is said when that is not wanted.

use crate::{failure::Failure, view::words};
use hypersend_client::{
    Progress, ServerAddress, Status, Transport, Transports,
    direct::{Way, Whereabouts},
};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};
use std::{
    fmt,
    io::{self, IsTerminal, Write},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

/// Prints above a line that somebody is typing.
pub(crate) type Printer = Box<dyn FnMut(String) + Send>;

/// Shared by everything that has something to say.
#[derive(Clone)]
pub(crate) struct Talk(Arc<Inner>);

struct Inner {
    json: bool,
    quiet: bool,
    state: Mutex<State>,
}

struct State {
    place: Place,
    /// What is wrong with the connection, while something is.
    trouble: Option<String>,
}

/// Where lines go.
enum Place {
    Stderr,
    /// Above a bar.
    Bar(ProgressBar),
    /// Above a prompt.
    Prompt(Printer),
}

impl fmt::Debug for Talk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Talk").field("json", &self.0.json).field("quiet", &self.0.quiet).finish_non_exhaustive()
    }
}

/// What somebody has seen of a client's connections.
pub(crate) struct Seen {
    was_up: bool,
    /// What the last one used; before the first one, what is expected.
    over: Transport,
}

impl Seen {
    /// Before there was any.
    pub(crate) fn before(transports: Transports) -> Self {
        let over = match transports {
            Transports::Any => Transport::Quic,
            Transports::Only(transport) => transport,
        };
        Self { was_up: false, over }
    }

    /// What is worth saying about a new one.
    fn words_for(&mut self, over: Transport, had_trouble: bool, server: &ServerAddress) -> Option<String> {
        let was_up = std::mem::replace(&mut self.was_up, true);
        let before = std::mem::replace(&mut self.over, over);
        match (before, over) {
            (Transport::Quic, Transport::Tcp) => {
                Some(format!("QUIC (UDP) does not get through to {server}; connected over TCP until it does"))
            }
            (Transport::Tcp, Transport::Quic) => {
                Some(format!("QUIC gets through to {server} again; connected over it"))
            }
            _ if was_up => Some("connected again".to_owned()),
            _ => had_trouble.then(|| "connected".to_owned()),
        }
    }
}

impl Talk {
    pub(crate) fn new(json: bool, quiet: bool) -> Self {
        Self(Arc::new(Inner { json, quiet, state: Mutex::new(State { place: Place::Stderr, trouble: None }) }))
    }

    /// Says something in passing.
    pub(crate) fn say(&self, text: &str) {
        self.tell(text, || json!({ "note": text }));
    }

    /// Says that one thing among several failed, while the command goes on. Even when quiet.
    pub(crate) fn warn(&self, failure: &Failure) {
        self.put(failure.as_words(self.0.json));
    }

    /// Says which way a transfer takes from now on, and what it took before.
    pub(crate) fn way(&self, name: &str, with: &str, before: Option<&Whereabouts>, now: &Whereabouts) {
        let text = match (before, now) {
            (_, Whereabouts::Offered) => format!("{name}: offered to {with}, who has not answered yet"),
            (Some(Whereabouts::Carried(_)), Whereabouts::Waiting | Whereabouts::Seeking) => {
                format!("{name}: {with} is not reached any more; looking for another way")
            }
            (_, Whereabouts::Waiting) => format!("{name}: waiting for {with}"),
            (_, Whereabouts::Seeking) => format!("{name}: looking for a way to {with}"),
            (_, Whereabouts::Carried(way)) => format!("{name}: {way}"),
            (_, Whereabouts::Stored) => format!("{name}: no way to {with} is found; through the server"),
        };
        let (state, address, relay) = match now {
            Whereabouts::Offered => ("offered", None, None),
            Whereabouts::Waiting => ("waiting", None, None),
            Whereabouts::Seeking => ("seeking", None, None),
            Whereabouts::Carried(Way::Direct(address)) => ("direct", Some(address.to_string()), None),
            // A tunnel's address is this computer's own.
            Whereabouts::Carried(Way::Relayed { name, address, tunnelled }) => {
                ("relay", (!tunnelled).then(|| address.to_string()), Some(name))
            }
            Whereabouts::Stored => ("stored", None, None),
        };
        let tunnelled = matches!(now, Whereabouts::Carried(Way::Relayed { tunnelled: true, .. }));
        self.tell(&text, || {
            json!({ "way": {
                "name": name, "with": with, "state": state, "address": address, "relay": relay, "tunnelled": tunnelled,
            } })
        });
    }

    /// Says by which words two people know that nobody is between them.
    pub(crate) fn check_words(&self, with: &str, words: &str) {
        self.tell(
            &format!("check words, the same for {with}: {words}"),
            || json!({ "check_words": { "with": with, "words": words } }),
        );
    }

    /// Shows lines that a terminal makes a picture of; elsewhere nothing.
    pub(crate) fn picture(&self, lines: &[String]) {
        if self.wants_bar() {
            self.put(lines.join("\n"));
        }
    }

    /// Says what became of the connection.
    pub(crate) fn connection(&self, server: &ServerAddress, status: &Status, seen: &mut Seen) {
        match status {
            Status::Connecting { failures, reason: Some(reason), next } => {
                let wait = words::duration(*next);
                self.state().trouble = Some(format!("reconnecting in {wait}: {reason}"));
                let text = if *failures == 0 {
                    format!("the connection to {server} is lost ({reason}); connecting again")
                } else {
                    format!("server {server} does not answer ({reason}); trying again in {wait}")
                };
                let retry_in_ms = u64::try_from(next.as_millis()).unwrap_or(u64::MAX);
                self.tell(&text, || {
                    json!({ "connection": { "state": "lost", "server": server.to_string(), "reason": reason, "retry_in_ms": retry_in_ms } })
                });
            }
            Status::Connected { over } => {
                let had_trouble = self.state().trouble.take().is_some();
                if let Some(text) = seen.words_for(*over, had_trouble, server) {
                    let over = over.to_string().to_lowercase();
                    self.tell(
                        &text,
                        || json!({ "connection": { "state": "connected", "server": server.to_string(), "over": over } }),
                    );
                }
            }
            Status::Connecting { reason: None, .. } | Status::Ended(_) => {}
        }
    }

    /// Sends lines above a prompt from now on.
    pub(crate) fn above_prompt(&self, printer: Printer) {
        self.state().place = Place::Prompt(printer);
    }

    /// Whether a bar can be drawn.
    pub(crate) fn wants_bar(&self) -> bool {
        let free = matches!(self.state().place, Place::Stderr);
        free && !self.0.json && !self.0.quiet && io::stderr().is_terminal()
    }

    /// Draws a bar, until [`Talk::end_bar`].
    pub(crate) fn begin_bar(&self, name: &str, total_bytes: u64) {
        let style = ProgressStyle::with_template("{prefix}  {wide_bar}  {msg}").expect("the template is sound");
        let bar = ProgressBar::new(total_bytes).with_style(style).with_prefix(words::short(name, 30));
        bar.enable_steady_tick(Duration::from_millis(200));
        self.state().place = Place::Bar(bar);
    }

    pub(crate) fn end_bar(&self) {
        let mut state = self.state();
        if let Place::Bar(bar) = &state.place {
            bar.finish_and_clear();
            state.place = Place::Stderr;
        }
    }

    /// Shows on the bar how far a transfer is.
    pub(crate) fn move_bar(&self, progress: &Progress) {
        let state = self.state();
        if let Place::Bar(bar) = &state.place {
            bar.set_position(progress.stored_bytes);
            bar.set_message(match &state.trouble {
                Some(trouble) => format!("{}  {trouble}", words::fraction(progress)),
                None => format!("{}  {}", words::fraction(progress), words::pace(progress)),
            });
        }
    }

    /// Says how far a transfer is.
    pub(crate) fn progress(&self, name: &str, progress: &Progress) {
        let state = self.state();
        // The trouble has been said, and nothing moves.
        if state.trouble.is_some() {
            return;
        }
        drop(state);
        self.tell(&format!("{name} {}, {}", words::fraction(progress), words::pace(progress)), || {
            json!({ "progress": {
                "name": name,
                "stored_bytes": progress.stored_bytes,
                "total_bytes": progress.total_bytes,
                "bytes_per_second": progress.bytes_per_second,
                "remaining_seconds": progress.remaining.map(|left| left.as_secs()),
            } })
        });
    }

    fn tell(&self, text: &str, json: impl FnOnce() -> Value) {
        if self.0.quiet {
            return;
        }
        let text = if self.0.json { json().to_string() } else { words::printable(text) };
        self.put(text);
    }

    fn put(&self, text: String) {
        match &mut self.state().place {
            Place::Prompt(print) => print(text + "\n"),
            Place::Bar(bar) => bar.println(text),
            // A reader that has gone away is no reason to stop.
            Place::Stderr => drop(writeln!(io::stderr().lock(), "{text}")),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
