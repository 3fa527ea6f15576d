//! Who is connected: what a server says of itself, where there may be others and where there cannot be.

use super::world::World;
use crate::store::news::Node;
use std::time::Duration;

pub(in crate::store) async fn a_server_alone_hears_of_no_other(world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    assert_eq!(world.store.renew(Duration::from_mins(1)).await.unwrap(), []);
    world.store.set_present(&[(ann, true), (bob, true)]).await.unwrap();
    world.store.set_present(&[(ann, false)]).await.unwrap();
    assert_eq!(world.store.renew(Duration::from_mins(1)).await.unwrap(), []);
    assert_eq!(world.store.present_on(Node(0)).await.unwrap(), []);
    assert_eq!(world.store.prune_present().await.unwrap(), 0);
    world.store.take_leave().await.unwrap();
}

pub(in crate::store) async fn the_chats_of_a_user_are_known_by_their_ids(mut world: World) {
    let (ann, bob, eve) = (world.user("ann").await, world.user("bob").await, world.user("eve").await);
    let mut chats = vec![world.direct(ann, bob).await, world.group(ann, &[bob]).await.id];
    world.direct(ann, eve).await;
    chats.sort_unstable_by(|a, b| b.cmp(a));
    assert_eq!(world.store.chat_ids_of(bob, 10).await.unwrap(), chats);
    assert_eq!(world.store.chat_ids_of(bob, 1).await.unwrap(), chats[..1]);
}
