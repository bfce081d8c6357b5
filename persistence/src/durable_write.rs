//! Making files and names outlive a power cut.
//!
//! A new file is durable only when its bytes and the directory that names it are both synced. Nothing here retries a sync that
//! failed: after one, the pages may be marked clean without being on disk.

use std::{
    fs::{self, File},
    io::Write,
    path::Path,
};

use crate::error::PersistenceError;

/// Syncs the names in a directory.
pub(crate) fn sync_directory(path: &Path) -> Result<(), PersistenceError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(|source| PersistenceError::io("sync the directory", path, source))
}

/// Writes a whole small file so that after a crash it is there with all its bytes, or not there at all.
pub(crate) fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), PersistenceError> {
    let unfinished = path.with_extension("unfinished");
    let write = || {
        let mut file = File::create(&unfinished)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&unfinished, path)
    };
    write().map_err(|source| PersistenceError::io("write", path, source))?;
    sync_directory(path.parent().unwrap_or(Path::new(".")))
}

/// Makes an empty file, which is there after a crash or is not.
pub(crate) fn make_durably(path: &Path) -> Result<(), PersistenceError> {
    let made = File::create(path).and_then(|file| file.sync_all());
    made.map_err(|source| PersistenceError::io("write", path, source))?;
    sync_directory(path.parent().unwrap_or(Path::new(".")))
}

/// Removes a file if it is there, durably. Says whether it was.
pub(crate) fn remove_durably(path: &Path) -> Result<bool, PersistenceError> {
    match fs::remove_file(path) {
        Ok(()) => sync_directory(path.parent().unwrap_or(Path::new("."))).map(|()| true),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(PersistenceError::io("remove", path, source)),
    }
}
