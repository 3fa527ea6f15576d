//! Nothing is allocated for a datagram that is passed on, and no Hello leaves anything behind.

#![expect(unsafe_code, reason = "an allocator that counts is unsafe by its trait")]
#![expect(clippy::unwrap_used, reason = "a fixed value that its own parser refuses is a failed test")]

mod desk;

use desk::{Desk, NONCE, PACKET, address, session};
use hypersend_protocol::relay::{ToRelay, ticket::Side};
use hypersend_relay::Action;
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    net::SocketAddr,
    time::Duration,
};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: everything is the system's own; only a number is kept beside it, which is without a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of this thread during something.
fn allocations(what: impl FnOnce()) -> u64 {
    let before = ALLOCATIONS.get();
    what();
    ALLOCATIONS.get() - before
}

#[test]
fn what_allocates_is_counted() {
    assert_eq!(allocations(|| drop(std::hint::black_box(vec![0_u8; 10]))), 1);
}

#[test]
fn nothing_is_allocated_for_what_is_forwarded_or_dropped() {
    for capacity in [None, Some(1_000_000)] {
        let mut desk = Desk::with(|settings| (settings.capacity, settings.session_capacity) = (capacity, capacity));
        let pairs: Vec<_> = (0..100).map(|number| desk.bind_both(number)).collect();
        let (mut forwarded, mut dropped) = (0, 0);
        let allocated = allocations(|| {
            for _ in 0..100 {
                for from in pairs.iter().flatten() {
                    match desk.send(*from, &PACKET) {
                        Action::Forward { .. } => forwarded += 1,
                        _ => dropped += 1,
                    }
                }
                desk.wait(Duration::from_millis(1));
            }
        });
        assert_eq!(allocated, 0);
        assert!(forwarded > 0 && (dropped > 0) == capacity.is_some(), "{forwarded} forwarded, {dropped} dropped");
    }
}

#[test]
fn nothing_is_allocated_for_a_hello_or_a_keepalive() {
    let mut desk = Desk::new();
    let [bound, _] = desk.bind_both(1);
    let allocated = allocations(|| {
        for number in 0..10_000_u32 {
            let from = SocketAddr::from((number.to_be_bytes(), 1_000));
            let hello = ToRelay::Hello { session: session(number.into()), nonce: NONCE };
            assert!(matches!(desk.ask(from, hello), Action::Answer { .. }));
            assert!(matches!(desk.keepalive(bound, 1), Action::Answer { .. }));
            assert!(matches!(desk.send(from, &PACKET), Action::Drop(_)));
        }
    });
    assert_eq!((allocated, desk.relay.addresses()), (0, 2));
    assert_eq!(bound, address(1, Side::Sender));
}
