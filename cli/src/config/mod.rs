//! What stays between runs: one folder for one account.
//!
//! The folder is made with mode 0700, its files with 0600. A file is replaced as a whole (written beside, flushed,
//! renamed), so that whoever reads it, after whatever crash, finds the old one or the new one.

mod credentials;
mod known_hosts;
mod pending;

pub(crate) use credentials::{Account, CredentialStore, Login};
pub(crate) use known_hosts::Known;

use crate::failure::Failure;
use std::{
    env,
    fs::{self, DirBuilder, File, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

/// The folder.
#[derive(Clone, Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    /// The folder that was wanted, or the usual one; made when it is not there.
    pub(crate) fn open(wanted: Option<PathBuf>) -> Result<Self, Failure> {
        let path = wanted.or_else(usual).ok_or_else(|| {
            Failure::usage("there is no folder for the login: neither HOME nor HYPERSEND_CONFIG_DIR is set")
                .or_try("--config-dir DIR")
        })?;
        make(&path).map_err(|error| Failure::local("make the folder", &path, &error))?;
        Ok(Self(path))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Reads a file that may be missing.
    fn read(&self, name: &str) -> io::Result<Option<String>> {
        match fs::read_to_string(self.file(name)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces a file; it survives a crash when this returns. Two at once must be kept apart by the caller.
    fn replace(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let beside = self.file(&format!(".{name}.new"));
        let mut file = private().create(true).truncate(true).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&beside, self.file(name))?;
        File::open(&self.0)?.sync_all()
    }
}

fn usual() -> Option<PathBuf> {
    let set = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    set("HYPERSEND_CONFIG_DIR")
        .or_else(|| set("XDG_CONFIG_HOME").filter(|path| path.is_absolute()).map(|config| config.join("hypersend")))
        .or_else(|| set("HOME").map(|home| home.join(".config/hypersend")))
}

fn make(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// How a file is opened that is nobody else's business.
fn private() -> OpenOptions {
    let mut options = File::options();
    options.read(true).write(true).mode(0o600);
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn the_folder_and_its_files_are_private() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(Some(dir.path().join("a/b"))).unwrap();
        folder.replace("x", b"1").unwrap();
        folder.replace("x", b"22").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(folder.path()), 0o700);
        assert_eq!(mode(&folder.file("x")), 0o600);
        assert_eq!(folder.read("x").unwrap().as_deref(), Some("22"));
        assert_eq!(folder.read("y").unwrap(), None);
    }

    #[test]
    fn a_crash_while_replacing_leaves_the_old_file() {
        let dir = tempfile::tempdir().unwrap();
        let folder = Folder::open(Some(dir.path().to_owned())).unwrap();
        folder.replace("x", b"old").unwrap();
        fs::write(folder.file(".x.new"), "ha").unwrap();
        assert_eq!(folder.read("x").unwrap().as_deref(), Some("old"));
        folder.replace("x", b"new").unwrap();
        assert_eq!(folder.read("x").unwrap().as_deref(), Some("new"));
        assert!(!folder.file(".x.new").exists());
    }
}
