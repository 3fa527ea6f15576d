//! `pending/`: messages that are about to be posted.
//!
//! The client id of a message is written here before it is posted and removed after, so that a command that was killed
//! in between and is typed again posts under the same id: the server has the message once. The record's name is the hash
//! of the message, so that typing the command again finds it.

use super::{Folder, make, private};
use crate::failure::Failure;
use hypersend_client::protocol::{
    id::{ChatId, ClientId, FileId},
    name::MessageText,
};
use serde::{Deserialize, Serialize};
use std::{
    fs::{self, File, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    time::Duration,
};
use uuid::Uuid;

/// For how long the same message typed again is taken for the interrupted one. Later it is meant.
const LIFETIME: Duration = Duration::from_hours(24);

/// A message about to be posted. Dropped, it stays for the next attempt.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) client_id: ClientId,
    record: Option<(PathBuf, File)>,
}

#[derive(Serialize, Deserialize)]
struct Record {
    client_id: ClientId,
}

impl Folder {
    /// Notes down that a message is about to be posted, or finds that noted down before.
    pub(crate) fn pending(
        &self,
        chat: ChatId,
        text: Option<&MessageText>,
        files: &[FileId],
    ) -> Result<Pending, Failure> {
        let dir = self.file("pending");
        let path = dir.join(format!("{}.json", name(chat, text, files)));
        let noted = make(&dir).and_then(|()| {
            forget_old(&dir)?;
            note(&path)
        });
        noted.map_err(|error| Failure::local("write", &path, &error))
    }
}

impl Pending {
    /// The server has answered: what is posted next is another message.
    pub(crate) fn done(self) {
        if let Some((path, _lock)) = self.record {
            // Left behind it would only make the same message typed again within a day the same message.
            let _ = fs::remove_file(path);
        }
    }
}

fn name(chat: ChatId, text: Option<&MessageText>, files: &[FileId]) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("hypersend 2026 name of a pending message");
    hasher.update(chat.0.as_bytes());
    for file in files {
        hasher.update(file.0.as_bytes());
    }
    hasher.update(&files.len().to_le_bytes());
    // Last, because it is the only part without a fixed length.
    hasher.update(text.map_or("", MessageText::as_str).as_bytes());
    hasher.finalize().to_hex().to_string()
}

/// Removes what nobody came back to.
fn forget_old(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        // Another process may remove it first.
        let Ok(written) = entry.metadata().and_then(|metadata| metadata.modified()) else { continue };
        if written.elapsed().unwrap_or_default() >= LIFETIME {
            let _ = fs::remove_file(entry.path());
        }
    }
    Ok(())
}

fn note(path: &Path) -> io::Result<Pending> {
    let mut file = loop {
        let file = private().create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => {}
            // Another process posts the same: two messages are meant.
            Err(TryLockError::WouldBlock) => return Ok(Pending { client_id: fresh(), record: None }),
            Err(TryLockError::Error(error)) => return Err(error),
        }
        // Another process may have removed it between opening and locking.
        if file.metadata()?.nlink() > 0 {
            break file;
        }
    };
    let age = file.metadata()?.modified()?.elapsed().unwrap_or_default();
    let mut text = String::new();
    file.read_to_string(&mut text)?;
    let before = serde_json::from_str::<Record>(&text).ok().filter(|_| age < LIFETIME);
    let client_id = match before {
        Some(record) => record.client_id,
        None => {
            let client_id = fresh();
            file.set_len(0)?;
            io::Seek::rewind(&mut file)?;
            file.write_all(&serde_json::to_vec(&Record { client_id }).expect("records are JSON"))?;
            file.sync_all()?;
            client_id
        }
    };
    Ok(Pending { client_id, record: Some((path.to_owned(), file)) })
}

fn fresh() -> ClientId {
    ClientId(Uuid::new_v4())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::SystemTime;

    const CHAT: ChatId = ChatId(Uuid::from_u128(1));

    fn folder() -> (tempfile::TempDir, Folder) {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(Some(dir.path().to_owned())).unwrap();
        (dir, folder)
    }

    fn text(raw: &str) -> MessageText {
        raw.parse().unwrap()
    }

    #[test]
    fn an_interrupted_message_keeps_its_id_and_a_posted_one_does_not() {
        let (_dir, folder) = folder();
        let pending = || folder.pending(CHAT, Some(&text("ok")), &[]).unwrap();
        let first = pending().client_id;
        let again = pending();
        assert_eq!(again.client_id, first);
        again.done();
        assert_ne!(pending().client_id, first);
    }

    #[test]
    fn two_processes_at_once_mean_two_messages() {
        let (_dir, folder) = folder();
        let pending = || folder.pending(CHAT, Some(&text("ok")), &[]).unwrap();
        let (one, other) = (pending(), pending());
        assert_ne!(one.client_id, other.client_id);
        other.done();
        one.done();
        assert_eq!(fs::read_dir(folder.file("pending")).unwrap().count(), 0);
    }

    #[test]
    fn a_day_later_it_is_another_message() {
        let (_dir, folder) = folder();
        let first = folder.pending(CHAT, None, &[FileId(Uuid::nil())]).unwrap();
        let (_, file) = first.record.as_ref().unwrap();
        file.set_modified(SystemTime::now() - LIFETIME).unwrap();
        let id = first.client_id;
        drop(first);
        assert_ne!(folder.pending(CHAT, None, &[FileId(Uuid::nil())]).unwrap().client_id, id);
    }

    #[test]
    fn what_nobody_comes_back_to_is_removed() {
        let (_dir, folder) = folder();
        let old = folder.pending(CHAT, Some(&text("old")), &[]).unwrap();
        old.record.as_ref().unwrap().1.set_modified(SystemTime::now() - LIFETIME).unwrap();
        drop(old);
        folder.pending(CHAT, Some(&text("new")), &[]).unwrap();
        assert_eq!(fs::read_dir(folder.file("pending")).unwrap().count(), 1);
    }

    #[test]
    fn different_messages_have_different_names() {
        let file = FileId(Uuid::from_u128(2));
        let names = [
            name(CHAT, None, &[file]),
            name(CHAT, Some(&text("a")), &[file]),
            name(CHAT, Some(&text("a")), &[]),
            name(CHAT, Some(&text("a")), &[file, file]),
            name(ChatId(Uuid::nil()), Some(&text("a")), &[]),
        ];
        assert_eq!(names.iter().collect::<std::collections::HashSet<_>>().len(), names.len());
    }
}
