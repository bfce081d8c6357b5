//! Everything that can go wrong on disk, said so that an operator knows which file and what to do.
//!
//! It must not name the storage engine's own types: who reads an error may not assume which engine it is.

use std::{
    io,
    path::{Path, PathBuf},
};

use crate::record::RecordError;

/// Why something about the data directory could not be done.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PersistenceError {
    /// The path is a file, a socket, anything but a directory.
    #[error("{} is not a directory: name a directory, or a path where one can be made", path.display())]
    NotADirectory {
        /// What was named.
        path: PathBuf,
    },
    /// The file system does not let this user write.
    #[error("{} is not writable by this user: {source}: change its owner or its mode", path.display())]
    NotWritable {
        /// What could not be written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is something, but it is not ours.
    #[error("{} is not a bursar data directory: it holds `{found}` but no VERSION; name an empty or a new directory", path.display())]
    NotADataDirectory {
        /// The directory.
        path: PathBuf,
        /// One of the names that are there.
        found: String,
    },
    /// Another process has it open.
    #[error("{} is in use by another process (pid {pid}): stop that one first", path.display())]
    Locked {
        /// The data directory.
        path: PathBuf,
        /// What the holder wrote into `LOCK`.
        pid: String,
    },
    /// Written by a newer version of the program.
    #[error("{} says format {found}, and this version reads up to {supported}: start a newer version", path.display())]
    NewerFormat {
        /// The `VERSION` file.
        path: PathBuf,
        /// The number in it.
        found: u64,
        /// The newest number that can be read.
        supported: u64,
    },
    /// What is on disk is not what was acknowledged.
    #[error("{} is damaged: {damage}; restore the directory from a backup", path.display())]
    Damaged {
        /// The file or directory that is damaged.
        path: PathBuf,
        /// What is wrong with it.
        damage: Damage,
    },
    /// The books are not as they were written. They are made of the journal's records, so they can be made again.
    #[error("{} is damaged: {damage}; make the books again with `bursar rebuild`, or restore the directory from a backup", path.display())]
    DamagedBooks {
        /// The file or directory that is damaged.
        path: PathBuf,
        /// What is wrong with it.
        damage: BooksDamage,
    },
    /// The books were written by another version of the program. They are made of the journal's records, so they can be made again.
    #[error("{} is of format {found}, and this version reads {supported}: make the books again with `bursar rebuild`", path.display())]
    OtherBooksFormat {
        /// Where they are.
        path: PathBuf,
        /// The format that they are of.
        found: u8,
        /// The one that is read.
        supported: u8,
    },
    /// A backup is not as it was written.
    #[error("the backup {} is damaged: {damage}; use another one", path.display())]
    DamagedBackup {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        damage: BackupDamage,
    },
    /// Nothing is ever overwritten.
    #[error("{} is there already, and is not overwritten", path.display())]
    Exists {
        /// What is there.
        path: PathBuf,
    },
    /// A directory was to be made of a backup, and that was cut off.
    #[error("restoring into {} was cut off: run `bursar restore` again, or empty the directory", path.display())]
    RestoreCutOff {
        /// The directory.
        path: PathBuf,
    },
    /// A record is whole, and yet one of its entries cannot be read.
    #[error(
        "entry {seq} cannot be read: {reason}; start the version that wrote it, or restore the directory from a backup"
    )]
    UnreadableEntry {
        /// The entry.
        seq: u64,
        /// Why.
        reason: String,
    },
    /// The entries can be read, and do not make a ledger.
    #[error("the journal contradicts itself: {0}; restore the directory from a backup")]
    Contradiction(#[from] ledger::fold::FoldFault),
    /// Opening at this time of the wall clock could be a mistake that cannot be undone.
    #[error("{}: {reason}: set the clock, or start with --accept-clock if it is right", path.display())]
    ImplausibleClock {
        /// The data directory.
        path: PathBuf,
        /// What is odd about the clock.
        reason: String,
    },
    /// The system refused a file operation.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The storage engine refused or failed.
    #[error("the storage engine failed on {}: {reason}", path.display())]
    Engine {
        /// The engine's directory.
        path: PathBuf,
        /// Its words.
        reason: String,
    },
    /// An earlier write, flush or sync failed, so nobody knows what the disk holds.
    #[error("the journal in {} stopped after a failed write: restart the process to find out what is on disk", path.display())]
    Poisoned {
        /// The engine's directory.
        path: PathBuf,
    },
    /// The journal was closed.
    #[error("the journal is closed")]
    Closed,
    /// Somebody still reads what should be closed.
    #[error("{} is still being read: end the readers before closing it", path.display())]
    StillRead {
        /// The engine's directory.
        path: PathBuf,
    },
    /// The caller gave a group that breaks the journal's rules; nothing of it was written.
    #[error("the group that starts at {first_seq} cannot be appended: {reason}")]
    MalformedGroup {
        /// The sequence number that the group claims to start at.
        first_seq: u64,
        /// The rule it breaks.
        reason: String,
    },
    /// A directory can only be examined by way of a copy.
    #[error("no room to copy {} for examination: {needed} bytes are needed beside it or in the temporary directory", path.display())]
    NoRoomToExamine {
        /// What should be copied.
        path: PathBuf,
        /// Bytes.
        needed: u64,
    },
    /// Whoever replayed a record could not accept it.
    #[error("replay stopped at sequence number {seq}: {reason}")]
    Replay {
        /// The entry.
        seq: u64,
        /// Why.
        reason: String,
    },
}

/// What is wrong with something that was once written whole.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// It was there when the directory was made.
    #[error("it is missing")]
    Missing,
    /// It holds none of what can be written there.
    #[error("its content is none that was ever written")]
    Unreadable,
    /// The engine cannot make sense of its files.
    #[error("the storage engine cannot read it ({0})")]
    Engine(String),
    /// A record is not whole.
    #[error("the record at sequence number {seq} is not whole: {error}")]
    BadRecord {
        /// First sequence number of the record.
        seq: u64,
        /// What is wrong with it.
        error: RecordError,
    },
    /// A record lies under a key that is not its own.
    #[error("the record of sequence number {found} lies at the place of {key}")]
    Misplaced {
        /// Where it lies; none if the key is not a sequence number at all.
        key: u64,
        /// Where it belongs.
        found: u64,
    },
    /// Sequence numbers are missing, or there twice.
    #[error("sequence number {expected} should come next, but {found} does")]
    Hole {
        /// What should follow.
        expected: u64,
        /// What follows.
        found: u64,
    },
    /// A record does not carry the hash of the one before it.
    #[error("the record at sequence number {seq} does not continue the one before it (hash chain broken)")]
    BrokenChain {
        /// First sequence number of the record.
        seq: u64,
    },
    /// Time went back between two records.
    #[error("the record at sequence number {seq} is older than the one before it")]
    TimeWentBack {
        /// First sequence number of the record.
        seq: u64,
    },
    /// Acknowledged entries are gone.
    #[error("it ends at sequence number {last}, but everything up to {head} was acknowledged")]
    EndsBelowHead {
        /// The last entry that is there.
        last: u64,
        /// The last entry that was acknowledged.
        head: u64,
    },
    /// The journal's record is whole, but it is not the one that was acknowledged.
    #[error("the record that ends at sequence number {seq} is not the one that was acknowledged")]
    NotTheAcknowledged {
        /// The acknowledged sequence number.
        seq: u64,
    },
    /// The making of the directory never completed, yet it holds data: `VERSION` was taken away.
    #[error("VERSION is missing, but there are records or a used head")]
    UsedWithoutVersion,
}

/// What is wrong with the books.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BooksDamage {
    /// A file is not there.
    #[error("it is missing")]
    Missing,
    /// A file holds none of what can be written there.
    #[error("its content is none that was ever written")]
    Unreadable,
    /// A file is older than the books.
    #[error("it holds everything up to entry {holds}, and should up to {should}")]
    Old {
        /// The last entry that is in it.
        holds: u64,
        /// The last entry that should be.
        should: u64,
    },
    /// A file does not go on where the one before it ends.
    #[error("it should go on at entry {expected}, and starts at {found}")]
    Gap {
        /// What should come next.
        expected: u64,
        /// What does.
        found: u64,
    },
    /// The engine cannot make sense of its files.
    #[error("the storage engine cannot read it ({0})")]
    Engine(String),
    /// Some rows are missing, or too many, or others than those that the records make.
    #[error("{table} holds {found} rows, and not the {expected} that the records make")]
    OtherRows {
        /// Which kind of row.
        table: &'static str,
        /// How many there are.
        found: u64,
        /// How many there should be.
        expected: u64,
    },
    /// A row cannot be what was written.
    #[error("in {table}, the row {key} {reason}")]
    Row {
        /// Which kind of row.
        table: &'static str,
        /// Its key, in hexadecimal.
        key: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// What is wrong with a backup.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BackupDamage {
    /// It does not begin as one.
    #[error("it is no backup of a ledger")]
    NotABackup,
    /// It begins as one of another version.
    #[error("it was written by another version of this program")]
    OtherVersion,
    /// It ends too early.
    #[error("its end is missing")]
    CutOff,
    /// Its bytes are not those that were written.
    #[error("its content is none that was ever written")]
    Unreadable,
    /// A record is not whole, or does not go on where the one before it ended.
    #[error("{0}")]
    Record(Damage),
    /// Its end says something else than its records.
    #[error("its end is not that of its records")]
    OtherEnd,
}

impl PersistenceError {
    /// A failed file operation; a refusal of permission becomes [`PersistenceError::NotWritable`].
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        let path = path.to_path_buf();
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                Self::NotWritable { path, source }
            }
            io::ErrorKind::NotADirectory => Self::NotADirectory { path },
            _ => Self::Io { action, path, source },
        }
    }

    pub(crate) fn damaged(path: &Path, damage: Damage) -> Self {
        Self::Damaged { path: path.to_path_buf(), damage }
    }

    pub(crate) fn damaged_books(path: &Path, damage: BooksDamage) -> Self {
        Self::DamagedBooks { path: path.to_path_buf(), damage }
    }

    pub(crate) fn damaged_backup(path: &Path, damage: BackupDamage) -> Self {
        Self::DamagedBackup { path: path.to_path_buf(), damage }
    }

    /// The same error, of the directory of which the one that it names is a copy.
    pub(crate) fn of_the_original(self, copy: &Path, original: &Path) -> Self {
        let named = |path: PathBuf| match path.strip_prefix(copy) {
            Ok(rest) => original.join(rest),
            Err(_) => path,
        };
        match self {
            Self::Damaged { path, damage } => Self::Damaged { path: named(path), damage },
            Self::DamagedBooks { path, damage } => Self::DamagedBooks { path: named(path), damage },
            Self::OtherBooksFormat { path, found, supported } => {
                Self::OtherBooksFormat { path: named(path), found, supported }
            }
            Self::Io { action, path, source } => Self::Io { action, path: named(path), source },
            Self::Engine { path, reason } => Self::Engine { path: named(path), reason },
            other => other,
        }
    }

    pub(crate) fn engine(path: &Path, reason: impl Into<String>) -> Self {
        Self::Engine { path: path.to_path_buf(), reason: reason.into() }
    }
}
