//! Password hashing: off the async threads, bounded, and with the same timing whether or not there is an account.

use crate::store::users::PasswordHash;
use hypersend_protocol::{limit::HELLO_TIMEOUT, name::Password};
use std::{sync::Arc, time::Duration};
use tokio::{sync::Semaphore, task::spawn_blocking, time::timeout};

/// How long a login may wait for its turn to be hashed. At cost 12 one takes about 0.25 s of one core, so a longer queue
/// than this is an attack or an overload, and more waiting would only feed it. Half of what a connection has for its hello,
/// so that there is time left to say so.
const PATIENCE: Duration = Duration::from_secs(5);

const _: () = assert!(PATIENCE.as_secs() * 2 <= HELLO_TIMEOUT.as_secs(), "a caller is told that the server is busy");

/// Hashes and checks passwords, as many at once as the machine has cores.
#[derive(Clone, Debug)]
pub struct Passwords {
    turns: Arc<Semaphore>,
    cost: u32,
    /// What an unknown account's password is checked against.
    decoy: PasswordHash,
}

/// Too many are waiting.
#[derive(Debug, thiserror::Error)]
#[error("too many logins are waiting")]
pub struct Busy;

/// What checking a password found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checked {
    /// It is the right one.
    Right,
    /// It is the right one, and its hash is of another cost than is wanted now: store this one instead.
    Rehashed(PasswordHash),
    /// It is not, or there is no account.
    Wrong,
}

impl Passwords {
    /// `cost`: the base-2 logarithm of bcrypt's rounds. Takes as long as one hash.
    pub fn new(cost: u32) -> Self {
        let cores = std::thread::available_parallelism().map_or(2, usize::from);
        Self { turns: Arc::new(Semaphore::new(cores)), cost, decoy: hash("a password nobody has", cost) }
    }

    /// The hash to store for a new password.
    pub async fn hash(&self, password: Password) -> Result<PasswordHash, Busy> {
        let cost = self.cost;
        self.run(move || hash(password.as_str(), cost)).await
    }

    /// Checks a password against an account's hash, or, for the timing, against nobody's.
    pub async fn check(&self, password: Password, account: Option<PasswordHash>) -> Result<Checked, Busy> {
        let (cost, known) = (self.cost, account.is_some());
        let stored = account.unwrap_or_else(|| self.decoy.clone());
        self.run(move || {
            let right = bcrypt::verify(password.as_str(), &stored.0).unwrap_or(false) && known;
            match right {
                false => Checked::Wrong,
                true if cost_of(&stored) == Some(cost) => Checked::Right,
                true => Checked::Rehashed(hash(password.as_str(), cost)),
            }
        })
        .await
    }

    async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Busy> {
        let turn = timeout(PATIENCE, self.turns.clone().acquire_owned()).await.map_err(|_| Busy)?;
        let turn = turn.expect("the semaphore is never closed");
        // A caller who goes away does not stop the work, so the turn goes with the work.
        let done = spawn_blocking(move || {
            let done = work();
            drop(turn);
            done
        });
        Ok(done.await.expect("hashing does not panic"))
    }
}

/// bcrypt reads 72 bytes, which is all that a [`Password`] has; the crate's call that refuses longer input also counts the
/// terminator, and would refuse the 72nd byte.
fn hash(password: &str, cost: u32) -> PasswordHash {
    PasswordHash(bcrypt::hash(password, cost).expect("the cost is checked when the settings are read"))
}

/// The cost in `$2b$12$…`.
fn cost_of(hash: &PasswordHash) -> Option<u32> {
    hash.0.split('$').nth(2)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str) -> Password {
        Password::parse(text).unwrap()
    }

    #[tokio::test]
    async fn the_right_password_is_right_and_all_72_bytes_count() {
        let passwords = Passwords::new(4);
        let long = "x".repeat(72);
        let stored = passwords.hash(password(&long)).await.unwrap();
        assert_eq!(passwords.check(password(&long), Some(stored.clone())).await.unwrap(), Checked::Right);
        let other = "x".repeat(71) + "y";
        assert_eq!(passwords.check(password(&other), Some(stored)).await.unwrap(), Checked::Wrong);
    }

    #[tokio::test]
    async fn nobody_has_the_decoys_password() {
        let passwords = Passwords::new(4);
        assert_eq!(passwords.check(password("a password nobody has"), None).await.unwrap(), Checked::Wrong);
    }

    #[tokio::test]
    async fn a_hash_of_another_cost_is_replaced() {
        let stored = Passwords::new(4).hash(password("correct horse")).await.unwrap();
        let now = Passwords::new(5);
        let Checked::Rehashed(fresh) = now.check(password("correct horse"), Some(stored)).await.unwrap() else {
            panic!("kept the old cost");
        };
        assert_eq!(cost_of(&fresh), Some(5));
        assert_eq!(now.check(password("correct horse"), Some(fresh)).await.unwrap(), Checked::Right);
    }
}
