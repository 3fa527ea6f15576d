//! By a code: the same ways, and none through the server's storage.

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

#[test]
fn where_udp_is_blocked_both_sides_are_told_that_there_is_no_way() {
    let Some(stage) = Stage::set(Nat::Cone, Nat::UdpBlocked) else { return };
    stage.send_by_code(SHORT).fails("no-way");
}
