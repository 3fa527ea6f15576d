//! Files, and the uploads they come from: one row each, which becomes a file when its root hash is known.

use super::{
    column::{Column, get},
    connection::{all, one, run},
    writer::Act,
};
use crate::store::{
    Result,
    files::{BeginUpload, Begun, CommitUpload, DeleteFile, File, Upload},
};
use hypersend_protocol::{
    hash::UploadKey,
    id::{ChatId, FileId, Seq, UserId},
    time::UnixMillis,
};
use rusqlite::{Connection, Row, params};
use uuid::Uuid;

/// A query for what [`read_upload`] reads.
macro_rules! select_uploads {
    ($rest:literal) => {
        concat!("SELECT id, owner, name, size, chunk_size, active FROM files WHERE finished IS NULL AND ", $rest)
    };
}

/// A query for what [`read_file`] reads.
macro_rules! select_files {
    ($rest:literal) => {
        concat!(
            "SELECT id, owner, name, size, chunk_size, root, finished FROM files WHERE finished IS NOT NULL AND ",
            $rest
        )
    };
}

/// Begins an upload, or finds the one with the same owner and key.
pub(super) fn begin(act: &mut Act<'_>, upload: BeginUpload) -> Result<Begun> {
    match by_key(act.db, upload.owner, upload.key)? {
        Some(Begun::Open(open)) if open.name == upload.name && open.size == upload.size => {
            let sql = "UPDATE files SET active = ?2 WHERE id = ?1";
            run(act.db, sql, params![Column(open.id), Column(upload.now)])?;
            return Ok(Begun::Open(Upload { active: upload.now, ..open }));
        }
        Some(Begun::Finished(file)) if file.name == upload.name && file.size == upload.size => {
            return Ok(Begun::Finished(file));
        }
        Some(_) => return Ok(Begun::KeyTaken),
        None => {}
    }
    let (open, reserved) = under_way(act.db, upload.owner)?;
    if open >= upload.max_open as u64 {
        return Ok(Begun::TooMany);
    }
    let limit = upload.quota.bytes(reserved);
    if reserved.saturating_add(upload.size) > limit {
        return Ok(Begun::OverQuota { reserved, limit });
    }
    let BeginUpload { id, owner, key, name, size, chunk_size, now, .. } = upload;
    run(
        act.db,
        "INSERT INTO files (id, owner, key, name, size, chunk_size, active) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        params![Column(id), Column(owner), Column(key), name.as_str(), Column(size), Column(chunk_size), Column(now),],
    )?;
    Ok(Begun::Open(Upload { id, owner, name, size, chunk_size, active: now }))
}

fn by_key(db: &Connection, owner: UserId, key: UploadKey) -> Result<Option<Begun>> {
    let file = one(db, select_files!("owner = ?1 AND key = ?2"), params![Column(owner), Column(key)], read_file)?;
    if let Some(file) = file {
        return Ok(Some(Begun::Finished(file)));
    }
    let sql = select_uploads!("owner = ?1 AND key = ?2");
    let upload = one(db, sql, params![Column(owner), Column(key)], read_upload)?;
    Ok(upload.map(Begun::Open))
}

/// How many uploads an owner has under way, and the sum of their sizes.
fn under_way(db: &Connection, owner: UserId) -> Result<(u64, u64)> {
    let sql = "SELECT count(*), ifnull(sum(size), 0) FROM files WHERE owner = ?1 AND finished IS NULL";
    Ok(one(db, sql, [Column(owner)], |row| Ok((get(row, 0)?, get(row, 1)?)))?.expect("an aggregate is one row"))
}

/// An upload under way.
pub(super) fn upload(db: &Connection, id: FileId) -> Result<Option<Upload>> {
    one(db, select_uploads!("id = ?1"), [Column(id)], read_upload)
}

/// An upload of this owner under way, marked as resumed now.
pub(super) fn resume(act: &mut Act<'_>, id: FileId, owner: UserId, now: UnixMillis) -> Result<Option<Upload>> {
    let sql = "UPDATE files SET active = ?3 WHERE id = ?1 AND owner = ?2 AND finished IS NULL";
    match run(act.db, sql, params![Column(id), Column(owner), Column(now)])? {
        0 => Ok(None),
        _ => upload(act.db, id),
    }
}

/// Turns an upload into a file; the same file when it is one already.
pub(super) fn commit(act: &mut Act<'_>, commit: CommitUpload) -> Result<Option<File>> {
    run(
        act.db,
        "UPDATE files SET root = ?2, finished = ?3 WHERE id = ?1 AND finished IS NULL",
        params![Column(commit.id), Column(commit.root), Column(commit.now)],
    )?;
    one(act.db, select_files!("id = ?1"), [Column(commit.id)], read_file)
}

/// Forgets an upload under way and notes that what is stored of it has to go; `false` when there is none.
pub(super) fn drop_upload(act: &mut Act<'_>, id: FileId) -> Result<bool> {
    let is_dropped = run(act.db, "DELETE FROM files WHERE id = ?1 AND finished IS NULL", [Column(id)])? == 1;
    note_removal(act, id, is_dropped)
}

/// The same, when nobody has begun or resumed it since this moment.
pub(super) fn drop_if_stale(act: &mut Act<'_>, id: FileId, before: UnixMillis) -> Result<bool> {
    let sql = "DELETE FROM files WHERE id = ?1 AND finished IS NULL AND active < ?2";
    let is_dropped = run(act.db, sql, params![Column(id), Column(before)])? == 1;
    note_removal(act, id, is_dropped)
}

fn note_removal(act: &mut Act<'_>, id: FileId, is_dropped: bool) -> Result<bool> {
    if is_dropped {
        run(act.db, "INSERT INTO removals (file_id) VALUES (?1)", [Column(id)])?;
    }
    Ok(is_dropped)
}

/// Uploads under way that nobody has begun or resumed since this moment, the longest left first.
pub(super) fn stale(db: &Connection, before: UnixMillis, limit: u32) -> Result<Vec<Upload>> {
    let sql = select_uploads!("active < ?1 ORDER BY active LIMIT ?2");
    all(db, sql, params![Column(before), limit], read_upload)
}

/// A file, to its owner or to a member of a chat in which it was posted.
pub(super) fn to_viewer(db: &Connection, id: FileId, viewer: UserId) -> Result<Option<File>> {
    let sql = select_files!(
        "id = ?1 AND (owner = ?2 OR EXISTS (
             SELECT 1 FROM postings JOIN members ON members.chat_id = postings.chat_id
             WHERE postings.file_id = ?1 AND members.user_id = ?2))"
    );
    one(db, sql, params![Column(id), Column(viewer)], read_file)
}

/// The files that a user uploaded, newest first, older than `before`.
pub(super) fn of(db: &Connection, owner: UserId, before: Option<FileId>, limit: u32) -> Result<Vec<File>> {
    let sql = select_files!("owner = ?1 AND (?2 IS NULL OR id < ?2) ORDER BY id DESC LIMIT ?3");
    all(db, sql, params![Column(owner), before.map(Column), limit], read_file)
}

/// Deletes a file for its owner, with its postings, and notes that its folder has to go.
pub(super) fn delete(act: &mut Act<'_>, id: FileId, by: UserId) -> Result<DeleteFile> {
    match to_viewer(act.db, id, by)? {
        None => return Ok(DeleteFile::NotFound),
        Some(file) if file.owner != by => return Ok(DeleteFile::Forbidden),
        Some(_) => {}
    }
    run(act.db, "DELETE FROM postings WHERE file_id = ?1", [Column(id)])?;
    run(act.db, "DELETE FROM files WHERE id = ?1", [Column(id)])?;
    note_removal(act, id, true)?;
    Ok(DeleteFile::Done)
}

/// Deleted files whose folders may still be there, in the order of their ids, behind `after`.
pub(super) fn removals(db: &Connection, after: Option<FileId>, limit: u32) -> Result<Vec<FileId>> {
    // No file has the smallest id: all are of version 7.
    let after = after.unwrap_or(FileId(Uuid::nil()));
    let sql = "SELECT file_id FROM removals WHERE file_id > ?1 ORDER BY file_id LIMIT ?2";
    all(db, sql, params![Column(after), limit], |row| get(row, 0))
}

/// Forgets that a deleted file's folder has to go.
pub(super) fn forget_removal(act: &mut Act<'_>, id: FileId) -> Result<()> {
    run(act.db, "DELETE FROM removals WHERE file_id = ?1", [Column(id)])?;
    Ok(())
}

/// Gives the members of a chat access to a file.
pub(super) fn post(act: &mut Act<'_>, id: FileId, chat: ChatId, seq: Seq) -> Result<()> {
    // A message may name a file twice.
    let sql = "INSERT INTO postings (file_id, chat_id, seq) VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING";
    run(act.db, sql, params![Column(id), Column(chat), Column(seq)])?;
    Ok(())
}

/// Takes that access back.
pub(super) fn unpost(act: &mut Act<'_>, id: FileId, chat: ChatId, seq: Seq) -> Result<()> {
    let sql = "DELETE FROM postings WHERE file_id = ?1 AND chat_id = ?2 AND seq = ?3";
    run(act.db, sql, params![Column(id), Column(chat), Column(seq)])?;
    Ok(())
}

fn read_upload(row: &Row<'_>) -> rusqlite::Result<Upload> {
    Ok(Upload {
        id: get(row, 0)?,
        owner: get(row, 1)?,
        name: get(row, 2)?,
        size: get(row, 3)?,
        chunk_size: get(row, 4)?,
        active: get(row, 5)?,
    })
}

fn read_file(row: &Row<'_>) -> rusqlite::Result<File> {
    Ok(File {
        id: get(row, 0)?,
        owner: get(row, 1)?,
        name: get(row, 2)?,
        size: get(row, 3)?,
        chunk_size: get(row, 4)?,
        root: get(row, 5)?,
        at: get(row, 6)?,
    })
}
