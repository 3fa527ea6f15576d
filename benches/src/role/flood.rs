//! Posts in many chats over several connections, as fast as they are taken.

use super::{Login, Stage, email, now_nanos, since_nanos};
use crate::spread::Spread;
use anyhow::Result;
use futures::{FutureExt, future::try_join_all};
use hypersend_client::{ChatEvent, ChatHandle, Client};
use hypersend_protocol::id::ChatId;
use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// One way to post.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Flood {
    /// How long.
    pub(crate) lasting: Duration,
    /// Posts under way in each chat.
    pub(crate) depth: usize,
    /// On the open chat's stream, or each as a request of its own.
    pub(crate) on_chat_streams: bool,
}

/// How it went.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Flooded {
    /// Posts acknowledged.
    pub(crate) posted: u64,
    /// From the first post to the last acknowledgement.
    pub(crate) elapsed: Duration,
    /// From post to acknowledgement.
    pub(crate) acks: Spread,
}

/// Says the chats of every login with every peer, login by login; then answers each [`Flood`] with [`Flooded`].
pub(super) async fn run(mut stage: Stage, logins: Vec<Login>, peers: Vec<String>) -> Result<()> {
    let mut chats = Vec::new();
    for login in logins {
        let client = login.connect().await?;
        for peer in &peers {
            chats.push((client.clone(), client.open_direct(email(peer)?).await?.id));
        }
    }
    stage.say(&chats.iter().map(|(_, chat)| *chat).collect::<Vec<_>>())?;
    while let Some(flood) = stage.next().await? {
        stage.say(&pour(&chats, flood).await?)?;
    }
    Ok(())
}

async fn pour(chats: &[(Client, ChatId)], flood: Flood) -> Result<Flooded> {
    let mut tasks = JoinSet::new();
    let mut handles = Vec::new();
    if flood.on_chat_streams {
        for (client, chat) in chats {
            handles.push(opened_at_its_end(client, *chat).await?);
        }
    }
    let start = Instant::now();
    if flood.on_chat_streams {
        for handle in handles {
            tasks.spawn(on_stream(handle, start + flood.lasting, flood.depth));
        }
    } else {
        for (client, chat) in chats {
            for _ in 0..flood.depth {
                tasks.spawn(as_requests(client.clone(), *chat, start + flood.lasting));
            }
        }
    }
    let mut acks = Vec::new();
    while let Some(posted) = tasks.join_next().await {
        acks.extend(posted??);
    }
    Ok(Flooded { posted: acks.len() as u64, elapsed: start.elapsed(), acks: Spread::of(acks) })
}

async fn opened_at_its_end(client: &Client, chat: ChatId) -> Result<ChatHandle> {
    let chat = client.chat(chat).await?;
    let mut handle = client.open_chat(chat.id, chat.last, chat.revision);
    while !matches!(handle.next().await?, ChatEvent::Opened(_)) {}
    Ok(handle)
}

async fn on_stream(mut handle: ChatHandle, until: Instant, depth: usize) -> Result<Vec<Duration>> {
    let mut acks = Vec::new();
    while Instant::now() < until {
        let posts = (0..depth).map(|_| async {
            let sent = now_nanos();
            handle.post(Some(sent.to_string().parse()?), Vec::new()).await?;
            anyhow::Ok(since_nanos(sent))
        });
        acks.extend(try_join_all(posts).await?);
        while let Some(event) = handle.next().now_or_never() {
            event?;
        }
    }
    Ok(acks)
}

async fn as_requests(client: Client, chat: ChatId, until: Instant) -> Result<Vec<Duration>> {
    let mut acks = Vec::new();
    while Instant::now() < until {
        let sent = now_nanos();
        client.post(chat, Some(sent.to_string().parse()?), Vec::new()).await?;
        acks.push(since_nanos(sent));
    }
    Ok(acks)
}
