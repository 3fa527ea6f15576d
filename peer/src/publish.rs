//! Names at the destination. Everything blocks.
//!
//! A thing is moved to its destination by one rename, and never over something: the next name that is free is taken, as
//! "film (2).mkv". Once everything of a transfer has been moved, a note says so until the parts beside it are cleared away.
//! What is noted holds for the list of files that it was written for: a folder with another file in it is another thing.

use crate::{
    listing::Listing,
    part::{Part, replace},
    receiving::ReceiveError,
};
use data_encoding::HEXLOWER;
use hypersend_protocol::{hash::ListingId, limit::MAX_FILE_NAME_BYTES};
use hypersend_transfer::folder::{rename_new, sync_dir};
use serde::{Deserialize, Serialize};
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Names that are tried for one thing.
const MAX_NAMES: u32 = 10_000;

/// Where a thing was moved before a crash, if it was, and was what it is now.
pub(crate) fn published_before(part: &Part, destination: &Path, id: &[u8; 32]) -> Option<PathBuf> {
    let place = part.publishing(id).map(|name| destination.join(name));
    let moved = place.filter(|place| part.item().symlink_metadata().is_err() && place.symlink_metadata().is_ok());
    if moved.is_none() {
        // It was not moved yet, has been taken away from there since, or has changed at the sender.
        let _ = part.begin_anew();
    }
    moved
}

/// Moves an assembled thing to its destination, under its name or the next that is free.
pub(crate) fn publish(
    part: &Part,
    destination: &Path,
    name: &str,
    folder: bool,
    id: &[u8; 32],
) -> Result<PathBuf, ReceiveError> {
    for number in 1..=MAX_NAMES {
        let name = numbered(name, number, folder);
        let place = destination.join(&name);
        if place.symlink_metadata().is_ok() {
            continue;
        }
        part.about_to_publish(id, &name).map_err(|error| ReceiveError::io(part.dir(), error))?;
        match rename_new(&part.item(), &place) {
            // Somebody was quicker, or the disk takes two names for the same.
            Err(error) if matches!(error.kind(), io::ErrorKind::AlreadyExists | io::ErrorKind::DirectoryNotEmpty) => {}
            Err(error) => return Err(ReceiveError::io(&place, error)),
            Ok(()) => {
                // From here on it is where it belongs, whatever the disk says to this.
                let _ = sync_dir(destination);
                return Ok(place);
            }
        }
    }
    Err(ReceiveError::Collision(destination.join(name)))
}

/// "film.mkv", "film (2).mkv", "film (3).mkv"; for a folder the number comes last.
fn numbered(name: &str, number: u32, folder: bool) -> String {
    if number == 1 {
        return name.to_owned();
    }
    let dot = name.rfind('.').filter(|&dot| dot > 0 && !folder).unwrap_or(name.len());
    let (stem, extension) = name.split_at(dot);
    let number = format!(" ({number})");
    // A name that is all extension is cut there, after all.
    let room = MAX_FILE_NAME_BYTES - number.len();
    let extension = &extension[..extension.floor_char_boundary(room.min(extension.len()))];
    let stem = &stem[..stem.floor_char_boundary((room - extension.len()).min(stem.len()))];
    format!("{stem}{number}{extension}")
}

/// The note that everything was moved.
#[derive(Debug)]
pub(crate) struct Note {
    destination: PathBuf,
    name: String,
    listing: ListingId,
}

/// What stands in it.
#[derive(Debug, Serialize, Deserialize)]
struct Written {
    listing: ListingId,
    /// Names in the destination, in the order of the offer.
    names: Vec<String>,
}

impl Note {
    /// The note of one transfer: of the things in this list, from this sender.
    pub(crate) fn of(destination: &Path, sender: &[u8; 32], listing: &Listing) -> Self {
        let mut hasher = blake3::Hasher::new_derive_key("hypersend 2026 peer: note of a finished transfer");
        hasher.update(sender);
        for &top in listing.tops() {
            hasher.update(&listing.get(top).expect("an entry").key.0);
        }
        let digits = HEXLOWER.encode(&hasher.finalize().as_bytes()[..8]);
        Self { destination: destination.to_owned(), name: format!(".direct-{digits}.done"), listing: listing.id() }
    }

    /// Where everything was moved, if that is noted of this very list, and all of it is still there.
    pub(crate) fn read(&self) -> Option<Vec<PathBuf>> {
        let places = self.noted().filter(|places| places.iter().all(|place| place.symlink_metadata().is_ok()));
        if places.is_none() {
            let _ = self.remove();
        }
        places
    }

    fn noted(&self) -> Option<Vec<PathBuf>> {
        let written: Written = serde_json::from_slice(&fs::read(self.path()).ok()?).ok()?;
        let names = Some(written.names).filter(|_| written.listing == self.listing)?;
        Some(names.iter().map(|name| self.destination.join(name)).collect())
    }

    pub(crate) fn write(&self, places: &[PathBuf]) -> io::Result<()> {
        let names = places.iter().filter_map(|place| Some(place.file_name()?.to_str()?.to_owned())).collect();
        let written = Written { listing: self.listing, names };
        replace(&self.destination, &self.name, &serde_json::to_vec(&written)?)
    }

    pub(crate) fn remove(&self) -> io::Result<()> {
        fs::remove_file(self.path())
    }

    fn path(&self) -> PathBuf {
        self.destination.join(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_numbered_before_the_extension_and_stay_short_enough() {
        assert_eq!(numbered("film.mkv", 1, false), "film.mkv");
        assert_eq!(numbered("film.mkv", 2, false), "film (2).mkv");
        assert_eq!(numbered("trip.2024", 2, true), "trip.2024 (2)");
        assert_eq!(numbered(".profile", 3, false), ".profile (3)");
        assert_eq!(numbered("README", 2, false), "README (2)");
        let long = numbered(&format!("{}.mkv", "ü".repeat(125)), 10_000, false);
        assert!(long.len() <= MAX_FILE_NAME_BYTES && long.ends_with("ü (10000).mkv"), "{long}");
        assert!(numbered(&format!("a.{}", "x".repeat(253)), 2, false).len() <= MAX_FILE_NAME_BYTES);
    }
}
