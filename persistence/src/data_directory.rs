//! The data directory: who may use it, which format it has, and where its parts lie.
//!
//! | name       | what it is                                                                              |
//! |------------|-----------------------------------------------------------------------------------------|
//! | `LOCK`     | locked by the process that uses the directory; holds its pid, for the message only      |
//! | `VERSION`  | `bursar data format 1` and a line feed; written last, so that it completes creation      |
//! | `RESTORING` | there while the directory is made of a backup, until `VERSION` is                      |
//! | `CLEAN`    | there only after a clean stop                                                           |
//! | `head`     | the newest acknowledged entry                                                           |
//! | `journal/` | the storage engine's files                                                              |
//! | `journal.check/` | a copy that is being checked; removed when found                                  |
//! | `books/`   | what is derived from the journal, and its records once they have left it                |
//! | `books.check/`, `books.rebuilt/` | books that are being checked or made again; removed when found  |
//!
//! While a directory is being made, its parts have names that end in `.unfinished`.
//!
//! It does not look into the journal.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, TryLockError},
    io::{self, Read, Seek, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use crate::{
    durable_write::{sync_directory, write_durably},
    error::{Damage, PersistenceError},
};

/// The newest format that is read, and the one that is written.
pub const DATA_FORMAT: u64 = 1;

const VERSION_PREFIX: &str = "bursar data format ";
const OWN_NAMES: [&str; 12] = [
    "LOCK",
    "RESTORING",
    "VERSION.unfinished",
    "books",
    "books.check",
    "books.rebuilt",
    "books.unfinished",
    "head",
    "head.unfinished",
    "journal",
    "journal.check",
    "journal.unfinished",
];

/// A directory that this process alone may use, until this is dropped.
#[derive(Debug)]
pub struct DataDirectory {
    path: PathBuf,
    /// The lock lives as long as the file is open.
    _lock: Option<File>,
}

/// How far the making of a directory had come when it was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Completeness {
    /// Nothing was there.
    Empty,
    /// Only files of ours, and no `VERSION`: the making was cut off.
    Unfinished,
    /// It was to be made of a backup, which was cut off.
    Restoring,
    /// `VERSION` is there and is one that we read.
    Complete,
}

impl DataDirectory {
    /// Makes the directory if it is missing, takes its lock and reads its version. Changes nothing else.
    pub(crate) fn open(path: &Path) -> Result<(Self, Completeness), PersistenceError> {
        create_if_missing(path)?;
        let lock = take_lock(path)?;
        let directory = Self { path: path.to_path_buf(), _lock: Some(lock) };
        let completeness = directory.completeness()?;
        Ok((directory, completeness))
    }

    /// Takes the lock if there is one, and changes nothing at all.
    pub(crate) fn open_read_only(path: &Path) -> Result<(Self, Completeness), PersistenceError> {
        let fault = |source| PersistenceError::io("read", path, source);
        if !fs::metadata(path).map_err(fault)?.is_dir() {
            return Err(PersistenceError::NotADirectory { path: path.to_path_buf() });
        }
        let lock = match File::open(path.join("LOCK")) {
            Ok(mut file) => {
                lock_or_refuse(path, &mut file)?;
                Some(file)
            }
            // A backup may be without it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(source) => return Err(PersistenceError::io("open", &path.join("LOCK"), source)),
        };
        let directory = Self { path: path.to_path_buf(), _lock: lock };
        let completeness = directory.completeness()?;
        Ok((directory, completeness))
    }

    /// Where the directory is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn head(&self) -> PathBuf {
        self.path.join("head")
    }

    pub(crate) fn journal(&self) -> PathBuf {
        self.path.join("journal")
    }

    /// The journal while it is being made.
    pub(crate) fn journal_unfinished(&self) -> PathBuf {
        self.path.join("journal.unfinished")
    }

    pub(crate) fn journal_check(&self) -> PathBuf {
        self.path.join("journal.check")
    }

    pub(crate) fn books(&self) -> PathBuf {
        self.path.join("books")
    }

    /// A copy of the books under examination.
    pub(crate) fn books_check(&self) -> PathBuf {
        self.path.join("books.check")
    }

    /// The books while they are being made again.
    pub(crate) fn books_rebuilt(&self) -> PathBuf {
        self.path.join("books.rebuilt")
    }

    /// There while the directory is made of a backup.
    pub(crate) fn restoring(&self) -> PathBuf {
        self.path.join("RESTORING")
    }

    pub(crate) fn clean_marker(&self) -> PathBuf {
        self.path.join("CLEAN")
    }

    pub(crate) fn version(&self) -> PathBuf {
        self.path.join("VERSION")
    }

    /// Makes the way to the directory durable and writes `VERSION`: from now on everything that belongs here must be here.
    pub(crate) fn complete(&self) -> Result<(), PersistenceError> {
        sync_way_to(&self.path)?;
        write_durably(&self.version(), format!("{VERSION_PREFIX}{DATA_FORMAT}\n").as_bytes())
    }

    fn completeness(&self) -> Result<Completeness, PersistenceError> {
        let version = self.version();
        let mut text = Vec::new();
        match File::open(&version).and_then(|file| file.take(64).read_to_end(&mut text)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return self.completeness_without_version();
            }
            Err(source) => return Err(PersistenceError::io("read", &version, source)),
        }
        let number = str::from_utf8(&text)
            .ok()
            .and_then(|text| text.strip_prefix(VERSION_PREFIX)?.strip_suffix('\n')?.parse::<u64>().ok());
        match number {
            Some(1..=DATA_FORMAT) => Ok(Completeness::Complete),
            Some(found) if found > DATA_FORMAT => {
                Err(PersistenceError::NewerFormat { path: version, found, supported: DATA_FORMAT })
            }
            _ => Err(PersistenceError::damaged(&version, Damage::Unreadable)),
        }
    }

    fn completeness_without_version(&self) -> Result<Completeness, PersistenceError> {
        let fault = |source| PersistenceError::io("list", &self.path, source);
        let mut completeness = Completeness::Empty;
        for entry in fs::read_dir(&self.path).map_err(fault)? {
            let name = entry.map_err(fault)?.file_name().to_string_lossy().into_owned();
            if !OWN_NAMES.contains(&name.as_str()) {
                return Err(PersistenceError::NotADataDirectory { path: self.path.clone(), found: name });
            }
            match name.as_str() {
                "LOCK" => {}
                "RESTORING" => completeness = Completeness::Restoring,
                _ if completeness == Completeness::Empty => completeness = Completeness::Unfinished,
                _ => {}
            }
        }
        Ok(completeness)
    }
}

fn create_if_missing(path: &Path) -> Result<(), PersistenceError> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => return Ok(()),
        Ok(_) => return Err(PersistenceError::NotADirectory { path: path.to_path_buf() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(source) => return Err(PersistenceError::io("read", path, source)),
    }
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|source| PersistenceError::io("create", path, source))
}

/// Makes durable that the directory, and those on the way to it, have their names: some of them may have been made with
/// it, by this process or by one that was cut off.
fn sync_way_to(path: &Path) -> Result<(), PersistenceError> {
    for (distance, above) in path.ancestors().skip(1).enumerate() {
        let above = if above.as_os_str().is_empty() { Path::new(".") } else { above };
        match sync_directory(above) {
            // What this user may not open, or what cannot be synced at all, was not made by this user a moment ago.
            Err(PersistenceError::NotWritable { .. }) if distance > 0 => break,
            Err(PersistenceError::Io { source, .. })
                if distance > 0
                    && matches!(source.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) =>
            {
                break;
            }
            synced => synced?,
        }
    }
    Ok(())
}

fn take_lock(path: &Path) -> Result<File, PersistenceError> {
    let lock_path = path.join("LOCK");
    let fault = |source| PersistenceError::io("write", &lock_path, source);
    // Not into a directory of somebody else's: it must stay as it was.
    if !lock_path.exists() {
        let unlocked = DataDirectory { path: path.to_path_buf(), _lock: None };
        unlocked.completeness()?;
    }
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&lock_path)
        .map_err(fault)?;
    lock_or_refuse(path, &mut file)?;
    let write_pid = || {
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{}", std::process::id())
    };
    let mut write_pid = write_pid;
    write_pid().map_err(fault)?;
    Ok(file)
}

fn lock_or_refuse(path: &Path, file: &mut File) -> Result<(), PersistenceError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            let mut pid = String::new();
            let _ = file.take(20).read_to_string(&mut pid);
            let pid = if pid.trim().is_empty() { "unknown" } else { pid.trim() };
            Err(PersistenceError::Locked { path: path.to_path_buf(), pid: pid.to_owned() })
        }
        Err(TryLockError::Error(source)) => Err(PersistenceError::io("lock", &path.join("LOCK"), source)),
    }
}
