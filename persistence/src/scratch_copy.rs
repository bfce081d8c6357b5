//! A copy of a directory of the journal's or the books' to look into, because the engine changes what it opens.
//!
//! The copy is removed when it is dropped. It is never synced and never served from.

use rustix::{
    fs::{SeekFrom, seek},
    io::Errno,
};
use std::{
    fs::{self, File},
    io::{self, Read, Seek},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use crate::error::PersistenceError;

/// A copied directory.
#[derive(Debug)]
pub(crate) struct ScratchCopy {
    path: PathBuf,
}

impl ScratchCopy {
    /// Copies the files of `from` to `to`, which is emptied first. What a crash left half written is left out.
    pub(crate) fn make(from: &Path, to: &Path) -> Result<Self, PersistenceError> {
        Self::remove_leftover(to)?;
        let copy = Self { path: to.to_path_buf() };
        copy_directory(from, to)?;
        Ok(copy)
    }

    /// As [`Self::make`], with each file copied by `copy_file`.
    pub(crate) fn make_with(
        from: &Path,
        to: &Path,
        copy_file: &CopyFile<'_>,
    ) -> Result<Self, PersistenceError> {
        Self::remove_leftover(to)?;
        let copy = Self { path: to.to_path_buf() };
        copy_directory_with(from, to, copy_file)?;
        Ok(copy)
    }

    /// Removes a copy that a crash left behind.
    pub(crate) fn remove_leftover(path: &Path) -> Result<(), PersistenceError> {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(PersistenceError::io("remove", path, error))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for ScratchCopy {
    fn drop(&mut self) {
        if let Err(error) = Self::remove_leftover(&self.path) {
            tracing::warn!(%error, "a copy made for checking is left behind");
        }
    }
}

/// Bytes of all files in a directory, with their holes.
pub(crate) fn directory_bytes(path: &Path) -> Result<u64, PersistenceError> {
    sum_of_files(path, &|_, metadata| metadata.len())
}

/// Bytes that the files in a directory take on disk, of those that count: holes take none.
pub(crate) fn allocated_bytes(path: &Path, counts: &dyn Fn(&Path) -> bool) -> Result<u64, PersistenceError> {
    sum_of_files(path, &|file, metadata| if counts(file) { metadata.blocks() * 512 } else { 0 })
}

fn sum_of_files(
    path: &Path,
    bytes_of: &dyn Fn(&Path, &fs::Metadata) -> u64,
) -> Result<u64, PersistenceError> {
    let mut bytes = 0;
    for_each_file(path, &mut |file| {
        let metadata = fs::metadata(file).map_err(|source| PersistenceError::io("read", file, source))?;
        bytes += bytes_of(file, &metadata);
        Ok(())
    })?;
    Ok(bytes)
}

/// Copies a file, but for its holes: the books' engine makes a file of 64 MiB of which it mostly uses little.
pub(crate) fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    let (source, target) = (File::open(from)?, File::create(to)?);
    let length = source.metadata()?.len();
    let mut at = 0;
    while at < length {
        let data = match seek(&source, SeekFrom::Data(at)) {
            // Nothing but a hole is left.
            Err(Errno::NXIO) => break,
            found => found?,
        };
        let end = seek(&source, SeekFrom::Hole(data))?;
        (&source).seek(io::SeekFrom::Start(data))?;
        (&target).seek(io::SeekFrom::Start(data))?;
        io::copy(&mut (&source).take(end - data), &mut &target)?;
        at = end;
    }
    target.set_len(length)
}

/// Calls `visit` with each file in a directory and in the directories below it.
pub(crate) fn for_each_file(
    path: &Path,
    visit: &mut dyn FnMut(&Path) -> Result<(), PersistenceError>,
) -> Result<(), PersistenceError> {
    let fault = |source| PersistenceError::io("list", path, source);
    for entry in fs::read_dir(path).map_err(fault)? {
        let entry = entry.map_err(fault)?;
        if entry.file_type().map_err(fault)?.is_dir() {
            for_each_file(&entry.path(), visit)?;
        } else {
            visit(&entry.path())?;
        }
    }
    Ok(())
}

/// Brings a file to another place.
pub(crate) type CopyFile<'a> = dyn Fn(&Path, &Path) -> io::Result<()> + 'a;

/// Copies the files of `from` to `to`, which must not be there. What a crash left half written is left out.
pub(crate) fn copy_directory(from: &Path, to: &Path) -> Result<(), PersistenceError> {
    copy_directory_with(from, to, &copy_file)
}

fn copy_directory_with(from: &Path, to: &Path, copy_file: &CopyFile<'_>) -> Result<(), PersistenceError> {
    fs::create_dir(to).map_err(|source| PersistenceError::io("create", to, source))?;
    let fault = |source| PersistenceError::io("list", from, source);
    for entry in fs::read_dir(from).map_err(fault)? {
        let entry = entry.map_err(fault)?;
        let target = to.join(entry.file_name());
        if entry.file_type().map_err(fault)?.is_dir() {
            copy_directory_with(&entry.path(), &target, copy_file)?;
        } else if !entry.file_name().to_string_lossy().ends_with(".generating") {
            copy_file(&entry.path(), &target)
                .map_err(|source| PersistenceError::io("copy for checking", &entry.path(), source))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn a_copied_file_has_the_same_bytes_and_its_holes_stay_holes() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name| directory.path().join(name);
        for (number, (length, pieces)) in [
            (0_u64, vec![]),
            (10_000, vec![]),
            (10, vec![(0, 10)]),
            (64 << 20, vec![(0, 3_000)]),
            (64 << 20, vec![(20 << 20, 70_000), (40 << 20, 1), ((64 << 20) - 1, 1)]),
        ]
        .into_iter()
        .enumerate()
        {
            let (from, to) = (path(format!("from{number}")), path(format!("to{number}")));
            let file = File::create(&from).unwrap();
            file.set_len(length).unwrap();
            for (at, count) in &pieces {
                file.write_all_at(&vec![7; *count], *at).unwrap();
            }
            copy_file(&from, &to).unwrap();
            assert!(fs::read(&from).unwrap() == fs::read(&to).unwrap(), "{length}: {pieces:?}");
            let (taken, copied) =
                (fs::metadata(&from).unwrap().blocks(), fs::metadata(&to).unwrap().blocks());
            assert!(copied <= taken + 256, "{length}: {pieces:?}: {copied} blocks for {taken}");
        }
    }

    #[test]
    fn what_files_take_is_summed_below_a_directory_with_or_without_their_holes() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("below")).unwrap();
        let file = |name: &str, length: u64| {
            let file = File::create(directory.path().join(name)).unwrap();
            file.write_all_at(&vec![7; 20_000], 0).unwrap();
            file.set_len(length).unwrap();
            file.sync_all().unwrap();
            file.metadata().unwrap().blocks() * 512
        };
        let (whole, mostly_hole) = (file("whole", 20_000), file("below/mostly-hole", 64 << 20));
        assert_eq!(directory_bytes(directory.path()).unwrap(), 20_000 + (64 << 20));
        assert_eq!(allocated_bytes(directory.path(), &|_| true).unwrap(), whole + mostly_hole);
        let only_one = |file: &Path| file.ends_with("whole");
        assert_eq!(allocated_bytes(directory.path(), &only_one).unwrap(), whole);
    }
}
