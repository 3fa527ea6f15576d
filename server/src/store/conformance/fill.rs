//! A world with a record of every kind, in each of the forms that it may have.

use super::World;
use crate::store::{
    files::CommitUpload,
    messages::NewMessage,
    p2p::{NewP2p, Offered, P2pChange},
    sessions::{Rotation, Session, TokenHash},
};
use hypersend_protocol::{
    id::{ChatId, P2pId, Seq, SessionId, UserId},
    name::{DisplayName, FileName},
    p2p::{OfferedFile, P2pPath, P2pStatus},
};
use std::time::Duration;
use uuid::Uuid;

/// Does something of everything.
pub(in crate::store) async fn fill(world: &mut World) {
    let (ann, bob, cyd) = (world.user("ann").await, world.user("bob").await, world.user("cyd").await);
    world.store.set_name(bob, DisplayName::parse("Bob \"ü\" \u{1f600}").unwrap()).await.unwrap();
    log_in(world, ann).await;

    let direct = world.direct(ann, bob).await;
    let (small, large) = (world.file(ann, "small").await, world.file(ann, "large").await);
    let first = world.post(direct, ann, "one\ntwo \u{2028} three").await;
    world.post_files(direct, ann, &[&small, &large]).await;
    let gone = world.post_files(direct, ann, &[&small]).await;
    let answer = NewMessage { reply_to: Some(first), ..world.new_message(direct, bob, "an answer") };
    world.store.append_message(answer).await.unwrap();
    world.store.delete_message(direct, gone, ann, world.now()).await.unwrap();
    world.store.prune_events(world.now()).await.unwrap();
    world.post(direct, bob, "after the pruning").await;
    world.store.mark_read(direct, bob, Seq(2), world.now()).await.unwrap();

    let group = world.group(ann, &[bob, cyd]).await.id;
    world.post(group, cyd, "to all").await;
    world.store.mark_read(group, bob, Seq(1), world.now()).await.unwrap();
    world.store.remove_member(group, ann, ann, world.now()).await.unwrap();
    world.group(cyd, &[]).await;

    world.upload(bob, "under way").await;
    let deleted = world.file(bob, "deleted").await;
    world.post_files(direct, bob, &[&deleted]).await;
    world.store.delete_file(deleted.id, bob).await.unwrap();
    let again = CommitUpload { id: small.id, root: small.root, now: world.now() };
    world.store.commit_upload(again).await.unwrap().unwrap();

    offer(world, direct, ann, bob, &[]).await;
    offer(world, direct, bob, ann, &[P2pStatus::Accepted]).await;
    offer(world, direct, bob, ann, &[P2pStatus::Accepted, P2pStatus::Finished]).await;
}

/// Two sessions: one in its second token, one ended.
async fn log_in(world: &World, user: UserId) {
    let life = Duration::from_hours(1);
    for ends in [false, true] {
        let (id, now) = (SessionId(Uuid::now_v7()), world.now());
        let session = Session {
            id,
            user,
            agent: "a test".to_owned(),
            created: now,
            current: TokenHash([1; 32]),
            previous: None,
            rotated: now,
            expires: now.plus(life),
            ended: None,
        };
        world.store.create_session(session).await.unwrap();
        if ends {
            assert!(world.store.end_session(id, user, world.now()).await.unwrap());
        } else {
            let (presented, fresh) = (TokenHash([1; 32]), TokenHash([0xfe; 32]));
            let rotation = Rotation { session: id, presented, fresh, expires: now.plus(life), now };
            world.store.rotate_session(rotation).await.unwrap();
        }
    }
}

async fn offer(world: &World, chat: ChatId, sender: UserId, receiver: UserId, steps: &[P2pStatus]) {
    let new = NewP2p {
        id: P2pId(Uuid::now_v7()),
        client_id: super::world::client_id(),
        chat,
        sender,
        receiver,
        files: vec![OfferedFile { name: FileName::parse("film.mkv").unwrap(), size: 40 << 30, folder: false }],
        max_open: 10,
        now: world.now(),
    };
    let Offered::Made(offered) = world.store.offer_p2p(new).await.unwrap() else { panic!("it is not made") };
    for &status in steps {
        let path = (status == P2pStatus::Accepted).then_some(P2pPath::Relayed);
        let change = P2pChange { id: offered.id, by: receiver, status: Some(status), path, now: world.now() };
        world.store.change_p2p(change).await.unwrap();
    }
}
