//! Files, and the uploads they come from: one document each, which becomes a file when its root hash is known. An upload
//! under way has the field `active`, a file the fields `root` and `finished`.

use super::{
    chats::CHATS,
    field::{Field, read_hash, read_text, write_hash},
    schema::{Collection, index},
    transaction::{Act, Result, Table},
    users,
};
use crate::store::files::{BeginUpload, Begun, CommitUpload, DeleteFile, File, Upload};
use hypersend_protocol::{
    hash::{RootHash, UploadKey},
    id::{ChatId, FileId, Seq, UserId},
    name::FileName,
    time::UnixMillis,
};
use mongodb::{
    bson::{Binary, DateTime, Document, Uuid, doc},
    options::FindOptions,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// Uploads and files. `postings` counts how often a file was posted, so that nobody posts it while it is being deleted.
pub(super) const FILES: Table<FileRow> = Table::new("files");

/// In which messages a file stands; gone when the message is deleted.
pub(super) const POSTINGS: Table<PostingRow> = Table::new("postings");

/// Deleted files and dropped uploads of which something may still be stored: written with the deletion, so that a crash before
/// that is removed is mended later.
pub(super) const REMOVALS: Table<RemovalRow> = Table::new("removals");

/// An upload's or a file's document.
#[derive(Serialize, Deserialize)]
pub(super) struct FileRow {
    #[serde(rename = "_id")]
    pub(super) id: Uuid,
    pub(super) owner: Uuid,
    pub(super) key: Binary,
    pub(super) name: String,
    pub(super) size: i64,
    pub(super) chunk_size: i64,
    pub(super) postings: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) active: Option<DateTime>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) root: Option<Binary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) finished: Option<DateTime>,
}

/// A posting's document: nothing but its id.
#[derive(Serialize, Deserialize)]
pub(super) struct PostingRow {
    #[serde(rename = "_id")]
    pub(super) id: PostingId,
}

/// Which file stands in which message.
#[derive(Serialize, Deserialize)]
pub(super) struct PostingId {
    pub(super) file: Uuid,
    pub(super) chat: Uuid,
    pub(super) seq: i64,
}

/// A removal's document.
#[derive(Serialize, Deserialize)]
pub(super) struct RemovalRow {
    #[serde(rename = "_id")]
    pub(super) id: Uuid,
}

/// What a document of [`FILES`] is.
enum Stage {
    Open(Upload),
    Finished(File),
}

/// How the collections are to be.
pub(super) fn collections() -> [Collection; 3] {
    let fields = [
        ("_id", "binData"),
        ("owner", "binData"),
        ("key", "binData"),
        ("name", "string"),
        ("size", "long"),
        ("chunk_size", "long"),
        ("postings", "long"),
        ("active?", "date"),
        ("root?", "binData"),
        ("finished?", "date"),
    ];
    let having = |field: &str| doc! { "partialFilterExpression": { field: { "$exists": true } } };
    let indexes = vec![
        index("files_by_key", doc! { "owner": 1, "key": 1 }, doc! { "unique": true }),
        index("files_by_owner", doc! { "owner": 1, "_id": 1 }, having("finished")),
        index("uploads_by_owner", doc! { "owner": 1, "active": 1 }, having("active")),
        index("uploads_by_activity", doc! { "active": 1 }, having("active")),
    ];
    [
        Collection::new(&FILES, &fields, indexes),
        Collection::new(&POSTINGS, &[("_id", "object")], vec![]),
        Collection::new(&REMOVALS, &[("_id", "binData")], vec![]),
    ]
}

impl FileRow {
    fn read(self) -> Result<Stage> {
        let (id, owner) = (FileId::read(self.id)?, UserId::read(self.owner)?);
        let name = read_text(&self.name, FileName::parse)?;
        let (size, chunk_size) = (u64::read(self.size)?, u64::read(self.chunk_size)?);
        Ok(match (self.root, self.finished) {
            (Some(root), Some(at)) => {
                let root = read_hash(root).map(RootHash)?;
                Stage::Finished(File { id, owner, name, size, chunk_size, root, at: Field::read(at)? })
            }
            _ => {
                let active = Field::read(self.active.unwrap_or(DateTime::from_millis(0)))?;
                Stage::Open(Upload { id, owner, name, size, chunk_size, active })
            }
        })
    }

    fn upload(self) -> Result<Option<Upload>> {
        Ok(match self.read()? {
            Stage::Open(upload) => Some(upload),
            Stage::Finished(_) => None,
        })
    }

    fn file(self) -> Result<Option<File>> {
        Ok(match self.read()? {
            Stage::Open(_) => None,
            Stage::Finished(file) => Some(file),
        })
    }
}

fn hash(key: UploadKey) -> Binary {
    write_hash(key.0)
}

/// Begins an upload, or finds the one with the same owner and key.
pub(super) async fn begin(act: &mut Act, upload: BeginUpload) -> Result<Begun> {
    let filter = doc! { "owner": upload.owner.write(), "key": hash(upload.key) };
    match act.one(&FILES, filter).await?.map(FileRow::read).transpose()? {
        Some(Stage::Open(open)) if open.name == upload.name && open.size == upload.size => {
            touch(act, open.id, upload.now).await?;
            return Ok(Begun::Open(Upload { active: upload.now, ..open }));
        }
        Some(Stage::Finished(file)) if file.name == upload.name && file.size == upload.size => {
            return Ok(Begun::Finished(file));
        }
        Some(_) => return Ok(Begun::KeyTaken),
        None => {}
    }
    // The limits below are on all of the owner's uploads together.
    users::take_upload_turn(act, upload.owner).await?;
    let (open, reserved) = under_way(act, upload.owner).await?;
    if open >= upload.max_open {
        return Ok(Begun::TooMany);
    }
    let limit = upload.quota.bytes(reserved);
    if reserved.saturating_add(upload.size) > limit {
        return Ok(Begun::OverQuota { reserved, limit });
    }
    let BeginUpload { id, owner, key, name, size, chunk_size, now, .. } = upload;
    let row = FileRow {
        id: id.write(),
        owner: owner.write(),
        key: hash(key),
        name: name.as_str().to_owned(),
        size: size.write(),
        chunk_size: chunk_size.write(),
        postings: 0,
        active: Some(now.write()),
        root: None,
        finished: None,
    };
    act.insert(&FILES, &[row]).await?;
    Ok(Begun::Open(Upload { id, owner, name, size, chunk_size, active: now }))
}

async fn touch(act: &mut Act, id: FileId, now: UnixMillis) -> Result<()> {
    act.update(&FILES, doc! { "_id": id.write() }, doc! { "$set": { "active": now.write() } }).await?;
    Ok(())
}

/// How many uploads an owner has under way, and the sum of their sizes.
async fn under_way(act: &mut Act, owner: UserId) -> Result<(usize, u64)> {
    let filter = doc! { "owner": owner.write(), "active": { "$exists": true } };
    let rows = act.all(&FILES, filter, FindOptions::default()).await?;
    let mut reserved = 0_u64;
    for row in &rows {
        reserved = reserved.saturating_add(u64::read(row.size)?);
    }
    Ok((rows.len(), reserved))
}

/// A filter for an upload under way.
fn open(id: FileId) -> Document {
    doc! { "_id": id.write(), "active": { "$exists": true } }
}

/// An upload under way.
pub(super) async fn upload(act: &mut Act, id: FileId) -> Result<Option<Upload>> {
    Ok(act.one(&FILES, open(id)).await?.map(FileRow::upload).transpose()?.flatten())
}

/// An upload of this owner under way, marked as resumed now.
pub(super) async fn resume(act: &mut Act, id: FileId, owner: UserId, now: UnixMillis) -> Result<Option<Upload>> {
    let Some(found) = upload(act, id).await?.filter(|upload| upload.owner == owner) else { return Ok(None) };
    touch(act, id, now).await?;
    Ok(Some(Upload { active: now, ..found }))
}

/// Turns an upload into a file; the same file when it is one already.
pub(super) async fn commit(act: &mut Act, commit: CommitUpload) -> Result<Option<File>> {
    let finish = doc! {
        "$set": { "root": write_hash(commit.root.0), "finished": commit.now.write() },
        "$unset": { "active": 1 },
    };
    act.update(&FILES, open(commit.id), finish).await?;
    by_id(act, commit.id).await
}

async fn by_id(act: &mut Act, id: FileId) -> Result<Option<File>> {
    Ok(act.one(&FILES, doc! { "_id": id.write() }).await?.map(FileRow::file).transpose()?.flatten())
}

/// Forgets an upload under way and notes that what is stored of it has to go; `false` when there is none.
pub(super) async fn drop_upload(act: &mut Act, id: FileId) -> Result<bool> {
    let is_dropped = act.delete(&FILES, open(id)).await? == 1;
    note_removal(act, id, is_dropped).await
}

/// The same, when nobody has begun or resumed it since this moment.
pub(super) async fn drop_if_stale(act: &mut Act, id: FileId, before: UnixMillis) -> Result<bool> {
    let is_dropped = act.delete(&FILES, doc! { "_id": id.write(), "active": { "$lt": before.write() } }).await? == 1;
    note_removal(act, id, is_dropped).await
}

async fn note_removal(act: &mut Act, id: FileId, is_dropped: bool) -> Result<bool> {
    if is_dropped {
        act.insert(&REMOVALS, &[RemovalRow { id: id.write() }]).await?;
    }
    Ok(is_dropped)
}

/// Uploads under way that nobody has begun or resumed since this moment, the longest left first.
pub(super) async fn stale(act: &mut Act, before: UnixMillis, limit: u32) -> Result<Vec<Upload>> {
    let options = FindOptions::builder().sort(doc! { "active": 1 }).limit(i64::from(limit)).build();
    let rows = act.all(&FILES, doc! { "active": { "$lt": before.write() } }, options).await?;
    rows.into_iter().filter_map(|row| row.upload().transpose()).collect()
}

/// A file, to its owner or to a member of a chat in which it was posted.
pub(super) async fn to_viewer(act: &mut Act, id: FileId, viewer: UserId) -> Result<Option<File>> {
    let Some(file) = by_id(act, id).await? else { return Ok(None) };
    if file.owner == viewer {
        return Ok(Some(file));
    }
    let places = act.all(&POSTINGS, posted(id), FindOptions::default()).await?;
    let chats: BTreeSet<[u8; 16]> = places.into_iter().map(|place| place.id.chat.bytes()).collect();
    let chats: Vec<Uuid> = chats.into_iter().map(Uuid::from_bytes).collect();
    if chats.is_empty() {
        return Ok(None);
    }
    let common = doc! { "_id": { "$in": chats }, "members.user": viewer.write() };
    let options = FindOptions::builder().projection(doc! { "_id": 1 }).limit(1).build();
    let common: Vec<Document> = act.all_as(&CHATS, common, options).await?;
    Ok((!common.is_empty()).then_some(file))
}

/// A filter for all postings of a file.
fn posted(id: FileId) -> Document {
    let end = |byte, seq: i64| doc! { "file": id.write(), "chat": Uuid::from_bytes([byte; 16]), "seq": seq };
    doc! { "_id": { "$gte": end(0, 0), "$lte": end(u8::MAX, i64::MAX) } }
}

/// The files that a user uploaded, newest first, older than `before`.
pub(super) async fn of(act: &mut Act, owner: UserId, before: Option<FileId>, limit: u32) -> Result<Vec<File>> {
    let mut filter = doc! { "owner": owner.write(), "finished": { "$exists": true } };
    if let Some(before) = before {
        filter.insert("_id", doc! { "$lt": before.write() });
    }
    let options = FindOptions::builder().sort(doc! { "_id": -1 }).limit(i64::from(limit)).build();
    let rows = act.all(&FILES, filter, options).await?;
    rows.into_iter().filter_map(|row| row.file().transpose()).collect()
}

/// Deletes a file for its owner, with its postings, and notes that its folder has to go.
pub(super) async fn delete(act: &mut Act, id: FileId, by: UserId) -> Result<DeleteFile> {
    match to_viewer(act, id, by).await? {
        None => return Ok(DeleteFile::NotFound),
        Some(file) if file.owner != by => return Ok(DeleteFile::Forbidden),
        Some(_) => {}
    }
    act.delete(&POSTINGS, posted(id)).await?;
    act.delete(&FILES, doc! { "_id": id.write() }).await?;
    note_removal(act, id, true).await?;
    Ok(DeleteFile::Done)
}

/// Deleted files whose folders may still be there, in the order of their ids, behind `after`.
pub(super) async fn removals(act: &mut Act, after: Option<FileId>, limit: u32) -> Result<Vec<FileId>> {
    // No file has the smallest id: all are of version 7.
    let after = after.map_or(Uuid::from_bytes([0; 16]), Field::write);
    let options = FindOptions::builder().sort(doc! { "_id": 1 }).limit(i64::from(limit)).build();
    let rows = act.all(&REMOVALS, doc! { "_id": { "$gt": after } }, options).await?;
    rows.into_iter().map(|row| FileId::read(row.id)).collect()
}

/// Forgets that a deleted file's folder has to go.
pub(super) async fn forget_removal(act: &mut Act, id: FileId) -> Result<()> {
    act.delete(&REMOVALS, doc! { "_id": id.write() }).await?;
    Ok(())
}

/// Gives the members of chats access to files; a message may name a file twice.
pub(super) async fn post(act: &mut Act, postings: &BTreeSet<(FileId, ChatId, Seq)>) -> Result<()> {
    let row = |&(file, chat, seq): &(FileId, ChatId, Seq)| PostingRow {
        id: PostingId { file: file.write(), chat: chat.write(), seq: seq.write() },
    };
    let rows: Vec<PostingRow> = postings.iter().map(row).collect();
    act.insert(&POSTINGS, &rows).await?;
    let files: BTreeSet<FileId> = postings.iter().map(|&(file, ..)| file).collect();
    let count = |file: FileId| doc! { "q": { "_id": file.write() }, "u": { "$inc": { "postings": 1_i64 } } };
    act.update_all(&FILES, files.into_iter().map(count).collect()).await?;
    Ok(())
}

/// Takes that access back.
pub(super) async fn unpost(act: &mut Act, files: impl Iterator<Item = FileId>, chat: ChatId, seq: Seq) -> Result<()> {
    let id = |file: FileId| doc! { "file": file.write(), "chat": chat.write(), "seq": seq.write() };
    let ids: Vec<Document> = files.map(id).collect();
    if !ids.is_empty() {
        act.delete(&POSTINGS, doc! { "_id": { "$in": ids } }).await?;
    }
    Ok(())
}
