//! What a sender offers: files and folders, looked at once.

use crate::{
    blocking,
    listing::{Builder, Entry, Listing, ListingError},
    source::{OpenFile, SourceError, file_key, folder_key, modified},
};
use hypersend_protocol::{
    name::{FileName, NameError},
    p2p::OfferedFile,
};
use std::{
    collections::HashMap,
    ffi::{OsStr, OsString},
    fs::{self, Metadata},
    io,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// Files and folders to be sent, with everything that is in the folders. Holds no file open; memory is some 64 bytes and a
/// name for each. Share it between several [`Sending`](crate::Sending) to send to several receivers.
#[derive(Debug)]
pub struct Offer {
    listing: Listing,
    /// Where each of the listing's tops is, without links.
    roots: Vec<PathBuf>,
    /// The names that are not UTF-8, which travel with what is not replaced.
    odd: HashMap<u32, OsString>,
    skipped: Skipped,
}

/// What was left out of folders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Skipped {
    /// Symbolic links: where they lead may be anywhere.
    pub links: u64,
    /// Pipes, sockets and devices.
    pub special: u64,
}

/// Something cannot be offered.
#[derive(Debug, thiserror::Error)]
pub enum OfferError {
    /// Nothing to offer.
    #[error("nothing to send; name a file or a folder")]
    Nothing,
    /// There is none of that name.
    #[error("{} does not exist", .0.display())]
    NotFound(PathBuf),
    /// Not ours to read.
    #[error("no permission to read {}", .0.display())]
    NoPermission(PathBuf),
    /// A pipe, a socket, a device.
    #[error("{} is neither a file nor a folder", .0.display())]
    NotRegular(PathBuf),
    /// A name that no receiver could give it.
    #[error("{} cannot be sent under its name", path.display())]
    Name {
        /// The file.
        path: PathBuf,
        /// What is wrong with its name.
        source: NameError,
    },
    /// Too many, too deep, too large, or twice.
    #[error(transparent)]
    Listing(#[from] ListingError),
    /// The disk refused.
    #[error("look at {}", path.display())]
    Io {
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Offer {
    /// Looks at all of this, off the async threads. Follows links that are named here, and none within folders.
    pub async fn open(paths: Vec<PathBuf>) -> Result<Self, OfferError> {
        blocking(move || Walk::new().all(&paths)).await
    }

    /// What is offered itself: each with its size, a folder with that of all its files.
    pub fn top(&self) -> Vec<OfferedFile> {
        self.listing.offered()
    }

    /// The same for as long as what is offered stays where it is, and files that are offered by name as they are.
    pub fn key(&self) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("hypersend 2026 peer: identity of an offer");
        for &top in self.listing.tops() {
            hasher.update(&self.listing.get(top).expect("an entry").key.0);
        }
        hasher.finalize().into()
    }

    /// Where the files are, in the order of [`top`](Self::top); `None` when there is a folder among them.
    pub fn plain_files(&self) -> Option<&[PathBuf]> {
        let is_file = |&top: &u32| self.listing.get(top).is_some_and(|entry| !entry.folder);
        self.listing.tops().iter().all(is_file).then_some(&self.roots)
    }

    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.listing.bytes()
    }

    /// How many files.
    pub fn files(&self) -> u64 {
        self.listing.files()
    }

    /// What was left out of folders.
    pub fn skipped(&self) -> Skipped {
        self.skipped
    }

    pub(crate) fn listing(&self) -> &Listing {
        &self.listing
    }

    /// Opens a file of the listing. Blocks.
    pub(crate) fn open_file(&self, entry: u32) -> Result<OpenFile, SourceError> {
        let shown = self.listing.shown(entry);
        let key = self.listing.get(entry).expect("checked by the caller").key;
        OpenFile::open(self.path(entry), shown, key)
    }

    fn path(&self, entry: u32) -> PathBuf {
        let mut names = Vec::new();
        let mut at = entry;
        while let Some(Entry { parent: Some(parent), name, .. }) = self.listing.get(at) {
            names.push(self.odd.get(&at).map_or(OsStr::new(name), OsString::as_os_str));
            at = parent;
        }
        let mut path = self.roots[self.listing.item_of(entry)].clone();
        path.extend(names.iter().rev());
        path
    }
}

struct Walk {
    builder: Builder,
    roots: Vec<PathBuf>,
    odd: HashMap<u32, OsString>,
    skipped: Skipped,
}

/// Something that was found and not looked into yet.
struct Found {
    path: PathBuf,
    name: OsString,
    parent: Option<u32>,
    metadata: Metadata,
}

impl Walk {
    fn new() -> Self {
        Self { builder: Builder::new(), roots: vec![], odd: HashMap::new(), skipped: Skipped::default() }
    }

    fn all(mut self, paths: &[PathBuf]) -> Result<Offer, OfferError> {
        if paths.is_empty() {
            return Err(OfferError::Nothing);
        }
        for path in paths {
            let failed = |error| io_error(path, error);
            let real = path.canonicalize().map_err(failed)?;
            let metadata = fs::symlink_metadata(&real).map_err(failed)?;
            // The name of a link, where one was named; `.` and `..` have none of their own.
            let name = path.file_name().or(real.file_name()).unwrap_or_default().to_owned();
            self.roots.push(real.clone());
            self.tree(Found { path: real, name, parent: None, metadata })?;
        }
        let Self { builder, roots, odd, skipped } = self;
        Ok(Offer { listing: builder.finish(), roots, odd, skipped })
    }

    fn tree(&mut self, top: Found) -> Result<(), OfferError> {
        let mut waiting = vec![top];
        while let Some(found) = waiting.pop() {
            if let Some((number, path)) = self.take(found)? {
                // Turned about, so that the first in order is looked into first.
                let inside = self.inside(number, &path)?;
                waiting.extend(inside.into_iter().rev());
            }
        }
        Ok(())
    }

    /// Takes a file or folder in; gives a folder back, to be looked into.
    fn take(&mut self, found: Found) -> Result<Option<(u32, PathBuf)>, OfferError> {
        let Found { path, name, parent, metadata } = found;
        let text = name.to_string_lossy();
        let file_name = FileName::parse(&text).map_err(|source| OfferError::Name { path: path.clone(), source })?;
        let folder = metadata.is_dir();
        if !folder && !metadata.is_file() {
            return Err(OfferError::NotRegular(path));
        }
        if !folder {
            // Better now than after an hour.
            rustix::fs::access(&path, rustix::fs::Access::READ_OK).map_err(|error| io_error(&path, error.into()))?;
        }
        let number = self.builder.push(Entry {
            name: file_name.as_str(),
            parent,
            folder,
            size: if folder { 0 } else { metadata.len() },
            modified: modified(&metadata),
            executable: !folder && metadata.permissions().mode() & 0o100 != 0,
            key: if folder { folder_key(&path, &metadata) } else { file_key(&path, &metadata) },
        })?;
        if matches!(text, std::borrow::Cow::Owned(_)) {
            self.odd.insert(number, name.clone());
        }
        Ok(folder.then_some((number, path)))
    }

    /// What is in a folder, in the order in which a listing has it.
    fn inside(&mut self, number: u32, folder: &Path) -> Result<Vec<Found>, OfferError> {
        let failed = |error| io_error(folder, error);
        let mut inside = Vec::new();
        for entry in fs::read_dir(folder).map_err(failed)? {
            let entry = entry.map_err(failed)?;
            let metadata = match entry.metadata() {
                // Removed between two looks.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                metadata => metadata.map_err(|error| io_error(&entry.path(), error))?,
            };
            if metadata.is_symlink() {
                self.skipped.links += 1;
            } else if !metadata.is_dir() && !metadata.is_file() {
                self.skipped.special += 1;
            } else {
                inside.push(Found { path: entry.path(), name: entry.file_name(), parent: Some(number), metadata });
            }
            if inside.len() > hypersend_protocol::limit::MAX_LISTING_ENTRIES as usize {
                return Err(ListingError::TooMany.into());
            }
        }
        inside.sort_by_cached_key(|found| found.name.to_string_lossy().into_owned());
        Ok(inside)
    }
}

fn io_error(path: &Path, source: io::Error) -> OfferError {
    let path = path.to_owned();
    match source.kind() {
        io::ErrorKind::NotFound => OfferError::NotFound(path),
        io::ErrorKind::PermissionDenied => OfferError::NoPermission(path),
        _ => OfferError::Io { path, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[tokio::test]
    async fn a_walk_finds_everything_but_links_and_pipes() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("trip");
        fs::create_dir_all(folder.join("b/deep")).unwrap();
        fs::write(folder.join("b/deep/x"), "12345").unwrap();
        fs::write(folder.join("a"), "1").unwrap();
        symlink("/etc/passwd", folder.join("link")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, folder.join("pipe"), rustix::fs::Mode::RWXU).unwrap();
        let link = dir.path().join("named");
        symlink(folder.join("a"), &link).unwrap();
        let offer = Offer::open(vec![folder.clone(), link]).await.unwrap();
        let shown: Vec<_> = (0..offer.listing.len()).map(|entry| offer.listing.shown(entry)).collect();
        assert_eq!(shown, ["trip", "trip/a", "trip/b", "trip/b/deep", "trip/b/deep/x", "named"]);
        assert_eq!(offer.skipped(), Skipped { links: 1, special: 1 });
        let top: Vec<_> = offer.top().into_iter().map(|file| (file.name.to_string(), file.size)).collect();
        assert_eq!(top, [("trip".to_owned(), 6), ("named".to_owned(), 1)]);
        assert_eq!(offer.path(4), folder.canonicalize().unwrap().join("b/deep/x"));
        offer.open_file(4).unwrap().check_unchanged().unwrap();
        let again = Offer::open(vec![folder.clone(), dir.path().join("named")]).await.unwrap();
        assert_eq!(again.listing.id(), offer.listing.id());
        fs::write(folder.join("b/deep/x"), "123456").unwrap();
        assert!(matches!(offer.open_file(4), Err(SourceError::Changed(file)) if file == "trip/b/deep/x"));
    }

    #[tokio::test]
    async fn what_cannot_be_offered_says_why() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        fs::write(&path, "").unwrap();
        assert!(matches!(Offer::open(vec![]).await, Err(OfferError::Nothing)));
        assert!(matches!(Offer::open(vec![dir.path().join("none")]).await, Err(OfferError::NotFound(_))));
        assert!(matches!(Offer::open(vec!["/dev/null".into()]).await, Err(OfferError::NotRegular(_))));
        let twice = Offer::open(vec![path.clone(), path.clone()]).await;
        assert!(matches!(twice, Err(OfferError::Listing(ListingError::Twice(_)))));
        fs::write(dir.path().join("a\\b"), "").unwrap();
        assert!(matches!(Offer::open(vec![dir.path().to_owned()]).await, Err(OfferError::Name { .. })));
    }
}
