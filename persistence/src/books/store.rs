//! The engine below the books: four keyspaces of fjall, opened the one way that is durable, with its panics turned into errors.
//!
//! What is relied on was read in fjall 3.1.13 and lsm-tree 3.1.10:
//!
//! - *An ingestion is atomic and durable for its keyspace.* Its tables are written and synced, then their directory
//!   (`table/writer/mod.rs`, `finish`), then the list of tables, its directory, and the file that names the list
//!   (`version/persist.rs`). Before that a crash leaves tables that nothing names, which the next open removes. What is in
//!   memory of the keyspace is flushed first (`tree/ingest.rs`, `finish`). It may hold tombstones. It does not wait for compaction, and does
//!   not look whether the database is poisoned; [`Store::persist`] does.
//! - *A batch is atomic over keyspaces* and, with `SyncAll`, durable (`batch/mod.rs`, `journal/writer.rs`).
//! - *A snapshot* sees what was ingested or committed before it was taken, over all keyspaces, and keeps it (`snapshot_tracker.rs`,
//!   `version/super_version.rs`).
//! - *Every block is checked* against an xxh3 when it is read from disk (`table/block/mod.rs`).
//!
//! Nothing else may name fjall.

use crate::durable_write::sync_directory;
use crate::engine::{is_no_memory, is_refusal, quietly};
use crate::error::{BooksDamage, PersistenceError};
use fjall::compaction::Leveled;
use fjall::config::{
    BlockSizePolicy, BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry,
    RestartIntervalPolicy,
};
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, LsmError, PersistMode, Readable};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One is enough to keep up with the fold, and the others are the server's.
const COMPACTION_THREADS: usize = 1;
/// Table files that are kept open.
const OPEN_FILES_MAX: usize = 256;
/// More tables than this that are not merged yet, and whoever adds more should wait. Reads look into each of them.
const UNMERGED_TABLES_MAX: usize = 32;

/// A keyspace. What goes together into one is atomic together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Space {
    /// First sequence number → record.
    Records,
    /// Transfer id → sequence number.
    Ids,
    /// Wallet, sequence number → position after it.
    History,
    /// Everything that is overwritten, and the marker: see [`super::rows`].
    State,
}

impl Space {
    pub(crate) const ALL: [Self; 4] = [Self::Records, Self::Ids, Self::History, Self::State];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Ids => "ids",
            Self::History => "history",
            Self::State => "state",
        }
    }

    /// Measured with 20 windows of a million transfers between 10,000 wallets, small ids for wallets (CPU time of two cores
    /// that others used too): 8 unmerged tables before a merge and tables of 32 MB took a sixth less than fjall's own 4 and
    /// 64 MB; LZ4 took records from 45 to 30 bytes a transfer and history from about 80 to 38, at no measurable cost; blocks of 8 KiB
    /// instead of 4 KiB took a twentieth off history and a third off the time of its range reads.
    fn options(self) -> KeyspaceCreateOptions {
        let merging = Leveled::default().with_l0_threshold(8).with_table_target_size(32 << 20);
        let options = KeyspaceCreateOptions::default()
            .compaction_strategy(Arc::new(merging))
            .data_block_restart_interval_policy(RestartIntervalPolicy::all(16))
            .max_memtable_size(8 << 20);
        let lz4 = CompressionPolicy::all(CompressionType::Lz4);
        let plain = CompressionPolicy::all(CompressionType::None);
        // Ranges are read, not single keys; of ids there is a filter of our own.
        let unfiltered = |options: KeyspaceCreateOptions| {
            options.filter_policy(FilterPolicy::disabled()).expect_point_read_hits(true)
        };
        match self {
            Self::Records => unfiltered(options)
                .data_block_size_policy(BlockSizePolicy::all(4 << 10))
                .data_block_compression_policy(lz4),
            // Sixteen bytes that nobody can compress.
            Self::Ids => unfiltered(options)
                .data_block_size_policy(BlockSizePolicy::all(4 << 10))
                .data_block_compression_policy(plain),
            Self::History => unfiltered(options)
                .data_block_size_policy(BlockSizePolicy::all(8 << 10))
                .data_block_compression_policy(lz4),
            Self::State => options
                .filter_policy(FilterPolicy::all(FilterPolicyEntry::Bloom(
                    BloomConstructionPolicy::BitsPerKey(10.0),
                )))
                .data_block_size_policy(BlockSizePolicy::all(4 << 10))
                .data_block_compression_policy(lz4),
        }
    }
}

/// Takes the rows of one keyspace in the order of their keys: a value, or nothing to remove the row.
pub(crate) type RowSink<'a> = dyn FnMut(&[u8], Option<&[u8]>) -> Result<(), PersistenceError> + 'a;

/// Gives rows to a sink.
pub(crate) type Rows<'a> = dyn FnMut(&mut RowSink<'_>) -> Result<(), PersistenceError> + 'a;

/// A key and its value.
pub(crate) type Row = (fjall::Slice, fjall::Slice);

/// The open database.
pub(crate) struct Store {
    path: PathBuf,
    spaces: [Keyspace; 4],
    database: Database,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Everything as it was at one moment.
#[derive(Clone)]
pub(crate) struct StoreSnapshot {
    snapshot: fjall::Snapshot,
    store: Arc<Store>,
}

impl fmt::Debug for StoreSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreSnapshot").field("store", &self.store).finish_non_exhaustive()
    }
}

impl Store {
    /// Makes a database at `path`, with `rows` in [`Space::State`]. When it returns, all of it survives a power loss but the name of
    /// its directory.
    pub(crate) fn create(path: &Path, cache_bytes: u64, rows: &mut Rows<'_>) -> Result<(), PersistenceError> {
        let store = Self::open_at(path, cache_bytes)?;
        store.ingest(Space::State, rows)?;
        store.persist()?;
        drop(store);
        sync_all(path)
    }

    /// Opens the database at `path`, which must be there.
    pub(crate) fn open(path: &Path, cache_bytes: u64) -> Result<Arc<Self>, PersistenceError> {
        // The engine makes a new database of a directory without this file.
        for part in ["version", "keyspaces"] {
            let part = path.join(part);
            if !part.exists() {
                return Err(PersistenceError::damaged_books(&part, BooksDamage::Missing));
            }
        }
        Self::open_at(path, cache_bytes).map(Arc::new)
    }

    fn open_at(path: &Path, cache_bytes: u64) -> Result<Self, PersistenceError> {
        let opened = quietly(|| {
            let database = Database::builder(path)
                .cache_size(cache_bytes)
                .worker_threads(COMPACTION_THREADS)
                .max_cached_files(Some(OPEN_FILES_MAX))
                .manual_journal_persist(true)
                .open()?;
            // Those whose making was cut off, and those whose files are gone, are not among them.
            let known = database.keyspace_count();
            if known != 0 && known != Space::ALL.len() {
                return Err(fjall::Error::Unrecoverable);
            }
            let mut spaces = Vec::with_capacity(Space::ALL.len());
            for space in Space::ALL {
                spaces.push(database.keyspace(space.name(), || space.options())?);
            }
            let spaces = <[Keyspace; 4]>::try_from(spaces);
            let spaces = spaces.unwrap_or_else(|_| unreachable!("one was opened for each"));
            Ok(Self { path: path.to_path_buf(), spaces, database })
        });
        match opened {
            Ok(opened) => opened.map_err(|error| fault(path, "the books", error)),
            Err(panic) => Err(panicked(path, "the books", panic)),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes on disk.
    pub(crate) fn disk_bytes(&self, space: Space) -> u64 {
        self.spaces[space as usize].disk_space()
    }

    /// Whether so much waits to be merged that whoever writes should wait, too.
    pub(crate) fn is_behind(&self) -> bool {
        self.spaces.iter().any(|space| space.l0_table_count() > UNMERGED_TABLES_MAX)
    }

    /// Puts rows into one keyspace, all or none of them; they survive a power loss when it returns.
    pub(crate) fn ingest(&self, space: Space, rows: &mut Rows<'_>) -> Result<(), PersistenceError> {
        let keyspace = &self.spaces[space as usize];
        let ingested = quietly(|| {
            let failed = |error| fault(&self.path, space.name(), error);
            let mut ingestion = keyspace.start_ingestion().map_err(failed)?;
            rows(&mut |key, value| match value {
                Some(value) => ingestion.write(key, value).map_err(failed),
                None => ingestion.write_tombstone(key).map_err(failed),
            })?;
            ingestion.finish().map_err(failed)
        });
        ingested.unwrap_or_else(|panic| Err(panicked(&self.path, space.name(), panic)))
    }

    /// Puts rows into several keyspaces, all or none of them; they survive a power loss when it returns. For few rows: they stay
    /// in memory for a while.
    pub(crate) fn commit(&self, parts: &mut [(Space, &mut Rows<'_>)]) -> Result<(), PersistenceError> {
        let committed = quietly(|| {
            let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
            for (space, rows) in parts {
                let keyspace = &self.spaces[*space as usize];
                rows(&mut |key, value| {
                    match value {
                        Some(value) => batch.insert(keyspace, key, value),
                        None => batch.remove(keyspace, key),
                    }
                    Ok(())
                })?;
            }
            batch.commit().map_err(|error| fault(&self.path, "the books", error))
        });
        committed.unwrap_or_else(|panic| Err(panicked(&self.path, "the books", panic)))
    }

    /// Says whether anything has failed in the background, of which nobody was told.
    pub(crate) fn persist(&self) -> Result<(), PersistenceError> {
        let persisted = quietly(|| self.database.persist(PersistMode::SyncAll));
        match persisted {
            Ok(persisted) => persisted.map_err(|error| fault(&self.path, "the books", error)),
            Err(panic) => Err(panicked(&self.path, "the books", panic)),
        }
    }

    pub(crate) fn snapshot(self: &Arc<Self>) -> StoreSnapshot {
        StoreSnapshot { snapshot: self.database.snapshot(), store: Arc::clone(self) }
    }
}

impl StoreSnapshot {
    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The value of a key.
    pub(crate) fn get(&self, space: Space, key: &[u8]) -> Result<Option<fjall::Slice>, PersistenceError> {
        let got = quietly(|| self.snapshot.get(&self.store.spaces[space as usize], key));
        match got {
            Ok(got) => got.map_err(|error| fault(&self.store.path, space.name(), error)),
            Err(panic) => Err(panicked(&self.store.path, space.name(), panic)),
        }
    }

    /// The rows from `first` to `last`, both included, from either end.
    pub(crate) fn range(&self, space: Space, first: &[u8], last: &[u8]) -> StoreRange {
        let rows = (first <= last)
            .then(|| quietly(|| self.snapshot.range(&self.store.spaces[space as usize], first..=last)));
        let store = Arc::clone(&self.store);
        match rows {
            None => StoreRange { rows: None, space, store, panic: None },
            Some(Ok(rows)) => StoreRange { rows: Some(rows), space, store, panic: None },
            Some(Err(panic)) => StoreRange { rows: None, space, store, panic: Some(panic) },
        }
    }
}

/// Rows as they are read. Ends after the first error.
pub(crate) struct StoreRange {
    rows: Option<fjall::Iter>,
    space: Space,
    store: Arc<Store>,
    panic: Option<String>,
}

impl StoreRange {
    fn step(
        &mut self,
        step: impl FnOnce(&mut fjall::Iter) -> Option<fjall::Guard>,
    ) -> Option<Result<Row, PersistenceError>> {
        if let Some(panic) = self.panic.take() {
            return Some(Err(panicked(&self.store.path, self.space.name(), panic)));
        }
        let rows = self.rows.as_mut()?;
        let stepped = quietly(|| step(rows).map(fjall::Guard::into_inner));
        let row = match stepped {
            Ok(None) => return None,
            Ok(Some(row)) => row.map_err(|error| fault(&self.store.path, self.space.name(), error)),
            Err(panic) => Err(panicked(&self.store.path, self.space.name(), panic)),
        };
        if row.is_err() {
            self.rows = None;
        }
        Some(row)
    }
}

impl Iterator for StoreRange {
    type Item = Result<Row, PersistenceError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.step(Iterator::next)
    }
}

impl DoubleEndedIterator for StoreRange {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.step(DoubleEndedIterator::next_back)
    }
}

/// What the engine refused or failed at: the system's refusals are told apart from what is damaged.
fn fault(path: &Path, what: &str, error: fjall::Error) -> PersistenceError {
    match error {
        fjall::Error::Io(source) | fjall::Error::Storage(LsmError::Io(source)) if is_refusal(&source) => {
            PersistenceError::io("read or write", path, source)
        }
        error @ (fjall::Error::Poisoned | fjall::Error::Locked) => {
            PersistenceError::engine(path, error.to_string())
        }
        error => PersistenceError::damaged_books(path, BooksDamage::Engine(format!("{what}: {error}"))),
    }
}

fn panicked(path: &Path, what: &str, panic: String) -> PersistenceError {
    if is_no_memory(&panic) {
        return PersistenceError::engine(path, panic);
    }
    PersistenceError::damaged_books(path, BooksDamage::Engine(format!("{what}: {panic}")))
}

/// Makes durable every file and every name below `path`.
fn sync_all(path: &Path) -> Result<(), PersistenceError> {
    let fault = |source| PersistenceError::io("sync", path, source);
    for entry in fs::read_dir(path).map_err(fault)? {
        let entry = entry.map_err(fault)?;
        if entry.file_type().map_err(fault)?.is_dir() {
            sync_all(&entry.path())?;
        } else {
            fs::File::open(entry.path()).and_then(|file| file.sync_all()).map_err(fault)?;
        }
    }
    sync_directory(path)
}
