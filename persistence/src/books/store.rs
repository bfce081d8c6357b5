//! The engine below the books: four keyspaces of fjall, opened the one way that is durable, with its panics turned into errors.
//!
//! What is relied on was read in fjall 3.1.13 and lsm-tree 3.1.10:
//!
//! - *An ingestion is atomic and durable for its keyspace.* Its tables are written and synced, then their directory
//!   (`table/writer/mod.rs`, `finish`), then the list of tables, its directory, and the file that names the list
//!   (`version/persist.rs`). Before that a crash leaves tables that nothing names, which the next open removes. What is in
//!   memory of the keyspace is flushed first (`tree/ingest.rs`, `finish`). It may hold tombstones. It does not wait for compaction, and does
//!   not look whether the database is poisoned; [`Store::persist`] does.
//! - *A snapshot* sees what was ingested before it was taken, over all keyspaces, and keeps it (`snapshot_tracker.rs`,
//!   `version/super_version.rs`).
//! - *Every block is checked* against an xxh3 when it is read from disk (`table/block/mod.rs`).
//!
//! A simulation has the four keyspaces on its own disk instead, with the same guarantees.
//!
//! Nothing else may name fjall.

use crate::durable_write::sync_directory;
use crate::engine::{is_no_memory, is_refusal, quietly};
use crate::error::{BooksDamage, PersistenceError};
#[cfg(any(test, feature = "simulated-disk"))]
use crate::simulated_disk::{SimulatedDisk, SimulatedSpaces};
use fjall::compaction::Leveled;
use fjall::config::{
    BlockSizePolicy, BloomConstructionPolicy, CompressionPolicy, FilterPolicy, FilterPolicyEntry,
    PinningPolicy, RestartIntervalPolicy,
};
use fjall::{CompressionType, Database, Keyspace, KeyspaceCreateOptions, LsmError, PersistMode, Readable};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;

/// One is enough to keep up with the fold, and the others are the server's.
const COMPACTION_THREADS: usize = 1;
/// That one gives way to the others where processors are short, by so many steps of [`rustix::process::nice`]: what is merged of a minute
/// under full load takes about as long then, and not half of it in which everything else is slower by a quarter. Should it lag behind, then
/// the fold waits for it ([`UNMERGED_TABLES_MAX`]).
const COMPACTION_NICENESS: i32 = 8;
/// Table files that are kept open.
const OPEN_FILES_MAX: usize = 256;
/// So many windows of ids and of history are merged at a time. Each merge also takes what was merged before and not moved down yet, so
/// fewer of them write less.
const WINDOWS_MERGED: u8 = 24;
/// More tables than this that are not merged yet, and whoever adds more should wait, because reads look into each of them. A merge of a
/// large level takes a minute, and must not let everybody wait meanwhile. (The engine lets a batch wait when there are 30; an
/// ingestion it does not.)
const UNMERGED_TABLES_MAX: usize = 4 * WINDOWS_MERGED as usize;

/// A keyspace. What goes together into one is atomic together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Space {
    /// First sequence number → record.
    Records,
    /// Generation, transfer id → sequence number.
    Ids,
    /// Generation, wallet, sequence number → a chunk of where the wallet stood.
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

    /// Measured with 20 windows of a million transfers between 10,000 wallets whose ids are small, on two cores that others used, too:
    /// merging at 8 unmerged tables, into tables of 32 MB, took 72 s of CPU time for all, and fjall's own 4 and 64 MB took 87 s. (Up to some
    /// 40 million with random ids, merging ids and history at [`WINDOWS_MERGED`], into tables of 16 MB, took about half of what 8 and 32 took.) LZ4
    /// took records from 45 to 30 bytes a transfer. History, with LZ4, took 39 bytes a transfer in blocks of 4 KiB, 38 in blocks of 8 KiB,
    /// and 37.5 in blocks of 16 KiB, of which a read decompresses twice as much; ids 20.
    fn options(self) -> KeyspaceCreateOptions {
        let (tables_merged, table_bytes) = match self {
            // Records come in order, so they are moved and never merged; of the state there is little.
            Self::Records | Self::State => (8, 32 << 20),
            Self::Ids | Self::History => (WINDOWS_MERGED, 16 << 20),
        };
        let merging = Leveled::default().with_l0_threshold(tables_merged).with_table_target_size(table_bytes);
        let options = KeyspaceCreateOptions::default()
            .compaction_strategy(Arc::new(merging))
            // Half a byte a transfer. Whoever looks something up would read a hundred kilobytes of them a table otherwise.
            .index_block_pinning_policy(PinningPolicy::all(true))
            .data_block_restart_interval_policy(RestartIntervalPolicy::all(16));
        let lz4 = CompressionPolicy::all(CompressionType::Lz4);
        let plain = CompressionPolicy::all(CompressionType::None);
        // Ranges are read, not single keys.
        let unfiltered = |options: KeyspaceCreateOptions| {
            options.filter_policy(FilterPolicy::disabled()).expect_point_read_hits(true)
        };
        match self {
            Self::Records => unfiltered(options)
                .data_block_size_policy(BlockSizePolicy::all(4 << 10))
                .data_block_compression_policy(lz4),
            // Sixteen bytes that nobody can compress. There is a filter of our own, of whose possible hits most are none; so that such a one
            // is not looked for in each table that is not merged yet, these have small ones.
            Self::Ids => options
                .filter_policy(FilterPolicy::new([
                    FilterPolicyEntry::Bloom(BloomConstructionPolicy::BitsPerKey(8.0)),
                    FilterPolicyEntry::None,
                ]))
                .data_block_size_policy(BlockSizePolicy::all(4 << 10))
                .data_block_compression_policy(plain),
            Self::History => unfiltered(options)
                .data_block_size_policy(BlockSizePolicy::all(8 << 10))
                .data_block_compression_policy(lz4),
            // Every wallet that is created is looked for first. A filter that is read from the disk for that costs as much as many of the
            // blocks that it saves: with millions of wallets, reading them took most of the processors.
            Self::State => options
                .filter_block_pinning_policy(PinningPolicy::all(true))
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
    engine: Engine,
}

enum Engine {
    Fjall {
        spaces: [Keyspace; 4],
        database: Database,
    },
    #[cfg(any(test, feature = "simulated-disk"))]
    Simulated(SimulatedDisk),
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Everything as it was at one moment.
#[derive(Clone)]
pub(crate) struct StoreSnapshot {
    moment: Moment,
    store: Arc<Store>,
}

#[derive(Clone)]
enum Moment {
    Fjall(fjall::Snapshot),
    #[cfg(any(test, feature = "simulated-disk"))]
    Simulated(SimulatedSpaces),
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
        let store = Self::open_at(path, cache_bytes, COMPACTION_THREADS)?;
        store.ingest(Space::State, rows)?;
        store.persist()?;
        drop(store);
        sync_all(path)
    }

    /// Opens the database at `path`, which must be there.
    pub(crate) fn open(path: &Path, cache_bytes: u64) -> Result<Arc<Self>, PersistenceError> {
        Self::open_known(path, cache_bytes, COMPACTION_THREADS)
    }

    /// As [`Self::open`], only to be read: nothing is merged. The engine would begin as soon as it is open, and whoever lets go of it waits
    /// for what has begun, which takes seconds and is for nothing in a copy that is soon removed.
    pub(crate) fn open_to_read(path: &Path, cache_bytes: u64) -> Result<Arc<Self>, PersistenceError> {
        Self::open_known(path, cache_bytes, 0)
    }

    fn open_known(
        path: &Path,
        cache_bytes: u64,
        compaction_threads: usize,
    ) -> Result<Arc<Self>, PersistenceError> {
        // The engine makes a new database of a directory without this file.
        for part in ["version", "keyspaces"] {
            let part = path.join(part);
            if !part.exists() {
                return Err(PersistenceError::damaged_books(&part, BooksDamage::Missing));
            }
        }
        Self::open_at(path, cache_bytes, compaction_threads).map(Arc::new)
    }

    fn open_at(path: &Path, cache_bytes: u64, compaction_threads: usize) -> Result<Self, PersistenceError> {
        let open = || {
            let database = Database::builder(path)
                .cache_size(cache_bytes)
                // Unchecked, because the engine thinks that none is a mistake.
                .worker_threads_unchecked(compaction_threads)
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
            Ok(Self { path: path.to_path_buf(), engine: Engine::Fjall { spaces, database } })
        };
        let opened = if compaction_threads == 0 {
            quietly(open)
        } else {
            // The engine's threads inherit the niceness of the one that starts them, which could not take it back for itself.
            thread::scope(|scope| {
                let opening = thread::Builder::new()
                    .name("books-opening".to_owned())
                    .spawn_scoped(scope, || {
                        give_way();
                        quietly(open)
                    })
                    .map_err(|source| PersistenceError::io("start a thread to open", path, source))?;
                Ok::<_, PersistenceError>(opening.join().expect("what panics is caught"))
            })?
        };
        match opened {
            Ok(opened) => opened.map_err(|error| fault(path, "the books", error)),
            Err(panic) => Err(panicked(path, "the books", panic)),
        }
    }

    /// The database that lies on a simulated disk.
    #[cfg(any(test, feature = "simulated-disk"))]
    pub(crate) fn on_simulated_disk(disk: SimulatedDisk) -> Arc<Self> {
        Arc::new(Self { path: disk.books_path(), engine: Engine::Simulated(disk) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes on disk.
    pub(crate) fn disk_bytes(&self, space: Space) -> u64 {
        match &self.engine {
            Engine::Fjall { spaces, .. } => spaces[space as usize].disk_space(),
            #[cfg(any(test, feature = "simulated-disk"))]
            Engine::Simulated(_) => 0,
        }
    }

    /// Whether so much waits to be merged that whoever writes should wait, too.
    pub(crate) fn is_behind(&self) -> bool {
        match &self.engine {
            Engine::Fjall { spaces, .. } => {
                spaces.iter().any(|space| space.l0_table_count() > UNMERGED_TABLES_MAX)
            }
            #[cfg(any(test, feature = "simulated-disk"))]
            Engine::Simulated(_) => false,
        }
    }

    /// Puts rows into one keyspace, all or none of them; they survive a power loss when it returns. Nothing is ever written into the
    /// engine's own journal, which takes some twenty syncs less but cannot always be read again when a power loss tears its end
    /// (fjall 3.1: a batch whose middle was lost and whose end was not is refused as damage).
    pub(crate) fn ingest(&self, space: Space, rows: &mut Rows<'_>) -> Result<(), PersistenceError> {
        match &self.engine {
            Engine::Fjall { spaces, .. } => {
                let ingested = quietly(|| {
                    let failed = |error| fault(&self.path, space.name(), error);
                    let mut ingestion = spaces[space as usize].start_ingestion().map_err(failed)?;
                    rows(&mut |key, value| match value {
                        Some(value) => ingestion.write(key, value).map_err(failed),
                        None => ingestion.write_tombstone(key).map_err(failed),
                    })?;
                    ingestion.finish().map_err(failed)
                });
                ingested.unwrap_or_else(|panic| Err(panicked(&self.path, space.name(), panic)))
            }
            #[cfg(any(test, feature = "simulated-disk"))]
            Engine::Simulated(disk) => disk.change_books(space, rows),
        }
    }

    /// Says whether anything has failed in the background, of which nobody was told.
    pub(crate) fn persist(&self) -> Result<(), PersistenceError> {
        match &self.engine {
            Engine::Fjall { database, .. } => match quietly(|| database.persist(PersistMode::SyncAll)) {
                Ok(persisted) => persisted.map_err(|error| fault(&self.path, "the books", error)),
                Err(panic) => Err(panicked(&self.path, "the books", panic)),
            },
            #[cfg(any(test, feature = "simulated-disk"))]
            Engine::Simulated(_) => Ok(()),
        }
    }

    pub(crate) fn snapshot(self: &Arc<Self>) -> StoreSnapshot {
        let moment = match &self.engine {
            Engine::Fjall { database, .. } => Moment::Fjall(database.snapshot()),
            #[cfg(any(test, feature = "simulated-disk"))]
            Engine::Simulated(disk) => Moment::Simulated(disk.books_spaces()),
        };
        StoreSnapshot { moment, store: Arc::clone(self) }
    }
}

impl StoreSnapshot {
    pub(crate) fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The value of a key.
    pub(crate) fn get(&self, space: Space, key: &[u8]) -> Result<Option<fjall::Slice>, PersistenceError> {
        let got = match (&self.moment, &self.store.engine) {
            (Moment::Fjall(snapshot), Engine::Fjall { spaces, .. }) => {
                quietly(|| snapshot.get(&spaces[space as usize], key))
            }
            #[cfg(any(test, feature = "simulated-disk"))]
            (Moment::Simulated(spaces), _) => {
                return Ok(spaces[space as usize].get(key).map(|value| value.as_slice().into()));
            }
            #[cfg(any(test, feature = "simulated-disk"))]
            (Moment::Fjall(_), Engine::Simulated(_)) => unreachable!("a moment is of its own store"),
        };
        match got {
            Ok(got) => got.map_err(|error| fault(&self.store.path, space.name(), error)),
            Err(panic) => Err(panicked(&self.store.path, space.name(), panic)),
        }
    }

    /// The rows from `first` to `last`, both included, from either end.
    pub(crate) fn range(&self, space: Space, first: &[u8], last: &[u8]) -> StoreRange {
        let store = Arc::clone(&self.store);
        let (rows, panic) = match (&self.moment, &self.store.engine) {
            _ if first > last => (None, None),
            (Moment::Fjall(snapshot), Engine::Fjall { spaces, .. }) => {
                match quietly(|| snapshot.range(&spaces[space as usize], first..=last)) {
                    Ok(rows) => (Some(StoredRows::Fjall(rows)), None),
                    Err(panic) => (None, Some(panic)),
                }
            }
            #[cfg(any(test, feature = "simulated-disk"))]
            (Moment::Simulated(spaces), _) => {
                let rows = spaces[space as usize].range(first.to_vec()..=last.to_vec());
                let rows: Vec<Row> =
                    rows.map(|(key, value)| (key.as_slice().into(), value.as_slice().into())).collect();
                (Some(StoredRows::Simulated(rows.into_iter())), None)
            }
            #[cfg(any(test, feature = "simulated-disk"))]
            (Moment::Fjall(_), Engine::Simulated(_)) => unreachable!("a moment is of its own store"),
        };
        StoreRange { rows, space, store, panic }
    }
}

enum StoredRows {
    Fjall(fjall::Iter),
    #[cfg(any(test, feature = "simulated-disk"))]
    Simulated(std::vec::IntoIter<Row>),
}

impl StoredRows {
    fn step(&mut self, end: End) -> Option<Result<Row, fjall::Error>> {
        match (self, end) {
            (Self::Fjall(rows), End::Front) => rows.next().map(fjall::Guard::into_inner),
            (Self::Fjall(rows), End::Back) => rows.next_back().map(fjall::Guard::into_inner),
            #[cfg(any(test, feature = "simulated-disk"))]
            (Self::Simulated(rows), End::Front) => rows.next().map(Ok),
            #[cfg(any(test, feature = "simulated-disk"))]
            (Self::Simulated(rows), End::Back) => rows.next_back().map(Ok),
        }
    }
}

#[derive(Clone, Copy)]
enum End {
    Front,
    Back,
}

/// Rows as they are read. Ends after the first error.
pub(crate) struct StoreRange {
    rows: Option<StoredRows>,
    space: Space,
    store: Arc<Store>,
    panic: Option<String>,
}

impl StoreRange {
    fn step(&mut self, end: End) -> Option<Result<Row, PersistenceError>> {
        if let Some(panic) = self.panic.take() {
            return Some(Err(panicked(&self.store.path, self.space.name(), panic)));
        }
        let rows = self.rows.as_mut()?;
        let stepped = quietly(|| rows.step(end));
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
        self.step(End::Front)
    }
}

impl DoubleEndedIterator for StoreRange {
    fn next_back(&mut self) -> Option<Self::Item> {
        self.step(End::Back)
    }
}

/// From now on this thread, and those that it starts, have less of the processors.
fn give_way() {
    if let Err(errno) = rustix::process::nice(COMPACTION_NICENESS) {
        tracing::warn!(%errno, "what is merged in the books will not give way to what is asked for");
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
