//! Files in a bucket, so that several servers need no common disk.
//!
//! A chunk is put into the bucket once it is complete in the upload's folder, and acknowledged when it is there. Chunks that other
//! servers put are adopted: they count as stored, and their bytes are not fetched. Finishing writes what the file is; nothing is
//! copied. The folder is a workplace: when its disk is lost, what was acknowledged is in the bucket.

use super::{Content, FileRoot, Kept, Result};
use crate::{
    disk::Disk,
    objects::{About, Listing, Objects, ObjectsError, PUTS_AT_ONCE},
};
use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt, future::try_join_all, stream};
use hypersend_protocol::{
    hash::{ChunkValue, RootHash},
    id::{ChunkIndex, FileId},
};
use hypersend_transfer::{
    folder::{SealError, TransferFolder},
    map::ReceiveMap,
    plan::{ChunkPlan, Span},
    tree,
};
use std::{collections::HashSet, io, sync::Arc};

/// Files in one bucket.
#[derive(Clone, Debug)]
pub struct BucketRoot {
    objects: Objects,
    disk: Disk,
}

impl BucketRoot {
    /// Files in this bucket; uploads under way are on this disk too.
    pub fn new(objects: Objects, disk: Disk) -> Self {
        Self { objects, disk }
    }

    /// Brings folder and bucket level; gives the values of the chunks that both know then, and whether the file is finished.
    async fn levelled(&self, upload: &Kept) -> Result<(Vec<Option<ChunkValue>>, bool)> {
        let file = upload.folder().manifest().file;
        let Listing { chunks: listed, is_finished } = self.objects.listing(file).await?;
        let recorded = upload.clone();
        // After the listing, so that what lands meanwhile is seen here and put twice at worst.
        let mut values = self.disk.run(move || recorded.folder().values()).await?;
        let there: HashSet<(ChunkIndex, ChunkValue)> = listed.iter().copied().collect();
        let mut only_here = Vec::new();
        for (index, value) in (0..).map(ChunkIndex).zip(&values).filter_map(|(index, value)| Some((index, (*value)?))) {
            if there.contains(&(index, value)) {
                upload.is_elsewhere(index);
            } else {
                only_here.push((index, value));
            }
        }
        for (index, value) in listed {
            // Past the last: not a chunk of this file.
            let Some(place) = values.get_mut(index.0 as usize) else { continue };
            if place.is_none() && upload.folder().adopt(index, value) {
                upload.is_elsewhere(index);
                *place = Some(value);
            }
        }
        stream::iter(only_here)
            .map(|(index, value)| self.put(upload, index, Some(value)))
            .buffer_unordered(PUTS_AT_ONCE as usize)
            .try_for_each(async |()| Ok(()))
            .await?;
        Ok((values, is_finished))
    }

    /// Puts a chunk that is stored in the folder: what is read back is what is named.
    async fn put(&self, upload: &Kept, index: ChunkIndex, recorded: Option<ChunkValue>) -> Result<()> {
        let (file, plan) = (upload.folder().manifest().file, upload.folder().plan());
        let length = plan.chunk(index).map_or(0, |chunk| chunk.length);
        let _room = self.objects.room_for(length).await;
        let source = upload.clone();
        let (bytes, value) = self.disk.run(move || read_chunk(source.folder(), index)).await?;
        if recorded.is_some_and(|recorded| recorded != value) {
            let what = format!("chunk {index} is neither in the bucket nor sound in the upload's folder");
            return Err(ObjectsError::Damaged { file, what }.into());
        }
        self.objects.put_chunk(file, index, value, bytes).await?;
        upload.is_elsewhere(index);
        Ok(())
    }

    fn content(&self, about: About) -> Arc<dyn Content> {
        Arc::new(InBucket { objects: self.objects.clone(), about })
    }
}

/// A chunk's bytes, and what they hash to.
fn read_chunk(folder: &TransferFolder, index: ChunkIndex) -> io::Result<(Bytes, ChunkValue)> {
    let plan = folder.plan();
    let chunk = plan.chunk(index).ok_or(io::ErrorKind::UnexpectedEof)?;
    let bytes = folder.read_stored(chunk)?;
    let value = |span: Span| {
        let start = usize::try_from(span.offset - chunk.offset).expect("chunks fit into memory");
        tree::range_value(&plan, span, std::iter::once(&bytes[start..start + span.length as usize]))
    };
    let ranges: Vec<ChunkValue> = plan.ranges(index).map(value).collect();
    let value = tree::merge_ranges(&plan, index, &ranges);
    Ok((bytes, value))
}

/// All values, or how many are missing.
fn complete(values: Vec<Option<ChunkValue>>) -> Result<Vec<ChunkValue>> {
    let count = values.len();
    let there: Vec<ChunkValue> = values.into_iter().flatten().collect();
    match count - there.len() {
        0 => Ok(there),
        missing => Err(SealError::Missing(u32::try_from(missing).unwrap_or(u32::MAX)).into()),
    }
}

#[async_trait]
impl FileRoot for BucketRoot {
    async fn finished(&self, file: FileId) -> Result<Option<RootHash>> {
        Ok(self.objects.about(file).await?.map(|about| about.root))
    }

    async fn level(&self, upload: &Kept) -> Result<bool> {
        Ok(self.levelled(upload).await?.1)
    }

    async fn keep(&self, upload: &Kept, chunk: ChunkIndex) -> Result<()> {
        if upload.elsewhere().contains(chunk) {
            return Ok(());
        }
        self.put(upload, chunk, None).await
    }

    fn map(&self, upload: &Kept) -> ReceiveMap {
        upload.elsewhere().clone()
    }

    async fn finish(&self, upload: &Kept, expected: Option<RootHash>) -> Result<RootHash> {
        let values = complete(self.levelled(upload).await?.0)?;
        let about = About::new(upload.folder().manifest(), upload.folder().plan(), values);
        let actual = about.root;
        if let Some(expected) = expected.filter(|expected| *expected != actual) {
            return Err(SealError::Root { expected, actual }.into());
        }
        self.objects.put_about(&about).await?;
        Ok(actual)
    }

    async fn read_upload(&self, upload: &Kept) -> Result<Arc<dyn Content>> {
        let values = complete(self.levelled(upload).await?.0)?;
        Ok(self.content(About::new(upload.folder().manifest(), upload.folder().plan(), values)))
    }

    async fn open(&self, file: FileId) -> Result<Arc<dyn Content>> {
        let gone = || ObjectsError::Damaged { file, what: "what is said about it is gone".to_owned() };
        Ok(self.content(self.objects.about(file).await?.ok_or_else(gone)?))
    }

    async fn remove(&self, file: FileId) -> Result<()> {
        Ok(self.objects.remove(file).await?)
    }

    async fn write_note(&self, upload: &Kept, note: Vec<u8>) -> Result<()> {
        Ok(self.objects.put_note(upload.folder().manifest().file, note).await?)
    }

    async fn note(&self, file: FileId) -> Result<Option<Vec<u8>>> {
        Ok(self.objects.note(file).await?.map(Vec::from))
    }
}

#[derive(Debug)]
struct InBucket {
    objects: Objects,
    about: About,
}

impl InBucket {
    /// Where the pieces of a run of bytes are: chunk by chunk, counted from the chunk's start.
    fn pieces(&self, span: Span) -> Vec<(ChunkIndex, Span)> {
        let (plan, mut at, mut pieces) = (self.about.plan, span.offset, Vec::new());
        while at < span.end() {
            let Ok(index) = u32::try_from(at / plan.chunk_size()).map(ChunkIndex) else { break };
            let Some(chunk) = plan.chunk(index) else { break };
            let length = u32::try_from(span.end().min(chunk.end()) - at).expect("no longer than a chunk");
            pieces.push((index, Span { offset: at - chunk.offset, length }));
            at += u64::from(length);
        }
        pieces
    }
}

#[async_trait]
impl Content for InBucket {
    fn plan(&self) -> ChunkPlan {
        self.about.plan
    }

    /// As many requests at once as chunks are concerned: two at most, for what doors ask for.
    async fn bytes(&self, span: Span) -> Result<Bytes> {
        if span.end() > self.about.plan.size() {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let read = self.pieces(span).into_iter().map(|(index, piece)| {
            let value = self.about.values[index.0 as usize];
            self.objects.chunk_bytes(self.about.manifest.file, index, value, piece)
        });
        let mut read = try_join_all(read).await?;
        if let [_] = read[..] {
            return Ok(read.remove(0));
        }
        let mut bytes = BytesMut::with_capacity(span.length as usize);
        for piece in &read {
            bytes.extend_from_slice(piece);
        }
        Ok(bytes.freeze())
    }

    async fn values(&self, first: ChunkIndex, count: u32) -> Result<Vec<ChunkValue>> {
        Ok(self.about.values.iter().skip(first.0 as usize).take(count as usize).copied().collect())
    }
}
