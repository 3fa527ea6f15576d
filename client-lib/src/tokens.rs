//! Where tokens live between connections.
//!
//! A refresh token works once. When several clients share a store (say, two processes of one user), one of them may
//! renew while the others wait, and the others then find the renewed tokens; so renewing happens under the store's lock.

use hypersend_protocol::session::Tokens;
use std::{
    io,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

/// Keeps the tokens of one login. Methods may block; the client calls them off the async threads.
pub trait TokenStore: Send + Sync + 'static {
    /// The tokens, if there are any.
    fn load(&self) -> io::Result<Option<Tokens>>;

    /// Waits until nobody else renews, here or in another process, and keeps them from it until dropped.
    fn lock(self: Arc<Self>) -> io::Result<Box<dyn TokenGuard>>;
}

/// The right to renew.
pub trait TokenGuard: Send {
    /// Replaces the tokens. When this returns, they survive a crash: the old refresh token is worthless by now.
    fn save(&mut self, tokens: &Tokens) -> io::Result<()>;
}

/// Tokens in memory.
#[derive(Debug, Default)]
pub struct MemoryTokens {
    tokens: Mutex<Option<Tokens>>,
    is_renewing: Mutex<bool>,
    renewed: Condvar,
}

impl MemoryTokens {
    /// None yet.
    pub fn empty() -> Arc<Self> {
        Arc::default()
    }

    /// Those of an earlier login.
    pub fn with(tokens: Tokens) -> Arc<Self> {
        Arc::new(Self { tokens: Mutex::new(Some(tokens)), ..Self::default() })
    }

    fn tokens(&self) -> MutexGuard<'_, Option<Tokens>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_renewing(&self) -> MutexGuard<'_, bool> {
        self.is_renewing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TokenStore for MemoryTokens {
    fn load(&self) -> io::Result<Option<Tokens>> {
        Ok(self.tokens().clone())
    }

    fn lock(self: Arc<Self>) -> io::Result<Box<dyn TokenGuard>> {
        let is_renewing = self.renewed.wait_while(self.is_renewing(), |is_renewing| *is_renewing);
        *is_renewing.unwrap_or_else(PoisonError::into_inner) = true;
        Ok(Box::new(Renewing(self)))
    }
}

/// The right to renew the tokens in memory.
#[derive(Debug)]
struct Renewing(Arc<MemoryTokens>);

impl TokenGuard for Renewing {
    fn save(&mut self, tokens: &Tokens) -> io::Result<()> {
        *self.0.tokens() = Some(tokens.clone());
        Ok(())
    }
}

impl Drop for Renewing {
    fn drop(&mut self) {
        *self.0.is_renewing() = false;
        self.0.renewed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::mpsc::{RecvTimeoutError, channel},
        thread,
        time::Duration,
    };

    #[test]
    fn one_renews_and_others_wait() {
        let store = MemoryTokens::empty();
        let first = store.clone().lock().unwrap();
        let (locked, waits) = channel();
        let second = store.clone();
        let waiting = thread::spawn(move || {
            drop(second.lock().unwrap());
            locked.send(())
        });
        assert_eq!(waits.recv_timeout(Duration::from_millis(200)), Err(RecvTimeoutError::Timeout));
        drop(first);
        waits.recv_timeout(Duration::from_secs(20)).unwrap();
        waiting.join().unwrap().unwrap();
    }
}
