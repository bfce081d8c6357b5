//! What a journal asks of whatever keeps its records: sled in the server, a simulated disk in the tests.
//!
//! A store keeps values under keys and can be told to make them durable. It knows nothing of groups, hash chains or
//! heads: the rules of when a record counts are `record_journal`'s and `recovery`'s, and the same for every store.

use crate::{error::PersistenceError, journal::ChainPoint, record::SharedBytes};
use std::{fmt, path::Path, sync::Arc};

/// A key as it is stored (a sequence number, big-endian, unless something is damaged), and its value.
pub(crate) type KeyAndValue = (SharedBytes, SharedBytes);

/// Values in the order of their keys. Ends after the first error.
pub(crate) type KeysAndValues = Box<dyn Iterator<Item = Result<KeyAndValue, PersistenceError>> + Send>;

/// The one writer's side.
pub(crate) trait RecordStore: Send + fmt::Debug {
    /// Puts a value under `key`. It need not survive anything yet.
    fn insert(&mut self, key: u64, value: Vec<u8>) -> Result<(), PersistenceError>;

    /// Hands what was inserted to the operating system. It need not survive a power loss yet.
    fn flush(&mut self) -> Result<(), PersistenceError>;

    /// Returns once everything that was flushed survives a power loss.
    fn sync(&mut self) -> Result<(), PersistenceError>;

    /// Removes every value from `key` on, and flushes.
    fn remove_from(&mut self, key: u64) -> Result<(), PersistenceError>;

    /// To be called once after opening: what was found there, names and lengths of files included, survives a power
    /// loss when it returns.
    fn sync_survivors(&mut self) -> Result<(), PersistenceError>;

    /// For reading, from any thread.
    fn values(&self) -> Arc<dyn StoredValues>;

    /// The last call, after a clean stop at `tip`.
    fn close(self: Box<Self>, tip: ChainPoint) -> Result<(), PersistenceError>;
}

/// The readers' side.
pub(crate) trait StoredValues: Send + Sync + fmt::Debug {
    /// What errors name.
    fn place(&self) -> &Path;

    /// The values under the keys from `first` to `last`, both included.
    fn range(&self, first: u64, last: u64) -> Result<KeysAndValues, PersistenceError>;

    /// The value under the greatest key that is not above `key`.
    fn at_or_below(&self, key: u64) -> Result<Option<KeyAndValue>, PersistenceError>;

    /// Removes every value up to `key`, the least first, while the writer goes on. Some or all of them may be there again after
    /// a crash, but never one without those above it.
    fn remove_through(&self, key: u64) -> Result<(), PersistenceError>;
}
