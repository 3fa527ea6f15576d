//! What a conversation looks like: lines for people, or one JSON object for each event.

use super::here::Here;
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
    Present {
        people: Vec<Person>,
    },
    Presence {
        #[serde(flatten)]
        person: &'a Person,
        present: bool,
    },
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
    here: Here,
}

impl Screen {
    pub(super) fn new(out: Output, prompt: Option<Printer>) -> Self {
        Self { out, prompt, typing: HashMap::new(), here: Here::default() }
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

    /// Who of the others is connected.
    pub(super) fn present(&mut self, users: Vec<UserId>, people: &People) -> Result<(), Failure> {
        let known = users.iter().filter_map(|&user| people.get(user));
        self.json(&Told::Present { people: known.map(Person::from).collect() })?;
        self.here.are(users, Instant::now());
        Ok(())
    }

    /// One of the others has come or gone.
    pub(super) fn presence(&mut self, user: UserId, present: bool, people: &People) -> Result<(), Failure> {
        let Some(profile) = people.get(user) else { return Ok(()) };
        self.json(&Told::Presence { person: &Person::from(profile), present })?;
        self.here.is(user, present, Instant::now());
        Ok(())
    }

    /// Somebody is no longer in the chat.
    pub(super) fn left(&mut self, user: UserId) {
        self.here.left(user);
    }

    /// Says who has come and gone, once that is worth a line.
    pub(super) fn settle(&mut self, people: &People, members: usize) -> Result<(), Failure> {
        if !self.is_live() {
            return Ok(());
        }
        match self.here.news(people, members, Instant::now()) {
            Some(text) => self.text(&text),
            None => Ok(()),
        }
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
