//! Opening a data directory: find out whether everything that was acknowledged is there, then serve it, or refuse and
//! change nothing.
//!
//! After a clean stop the journal is opened in place if its files are byte for byte those of the stop and it holds everything. Otherwise it is
//! copied, and the copy is read and checked from its first record to its last, because the engine changes what it opens, and on
//! damage drops records without a word. Only when the check has passed is the journal itself opened.
//! Either way every record is read once and given to the caller as it is read, so what the caller made of them counts only
//! if the open succeeds.
//!
//! It must not decide what an entry means; the caller's callback does.

use std::{
    fs::{self, File},
    panic,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use crate::{
    chain::Chain,
    clean_marker::CleanMarker,
    data_directory::{Completeness, DataDirectory},
    durable_write::{remove_durably, sync_directory},
    engine::{self, Engine, OpenFault},
    error::{Damage, PersistenceError},
    free_space::free_bytes,
    head_file::{Head, HeadFile, ReadHead},
    journal::ChainPoint,
    record::Record,
    record_journal::RecordJournal,
    record_store::{RecordStore, StoredValues},
    scratch_copy::{ScratchCopy, directory_bytes, for_each_file},
    side_by_side::side_by_side,
    sled_store::{SledStore, SledValues, sync_whole_journal},
};

/// Room that a copy must leave free.
pub(crate) const COPY_RESERVE_BYTES: u64 = 64 << 20;

/// So many files are synced at the same time.
const SYNCS_AT_ONCE: usize = 16;

/// How to open a journal.
#[derive(Debug, Clone)]
pub struct OpenOptions {
    /// Memory that the storage engine may use to cache pages, in bytes.
    pub cache_capacity_bytes: u64,
    /// The last record that is held elsewhere, so that the journal may have been trimmed up to it. The default is that
    /// the journal holds everything.
    pub held_elsewhere: ChainPoint,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self { cache_capacity_bytes: 32 << 20, held_elsewhere: ChainPoint::default() }
    }
}

/// A journal that is ready to be appended to.
#[derive(Debug)]
pub struct OpenedJournal {
    /// The writer.
    pub journal: RecordJournal,
    /// Holds the lock, as the journal does.
    pub directory: Arc<DataDirectory>,
    /// What was found.
    pub report: RecoveryReport,
}

/// What was found in a data directory.
#[derive(Debug, Clone, Default)]
pub struct RecoveryReport {
    /// Records that were read.
    pub records: u64,
    /// Entries in them.
    pub entries: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// The last entry that survives; 0 for none.
    pub last_seq: u64,
    /// The last entry that was known to be acknowledged.
    pub head_seq: u64,
    /// Records above the head that were not whole, and so were dropped. None of their entries was ever acknowledged.
    pub dropped_tail: Option<DroppedTail>,
    /// The directory is as a clean stop left it.
    pub clean: bool,
    /// The directory was made just now.
    pub created: bool,
    /// What an operator should know, one sentence each.
    pub warnings: Vec<String>,
    /// From the taking of the lock to the end.
    pub elapsed: Duration,
}

/// The unacknowledged end of a journal that was not whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DroppedTail {
    /// Values that were dropped.
    pub records: u64,
    /// What was wrong with the first of them.
    pub damage: Damage,
}

/// Takes each surviving record, in order.
pub type OnRecord<'a> = dyn FnMut(&Record) -> Result<(), PersistenceError> + 'a;

/// Opens the data directory at `path`, making it if there is none, and gives every surviving record to `on_record`.
///
/// A damaged directory is refused and, after anything but a clean stop, left byte for byte as it was (but for the pid
/// in `LOCK`).
pub fn open(
    path: &Path,
    options: &OpenOptions,
    on_record: &mut OnRecord<'_>,
) -> Result<OpenedJournal, PersistenceError> {
    check(path, options, &mut |_| Ok(options.held_elsewhere), on_record)?.open(on_record)
}

/// Says what is held elsewhere, once the directory is locked and before the records of its journal are looked at.
pub(crate) type HeldElsewhere<'a> = dyn FnMut(&DataDirectory) -> Result<ChainPoint, PersistenceError> + 'a;

/// A journal that was looked into, and in which nothing has been changed yet.
pub(crate) struct CheckedJournal {
    started: Instant,
    directory: DataDirectory,
    options: OpenOptions,
    found: Found,
    acknowledged: ChainPoint,
    chain: Chain,
    report: RecoveryReport,
    copy: Option<OpenedCopy>,
    /// Whether something is to be dropped behind the last good record; nothing if no record has been read yet.
    has_tail: Option<bool>,
}

/// A copy of the journal, open.
struct OpenedCopy {
    values: SledValues,
    copy: ScratchCopy,
}

/// Locks the directory at `path`, making it if there is none, and reads the records of its journal, if they are read from a copy.
///
/// The copy is made while `held_elsewhere` works: neither needs anything of the other.
pub(crate) fn check(
    path: &Path,
    options: &OpenOptions,
    held_elsewhere: &mut HeldElsewhere<'_>,
    on_record: &mut OnRecord<'_>,
) -> Result<CheckedJournal, PersistenceError> {
    let started = Instant::now();
    let (directory, completeness) = DataDirectory::open(path)?;
    let created = completeness != Completeness::Complete;
    match completeness {
        Completeness::Complete => drop(remove_durably(&directory.restoring())?),
        Completeness::Restoring => return Err(PersistenceError::RestoreCutOff { path: path.to_path_buf() }),
        Completeness::Unfinished => clear_unfinished(&directory)?,
        Completeness::Empty => {}
    }
    if created {
        initialise(&directory, options)?;
        directory.complete()?;
    }
    let mut report = RecoveryReport { created, ..RecoveryReport::default() };
    let (held, prepared) = thread::scope(|scope| {
        let preparing = thread::Builder::new()
            .name("journal".to_owned())
            .spawn_scoped(scope, || prepare(&directory, options, &mut report))
            .map_err(|source| PersistenceError::io("start a thread to open", path, source))?;
        let held = held_elsewhere(&directory);
        let prepared = preparing.join().unwrap_or_else(|panic| panic::resume_unwind(panic));
        Ok::<_, PersistenceError>((held?, prepared?))
    })?;
    let (found, copy) = prepared;
    let acknowledged = found.acknowledged(held);
    report.head_seq = acknowledged.seq;
    let mut chain = Chain::new(acknowledged, held);
    let mut has_tail = None;
    if let Some(copy) = &copy {
        has_tail = Some(walk(&copy.values, &mut chain, &directory.journal(), &mut report, on_record)?);
    }
    let options = options.clone();
    Ok(CheckedJournal { started, directory, options, found, acknowledged, chain, report, copy, has_tail })
}

/// Looks at everything but the records, and opens a copy of the journal, unless it is opened in place.
fn prepare(
    directory: &DataDirectory,
    options: &OpenOptions,
    report: &mut RecoveryReport,
) -> Result<(Found, Option<OpenedCopy>), PersistenceError> {
    let found = look(directory, report)?;
    report.clean = report.created || found.is_as_left(directory, report)?;
    ScratchCopy::remove_leftover(&directory.journal_check())?;
    // What is held elsewhere may have been damaged since the stop; then the journal does not go on where that ends.
    let is_sure = report.clean && !directory.books().exists();
    let copy = if is_sure { None } else { open_copy(directory, options, report)? };
    Ok((found, copy))
}

impl CheckedJournal {
    /// Whether every record has been given away.
    pub(crate) fn is_read(&self) -> bool {
        self.has_tail.is_some()
    }

    /// Opens the journal itself, and reads its records if none has been read before. From here on the directory is changed.
    pub(crate) fn open(self, on_record: &mut OnRecord<'_>) -> Result<OpenedJournal, PersistenceError> {
        let Self { started, directory, options, found, acknowledged, mut chain, mut report, copy, has_tail } =
            self;
        if let Some(OpenedCopy { values, copy }) = copy {
            drop(values);
            drop(copy);
        }
        let journal_path = directory.journal();
        CleanMarker::remove(&directory.clean_marker())?;
        for removed in engine::remove_unfinished_snapshots(&journal_path)? {
            report.warnings.push(format!("removed {}, left by a crash during an open", removed.display()));
        }
        let engine = open_engine(&journal_path, &journal_path, &options)?;
        let directory = Arc::new(directory);
        let store = Box::new(SledStore::new(engine, Arc::clone(&directory))?);
        let has_tail = match has_tail {
            Some(has_tail) => has_tail,
            None => walk(&*store.values(), &mut chain, &journal_path, &mut report, on_record)?,
        };
        let head = HeadFile::open(&directory.head(), &found.head)?;
        let journal = take_over(store, head, &chain, acknowledged, has_tail)?;
        report.elapsed = started.elapsed();
        Ok(OpenedJournal { journal, directory, report })
    }
}

/// Makes a journal of a store whose records `chain` has admitted: what lies behind them is dropped, they are made
/// durable, and only then does the head say so.
pub(crate) fn take_over(
    mut store: Box<dyn RecordStore>,
    mut head: HeadFile,
    chain: &Chain,
    acknowledged: ChainPoint,
    has_tail: bool,
) -> Result<RecordJournal, PersistenceError> {
    if has_tail {
        store.remove_from(chain.end().seq + 1)?;
    }
    check_end(&*store.values(), chain)?;
    store.sync_survivors()?;
    let known = head.head();
    // The journal may hold more than was acknowledged, and a lost slot may have said less.
    let survived = chain.tip().unwrap_or(Head { point: acknowledged, timestamp: known.timestamp });
    if survived.point.seq > known.point.seq {
        head.advance(survived)?;
    }
    Ok(RecordJournal::new(store, head))
}

/// Verifies a stopped directory, or a backup of one, without changing it, and gives every record to `on_record`.
///
/// It works on a copy, beside the directory or in the temporary directory. What a crash left unacknowledged at the end
/// is not a fault; the report says it.
pub fn examine(
    path: &Path,
    options: &OpenOptions,
    on_record: &mut OnRecord<'_>,
) -> Result<RecoveryReport, PersistenceError> {
    examine_above(path, options, &mut |_| Ok(options.held_elsewhere), on_record)
}

/// As [`examine`]; what is held elsewhere is found out under the directory's lock.
pub(crate) fn examine_above(
    path: &Path,
    options: &OpenOptions,
    held_elsewhere: &mut HeldElsewhere<'_>,
    on_record: &mut OnRecord<'_>,
) -> Result<RecoveryReport, PersistenceError> {
    let started = Instant::now();
    let (directory, completeness) = DataDirectory::open_read_only(path)?;
    match completeness {
        Completeness::Complete => {}
        Completeness::Restoring => return Err(PersistenceError::RestoreCutOff { path: path.to_path_buf() }),
        Completeness::Empty | Completeness::Unfinished => {
            return Err(PersistenceError::damaged(&directory.version(), Damage::Missing));
        }
    }
    let held = held_elsewhere(&directory)?;
    let mut report = RecoveryReport::default();
    let found = look(&directory, &mut report)?;
    report.clean = found.is_as_left(&directory, &mut report)?;
    let acknowledged = found.acknowledged(held);
    report.head_seq = acknowledged.seq;
    let journal = directory.journal();
    let place = place_for_copy(path, &journal, directory_bytes(&journal)?)?;
    let copy = ScratchCopy::make(&journal, &place)?;
    let values = open_to_read(copy.path(), &journal, options)?;
    let mut chain = Chain::new(acknowledged, held);
    walk(&values, &mut chain, &journal, &mut report, on_record)?;
    report.elapsed = started.elapsed();
    Ok(report)
}

/// What the small files say before the journal is looked into.
#[derive(Debug)]
struct Found {
    head: ReadHead,
    clean_marker: Option<CleanMarker>,
}

impl Found {
    /// The newest of all that is known to be acknowledged.
    fn acknowledged(&self, held_elsewhere: ChainPoint) -> ChainPoint {
        let mut acknowledged = self.head.head.point;
        let marked = self.clean_marker.as_ref().map(|marker| marker.head);
        for known in [marked.unwrap_or_default(), held_elsewhere] {
            if known.seq > acknowledged.seq {
                acknowledged = known;
            }
        }
        acknowledged
    }

    fn is_as_left(
        &self,
        directory: &DataDirectory,
        report: &mut RecoveryReport,
    ) -> Result<bool, PersistenceError> {
        let Some(marker) = &self.clean_marker else { return Ok(false) };
        let same = marker.head == self.head.head.point && marker.matches(&directory.journal())?;
        if !same {
            report.warnings.push(format!(
                "{} is not as the last clean stop left it, so everything in it is checked",
                directory.path().display()
            ));
        }
        Ok(same)
    }
}

fn look(directory: &DataDirectory, report: &mut RecoveryReport) -> Result<Found, PersistenceError> {
    let head_path = directory.head();
    let journal = directory.journal();
    if !journal.is_dir() {
        return Err(PersistenceError::damaged(&journal, Damage::Missing));
    }
    if head_path.exists() {
        forget_cached_pages(&head_path)?;
    }
    let head = HeadFile::read(&head_path)?;
    if head.slot_lost {
        report.warnings.push(format!(
            "one of the two slots of {} is torn or damaged; the other one was used",
            head_path.display()
        ));
    }
    forget_cached_pages_below(&journal)?;
    let clean_marker = CleanMarker::read(&directory.clean_marker())?;
    Ok(Found { head, clean_marker })
}

/// Makes cached pages and the disk agree for every file below `directory`.
///
/// Even of a file with nothing to write a sync waits until the drive has emptied its cache, some milliseconds; those that wait for
/// that at the same time wait once.
pub(crate) fn forget_cached_pages_below(directory: &Path) -> Result<(), PersistenceError> {
    let mut files = Vec::new();
    for_each_file(directory, &mut |file| {
        files.push(file.to_path_buf());
        Ok(())
    })?;
    let share = files.len().div_ceil(SYNCS_AT_ONCE);
    let forget_all = |files: &[PathBuf]| files.iter().try_for_each(|file| forget_cached_pages(file));
    side_by_side(&files, share, directory, &forget_all).map(drop)
}

/// Makes cached pages and the disk agree: after a failed sync there may be pages in memory that never reached it, and
/// what is served must be what is there.
fn forget_cached_pages(path: &Path) -> Result<(), PersistenceError> {
    let forget = || {
        let file = File::open(path)?;
        file.sync_data()?;
        rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
        Ok(())
    };
    forget().map_err(|source| PersistenceError::io("sync before reading", path, source))
}

/// Copies the journal and opens the copy. None if there is no room for a copy.
fn open_copy(
    directory: &DataDirectory,
    options: &OpenOptions,
    report: &mut RecoveryReport,
) -> Result<Option<OpenedCopy>, PersistenceError> {
    let journal = directory.journal();
    let needed = directory_bytes(&journal)?.saturating_add(COPY_RESERVE_BYTES);
    let free = free_bytes(directory.path())?;
    if !is_room(free, needed) {
        report.warnings.push(format!(
            "the journal was opened without checking a copy first: that takes {needed} bytes, and {free} are free"
        ));
        return Ok(None);
    }
    let copy = ScratchCopy::make(&journal, &directory.journal_check())?;
    let values = open_to_read(copy.path(), &journal, options)?;
    Ok(Some(OpenedCopy { values, copy }))
}

/// Checks that the opened journal ends where the records that were read end. It matters when a copy was read: both
/// were made of the same bytes, so what holds for the last record holds for those before it.
fn check_end(values: &dyn StoredValues, chain: &Chain) -> Result<(), PersistenceError> {
    let damaged = |damage| PersistenceError::damaged(values.place(), damage);
    let last = values.at_or_below(u64::MAX).map_err(|error| unreadable(values.place(), error))?;
    match (last.map(|(_, value)| Record::decode_shared(value)), chain.tip()) {
        (None, None) => Ok(()),
        (Some(Ok(last)), Some(tip)) if last.hash() == tip.point.hash => Ok(()),
        (Some(Err(error)), _) => Err(damaged(Damage::BadRecord { seq: chain.end().seq, error })),
        _ => Err(damaged(Damage::NotTheAcknowledged { seq: chain.end().seq })),
    }
}

/// While a journal is being checked, what its engine cannot read is damage, and `journal` is what is damaged, though a
/// copy of it may be read.
fn unreadable(journal: &Path, error: PersistenceError) -> PersistenceError {
    match error {
        PersistenceError::Engine { reason, .. } if !engine::is_no_memory(&reason) => {
            PersistenceError::damaged(journal, Damage::Engine(reason))
        }
        other => other,
    }
}

/// Reads all records in order. Says whether what follows the last good one is to be dropped.
pub(crate) fn walk(
    values: &dyn StoredValues,
    chain: &mut Chain,
    journal: &Path,
    report: &mut RecoveryReport,
    on_record: &mut OnRecord<'_>,
) -> Result<bool, PersistenceError> {
    let all = values.range(0, u64::MAX).map_err(|error| unreadable(journal, error))?;
    for value in all {
        let (key, value) = value.map_err(|error| unreadable(journal, error))?;
        if let Some(tail) = &mut report.dropped_tail {
            tail.records += 1;
            continue;
        }
        match chain.admit(&key, Record::decode_shared(value)) {
            Ok(record) => {
                report.records += 1;
                report.entries += u64::from(record.count());
                report.bytes += record.as_bytes().len() as u64;
                on_record(&record)?;
            }
            Err(damage) if chain.is_past_head() => {
                report.dropped_tail = Some(DroppedTail { records: 1, damage });
            }
            Err(damage) => return Err(PersistenceError::damaged(journal, damage)),
        }
    }
    chain.finish().map_err(|damage| PersistenceError::damaged(journal, damage))?;
    report.last_seq = chain.end().seq;
    Ok(report.dropped_tail.is_some())
}

/// Opens the database in `at` and reads it; an error names `journal`, of which that may be a copy.
fn open_to_read(at: &Path, journal: &Path, options: &OpenOptions) -> Result<SledValues, PersistenceError> {
    open_engine(at, journal, options).map(|engine| SledValues::new(&engine, journal))
}

/// Opens the engine in `at`; an error names `journal`, of which that may be a copy.
fn open_engine(at: &Path, journal: &Path, options: &OpenOptions) -> Result<Engine, PersistenceError> {
    Engine::open(at, options.cache_capacity_bytes).map_err(|fault| match fault {
        OpenFault::System(source) => cannot_open(at, source),
        OpenFault::Engine(reason) => PersistenceError::damaged(journal, Damage::Engine(reason)),
    })
}

fn cannot_open(at: &Path, source: std::io::Error) -> PersistenceError {
    PersistenceError::io("open the storage engine in", at, source)
}

/// Makes the parts of a directory but for `VERSION`, each of which gets its name when it is whole.
pub(crate) fn initialise(directory: &DataDirectory, options: &OpenOptions) -> Result<(), PersistenceError> {
    let unfinished = directory.journal_unfinished();
    fs::create_dir(&unfinished).map_err(|source| PersistenceError::io("create", &unfinished, source))?;
    let engine = Engine::open(&unfinished, options.cache_capacity_bytes).map_err(|fault| match fault {
        OpenFault::System(source) => cannot_open(&unfinished, source),
        OpenFault::Engine(reason) => PersistenceError::engine(&unfinished, reason),
    })?;
    let flushed = engine::quietly(|| engine.db.flush().map_err(|error| error.to_string()));
    let closed = flushed.and_then(|flushed| flushed).and_then(|_bytes| engine.close());
    closed.map_err(|reason| PersistenceError::engine(&unfinished, reason))?;
    for_each_file(&unfinished, &mut |file| {
        File::open(file)
            .and_then(|opened| opened.sync_all())
            .map_err(|source| PersistenceError::io("sync", file, source))
    })?;
    sync_whole_journal(&unfinished)?;
    let journal = directory.journal();
    fs::rename(&unfinished, &journal).map_err(|source| PersistenceError::io("create", &journal, source))?;
    sync_directory(directory.path())?;
    HeadFile::create(&directory.head())
}

/// Removes what a crash in the middle of making a directory left, unless it was ever used.
fn clear_unfinished(directory: &DataDirectory) -> Result<(), PersistenceError> {
    let used = || PersistenceError::damaged(directory.path(), Damage::UsedWithoutVersion);
    let head = directory.head();
    // Books are made only in a directory that is complete.
    if HeadFile::read(&head).is_ok_and(|read| read.head.point.seq > 0) || directory.books().exists() {
        return Err(used());
    }
    let journal = directory.journal();
    ScratchCopy::remove_leftover(&directory.journal_check())?;
    if journal.is_dir() {
        let copy = ScratchCopy::make(&journal, &directory.journal_check())?;
        let values = open_to_read(copy.path(), &journal, &OpenOptions::default())?;
        if values.range(0, u64::MAX)?.next().is_some() {
            return Err(used());
        }
    }
    remove_parts(directory)
}

/// Removes what [`initialise`] has made, as far as it has come.
pub(crate) fn remove_parts(directory: &DataDirectory) -> Result<(), PersistenceError> {
    ScratchCopy::remove_leftover(&directory.journal())?;
    // Under this name there never was a record.
    ScratchCopy::remove_leftover(&directory.journal_unfinished())?;
    for leftover in ["head", "head.unfinished", "VERSION.unfinished"] {
        remove_durably(&directory.path().join(leftover))?;
    }
    Ok(())
}

/// Whether a copy that needs so many bytes, the reserve among them, may be made where so many are free.
pub(crate) fn is_room(free: u64, needed: u64) -> bool {
    free >= needed
}

/// Where a part of a directory, of so many bytes, can be copied to: beside the directory if that is possible, else where temporary files go.
pub(crate) fn place_for_copy(path: &Path, part: &Path, bytes: u64) -> Result<PathBuf, PersistenceError> {
    let needed = bytes.saturating_add(COPY_RESERVE_BYTES);
    let absolute = fs::canonicalize(path).map_err(|source| PersistenceError::io("read", path, source))?;
    let name = absolute.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let part = part.file_name().unwrap_or_default().to_string_lossy().into_owned();
    // Two examinations at once, of one directory without a lock, must not share a copy.
    let name = format!(".{name}.{part}.examined-{}-{:?}", std::process::id(), std::thread::current().id());
    for parent in [absolute.parent().map(Path::to_path_buf), Some(std::env::temp_dir())].into_iter().flatten()
    {
        let place = parent.join(&name);
        if is_room(free_bytes(&parent)?, needed) && fs::create_dir(&place).is_ok() {
            return Ok(place);
        }
    }
    Err(PersistenceError::NoRoomToExamine { path: path.to_path_buf(), needed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_cannot_read_is_damage_of_the_journal_unless_memory_was_short() {
        let (copy, journal) = (Path::new("/copy"), Path::new("/data/journal"));
        let read = |reason: &str| unreadable(journal, PersistenceError::engine(copy, reason)).to_string();
        let damage = read("it panicked: a checksum is wrong");
        assert!(damage.contains("/data/journal") && damage.contains("a checksum is wrong"), "{damage}");
        let short = "it panicked: failed to allocate 8 bytes";
        assert_eq!(read(short), PersistenceError::engine(copy, short).to_string());
    }
}
