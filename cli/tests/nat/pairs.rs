//! Which way each pair of NATs finds.

use crate::stage::{LONG, SHORT, Stage};
use hypersend_lab::Nat;

/// Ends directly.
fn goes_directly(ann: Nat, bob: Nat) {
    let Some(stage) = Stage::set(ann, bob) else { return };
    let outcome = stage.send(LONG).end(&stage.lab);
    assert_eq!(outcome.last(), ["direct"; 2], "{:?}, {:?}", outcome.sent, outcome.received);
}

/// Goes over the relay from the beginning to the end.
fn is_relayed(ann: Nat, bob: Nat) {
    let Some(stage) = Stage::set(ann, bob) else { return };
    let outcome = stage.send(LONG).end(&stage.lab);
    assert_eq!(outcome.last(), ["relay"; 2], "{:?}, {:?}", outcome.sent, outcome.received);
}

/// Goes through the server by TCP, of which both sides are told.
fn is_stored(ann: Nat, bob: Nat) {
    let Some(stage) = Stage::set(ann, bob) else { return };
    let outcome = stage.send(SHORT).end(&stage.lab);
    assert_eq!(outcome.last(), ["stored"; 2], "{:?}, {:?}", outcome.sent, outcome.received);
    assert_eq!(outcome.over_tcp, [ann, bob].map(|nat| nat == Nat::UdpBlocked), "whose network blocks UDP is told");
}

#[test]
fn open_and_open() {
    goes_directly(Nat::Open, Nat::Open);
}

#[test]
fn open_and_cone() {
    goes_directly(Nat::Open, Nat::Cone);
}

#[test]
fn open_and_restricted() {
    goes_directly(Nat::Open, Nat::Restricted);
}

#[test]
fn open_and_symmetric() {
    goes_directly(Nat::Open, Nat::Symmetric);
}

#[test]
fn cone_and_cone() {
    goes_directly(Nat::Cone, Nat::Cone);
}

#[test]
fn cone_and_restricted() {
    goes_directly(Nat::Cone, Nat::Restricted);
}

#[test]
fn cone_and_symmetric() {
    goes_directly(Nat::Cone, Nat::Symmetric);
}

#[test]
fn restricted_and_restricted() {
    goes_directly(Nat::Restricted, Nat::Restricted);
}

/// By guessing ports, which may fail.
#[test]
fn restricted_and_symmetric() {
    let Some(stage) = Stage::set(Nat::Restricted, Nat::Symmetric) else { return };
    let outcome = stage.send(LONG).end(&stage.lab);
    assert!(matches!(outcome.last(), ["direct" | "relay", "direct" | "relay"]), "{:?}", outcome.last());
}

#[test]
fn symmetric_and_symmetric() {
    is_relayed(Nat::Symmetric, Nat::Symmetric);
}

#[test]
fn open_and_udp_blocked() {
    is_stored(Nat::Open, Nat::UdpBlocked);
}

#[test]
fn cone_and_udp_blocked() {
    is_stored(Nat::Cone, Nat::UdpBlocked);
}

#[test]
fn restricted_and_udp_blocked() {
    is_stored(Nat::Restricted, Nat::UdpBlocked);
}

#[test]
fn symmetric_and_udp_blocked() {
    is_stored(Nat::Symmetric, Nat::UdpBlocked);
}

#[test]
fn udp_blocked_and_udp_blocked() {
    is_stored(Nat::UdpBlocked, Nat::UdpBlocked);
}
