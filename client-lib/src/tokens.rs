//! Where tokens live between connections.
//!
//! A refresh token works once. When several clients share a store (say, two processes of one user), one of them may
//! renew while the others wait, and the others then find the renewed tokens; so renewing happens under the store's lock.

use hypersend_protocol::session::Tokens;
use std::{
    io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
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

/// Tokens in memory, for one client.
#[derive(Debug, Default)]
pub struct MemoryTokens(Mutex<Option<Tokens>>);

impl MemoryTokens {
    /// None yet.
    pub fn empty() -> Arc<Self> {
        Arc::default()
    }

    /// Those of an earlier login.
    pub fn with(tokens: Tokens) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Some(tokens))))
    }

    fn tokens(&self) -> MutexGuard<'_, Option<Tokens>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl TokenStore for MemoryTokens {
    fn load(&self) -> io::Result<Option<Tokens>> {
        Ok(self.tokens().clone())
    }

    fn lock(self: Arc<Self>) -> io::Result<Box<dyn TokenGuard>> {
        // One client renews from one task, so there is nobody to keep out.
        Ok(Box::new(self))
    }
}

impl TokenGuard for Arc<MemoryTokens> {
    fn save(&mut self, tokens: &Tokens) -> io::Result<()> {
        *self.tokens() = Some(tokens.clone());
        Ok(())
    }
}
