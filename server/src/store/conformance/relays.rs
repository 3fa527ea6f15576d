//! Relays that are there.

use super::World;
use crate::store::relays::Relay;
use hypersend_protocol::id::RelayId;
use std::time::Duration;
use uuid::Uuid;

const LONG: Duration = Duration::from_mins(10);

fn relay(name: &str, sessions: u32) -> Relay {
    Relay {
        id: RelayId(Uuid::now_v7()),
        name: name.parse().unwrap(),
        host: None,
        ports: vec![8_444, 65_535],
        sessions,
        max_sessions: 100,
        draining: false,
    }
}

async fn names(world: &World, limit: u32) -> Vec<String> {
    world.store.relays(limit).await.unwrap().into_iter().map(|relay| relay.name.to_string()).collect()
}

pub(in crate::store) async fn relays_are_listed_the_least_loaded_first(world: World) {
    let [mut here, mut there] = [relay("$here", 50), relay("there", 20)];
    there.host = Some("fra1.example.org".parse().unwrap());
    for relay in [&here, &there] {
        world.store.put_relay(relay.clone(), LONG).await.unwrap();
    }
    assert_eq!(world.store.relays(10).await.unwrap(), [there.clone(), here.clone()]);
    (here.sessions, there.host) = (3, None);
    for relay in [&here, &there] {
        world.store.put_relay(relay.clone(), LONG).await.unwrap();
    }
    assert_eq!(world.store.relays(10).await.unwrap(), [here.clone(), there]);
    assert_eq!(world.store.relays(1).await.unwrap(), [here]);
}

pub(in crate::store) async fn relays_that_take_nobody_are_not_listed(world: World) {
    let (full, mut draining, mut silent) = (relay("full", 100), relay("draining", 0), relay("silent", 0));
    world.store.put_relay(full, LONG).await.unwrap();
    world.store.put_relay(draining.clone(), LONG).await.unwrap();
    world.store.put_relay(silent.clone(), LONG).await.unwrap();
    assert_eq!(names(&world, 10).await, ["draining", "silent"]);
    draining.draining = true;
    world.store.put_relay(draining, LONG).await.unwrap();
    silent.sessions = 7;
    world.store.put_relay(silent.clone(), Duration::ZERO).await.unwrap();
    assert_eq!(names(&world, 10).await, Vec::<String>::new());
    world.store.put_relay(silent.clone(), LONG).await.unwrap();
    assert_eq!(world.store.relays(10).await.unwrap(), [silent]);
}
