//! Mailboxes of people without accounts.

use super::World;
use crate::store::mailboxes::{Claim, KeyHash, Mailbox, NewMailbox, Opened, Participant};
use futures::future::join_all;
use hypersend_protocol::{
    id::{P2pId, UserId},
    limit::{MAILBOX_ABSENCE, MAILBOX_LIFETIME, MAILBOX_UNCLAIMED_ABSENCE},
    mailbox::Nameplate,
    relay::ticket::Side,
    time::UnixMillis,
};
use uuid::Uuid;

const SENDER: KeyHash = KeyHash([1; 32]);
const RECEIVER: KeyHash = KeyHash([2; 32]);
const STRANGER: KeyHash = KeyHash([3; 32]);

fn new(key: KeyHash, now: UnixMillis) -> NewMailbox {
    let (id, from) = (P2pId(Uuid::now_v7()), UserId(Uuid::from_u128(1)));
    NewMailbox { id, key, from, draw: 41, max_open: 1_000, max_open_from_there: 20, now }
}

async fn open(world: &World, new: NewMailbox) -> Mailbox {
    match world.store.open_mailbox(new).await.unwrap() {
        Opened::Open(mailbox) => mailbox,
        other => panic!("{other:?}"),
    }
}

async fn claim(world: &World, nameplate: Nameplate, key: KeyHash, now: UnixMillis) -> Option<Mailbox> {
    world.store.claim_mailbox(Claim { nameplate, key, now }).await.unwrap()
}

async fn hold(world: &World, mailbox: &Mailbox, key: KeyHash, now: UnixMillis) -> Option<Mailbox> {
    world.store.hold_mailbox(mailbox.id, key, now).await.unwrap()
}

/// The moment before.
fn before(moment: UnixMillis) -> UnixMillis {
    UnixMillis(moment.0 - 1)
}

pub(in crate::store) async fn a_mailbox_is_claimed_once(world: World) {
    let now = world.now();
    let opened = open(&world, new(SENDER, now)).await;
    assert_eq!((opened.nameplate.get(), opened.receiver, opened.over), (42, None, false));
    let claimed = claim(&world, opened.nameplate, RECEIVER, now).await.unwrap();
    assert_eq!((claimed.id, claimed.sender), (opened.id, opened.sender));
    assert_eq!(claimed.receiver, Some(Participant { key: RECEIVER, last_held: now }));
    assert_eq!(
        [SENDER, RECEIVER, STRANGER].map(|key| claimed.side(&key)),
        [Some(Side::Sender), Some(Side::Receiver), None]
    );
    assert_eq!(hold(&world, &opened, SENDER, now).await, Some(claimed));
    assert_eq!(claim(&world, opened.nameplate, STRANGER, now).await, None);
    assert_eq!(claim(&world, Nameplate::new(43).unwrap(), STRANGER, now).await, None);
}

pub(in crate::store) async fn a_nameplate_raced_for_has_one_receiver(world: World) {
    let now = world.now();
    let opened = open(&world, new(SENDER, now)).await;
    let claims = (10..18_u8).map(|n| claim(&world, opened.nameplate, KeyHash([n; 32]), now));
    let claimed: Vec<_> = join_all(claims).await.into_iter().flatten().collect();
    assert_eq!(claimed.len(), 1);
    assert_eq!(hold(&world, &opened, SENDER, now).await.unwrap().receiver, claimed[0].receiver);
}

pub(in crate::store) async fn an_answer_that_was_lost_is_given_again(world: World) {
    let now = world.now();
    let opened = open(&world, new(SENDER, now)).await;
    assert_eq!(open(&world, new(SENDER, now)).await, opened);
    let claimed = claim(&world, opened.nameplate, RECEIVER, now).await.unwrap();
    assert_eq!(claim(&world, opened.nameplate, RECEIVER, now).await, Some(claimed.clone()));
    assert_eq!(open(&world, new(SENDER, now)).await, claimed);
}

pub(in crate::store) async fn mailboxes_are_limited(world: World) {
    let now = world.now();
    let limited = |n: u8, from: u128| NewMailbox {
        from: UserId(Uuid::from_u128(from)),
        max_open: 3,
        max_open_from_there: 2,
        ..new(KeyHash([n; 32]), now)
    };
    let first = open(&world, limited(1, 1)).await;
    let second = open(&world, limited(2, 1)).await;
    assert_ne!(first.nameplate, second.nameplate);
    assert_eq!(world.store.open_mailbox(limited(3, 1)).await.unwrap(), Opened::TooManyFromThere);
    open(&world, limited(3, 2)).await;
    assert_eq!(world.store.open_mailbox(limited(4, 3)).await.unwrap(), Opened::TooMany);
    // One that was opened before is no new one, and claiming makes no room.
    assert_eq!(open(&world, limited(1, 1)).await, first);
    claim(&world, first.nameplate, RECEIVER, now).await.unwrap();
    assert_eq!(world.store.open_mailbox(limited(4, 3)).await.unwrap(), Opened::TooMany);
    world.store.leave_mailbox(first.id, now).await.unwrap().unwrap();
    open(&world, limited(4, 1)).await;
    assert_eq!(world.store.open_mailbox(limited(5, 3)).await.unwrap(), Opened::TooMany);
}

pub(in crate::store) async fn mailboxes_opened_at_once_are_limited_too(world: World) {
    let now = world.now();
    let openings = (0..8_u8).map(|n| {
        let new = NewMailbox { draw: 7, max_open: 5, ..new(KeyHash([n; 32]), now) };
        world.store.open_mailbox(new)
    });
    let opened: Vec<_> = join_all(openings).await.into_iter().map(Result::unwrap).collect();
    let mut nameplates: Vec<_> = opened
        .iter()
        .filter_map(|opened| if let Opened::Open(mailbox) = opened { Some(mailbox.nameplate.get()) } else { None })
        .collect();
    nameplates.sort_unstable();
    assert_eq!(nameplates, [8, 9, 10, 11, 12], "{opened:?}");
    assert_eq!(opened.iter().filter(|opened| **opened == Opened::TooMany).count(), 3);
}

pub(in crate::store) async fn a_mailbox_that_was_left_is_over_and_its_nameplate_free(world: World) {
    let now = world.now();
    let opened = open(&world, new(SENDER, now)).await;
    let left = world.store.leave_mailbox(opened.id, now).await.unwrap().unwrap();
    assert!(left.over);
    assert_eq!(claim(&world, opened.nameplate, RECEIVER, now).await, None);
    let next = open(&world, new(STRANGER, now)).await;
    assert_eq!(next.nameplate, opened.nameplate);
    // It is known for a while that it is over, and nothing makes that longer.
    let end = now.plus(MAILBOX_ABSENCE);
    world.store.leave_mailbox(opened.id, before(end)).await.unwrap().unwrap();
    let held = hold(&world, &opened, SENDER, before(end)).await;
    assert_eq!(held.map(|mailbox| (mailbox.over, mailbox.expires)), Some((true, end)));
    assert_eq!(hold(&world, &opened, SENDER, end).await, None);
    assert_eq!(world.store.leave_mailbox(opened.id, end).await.unwrap(), None);
    assert_eq!(world.store.leave_mailbox(P2pId(Uuid::now_v7()), now).await.unwrap(), None);
}

pub(in crate::store) async fn a_mailbox_that_nobody_claims_lasts_while_its_sender_holds_it(world: World) {
    let now = world.now();
    let opened = open(&world, new(SENDER, now)).await;
    let mut end = now.plus(MAILBOX_UNCLAIMED_ABSENCE);
    assert_eq!(opened.expires, end);
    // What nobody holds is soon in nobody's way, pruned or not.
    assert_eq!(claim(&world, opened.nameplate, RECEIVER, end).await, None);
    assert_eq!(world.store.mailbox(opened.id, end).await.unwrap(), None);
    assert_eq!(hold(&world, &opened, SENDER, end).await, None);
    // Being there makes it longer, to its limit and not beyond.
    let limit = now.plus(MAILBOX_LIFETIME);
    while end < limit {
        let held = hold(&world, &opened, SENDER, before(end)).await.unwrap();
        assert_eq!(held.expires, before(end).plus(MAILBOX_UNCLAIMED_ABSENCE).min(limit));
        end = held.expires;
    }
    // Nor is it shorter when a server's clock is behind.
    assert_eq!(hold(&world, &opened, SENDER, now).await.unwrap().expires, limit);
    assert_eq!(hold(&world, &opened, SENDER, limit).await, None);
    let next = open(&world, NewMailbox { max_open: 1, max_open_from_there: 1, ..new(STRANGER, limit) }).await;
    assert_eq!((next.nameplate, next.receiver), (opened.nameplate, None));
}

pub(in crate::store) async fn a_claimed_mailbox_lasts_while_both_sides_hold_it(world: World) {
    let now = world.now();
    let later = now.plus(MAILBOX_UNCLAIMED_ABSENCE / 2);
    let opened = open(&world, new(SENDER, now)).await;
    let claimed = claim(&world, opened.nameplate, RECEIVER, later).await.unwrap();
    let first = now.plus(MAILBOX_ABSENCE);
    assert_eq!(claimed.expires, first, "the sender was not there since");
    // One side alone does not keep it.
    let last = before(first);
    assert_eq!(hold(&world, &opened, RECEIVER, last).await.unwrap().expires, first);
    let held = hold(&world, &opened, SENDER, last).await.unwrap();
    assert_eq!(held.expires, last.plus(MAILBOX_ABSENCE), "both were there");
    let end = held.expires;
    assert_eq!(hold(&world, &opened, SENDER, before(end)).await.unwrap().expires, end);
    assert_eq!(world.store.mailbox(opened.id, before(end)).await.unwrap().map(|mailbox| mailbox.expires), Some(end));
    assert_eq!(world.store.prune_mailboxes(before(end)).await.unwrap(), 0);
    assert_eq!(hold(&world, &opened, SENDER, end).await, None);
    assert_eq!(world.store.prune_mailboxes(end).await.unwrap(), 1);
}

pub(in crate::store) async fn who_has_no_key_of_a_mailbox_changes_nothing(world: World) {
    let now = world.now();
    let later = now.plus(MAILBOX_UNCLAIMED_ABSENCE / 2);
    let opened = open(&world, new(SENDER, now)).await;
    for key in [STRANGER, RECEIVER] {
        assert_eq!(hold(&world, &opened, key, later).await, None);
    }
    assert_eq!(world.store.mailbox(opened.id, later).await.unwrap(), Some(opened.clone()));
    let claimed = claim(&world, opened.nameplate, RECEIVER, now).await.unwrap();
    assert_eq!(hold(&world, &opened, STRANGER, later).await, None);
    assert_eq!(world.store.mailbox(opened.id, later).await.unwrap(), Some(claimed));
    assert_eq!(world.store.mailbox(P2pId(Uuid::now_v7()), now).await.unwrap(), None);
}
