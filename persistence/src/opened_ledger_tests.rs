//! A directory with books: opened, gone on with, trimmed, verified, damaged and made again.

use crate::bookkeeper::{Bookkeeper, Folded};
use crate::books::books_tests::{all_rows, check, options};
use crate::books::invented_ledger::{Chance, InventedLedger};
use crate::books::rebuild::{RebuildProgress, rebuild_books};
use crate::books::rows::Kind;
use crate::books::store::{Row, Space, Store};
use crate::books::verification::verify;
use crate::books::view::BooksView;
use crate::books::{Books, BooksOptions};
use crate::entry_codec::encode_entry;
use crate::error::PersistenceError;
use crate::journal::{Group, Journal};
use crate::ledger_reader::LedgerReader;
use crate::opened_ledger::{OpenedLedger, open_ledger};
use crate::record::push_entry;
use crate::recovery::OpenOptions;
use crate::scratch_copy::{copy_directory, for_each_file};
use ledger::Entry;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why a directory is not opened.
fn refusal(path: &Path, options: &BooksOptions) -> PersistenceError {
    let opened =
        open_ledger(path, &OpenOptions::default(), options, true, &mut |_, _, _| Ok(()), &mut |_| Ok(()));
    opened.unwrap_err()
}

pub(crate) fn open(path: &Path, options: &BooksOptions) -> (OpenedLedger, Vec<(u64, u64, Entry)>) {
    let mut above = Vec::new();
    let opened = open_ledger(
        path,
        &OpenOptions::default(),
        options,
        true,
        &mut |seq, time, entry| {
            above.push((seq, time, entry));
            Ok(())
        },
        &mut |_| Ok(()),
    );
    (opened.expect("the directory is whole"), above)
}

/// Makes durable what the ledger holds more, in groups of up to 9 entries.
pub(crate) fn append(journal: &mut dyn Journal, ledger: &InventedLedger, chance: &mut Chance) {
    while journal.durable_seq() < ledger.entries.len() as u64 {
        let start = journal.durable_seq() as usize;
        let count = (1 + chance.below(9) as usize).min(ledger.entries.len() - start);
        let (mut body, mut entry_ends, mut last_timestamp) = (Vec::new(), Vec::new(), 0);
        for (timestamp_ns, entry) in &ledger.entries[start..start + count] {
            let mut payload = Vec::new();
            encode_entry(entry, &mut payload);
            push_entry(&mut body, *timestamp_ns, &payload);
            entry_ends.push(body.len() as u32);
            last_timestamp = *timestamp_ns;
        }
        let group =
            Group { first_seq: start as u64 + 1, body: &body, entry_ends: &entry_ends, last_timestamp };
        journal.append_group(&group).expect("the disk is healthy");
    }
}

fn bookkeeper(opened: &OpenedLedger) -> Bookkeeper {
    let (reader, trimmer) = (opened.journal.reader(), opened.journal.trimmer());
    Bookkeeper::new(Arc::clone(&opened.books), reader, trimmer, Box::new(|_| {}))
}

/// A stopped directory whose books go up to entry 130 or so, and whose journal goes to 150.
pub(crate) fn written(path: &Path, options: &BooksOptions) -> InventedLedger {
    let mut chance = Chance::new(3);
    let mut ledger = InventedLedger::default();
    for (round, entries) in [60, 130, 150].into_iter().enumerate() {
        ledger.grow(&mut chance, entries, 4);
        let (mut opened, above) = open(path, options);
        let marker = opened.books.view().seq();
        assert_eq!(above.len() as u64, opened.last_seq - marker);
        assert!(above.iter().zip(marker + 1..).all(|((seq, _, _), expected)| *seq == expected));
        append(&mut *opened.journal, &ledger, &mut chance);
        if round < 2 {
            let mut bookkeeper = bookkeeper(&opened);
            while let Folded::Some(_) = bookkeeper.step().unwrap() {}
            let marker = opened.books.view().seq();
            assert_eq!(marker, entries as u64);
            let reader = opened.journal.reader();
            assert!(reader.record_holding(marker).unwrap().is_none(), "it has been trimmed");
        }
        check(&opened.books.view(), &ledger);
        opened.journal.close().unwrap();
    }
    ledger
}

#[test]
fn what_the_books_hold_is_not_read_again_and_what_is_above_them_is() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(1000);
    let ledger = written(directory.path(), &options);
    let (opened, above) = open(directory.path(), &options);
    assert_eq!((opened.last_seq, opened.books.view().seq()), (150, 130));
    assert_eq!(opened.last_timestamp_ns, ledger.fold.last_timestamp_ns);
    let expected = (131..).zip(&ledger.entries[130..]);
    assert_eq!(above, expected.map(|(seq, (time, entry))| (seq, *time, entry.clone())).collect::<Vec<_>>());
    let reader =
        LedgerReader::new(opened.journal.reader(), Arc::clone(&opened.books), Arc::new(opened.index));
    for (id, wallet) in &ledger.fold.wallets {
        assert_eq!(reader.wallet_as_of(*id, 150).unwrap().as_ref(), Some(wallet));
    }
    assert_eq!(reader.totals_as_of(150).unwrap(), ledger.fold.totals());
}

#[test]
fn a_directory_with_books_is_verified_without_being_changed_and_its_books_can_be_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let options = options(40);
    let ledger = written(&data, &options);
    let before = contents(&data);
    let report = verify(&data).unwrap();
    assert_eq!(report.wallets, ledger.fold.wallets.len() as u64);
    assert_eq!(report.transfers + report.refused, ledger.ids.len() as u64);
    assert_eq!(contents(&data), before);

    let rows = all_rows(&Books::open(&data.join("books"), &options).unwrap().view());
    // Whatever becomes of everything but the records.
    fs::remove_file(data.join("books/ids.filter.1")).unwrap();
    let refused = refusal(&data, &options).to_string();
    assert!(refused.contains("ids.filter.1") && refused.contains("rebuild"), "{refused}");
    let mut progress = Vec::new();
    let report = rebuild_books(&data, &options, &mut |come| progress.push(come)).unwrap();
    assert_eq!(progress.first(), Some(&RebuildProgress::Found(130)));
    let folded = progress.iter().map(|come| match come {
        RebuildProgress::Found(_) => 0,
        RebuildProgress::Folded(entries) => *entries,
    });
    assert!(progress.len() > 2 && folded.is_sorted(), "{progress:?}");
    assert_eq!(progress.last(), Some(&RebuildProgress::Folded(130)));
    assert_eq!((report.seq, report.above), (130, 20));
    verify(&data).unwrap();
    let (opened, above) = open(&data, &options);
    assert_eq!((opened.books.view().seq(), above.len()), (130, 20));
    assert_eq!(all_rows(&opened.books.view()), rows);
    assert!(!data.join("books.rebuilt").exists());
}

#[test]
fn books_of_another_format_are_told_from_damaged_ones_and_can_be_made_again() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let options = options(40);
    let ledger = written(&data, &options);
    let store = Store::open(&data.join("books/store"), 1 << 20).unwrap();
    let mut other = store.snapshot().get(Space::State, &[0]).unwrap().unwrap().to_vec();
    other[0] -= 1;
    store.ingest(Space::State, &mut |sink| sink(&[0], Some(&other))).unwrap();
    drop(store);
    for refused in [refusal(&data, &options), verify(&data).unwrap_err()] {
        let words = refused.to_string();
        assert!(words.starts_with(&data.join("books").display().to_string()), "{words}");
        assert!(words.contains("this version reads") && words.contains("`bursar rebuild`"), "{words}");
        assert!(!words.contains("damaged"), "{words}");
    }
    rebuild_books(&data, &options, &mut |_| ()).unwrap();
    assert_eq!(verify(&data).unwrap().wallets, ledger.fold.wallets.len() as u64);
}

/// A journal that was left clean is opened in place if nothing else has to go with it, and the engine changes what it opens.
#[test]
fn a_journal_that_was_left_clean_and_does_not_go_on_where_the_books_end_is_refused_and_not_touched() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let options = options(40);
    written(&data, &options);
    fs::remove_dir_all(data.join("books")).unwrap();
    drop(Books::open(&data.join("books"), &options).unwrap());
    let before = contents(&data.join("journal"));
    let refused = refusal(&data, &options);
    assert!(matches!(refused, PersistenceError::Damaged { .. }), "{refused}");
    assert_eq!(contents(&data.join("journal")), before);
}

#[test]
fn the_books_are_given_after_the_entries_above_them_and_no_copy_is_left() {
    let directory = tempfile::tempdir().unwrap();
    let options = options(1000);
    let found = RefCell::new(Vec::new());
    let open = |accepted: bool| {
        found.borrow_mut().clear();
        let mut on_entry = |seq, _, _| {
            found.borrow_mut().push(("entry", seq));
            Ok(())
        };
        let mut on_books = |books: &BooksView| {
            found.borrow_mut().push(("books", books.seq()));
            let refused = PersistenceError::UnreadableEntry { seq: 7, reason: "so it is said".to_owned() };
            if accepted { Ok(()) } else { Err(refused) }
        };
        let at = directory.path();
        open_ledger(at, &OpenOptions::default(), &options, true, &mut on_entry, &mut on_books)
    };
    open(true).unwrap().journal.close().unwrap();
    assert_eq!(*found.borrow(), [("books", 0)], "those that are new are empty");
    written(directory.path(), &options);
    let mut expected: Vec<_> = (131..=150).map(|seq| ("entry", seq)).collect();
    expected.push(("books", 130));
    for accepted in [false, true] {
        let opened = open(accepted);
        assert_eq!(*found.borrow(), expected);
        for copy in ["books.check", "journal.check"] {
            assert!(!directory.path().join(copy).exists(), "{copy} is left");
        }
        match opened {
            Ok(opened) => assert!(accepted && opened.last_seq == 150),
            Err(error) => assert!(!accepted && error.to_string().contains("so it is said"), "{error}"),
        }
    }
}

fn contents(path: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    for_each_file(path, &mut |file| {
        all.push((file.to_path_buf(), fs::read(file).expect("it can be read")));
        Ok(())
    })
    .unwrap();
    all.sort();
    all
}

#[test]
fn whatever_file_of_the_books_is_damaged_it_is_found_or_does_no_harm() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let options = options(1000);
    let ledger = written(&data, &options);
    let files = contents(&data.join("books"));
    let mut found = 0;
    for (file, whole) in &files {
        let name = file.strip_prefix(&data).unwrap();
        for flipped_at in [None, Some(whole.len() / 3)] {
            let mut damaged = whole.clone();
            match flipped_at {
                _ if whole.is_empty() => break,
                None => damaged.truncate(whole.len() / 2),
                Some(byte) => damaged[byte] ^= 0x10,
            }
            let copy = directory.path().join("copy");
            copy_directory(&data, &copy).unwrap();
            fs::write(copy.join(name), damaged).unwrap();
            if let Err(error) = verify(&copy) {
                found += 1;
                let of_books = matches!(error, PersistenceError::DamagedBooks { .. });
                assert!(of_books, "{}: {error}", name.display());
            } else {
                // Nobody reads it, or it can be done without.
                let books = Books::open(&copy.join("books"), &options).expect("it was verified");
                check(&books.view(), &ledger);
            }
            fs::remove_dir_all(&copy).unwrap();
        }
    }
    assert!(found > files.len(), "{found} of {}", files.len() * 2);
}

/// Keys and what they get instead, in the order of the keys; nothing removes the row.
type Changes<'a> = [(&'a [u8], Option<&'a [u8]>)];

/// What a row is called in errors.
fn table_of(space: Space, key: &[u8]) -> &'static str {
    let kinds = [
        Kind::Marker,
        Kind::Asset,
        Kind::Totals,
        Kind::Import,
        Kind::Wallet,
        Kind::Owner,
        Kind::PastGeneration,
        Kind::Hold,
        Kind::HoldByWallet,
        Kind::HoldByExpiry,
        Kind::Original,
    ];
    match space {
        Space::State => kinds.into_iter().find(|kind| *kind as u8 == key[0]).expect("a known kind").name(),
        space => space.name(),
    }
}

/// Damage that the engine's checksums cannot know of.
#[test]
fn a_row_that_is_missing_or_says_something_else_is_found_by_its_kind() {
    let directory = tempfile::tempdir().unwrap();
    let (data, copy) = (directory.path().join("data"), directory.path().join("copy"));
    let options = options(40);
    written(&data, &options);
    let mut tables: BTreeMap<&str, Vec<(Space, Row)>> = BTreeMap::new();
    let snapshot = Store::open(&data.join("books/store"), 1 << 20).unwrap().snapshot();
    for space in Space::ALL {
        for row in snapshot.range(space, &[0], &[0xff; 64]) {
            let row = row.unwrap();
            tables.entry(table_of(space, &row.0)).or_default().push((space, row));
        }
    }
    drop(snapshot);
    assert_eq!(tables.len(), 14, "{:?}", tables.keys());
    let check = |space, changes: &Changes<'_>, expected: &[&str]| {
        copy_directory(&data, &copy).unwrap();
        let store = Store::open(&copy.join("books/store"), 1 << 20).unwrap();
        let change = store.ingest(space, &mut |sink| {
            changes.iter().try_for_each(|(key, value)| sink(key, value.as_deref()))
        });
        change.unwrap();
        drop(store);
        let error = verify(&copy).expect_err(expected[0]);
        assert!(matches!(error, PersistenceError::DamagedBooks { .. }), "{error}");
        let words = error.to_string();
        assert!(expected.iter().all(|part| words.contains(part)), "{expected:?}: {words}");
        fs::remove_dir_all(&copy).unwrap();
    };
    for (table, rows) in &tables {
        let (space, (key, value)) = &rows[rows.len() / 2];
        check(*space, &[(key, None)], &[table]);
        // One that is not of what the records say, behind all others of its kind.
        if matches!(space, Space::State) && *table != Kind::Marker.name() {
            let (_, (last, value)) = &rows[rows.len() - 1];
            let mut other = last.to_vec();
            *other.last_mut().unwrap() ^= 0xff;
            check(*space, &[(&other, Some(value))], &[table]);
        }
        let mut other = value.to_vec();
        // Another marker is found out by the first that it contradicts.
        let Some(last) = other.last_mut().filter(|_| *table != Kind::Marker.name()) else { continue };
        *last ^= 1;
        check(*space, &[(key, Some(&other))], &[table]);
        if matches!(space, Space::Ids | Space::History) {
            let mut other = key.to_vec();
            other[3] += 1;
            check(*space, &[(key, None), (&other, Some(value))], &[table, "of another generation"]);
        }
    }
}
