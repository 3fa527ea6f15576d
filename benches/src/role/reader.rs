//! Opens a chat again and again, as somebody does who looks what is new.

use super::{Login, Stage};
use crate::spread::Spread;
use anyhow::Result;
use hypersend_client::{ChatEvent, Client};
use hypersend_protocol::id::{ChatId, Seq};
use serde::{Deserialize, Serialize};
use std::time::Instant;

/// How often.
const TIMES: usize = 200;

/// Messages shown at once.
const PAGE: u32 = 50;

/// How long it took.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Opened {
    /// How many messages there were.
    pub(crate) messages: u64,
    /// The chat, its newest messages, and its stream, until what comes next would be told.
    pub(crate) at_the_end: Spread,
    /// A page from somewhere in it.
    pub(crate) within: Spread,
}

/// Answers each chat with [`Opened`].
pub(super) async fn run(mut stage: Stage, login: Login) -> Result<()> {
    let client = login.connect().await?;
    stage.say(&())?;
    while let Some(chat) = stage.next().await? {
        stage.say(&read(&client, chat).await?)?;
    }
    Ok(())
}

async fn read(client: &Client, chat: ChatId) -> Result<Opened> {
    let last = client.chat(chat).await?.last.0;
    let (mut ends, mut pages) = (Vec::new(), Vec::new());
    for time in 0..TIMES {
        let start = Instant::now();
        let found = client.chat(chat).await?;
        client.history(chat, None, PAGE).await?;
        let mut stream = client.open_chat(chat, found.last, found.revision);
        while !matches!(stream.next().await?, ChatEvent::Opened(_)) {}
        ends.push(start.elapsed());

        // Another place each time, all over it.
        let before = last * (time as u64 + 1) / TIMES as u64;
        let start = Instant::now();
        client.history(chat, Some(Seq(before)), PAGE).await?;
        pages.push(start.elapsed());
    }
    Ok(Opened { messages: last, at_the_end: Spread::of(ends), within: Spread::of(pages) })
}
