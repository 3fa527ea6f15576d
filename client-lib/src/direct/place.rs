//! Where a file from the server goes, and what of it is here already. Everything blocks.

use crate::download::folder_beside;
use hypersend_peer::{Arrived, Remains};
use hypersend_protocol::{
    file::FileInfo,
    hash::{ChunkValue, RootHash},
    id::FileId,
    p2p::OfferedFile,
};
use hypersend_transfer::plan::ChunkPlan;
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

/// Where a file goes.
pub(super) enum Place {
    /// Nothing is there.
    Free(PathBuf),
    /// This very file is there already.
    Here(PathBuf),
}

/// How much of what has arrived is a file's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Share {
    /// Chunks that are the file's.
    same: u32,
    /// Chunks that are not, and are lost once it goes on as the file.
    other: u32,
}

impl Share {
    const WHOLE: Self = Self { same: u32::MAX, other: 0 };

    fn of(there: &[Option<ChunkValue>], values: &[ChunkValue]) -> Self {
        let count = |chunks: usize| u32::try_from(chunks).expect("no more than there are chunks");
        let same = there.iter().zip(values).filter(|(there, value)| there.as_ref() == Some(value)).count();
        Self { same: count(same), other: count(there.iter().flatten().count() - same) }
    }

    /// Chunks that are won, less those that are lost. `None` where it is rather another file: what is lost of that would
    /// be fetched again.
    fn gain(self) -> Option<u32> {
        self.same.checked_sub(self.other)
    }
}

/// Finds the place, and brings there what has come from the sender itself before it turned to the server: a whole
/// file to its place, chunks to where the download looks for them. What is the file's is judged by its hash and by its
/// chunks' values, which are needed where it is of more than one range. Gives back what is of no use once the file is
/// there, and leaves what may be another file's. Chunks that are not the server's are fetched again, and so is what
/// cannot be brought: neither is an error.
pub(super) fn prepare(
    folder: &Path,
    sender: &[u8; 32],
    offered: &OfferedFile,
    file: &FileInfo,
    values: &[ChunkValue],
) -> (Place, Vec<Remains>) {
    let find_place = || place_for(folder, offered.name.as_str(), offered.size, file.root);
    let place = find_place();
    let found = Remains::find(folder, sender, offered).unwrap_or_else(|error| {
        tracing::debug!(%error, folder = %folder.display(), "what has arrived is not looked for");
        vec![]
    });
    let judged = found.into_iter().filter_map(|remains| Some((share(&remains, file, values)?, remains)));
    let mut ours: Vec<_> = judged.filter(|(share, _)| share.gain().is_some()).collect();
    ours.sort_by_key(|(share, _)| share.gain());
    let place = match place {
        Place::Free(free) => match ours.pop() {
            Some((share, best)) => bring(best, free, file.id).unwrap_or_else(|(best, error)| {
                // Somebody was quicker, or the download had begun before.
                tracing::debug!(%error, "what has arrived is not moved");
                ours.push((share, best));
                find_place()
            }),
            None => Place::Free(free),
        },
        here @ Place::Here(_) => here,
    };
    let of_no_use = ours.into_iter().filter(|(share, _)| share.other == 0).map(|(_, remains)| remains);
    (place, of_no_use.collect())
}

/// `None` where nothing can be the file's.
fn share(remains: &Remains, file: &FileInfo, values: &[ChunkValue]) -> Option<Share> {
    match remains.arrived() {
        Arrived::Whole(root) => (root == file.root).then_some(Share::WHOLE),
        Arrived::Begun(folder) if is_cut_alike(folder.plan(), file) => match folder.values() {
            Ok(there) => Some(Share::of(&there, values)),
            Err(error) => {
                tracing::debug!(%error, folder = %folder.dir().display(), "what has arrived is not used");
                None
            }
        },
        Arrived::Begun(_) => None,
    }
}

fn bring(remains: Remains, free: PathBuf, file: FileId) -> Result<Place, (Remains, io::Error)> {
    match remains.arrived() {
        Arrived::Whole(_) => remains.move_to(&free).map(|()| Place::Here(free)),
        Arrived::Begun(_) => remains.move_to(&folder_beside(&free, file)).map(|()| Place::Free(free)),
    }
}

fn is_cut_alike(plan: ChunkPlan, file: &FileInfo) -> bool {
    ChunkPlan::parse(file.size, file.chunk_size).is_ok_and(|of_file| of_file == plan)
}

/// The name itself, or with a number, whichever is free or the file itself. Reads what is there, if it is as long.
fn place_for(folder: &Path, name: &str, size: u64, root: RootHash) -> Place {
    let (stem, end) = match name.rfind('.').filter(|&at| at > 0) {
        Some(dot) => name.split_at(dot),
        None => (name, ""),
    };
    let numbered = (2_u64..).map(|n| folder.join(format!("{stem} ({n}){end}")));
    let mut names = std::iter::once(folder.join(name)).chain(numbered);
    let place = names.find_map(|place| match place.symlink_metadata() {
        Ok(there) if there.is_file() && there.len() == size && root_of(&place).is_ok_and(|there| there == root) => {
            Some(Place::Here(place))
        }
        Ok(_) => None,
        // Free, or the download says why it cannot be used.
        Err(_) => Some(Place::Free(place)),
    });
    place.expect("there are fewer files than numbers")
}

fn root_of(path: &Path) -> io::Result<RootHash> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(File::open(path)?)?;
    Ok(RootHash(hasher.finalize().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values for letters, none for dots.
    fn there(chunks: &str) -> Vec<Option<ChunkValue>> {
        chunks.bytes().map(|chunk| (chunk != b'.').then_some(ChunkValue([chunk; 32]))).collect()
    }

    #[test]
    fn what_is_lost_of_another_file_counts_against_what_is_won() {
        let values: Vec<_> = there("abcdef").into_iter().flatten().collect();
        let gain = |chunks| Share::of(&there(chunks), &values).gain();
        assert_eq!((gain("abcdef"), gain("abc..."), gain("......")), (Some(6), Some(3), Some(0)));
        // A file that has changed a little, or another one that begins alike.
        assert_eq!((gain("abcxx."), gain("abxx.."), gain("abxxx.")), (Some(1), Some(0), None));
        assert!(Share::WHOLE.gain() > gain("abcdef"));
        assert_eq!(Share::of(&there("abcx.."), &values), Share { same: 3, other: 1 });
    }
}
