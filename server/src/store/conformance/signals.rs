//! The registers by which the two sides of a transfer speak.

use super::World;
use crate::store::signals::{Holder, Place, Register};
use hypersend_protocol::{id::P2pId, limit::MAX_SIGNAL_BYTES, relay::ticket::Side, signal::SignalValue};
use uuid::Uuid;

fn place(side: Side) -> Place {
    (P2pId(Uuid::now_v7()), side)
}

fn saying(holder: Holder, value: &[u8]) -> Register {
    Register { holder, value: Some(SignalValue::new(value.to_vec()).unwrap()) }
}

async fn said(world: &World, place: Place) -> Option<Vec<u8>> {
    world.store.signal(place).await.unwrap().and_then(|register| register.value).map(SignalValue::into_bytes)
}

pub(in crate::store) async fn a_register_says_what_was_set_last(world: World) {
    let (here, holder) = (place(Side::Sender), Holder(1));
    let other_side = (here.0, Side::Receiver);
    assert_eq!(world.store.signal(here).await.unwrap(), None);
    assert_eq!(world.store.open_signal(here, holder).await.unwrap(), None);
    assert_eq!(world.store.signal(here).await.unwrap(), Some(Register { holder, value: None }));
    let largest = vec![0xff; MAX_SIGNAL_BYTES];
    for value in [&b"\0"[..], b"second", &largest] {
        assert!(world.store.set_signal(here, saying(holder, value)).await.unwrap());
        assert_eq!(said(&world, here).await.as_deref(), Some(value));
    }
    assert_eq!(world.store.signal(other_side).await.unwrap(), None);
    // As after it was forgotten.
    assert!(world.store.set_signal(other_side, saying(Holder(2), b"first")).await.unwrap());
    assert_eq!(said(&world, other_side).await.unwrap(), b"first");
}

pub(in crate::store) async fn a_register_is_set_by_whoever_opened_it_last(world: World) {
    let (here, older, newer) = (place(Side::Receiver), Holder(i64::MIN), Holder(i64::MAX));
    world.store.open_signal(here, older).await.unwrap();
    assert!(world.store.set_signal(here, saying(older, b"old")).await.unwrap());
    world.store.open_signal(here, newer).await.unwrap();
    assert!(!world.store.set_signal(here, saying(older, b"late")).await.unwrap());
    assert_eq!(world.store.signal(here).await.unwrap(), Some(saying(newer, b"old")));
    assert!(world.store.set_signal(here, saying(newer, b"new")).await.unwrap());
    assert_eq!(said(&world, here).await.unwrap(), b"new");
}

pub(in crate::store) async fn a_value_outlives_its_holder(world: World) {
    let here = place(Side::Sender);
    world.store.open_signal(here, Holder(1)).await.unwrap();
    world.store.set_signal(here, saying(Holder(1), b"kept")).await.unwrap();
    let found = world.store.open_signal(here, Holder(2)).await.unwrap();
    assert_eq!(found.map(SignalValue::into_bytes).as_deref(), Some(&b"kept"[..]));
}
