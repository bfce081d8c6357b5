//! Small file systems of their own, which can be filled and frozen. They take root; where none may be mounted, a test says that it is
//! skipped, or fails if the environment says that it must not be.

use crate::server::run;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Set to 1, a test that may not mount anything, or act for another user, fails instead of being skipped.
const REQUIRED: &str = "BURSAR_TEST_REQUIRE_MOUNT";

/// What is mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileSystem {
    /// In memory.
    Tmpfs,
    /// A real one, in a file.
    Ext4,
}

/// A file system that is mounted until this is dropped.
#[derive(Debug)]
pub(crate) struct SmallDisk {
    place: PathBuf,
    mounted: bool,
    frozen: bool,
}

impl SmallDisk {
    /// Mounts a new one of so many MiB; `None` where that is not permitted, which was said then.
    pub(crate) fn mount(kind: FileSystem, mebibytes: u64) -> Option<Self> {
        let place = tempfile::tempdir().expect("a temporary directory").keep();
        let mut disk = Self { place, mounted: false, frozen: false };
        std::fs::create_dir(disk.path()).expect("the directory is ours");
        let mounted = match kind {
            FileSystem::Tmpfs => {
                let size = format!("size={mebibytes}m");
                succeed(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(disk.path()))
            }
            FileSystem::Ext4 => {
                let image = disk.place.join("image");
                File::create(&image)
                    .and_then(|file| file.set_len(mebibytes << 20))
                    .expect("the directory is ours");
                succeed(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0"]).arg(&image)).and_then(|()| {
                    succeed(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(disk.path()))
                })
            }
        };
        if let Err(reason) = mounted {
            skip(&format!("no {kind:?} may be mounted here: {reason}"));
            return None;
        }
        disk.mounted = true;
        Some(disk)
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.place.join("disk")
    }

    /// Whatever is written or synced from now on waits.
    pub(crate) fn freeze(&mut self) {
        succeed(Command::new("fsfreeze").arg("--freeze").arg(self.path())).expect("an ext4 can be frozen");
        self.frozen = true;
    }

    /// What waits goes on.
    pub(crate) fn thaw(&mut self) {
        succeed(Command::new("fsfreeze").arg("--unfreeze").arg(self.path())).expect("it is frozen");
        self.frozen = false;
    }

    /// Takes all that is left, until the returned file is removed.
    pub(crate) fn put_ballast_into_the_rest(&self) -> PathBuf {
        let path = self.path().join("filler");
        let mut filler = File::create(&path).expect("a file without content takes no room");
        for size in [1 << 16, 1 << 12, 1] {
            while filler.write(&vec![1; size]).is_ok_and(|written| written == size) {}
        }
        path
    }

    /// Takes all but so many MiB, until the returned file is removed.
    pub(crate) fn put_ballast_but_for(&self, mebibytes: u64) -> PathBuf {
        let ballast = self.path().join("ballast");
        let free = persistence::free_bytes(&self.path()).expect("it is mounted");
        let bytes = free.checked_sub(mebibytes << 20).expect("the disk is larger than what is to be left");
        std::fs::write(&ballast, vec![1; usize::try_from(bytes).expect("it is small")])
            .expect("there is room for the ballast");
        ballast
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        if self.frozen {
            self.thaw();
        }
        if self.mounted {
            run(Command::new("umount").arg("--lazy").arg(self.path()));
        }
        remove_mount_point(&self.path());
        // An image, if there was one, is still held by the loop device that goes with the last user of it.
        let _removed = std::fs::remove_dir_all(&self.place);
    }
}

/// Says that a test is skipped, and why; or fails, where nothing may be skipped.
pub(crate) fn skip(reason: &str) {
    let required = std::env::var(REQUIRED).is_ok_and(|value| value == "1");
    assert!(!required, "{REQUIRED}=1, and {reason}");
    // Not `eprintln!`, which is only shown of tests that fail.
    let said = writeln!(std::io::stderr(), "SKIPPED: {reason} ({REQUIRED}=1 makes this an error)");
    said.expect("standard error is open");
}

/// If it could not be unmounted, nothing below it is removed.
fn remove_mount_point(path: &Path) {
    let _removed = std::fs::remove_dir(path);
}

fn succeed(command: &mut Command) -> Result<(), String> {
    match command.output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
        Err(error) => Err(format!("{}: {error}", command.get_program().display())),
    }
}
