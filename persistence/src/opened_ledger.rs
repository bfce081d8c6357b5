//! A data directory opened as a ledger with its books: what they hold is not read again, what the journal holds above them is.
//!
//! So the time that it takes depends on how far the books lag behind, and neither on the number of wallets nor on the age of the ledger.

use crate::books::{self, Books, BooksOptions};
use crate::clock::{implausible_wall_clock, wall_clock_ns};
use crate::entry_codec::decode_entry;
use crate::error::{BooksDamage, PersistenceError};
use crate::journal::{ChainPoint, Journal};
use crate::record::Record;
use crate::recovery::{OpenOptions, OpenedJournal, RecoveryReport, open_above};
use crate::scratch_copy::ScratchCopy;
use crate::wallet_index::WalletIndex;
use ledger::Entry;
use std::cell::Cell;
use std::path::Path;
use std::sync::Arc;

/// A ledger as it was when it was last acknowledged, ready to go on.
#[derive(Debug)]
pub struct OpenedLedger {
    /// Where new entries go.
    pub journal: Box<dyn Journal>,
    /// What is held up to their marker.
    pub books: Arc<Books>,
    /// Which entries above the books changed which wallet.
    pub index: WalletIndex,
    /// The newest entry; 0 for none.
    pub last_seq: u64,
    /// Its time, in nanoseconds since 1970.
    pub last_timestamp_ns: u64,
    /// What was found of the journal.
    pub report: RecoveryReport,
}

/// Takes each entry above the books, in order, with its time.
pub type OnEntry<'a> = dyn FnMut(u64, u64, Entry) -> Result<(), PersistenceError> + 'a;

/// Opens the data directory at `path`, making it if there is none, and gives every entry above the books to `on_entry`.
///
/// With `accept_clock`, a wall clock far from the newest entry is not a reason to refuse. What the options say to be held elsewhere
/// is not looked at: the books say it.
pub fn open_ledger(
    path: &Path,
    options: &OpenOptions,
    books_options: &BooksOptions,
    accept_clock: bool,
    on_entry: &mut OnEntry<'_>,
) -> Result<OpenedLedger, PersistenceError> {
    let held = Cell::new(None);
    let mut warning = None;
    let index = WalletIndex::default();
    let mut above = Vec::new();
    let mut held_elsewhere = |directory: &crate::DataDirectory| {
        ScratchCopy::remove_leftover(&directory.books_rebuilt())?;
        let at = directory.books();
        // Where there are none yet, the journal holds everything, and is looked at before anything is made.
        if !at.exists() {
            return Ok(ChainPoint::default());
        }
        let mut point = books::examine(&at, &directory.books_check(), books_options)?;
        if point.is_none() {
            warning = Some(
                "the books were opened without checking a copy first: there is no room for it".to_owned(),
            );
            point = Some(Books::open_existing(&at, books_options)?.view().chain_point());
        }
        held.set(point);
        Ok(point.unwrap_or_default())
    };
    let OpenedJournal { journal, directory, mut report } =
        open_above(path, options, &mut held_elsewhere, &mut |record| {
            // The journal need not be trimmed yet.
            if held.get().is_none_or(|held: ChainPoint| record.last_seq() > held.seq) {
                above.push(record.clone());
            }
            Ok(())
        })?;
    report.warnings.extend(warning);
    let books = match held.get() {
        None => Books::open(&directory.books(), books_options)?,
        Some(held) => {
            let books = Books::open_existing(&directory.books(), books_options)?;
            if books.view().chain_point() != held {
                // Not what its copy was a moment ago.
                return Err(PersistenceError::damaged_books(books.directory(), BooksDamage::Unreadable));
            }
            books
        }
    };
    let newest_ns = give_away(&above, &index, on_entry)?;
    let last_timestamp_ns = newest_ns.unwrap_or(books.view().last_timestamp_ns());
    index.forget_through(books.view().seq());
    if let Some(reason) = implausible_wall_clock(last_timestamp_ns, wall_clock_ns())
        && !accept_clock
    {
        Box::new(journal).close()?;
        return Err(PersistenceError::ImplausibleClock { path: path.to_owned(), reason });
    }
    let last_seq = report.last_seq;
    let (journal, books) = (Box::new(journal), Arc::new(books));
    Ok(OpenedLedger { journal, books, index, last_seq, last_timestamp_ns, report })
}

/// Gives the entries of records away and notes which wallets they change, once all of the journal has been checked. Returns the time
/// of the newest.
pub(crate) fn give_away(
    records: &[Record],
    index: &WalletIndex,
    on_entry: &mut OnEntry<'_>,
) -> Result<Option<u64>, PersistenceError> {
    let mut newest_ns = None;
    for record in records {
        for (seq, timestamp_ns, payload) in record.entries() {
            let entry = decode_entry(seq, payload)?;
            entry.wallets().for_each(|wallet| index.push(wallet, seq));
            on_entry(seq, timestamp_ns, entry)?;
            newest_ns = Some(timestamp_ns);
        }
    }
    Ok(newest_ns)
}
