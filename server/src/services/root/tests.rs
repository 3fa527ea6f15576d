//! Two servers' folders, one bucket.

use super::*;
use crate::{clock, disk::Disk, objects::tests::objects_at};
use hypersend_lab::Bucket;
use hypersend_transfer::{
    Manifest,
    folder::{SealError, TransferFolder},
};
use std::path::Path;
use tempfile::TempDir;

const MIB: u64 = 1 << 20;

/// A file, and two servers to which it is sent.
struct Scene {
    bucket: Bucket,
    dir: TempDir,
    manifest: Manifest,
    data: Bytes,
}

impl Scene {
    async fn set(size: u64) -> Self {
        let plan = ChunkPlan::for_size(size).unwrap();
        let manifest = Manifest::new(FileId(clock::new_id()), "film.mkv".parse().unwrap(), plan, None);
        let mut data = vec![0; usize::try_from(size).unwrap()];
        blake3::Hasher::new().update(b"root").finalize_xof().fill(&mut data);
        Self { bucket: Bucket::start().await, dir: tempfile::tempdir().unwrap(), manifest, data: data.into() }
    }

    fn root(&self) -> BucketRoot {
        let objects = objects_at(&self.bucket, self.bucket.socket_address());
        BucketRoot::new(objects, Disk::start().unwrap())
    }

    fn folder(&self, server: &str) -> Kept {
        Kept::new(TransferFolder::create(&self.dir.path().join(server), self.manifest.clone()).unwrap())
    }

    fn again(&self, server: &str) -> Kept {
        Kept::new(TransferFolder::open(&self.dir.path().join(server)).unwrap())
    }

    fn plan(&self) -> ChunkPlan {
        self.manifest.plan().unwrap()
    }

    fn bytes(&self, span: Span) -> Bytes {
        let start = usize::try_from(span.offset).unwrap();
        self.data.slice(start..start + span.length as usize)
    }

    /// A chunk lands in a folder, and nothing more.
    fn land(&self, upload: &Kept, chunk: u32) {
        let span = self.plan().chunk(ChunkIndex(chunk)).unwrap();
        upload.folder().store_range(span, None, &[self.bytes(span)]).unwrap();
    }

    fn hash(&self) -> RootHash {
        RootHash(blake3::hash(&self.data).into())
    }
}

fn stored(map: &ReceiveMap) -> Vec<u32> {
    (0..map.count()).filter(|&chunk| map.contains(ChunkIndex(chunk))).collect()
}

#[tokio::test]
async fn what_one_server_has_stored_the_other_need_not_receive() {
    let scene = Scene::set(4 * MIB + 5).await;
    let (root, here, there) = (scene.root(), scene.folder("here"), scene.folder("there"));
    for chunk in [0, 3] {
        scene.land(&here, chunk);
        root.keep(&here, ChunkIndex(chunk)).await.unwrap();
    }
    scene.land(&here, 1);
    assert_eq!(stored(&root.map(&here)), [0, 3], "the bucket has not got the last one yet");
    assert!(!root.level(&there).await.unwrap());
    assert_eq!(stored(&root.map(&there)), [0, 3]);
    let missing = root.finish(&there, None).await;
    assert!(matches!(missing, Err(RootError::Seal(SealError::Missing(3)))), "{missing:?}");

    for chunk in [2, 4] {
        scene.land(&there, chunk);
    }
    root.level(&there).await.unwrap();
    assert!(!root.level(&here).await.unwrap());
    assert_eq!(stored(&root.map(&here)), [0, 1, 2, 3, 4]);
    let wrong = root.finish(&there, Some(RootHash([1; 32]))).await;
    assert!(matches!(wrong, Err(RootError::Seal(SealError::Root { .. }))), "{wrong:?}");
    let file = scene.manifest.file;
    assert_eq!(root.finished(file).await.unwrap(), None);
    assert_eq!(root.finish(&there, Some(scene.hash())).await.unwrap(), scene.hash());
    assert_eq!(root.finished(file).await.unwrap(), Some(scene.hash()));
    assert!(root.level(&here).await.unwrap(), "it is finished");
}

#[tokio::test]
async fn a_folder_opened_again_has_what_it_had_and_learns_the_rest() {
    let scene = Scene::set(3 * MIB).await;
    let (root, here) = (scene.root(), scene.folder("here"));
    scene.land(&here, 0);
    root.level(&here).await.unwrap();
    let there = scene.folder("there");
    scene.land(&there, 2);
    root.level(&there).await.unwrap();
    assert_eq!(stored(&root.map(&there)), [0, 2]);
    drop(there);
    let there = scene.again("there");
    assert_eq!(stored(&there.folder().map()), [2]);
    assert!(stored(&root.map(&there)).is_empty(), "nothing is said before the bucket was asked");
    root.level(&there).await.unwrap();
    assert_eq!(stored(&root.map(&there)), [0, 2]);
}

#[tokio::test]
async fn any_run_of_bytes_is_read_across_chunks() {
    let scene = Scene::set(3 * MIB + 100).await;
    let (root, upload) = (scene.root(), scene.folder("here"));
    (0..4).for_each(|chunk| scene.land(&upload, chunk));
    let unfinished = root.read_upload(&upload).await.unwrap();
    root.finish(&upload, None).await.unwrap();
    let finished = root.open(scene.manifest.file).await.unwrap();
    let mib = u32::try_from(MIB).unwrap();
    for (offset, length) in [(0, mib), (MIB - 10, 20), (MIB / 2, mib), (0, 3 * mib + 100), (3 * MIB, 100), (7, 0)] {
        let span = Span { offset, length };
        for content in [&unfinished, &finished] {
            assert!(content.bytes(span).await.unwrap() == scene.bytes(span), "{span:?}");
        }
    }
    assert!(finished.bytes(Span { offset: 3 * MIB, length: 101 }).await.is_err());
    let values = finished.values(ChunkIndex(2), 9).await.unwrap();
    assert_eq!(values.len(), 2);
    assert_eq!(values, upload.folder().values().unwrap().into_iter().skip(2).flatten().collect::<Vec<_>>());
}

#[tokio::test]
async fn bytes_that_went_bad_on_the_disk_are_not_put() {
    let scene = Scene::set(2 * MIB).await;
    let (root, upload) = (scene.root(), scene.folder("here"));
    scene.land(&upload, 1);
    spoil(&scene.dir.path().join("here/content"), MIB);
    let levelled = root.level(&upload).await;
    assert!(matches!(levelled, Err(RootError::Objects(_))), "{levelled:?}");
    assert!(scene.bucket.keys("").await.is_empty());
}

fn spoil(content: &Path, at: u64) {
    use std::os::unix::fs::FileExt;
    std::fs::File::options().write(true).open(content).unwrap().write_all_at(b"bad", at).unwrap();
}
