//! The journal in sled.
//!
//! Tree `journal`: key = first sequence number of a record, big-endian → value = the record. sled's `flush` writes the
//! log but syncs neither its length nor the drive's cache (`pagecache/iobuf.rs`, `write_to_log`: `sync_file_range`),
//! so the log is synced through a second handle of its file, and only then is the head written and synced. Nothing
//! is ever tried again: after one failed write or sync nobody knows what the disk holds.

use std::{
    fs::{self, File, TryLockError},
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::RwLock;

use crate::{
    clean_marker::CleanMarker,
    data_directory::DataDirectory,
    durable_write::sync_directory,
    engine::{Engine, quietly},
    error::{Damage, PersistenceError},
    head_file::{Head, HeadFile},
    journal::{ChainPoint, Group, Journal, JournalReader, Records},
    record::{self, ENTRY_HEADER_BYTES, MAX_ENTRY, PREFERRED_BODY, Record},
};

/// How long `close` waits for readers to end, and for sled's background tasks.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// The writer.
#[derive(Debug)]
pub struct SledJournal {
    engine: Option<Engine>,
    /// A second handle of sled's log.
    log: File,
    path: PathBuf,
    head: HeadFile,
    shared: Arc<Shared>,
    poisoned: bool,
    blobs_reported: bool,
    /// Keeps the lock for as long as anything may be written.
    directory: Arc<DataDirectory>,
}

/// What the readers share with the writer.
#[derive(Debug)]
struct Shared {
    durable_seq: AtomicU64,
    /// Taken away by `close`.
    tree: RwLock<Option<sled::Tree>>,
    path: PathBuf,
}

impl SledJournal {
    /// Takes over a database whose records were checked and are durable up to what `head` says.
    pub(crate) fn new(
        engine: Engine,
        directory: Arc<DataDirectory>,
        head: HeadFile,
    ) -> Result<Self, PersistenceError> {
        let path = directory.journal();
        let log = open_log(&path)?;
        let shared = Arc::new(Shared {
            durable_seq: AtomicU64::new(head.head().point.seq),
            tree: RwLock::new(Some(engine.tree.clone())),
            path: path.clone(),
        });
        let engine = Some(engine);
        Ok(Self { engine, log, path, head, shared, poisoned: false, blobs_reported: false, directory })
    }

    /// The last durable record.
    pub fn tip(&self) -> ChainPoint {
        self.head.head().point
    }

    fn append(&mut self, group: &Group<'_>) -> Result<(), PersistenceError> {
        check_group(group, &self.head.head())?;
        let tip = self.insert_records(group)?;
        self.log.sync_data().map_err(|source| PersistenceError::io("sync", &self.path.join("db"), source))?;
        self.report_blobs()?;
        self.head.advance(tip)?;
        self.shared.durable_seq.store(tip.point.seq, Ordering::Release);
        Ok(())
    }

    fn insert_records(&self, group: &Group<'_>) -> Result<Head, PersistenceError> {
        let Some(engine) = &self.engine else { return Err(PersistenceError::Closed) };
        let mut point = self.head.head().point;
        let insert = || {
            for (first_seq, count, body) in split_into_records(group) {
                let value = Record::encode(first_seq, count, &point.hash, body);
                let seq = first_seq + u64::from(count) - 1;
                point = ChainPoint { seq, hash: record::hash_of_encoded(&value) };
                engine.tree.insert(first_seq.to_be_bytes(), value)?;
            }
            engine.db.flush()
        };
        panic::catch_unwind(AssertUnwindSafe(insert))
            .map_err(|_| PersistenceError::engine(&self.path, "it panicked while writing"))?
            .map_err(|error| PersistenceError::engine(&self.path, error.to_string()))?;
        Ok(Head { point, timestamp: group.last_timestamp })
    }

    /// sled does not sync values that it puts into files of their own. Records are too short for that; should it
    /// happen all the same, they are synced here and somebody is told.
    fn report_blobs(&mut self) -> Result<(), PersistenceError> {
        let blobs = self.path.join("blobs");
        let fault = |source| PersistenceError::io("list", &blobs, source);
        let mut found = false;
        for blob in fs::read_dir(&blobs).map_err(fault)? {
            let path = blob.map_err(fault)?.path();
            match File::open(&path).and_then(|file| file.sync_all()) {
                // Those that are no longer needed are removed at any time.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(source) => return Err(PersistenceError::io("sync", &path, source)),
                Ok(()) => found = true,
            }
        }
        if found {
            sync_directory(&blobs)?;
            if !self.blobs_reported {
                self.blobs_reported = true;
                tracing::error!(path = %blobs.display(), "the journal's engine wrote values into blob files, which it should never do");
            }
        }
        Ok(())
    }

    fn close_engine(&mut self) -> Result<(), PersistenceError> {
        *self.shared.tree.write() = None;
        let engine = self.engine.take();
        quietly(move || drop(engine)).map_err(|reason| PersistenceError::engine(&self.path, reason))?;
        let give_up = Instant::now() + CLOSE_PATIENCE;
        // sled holds this lock until its last user is gone and nothing can be written any more.
        loop {
            match self.log.try_lock() {
                Ok(()) => return Ok(()),
                Err(TryLockError::WouldBlock) if Instant::now() < give_up => {
                    thread::sleep(Duration::from_millis(1));
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(PersistenceError::StillRead { path: self.path.clone() });
                }
                Err(TryLockError::Error(source)) => {
                    return Err(PersistenceError::io("lock", &self.path.join("db"), source));
                }
            }
        }
    }
}

impl Journal for SledJournal {
    fn append_group(&mut self, group: &Group<'_>) -> Result<(), PersistenceError> {
        if self.poisoned {
            return Err(PersistenceError::Poisoned { path: self.path.clone() });
        }
        if group.entry_ends.is_empty() && group.body.is_empty() {
            return Ok(());
        }
        let appended = self.append(group);
        self.poisoned = appended.is_err();
        appended
    }

    fn durable_seq(&self) -> u64 {
        self.shared.durable_seq.load(Ordering::Acquire)
    }

    fn reader(&self) -> Arc<dyn JournalReader> {
        Arc::new(SledReader { shared: Arc::clone(&self.shared) })
    }

    fn close(mut self: Box<Self>) -> Result<(), PersistenceError> {
        if self.poisoned {
            return Err(PersistenceError::Poisoned { path: self.path.clone() });
        }
        self.close_engine()?;
        self.log.sync_all().map_err(|source| PersistenceError::io("sync", &self.path.join("db"), source))?;
        sync_directory(&self.path)?;
        CleanMarker::write(&self.directory.clean_marker(), &self.path, self.tip())
    }
}

/// Opens sled's log a second time.
pub(crate) fn open_log(journal: &Path) -> Result<File, PersistenceError> {
    let path = journal.join("db");
    File::options()
        .read(true)
        .write(true)
        .open(&path)
        .map_err(|source| PersistenceError::io("open", &path, source))
}

fn check_group(group: &Group<'_>, head: &Head) -> Result<(), PersistenceError> {
    let refuse = |reason: String| PersistenceError::MalformedGroup { first_seq: group.first_seq, reason };
    if group.first_seq != head.point.seq + 1 {
        return Err(refuse(format!("the journal ends at {}", head.point.seq)));
    }
    let mut start = 0_usize;
    let mut last_timestamp = head.timestamp;
    for &end in group.entry_ends {
        let end = end as usize;
        let entry = group.body.get(start..end).filter(|entry| entry.len() >= ENTRY_HEADER_BYTES);
        let entry =
            entry.ok_or_else(|| refuse(format!("an entry cannot reach from byte {start} to {end}")))?;
        if entry.len() > ENTRY_HEADER_BYTES + MAX_ENTRY {
            return Err(refuse(format!(
                "an entry of {} bytes is above the limit of {MAX_ENTRY}",
                entry.len()
            )));
        }
        // One entry is a body of one: the same check as when it is read back.
        let (timestamp, _) = record::check_body(entry, 1).map_err(|reason| refuse(reason.to_owned()))?;
        if timestamp <= last_timestamp {
            return Err(refuse(format!("timestamp {timestamp} follows {last_timestamp}")));
        }
        last_timestamp = timestamp;
        start = end;
    }
    if start != group.body.len() {
        return Err(refuse(format!("its entries end at byte {start} of {}", group.body.len())));
    }
    if last_timestamp != group.last_timestamp {
        return Err(refuse(format!("its last timestamp is {last_timestamp}, not {}", group.last_timestamp)));
    }
    Ok(())
}

/// First sequence number, count and body of each record: as few as the preferred length allows, split between entries.
fn split_into_records<'a>(group: &Group<'a>) -> impl Iterator<Item = (u64, u32, &'a [u8])> {
    let (body, ends) = (group.body, group.entry_ends);
    let mut next_seq = group.first_seq;
    let mut index = 0;
    let mut start = 0;
    std::iter::from_fn(move || {
        let left = &ends[index..];
        let fitting = left.partition_point(|&end| end as usize - start <= PREFERRED_BODY);
        // A longer entry has a record of its own.
        let fitting = fitting.max(1);
        let end = *left.get(fitting - 1)? as usize;
        let record = (next_seq, fitting as u32, &body[start..end]);
        next_seq += fitting as u64;
        index += fitting;
        start = end;
        Some(record)
    })
}

/// The readers' side; cheap to share.
#[derive(Debug)]
struct SledReader {
    shared: Arc<Shared>,
}

impl SledReader {
    fn tree(&self) -> Result<sled::Tree, PersistenceError> {
        self.shared.tree.read().clone().ok_or(PersistenceError::Closed)
    }
}

impl Shared {
    fn decode(&self, key: &[u8], value: sled::IVec) -> Result<Record, PersistenceError> {
        let key = key.try_into().map(u64::from_be_bytes).unwrap_or_default();
        let damaged = |damage| PersistenceError::damaged(&self.path, damage);
        let record =
            Record::decode_shared(value).map_err(|error| damaged(Damage::BadRecord { seq: key, error }))?;
        if record.first_seq() != key {
            return Err(damaged(Damage::Misplaced { key, found: record.first_seq() }));
        }
        Ok(record)
    }

    /// Runs a read of the engine, which may fail or panic when the disk does.
    fn read<T>(&self, read: impl FnOnce() -> sled::Result<T>) -> Result<T, PersistenceError> {
        panic::catch_unwind(AssertUnwindSafe(read))
            .map_err(|_| PersistenceError::engine(&self.path, "it panicked while reading"))?
            .map_err(|error| PersistenceError::engine(&self.path, error.to_string()))
    }
}

impl JournalReader for SledReader {
    fn read_from(&self, from_seq: u64) -> Records {
        let durable_seq = self.shared.durable_seq.load(Ordering::Acquire);
        let from_seq = from_seq.max(1);
        let start = self.tree().and_then(|tree| {
            let before = self.shared.read(|| tree.get_lt(from_seq.saturating_add(1).to_be_bytes()))?;
            let start = before.map_or_else(|| sled::IVec::from(&from_seq.to_be_bytes()), |(key, _)| key);
            Ok(tree.range(start..=sled::IVec::from(&durable_seq.to_be_bytes())))
        });
        let mut values = match start {
            Ok(values) => values,
            Err(error) => return Box::new(std::iter::once(Err(error))),
        };
        let shared = Arc::clone(&self.shared);
        let mut expected = None;
        let mut failed = false;
        let mut next = move || -> Result<Option<Record>, PersistenceError> {
            loop {
                let Some((key, value)) = shared.read(|| values.next().transpose())? else { return Ok(None) };
                let record = shared.decode(&key, value)?;
                let found = record.first_seq();
                if let Some(expected) = expected.replace(record.last_seq() + 1)
                    && expected != found
                {
                    return Err(PersistenceError::damaged(&shared.path, Damage::Hole { expected, found }));
                }
                if record.last_seq() >= from_seq {
                    return Ok(Some(record));
                }
            }
        };
        Box::new(std::iter::from_fn(move || {
            if failed {
                return None;
            }
            let record = next();
            failed = record.is_err();
            record.transpose()
        }))
    }

    fn record_holding(&self, seq: u64) -> Result<Option<Record>, PersistenceError> {
        if seq == 0 || seq > self.shared.durable_seq.load(Ordering::Acquire) {
            return Ok(None);
        }
        let tree = self.tree()?;
        let found = self.shared.read(|| tree.get_lt((seq + 1).to_be_bytes()))?;
        let Some((key, value)) = found else { return Ok(None) };
        let record = self.shared.decode(&key, value)?;
        Ok((seq <= record.last_seq()).then_some(record))
    }
}
