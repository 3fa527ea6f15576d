//! By a code: the same ways, and where no UDP gets through, tunnels in place of the server's storage.

use crate::stage::{LONG, SHORT, Stage};
use hypersend_lab::Nat;

#[test]
fn cone_and_cone_meet_directly() {
    let Some(stage) = Stage::set(Nat::Cone, Nat::Cone) else { return };
    let outcome = stage.send_by_code(LONG).end(&stage.lab);
    assert_eq!(outcome.last(), ["direct"; 2], "{:?}, {:?}", outcome.sent, outcome.received);
}

#[test]
fn symmetric_and_symmetric_are_relayed() {
    let Some(stage) = Stage::set(Nat::Symmetric, Nat::Symmetric) else { return };
    let outcome = stage.send_by_code(SHORT).end(&stage.lab);
    assert_eq!(outcome.last(), ["relay"; 2], "{:?}, {:?}", outcome.sent, outcome.received);
}

/// By way of the server, over TCP, and of that the blocked sides are told.
fn comes_to_the_relay_through_a_tunnel(ann: Nat, bob: Nat) {
    let Some(stage) = Stage::set(ann, bob) else { return };
    let outcome = stage.send_by_code(SHORT).end(&stage.lab);
    assert_eq!(outcome.last(), ["relay"; 2], "{:?}, {:?}", outcome.sent, outcome.received);
    assert_eq!(outcome.tunnelled, [ann, bob].map(|nat| nat == Nat::UdpBlocked));
}

#[test]
fn cone_and_udp_blocked() {
    comes_to_the_relay_through_a_tunnel(Nat::Cone, Nat::UdpBlocked);
}

#[test]
fn udp_blocked_and_symmetric() {
    comes_to_the_relay_through_a_tunnel(Nat::UdpBlocked, Nat::Symmetric);
}

#[test]
fn udp_blocked_and_udp_blocked() {
    comes_to_the_relay_through_a_tunnel(Nat::UdpBlocked, Nat::UdpBlocked);
}

#[test]
fn symmetric_and_symmetric_are_told_that_without_a_relay_there_is_no_way() {
    let Some(stage) = Stage::set_without_relay(Nat::Symmetric, Nat::Symmetric) else { return };
    stage.send_by_code(SHORT).fails("no-way");
}
