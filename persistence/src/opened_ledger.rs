//! A data directory opened as a ledger with its books: what they hold is not read again, what the journal holds above them is.
//!
//! So the time that it takes depends on how far the books lag behind, and neither on the number of wallets nor on the age of the ledger.

use crate::books::view::BooksView;
use crate::books::{self, Books, BooksOptions, ExaminedBooks};
use crate::clock::{implausible_wall_clock, wall_clock_ns};
use crate::data_directory::DataDirectory;
use crate::entry_codec::decode_entry;
use crate::error::PersistenceError;
use crate::journal::{ChainPoint, Journal};
use crate::record::Record;
use crate::recovery::{OpenOptions, OpenedJournal, RecoveryReport, check};
use crate::scratch_copy::ScratchCopy;
use crate::wallet_index::WalletIndex;
use ledger::Entry;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::{panic, thread};

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

/// Takes the books, after every entry above them.
pub type OnBooks<'a> = dyn FnMut(&BooksView) -> Result<(), PersistenceError> + 'a;

/// What the thread that reads the directory finds, in this order.
enum Found {
    Books(Arc<BooksView>),
    Record(Record),
}

/// The books, as far as they have been opened.
enum FoundBooks {
    /// There are none yet: the journal holds everything, and is looked at before anything is made.
    None,
    Examined(ExaminedBooks),
    /// Without a copy, because there was no room for one.
    Opened(Books),
}

/// Opens the data directory at `path`, making it if there is none, gives every entry above the books to `on_entry`, and then the books
/// to `on_books`. What was made of them counts only if the open succeeds.
///
/// With `accept_clock`, a wall clock far from the newest entry is not a reason to refuse. What the options say to be held elsewhere
/// is not looked at: the books say it.
pub fn open_ledger(
    path: &Path,
    options: &OpenOptions,
    books_options: &BooksOptions,
    accept_clock: bool,
    on_entry: &mut OnEntry<'_>,
    on_books: &mut OnBooks<'_>,
) -> Result<OpenedLedger, PersistenceError> {
    let index = WalletIndex::default();
    let (found, findings) = channel();
    let (opened, taken) = thread::scope(|scope| {
        let opening = thread::Builder::new()
            .name("recovery".to_owned())
            .spawn_scoped(scope, || read_directory(path, options, books_options, found))
            .map_err(|source| PersistenceError::io("start a thread to open", path, source))?;
        // While the directory is read, what was found in it is taken up.
        let taken = take_up(findings, &index, on_entry, on_books);
        Ok::<_, PersistenceError>((opening.join().unwrap_or_else(|panic| panic::resume_unwind(panic)), taken))
    })?;
    let (OpenedJournal { journal, directory, report }, books) = opened?;
    let of_the_books = |error| match &books {
        FoundBooks::Examined(examined) => examined.of_the_original(error, &directory.books()),
        _ => error,
    };
    let newest_ns = taken.map_err(of_the_books)?;
    let is_unread = matches!(books, FoundBooks::None);
    // Last, because the engine then begins to merge what waits for it.
    let books = match books {
        FoundBooks::None => Books::open(&directory.books(), books_options)?,
        FoundBooks::Examined(examined) => Books::open_examined(&directory.books(), books_options, examined)?,
        FoundBooks::Opened(books) => books,
    };
    let view = books.view();
    if is_unread {
        on_books(&view)?;
    }
    let last_timestamp_ns = newest_ns.unwrap_or(view.last_timestamp_ns());
    index.forget_through(view.seq());
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

/// Checks and opens the directory but for its books, and sends what it finds.
fn read_directory(
    path: &Path,
    options: &OpenOptions,
    books_options: &BooksOptions,
    found: Sender<Found>,
) -> Result<(OpenedJournal, FoundBooks), PersistenceError> {
    // Whoever has failed to take up what was found hears nothing more, and says why.
    let send = |finding| drop(found.send(finding));
    let mut send_record = |record: &Record| {
        send(Found::Record(record.clone()));
        Ok(())
    };
    let mut is_unchecked = false;
    let mut books = FoundBooks::None;
    let mut held_elsewhere = |directory: &DataDirectory| {
        ScratchCopy::remove_leftover(&directory.books_rebuilt())?;
        let at = directory.books();
        if !at.exists() {
            return Ok(ChainPoint::default());
        }
        let view = if let Some(examined) = books::examine(&at, &directory.books_check(), books_options)? {
            let view = Arc::clone(&examined.view);
            books = FoundBooks::Examined(examined);
            view
        } else {
            is_unchecked = true;
            let opened = Books::open_existing(&at, books_options)?;
            let view = opened.view();
            books = FoundBooks::Opened(opened);
            view
        };
        let held = view.chain_point();
        send(Found::Books(view));
        Ok(held)
    };
    let checked = check(path, options, &mut held_elsewhere, &mut send_record)?;
    let mut opened = if checked.is_read() {
        // That was all: the books are taken up while the journal is opened.
        drop(found);
        checked.open(&mut |_| Ok(()))?
    } else {
        checked.open(&mut send_record)?
    };
    if is_unchecked {
        opened
            .report
            .warnings
            .push("the books were opened without checking a copy first: there is no room for it".to_owned());
    }
    Ok((opened, books))
}

/// Takes up what is found, until that was all. Returns the time of the newest entry, if there is one above the books.
fn take_up(
    findings: Receiver<Found>,
    index: &WalletIndex,
    on_entry: &mut OnEntry<'_>,
    on_books: &mut OnBooks<'_>,
) -> Result<Option<u64>, PersistenceError> {
    let mut books: Option<Arc<BooksView>> = None;
    let mut newest_ns = None;
    for finding in findings {
        match finding {
            Found::Books(view) => books = Some(view),
            // The journal need not be trimmed yet.
            Found::Record(record) if books.as_ref().is_some_and(|books| record.last_seq() <= books.seq()) => {
            }
            Found::Record(record) => {
                give_away(&record, index, on_entry)?;
                newest_ns = Some(record.last_timestamp());
            }
        }
    }
    if let Some(books) = books {
        on_books(&books)?;
    }
    Ok(newest_ns)
}

/// Gives the entries of a record away and notes which wallets they change.
pub(crate) fn give_away(
    record: &Record,
    index: &WalletIndex,
    on_entry: &mut OnEntry<'_>,
) -> Result<(), PersistenceError> {
    for (seq, timestamp_ns, payload) in record.entries() {
        let entry = decode_entry(seq, payload)?;
        entry.wallets().for_each(|wallet| index.push(wallet, seq));
        on_entry(seq, timestamp_ns, entry)?;
    }
    Ok(())
}
