//! What the writer remembers from one batch to the next: chats, and the heads of feeds.
//!
//! It is right unless another server has been there since, and nothing wrong is ever written from it. Whatever is done to a
//! chat goes into the feed of somebody in it, and a place in a feed, like a number in a chat, is unique in the database. So a
//! batch that builds on what is out of date is refused as a duplicate, and runs again on what it reads. What would be
//! answered without writing anything is not answered from memory ([`batch`](super::batch)).
//!
//! For that to hold, **a chat is remembered only together with the heads of all its members' feeds, read no later than it
//! was**: then there is a head that tells. Heads without their chat do no harm. So nothing is ever forgotten but everything.

use super::chats::ChatRow;
use hypersend_protocol::id::{ChatId, Cursor, UserId};
use mongodb::bson::DateTime;
use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

/// Members of chats and heads of feeds that are remembered, together; some 100 bytes each.
const MAX_KNOWN: usize = 100_000;

/// How long anything is remembered. What tells that it is out of date are events, and these are forgotten after days.
const LASTING: Duration = Duration::from_mins(1);

/// Batches that read everything after one that was refused: two servers are busy in the same chats, and each refusal costs
/// more than remembering saves.
const WARY: u32 = 16;

/// Where a feed is.
#[derive(Clone, Copy)]
pub(super) struct Head {
    /// Its newest event.
    pub(super) cursor: Cursor,
    /// How old that is.
    pub(super) age: DateTime,
}

/// What is remembered. Whoever has the turn to write has it, and forgets it unless all that was written since is in it.
#[derive(Default)]
pub(super) struct Known {
    chats: HashMap<ChatId, ChatRow>,
    heads: HashMap<UserId, Head>,
    /// Members of those chats.
    members: usize,
    /// Since when; none when it is empty.
    since: Option<Instant>,
    /// Batches that are still to read everything.
    wary: u32,
}

impl Known {
    /// Forgets everything.
    pub(super) fn forget(&mut self) {
        *self = Self { wary: self.wary, ..Self::default() };
    }

    /// Hands out what is remembered to the next batch, if it is recent enough, and forgets it.
    pub(super) fn hand_out(&mut self, now: Instant) -> Self {
        let known = std::mem::take(self);
        self.wary = known.wary.saturating_sub(1);
        let recent = known.since.is_some_and(|since| now.saturating_duration_since(since) < LASTING);
        if recent { known } else { Self::default() }
    }

    /// Whether there is nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// Takes back what is known after a batch. If what it had been handed out was out of date (`misled`), nothing is
    /// remembered for some time.
    pub(super) fn take_back(&mut self, known: Self, misled: bool) {
        if misled {
            self.wary = WARY;
        }
        if self.wary == 0 {
            *self = known;
        }
    }

    /// Takes out the chats among these that are remembered.
    pub(super) fn take_chats(&mut self, ids: &HashSet<ChatId>) -> HashMap<ChatId, ChatRow> {
        let taken: HashMap<_, _> = ids.iter().filter_map(|id| self.chats.remove_entry(id)).collect();
        self.members -= taken.values().map(|row| row.members.len()).sum::<usize>();
        taken
    }

    /// Where a feed is, if that is remembered.
    pub(super) fn head(&self, user: UserId) -> Option<Head> {
        self.heads.get(&user).copied()
    }

    /// Remembers chats with their members, and heads, as they are once the batch is committed. Chats of whom a head is not
    /// known are left out.
    pub(super) fn remember(
        &mut self,
        heads: impl Iterator<Item = (UserId, Head)>,
        chats: impl Iterator<Item = (ChatId, Vec<UserId>, ChatRow)>,
        now: Instant,
    ) {
        self.since.get_or_insert(now);
        self.heads.extend(heads);
        for (id, members, row) in chats {
            if members.iter().all(|member| self.heads.contains_key(member)) {
                self.members += members.len();
                self.chats.insert(id, row);
            }
        }
        if self.members + self.heads.len() > MAX_KNOWN {
            self.forget();
        }
    }
}
