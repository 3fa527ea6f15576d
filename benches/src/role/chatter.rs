//! One of two who talk: posts at an even pace, notes what comes from the other, and moves bulk beside it if told to.

use super::{Login, Stage, email, now_nanos, since_nanos};
use crate::spread::{Spread, float};
use anyhow::{Context, Result};
use futures::FutureExt;
use hypersend_client::{ChatEvent, ChatHandle, Client, Progress};
use hypersend_protocol::{
    file::FileInfo,
    id::{ChatId, FileId, Revision, Seq, UserId},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::HashMap,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{sleep, sleep_until},
};

/// What the parent may ask for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Talk {
    /// Opens the chat with somebody; answered with nothing.
    Meet {
        /// The other's name.
        peer: String,
    },
    /// Begins to move a file; answered with nothing when it flows.
    Begin(Bulk),
    /// Posts for a while; answered with [`Talked`]. Ends before its time when a bulk transfer does.
    Say {
        /// A number for what is said now.
        phase: u32,
        /// For how long.
        lasting: Duration,
        /// From one message to the next.
        every: Duration,
    },
    /// Answered with the [`Spread`] of what was heard from the other in a phase, from post to event.
    Heard {
        /// Which phase.
        phase: u32,
    },
    /// Waits for the file; answered with its id.
    Finish,
}

/// A transfer on the same connection.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Bulk {
    /// To the server.
    Upload(PathBuf),
    /// From the server.
    Download(FileId, PathBuf),
}

/// How talking went.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Talked {
    /// From post to acknowledgement.
    pub(crate) acks: Spread,
    /// The connection's round trip, as QUIC smoothed it.
    pub(crate) round_trip: Spread,
    /// Bulk bytes per second meanwhile.
    pub(crate) bulk_rate: f64,
}

/// Deliveries by phase.
type Deliveries = Arc<Mutex<HashMap<u32, Vec<Duration>>>>;

/// Answers until the parent wants no more.
pub(super) async fn run(mut stage: Stage, login: Login) -> Result<()> {
    let client = login.connect().await?;
    let me = client.me().await?.id;
    let deliveries = Deliveries::default();
    let mut chat = None;
    let mut moving: Option<Moving> = None;
    stage.say(&())?;
    while let Some(wanted) = stage.next().await? {
        match wanted {
            Talk::Meet { peer } => {
                let id = client.open_direct(email(&peer)?).await?.id;
                let ears = opened(&client, id).await?;
                // A handle lends itself either to posting or to listening, so there is one for each.
                let mouth = opened(&client, id).await?;
                chat = Some((mouth, tokio::spawn(listen(ears, me, deliveries.clone()))));
                stage.say(&())?;
            }
            Talk::Begin(bulk) => {
                moving = Some(Moving::begin(&client, bulk).await?);
                stage.say(&())?;
            }
            Talk::Say { phase, lasting, every } => {
                let (mouth, _) = chat.as_mut().context("the other was met")?;
                stage.say(&say(&client, mouth, moving.as_ref(), phase, lasting, every).await?)?;
            }
            Talk::Heard { phase } => {
                let mut heard = deliveries.lock().unwrap_or_else(PoisonError::into_inner);
                stage.say(&Spread::of(heard.remove(&phase).unwrap_or_default()))?;
            }
            Talk::Finish => {
                let moving = moving.take().context("a transfer was begun")?;
                stage.say(&moving.finished.await??.id)?;
            }
        }
    }
    Ok(())
}

async fn opened(client: &Client, chat: ChatId) -> Result<ChatHandle> {
    let mut handle = client.open_chat(chat, Seq(0), Revision(0));
    while !matches!(handle.next().await?, ChatEvent::Opened(_)) {}
    Ok(handle)
}

/// Notes how long each message of the other took.
async fn listen(mut ears: ChatHandle, me: UserId, deliveries: Deliveries) -> Result<()> {
    loop {
        let ChatEvent::Message(message) = ears.next().await? else { continue };
        if message.sender == me {
            continue;
        }
        let text = message.text.as_ref().map_or("", |text| text.as_str());
        let (phase, sent) = text.split_once(' ').context("a message has its phase and time")?;
        let (phase, took) = (phase.parse()?, since_nanos(sent.parse()?));
        deliveries.lock().unwrap_or_else(PoisonError::into_inner).entry(phase).or_default().push(took);
    }
}

async fn say(
    client: &Client,
    mouth: &mut ChatHandle,
    moving: Option<&Moving>,
    phase: u32,
    lasting: Duration,
    every: Duration,
) -> Result<Talked> {
    let (start, moved) = (Instant::now(), moving.map_or(0, Moving::bytes));
    let (mut acks, mut round_trips) = (Vec::new(), Vec::new());
    let mut due = start;
    while due < start + lasting && moving.is_none_or(Moving::goes_on) {
        // A post that comes late because the one before it took long counts from when it was due, or a long wait would
        // be counted once where a user would have met it many times.
        let late = due.elapsed();
        if late.is_zero() {
            sleep_until(due.into()).await;
        }
        let sent = now_nanos().saturating_sub(u64::try_from(late.as_nanos()).unwrap_or(u64::MAX));
        mouth.post(Some(format!("{phase} {sent}").parse()?), Vec::new()).await?;
        acks.push(since_nanos(sent));
        round_trips.push(client.round_trip().await?);
        while let Some(event) = mouth.next().now_or_never() {
            event?;
        }
        due += every;
    }
    let bulk_rate = float(moving.map_or(0, Moving::bytes) - moved) / start.elapsed().as_secs_f64();
    Ok(Talked { acks: Spread::of(acks), round_trip: Spread::of(round_trips), bulk_rate })
}

/// A transfer under way.
struct Moving {
    progress: watch::Receiver<Option<Progress>>,
    finished: JoinHandle<Result<FileInfo>>,
}

impl Moving {
    /// Begins it; returns when an eighth is over, so that it runs at full speed.
    async fn begin(client: &Client, bulk: Bulk) -> Result<Self> {
        let mut moving = match bulk {
            Bulk::Upload(path) => {
                let upload = client.upload(path);
                let progress = upload.progress();
                Self { progress, finished: tokio::spawn(async { Ok(upload.finish().await?) }) }
            }
            Bulk::Download(file, to) => {
                let download = client.download(file, to);
                let progress = download.progress();
                Self { progress, finished: tokio::spawn(async { Ok(download.finish().await?) }) }
            }
        };
        let flows = |at: &Option<Progress>| at.is_some_and(|at| at.stored_bytes >= at.total_bytes / 8);
        moving.progress.wait_for(flows).await.context("the transfer flows")?;
        // What the wait itself has queued up is over soon.
        sleep(Duration::from_millis(10)).await;
        Ok(moving)
    }

    fn bytes(&self) -> u64 {
        self.progress.borrow().map_or(0, |at| at.stored_bytes)
    }

    /// Whether bulk still flows.
    fn goes_on(&self) -> bool {
        !self.finished.is_finished() && self.progress.borrow().is_none_or(|at| at.stored_bytes < at.total_bytes)
    }
}
