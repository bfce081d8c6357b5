//! What the rest of the house may know of a journal.
//!
//! A journal appends groups of opaque entries, says up to which sequence number they are durable, and reads them back
//! from any number on. The sequencer stands above it. Nothing here may tell which engine keeps the entries.

use std::{fmt, sync::Arc};

use crate::{
    error::PersistenceError,
    record::{Record, RecordHash},
};

/// A group of entries with consecutive sequence numbers that becomes durable as a whole.
#[derive(Debug, Clone, Copy)]
pub struct Group<'a> {
    /// Sequence number of the first entry: the durable number plus one.
    pub first_seq: u64,
    /// Entries one after another, each as [`crate::record`] describes it.
    pub body: &'a [u8],
    /// Where in `body` each entry ends; the last one is the body's length.
    pub entry_ends: &'a [u32],
    /// Timestamp of the last entry, in nanoseconds.
    pub last_timestamp: u64,
}

/// The one writer's side of a journal.
pub trait Journal: Send + fmt::Debug {
    /// Appends a group and returns only once it is durable. An empty group is nothing to do.
    ///
    /// After any error nobody knows what is on disk: the journal answers `Poisoned` from then on, and what was not
    /// durable must never be tried again in this process.
    fn append_group(&mut self, group: &Group<'_>) -> Result<(), PersistenceError>;

    /// The newest entry that is durable; 0 if there is none yet.
    fn durable_seq(&self) -> u64;

    /// A reader that others may share. It outlives `close`, and answers `Closed` from then on.
    fn reader(&self) -> Arc<dyn JournalReader>;

    /// For whoever holds entries elsewhere. One that keeps everything by default.
    fn trimmer(&self) -> Arc<dyn JournalTrimmer> {
        Arc::new(KeepsEverything)
    }

    /// Called once at clean shutdown, after the last append: lets the next open do without its longest check.
    fn close(self: Box<Self>) -> Result<(), PersistenceError>;
}

/// The readers' side of a journal.
pub trait JournalReader: Send + Sync + fmt::Debug {
    /// The records that hold entries `from_seq` and above, in order, up to what is durable now. The first one may
    /// start below `from_seq`.
    fn read_from(&self, from_seq: u64) -> Records;

    /// The record that holds `seq`, if that is durable and still in the journal.
    fn record_holding(&self, seq: u64) -> Result<Option<Record>, PersistenceError>;
}

/// Takes away what is held elsewhere, while the writer writes and readers read.
pub trait JournalTrimmer: Send + Sync + fmt::Debug {
    /// Removes the records up to the one that ends at `through_seq`, which must survive a power loss somewhere else. Whoever opens the
    /// journal again says so with [`crate::OpenOptions::held_elsewhere`].
    fn trim(&self, through_seq: u64) -> Result<(), PersistenceError>;
}

/// The trimmer of a journal that is never trimmed.
#[derive(Debug)]
struct KeepsEverything;

impl JournalTrimmer for KeepsEverything {
    fn trim(&self, _through_seq: u64) -> Result<(), PersistenceError> {
        Ok(())
    }
}

/// Records as they are read, each one checked. Ends after the first error.
pub type Records = Box<dyn Iterator<Item = Result<Record, PersistenceError>> + Send>;

/// A place in the hash chain: the last entry of a record, and the hash of that record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ChainPoint {
    /// Sequence number of the record's last entry; 0 before the first record.
    pub seq: u64,
    /// The record's hash; zero before the first record.
    pub hash: RecordHash,
}
