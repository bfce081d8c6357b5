//! Records in sled.
//!
//! Tree `journal`: key = first sequence number of a record, big-endian → value = the record. sled's `flush` writes the
//! log but syncs neither its length nor the drive's cache (`pagecache/iobuf.rs`, `write_to_log`: `sync_file_range`),
//! so the log is synced through a second handle of its file. Nothing is ever tried again: after one failed write or
//! sync nobody knows what the disk holds.

use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use parking_lot::RwLock;

use crate::{
    clean_marker::CleanMarker,
    data_directory::DataDirectory,
    durable_write::sync_directory,
    engine::{Engine, Quiet, is_refusal, quietly},
    error::PersistenceError,
    journal::ChainPoint,
    record::SharedBytes,
    record_store::{KeyAndValue, KeysAndValues, RecordStore, StoredValues},
};

/// How long `close` waits for readers to end, and for sled's background tasks.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// Keys that are held in memory while they are removed.
const REMOVED_AT_ONCE: usize = 1024;

/// The writer's side.
#[derive(Debug)]
pub(crate) struct SledStore {
    engine: Option<Engine>,
    /// A second handle of sled's log.
    log: File,
    path: PathBuf,
    values: Arc<SledValues>,
    blobs_reported: bool,
    /// Keeps the lock for as long as anything may be written.
    directory: Arc<DataDirectory>,
}

/// The readers' side.
#[derive(Debug)]
pub(crate) struct SledValues {
    /// Taken away by `close`.
    tree: RwLock<Option<Quiet<sled::Tree>>>,
    path: PathBuf,
}

impl SledStore {
    /// Takes over an open database.
    pub(crate) fn new(engine: Engine, directory: Arc<DataDirectory>) -> Result<Self, PersistenceError> {
        let path = directory.journal();
        let log = open_log(&path)?;
        let values = Arc::new(SledValues::new(&engine, &path));
        Ok(Self { engine: Some(engine), log, path, values, blobs_reported: false, directory })
    }

    /// Runs a write of the engine, which may fail or panic when the disk does.
    fn write<T>(&self, write: impl FnOnce(&Engine) -> sled::Result<T>) -> Result<T, PersistenceError> {
        let Some(engine) = &self.engine else { return Err(PersistenceError::Closed) };
        quietly(|| write(engine))
            .and_then(|written| written.map_err(|error| error.to_string()))
            .map_err(|reason| PersistenceError::engine(&self.path, reason))
    }

    fn sync_failed(&self, source: std::io::Error) -> PersistenceError {
        PersistenceError::io("sync", &self.path.join("db"), source)
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
        // What the engine still has to write it writes when it is let go of, too, and then tells nobody if that fails.
        self.flush()?;
        *self.values.tree.write() = None;
        let closed = self.engine.take().map_or(Ok(()), Engine::close);
        closed.map_err(|reason| PersistenceError::engine(&self.path, reason))?;
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

impl RecordStore for SledStore {
    fn insert(&mut self, key: u64, value: Vec<u8>) -> Result<(), PersistenceError> {
        self.write(|engine| engine.tree.insert(key.to_be_bytes(), value)).map(|_before| ())
    }

    fn flush(&mut self) -> Result<(), PersistenceError> {
        self.write(|engine| engine.db.flush()).map(|_bytes| ())
    }

    fn sync(&mut self) -> Result<(), PersistenceError> {
        self.log.sync_data().map_err(|source| self.sync_failed(source))?;
        self.report_blobs()
    }

    fn remove_from(&mut self, key: u64) -> Result<(), PersistenceError> {
        self.write(|engine| {
            let keys: Vec<SharedBytes> =
                engine.tree.range(key.to_be_bytes()..).keys().collect::<Result<_, _>>()?;
            for key in keys {
                engine.tree.remove(key)?;
            }
            engine.db.flush().map(|_bytes| ())
        })
    }

    fn sync_survivors(&mut self) -> Result<(), PersistenceError> {
        sync_whole_journal(&self.path)
    }

    fn values(&self) -> Arc<dyn StoredValues> {
        Arc::clone(&self.values) as Arc<dyn StoredValues>
    }

    fn close(mut self: Box<Self>, tip: ChainPoint) -> Result<(), PersistenceError> {
        self.close_engine()?;
        self.log.sync_all().map_err(|source| self.sync_failed(source))?;
        sync_directory(&self.path)?;
        CleanMarker::write(&self.directory.clean_marker(), &self.path, tip)
    }
}

impl SledValues {
    /// The values of an open database; errors name `path`, of which that may be a copy.
    pub(crate) fn new(engine: &Engine, path: &Path) -> Self {
        Self { tree: RwLock::new(Some(engine.tree.clone())), path: path.to_path_buf() }
    }

    fn tree(&self) -> Result<Quiet<sled::Tree>, PersistenceError> {
        self.tree.read().clone().ok_or(PersistenceError::Closed)
    }
}

/// Runs a read of the engine, which may fail or panic when the disk does.
fn read<T>(path: &Path, read: impl FnOnce() -> sled::Result<T>) -> Result<T, PersistenceError> {
    match quietly(read) {
        Ok(Ok(read)) => Ok(read),
        Ok(Err(sled::Error::Io(source))) if is_refusal(&source) => {
            Err(PersistenceError::io("read", path, source))
        }
        Ok(Err(error)) => Err(PersistenceError::engine(path, error.to_string())),
        Err(panic) => Err(PersistenceError::engine(path, panic)),
    }
}

impl StoredValues for SledValues {
    fn place(&self) -> &Path {
        &self.path
    }

    fn range(&self, first: u64, last: u64) -> Result<KeysAndValues, PersistenceError> {
        let mut values = Quiet::new(self.tree()?.range(first.to_be_bytes()..=last.to_be_bytes()));
        let path = self.path.clone();
        let mut failed = false;
        Ok(Box::new(std::iter::from_fn(move || {
            if failed {
                return None;
            }
            let next = read(&path, || values.next().transpose());
            failed = next.is_err();
            next.transpose()
        })))
    }

    fn at_or_below(&self, key: u64) -> Result<Option<KeyAndValue>, PersistenceError> {
        let tree = self.tree()?;
        read(&self.path, || match key.checked_add(1) {
            Some(above) => tree.get_lt(above.to_be_bytes()),
            None => tree.last(),
        })
    }

    /// Nothing is flushed: the next group's flush takes the removals along, after its own values, and what sled finds of its log after a
    /// crash always ends somewhere, never in between. Removing keys lets sled use their space again; measured with a window that moves on,
    /// its log stays at about one and a half times the window.
    fn remove_through(&self, key: u64) -> Result<(), PersistenceError> {
        let tree = self.tree()?;
        loop {
            let removed = read(&self.path, || {
                let keys = tree.range(..=key.to_be_bytes()).keys().take(REMOVED_AT_ONCE);
                let keys: Vec<SharedBytes> = keys.collect::<Result<_, _>>()?;
                for key in &keys {
                    tree.remove(key)?;
                }
                Ok(keys.len())
            })?;
            if removed < REMOVED_AT_ONCE {
                return Ok(());
            }
        }
    }
}

/// Opens sled's log a second time.
fn open_log(journal: &Path) -> Result<File, PersistenceError> {
    let path = journal.join("db");
    File::options()
        .read(true)
        .write(true)
        .open(&path)
        .map_err(|source| PersistenceError::io("open", &path, source))
}

/// Makes durable whatever is in a journal's directory, the directory itself included.
pub(crate) fn sync_whole_journal(journal: &Path) -> Result<(), PersistenceError> {
    open_log(journal)?
        .sync_all()
        .map_err(|source| PersistenceError::io("sync", &journal.join("db"), source))?;
    sync_directory(&journal.join("blobs"))?;
    sync_directory(journal)
}
