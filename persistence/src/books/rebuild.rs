//! Books made again from the records alone, and put in the place of the old ones.
//!
//! The records are the only part of the old books that is read; each is checked against its hash and against the one before it. What the
//! journal holds above them is folded by the bookkeeper when the directory is opened the next time.

use crate::bookkeeper::{Bookkeeper, Folded};
use crate::durable_write::sync_directory;
use crate::error::PersistenceError;
use crate::journal::{ChainPoint, JournalReader, JournalTrimmer, Records};
use crate::record::Record;
use crate::recovery::{OpenOptions, examine_above};
use crate::scratch_copy::ScratchCopy;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::id_filter::IdFilter;
use super::rows::Marker;
use super::store::{Space, Store};
use super::view::BooksView;
use super::{Books, BooksOptions, store_path};

/// What books were made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RebuildReport {
    /// Up to which entry they go.
    pub seq: u64,
    /// Entries that the journal holds above them.
    pub above: u64,
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RebuildProgress {
    /// The old books hold the records of so many entries.
    Found(u64),
    /// So many of them are in the new books.
    Folded(u64),
}

/// The records of old books, as a journal that nothing is trimmed from.
#[derive(Debug)]
struct OldRecords(Arc<BooksView>);

impl JournalReader for OldRecords {
    fn read_from(&self, from_seq: u64) -> Records {
        Box::new(self.0.records_from(from_seq))
    }

    fn record_holding(&self, seq: u64) -> Result<Option<Record>, PersistenceError> {
        self.0.record_holding(seq)
    }
}

impl JournalTrimmer for OldRecords {
    fn trim(&self, _through_seq: u64) -> Result<(), PersistenceError> {
        Ok(())
    }
}

/// Makes the books of the stopped data directory at `path` again, and checks that the journal goes on where they end. Tells now and
/// then how far it has come.
pub fn rebuild_books(
    path: &Path,
    options: &BooksOptions,
    on_progress: &mut dyn FnMut(RebuildProgress),
) -> Result<RebuildReport, PersistenceError> {
    let mut seq = 0;
    let mut above = 0;
    let mut exchange = None;
    examine_above(
        path,
        &OpenOptions::default(),
        &mut |directory| {
            let (books, rebuilt) = (directory.books(), directory.books_rebuilt());
            ScratchCopy::remove_leftover(&rebuilt)?;
            let held = if books.exists() {
                rebuild(&books, &rebuilt, options, on_progress)?
            } else {
                ChainPoint::default()
            };
            seq = held.seq;
            exchange = books.exists().then_some((books, rebuilt));
            Ok(held)
        },
        &mut |record| {
            above = record.last_seq();
            Ok(())
        },
    )?;
    // Only now is it known that the journal follows.
    if let Some((books, rebuilt)) = exchange {
        put_in_place(&books, &rebuilt)?;
    }
    Ok(RebuildReport { seq, above: above.saturating_sub(seq) })
}

fn rebuild(
    old: &Path,
    new: &Path,
    options: &BooksOptions,
    on_progress: &mut dyn FnMut(RebuildProgress),
) -> Result<ChainPoint, PersistenceError> {
    let records = old_records(old, options)?;
    on_progress(RebuildProgress::Found(records.0.seq()));
    let books = Arc::new(Books::open(new, options)?);
    let trimmer = Arc::clone(&records) as Arc<dyn JournalTrimmer>;
    fold_all(&books, records, trimmer, &mut |seq| on_progress(RebuildProgress::Folded(seq)))
}

/// Folds all that a journal holds, which gets nothing more, and says how far after each window. Returns where the books end.
pub(crate) fn fold_all(
    books: &Arc<Books>,
    journal: Arc<dyn JournalReader>,
    trimmer: Arc<dyn JournalTrimmer>,
    on_folded: &mut dyn FnMut(u64),
) -> Result<ChainPoint, PersistenceError> {
    let mut bookkeeper = Bookkeeper::new(Arc::clone(books), journal, trimmer, Box::new(|_| {}));
    loop {
        match bookkeeper.step()? {
            Folded::Some(_) => on_folded(books.view().seq()),
            // Nobody waits for it, and nothing tells when enough is merged.
            Folded::Behind => std::thread::sleep(Duration::from_millis(10)),
            Folded::Nothing | Folded::All(_) => break,
        }
    }
    bookkeeper.finish()?;
    let held = books.view().chain_point();
    on_folded(held.seq);
    Ok(held)
}

/// All records that are there. The marker and everything else may be what is damaged, so the last record says where they end.
fn old_records(old: &Path, options: &BooksOptions) -> Result<Arc<OldRecords>, PersistenceError> {
    let snapshot = Store::open_to_read(&store_path(old), options.cache_bytes)?.snapshot();
    let last = snapshot.range(Space::Records, &[0; 8], &[0xff; 8]).next_back().transpose()?;
    let marker = match last {
        None => Marker::default(),
        Some((key, value)) => {
            let record = Record::decode(value.to_vec()).map_err(|error| {
                super::rows::bad_row(snapshot.store().path(), "records", &key, &error.to_string())
            })?;
            Marker {
                point: ChainPoint { seq: record.last_seq(), hash: record.hash() },
                last_timestamp_ns: record.last_timestamp(),
                ..Marker::default()
            }
        }
    };
    Ok(Arc::new(OldRecords(Arc::new(BooksView::new(snapshot, marker, IdFilter::default())))))
}

/// Exchanges the two directories in one step, and removes what was replaced.
fn put_in_place(books: &Path, rebuilt: &Path) -> Result<(), PersistenceError> {
    let here = rustix::fs::CWD;
    rustix::fs::renameat_with(here, rebuilt, here, books, rustix::fs::RenameFlags::EXCHANGE)
        .map_err(|errno| PersistenceError::io("exchange", books, errno.into()))?;
    sync_directory(books.parent().unwrap_or(Path::new(".")))?;
    ScratchCopy::remove_leftover(rebuilt)
}
