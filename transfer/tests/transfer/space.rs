//! A disk that is too full. Needs a small file system of its own: a tmpfs, which only root can mount.

use crate::support::{Fixture, MIB, stored};
use hypersend_transfer::{
    TransferFolder,
    folder::{CreateError, StoreError, free_bytes},
};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use std::{
    env,
    fs::{self, File},
    path::{Path, PathBuf},
};

struct SmallDisk(PathBuf);

impl SmallDisk {
    /// By the system call: a `mount` command, started while other tests run, would inherit their folders' locks for a moment.
    fn mount(at: &Path) -> Option<Self> {
        match mount("tmpfs", at, "tmpfs", MountFlags::empty(), c"size=8m") {
            Ok(()) => Some(Self(at.to_owned())),
            Err(error) => {
                assert!(env::var_os("CI").is_none(), "CI must not skip this: {error}");
                println!("skipped: mounting a tmpfs needs root: {error}");
                None
            }
        }
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        unmount(&self.0, UnmountFlags::DETACH).expect("it was mounted");
    }
}

#[test]
fn a_file_that_does_not_fit_is_refused_with_what_is_missing() {
    let fixture = Fixture::new(20 * MIB, MIB);
    let Some(disk) = SmallDisk::mount(fixture.temp.path()) else { return };
    let free = free_bytes(&disk.0).unwrap();
    let Err(CreateError::NoSpace(no_space)) = TransferFolder::create(&fixture.dir(), fixture.manifest()) else {
        panic!("20 MiB fit on a disk of 8 MiB");
    };
    assert_eq!(no_space.needed, 20 * MIB);
    assert!(no_space.missing() >= 20 * MIB - free);
    assert!(no_space.to_string().contains("bytes are needed"), "{no_space}");
    assert!(!fixture.dir().exists());
    assert_eq!(free_bytes(&disk.0).unwrap(), free);
}

#[test]
fn a_disk_that_fills_half_way_keeps_what_landed() {
    let fixture = Fixture::new(5 * MIB, MIB);
    let Some(disk) = SmallDisk::mount(fixture.temp.path()) else { return };
    let folder = fixture.create();
    // As on a file system that cannot reserve: the content is sparse, and somebody else takes the room.
    let content = File::options().write(true).open(fixture.path("content")).unwrap();
    content.set_len(0).unwrap();
    content.set_len(5 * MIB).unwrap();
    fixture.store_chunks(&folder, [0, 1]);
    let hog = disk.0.join("hog");
    let free = usize::try_from(free_bytes(&disk.0).unwrap()).unwrap();
    fs::write(&hog, vec![0; free - 100_000]).unwrap();

    let refused = fixture.store(&folder, fixture.spans()[2]);
    assert!(matches!(refused, Err(StoreError::NoSpace(no_space)) if no_space.missing() > 900_000), "{refused:?}");
    assert_eq!(stored(&folder.map()), [0, 1]);
    fs::remove_file(hog).unwrap();
    fixture.store_missing(&folder);
    folder.seal(Some(fixture.root())).unwrap();
}
