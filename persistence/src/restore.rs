//! A data directory made of a backup.
//!
//! The records are folded into books; the journal is empty, as after a trim that took everything. The backup is read twice: to the
//! end before anything is made of it, so that a damaged one makes nothing, and then to fold it.
//!
//! While that goes on, the directory holds `RESTORING` and no `VERSION`. A restore that was cut off there leaves a directory that
//! nobody opens, because it would look like a ledger that has just begun; it is restored again from the start.

use std::{
    fs::{self, File},
    io::{BufReader, Read},
    path::Path,
    sync::Arc,
};

use parking_lot::Mutex;

use crate::{
    backup_file::{BackupReader, BackupReport},
    books::{Books, BooksOptions, rebuild::fold_all},
    data_directory::{Completeness, DataDirectory},
    durable_write::{make_durably, remove_durably, sync_directory},
    error::PersistenceError,
    head_file::HeadFile,
    journal::{JournalReader, JournalTrimmer, Records},
    record::Record,
    recovery::{OpenOptions, initialise, remove_parts},
    scratch_copy::ScratchCopy,
};

/// How far a restore has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RestoreProgress {
    /// So many bytes of the backup have been checked.
    Checked(u64),
    /// All of it is whole: this is what it holds.
    Whole(BackupReport),
    /// So many entries are in the books.
    Folded(u64),
}

/// Told of it now and then.
pub type OnProgress<'a> = dyn FnMut(RestoreProgress) + 'a;

/// After so many bytes, progress is told.
const TOLD_EVERY: u64 = 16 << 20;

/// Reads the backup at `path` to its end, and gives every record to `on_record`.
pub fn read_backup(
    path: &Path,
    on_record: &mut dyn FnMut(&Record, &BackupReport) -> Result<(), PersistenceError>,
) -> Result<BackupReport, PersistenceError> {
    read_to_end(BackupReader::open(path)?, on_record)
}

/// As [`read_backup`], of bytes that come from `source`; errors name `path`.
pub fn read_backup_from(
    path: &Path,
    source: impl Read,
    on_record: &mut dyn FnMut(&Record, &BackupReport) -> Result<(), PersistenceError>,
) -> Result<BackupReport, PersistenceError> {
    read_to_end(BackupReader::read_from(path, source)?, on_record)
}

fn read_to_end<R: Read>(
    mut reader: BackupReader<R>,
    on_record: &mut dyn FnMut(&Record, &BackupReport) -> Result<(), PersistenceError>,
) -> Result<BackupReport, PersistenceError> {
    while let Some(record) = reader.next_record()? {
        on_record(&record, &reader.report())?;
    }
    Ok(reader.report())
}

/// Makes a data directory at `path`, where nothing may be yet, that holds what the backup holds. When it returns, all of it survives a
/// power loss.
pub fn restore(
    backup: &Path,
    path: &Path,
    options: &BooksOptions,
    on_progress: &mut OnProgress<'_>,
) -> Result<BackupReport, PersistenceError> {
    let mut told = 0;
    let report = read_backup(backup, &mut |_, report| {
        if report.file_bytes >= told + TOLD_EVERY {
            told = report.file_bytes;
            on_progress(RestoreProgress::Checked(told));
        }
        Ok(())
    })?;
    on_progress(RestoreProgress::Whole(report));
    let directory = begin(path)?;
    let rebuilt = directory.books_rebuilt();
    let records = Arc::new(BackupRecords(Arc::new(Mutex::new(BackupReader::open(backup)?))));
    let trimmer = Arc::clone(&records) as Arc<dyn JournalTrimmer>;
    let books = Arc::new(Books::open(&rebuilt, options)?);
    let folded = fold_all(&books, records, trimmer, &mut |seq| on_progress(RestoreProgress::Folded(seq)))?;
    drop(books);
    if folded != report.head().point {
        return Err(PersistenceError::Io {
            action: "read",
            path: backup.to_path_buf(),
            source: std::io::Error::other("it was changed while it was read"),
        });
    }
    let books = directory.books();
    fs::rename(&rebuilt, &books).map_err(|source| PersistenceError::io("create", &books, source))?;
    sync_directory(directory.path())?;
    let head = directory.head();
    if folded.seq > 0 {
        HeadFile::open(&head, &HeadFile::read(&head)?)?.advance(report.head())?;
    }
    directory.complete()?;
    remove_durably(&directory.restoring())?;
    Ok(report)
}

/// Takes a directory that is empty, or that a restore was cut off in, and makes its parts but the books.
fn begin(path: &Path) -> Result<DataDirectory, PersistenceError> {
    let (directory, completeness) = DataDirectory::open(path)?;
    match completeness {
        Completeness::Empty => {}
        Completeness::Restoring => {
            let books = directory.books();
            for part in [&books.with_extension("unfinished"), &directory.books_rebuilt(), &books] {
                ScratchCopy::remove_leftover(part)?;
            }
            remove_parts(&directory)?;
        }
        Completeness::Unfinished | Completeness::Complete => {
            return Err(PersistenceError::Exists { path: path.to_path_buf() });
        }
    }
    make_durably(&directory.restoring())?;
    initialise(&directory, &OpenOptions::default())?;
    Ok(directory)
}

/// A backup's records, as a journal that is read once from its start to its end.
#[derive(Debug)]
struct BackupRecords(Arc<Mutex<BackupReader<BufReader<File>>>>);

impl JournalReader for BackupRecords {
    fn read_from(&self, from_seq: u64) -> Records {
        let reader = Arc::clone(&self.0);
        assert_eq!(reader.lock().next_seq(), from_seq, "a window goes on where the one before it ended");
        Box::new(std::iter::from_fn(move || reader.lock().next_record().transpose()))
    }

    fn record_holding(&self, _seq: u64) -> Result<Option<Record>, PersistenceError> {
        Ok(None)
    }
}

impl JournalTrimmer for BackupRecords {
    fn trim(&self, _through_seq: u64) -> Result<(), PersistenceError> {
        Ok(())
    }
}
