//! What other servers do, by one change stream over the database.
//!
//! What is in it has been committed by a majority, in the order of the commits. A stream that breaks is taken up where it
//! broke, however long an election or the way to the database took. Only when the database no longer knows that place was
//! something missed, and then this is said: whoever listens looks in the store.

use super::{
    events::{self, EVENTS, EventRow},
    field::Field,
    mailboxes::{self, MAILBOXES},
    peers::{TYPING, TypingRow},
    presence::{self, PRESENCE},
    sessions::SESSIONS,
    signals::{self, SIGNALS},
    transaction::{Act, Failure, Result},
};
use crate::store::{
    StoreError,
    news::{News, NewsStream, Node},
};
use futures::{
    StreamExt,
    stream::{self, ReadyChunks},
};
use hypersend_protocol::id::SessionId;
use mongodb::{
    Database,
    bson::{Document, RawDocumentBuf, deserialize_from_slice, doc},
    change_stream::{
        ChangeStream,
        event::{ChangeStreamEvent, OperationType, ResumeToken},
    },
    error::{Error, ErrorKind},
};
use std::{collections::VecDeque, time::Duration};
use tokio::time::sleep;

/// Changes that are looked at together: their messages are one query.
const AT_ONCE: usize = 256;

/// How long to wait before a stream that broke is taken up again. The driver has done so once by itself, at once.
const PAUSE: Duration = Duration::from_secs(1);

/// The database's codes for: this place is forgotten; there is no such place; nothing can be taken up there.
const PLACE_LOST: [i32; 3] = [286, 260, 280];

type Change = ChangeStreamEvent<RawDocumentBuf>;

/// What is done from now on by other servers than `node`.
pub(super) async fn follow(db: &Database, node: Node) -> Result<NewsStream> {
    let (changes, place) = open(db, node, None).await?;
    let following =
        Following { db: db.clone(), node, changes: Some(changes), place, waiting: VecDeque::new(), missed: false };
    Ok(stream::unfold(following, async |mut following| Some((following.next().await, following))).boxed())
}

struct Following {
    db: Database,
    node: Node,
    changes: Option<ReadyChunks<ChangeStream<Change>>>,
    /// Behind the last change that was told.
    place: Option<ResumeToken>,
    waiting: VecDeque<News>,
    /// Whether the place is to be given up for the present.
    missed: bool,
}

impl Following {
    async fn next(&mut self) -> News {
        loop {
            if let Some(news) = self.waiting.pop_front() {
                return news;
            }
            if let Err(error) = self.advance().await {
                self.changes = None;
                let lost = is_place_lost(&error);
                let error = StoreError::from(error);
                // What cannot be read now cannot be read later.
                self.missed |= lost || matches!(error, StoreError::Corrupt { .. });
                tracing::warn!(error = %crate::report(&error), "following other servers again soon");
                sleep(PAUSE).await;
            }
        }
    }

    /// Takes in what has come, or waits until something does.
    async fn advance(&mut self) -> Result<()> {
        let Some(changes) = &mut self.changes else {
            let place = if self.missed { None } else { self.place.clone() };
            let (changes, place) = open(&self.db, self.node, place).await?;
            (self.changes, self.place) = (Some(changes), place);
            if std::mem::take(&mut self.missed) {
                self.waiting.push_back(News::Missed);
            }
            return Ok(());
        };
        let Some(changes) = changes.next().await else { return Err(ended()) };
        // What came before a failure is told first; the failure comes again when that place is taken up.
        let (mut whole, mut failure) = (Vec::with_capacity(changes.len()), None);
        for change in changes {
            match change {
                Ok(change) => whole.push(change),
                Err(error) => {
                    failure = Some(Failure::from(error));
                    break;
                }
            }
        }
        let place = whole.last().map(|change| change.id.clone());
        self.waiting.extend(tell(&self.db, self.node, whole).await?);
        self.place = place.or(self.place.take());
        failure.map_or(Ok(()), Err)
    }
}

async fn open(
    db: &Database,
    node: Node,
    place: Option<ResumeToken>,
) -> Result<(ReadyChunks<ChangeStream<Change>>, Option<ResumeToken>)> {
    // What a register says is read where somebody waits for it, and does not go to every server.
    let pipeline = [doc! { "$match": wanted(node) }, doc! { "$unset": "fullDocument.value" }];
    let mut watch = db.watch().pipeline(pipeline);
    if let Some(place) = place {
        watch = watch.start_after(place);
    }
    let changes = watch.await?.with_type();
    // Asked before it is polled for the first time, and never after.
    let place = changes.resume_token();
    Ok((changes.ready_chunks(AT_ONCE), place))
}

/// Which changes are news. Compared in the database: what this server did itself is most of what there is where it is alone.
fn wanted(node: Node) -> Document {
    let elsewhere =
        |name: &str| doc! { "operationType": "insert", "ns.coll": name, "fullDocument.by": { "$ne": node.0 } };
    let ended = doc! {
        "operationType": "update",
        "ns.coll": SESSIONS.name,
        "updateDescription.updatedFields.ended": { "$exists": true },
    };
    let came = doc! { "operationType": "insert", "ns.coll": PRESENCE.name, "documentKey._id.node": { "$ne": node.0 } };
    // This server's own too: what others take for forgotten it has to say again.
    let went = doc! { "operationType": "delete", "ns.coll": PRESENCE.name };
    let set = doc! {
        "operationType": { "$in": ["insert", "replace"] },
        "ns.coll": SIGNALS.name,
        "fullDocument.by": { "$ne": node.0 },
    };
    // By an update one is only opened. This server's own too: that does not tell by whom.
    let opened = doc! { "operationType": "update", "ns.coll": SIGNALS.name };
    // This server's own too: it has told its own listeners already, and they look once more.
    let left = doc! { "operationType": "update", "ns.coll": MAILBOXES.name, "updateDescription.removedFields": "open" };
    doc! { "$or": [elsewhere(EVENTS.name), elsewhere(TYPING.name), ended, came, went, set, opened, left] }
}

/// What these changes say, in their order.
async fn tell(db: &Database, node: Node, changes: Vec<Change>) -> Result<Vec<News>> {
    enum Said {
        Act(EventRow),
        Other(News),
    }
    let mut said = Vec::with_capacity(changes.len());
    for change in changes {
        let collection = change.ns.and_then(|ns| ns.coll).unwrap_or_default();
        match (change.full_document, change.document_key) {
            (Some(row), _) if collection == EVENTS.name => {
                said.push(Said::Act(deserialize_from_slice(row.as_bytes())?));
            }
            (Some(row), _) if collection == TYPING.name => {
                let row: TypingRow = deserialize_from_slice(row.as_bytes())?;
                said.push(Said::Other(row.news()?));
            }
            (_, Some(key)) if collection == SESSIONS.name => {
                let id = key.get("_id").cloned().map(mongodb::bson::deserialize_from_bson).transpose()?;
                let id = id.map(SessionId::read).transpose()?;
                said.extend(id.map(|id| Said::Other(News::SessionEnded(id))));
            }
            (_, Some(key)) if collection == MAILBOXES.name => said.push(Said::Other(mailboxes::news(&key)?)),
            (_, Some(key)) if collection == SIGNALS.name => said.push(Said::Other(signals::news(&key)?)),
            (_, Some(key)) if collection == PRESENCE.name => {
                let came = matches!(change.operation_type, OperationType::Insert);
                said.push(Said::Other(presence::news(&key, node, came)?));
            }
            _ => {}
        }
    }
    let rows = said.iter().filter_map(|said| if let Said::Act(row) = said { Some(row) } else { None });
    let messages = events::messages(&mut Act::reading(db), rows).await?;
    let news = |said| match said {
        Said::Other(news) => Ok(news),
        // Of a message that is no longer there nobody has to hear as it was.
        Said::Act(row) => Ok(row.fanout(&messages)?.map_or(News::Missed, News::Committed)),
    };
    said.into_iter().map(news).collect()
}

fn ended() -> Failure {
    Failure::Store(StoreError::Unavailable("the change stream ended".into()))
}

fn is_place_lost(failure: &Failure) -> bool {
    let Failure::Database(Error { kind, .. }) = failure else { return false };
    matches!(&**kind, ErrorKind::Command(error) if PLACE_LOST.contains(&error.code))
}
