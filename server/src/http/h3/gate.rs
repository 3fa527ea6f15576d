//! What the two ends of a request's stream share: the adapter, which feeds h3, and the bridge, which takes from it.

use bytes::Bytes;
use futures::task::AtomicWaker;
use h3::error::Code;
use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

/// Body bytes of one request that may be in memory unread by its handler. No round trip lies between this and the
/// handler, so more would not be faster. With what pieces may keep alive beside themselves, and a read that was not sifted,
/// a stream has three times this, and the 256 of a connection 48 MiB.
pub(super) const LIMIT: usize = 64 << 10;

/// What a piece of body costs beside its bytes: two allocations and a place in h3's and in the body's queue. Counted so
/// that a body in pieces of one byte fills the gate as fast as it fills the memory.
pub(super) const PIECE_COST: usize = 128;

/// Counts the body bytes that were handed to h3 and not yet taken by the handler, and stops the reading of more. h3 0.0.8
/// itself reads a piece more than it gives out each time it is asked, so that it would gather all of a slow reader's body.
#[derive(Debug, Default)]
pub(super) struct Gate {
    held: AtomicUsize,
    reader: AtomicWaker,
}

impl Gate {
    /// Whether more may be read. Wakes the reader when it may.
    pub(super) fn poll_open(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.is_open() {
            return Poll::Ready(());
        }
        self.reader.register(cx.waker());
        // What was taken between the look and the registration woke nobody.
        if self.is_open() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// A piece with this many bytes of body goes to h3.
    pub(super) fn enter(&self, payload: usize) {
        self.held.fetch_add(payload + PIECE_COST, Ordering::AcqRel);
    }

    /// The handler took that piece.
    pub(super) fn leave(&self, payload: usize) {
        let held = self.held.fetch_sub(payload + PIECE_COST, Ordering::AcqRel);
        if held >= LIMIT && self.is_open() {
            self.reader.wake();
        }
    }

    /// Bytes that count at the moment.
    #[cfg(test)]
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Acquire)
    }

    fn is_open(&self) -> bool {
        self.held.load(Ordering::Acquire) < LIMIT
    }
}

/// What becomes of a request's stream when its halves are dropped unfinished: never a clean end, which would make a part
/// look like the whole.
#[derive(Clone, Copy, Debug)]
pub(super) enum Stage {
    /// h3 has the stream, reads the head, and may answer in our place.
    Head(Code),
    /// The bridge has it.
    Message(Code),
}

/// One request's stream, as the adapter and the bridge see it.
#[derive(Debug)]
pub(super) struct Lane {
    pub(super) gate: Gate,
    stage: Mutex<Stage>,
    loan: Mutex<Option<Bytes>>,
}

impl Lane {
    pub(super) fn new() -> Self {
        Self {
            gate: Gate::default(),
            stage: Mutex::new(Stage::Head(Code::H3_REQUEST_REJECTED)),
            loan: Mutex::default(),
        }
    }

    /// Where the request stands.
    pub(super) fn stage(&self) -> Stage {
        *lock(&self.stage)
    }

    /// The head is read; until something else is known, an end is the server's fault.
    pub(super) fn resolved(&self) {
        *lock(&self.stage) = Stage::Message(Code::H3_INTERNAL_ERROR);
    }

    /// Sets the code with which what is unfinished will be cut off.
    pub(super) fn end_with(&self, code: Code) {
        let mut stage = lock(&self.stage);
        *stage = match *stage {
            Stage::Head(_) => Stage::Head(code),
            Stage::Message(_) => Stage::Message(code),
        };
    }

    /// The code with which what is unfinished is cut off.
    pub(super) fn code(&self) -> Code {
        let (Stage::Head(code) | Stage::Message(code)) = self.stage();
        code
    }

    /// Shows the adapter the bytes of the next DATA frame, of which h3 then gives it a view only: with both it need not
    /// copy them.
    pub(super) fn lend(&self, payload: Bytes) {
        *lock(&self.loan) = Some(payload);
    }

    /// The bytes last lent, once.
    pub(super) fn borrow(&self) -> Option<Bytes> {
        lock(&self.loan).take()
    }
}

/// Nothing panics while it holds one of these locks, and each holds a single value.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        sync::{Arc, atomic::AtomicBool},
        task::{Wake, Waker},
    };

    #[derive(Default)]
    struct Woken(AtomicBool);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }

    #[test]
    fn shuts_at_the_limit_and_opens_when_a_piece_is_taken() {
        let gate = Gate::default();
        let woken = Arc::<Woken>::default();
        let waker = Waker::from(woken.clone());
        let mut cx = Context::from_waker(&waker);
        let mut pieces = 0;
        while gate.poll_open(&mut cx).is_ready() {
            gate.enter(1);
            pieces += 1;
        }
        assert_eq!(pieces, LIMIT.div_ceil(1 + PIECE_COST), "tiny pieces count with what they cost");
        gate.leave(1);
        assert!(woken.0.load(Ordering::SeqCst), "the reader may be another task than the handler's");
        assert!(gate.poll_open(&mut cx).is_ready());
    }
}
