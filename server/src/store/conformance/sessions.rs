//! Sessions. The rule of rotation has its own tests beside [`Session::rotate`]; these see that it is carried out.

use super::world::World;
use crate::store::sessions::{ROTATION_GRACE, Rotated, Rotation, Session, TokenHash};
use futures::future::join_all;
use hypersend_protocol::{
    id::{SessionId, UserId},
    time::UnixMillis,
};
use std::time::Duration;
use uuid::Uuid;

const LIFE: Duration = Duration::from_hours(1);

fn token(n: u8) -> TokenHash {
    TokenHash([n; 32])
}

fn session(user: UserId, now: UnixMillis) -> Session {
    Session {
        id: SessionId(Uuid::now_v7()),
        user,
        agent: "a test".to_owned(),
        created: now,
        current: token(1),
        previous: None,
        rotated: now,
        expires: now.plus(LIFE),
        ended: None,
    }
}

async fn begun(world: &World) -> Session {
    let user = world.user("ann").await;
    let session = session(user, world.now());
    world.store.create_session(session.clone()).await.unwrap();
    session
}

async fn present(world: &World, id: SessionId, presented: u8, fresh: u8, now: UnixMillis) -> Rotated {
    let (presented, fresh) = (token(presented), token(fresh));
    let rotation = Rotation { session: id, presented, fresh, expires: now.plus(LIFE), now };
    world.store.rotate_session(rotation).await.unwrap()
}

async fn stored(world: &World, id: SessionId) -> Session {
    world.store.session(id).await.unwrap().unwrap()
}

pub(in crate::store) async fn a_session_is_read_back(world: World) {
    let session = begun(&world).await;
    assert_eq!(stored(&world, session.id).await, session);
    assert_eq!(world.store.session(SessionId(Uuid::now_v7())).await.unwrap(), None);
}

pub(in crate::store) async fn a_presented_token_is_replaced(world: World) {
    let session = begun(&world).await;
    let now = world.now();
    let outcome = present(&world, session.id, 1, 2, now).await;
    let expected =
        Session { current: token(2), previous: Some(token(1)), rotated: now, expires: now.plus(LIFE), ..session };
    assert_eq!(outcome, Rotated::Fresh(expected.clone()));
    assert_eq!(stored(&world, expected.id).await, expected);
}

pub(in crate::store) async fn a_lost_answer_is_forgiven(world: World) {
    let session = begun(&world).await;
    let now = world.now();
    present(&world, session.id, 1, 2, now).await;
    let again = present(&world, session.id, 1, 3, now.plus(ROTATION_GRACE)).await;
    assert!(matches!(again, Rotated::Fresh(session) if session.current == token(3)));
    assert_eq!(stored(&world, session.id).await.current, token(3));
}

pub(in crate::store) async fn a_token_used_twice_ends_the_session(world: World) {
    let session = begun(&world).await;
    present(&world, session.id, 1, 2, world.now()).await;
    present(&world, session.id, 2, 3, world.now()).await;
    let now = world.now();
    assert_eq!(present(&world, session.id, 1, 4, now).await, Rotated::Reused);
    let ended = stored(&world, session.id).await;
    assert_eq!((ended.ended, ended.current), (Some(now), token(3)));
    assert_eq!(present(&world, session.id, 3, 5, world.now()).await, Rotated::Ended);
}

pub(in crate::store) async fn a_token_presented_at_once_by_many_leaves_one_successor(world: World) {
    let session = begun(&world).await;
    let now = world.now();
    let outcomes = join_all((2..10).map(|fresh| present(&world, session.id, 1, fresh, now))).await;
    assert!(outcomes.iter().all(|outcome| matches!(outcome, Rotated::Fresh(_))), "all within the grace");
    let current = stored(&world, session.id).await.current;
    let lost = (2..10).find(|&n| token(n) != current).unwrap();
    assert!(matches!(present(&world, session.id, current.0[0], 20, now).await, Rotated::Fresh(_)));
    assert_eq!(present(&world, session.id, lost, 21, now).await, Rotated::Reused);
}

pub(in crate::store) async fn a_session_ends_once(world: World) {
    let session = begun(&world).await;
    let now = world.now();
    assert!(world.store.end_session(session.id, session.user, now).await.unwrap());
    assert!(world.store.end_session(session.id, session.user, world.now()).await.unwrap(), "it is theirs all the same");
    assert!(!world.store.end_session(SessionId(Uuid::now_v7()), session.user, now).await.unwrap());
    assert_eq!(stored(&world, session.id).await.ended, Some(now));
    assert_eq!(present(&world, session.id, 1, 2, world.now()).await, Rotated::Ended);
    assert_eq!(present(&world, SessionId(Uuid::now_v7()), 1, 2, world.now()).await, Rotated::Ended);
}

pub(in crate::store) async fn a_session_is_ended_by_its_user_only(world: World) {
    let session = begun(&world).await;
    let bob = world.user("bob").await;
    assert!(!world.store.end_session(session.id, bob, world.now()).await.unwrap());
    assert_eq!(stored(&world, session.id).await, session);
}

pub(in crate::store) async fn living_sessions_are_listed_newest_first(world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let now = world.now();
    let begin = async |session: Session| {
        world.store.create_session(session.clone()).await.unwrap();
        session
    };
    let mut living = Vec::new();
    for n in 0..4 {
        living.push(begin(Session { agent: format!("device {n}"), ..session(ann, now) }).await);
        begin(session(bob, now)).await;
        begin(Session { ended: Some(now), ..session(ann, now) }).await;
        begin(Session { expires: now, ..session(ann, now) }).await;
    }
    living.sort_unstable_by_key(|session| std::cmp::Reverse(session.id));
    let page = async |before, limit| world.store.sessions_of(ann, before, limit, now).await.unwrap();
    assert_eq!(page(None, 10).await, living);
    assert_eq!(page(None, 2).await, living[..2]);
    assert_eq!(page(Some(living[0].id), 2).await, living[1..3]);
    assert!(page(Some(living[3].id), 2).await.is_empty());

    world.store.end_session(living[0].id, ann, now).await.unwrap();
    assert_eq!(page(None, 10).await, living[1..]);
    assert!(world.store.sessions_of(ann, None, 10, living[0].expires).await.unwrap().is_empty());
}

pub(in crate::store) async fn an_expired_session_is_not_refreshed(world: World) {
    let session = begun(&world).await;
    assert_eq!(present(&world, session.id, 1, 2, session.expires).await, Rotated::Ended);
    assert_eq!(stored(&world, session.id).await, session);
}

pub(in crate::store) async fn old_sessions_are_pruned(world: World) {
    let user = world.user("ann").await;
    let edge = UnixMillis(5_000_000);
    let at = |millis| UnixMillis(edge.0 + millis - 10);
    let alive = Session { expires: at(20), ..session(user, at(0)) };
    let expired = Session { expires: at(9), ..session(user, at(0)) };
    let expires_now = Session { expires: edge, ..session(user, at(0)) };
    let ended = Session { ended: Some(at(9)), ..alive.clone() };
    let ends_now = Session { ended: Some(edge), ..alive.clone() };
    let mut ids = Vec::new();
    for kind in [&alive, &expired, &expires_now, &ended, &ends_now] {
        let id = SessionId(Uuid::now_v7());
        world.store.create_session(Session { id, ..kind.clone() }).await.unwrap();
        ids.push(id);
    }
    assert_eq!(world.store.prune_sessions(edge).await.unwrap(), 2);
    for (id, kept) in ids.into_iter().zip([true, false, true, false, true]) {
        assert_eq!(world.store.session(id).await.unwrap().is_some(), kept);
    }
    assert_eq!(world.store.prune_sessions(edge).await.unwrap(), 0);
}
