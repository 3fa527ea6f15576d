//! Sending or fetching one file.

use super::{Login, Stage};
use crate::process::Usage;
use anyhow::{Result, bail};
use hypersend_client::Progress;
use hypersend_protocol::{file::FileInfo, id::FileId};
use serde::{Deserialize, Serialize};
use std::{
    path::PathBuf,
    time::{Duration, Instant},
};
use tokio::sync::watch;

/// How one transfer went, at the client.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Carried {
    /// Until both ends agree that the file is whole and safe.
    pub(crate) elapsed: Duration,
    /// Until the last chunk was stored; what follows is flushing and checking.
    pub(crate) stored: Duration,
    /// Processor time.
    pub(crate) cpu: Duration,
    /// Peak memory.
    pub(crate) peak_kib: u64,
    /// What was carried, if it was a file.
    pub(crate) file: Option<FileInfo>,
}

impl Carried {
    /// With this process's account since then.
    pub(super) fn since(before: Usage, elapsed: Duration, stored: Duration, file: Option<FileInfo>) -> Result<Self> {
        let now = Usage::own()?;
        Ok(Self { elapsed, stored, cpu: now.cpu.saturating_sub(before.cpu), peak_kib: now.peak_kib, file })
    }
}

/// How far an upload is, and how long after its start.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Stored {
    /// Since the upload was begun.
    pub(crate) after: Duration,
    /// Bytes that the server has acknowledged.
    pub(crate) bytes: u64,
}

/// Sends a file when told.
pub(super) async fn upload(mut stage: Stage, login: Login, file: PathBuf) -> Result<()> {
    let client = login.connect().await?;
    stage.say(&())?;
    let Some(()) = stage.next().await? else { return Ok(()) };
    let (start, before) = (Instant::now(), Usage::own()?);
    let upload = client.upload(file);
    let stored = tokio::spawn(all_stored(upload.progress(), start));
    let info = upload.finish().await?;
    let elapsed = start.elapsed();
    stage.say(&Carried::since(before, elapsed, stored.await?, Some(info))?)?;
    stage.over().await
}

/// Fetches a file when told.
pub(super) async fn download(mut stage: Stage, login: Login, file: FileId, to: PathBuf) -> Result<()> {
    let client = login.connect().await?;
    stage.say(&())?;
    let Some(()) = stage.next().await? else { return Ok(()) };
    let (start, before) = (Instant::now(), Usage::own()?);
    let download = client.download(file, to);
    let stored = tokio::spawn(all_stored(download.progress(), start));
    let info = download.finish().await?;
    let elapsed = start.elapsed();
    stage.say(&Carried::since(before, elapsed, stored.await?, Some(info))?)?;
    stage.over().await
}

/// When the last chunk was stored; or, should the transfer end without saying so, when it ended.
async fn all_stored(mut progress: watch::Receiver<Option<Progress>>, start: Instant) -> Duration {
    let complete = |at: &Option<Progress>| at.is_some_and(|at| at.stored_bytes == at.total_bytes);
    let _ = progress.wait_for(complete).await;
    start.elapsed()
}

/// Begins to send a file when told, and says at every change how much of it is stored. The parent kills it.
pub(super) async fn begin(mut stage: Stage, login: Login, file: PathBuf) -> Result<()> {
    let client = login.connect().await?;
    stage.say(&())?;
    let Some(()) = stage.next().await? else { return Ok(()) };
    let start = Instant::now();
    let upload = client.upload(file);
    let mut progress = upload.progress();
    let mut last = None;
    let watching = async {
        while progress.changed().await.is_ok() {
            let now = progress.borrow_and_update().map(|progress| progress.stored_bytes);
            if let Some(bytes) = now.filter(|_| now != last) {
                stage.say(&Stored { after: start.elapsed(), bytes })?;
            }
            last = now;
        }
        anyhow::Ok(())
    };
    tokio::select! {
        watched = watching => watched?,
        finished = upload.finish() => bail!("the upload ended before it was interrupted: {finished:?}"),
    }
    stage.over().await
}
