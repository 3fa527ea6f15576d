//! The disk below the data root.

use super::Finding;
use crate::{clock, services::KEEP_FREE, settings::Settings};
use hypersend_transfer::folder;
use std::{
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

/// With less than this, one upload of middling size is refused.
const LITTLE: u64 = 4 << 30;

/// Whether files can be written, flushed, and renamed from where they are under way to where they stay.
pub(super) fn data_root(settings: &Settings) -> Finding {
    let root = &settings.data_root;
    if !root.exists() {
        let says = format!("{} is not there yet: the server makes it at its first start", root.display());
        return Finding::warning("data root", says);
    }
    let existing = |path| if Path::exists(path) { path } else { root };
    let (uploads, files) = (settings.uploads(), settings.files());
    match try_out(existing(&uploads), existing(&files)) {
        Ok(()) => Finding::ok("data root", format!("{} takes files", root.display())),
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => Finding::failed(
            "data root",
            "uploads and files are on two file systems: put both on one, as a finished upload is renamed",
        ),
        Err(error) => {
            let says = format!("{} ({error}): let the server's account write there, on a sound disk", root.display());
            Finding::failed("data root", says)
        }
    }
}

fn try_out(uploads: &Path, files: &Path) -> io::Result<()> {
    let name = format!("doctor-{}", clock::new_id());
    let (from, to) = (uploads.join(&name), files.join(format!("{name}-renamed")));
    let tried = (|| {
        let mut file = File::create_new(&from)?;
        file.write_all(name.as_bytes())?;
        file.sync_all()?;
        fs::rename(&from, &to)?;
        File::open(files)?.sync_all()
    })();
    // Wherever it has come to, nothing of it stays.
    for path in [from, to] {
        drop(fs::remove_file(path));
    }
    tried
}

/// Whether there is room for uploads.
pub(super) fn free_space(settings: &Settings) -> Finding {
    let root = settings.data_root.ancestors().find(|path| path.exists()).unwrap_or(Path::new("."));
    match folder::free_bytes(root) {
        Err(error) => Finding::failed("free space", format!("{}: {error}", root.display())),
        Ok(free) => {
            let says = format!("{} MiB", free >> 20);
            match free {
                ..KEEP_FREE => Finding::failed("free space", format!("{says}: every upload is refused; make room")),
                KEEP_FREE..LITTLE => {
                    Finding::warning("free space", format!("{says}: large uploads are refused; make room"))
                }
                _ => Finding::ok("free space", says),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_was_tried_is_left() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings { data_root: folder.path().to_owned(), ..Settings::default() };
        assert!(data_root(&settings).to_string().starts_with("ok"));
        fs::create_dir(settings.uploads()).unwrap();
        fs::create_dir(settings.files()).unwrap();
        assert!(data_root(&settings).to_string().starts_with("ok"));
        let left =
            [folder.path(), &settings.uploads(), &settings.files()].map(|dir| fs::read_dir(dir).unwrap().count());
        assert_eq!(left, [2, 0, 0]);
    }

    #[test]
    fn a_folder_that_takes_no_files_is_found_out() {
        let folder = tempfile::tempdir().unwrap();
        // Nobody may write into a file as if it were a folder, not even root.
        let settings = Settings { data_root: folder.path().join("file"), ..Settings::default() };
        fs::write(&settings.data_root, "").unwrap();
        assert!(data_root(&settings).is_failure());
    }
}
