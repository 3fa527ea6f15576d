//! Uploads across failures, on a store and folders of their own.

use super::*;
use crate::services::root::FolderRoot;
use crate::store::{
    self,
    users::{NewUser, PasswordHash},
};
use bytes::Bytes;
use hypersend_protocol::{
    account::Profile,
    hash::RootHash,
    id::{SessionId, UserId},
    name::{DisplayName, Email},
    refusal::{ErrorCode, Refusal},
};
use hypersend_transfer::tree::range_value;
use std::{fs, sync::atomic::Ordering};
use tempfile::TempDir;
use uuid::Uuid;

/// Smaller than a range: one put is the whole file, and its value is the root hash.
const CONTENT: &[u8] = b"the content of a small file";

struct Scene {
    dir: TempDir,
    store: Arc<dyn Store>,
    uploads: Uploads,
    me: Caller,
}

impl Scene {
    async fn with(policy: UploadPolicy) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let [uploads, files] = ["uploads", "files"].map(|name| dir.path().join(name));
        fs::create_dir(&uploads).unwrap();
        fs::create_dir(&files).unwrap();
        let store = store::open(&store::Place::File(dir.path().join("test.db")), Arc::new(|_| ())).await.unwrap();
        let profile = Profile {
            id: UserId(Uuid::now_v7()),
            email: Email::parse("ann@example.org").unwrap(),
            name: DisplayName::parse("Ann").unwrap(),
        };
        let (id, email, name) = (profile.id, profile.email.clone(), profile.name.clone());
        let password_hash = PasswordHash(String::new());
        assert!(store.create_user(NewUser { id, email, name, password_hash, now: clock::now() }).await.unwrap());
        let me = Caller { profile, session: SessionId(Uuid::nil()), session_expires: UnixMillis(u64::MAX) };
        let disk = Disk::start().unwrap();
        let root = Arc::new(FolderRoot::new(disk.clone(), uploads.clone(), files));
        let uploads = Uploads::new(store.clone(), disk, uploads, root, policy, Metrics::default());
        Self { dir, store, uploads, me }
    }

    async fn new() -> Self {
        Self::with(UploadPolicy { max_file_size: u64::MAX, max_reserved: Some(1 << 20) }).await
    }

    async fn begin(&self, key: u8, size: usize) -> Result<Begun> {
        self.uploads.begin(&self.me, UploadKey([key; 32]), FileName::parse("a file").unwrap(), size as u64).await
    }

    async fn open(&self, key: u8, size: usize) -> UploadHandle {
        match self.begin(key, size).await.unwrap() {
            Begun::Open(handle) => handle,
            finished @ Begun::Finished(_) => panic!("{finished:?}"),
        }
    }

    fn folder(&self, id: FileId) -> PathBuf {
        self.dir.path().join("uploads").join(id.to_string())
    }
}

/// An upload of which all bytes are there, and its root hash.
async fn complete(scene: &Scene) -> (UploadHandle, RootHash) {
    let handle = scene.open(1, CONTENT.len()).await;
    let plan = handle.plan();
    let span = plan.range_at(0, CONTENT.len() as u64).unwrap().span;
    let value = range_value(&plan, span, std::iter::once(CONTENT));
    handle.put(span, Some(value), vec![Bytes::from_static(CONTENT)]).await.unwrap();
    (handle, RootHash(value.0))
}

#[tokio::test]
async fn finishing_is_repeated_when_only_the_record_was_missing() {
    let scene = Scene::new().await;
    let (handle, root) = complete(&scene).await;
    // As far as an attempt comes whose commit fails.
    let destination = scene.dir.path().join("files").join(handle.id().to_string());
    handle.active.kept.folder().seal(Some(root)).unwrap().publish(&destination).unwrap();
    let file = handle.finish(Some(root)).await.unwrap();
    assert_eq!((file.id, file.root), (handle.id(), root));
    assert_eq!(handle.finish(Some(root)).await.unwrap(), file);
}

#[tokio::test]
async fn only_what_is_abandoned_is_dropped() {
    let scene = Scene::new().await;
    let (held, left) = (scene.open(1, 10).await, scene.open(2, 10).await.id());
    let later = UnixMillis(clock::now().0 + 1);
    assert!(scene.folder(left).exists());
    assert_eq!(scene.uploads.drop_stale(later).await.unwrap(), 1);
    assert!(!scene.folder(left).exists() && scene.folder(held.id()).exists());
    assert_eq!(scene.store.upload(left).await.unwrap(), None);
    assert!(scene.store.upload(held.id()).await.unwrap().is_some());
}

#[tokio::test]
async fn folders_without_a_record_are_swept_out_and_nothing_else() {
    let scene = Scene::new().await;
    let kept = scene.open(1, 10).await.id();
    let orphan = scene.folder(FileId(Uuid::now_v7()));
    let foreign = scene.dir.path().join("uploads/lost+found");
    fs::create_dir(&orphan).unwrap();
    fs::write(orphan.join("content"), "left behind").unwrap();
    fs::create_dir(&foreign).unwrap();
    assert_eq!(scene.uploads.sweep().await.unwrap(), 1);
    assert!(!orphan.exists());
    assert!(scene.folder(kept).exists() && foreign.exists());
}

#[tokio::test]
async fn what_a_user_may_reserve_is_limited_and_given_back() {
    let scene = Scene::with(UploadPolicy { max_file_size: u64::MAX, max_reserved: Some(100) }).await;
    let first = scene.open(1, 60).await.id();
    let Err(refused @ UploadError::OverQuota { reserved: 60, limit: 100 }) = scene.begin(2, 41).await else {
        panic!("101 of 100 bytes were reserved");
    };
    let refusal = Refusal::from(refused);
    assert_eq!((refusal.code, refusal.limit), (ErrorCode::LimitReached, Some(100)));
    assert!(
        refusal.message.contains("may have 100 B of") && refusal.message.contains("MAX_RESERVED_PER_USER"),
        "{}",
        refusal.message
    );
    scene.open(2, 40).await;
    assert_eq!(scene.open(1, 60).await.id(), first, "what is reserved already is not reserved again");
    scene.uploads.cancel(&scene.me, first).await.unwrap();
    scene.open(3, 60).await;
}

#[tokio::test]
async fn without_a_setting_half_of_the_disk_is_the_limit_and_all_of_it_is_no_room() {
    let scene = Scene::with(UploadPolicy { max_file_size: u64::MAX, max_reserved: None }).await;
    let free = usize::try_from(folder::free_bytes(scene.dir.path()).unwrap()).unwrap();
    let refused = scene.begin(1, free / 3 * 2).await;
    let Err(refused @ UploadError::OverShare { reserved: 0, .. }) = refused else { panic!("{refused:?}") };
    let says = Refusal::from(refused).message;
    assert!(says.contains("half of what is free") && !says.contains("MAX_RESERVED_PER_USER"), "{says}");
    let refused = scene.begin(1, free * 2).await;
    assert!(matches!(refused, Err(UploadError::NoSpace { .. })), "{refused:?}");
    scene.open(1, 10).await;
}

async fn appending(scene: &Scene, key: u8, size: usize) -> Arc<UploadHandle> {
    Arc::new(scene.open(key, size).await)
}

async fn send(handle: &Arc<UploadHandle>, bytes: &'static [u8]) {
    let mut appender = handle.append().await.unwrap();
    appender.push(Bytes::from_static(bytes));
    appender.settle().await.unwrap();
}

#[tokio::test]
async fn who_comes_later_goes_on_where_the_first_was_stopped() {
    let scene = Scene::new().await;
    let handle = appending(&scene, 1, CONTENT.len()).await;
    let (head, tail) = CONTENT.split_at(10);
    let mut first = handle.append().await.unwrap();
    assert_eq!((first.offset(), first.room() as usize), (0, CONTENT.len()));
    first.push(Bytes::from_static(head));
    assert_eq!((first.offset(), first.reached()), (10, 0));
    let stopped = async {
        first.overtaken().await;
        drop(first);
    };
    let (mut second, ()) = tokio::join!(async { handle.append().await.unwrap() }, stopped);
    assert_eq!(second.offset(), 10, "what the first had received is kept");
    second.push(Bytes::from_static(tail));
    second.settle().await.unwrap();
    assert_eq!((second.reached(), second.room()), (CONTENT.len() as u64, 0));
    drop(second);
    let file = handle.finish(None).await.unwrap();
    assert_eq!(file.root, RootHash(blake3::hash(CONTENT).into()));
}

#[tokio::test]
async fn who_does_not_let_go_is_not_waited_for_for_ever_and_only_the_newest_gets_the_turn() {
    let scene = Scene::new().await;
    let handle = appending(&scene, 1, CONTENT.len()).await;
    let first = handle.append().await.unwrap();
    let refused = handle.append().await.err();
    assert!(matches!(refused, Some(UploadError::Locked)), "{refused:?}");
    let later = async { tokio::join!(handle.append(), handle.append(), async { drop(first) }) };
    let (second, third, ()) = later.await;
    assert!(matches!(second.err(), Some(UploadError::Overtaken)));
    assert_eq!(third.unwrap().offset(), 0);
}

#[tokio::test]
async fn uploads_are_joined_and_a_broken_off_join_goes_on() {
    let scene = Scene::new().await;
    let parts = [appending(&scene, 1, 7).await, appending(&scene, 2, 0).await, appending(&scene, 3, 20).await];
    send(&parts[0], &CONTENT[..7]).await;
    send(&parts[2], &CONTENT[7..]).await;
    let whole = scene.open(4, CONTENT.len()).await;
    for _ in 0..2 {
        whole.fill(&parts).await.unwrap();
    }
    assert_eq!(whole.finish(None).await.unwrap().root, RootHash(blake3::hash(CONTENT).into()));
}

#[tokio::test]
async fn an_upload_that_goes_on_is_not_abandoned() {
    let scene = Scene::new().await;
    let handle = appending(&scene, 1, CONTENT.len()).await;
    let active = async || scene.store.upload(handle.id()).await.unwrap().unwrap().active;
    let begun = active().await;
    assert_eq!(handle.resumed(), begun);
    send(&handle, &CONTENT[..1]).await;
    assert_eq!(active().await, begun, "once an hour is enough");
    handle.active.resumed.store(0, Ordering::Relaxed);
    send(&handle, &CONTENT[1..2]).await;
    assert!(active().await >= begun && handle.resumed() == active().await);
}

#[tokio::test]
async fn a_note_goes_where_its_upload_goes() {
    let scene = Scene::new().await;
    let (handle, root) = complete(&scene).await;
    assert_eq!(scene.uploads.note(handle.id()).await.unwrap(), None);
    handle.write_note(b"one".to_vec()).await.unwrap();
    handle.write_note(b"two".to_vec()).await.unwrap();
    assert_eq!(scene.uploads.note(handle.id()).await.unwrap().unwrap(), b"two");
    handle.finish(Some(root)).await.unwrap();
    assert_eq!(scene.uploads.note(handle.id()).await.unwrap().unwrap(), b"two");
}
