//! A user's feed, followed: what happened since a cursor, then what happens, each event once and in order.
//!
//! The store is the truth and the hub only says when to look: this listens first and reads then, so nothing falls between,
//! and it knows the last event that it gave out, so nothing comes twice.

use super::{accounts::Caller, chats::ChatError, chats::Chats};
use crate::{
    hub::{Listener, Missed, UserNotice},
    store::events::{self, Event},
};
use hypersend_protocol::id::{Cursor, UserId};
use std::collections::VecDeque;

/// What a feed says next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedItem {
    /// What came before this is not to be had here: read the lists anew, and go on from this.
    Reset(Cursor),
    /// Something happened.
    Event(Event),
}

/// A user's feed.
#[derive(Debug)]
pub struct Feed {
    chats: Chats,
    me: Caller,
    notices: Listener<UserId, UserNotice>,
    /// The last event given out, or about to be; none when the feed begins wherever it is.
    cursor: Option<Cursor>,
    /// Whether the store may have more than was given out.
    behind: bool,
    waiting: VecDeque<FeedItem>,
}

impl Feed {
    /// The caller's feed after a cursor, or from now on.
    pub(super) fn new(chats: Chats, me: Caller, after: Option<Cursor>) -> Self {
        let notices = chats.hub().user(me.id());
        Self { chats, me, notices, cursor: after, behind: true, waiting: VecDeque::new() }
    }

    /// The next item. Cancel safe.
    pub async fn next(&mut self) -> Result<FeedItem, ChatError> {
        loop {
            if let Some(item) = self.waiting.pop_front() {
                return Ok(item);
            }
            if self.behind {
                self.catch_up().await?;
                continue;
            }
            match self.notices.next().await {
                Ok(notice) => self.told(&notice),
                Err(Missed) => self.behind = true,
            }
        }
    }

    /// Reads one page of what the store has beyond the cursor.
    async fn catch_up(&mut self) -> Result<(), ChatError> {
        let Some(cursor) = self.cursor else {
            let head = self.chats.feed_head(&self.me).await?;
            self.reset(head);
            return Ok(());
        };
        match self.chats.events_after(&self.me, cursor).await? {
            events::Feed::Events(events) => {
                self.behind = !events.is_empty();
                self.cursor = events.last().map_or(self.cursor, |last| Some(last.cursor));
                self.waiting.extend(events.into_iter().map(FeedItem::Event));
            }
            events::Feed::Gone(head) => self.reset(head),
        }
        Ok(())
    }

    fn reset(&mut self, head: Cursor) {
        self.cursor = Some(head);
        self.waiting.push_back(FeedItem::Reset(head));
    }

    fn told(&mut self, notice: &UserNotice) {
        let cursor = self.cursor.unwrap_or_default();
        if notice.cursor == cursor.next() {
            self.cursor = Some(notice.cursor);
            self.waiting.push_back(FeedItem::Event(notice.fanout.event(notice.cursor)));
        } else if notice.cursor > cursor {
            self.behind = true;
        }
    }
}
