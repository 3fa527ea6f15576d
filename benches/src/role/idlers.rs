//! Connections that are open and nothing more.

use super::{Login, Stage};
use anyhow::{Context, Result};
use futures::{StreamExt, stream};
use hypersend_client::{Client, Credentials, Events, MemoryTokens, TokenStore};
use hypersend_protocol::session::Tokens;
use tokio::task::JoinSet;

/// Handshakes at once: enough to keep a server busy, few enough that none waits long.
const AT_ONCE: usize = 16;

/// Connects that many times, by turns as each; when told, opens an event stream on each; then stays until the parent wants
/// no more.
pub(super) async fn run(mut stage: Stage, logins: Vec<Login>, connections: usize) -> Result<()> {
    let mut firsts = Vec::new();
    let mut known = Vec::new();
    for login in logins {
        let tokens = MemoryTokens::empty();
        // Kept open too, so that its leaving does not count.
        firsts.push(login.connect_keeping(tokens.clone()).await?);
        known.push((login, tokens.load()?.context("a login gives tokens")?));
    }
    stage.say(&())?;

    let Some(()) = stage.next().await? else { return Ok(()) };
    let connect = |(login, tokens): (Login, Tokens)| async move {
        login.start(Credentials::Stored, MemoryTokens::with(tokens)).await
    };
    let turns = known.iter().cloned().cycle().take(connections);
    let connected: Vec<Result<Client>> = stream::iter(turns).map(connect).buffer_unordered(AT_ONCE).collect().await;
    let clients = connected.into_iter().collect::<Result<Vec<_>>>()?;
    stage.say(&clients.len())?;

    let Some(()) = stage.next().await? else { return Ok(()) };
    let mut listening = JoinSet::new();
    for client in &clients {
        listening.spawn(listen(client.events(None)));
    }
    stage.say(&clients.len())?;
    stage.over().await
}

/// Waits for something that does not happen.
async fn listen(mut events: Events) -> Result<()> {
    loop {
        events.next().await?;
    }
}
