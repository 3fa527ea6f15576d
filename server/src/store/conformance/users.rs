//! Accounts.

use super::world::{World, email, new_user, nobody};
use crate::store::users::{PasswordHash, User};
use futures::future::join_all;
use hypersend_protocol::{id::UserId, name::DisplayName};
use uuid::Uuid;

pub(in crate::store) async fn an_account_is_found_by_id_and_by_address(world: World) {
    let new = new_user("ann", world.now());
    assert!(world.store.create_user(new.clone()).await.unwrap());
    let ann = User { id: new.id, email: new.email, name: new.name, password_hash: new.password_hash, created: new.now };
    assert_eq!(world.store.user(ann.id).await.unwrap().as_ref(), Some(&ann));
    assert_eq!(world.store.user_by_email(&ann.email).await.unwrap(), Some(ann));
    assert_eq!(world.store.user(nobody()).await.unwrap(), None);
    assert_eq!(world.store.user_by_email(&email("bob")).await.unwrap(), None);
}

pub(in crate::store) async fn an_address_has_one_account(world: World) {
    let first = world.user("ann").await;
    let mut second = new_user("ann", world.now());
    second.name = DisplayName::parse("another").unwrap();
    assert!(!world.store.create_user(second.clone()).await.unwrap());
    assert_eq!(world.store.user(second.id).await.unwrap(), None);
    let found = world.store.user_by_email(&email("ann")).await.unwrap().unwrap();
    assert_eq!((found.id, found.name.as_str()), (first, "ann"));
}

pub(in crate::store) async fn an_address_raced_for_has_one_account(world: World) {
    let made = join_all((0..8).map(|_| world.store.create_user(new_user("ann", world.now())))).await;
    assert_eq!(made.into_iter().filter(|made| *made.as_ref().unwrap()).count(), 1);
}

pub(in crate::store) async fn accounts_are_found_by_many_addresses_at_once(world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    world.user("mia").await;
    let wanted = [email("bob"), email("nobody"), email("ann")];
    let found = world.store.users_by_email(&wanted).await.unwrap();
    let mut ids: Vec<UserId> = found.iter().map(|user| user.id).collect();
    ids.sort_unstable();
    assert_eq!(ids, [ann, bob]);
    assert!(world.store.users_by_email(&[]).await.unwrap().is_empty());
}

pub(in crate::store) async fn a_new_name_is_seen_everywhere(mut world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let (direct, group) = (world.direct(ann, bob).await, world.group(bob, &[ann]).await.id);
    let name = DisplayName::parse("Ann B.").unwrap();
    world.store.set_name(ann, name.clone()).await.unwrap();
    let user = async |id| world.store.user(id).await.unwrap().unwrap();
    assert_eq!(user(ann).await.name, name);
    assert_eq!((user(ann).await.email, user(bob).await.name.as_str()), (email("ann"), "bob"));
    for chat in [direct, group] {
        let members = world.store.chat(chat, bob).await.unwrap().unwrap().members;
        let seen = members.into_iter().find(|member| member.profile.id == ann).unwrap();
        assert_eq!(seen.profile.name, name);
    }
    let lines = world.store.chats_of(bob, None, 10).await.unwrap();
    let peer = lines.into_iter().find_map(|line| line.peer).unwrap();
    assert_eq!(peer.name, name);
    world.store.set_name(nobody(), name).await.unwrap();
}

pub(in crate::store) async fn a_password_hash_is_replaced(world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    world.store.set_password_hash(ann, PasswordHash("fresh".to_owned())).await.unwrap();
    let hash = async |id| world.store.user(id).await.unwrap().unwrap().password_hash.0;
    assert_eq!(hash(ann).await, "fresh");
    assert_eq!(hash(bob).await, "hash of bob");
    world.store.set_password_hash(UserId(Uuid::nil()), PasswordHash("fresh".to_owned())).await.unwrap();
}
