//! A stopped data directory, or a copy of one, read without changing it: first its books, then what its journal holds above them.
//!
//! Both engines change what they open, so copies are opened; of the books, the files that never change are links.

use crate::books::view::BooksView;
use crate::books::{self, BooksOptions};
use crate::error::PersistenceError;
use crate::journal::ChainPoint;
use crate::recovery::{OnRecord, OpenOptions, RecoveryReport, examine_above, place_for_copy};
use crate::scratch_copy::{ScratchCopy, allocated_bytes};
use std::cell::{Cell, RefCell};
use std::path::Path;
use std::sync::Arc;

/// What was found, and a copy of the books to read as long as this lives.
#[derive(Debug)]
pub(crate) struct ExaminedLedger {
    pub(crate) report: RecoveryReport,
    _books: Option<ScratchCopy>,
}

/// Looks at the books.
pub(crate) type OnBooks<'a> = dyn FnMut(&Arc<BooksView>) -> Result<(), PersistenceError> + 'a;

/// Gives the books to `on_books`, if there are any, and then every record of the journal to `on_record`; it may not have been trimmed
/// yet of all that the books hold.
pub(crate) fn examine_ledger(
    path: &Path,
    on_books: &mut OnBooks<'_>,
    on_record: &mut OnRecord<'_>,
) -> Result<ExaminedLedger, PersistenceError> {
    let mut copy = None;
    let report = examine_above(
        path,
        &OpenOptions::default(),
        &mut |directory| {
            let books = directory.books();
            if !books.exists() {
                return Ok(ChainPoint::default());
            }
            let bytes = allocated_bytes(&books, &|_| true)?;
            let made = books::copy(&books, &place_for_copy(path, &books, bytes)?)?;
            let of_books = |error: PersistenceError| error.of_the_original(made.path(), &books);
            let view = books::read_copy(made.path(), &BooksOptions::default()).map_err(of_books)?;
            on_books(&view).map_err(of_books)?;
            copy = Some(made);
            Ok(view.chain_point())
        },
        on_record,
    )?;
    Ok(ExaminedLedger { report, _books: copy })
}

/// Gives every record of the stopped directory at `path` to `on_record`, from the first one on, once each.
pub fn read_records(path: &Path, on_record: &mut OnRecord<'_>) -> Result<RecoveryReport, PersistenceError> {
    let (on_record, given) = (RefCell::new(on_record), Cell::new(0));
    let give = |record: &crate::Record| {
        given.set(record.last_seq());
        (on_record.borrow_mut())(record)
    };
    let examined = examine_ledger(
        path,
        &mut |view| view.records_from(1).try_for_each(|record| give(&record?)),
        &mut |record| if record.last_seq() > given.get() { give(record) } else { Ok(()) },
    )?;
    Ok(examined.report)
}
