//! The feed, on its stream.

use super::{
    connection::{Ending, Peer, gone},
    wire,
};
use crate::services::FeedItem;
use hypersend_net::frames::{FrameReader, send};
use hypersend_net::stream::SendStream;
use hypersend_protocol::event::{EventsReset, OpenEvents};
use std::convert::Infallible;

pub(super) async fn serve(
    peer: &Peer,
    open: OpenEvents,
    out: &mut SendStream,
    reader: &mut FrameReader,
) -> Result<(), Ending> {
    let mut feed = peer.services.chats.follow(&peer.me, open.after);
    loop {
        tokio::select! {
            item = feed.next() => match item? {
                FeedItem::Event(event) => send(out, &wire::event(event)).await.map_err(gone)?,
                FeedItem::Reset(cursor) => send(out, &EventsReset { cursor }).await.map_err(gone)?,
            },
            end = until_finished(reader) => return end.map(|never| match never {}),
            // Else it would be known only when something happens to the user.
            () = out.unwanted() => return Err(Ending::Gone),
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
