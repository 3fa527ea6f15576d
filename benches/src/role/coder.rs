//! Both sides of a transfer by a code, over relays alone.

use super::{Login, Stage};
use anyhow::{Context, Result, bail, ensure};
use hypersend_client::{
    direct::{CodeOptions, Offer, Way, Whereabouts, receive_by_code, send_by_code},
    mailbox::Guest,
};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::time::Instant;

/// A file that is across.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Coded {
    /// From the first way to the end.
    pub(crate) took: Duration,
    /// From the receiver's yes to the first way.
    pub(crate) way_after: Duration,
    /// Whether the way led through a tunnel.
    pub(crate) tunnelled: bool,
}

/// Sends a file each time it is told to, and removes what arrives.
pub(super) async fn run(mut stage: Stage, login: Login, file: PathBuf, folder: PathBuf) -> Result<()> {
    let options = CodeOptions { relay_only: true, ..CodeOptions::default() };
    stage.say(&())?;
    while let Some(()) = stage.next().await? {
        let offer = Arc::new(Offer::open(vec![file.clone()]).await?);
        let (code, mut sending) = send_by_code(Guest::start(login.config()?)?, offer, options).await?;
        let offered = receive_by_code(Guest::start(login.config()?)?, &code, options).await?;
        let said_yes = Instant::now();
        let mut receiving = offered.accept(&folder);
        let mut whereabouts = receiving.whereabouts();
        let is_carried = |now: &Whereabouts| matches!(now, Whereabouts::Carried(_));
        let Whereabouts::Carried(Way::Relayed { tunnelled, .. }) = whereabouts.wait_for(is_carried).await?.clone()
        else {
            bail!("not over the relay");
        };
        let began = Instant::now();
        let (sent, received) = tokio::join!(sending.finish(), receiving.finish());
        let took = began.elapsed();
        let arrived = received.context("receive")?.places.remove(0);
        ensure!(sent.context("send")?.bytes == arrived.metadata()?.len(), "another file has arrived");
        tokio::fs::remove_file(arrived).await?;
        stage.say(&Coded { took, way_after: began - said_yes, tunnelled })?;
    }
    Ok(())
}
