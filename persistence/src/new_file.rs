//! A large file that is made for somebody: under a name that ends in `.unfinished` until all of it is on disk, and never in the place
//! of another one.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
};

use crate::{durable_write::sync_directory, error::PersistenceError};

/// A file that has its own name once it is kept; dropped before, it is removed.
#[derive(Debug)]
pub struct NewFile {
    path: PathBuf,
    unfinished: PathBuf,
    is_kept: bool,
}

impl NewFile {
    /// Makes the file that will be at `path`, where nothing may be yet, and opens it for writing.
    pub fn create(path: &Path) -> Result<(Self, File), PersistenceError> {
        if path.symlink_metadata().is_ok() {
            return Err(PersistenceError::Exists { path: path.to_path_buf() });
        }
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(".unfinished");
        let unfinished = path.with_file_name(name);
        let file =
            File::create(&unfinished).map_err(|source| PersistenceError::io("write", &unfinished, source))?;
        Ok((Self { path: path.to_path_buf(), unfinished, is_kept: false }, file))
    }

    /// Where it is while it is written.
    pub fn unfinished(&self) -> &Path {
        &self.unfinished
    }

    /// Gives the file its name. When it returns, all of it survives a power loss. Returns its length.
    pub fn keep(mut self, file: &File) -> Result<u64, PersistenceError> {
        let synced = file.sync_all().and_then(|()| file.metadata());
        let metadata = synced.map_err(|source| PersistenceError::io("write", &self.unfinished, source))?;
        let here = rustix::fs::CWD;
        let flags = rustix::fs::RenameFlags::NOREPLACE;
        match rustix::fs::renameat_with(here, &self.unfinished, here, &self.path, flags) {
            Ok(()) => self.is_kept = true,
            Err(rustix::io::Errno::EXIST) => {
                return Err(PersistenceError::Exists { path: self.path.clone() });
            }
            Err(errno) => return Err(PersistenceError::io("name", &self.path, errno.into())),
        }
        let above = self.path.parent().filter(|above| !above.as_os_str().is_empty());
        sync_directory(above.unwrap_or(Path::new(".")))?;
        Ok(metadata.len())
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.is_kept
            && let Err(error) = fs::remove_file(&self.unfinished)
        {
            tracing::warn!(%error, path = %self.unfinished.display(), "an unfinished file is left behind");
        }
    }
}
