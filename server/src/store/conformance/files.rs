//! Files and uploads.

use super::world::{World, no_file, nobody, root};
use crate::store::{
    chats::RemoveMember,
    files::{BeginUpload, Begun, CommitUpload, DeleteFile, File, Quota, Upload},
    messages::{Append, DeleteMessage, NewMessage},
};
use futures::future::join_all;
use hypersend_protocol::{
    id::{FileId, Seq, UserId},
    name::FileName,
    time::UnixMillis,
};
use std::collections::HashSet;

async fn begin(world: &World, upload: &BeginUpload) -> Begun {
    world.store.begin_upload(upload.clone()).await.unwrap()
}

fn opened(outcome: Begun) -> Upload {
    let Begun::Open(upload) = outcome else { panic!("{outcome:?}") };
    upload
}

pub(in crate::store) async fn an_upload_is_begun_and_resumed(world: World) {
    let ann = world.user("ann").await;
    let new = world.new_upload(ann, "film");
    let upload = opened(begin(&world, &new).await);
    let BeginUpload { id, owner, name, size, chunk_size, now, .. } = new.clone();
    assert_eq!(upload, Upload { id, owner, name, size, chunk_size, active: now });
    assert_eq!(world.store.upload(id).await.unwrap(), Some(upload.clone()));

    let later = BeginUpload { id: no_file(), chunk_size: 1 << 21, now: world.now(), ..new };
    let resumed = opened(begin(&world, &later).await);
    assert_eq!(resumed, Upload { active: later.now, ..upload }, "as it was begun");
    assert_eq!(world.store.upload(id).await.unwrap(), Some(resumed));
    assert_eq!(world.store.upload(later.id).await.unwrap(), None);
    assert_eq!(world.store.file(id, ann).await.unwrap(), None, "no file yet");
}

pub(in crate::store) async fn an_upload_is_resumed_by_its_owner(world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let (upload, file) = (world.upload(ann, "film").await, world.file(ann, "book").await);
    let now = world.now();
    for (id, owner) in [(upload.id, bob), (file.id, ann), (no_file(), ann)] {
        assert_eq!(world.store.resume_upload(id, owner, now).await.unwrap(), None);
    }
    assert_eq!(world.store.upload(upload.id).await.unwrap(), Some(upload.clone()), "nobody else keeps it alive");
    let resumed = world.store.resume_upload(upload.id, ann, now).await.unwrap();
    assert_eq!(resumed, Some(Upload { active: now, ..upload.clone() }));
    assert_eq!(world.store.upload(upload.id).await.unwrap(), resumed);
}

pub(in crate::store) async fn a_key_stands_for_one_name_and_size(world: World) {
    let ann = world.user("ann").await;
    let new = world.new_upload(ann, "film");
    begin(&world, &new).await;
    let others = [
        BeginUpload { id: no_file(), size: new.size + 1, ..new.clone() },
        BeginUpload { id: no_file(), name: FileName::parse("other").unwrap(), ..new.clone() },
    ];
    for other in &others {
        assert_eq!(begin(&world, other).await, Begun::KeyTaken);
    }
    let commit = CommitUpload { id: new.id, root: root(1), now: world.now() };
    let file = world.store.commit_upload(commit).await.unwrap().unwrap();
    for other in &others {
        assert_eq!(begin(&world, other).await, Begun::KeyTaken);
    }
    assert_eq!(begin(&world, &BeginUpload { id: no_file(), ..new }).await, Begun::Finished(file));
}

pub(in crate::store) async fn a_key_is_its_owner_s(world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let (anns, bobs) = (world.new_upload(ann, "film"), world.new_upload(bob, "film"));
    assert_eq!(opened(begin(&world, &anns).await).id, anns.id);
    assert_eq!(opened(begin(&world, &bobs).await).id, bobs.id);
}

pub(in crate::store) async fn an_upload_raced_for_is_one(world: World) {
    let ann = world.user("ann").await;
    let begun = join_all((0..16).map(|_| world.store.begin_upload(world.new_upload(ann, "film")))).await;
    let ids: HashSet<FileId> = begun.into_iter().map(|outcome| opened(outcome.unwrap()).id).collect();
    assert_eq!(ids.len(), 1);
}

pub(in crate::store) async fn uploads_under_way_are_limited(world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let new = |owner, name: &str| BeginUpload { max_open: 2, ..world.new_upload(owner, name) };
    let first = opened(begin(&world, &new(ann, "one")).await);
    opened(begin(&world, &new(ann, "two")).await);
    assert_eq!(begin(&world, &new(ann, "three")).await, Begun::TooMany);
    opened(begin(&world, &new(ann, "two")).await);
    opened(begin(&world, &new(bob, "three")).await);

    world.store.commit_upload(CommitUpload { id: first.id, root: root(1), now: world.now() }).await.unwrap();
    let third = opened(begin(&world, &new(ann, "three")).await);
    assert_eq!(begin(&world, &new(ann, "four")).await, Begun::TooMany);
    assert!(matches!(begin(&world, &new(ann, "one")).await, Begun::Finished(_)));
    assert!(world.store.drop_upload(third.id).await.unwrap());
    opened(begin(&world, &new(ann, "four")).await);

    let raced = join_all((0..8).map(|n| world.store.begin_upload(new(bob, &format!("raced {n}"))))).await;
    assert_eq!(raced.into_iter().filter(|outcome| matches!(outcome, Ok(Begun::Open(_)))).count(), 1);
}

pub(in crate::store) async fn what_uploads_reserve_is_limited(world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let new = |owner, name: &str, size, quota| BeginUpload { size, quota, ..world.new_upload(owner, name) };
    let first = opened(begin(&world, &new(ann, "one", 60, Quota::Bytes(100))).await);
    let over = Begun::OverQuota { reserved: 60, limit: 100 };
    assert_eq!(begin(&world, &new(ann, "two", 41, Quota::Bytes(100))).await, over);
    opened(begin(&world, &new(ann, "two", 40, Quota::Bytes(100))).await);
    opened(begin(&world, &new(bob, "two", 100, Quota::Bytes(100))).await);
    opened(begin(&world, &new(ann, "one", 60, Quota::Bytes(0))).await);

    // What is finished is no longer reserved but taken.
    world.store.commit_upload(CommitUpload { id: first.id, root: root(1), now: world.now() }).await.unwrap();
    let over = Begun::OverQuota { reserved: 40, limit: 100 };
    assert_eq!(begin(&world, &new(ann, "three", 61, Quota::HalfOf(160))).await, over);
    let third = opened(begin(&world, &new(ann, "three", 60, Quota::HalfOf(160))).await);
    let over = Begun::OverQuota { reserved: 100, limit: 100 };
    assert_eq!(begin(&world, &new(ann, "four", 1, Quota::HalfOf(100))).await, over);
    assert!(world.store.drop_upload(third.id).await.unwrap());
    opened(begin(&world, &new(ann, "four", 60, Quota::HalfOf(160))).await);
}

pub(in crate::store) async fn an_upload_becomes_a_file_once(world: World) {
    let ann = world.user("ann").await;
    let upload = world.upload(ann, "film").await;
    let commit = CommitUpload { id: upload.id, root: root(7), now: world.now() };
    let file = world.store.commit_upload(commit).await.unwrap().unwrap();
    let Upload { id, owner, name, size, chunk_size, .. } = upload;
    assert_eq!(file, File { id, owner, name, size, chunk_size, root: root(7), at: commit.now });
    assert_eq!(world.store.upload(id).await.unwrap(), None);
    assert_eq!(world.store.file(id, ann).await.unwrap(), Some(file.clone()));

    let again = CommitUpload { root: root(8), now: world.now(), ..commit };
    assert_eq!(world.store.commit_upload(again).await.unwrap(), Some(file));
    assert_eq!(world.store.commit_upload(CommitUpload { id: no_file(), ..commit }).await.unwrap(), None);
}

pub(in crate::store) async fn a_dropped_upload_is_gone(world: World) {
    let ann = world.user("ann").await;
    let (upload, file) = (world.upload(ann, "film").await, world.file(ann, "book").await);
    assert!(world.store.drop_upload(upload.id).await.unwrap());
    assert!(!world.store.drop_upload(upload.id).await.unwrap());
    assert_eq!(world.store.upload(upload.id).await.unwrap(), None);
    let late = CommitUpload { id: upload.id, root: root(1), now: world.now() };
    assert_eq!(world.store.commit_upload(late).await.unwrap(), None);
    let anew = world.upload(ann, "film").await;
    assert_ne!(anew.id, upload.id, "the key is free again");
    assert!(!world.store.drop_upload(file.id).await.unwrap(), "a file is no upload under way");
    assert!(world.store.file(file.id, ann).await.unwrap().is_some());
}

pub(in crate::store) async fn stale_uploads_are_listed(world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let new = |owner, name, at| BeginUpload { now: UnixMillis(at), ..world.new_upload(owner, name) };
    for (owner, name, at) in [(ann, "c", 30), (bob, "a", 10), (ann, "resumed", 10), (ann, "b", 20), (ann, "done", 10)] {
        let upload = opened(begin(&world, &new(owner, name, at)).await);
        if name == "done" {
            world.store.commit_upload(CommitUpload { id: upload.id, root: root(1), now: upload.active }).await.unwrap();
        }
    }
    opened(begin(&world, &new(ann, "resumed", 40)).await);
    let stale = async |before, limit| {
        let uploads = world.store.stale_uploads(UnixMillis(before), limit).await.unwrap();
        let mut names: Vec<String> = uploads.into_iter().map(|upload| upload.name.into()).collect();
        names.sort_unstable();
        names
    };
    assert!(stale(10, 10).await.is_empty());
    assert_eq!(stale(11, 10).await, ["a"]);
    assert_eq!(stale(31, 10).await, ["a", "b", "c"]);
    assert_eq!(stale(31, 2).await.len(), 2);
    assert_eq!(stale(41, 10).await, ["a", "b", "c", "resumed"]);
}

pub(in crate::store) async fn only_a_stale_upload_is_dropped_as_stale(world: World) {
    let ann = world.user("ann").await;
    let upload = world.upload(ann, "film").await;
    let stale = |before: UnixMillis| world.store.drop_upload_if_stale(upload.id, before);
    let listed_before = UnixMillis(upload.active.0 + 1);
    let again = BeginUpload { now: world.now(), ..world.new_upload(ann, "film") };
    assert!(again.now >= listed_before);
    assert_eq!(opened(begin(&world, &again).await).id, upload.id);
    assert!(!stale(listed_before).await.unwrap(), "resumed since it was listed");
    assert!(!stale(again.now).await.unwrap());
    assert!(world.store.upload(upload.id).await.unwrap().is_some());
    assert!(stale(UnixMillis(again.now.0 + 1)).await.unwrap());
    assert!(!stale(UnixMillis(again.now.0 + 1)).await.unwrap());
    assert_eq!(world.store.upload(upload.id).await.unwrap(), None);
    let file = world.file(ann, "book").await;
    assert!(
        !world.store.drop_upload_if_stale(file.id, UnixMillis(file.at.0 + 1)).await.unwrap(),
        "a file is no upload"
    );
}

pub(in crate::store) async fn a_file_is_shown_to_who_received_it(mut world: World) {
    let (ann, bob, mia, eve) =
        (world.user("ann").await, world.user("bob").await, world.user("mia").await, world.user("eve").await);
    let group = world.group(ann, &[bob]).await.id;
    let file = world.file(ann, "plan").await;
    let sees = async |user| world.store.file(file.id, user).await.unwrap().is_some();
    assert!(sees(ann).await);
    assert!(!sees(bob).await, "not posted yet");
    world.post_files(group, ann, &[&file]).await;
    assert!(sees(bob).await);
    assert!(!sees(mia).await && !sees(eve).await && !sees(nobody()).await);

    world.store.add_members(group, ann, &[mia], world.now()).await.unwrap();
    assert!(sees(mia).await, "history is for who joins later too");
    let out = world.store.remove_member(group, ann, mia, world.now()).await.unwrap();
    assert_eq!(out, RemoveMember::Done);
    assert!(!sees(mia).await);
    assert_eq!(world.store.file(no_file(), ann).await.unwrap(), None);
}

pub(in crate::store) async fn files_are_listed_newest_first(world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let mut ids = Vec::new();
    for n in 0..5 {
        ids.push(world.file(ann, &format!("file {n}")).await.id);
        world.file(bob, &format!("file {n}")).await;
        world.upload(ann, &format!("upload {n}")).await;
    }
    ids.sort_unstable_by(|a, b| b.cmp(a));
    let page = async |before, limit| {
        let files = world.store.files_of(ann, before, limit).await.unwrap();
        files.into_iter().map(|file| file.id).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 10).await, ids);
    assert_eq!(page(None, 2).await, ids[..2]);
    assert_eq!(page(Some(ids[1]), 2).await, ids[2..4]);
    assert_eq!(page(Some(ids[3]), 2).await, ids[4..]);
    assert!(page(Some(ids[4]), 2).await.is_empty());
    assert!(world.store.files_of(nobody(), None, 2).await.unwrap().is_empty());
}

async fn delete(world: &World, file: FileId, by: UserId) -> DeleteFile {
    world.store.delete_file(file, by).await.unwrap()
}

pub(in crate::store) async fn a_deleted_file_is_gone_for_everybody(mut world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let chat = world.direct(ann, bob).await;
    let (file, other) = (world.file(ann, "plan").await, world.file(ann, "other").await);
    world.post_files(chat, ann, &[&file, &other]).await;
    world.post_files(chat, ann, &[&file]).await;
    assert_eq!(delete(&world, file.id, ann).await, DeleteFile::Done);
    for user in [ann, bob] {
        assert_eq!(world.store.file(file.id, user).await.unwrap(), None);
        assert_eq!(world.store.file(other.id, user).await.unwrap().as_ref(), Some(&other));
    }
    assert_eq!(world.store.files_of(ann, None, 10).await.unwrap(), [other]);
    assert_eq!(delete(&world, file.id, ann).await, DeleteFile::NotFound);

    let late = CommitUpload { id: file.id, root: root(1), now: world.now() };
    assert_eq!(world.store.commit_upload(late).await.unwrap(), None);
    assert_ne!(world.upload(ann, "plan").await.id, file.id, "the key is free again");
}

pub(in crate::store) async fn deleting_a_file_is_for_its_owner(mut world: World) {
    let (ann, bob, eve) = (world.user("ann").await, world.user("bob").await, world.user("eve").await);
    let chat = world.direct(ann, bob).await;
    let (file, upload) = (world.file(ann, "plan").await, world.upload(ann, "film").await);
    assert_eq!(delete(&world, file.id, bob).await, DeleteFile::NotFound, "not posted yet");
    world.post_files(chat, ann, &[&file]).await;
    assert_eq!(delete(&world, file.id, bob).await, DeleteFile::Forbidden);
    for user in [eve, nobody()] {
        assert_eq!(delete(&world, file.id, user).await, DeleteFile::NotFound);
    }
    assert_eq!(delete(&world, no_file(), ann).await, DeleteFile::NotFound);
    assert_eq!(delete(&world, upload.id, ann).await, DeleteFile::NotFound, "an upload under way is no file");
    assert_eq!(world.store.upload(upload.id).await.unwrap(), Some(upload));
    assert_eq!(world.store.file(file.id, bob).await.unwrap(), Some(file));
    assert!(world.store.removals(None, 10).await.unwrap().is_empty());
}

pub(in crate::store) async fn a_deleted_file_leaves_its_messages(mut world: World) {
    let (ann, bob) = (world.user("ann").await, world.user("bob").await);
    let chat = world.direct(ann, bob).await;
    let file = world.file(ann, "plan").await;
    let seq = world.post_files(chat, ann, &[&file]).await;
    delete(&world, file.id, ann).await;
    let messages = world.store.messages_after(chat, Seq(0), 10).await.unwrap();
    assert_eq!(messages[0].files, [(&file).into()], "its card stays");

    let again = NewMessage { files: vec![file.id], ..world.new_message(chat, ann, "again") };
    assert_eq!(world.store.append_message(again).await.unwrap(), Append::FileNotFound(file.id));
    let deleted = world.store.delete_message(chat, seq, ann, world.now()).await.unwrap();
    assert_eq!(deleted, DeleteMessage::Done);
}

pub(in crate::store) async fn removals_are_listed_until_forgotten(world: World) {
    let ann = world.user("ann").await;
    let mut ids = Vec::new();
    for n in 0..3 {
        let file = world.file(ann, &format!("file {n}")).await;
        delete(&world, file.id, ann).await;
        ids.push(file.id);
    }
    for n in 0..2 {
        let upload = world.upload(ann, &format!("upload {n}")).await;
        assert!(!world.store.drop_upload_if_stale(upload.id, upload.active).await.unwrap());
        assert!(match n {
            0 => world.store.drop_upload(upload.id).await.unwrap(),
            _ => world.store.drop_upload_if_stale(upload.id, UnixMillis(u64::MAX >> 1)).await.unwrap(),
        });
        assert!(!world.store.drop_upload(upload.id).await.unwrap());
        ids.push(upload.id);
    }
    ids.sort_unstable();
    let page = async |after, limit| world.store.removals(after, limit).await.unwrap();
    assert_eq!(page(None, 10).await, ids);
    assert_eq!(page(None, 2).await, ids[..2]);
    assert_eq!(page(Some(ids[1]), 2).await, ids[2..4]);
    world.store.forget_removal(ids[1]).await.unwrap();
    world.store.forget_removal(ids[1]).await.unwrap();
    ids.remove(1);
    assert_eq!(page(None, 10).await, ids);
}
