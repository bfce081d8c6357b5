//! A disk for simulations: what was written survives a power loss for sure only once it is synced, and the disk fails
//! when it is told to.
//!
//! It stands below the store and the head of the journal, so appending, checking, dropping a torn end and taking over
//! are the server's own code. It is harsher than a real one with a log: of what was not synced, any part may survive,
//! in any order, whole or torn. It never loses or changes what was synced; that is corruption, and tested elsewhere.

use crate::{
    books::{
        Books, BooksOptions,
        store::{Rows, Space},
    },
    chain::Chain,
    error::PersistenceError,
    head_file::{HeadFile, HeadSlots},
    journal::ChainPoint,
    opened_ledger::{OnEntry, OpenedLedger, give_away},
    record::{Record, SharedBytes},
    record_store::{KeyAndValue, KeysAndValues, RecordStore, StoredValues},
    recovery::{RecoveryReport, take_over, walk},
    wallet_index::WalletIndex,
};
use parking_lot::Mutex;
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// What a head's write is torn into.
const SECTOR_BYTES: usize = 512;

/// Gives a number below the one it is given: where a simulation gets its randomness from.
pub type Choose<'a> = dyn FnMut(u64) -> u64 + 'a;

/// How a disk fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskFailure {
    /// An operation fails, and so does every one after it.
    Broken,
    /// A write fails for lack of space. Later ones may succeed.
    Full,
}

/// How a process ends that does not stop cleanly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Crash {
    /// The process is gone; what it handed to the operating system is not.
    Kill,
    /// What is not synced is lost, or torn, or kept.
    PowerLoss,
}

/// A simulated disk with one ledger on it. Clones are the same disk.
#[derive(Clone, Debug)]
pub struct SimulatedDisk {
    state: Arc<Mutex<State>>,
    path: PathBuf,
}

#[derive(Clone, Debug)]
enum Change {
    Insert { key: u64, value: Vec<u8> },
    RemoveFrom { key: u64 },
    RemoveThrough { key: u64 },
}

/// The rows of each keyspace of the books. Snapshots share them.
pub(crate) type SimulatedSpaces = [Arc<BTreeMap<Vec<u8>, Vec<u8>>>; 4];

#[derive(Debug)]
struct State {
    /// As a power loss would leave the values for sure.
    synced: BTreeMap<u64, Vec<u8>>,
    /// Changes that are not synced; of these, the first so many have been handed to the operating system.
    unsynced: Vec<Change>,
    flushed: usize,
    /// What a process reads: all changes in their order.
    visible: BTreeMap<u64, Vec<u8>>,
    head_synced: Vec<u8>,
    head_unsynced: Vec<(usize, Vec<u8>)>,
    head_visible: Vec<u8>,
    /// What the books' engine says is durable, it has synced.
    books: SimulatedSpaces,
    filter_files: BTreeMap<u32, Arc<[u8]>>,
    operations: u64,
    failure: Option<(u64, DiskFailure)>,
    failed: bool,
}

impl State {
    /// Counts an operation that writes; an error if it is the one that fails.
    fn operate(&mut self) -> io::Result<()> {
        self.operations += 1;
        if self.failed {
            return Err(io::ErrorKind::Other.into());
        }
        let Some((_, failure)) = self.failure.take_if(|(at, _)| *at <= self.operations) else {
            return Ok(());
        };
        match failure {
            DiskFailure::Broken => {
                self.failed = true;
                Err(io::ErrorKind::Other.into())
            }
            DiskFailure::Full => Err(io::ErrorKind::StorageFull.into()),
        }
    }

    fn flush_all(&mut self) {
        self.flushed = self.unsynced.len();
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.visible, &change);
        self.unsynced.push(change);
    }
}

fn apply(values: &mut BTreeMap<u64, Vec<u8>>, change: &Change) {
    match change {
        Change::Insert { key, value } => {
            values.insert(*key, value.clone());
        }
        Change::RemoveFrom { key } => {
            values.split_off(key);
        }
        Change::RemoveThrough { key } => *values = values.split_off(&(key + 1)),
    }
}

impl Default for SimulatedDisk {
    fn default() -> Self {
        let head = HeadFile::unused();
        let state = State {
            synced: BTreeMap::new(),
            unsynced: Vec::new(),
            flushed: 0,
            visible: BTreeMap::new(),
            head_synced: head.clone(),
            head_unsynced: Vec::new(),
            head_visible: head,
            books: SimulatedSpaces::default(),
            filter_files: BTreeMap::new(),
            operations: 0,
            failure: None,
            failed: false,
        };
        Self { state: Arc::new(Mutex::new(state)), path: PathBuf::from("simulated") }
    }
}

impl SimulatedDisk {
    /// Opens the ledger on the disk, as the server does after anything but a clean stop.
    pub fn open(
        &self,
        books_options: &BooksOptions,
        on_entry: &mut OnEntry<'_>,
    ) -> Result<OpenedLedger, PersistenceError> {
        // What is read has to be on the disk and not only in memory: `recovery::look` does the same to the files.
        HeadSlots::sync(self).map_err(self.fault("sync"))?;
        let mut store = Box::new(self.clone());
        self.state.lock().flush_all();
        RecordStore::sync(&mut *store)?;
        let books = Books::open_simulated(self, books_options)?;
        let held = books.view().chain_point();
        let read = HeadFile::decode(&self.state.lock().head_visible, &self.path)?;
        let acknowledged = if held.seq > read.head.point.seq { held } else { read.head.point };
        let mut chain = Chain::new(acknowledged, held);
        let mut report = RecoveryReport { head_seq: acknowledged.seq, ..RecoveryReport::default() };
        let mut above = Vec::new();
        let has_tail = walk(&*store.values(), &mut chain, &self.path, &mut report, &mut |record| {
            if record.last_seq() > held.seq {
                above.push(record.clone());
            }
            Ok(())
        })?;
        let head = HeadFile::over(Box::new(self.clone()), &self.path, &read);
        let journal = Box::new(take_over(store, head, &chain, acknowledged, has_tail)?);
        let index = WalletIndex::default();
        above.iter().try_for_each(|record| give_away(record, &index, on_entry))?;
        let newest_ns = above.last().map(Record::last_timestamp);
        let last_timestamp_ns = newest_ns.unwrap_or(books.view().last_timestamp_ns());
        index.forget_through(held.seq);
        let last_seq = report.last_seq;
        Ok(OpenedLedger { journal, books: Arc::new(books), index, last_seq, last_timestamp_ns, report })
    }

    /// What errors about the books name.
    pub(crate) fn books_path(&self) -> PathBuf {
        self.path.join("books")
    }

    /// Whether nothing was ever written into the books.
    pub(crate) fn has_no_books(&self) -> bool {
        self.books_spaces().iter().all(|rows| rows.is_empty())
    }

    /// The books' keyspaces as they are now.
    pub(crate) fn books_spaces(&self) -> SimulatedSpaces {
        self.state.lock().books.clone()
    }

    /// Puts rows into a keyspace of the books: all or none of them, and durably. When that fails, nobody knows which.
    pub(crate) fn change_books(&self, space: Space, rows: &mut Rows<'_>) -> Result<(), PersistenceError> {
        let mut changed = self.books_spaces();
        let rows_of = Arc::make_mut(&mut changed[space as usize]);
        rows(&mut |key, value| {
            match value {
                Some(value) => rows_of.insert(key.to_vec(), value.to_vec()),
                None => rows_of.remove(key),
            };
            Ok(())
        })?;
        let mut state = self.state.lock();
        let operated = state.operate();
        if operated.is_ok() || state.operations.is_multiple_of(2) {
            state.books = changed;
        }
        operated.map_err(self.fault("write"))
    }

    /// A file of the id filter.
    pub(crate) fn filter_file(&self, number: u32) -> Option<Arc<[u8]>> {
        self.state.lock().filter_files.get(&number).cloned()
    }

    /// Replaces a file of the id filter, durably. When that fails, nobody knows whether it did.
    pub(crate) fn write_filter_file(&self, number: u32, file: Vec<u8>) -> Result<(), PersistenceError> {
        let mut state = self.state.lock();
        let operated = state.operate();
        if operated.is_ok() || state.operations.is_multiple_of(2) {
            state.filter_files.insert(number, file.into());
        }
        operated.map_err(self.fault("write"))
    }

    /// The newest entry of which the head on the disk says that it was acknowledged, whatever happens now.
    pub fn synced_head_seq(&self) -> u64 {
        let state = self.state.lock();
        // Of two slots, one at most is being overwritten; the newest that is whole in what is synced counts.
        HeadFile::decode(&state.head_synced, &self.path).map_or(0, |read| read.head.point.seq)
    }

    /// How many writes, flushes and syncs there were.
    pub fn operations(&self) -> u64 {
        self.state.lock().operations
    }

    /// Lets the disk fail at that operation, counted as [`Self::operations`] counts.
    pub fn fail_at(&self, operation: u64, failure: DiskFailure) {
        self.state.lock().failure = Some((operation, failure));
    }

    /// Whether the disk has failed for good.
    pub fn has_failed(&self) -> bool {
        self.state.lock().failed
    }

    /// Ends whatever uses the disk. From now on, a former user's operations fail; the disk that is returned is what the
    /// next one finds.
    #[must_use]
    pub fn crash(&self, crash: Crash, choose: &mut Choose<'_>) -> Self {
        let mut state = self.state.lock();
        // After a failed write nobody knows which pages the operating system has dropped.
        let lossy = crash == Crash::PowerLoss || state.failed;
        state.failed = true;
        let mut survived = state.synced.clone();
        let mut unsynced = Vec::new();
        for (index, change) in state.unsynced.iter().enumerate() {
            let kept =
                if !lossy && index < state.flushed { Some(change.clone()) } else { survive(change, choose) };
            if let Some(kept) = kept {
                apply(&mut survived, &kept);
                unsynced.push(kept);
            }
        }
        let mut head = state.head_synced.clone();
        let mut head_unsynced = Vec::new();
        for (offset, bytes) in &state.head_unsynced {
            for (sector, bytes) in bytes.chunks(SECTOR_BYTES).enumerate() {
                if !lossy || choose(2) == 0 {
                    let offset = offset + sector * SECTOR_BYTES;
                    head[offset..offset + bytes.len()].copy_from_slice(bytes);
                    head_unsynced.push((offset, bytes.to_vec()));
                }
            }
        }
        let next = if lossy {
            // What has survived a power loss is on the disk.
            State {
                synced: survived.clone(),
                unsynced: Vec::new(),
                flushed: 0,
                visible: survived,
                head_synced: head.clone(),
                head_unsynced: Vec::new(),
                head_visible: head,
                books: state.books.clone(),
                filter_files: state.filter_files.clone(),
                operations: 0,
                failure: None,
                failed: false,
            }
        } else {
            State {
                synced: state.synced.clone(),
                flushed: unsynced.len(),
                unsynced,
                visible: survived,
                head_synced: state.head_synced.clone(),
                head_unsynced,
                head_visible: head,
                books: state.books.clone(),
                filter_files: state.filter_files.clone(),
                operations: 0,
                failure: None,
                failed: false,
            }
        };
        Self { state: Arc::new(Mutex::new(next)), path: self.path.clone() }
    }
}

/// What becomes of a change that was not synced: kept, lost or torn.
fn survive(change: &Change, choose: &mut Choose<'_>) -> Option<Change> {
    match (choose(4), change) {
        (0, _) => None,
        (1, Change::Insert { key, value }) => {
            let mut value = value.clone();
            if choose(2) == 0 {
                value.truncate(choose(value.len() as u64) as usize);
            } else {
                let from = choose(value.len() as u64) as usize;
                value[from..].fill(0);
            }
            Some(Change::Insert { key: *key, value })
        }
        _ => Some(change.clone()),
    }
}

impl SimulatedDisk {
    fn fault(&self, action: &'static str) -> impl Fn(io::Error) -> PersistenceError + '_ {
        move |source| PersistenceError::io(action, &self.path, source)
    }
}

impl RecordStore for SimulatedDisk {
    fn insert(&mut self, key: u64, value: Vec<u8>) -> Result<(), PersistenceError> {
        let mut state = self.state.lock();
        let operated = state.operate();
        // What fails may be half done.
        state.change(Change::Insert { key, value });
        operated.map_err(self.fault("write"))
    }

    fn flush(&mut self) -> Result<(), PersistenceError> {
        let mut state = self.state.lock();
        state.operate().map_err(self.fault("write"))?;
        state.flush_all();
        Ok(())
    }

    fn sync(&mut self) -> Result<(), PersistenceError> {
        let mut state = self.state.lock();
        state.operate().map_err(self.fault("sync"))?;
        let state = &mut *state;
        for change in state.unsynced.drain(..state.flushed) {
            apply(&mut state.synced, &change);
        }
        state.flushed = 0;
        Ok(())
    }

    fn remove_from(&mut self, key: u64) -> Result<(), PersistenceError> {
        let mut state = self.state.lock();
        let operated = state.operate();
        state.change(Change::RemoveFrom { key });
        state.flush_all();
        operated.map_err(self.fault("write"))
    }

    fn sync_survivors(&mut self) -> Result<(), PersistenceError> {
        RecordStore::sync(self)
    }

    fn values(&self) -> Arc<dyn StoredValues> {
        Arc::new(self.clone())
    }

    fn close(self: Box<Self>, _tip: ChainPoint) -> Result<(), PersistenceError> {
        Ok(())
    }
}

impl StoredValues for SimulatedDisk {
    fn place(&self) -> &Path {
        &self.path
    }

    fn range(&self, first: u64, last: u64) -> Result<KeysAndValues, PersistenceError> {
        let state = self.state.lock();
        let values: Vec<KeyAndValue> = state.visible.range(first..=last).map(stored).collect();
        Ok(Box::new(values.into_iter().map(Ok)))
    }

    fn at_or_below(&self, key: u64) -> Result<Option<KeyAndValue>, PersistenceError> {
        Ok(self.state.lock().visible.range(..=key).next_back().map(stored))
    }

    fn remove_through(&self, key: u64) -> Result<(), PersistenceError> {
        let mut state = self.state.lock();
        let operated = state.operate();
        state.change(Change::RemoveThrough { key });
        operated.map_err(self.fault("write"))
    }
}

fn stored((key, value): (&u64, &Vec<u8>)) -> KeyAndValue {
    (SharedBytes::from(&key.to_be_bytes()), SharedBytes::from(value.as_slice()))
}

impl HeadSlots for SimulatedDisk {
    fn overwrite(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.state.lock();
        let operated = state.operate();
        let offset = offset as usize;
        state.head_visible[offset..offset + bytes.len()].copy_from_slice(bytes);
        state.head_unsynced.push((offset, bytes.to_vec()));
        operated
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state.lock();
        state.operate()?;
        let state = &mut *state;
        for (offset, bytes) in state.head_unsynced.drain(..) {
            state.head_synced[offset..offset + bytes.len()].copy_from_slice(&bytes);
        }
        Ok(())
    }
}
