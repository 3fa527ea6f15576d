//! Against a server that speaks S3.

use super::{error::COME_AGAIN, *};
use crate::settings::{Environment, Flags, Settings};
use hypersend_lab::{Bucket, TcpPath};
use hypersend_protocol::refusal::{ErrorCode, Refusal};
use hypersend_transfer::{ChunkPlan, Manifest};
use std::net::SocketAddr;

/// The bucket by way of this address.
pub(crate) fn objects_at(bucket: &Bucket, at: SocketAddr) -> Objects {
    objects_in(bucket.url(), at)
}

fn objects_in(url: &str, at: SocketAddr) -> Objects {
    let endpoint = Bucket::endpoint_via(at);
    let settings = [
        ("OBJECTS_URL", url),
        ("OBJECTS_ENDPOINT", &endpoint),
        ("OBJECTS_ACCESS_KEY", "test"),
        ("OBJECTS_SECRET_KEY", "test"),
    ];
    let environment: Environment = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
    let settings = Settings::load(&Flags::default(), &environment).unwrap();
    Objects::open(&settings.objects.unwrap()).unwrap()
}

fn value(byte: u8) -> ChunkValue {
    ChunkValue([byte; 32])
}

#[tokio::test]
async fn what_is_put_is_listed_read_and_removed_and_nothing_of_another_file() {
    let bucket = Bucket::start().await;
    let objects = objects_at(&bucket, bucket.socket_address());
    let [file, other] = [(); 2].map(|()| FileId(clock::new_id()));
    assert_eq!(objects.listing(file).await.unwrap(), Listing::default());
    assert!(objects.about(file).await.unwrap().is_none() && objects.note(file).await.unwrap().is_none());

    for (index, byte) in [(7, 1), (2, 2), (7, 1), (7, 3)] {
        objects.put_chunk(file, ChunkIndex(index), value(byte), Bytes::from_static(b"some bytes")).await.unwrap();
    }
    objects.put_chunk(other, ChunkIndex(0), value(9), Bytes::new()).await.unwrap();
    objects.put_note(file, b"a note".to_vec()).await.unwrap();
    let mut listing = objects.listing(file).await.unwrap();
    listing.chunks.sort_by_key(|(index, value)| (index.0, value.0));
    let chunks = vec![(ChunkIndex(2), value(2)), (ChunkIndex(7), value(1)), (ChunkIndex(7), value(3))];
    assert_eq!(listing, Listing { chunks, is_finished: false });

    let plan = ChunkPlan::for_size(3 << 20).unwrap();
    let manifest = Manifest::new(file, "film.mkv".parse().unwrap(), plan, None);
    let about = About::new(&manifest, plan, [1, 2, 3].map(value).to_vec());
    objects.put_about(&about).await.unwrap();
    assert_eq!(objects.about(file).await.unwrap(), Some(about));
    assert!(objects.listing(file).await.unwrap().is_finished);
    assert_eq!(&objects.note(file).await.unwrap().unwrap()[..], b"a note");

    let read = async |offset, length| objects.chunk_bytes(file, ChunkIndex(2), value(2), Span { offset, length }).await;
    assert_eq!(&read(5, 5).await.unwrap()[..], b"bytes");
    assert!(matches!(read(5, 6).await, Err(ObjectsError::Damaged { .. })), "it has ten bytes");
    objects.remove(file).await.unwrap();
    objects.remove(file).await.unwrap();
    assert!(matches!(read(5, 5).await, Err(ObjectsError::Damaged { .. })));
    assert_eq!(bucket.keys("").await, [format!("{other}/0-{}", "09".repeat(32))]);
}

#[tokio::test]
async fn more_objects_than_one_listing_has_are_listed_and_removed() {
    let bucket = Bucket::start().await;
    let objects = objects_at(&bucket, bucket.socket_address());
    let file = FileId(clock::new_id());
    let put = |index| objects.put_chunk(file, ChunkIndex(index), value(1), Bytes::new());
    futures::stream::iter(0..1_005).map(put).buffer_unordered(8).try_for_each(async |()| Ok(())).await.unwrap();
    assert_eq!(objects.listing(file).await.unwrap().chunks.len(), 1_005);
    objects.remove(file).await.unwrap();
    assert!(bucket.keys("").await.is_empty());
}

/// Or a server that was started with a wrong name would take files for lost, and what is to be removed for gone.
#[tokio::test]
async fn where_there_is_no_bucket_nothing_is_known_of_any_file() {
    let bucket = Bucket::start().await;
    let objects = objects_in("s3://another", bucket.socket_address());
    let file = FileId(clock::new_id());
    let failures = [
        objects.listing(file).await.unwrap_err(),
        objects.about(file).await.unwrap_err(),
        objects.note(file).await.unwrap_err(),
        objects.remove(file).await.unwrap_err(),
    ];
    for failure in failures {
        assert!(matches!(failure, ObjectsError::Unavailable(_)), "{failure:?}");
    }
}

#[tokio::test]
async fn a_bucket_that_is_away_is_told_as_such_and_works_again_afterwards() {
    let bucket = Bucket::start().await;
    let path = TcpPath::start(bucket.socket_address()).await;
    let objects = objects_at(&bucket, path.address());
    let file = FileId(clock::new_id());
    path.cut();
    let refusal = Refusal::from(&objects.listing(file).await.unwrap_err());
    assert_eq!(refusal.code, ErrorCode::Unavailable);
    assert_eq!(refusal.retry_after(), Some(COME_AGAIN));
    path.restore();
    assert_eq!(objects.listing(file).await.unwrap(), Listing::default());
}
