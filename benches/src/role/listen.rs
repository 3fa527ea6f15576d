//! Has chats open and counts what comes.

use super::{Login, Stage, since_nanos};
use crate::spread::Spread;
use anyhow::{Context, Result};
use hypersend_client::{ChatEvent, ChatHandle, Client};
use hypersend_protocol::id::{ChatId, Revision, Seq};
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use tokio::{
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    time::timeout,
};

/// How long the last message may take after the last acknowledgement.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the parent may ask for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Heard {
    /// Opens these chats, each by the login of that number; answered with nothing when all are open.
    Open(Vec<(usize, ChatId)>),
    /// Waits for that many messages; answered with [`Received`].
    Count(u64),
}

/// What came.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Received {
    /// From the first message to the last.
    pub(crate) elapsed: Duration,
    /// From post to event.
    pub(crate) deliveries: Spread,
}

/// Answers until the parent wants no more.
pub(super) async fn run(mut stage: Stage, logins: Vec<Login>) -> Result<()> {
    let mut clients = Vec::new();
    for login in logins {
        clients.push(login.connect().await?);
    }
    stage.say(&())?;
    // Unbounded: as long as what is posted, which the posters bound.
    let (sender, mut heard) = mpsc::unbounded_channel();
    while let Some(wanted) = stage.next().await? {
        match wanted {
            Heard::Open(chats) => {
                open_all(&clients, chats, &sender).await?;
                stage.say(&())?;
            }
            Heard::Count(expected) => stage.say(&count(&mut heard, expected).await?)?,
        }
    }
    Ok(())
}

async fn open_all(
    clients: &[Client],
    chats: Vec<(usize, ChatId)>,
    sender: &UnboundedSender<(Instant, Duration)>,
) -> Result<()> {
    for (by, chat) in chats {
        let mut handle = clients.get(by).context("a login of that number")?.open_chat(chat, Seq(0), Revision(0));
        while !matches!(handle.next().await?, ChatEvent::Opened(_)) {}
        tokio::spawn(listen(handle, sender.clone()));
    }
    Ok(())
}

async fn listen(mut handle: ChatHandle, sender: UnboundedSender<(Instant, Duration)>) -> Result<()> {
    loop {
        let ChatEvent::Message(message) = handle.next().await? else { continue };
        let sent: u64 = message.text.as_ref().map_or("", |text| text.as_str()).parse()?;
        sender.send((Instant::now(), since_nanos(sent)))?;
    }
}

async fn count(heard: &mut UnboundedReceiver<(Instant, Duration)>, expected: u64) -> Result<Received> {
    let mut deliveries = Vec::new();
    let mut span: Option<(Instant, Instant)> = None;
    while (deliveries.len() as u64) < expected {
        let next = timeout(PATIENCE, heard.recv()).await;
        let (at, took) = next
            .with_context(|| format!("of {expected} messages {} came", deliveries.len()))?
            .context("the sender is kept")?;
        let (first, _) = span.unwrap_or((at, at));
        span = Some((first, at));
        deliveries.push(took);
    }
    let elapsed = span.map_or(Duration::ZERO, |(first, last)| last - first);
    Ok(Received { elapsed, deliveries: Spread::of(deliveries) })
}
