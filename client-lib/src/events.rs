//! The event feed, across connections.

use crate::{
    error::{Attempt, ClientError, Patience},
    link::{Link, Live},
};
use hypersend_net::frames::{FrameReader, send};
use hypersend_net::stream::SendStream;
use hypersend_protocol::{
    event::{EventUpdate, OpenEvents},
    id::Cursor,
    stream::priority,
};
use std::sync::Arc;

/// What happens outside open chats. No event is missed or comes twice, whatever becomes of the connection; when some are
/// no longer to be had, [`EventUpdate::EventsReset`] says so. Stops when dropped.
#[derive(Debug)]
pub struct Events {
    link: Arc<Link>,
    cursor: Option<Cursor>,
    /// The sending half is kept so that the server sees the stream alive.
    open: Option<(Live, SendStream, FrameReader)>,
    patience: Patience,
}

impl Events {
    pub(crate) fn new(link: Arc<Link>, cursor: Option<Cursor>) -> Self {
        Self { link, cursor, open: None, patience: Patience::default() }
    }

    /// The last event seen: give it to [`Client::events`](crate::Client::events) to go on from here.
    pub fn cursor(&self) -> Option<Cursor> {
        self.cursor
    }

    /// The next event. Cancel safe.
    pub async fn next(&mut self) -> Result<EventUpdate, ClientError> {
        loop {
            let (live, _, reader) = match &mut self.open {
                Some(open) => open,
                closed => {
                    let live = self.link.live().await?;
                    match open(&live, &self.link, self.cursor).await {
                        Ok((stream, reader)) => closed.insert((live, stream, reader)),
                        Err(attempt) => {
                            self.patience.wait_out(attempt, &live).await?;
                            continue;
                        }
                    }
                }
            };
            match reader.expect::<EventUpdate>().await {
                Ok(update) => {
                    self.patience.rest();
                    self.cursor = Some(match &update {
                        EventUpdate::EventsReset(reset) => reset.cursor,
                        EventUpdate::Event(event) => event.cursor,
                    });
                    return Ok(update);
                }
                Err(error) => {
                    let attempt = Attempt::receiving(self.link.server(), error);
                    self.patience.wait_out(attempt, live).await?;
                    self.open = None;
                }
            }
        }
    }
}

async fn open(live: &Live, link: &Link, after: Option<Cursor>) -> Result<(SendStream, FrameReader), Attempt> {
    let (mut stream, answer) = live.connection.open_bi().await.map_err(|_| Attempt::Lost)?;
    stream.set_priority(priority::CHAT);
    send(&mut stream, &OpenEvents { after }).await.map_err(|error| Attempt::sending(link.server(), error))?;
    Ok((stream, FrameReader::new(answer)))
}
