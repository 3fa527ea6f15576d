//! NATs that forget everything while a file goes directly, as when both routers are started anew: it arrives nevertheless.

use crate::stage::{LONG, Stage};
use hypersend_lab::Nat;

fn outlives_a_flush(ann: Nat, bob: Nat) {
    let Some(stage) = Stage::set(ann, bob) else { return };
    let mut transfer = stage.send(LONG);
    transfer.goes("direct");
    stage.lab.a.flush_mapping();
    stage.lab.b.flush_mapping();
    let outcome = transfer.end(&stage.lab);
    let after = outcome.sent.iter().skip_while(|way| *way != "direct").count();
    assert!(after > 1, "nothing was lost, as if nothing had been forgotten: {:?}", outcome.sent);
}

#[test]
fn open_and_cone() {
    outlives_a_flush(Nat::Open, Nat::Cone);
}

#[test]
fn open_and_restricted() {
    outlives_a_flush(Nat::Open, Nat::Restricted);
}

#[test]
fn open_and_symmetric() {
    outlives_a_flush(Nat::Open, Nat::Symmetric);
}

#[test]
fn cone_and_cone() {
    outlives_a_flush(Nat::Cone, Nat::Cone);
}

#[test]
fn cone_and_restricted() {
    outlives_a_flush(Nat::Cone, Nat::Restricted);
}

#[test]
fn cone_and_symmetric() {
    outlives_a_flush(Nat::Cone, Nat::Symmetric);
}

#[test]
fn restricted_and_restricted() {
    outlives_a_flush(Nat::Restricted, Nat::Restricted);
}
