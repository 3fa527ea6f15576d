//! Places for ranges of request bodies in memory. A range under way is up to 1 MiB, and a client decides how long it takes
//! to fill. So there is one budget of them for all HTTP clients together, and nobody gets more than a share of it.

use hypersend_protocol::id::UserId;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// Ranges of request bodies in memory at once: 128 MiB, of which a hundred browsers on slow lines have one each.
const RANGES: usize = 128;

/// How many of them may be one user's.
const RANGES_PER_USER: usize = 32;

/// How long a range may wait for its place.
pub(super) const PLACE_WITHIN: Duration = Duration::from_secs(10);

/// The places, and who has how many.
#[derive(Debug)]
pub(super) struct Places {
    all: Arc<Semaphore>,
    /// Of those who have some; what is left of others goes when somebody new comes.
    shares: Mutex<HashMap<UserId, Weak<Semaphore>>>,
}

/// A place for one range, until dropped.
#[derive(Debug)]
pub(super) struct Place {
    _of_all: OwnedSemaphorePermit,
    _of_share: OwnedSemaphorePermit,
}

impl Default for Places {
    fn default() -> Self {
        Self { all: Arc::new(Semaphore::new(RANGES)), shares: Mutex::default() }
    }
}

impl Places {
    /// Waits for a place; not for ever.
    pub(super) async fn take(&self, user: UserId) -> Option<Place> {
        let taking = async {
            // In this order, so that whoever waits for their own share keeps nobody waiting.
            let of_share = self.share(user).acquire_owned().await.expect("the semaphore is never closed");
            let of_all = self.all.clone().acquire_owned().await.expect("the semaphore is never closed");
            Place { _of_all: of_all, _of_share: of_share }
        };
        timeout(PLACE_WITHIN, taking).await.ok()
    }

    fn share(&self, user: UserId) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(&user).and_then(Weak::upgrade) {
            return share;
        }
        shares.retain(|_, share| share.strong_count() > 0);
        let share = Arc::new(Semaphore::new(RANGES_PER_USER));
        shares.insert(user, Arc::downgrade(&share));
        share
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use futures::future::join_all;

    fn user() -> UserId {
        UserId(clock::new_id())
    }

    /// A place that is free; much sooner than waiting for one ends.
    async fn soon(place: impl Future<Output = Option<Place>>) -> Option<Place> {
        timeout(PLACE_WITHIN / 50, place).await.ok().flatten()
    }

    #[tokio::test]
    async fn nobody_gets_more_than_a_share_and_all_no_more_than_there_are() {
        let places = Places::default();
        let ann = user();
        let mut anns = join_all((0..RANGES_PER_USER).map(|_| places.take(ann))).await;
        assert!(soon(places.take(ann)).await.is_none(), "she waits");
        let others = RANGES - RANGES_PER_USER;
        let kept = join_all((0..others).map(|_| places.take(user()))).await;
        assert!(kept.iter().all(Option::is_some));
        assert!(soon(places.take(user())).await.is_none(), "there is none left");
        anns.pop();
        assert!(soon(places.take(user())).await.is_some());
    }

    #[tokio::test]
    async fn who_has_no_place_any_more_is_forgotten() {
        let places = Places::default();
        for _ in 0..10 {
            drop(places.take(user()).await);
        }
        assert_eq!(places.shares.lock().unwrap().len(), 1);
    }
}
