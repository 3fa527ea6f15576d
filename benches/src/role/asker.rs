//! Small requests over the native protocol.

use super::{Login, Stage};
use crate::spread::Spread;
use anyhow::Result;
use futures::future::try_join_all;
use std::time::{Duration, Instant};

/// Asks who it is, over and over, so many requests at once; then says how long each took.
pub(super) async fn run(mut stage: Stage, login: Login, lasting: Duration, depth: usize) -> Result<()> {
    let client = login.connect().await?;
    stage.say(&())?;
    let Some(()) = stage.next().await? else { return Ok(()) };
    let end = Instant::now() + lasting;
    let asked = try_join_all((0..depth).map(|_| async {
        let mut took = Vec::new();
        while Instant::now() < end {
            let start = Instant::now();
            client.me().await?;
            took.push(start.elapsed());
        }
        anyhow::Ok(took)
    }))
    .await?;
    stage.say(&Spread::of(asked.concat()))?;
    stage.over().await
}
