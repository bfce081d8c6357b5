//! A copy of the journal's directory to look into, because the engine changes what it opens.
//!
//! The copy is removed when it is dropped. It is never synced and never served from.

use std::{
    fs,
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

/// Bytes of all files in a directory.
pub(crate) fn directory_bytes(path: &Path) -> Result<u64, PersistenceError> {
    let mut bytes = 0;
    for_each_file(path, &mut |file| {
        let length = fs::metadata(file).map_err(|source| PersistenceError::io("read", file, source))?.len();
        bytes += length;
        Ok(())
    })?;
    Ok(bytes)
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
pub(crate) type CopyFile<'a> = dyn Fn(&Path, &Path) -> std::io::Result<()> + 'a;

/// Copies the files of `from` to `to`, which must not be there. What a crash left half written is left out.
pub(crate) fn copy_directory(from: &Path, to: &Path) -> Result<(), PersistenceError> {
    copy_directory_with(from, to, &|file, target| fs::copy(file, target).map(|_bytes| ()))
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
