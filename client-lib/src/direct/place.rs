//! Where a file from the server goes, and what of it is here already. Everything blocks.

use crate::download::folder_beside;
use hypersend_peer::{Arrived, Remains};
use hypersend_protocol::{file::FileInfo, hash::RootHash, p2p::OfferedFile};
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

/// Finds the place, and brings there what has come from the sender itself before it turned to the server: a whole
/// file to its place, chunks to where the download looks for them. Gives back what is of no use once the file is
/// there. Chunks that are not the server's are fetched again, and so is what cannot be brought: neither is an error.
pub(super) fn prepare(
    folder: &Path,
    sender: &[u8; 32],
    offered: &OfferedFile,
    file: &FileInfo,
) -> (Place, Option<Remains>) {
    let place = place_for(folder, offered.name.as_str(), offered.size, file.root);
    let remains = Remains::find(folder, sender, offered).unwrap_or_else(|error| {
        tracing::debug!(%error, folder = %folder.display(), "what has arrived is not looked for");
        None
    });
    let Some(remains) = remains else { return (place, None) };
    let (brought, to) = match (&place, remains.arrived()) {
        (Place::Free(free), Arrived::Whole(root)) if root == file.root => (Place::Here(free.clone()), free.clone()),
        (Place::Free(free), Arrived::Begun(plan)) if is_cut_alike(plan, file) => {
            (Place::Free(free.clone()), folder_beside(free, file.id))
        }
        // There already, or changed at its sender.
        _ => return (place, Some(remains)),
    };
    match remains.move_to(&to) {
        Ok(()) => (brought, None),
        // Somebody was quicker, or the download had begun before.
        Err(error) => {
            tracing::debug!(%error, to = %to.display(), "what has arrived is not moved");
            (place, None)
        }
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
