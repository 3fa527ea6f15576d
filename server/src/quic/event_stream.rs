//! The feed: what happened since the client's cursor, then what happens. Listens first and reads then, like a chat
//! stream.

use super::{
    connection::{Ending, Peer, gone},
    wire,
};
use crate::{
    hub::{Missed, UserNotice},
    store::events::Feed,
};
use hypersend_protocol::{
    event::{EventsReset, OpenEvents},
    id::Cursor,
};
use hypersend_quic::frames::{FrameReader, send};
use quinn::SendStream;
use std::convert::Infallible;

pub(super) async fn serve(
    peer: &Peer,
    open: OpenEvents,
    out: &mut SendStream,
    reader: &mut FrameReader,
) -> Result<(), Ending> {
    let mut notices = peer.services.chats.hub().user(peer.me.id());
    let mut feed = FeedStream { peer, out, cursor: Cursor::default() };
    match open.after {
        Some(cursor) => {
            feed.cursor = cursor;
            feed.catch_up().await?;
        }
        None => {
            let head = peer.services.chats.feed_head(&peer.me).await?;
            feed.reset(head).await?;
        }
    }
    loop {
        tokio::select! {
            notice = notices.next() => match notice {
                Ok(notice) => feed.committed(&notice).await?,
                Err(Missed) => feed.catch_up().await?,
            },
            end = until_finished(reader) => return end.map(|never| match never {}),
            () = peer.ending.cancelled() => return Ok(()),
        }
    }
}

/// The client says nothing on this stream; it ends it by stopping to listen or by closing the connection, so a finished
/// sending side means nothing.
async fn until_finished(reader: &mut FrameReader) -> Result<Infallible, Ending> {
    match reader.next::<OpenEvents>().await {
        Ok(None) => std::future::pending().await,
        Ok(Some(_)) | Err(_) => Err(Ending::Gone),
    }
}

struct FeedStream<'a> {
    peer: &'a Peer,
    out: &'a mut SendStream,
    /// The last event sent.
    cursor: Cursor,
}

impl FeedStream<'_> {
    async fn catch_up(&mut self) -> Result<(), Ending> {
        loop {
            match self.peer.services.chats.events_after(&self.peer.me, self.cursor).await? {
                Feed::Events(events) if events.is_empty() => return Ok(()),
                Feed::Events(events) => {
                    for event in events {
                        self.cursor = event.cursor;
                        send(self.out, &wire::stored_event(event)).await.map_err(gone)?;
                    }
                }
                Feed::Gone(head) => self.reset(head).await?,
            }
        }
    }

    async fn reset(&mut self, head: Cursor) -> Result<(), Ending> {
        self.cursor = head;
        send(self.out, &EventsReset { cursor: head }).await.map_err(gone)
    }

    async fn committed(&mut self, notice: &UserNotice) -> Result<(), Ending> {
        if notice.cursor == self.cursor.next() {
            self.cursor = notice.cursor;
            return send(self.out, &wire::live_event(notice.cursor, &notice.fanout)).await.map_err(gone);
        }
        if notice.cursor > self.cursor { self.catch_up().await } else { Ok(()) }
    }
}
