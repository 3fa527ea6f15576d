//! People.

use super::words;
use hypersend_client::protocol::{account::Profile, chat::Chat, id::UserId};
use serde::Serialize;
use std::{collections::HashMap, fmt};

/// Somebody with an account.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) name: String,
}

impl From<&Profile> for Person {
    fn from(profile: &Profile) -> Self {
        Self { id: profile.id.to_string(), email: profile.email.to_string(), name: profile.name.to_string() }
    }
}

impl fmt::Display for Person {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} <{}>", words::printable(&self.name), words::printable(&self.email))
    }
}

/// Who is behind the ids of one chat. Who has left is remembered.
#[derive(Clone, Debug, Default)]
pub(crate) struct People(HashMap<UserId, Profile>);

impl People {
    pub(crate) fn of(chat: &Chat) -> Self {
        let mut people = Self::default();
        people.meet(chat);
        people
    }

    pub(crate) fn meet(&mut self, chat: &Chat) {
        self.0.extend(chat.members.iter().map(|member| (member.profile.id, member.profile.clone())));
    }

    pub(crate) fn get(&self, user: UserId) -> Option<&Profile> {
        self.0.get(&user)
    }

    /// The display name; with the email address when another has the same name, so that nobody can pass for them.
    pub(crate) fn label(&self, user: UserId) -> String {
        let Some(profile) = self.0.get(&user) else { return "somebody who has left".to_owned() };
        let same = |other: &&Profile| other.name.as_str().to_lowercase() == profile.name.as_str().to_lowercase();
        if self.0.values().filter(same).count() > 1 {
            return Person::from(profile).to_string();
        }
        words::printable(profile.name.as_str())
    }
}
