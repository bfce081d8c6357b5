//! How much room a file system has left.
//!
//! It only asks; what to do about little room is decided by whoever asks.

use std::path::Path;

use crate::error::PersistenceError;

/// Bytes that an unprivileged process can still write on the file system that holds `path`.
pub fn free_bytes(path: &Path) -> Result<u64, PersistenceError> {
    let space = rustix::fs::statvfs(path)
        .map_err(|errno| PersistenceError::io("ask for the free space of", path, errno.into()))?;
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn free_space_is_known_where_a_directory_is_and_an_error_where_none_is() {
        let directory = tempfile::tempdir().unwrap();
        assert!(free_bytes(directory.path()).unwrap() > 0);
        let missing = directory.path().join("missing");
        assert!(free_bytes(&missing).unwrap_err().to_string().contains("missing"));
    }
}
