//! Ways without a relay, over this machine's own addresses.

use crate::pair::{End, Registers, both, talk};
use hypersend_paths::{Event, Role, Way, Why};
use std::sync::atomic::Ordering::Relaxed;

#[tokio::test]
async fn two_sides_that_reach_each_other_are_connected_and_know_each_other() {
    let [mut sender, mut receiver] = both(&Registers::new(), |_| {});
    let (one, other) = (sender.up(Way::is_direct).await, receiver.up(Way::is_direct).await);
    talk(&one.connection, &other.connection).await;
    talk(&other.connection, &one.connection).await;
    assert!(one.way.to_string().starts_with("direct to "));
    let (of_sender, of_receiver) = sender.paths.fingerprints().unwrap();
    assert_eq!(receiver.paths.fingerprints(), Some((of_receiver, of_sender)));
    let report = sender.paths.report().borrow().clone();
    assert!(report.direct_after.is_some() && report.first_after == report.direct_after);
}

#[tokio::test]
async fn lost_states_are_said_again() {
    let registers = Registers::new();
    registers.lost.store(3, Relaxed);
    let [mut sender, mut receiver] = both(&registers, |_| {});
    let (one, other) = (sender.up(Way::is_direct).await, receiver.up(Way::is_direct).await);
    talk(&one.connection, &other.connection).await;
}

#[tokio::test]
async fn a_side_that_begins_anew_is_connected_again() {
    let registers = Registers::new();
    let [mut sender, mut receiver] = both(&registers, |_| {});
    for role in [Role::Receiver, Role::Sender] {
        let (one, other) = (sender.up(Way::is_direct).await, receiver.up(Way::is_direct).await);
        talk(&one.connection, &other.connection).await;
        // Its register keeps what it said, as after a crash: nobody waits for the goodbye, and none is heard.
        registers.lost.store(1, Relaxed);
        let anew = End::open(role, &registers, |_| {});
        let (old, stays) = match role {
            Role::Receiver => (std::mem::replace(&mut receiver, anew), &mut sender),
            Role::Sender => (std::mem::replace(&mut sender, anew), &mut receiver),
        };
        registers.lost.store(0, Relaxed);
        drop(old);
        loop {
            if matches!(stays.event().await, Event::PeerChanged) {
                break;
            }
        }
    }
    let (one, other) = (sender.up(Way::is_direct).await, receiver.up(Way::is_direct).await);
    talk(&one.connection, &other.connection).await;
}

#[tokio::test]
async fn closing_is_heard_by_the_other_side() {
    let registers = Registers::new();
    let [mut sender, mut receiver] = both(&registers, |_| {});
    let (one, other) = (sender.up(Way::is_direct).await, receiver.up(Way::is_direct).await);
    sender.paths.close().await;
    assert!(one.connection.close_reason().is_some());
    let why = receiver.down(other.path).await;
    assert!(matches!(why, Why::Closed | Why::PeerLeft), "{why:?}");
    loop {
        if matches!(receiver.event().await, Event::PeerLeft) {
            break;
        }
    }
    // What lies in the register is no goodbye to a side that begins later.
    drop(receiver);
    let [mut sender, mut receiver] = both(&registers, |_| {});
    let (one, other) = (sender.up(Way::is_direct).await, receiver.up(Way::is_direct).await);
    talk(&one.connection, &other.connection).await;
}

#[tokio::test]
async fn a_broken_direct_path_is_made_again() {
    let [mut sender, mut receiver] = both(&Registers::new(), |_| {});
    let (one, other) = (sender.up(Way::is_direct).await, receiver.up(Way::is_direct).await);
    other.connection.close(9u32.into(), b"broken");
    assert_eq!(sender.down(one.path).await, Why::Closed);
    let (one, other) = (sender.up(Way::is_direct).await, receiver.up(Way::is_direct).await);
    talk(&one.connection, &other.connection).await;
}
