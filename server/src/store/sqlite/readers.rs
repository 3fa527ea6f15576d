//! The reading side: a few connections, each lent to one reader at a time.

use super::connection::open_reader;
use crate::store::{Result, StoreError};
use rusqlite::Connection;
use std::{
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections, and so reads at the same time. Reads take microseconds when the pages are in memory; more connections
/// help only while some wait for the disk, and each may hold 2 MiB of pages.
const READERS: usize = 4;

/// The reading side.
pub(super) struct Readers {
    idle: Arc<Mutex<Vec<Connection>>>,
    turns: Arc<Semaphore>,
}

impl Readers {
    /// Opens the connections; the writer's must be open.
    pub(super) fn open(path: &Path) -> Result<Self> {
        let idle = (0..READERS).map(|_| open_reader(path)).collect::<Result<_>>()?;
        Ok(Self { idle: Arc::new(Mutex::new(idle)), turns: Arc::new(Semaphore::new(READERS)) })
    }

    /// Runs a read in one snapshot, on a thread that may wait for the disk.
    pub(super) async fn read<T, F>(&self, read: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T> + Send + 'static,
    {
        let turn = Arc::clone(&self.turns).acquire_owned().await.expect("the semaphore is never closed");
        let mut lent = Lent { connection: None, idle: Arc::clone(&self.idle), _turn: turn };
        let answer = tokio::task::spawn_blocking(move || read(&*lent.connection().transaction()?));
        answer.await.map_err(|e| StoreError::Unavailable(e.into()))?
    }
}

/// A connection on loan; goes home when dropped, even by a panic, and only then is it the next reader's turn.
struct Lent {
    connection: Option<Connection>,
    idle: Arc<Mutex<Vec<Connection>>>,
    _turn: OwnedSemaphorePermit,
}

impl Lent {
    fn connection(&mut self) -> &mut Connection {
        let idle = &self.idle;
        self.connection.get_or_insert_with(|| lock(idle).pop().expect("there are as many turns as connections"))
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        lock(&self.idle).extend(self.connection.take());
    }
}

/// A list of connections is whole whatever happened to a thread that held the lock.
fn lock(idle: &Mutex<Vec<Connection>>) -> MutexGuard<'_, Vec<Connection>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}
