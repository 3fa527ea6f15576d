//! What a conversation looks like: lines for people, or one JSON object for each event.

use crate::{
    failure::Failure,
    output::{Output, line},
    talk::Printer,
    view::{ChatView, MessageView, People, Person, Received},
};
use hypersend_client::protocol::id::UserId;
use serde::Serialize;
use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// How long it is not said again that somebody types.
const TYPING: Duration = Duration::from_secs(10);

/// An event, to programs.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Told<'a> {
    Opened(&'a ChatView),
    Members(&'a ChatView),
    Message(&'a MessageView),
    Changed(&'a MessageView),
    Saved(&'a Received),
    Typing(&'a Person),
    Read {
        #[serde(flatten)]
        person: &'a Person,
        seq: u64,
    },
}

/// Standard output, or the terminal above a prompt.
pub(super) struct Screen {
    out: Output,
    prompt: Option<Printer>,
    typing: HashMap<UserId, Instant>,
}

impl Screen {
    pub(super) fn new(out: Output, prompt: Option<Printer>) -> Self {
        Self { out, prompt, typing: HashMap::new() }
    }

    /// Whether somebody looks at it.
    pub(super) fn is_live(&self) -> bool {
        self.prompt.is_some()
    }

    pub(super) fn opened(&mut self, chat: &ChatView) -> Result<(), Failure> {
        self.json(&Told::Opened(chat))
    }

    pub(super) fn message(&mut self, sender: UserId, message: &MessageView) -> Result<(), Failure> {
        self.typing.remove(&sender);
        self.json(&Told::Message(message))?;
        self.text(&message.to_string())
    }

    pub(super) fn changed(&mut self, seq: u64, label: &str, message: &MessageView) -> Result<(), Failure> {
        self.json(&Told::Changed(message))?;
        self.text(&format!("* message #{seq} of {label} was deleted"))
    }

    pub(super) fn typing(&mut self, user: UserId, people: &People) -> Result<(), Failure> {
        let Some(profile) = people.get(user) else { return Ok(()) };
        self.json(&Told::Typing(&Person::from(profile)))?;
        let lately = self.typing.get(&user).is_some_and(|said| said.elapsed() < TYPING);
        if !self.is_live() || lately {
            return Ok(());
        }
        self.typing.insert(user, Instant::now());
        self.text(&format!("* {} is typing", people.label(user)))
    }

    pub(super) fn read(&mut self, user: UserId, seq: u64, people: &People) -> Result<(), Failure> {
        let Some(profile) = people.get(user) else { return Ok(()) };
        self.json(&Told::Read { person: &Person::from(profile), seq })
    }

    pub(super) fn members(&mut self, chat: &ChatView) -> Result<(), Failure> {
        self.json(&Told::Members(chat))
    }

    /// A file has been fetched.
    pub(super) fn saved(&mut self, received: &Received) -> Result<(), Failure> {
        self.json(&Told::Saved(received))?;
        self.text(&format!("* saved as {received}"))
    }

    /// Something that happened, to people.
    pub(super) fn text(&mut self, text: &str) -> Result<(), Failure> {
        match &mut self.prompt {
            Some(print) => print(format!("{text}\n")),
            None if !self.out.is_json() => line(text)?,
            None => {}
        }
        Ok(())
    }

    fn json(&self, told: &Told<'_>) -> Result<(), Failure> {
        if self.out.is_json() {
            line(&serde_json::to_string(told).expect("events are JSON"))?;
        }
        Ok(())
    }
}
