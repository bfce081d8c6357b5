//! The books against a plain model of what they should hold; crashes between any two steps; what a view keeps.

use super::history::{Before, ChunkKey, HistoryRow, decode_chunk};
use super::id_filter::LevelSizes;
use super::invented_ledger::{Chance, InventedLedger, MemoryJournal};
use super::rows::Marker;
use super::store::{Space, Store};
use super::view::{BooksView, Direction, WalletQuery};
use super::window::WindowLimits;
use super::{Books, BooksOptions, is_table, store_path};
use crate::bookkeeper::{Bookkeeper, Folded};
use crate::error::PersistenceError;
use crate::journal::JournalReader;
use crate::scratch_copy::{copy_directory, for_each_file};
use ledger::{OrderKind, Owner, Position, TransferId, WalletId};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

pub(crate) fn options(window_entries: u64) -> BooksOptions {
    BooksOptions {
        window: WindowLimits { entries: window_entries, wallets: 5, bytes: 1 << 20 },
        filter_lag_max: 20,
        filter_sizes: LevelSizes { first: 16, greatest: 64 },
        generations: super::rows::Generations::of_entries(24),
        chunk_rows: 4,
        ..BooksOptions::default()
    }
}

fn bookkeeper(books: &Arc<Books>, journal: &Arc<MemoryJournal>) -> Bookkeeper {
    let reader = Arc::clone(journal) as Arc<dyn JournalReader>;
    Bookkeeper::new(Arc::clone(books), reader, Arc::clone(journal) as _, Box::new(|_| {}))
}

/// Making empty books takes some hundred syncs, so they are made once and copied.
pub(crate) fn open(directory: &Path, options: &BooksOptions) -> Arc<Books> {
    static EMPTY: OnceLock<tempfile::TempDir> = OnceLock::new();
    if !directory.exists() {
        let empty = EMPTY.get_or_init(|| {
            let made = tempfile::tempdir().unwrap();
            drop(Books::open(&made.path().join("books"), &self::options(1)).unwrap());
            made
        });
        copy_directory(&empty.path().join("books"), directory).unwrap();
    }
    Arc::new(Books::open(directory, options).expect("the books are whole"))
}

/// Books that hold all of a ledger.
fn folded(directory: &Path, ledger: &InventedLedger, options: &BooksOptions) -> Arc<Books> {
    let books = open(directory, options);
    let journal = Arc::new(MemoryJournal::of(ledger, &mut Chance::new(5), 7));
    let mut bookkeeper = bookkeeper(&books, &journal);
    while let Folded::Some(_) = bookkeeper.step().unwrap() {}
    books
}

/// Everything that a view answers is what the ledger says.
pub(crate) fn check(view: &Arc<BooksView>, ledger: &InventedLedger) {
    let ledger = ledger.as_of(view.seq());
    let fold = &ledger.fold;
    assert_eq!((view.seq(), view.last_timestamp_ns()), (fold.last_seq, fold.last_timestamp_ns));
    assert_eq!(view.assets().unwrap(), fold.assets);
    assert_eq!(view.totals().unwrap(), fold.totals());
    for (id, wallet) in &fold.wallets {
        assert_eq!(view.wallet(*id).unwrap().as_ref(), Some(wallet));
    }
    assert_eq!(view.wallet(WalletId(77_777)).unwrap(), None);
    let records: Vec<_> = view.records_from(1).collect::<Result<_, _>>().unwrap();
    let entries: u64 = records.iter().map(|record| u64::from(record.count())).sum();
    assert_eq!(entries, view.seq());
    for (seq, (timestamp_ns, entry)) in (1..).zip(&ledger.entries) {
        assert_eq!(view.entry(seq).unwrap().as_ref(), Some(&(*timestamp_ns, entry.clone())));
        assert_eq!(view.seq_at(*timestamp_ns).unwrap(), seq);
        assert_eq!(view.seq_at(timestamp_ns - 1).unwrap(), seq - 1);
    }
    assert_eq!(view.entry(view.seq() + 1).unwrap(), None);
    for (id, seq) in &ledger.ids {
        assert!(view.ids().may_contain(*id));
        assert_eq!(view.seq_of(*id).unwrap(), Some(*seq));
        let original = ledger.originals[id].clone();
        assert_eq!(view.original(*id).unwrap(), Some((*seq, original)), "{id}");
    }
    assert_eq!(view.seq_of(TransferId(1)).unwrap(), None);
    assert_eq!(view.original(TransferId(1)).unwrap(), None);
    check_holds(view, &ledger);
    check_history(view, &ledger);
    check_lists(view, &ledger);
}

fn check_holds(view: &BooksView, ledger: &InventedLedger) {
    let open: BTreeMap<_, _> = ledger.open_holds().collect();
    for (id, terms) in &open {
        assert_eq!(view.hold(*id).unwrap().map(|(terms, _)| terms), Some(*terms));
    }
    let now_ns = ledger.fold.last_timestamp_ns;
    for until_ns in [0, now_ns, now_ns + 4_000_000_000, u64::MAX - 1, u64::MAX] {
        let mut due: Vec<_> = open.iter().map(|(id, terms)| (terms.expires_at_ns, *id)).collect();
        due.retain(|(expires_at_ns, _)| *expires_at_ns <= until_ns && *expires_at_ns != u64::MAX);
        due.sort_unstable();
        let found = |after, limit| -> Vec<_> {
            let found = view.holds_due(after, until_ns, limit).unwrap();
            found.iter().map(|(id, terms)| (terms.expires_at_ns, *id)).collect()
        };
        assert_eq!(found(None, usize::MAX), due);
        for (place, after) in due.iter().enumerate() {
            assert_eq!(found(Some(*after), 2), due[place + 1..due.len().min(place + 3)]);
        }
    }
    for (id, wallet) in &ledger.fold.wallets {
        let (mut listed, mut after) = (Vec::new(), None);
        loop {
            let page = view.list_pending(*id, after, 2).unwrap();
            assert!(page.items.len() <= 2);
            listed.extend(page.items);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let expected: Vec<_> = wallet.holds.iter().map(|(id, hold)| (id, *hold)).collect();
        assert_eq!(listed, expected);
    }
}

fn check_history(view: &BooksView, ledger: &InventedLedger) {
    for id in ledger.fold.wallets.keys() {
        let of_wallet = ledger.history.iter().filter(|(wallet, _)| wallet == id);
        let rows: Vec<_> = of_wallet.map(|(_, row)| *row).collect();
        let all = |direction| view.history(*id, 0, u64::MAX, direction, usize::MAX).unwrap();
        assert_eq!(all(Direction::Forward), rows);
        let backward: Vec<_> = rows.iter().rev().copied().collect();
        assert_eq!(all(Direction::Backward), backward);
        let part = view.history(*id, 5, view.seq() - 1, Direction::Backward, 3).unwrap();
        let expected = backward.iter().filter(|row| (5..view.seq()).contains(&row.seq)).take(3);
        assert_eq!(part, expected.copied().collect::<Vec<_>>());
        for seq in 0..=view.seq() {
            let row = rows.iter().rev().find(|row| row.seq <= seq);
            assert_eq!(view.position_at(*id, seq).unwrap(), row.map(|row| row.position));
        }
    }
}

fn check_lists(view: &BooksView, ledger: &InventedLedger) {
    let owners = [None, Some(Owner::Number(0)), Some(Owner::Number(9)), Some(Owner::Bytes([1].into()))];
    for (owner, code) in owners.into_iter().zip([None, Some(1), None, Some(0)]) {
        let mut query = WalletQuery { owner, code, limit: 2, scan_max: 3, ..WalletQuery::default() };
        let mut listed = Vec::new();
        loop {
            let page = view.list_wallets(&query).unwrap();
            listed.extend(page.items.iter().map(|wallet| wallet.terms.id));
            query.after = page.next;
            if page.next.is_none() {
                break;
            }
        }
        let matching = ledger.fold.wallets.values().filter(|wallet| query.matches(wallet));
        let mut expected: Vec<_> = matching.map(|wallet| wallet.terms.id).collect();
        expected.sort_unstable();
        assert_eq!(listed, expected, "{query:?}");
    }
}

/// All rows of the books, but for what the marker says of the filter's files, and whichever chunks the history lies in.
pub(crate) fn all_rows(view: &BooksView) -> Vec<(Space, Vec<u8>, Vec<u8>)> {
    let mut all = Vec::new();
    for space in Space::ALL {
        for row in view.snapshot().range(space, &[0], &[0xff; 32]) {
            let (key, value) = row.expect("it is whole");
            let mut value = value.to_vec();
            if space == Space::History {
                let place = ChunkKey::decode(&key, view.marker().generations).unwrap();
                for row in decode_chunk(place.first_seq, &value).unwrap() {
                    row.encode_alone(&mut value);
                    let key = ChunkKey { first_seq: row.seq, ..place }.encode();
                    all.push((space, key.to_vec(), value.clone()));
                }
                continue;
            }
            if space == Space::State && *key == [0] {
                let marker = Marker {
                    filter: super::id_filter::FilterMark::default(),
                    ..Marker::decode(&value).unwrap()
                };
                marker.encode(&mut value);
            }
            all.push((space, key.to_vec(), value));
        }
    }
    all
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn every_view_answers_as_the_ledger_was_at_its_marker(
        seed in any::<u64>(),
        wallets in 2_u64..8,
        window_entries in 1_u64..60,
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("books");
        let options = options(window_entries);
        let mut chance = Chance::new(seed);
        let mut ledger = InventedLedger::default();
        let journal = Arc::new(MemoryJournal::default());
        let mut first = None;
        for round in 1..=3 {
            ledger.grow(&mut chance, round * 60, wallets);
            journal.append(&ledger, &mut chance, 7);
            let books = open(&path, &options);
            let mut bookkeeper = bookkeeper(&books, &journal);
            while let Folded::Some(_) = bookkeeper.step().unwrap() {}
            prop_assert_eq!(books.view().seq(), ledger.entries.len() as u64);
            check(&books.view(), &ledger);
            // The journal is trimmed, but never above a view that is held.
            prop_assert_eq!(journal.first_seq(), None);
            if first.is_none() {
                first = Some(round);
                let held = books.view();
                ledger.grow(&mut chance, round * 60 + 10, wallets);
                journal.append(&ledger, &mut chance, 7);
                while let Folded::Some(_) = bookkeeper.step().unwrap() {}
                prop_assert_eq!(journal.first_seq(), Some(held.seq() + 1));
                check(&held, &ledger);
                check(&books.view(), &ledger);
                drop(held);
                prop_assert_eq!(bookkeeper.step().unwrap(), Folded::Nothing);
                prop_assert_eq!(journal.first_seq(), None);
            }
        }
    }
}

/// Its end can be torn by a power loss so that the engine refuses all of it.
#[test]
fn nothing_is_ever_written_into_the_journal_of_the_engine() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("books");
    let ledger = InventedLedger::invent(3, 60, 4);
    let _open = folded(&path, &ledger, &options(10));
    let mut found = 0;
    for file in std::fs::read_dir(store_path(&path)).unwrap() {
        let file = file.unwrap().path();
        if file.extension().is_some_and(|extension| extension == "jnl") {
            found += 1;
            assert!(std::fs::read(&file).unwrap().iter().all(|&byte| byte == 0), "{}", file.display());
        }
    }
    assert!(found > 0, "the engine has no journal where it is expected");
}

#[test]
fn a_crash_before_any_step_of_any_window_changes_nothing_in_the_end() {
    let ledger = InventedLedger::invent(11, 60, 4);
    let options = options(30);
    let fold_all = |path: &Path, crash_at: Option<usize>| {
        let journal = Arc::new(MemoryJournal::of(&ledger, &mut Chance::new(5), 7));
        let mut steps = 0;
        if let Some(crash_at) = crash_at {
            let books = open(path, &options);
            let mut bookkeeper = bookkeeper(&books, &journal);
            let mut step = 0;
            bookkeeper.before_each_step(Box::new(move |_| {
                step += 1;
                if step > crash_at { Err(PersistenceError::Closed) } else { Ok(()) }
            }));
            let crashed = loop {
                match bookkeeper.step() {
                    Ok(Folded::Some(_)) => {}
                    other => break other,
                }
            };
            assert!(crashed.is_err(), "it fails before step {crash_at}");
            assert!(bookkeeper.step().is_err(), "a bookkeeper that has failed does nothing more");
            check(&books.view(), &ledger);
        }
        let books = open(path, &options);
        check(&books.view(), &ledger);
        let mut bookkeeper = bookkeeper(&books, &journal);
        let (sender, counted) = std::sync::mpsc::channel();
        bookkeeper.before_each_step(Box::new(move |step| {
            sender.send(step).expect("the test counts");
            Ok(())
        }));
        while let Folded::Some(_) = bookkeeper.step().unwrap() {}
        bookkeeper.finish().unwrap();
        steps += counted.try_iter().count();
        let rows = all_rows(&books.view());
        drop(books);
        let reopened = open(path, &options);
        check(&reopened.view(), &ledger);
        assert_eq!(all_rows(&reopened.view()), rows);
        (rows, steps)
    };
    let directory = tempfile::tempdir().unwrap();
    let (expected, steps) = fold_all(&directory.path().join("books"), None);
    assert!(steps >= 6, "{steps}");
    for crash_at in 0..steps {
        let (rows, _) = fold_all(&directory.path().join(format!("crash-{crash_at}")), Some(crash_at));
        assert_eq!(rows, expected, "after a crash before step {crash_at}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    /// What a crash left above the marker is overwritten, wherever the windows end that are folded instead.
    #[test]
    fn windows_that_were_cut_off_may_be_folded_again_in_others(
        seed in any::<u64>(),
        crashes in prop::collection::vec((1_u64..50, 1_usize..30), 1..6),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("books");
        let ledger = InventedLedger::invent(seed, 150, 3);
        let journal = Arc::new(MemoryJournal::of(&ledger, &mut Chance::new(seed), 5));
        for (window_entries, steps) in crashes {
            let books = open(&path, &options(window_entries));
            check(&books.view(), &ledger);
            let mut bookkeeper = bookkeeper(&books, &journal);
            let mut step = 0;
            bookkeeper.before_each_step(Box::new(move |_| {
                step += 1;
                if step > steps { Err(PersistenceError::Closed) } else { Ok(()) }
            }));
            while let Ok(Folded::Some(_)) = bookkeeper.step() {}
            check(&books.view(), &ledger);
        }
        let books = open(&path, &options(7));
        let mut bookkeeper = bookkeeper(&books, &journal);
        while let Folded::Some(_) = bookkeeper.step().unwrap() {}
        check(&books.view(), &ledger);
        // Every row once, and nothing else.
        let rows = all_rows(&books.view());
        let history = rows.iter().filter(|(space, _, _)| *space == Space::History);
        let generations = books.view().marker().generations;
        let found: Vec<_> = history.map(|(_, key, _)| ChunkKey::decode(key, generations).unwrap()).collect();
        let place = |(wallet, row): &(_, HistoryRow)| ChunkKey::of(generations, *wallet, row.seq);
        let mut expected: Vec<_> = ledger.history.iter().map(place).collect();
        expected.sort_unstable();
        prop_assert_eq!(found, expected);
    }
}

#[test]
fn a_chunk_holds_rows_of_any_size_and_what_is_none_is_refused() {
    let row = |seq, timestamp_ns, counter: u128| HistoryRow {
        seq,
        timestamp_ns,
        kind: OrderKind::from_number((seq % 3) as u8),
        code: seq as u16,
        group_id: counter,
        position: Position {
            debits_pending: counter,
            debits_posted: u128::MAX - counter,
            credits_pending: counter / 3,
            credits_posted: counter.wrapping_mul(7),
        },
    };
    let rows = [
        row(5, 1, 0),
        row(6, 2, u128::MAX),
        row(u64::from(u32::MAX), u64::from(u32::MAX), 1),
        row(u64::MAX - 1, u64::MAX - 1, 1 << 127),
        row(u64::MAX, u64::MAX, 0),
    ];
    let (mut value, mut before) = (Vec::new(), Before::chunk(5));
    let mut ends = Vec::new();
    for row in &rows {
        row.append(&before, &mut value);
        before = row.before_next();
        ends.push(value.len());
    }
    assert_eq!(decode_chunk(5, &value).unwrap(), rows);
    let check = |first_seq, value: &[u8], expected: &str| {
        let refused = decode_chunk(first_seq, value).unwrap_err();
        assert!(refused.contains(expected), "{refused}");
    };
    for length in 0..value.len() {
        match ends.iter().position(|end| *end == length) {
            Some(place) => assert_eq!(decode_chunk(5, &value[..length]).unwrap(), rows[..=place]),
            None if length == 0 => check(5, &value[..0], "is empty"),
            None => check(5, &value[..length], "cannot be read"),
        }
    }
    // Where another chunk starts, and where none does.
    check(5, &value[..ends[0]].repeat(2), "not in order");
    check(5, &value[ends[0]..], "not in order");
    check(6, &value, "beyond all numbers");
    let mut other = value.clone();
    let kind = other.iter().position(|byte| *byte == 2).unwrap();
    other[kind] = 99;
    check(5, &other, "kind");
}

fn tables_below(path: &Path) -> BTreeSet<PathBuf> {
    let mut tables = BTreeSet::new();
    for_each_file(path, &mut |file| {
        if is_table(file) {
            tables.insert(file.to_path_buf());
        }
        Ok(())
    })
    .unwrap();
    tables
}

#[test]
fn what_is_opened_only_to_be_read_is_not_merged() {
    let directory = tempfile::tempdir().unwrap();
    let books = directory.path().join("books");
    drop(open(&books, &options(1000)));
    let path = store_path(&books);
    let before = tables_below(&path).len();
    // Each becomes a table, and the engine merges them by eights.
    let store = Store::open_to_read(&path, 1 << 20).unwrap();
    for number in 0_u8..20 {
        store.ingest(Space::Ids, &mut |sink| sink(&[number; 16], Some(&[number]))).unwrap();
    }
    drop(store);
    let tables = tables_below(&path);
    assert_eq!(tables.len(), before + 20);
    for _ in 0..2 {
        let store = Store::open_to_read(&path, 1 << 20).unwrap();
        let got = store.snapshot().get(Space::Ids, &[7; 16]).unwrap();
        assert_eq!(got.as_deref(), Some(&[7][..]));
        drop(store);
        assert_eq!(tables_below(&path), tables);
    }
}

#[test]
fn of_very_many_ids_the_one_that_is_used_up_is_found_wherever_it_stands() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = InventedLedger::invent(11, 120, 4);
    let books = folded(&directory.path().join("books"), &ledger, &options(40));
    let view = books.view();
    let used = *ledger.ids.keys().next().unwrap();
    for count in [1, 100, 4096, 4097, 50_000] {
        let mut ids: Vec<_> = (0..count).map(|number| TransferId(u128::MAX - number)).collect();
        assert_eq!(view.any_used(&ids).unwrap(), None, "{count}");
        for place in [0, ids.len() / 2, ids.len() - 1] {
            let absent = std::mem::replace(&mut ids[place], used);
            assert_eq!(view.any_used(&ids).unwrap(), Some(used), "{place} of {count}");
            ids[place] = absent;
        }
    }
    assert_eq!(view.any_used(&[]).unwrap(), None);
}

#[test]
fn a_row_of_ids_that_names_an_entry_of_another_generation_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = InventedLedger::invent(11, 120, 4);
    let books = folded(&directory.path().join("books"), &ledger, &options(40));
    let view = books.view();
    let (id, seq) = ledger.ids.iter().next_back().unwrap();
    assert_eq!(view.seq_of(*id).unwrap(), Some(*seq));
    let key = view.marker().generations.id_key(*seq, *id);
    let mut value = Vec::new();
    super::rows::encode_seq(seq + 24, &mut value);
    books.store.ingest(Space::Ids, &mut |sink| sink(&key, Some(&value))).unwrap();
    let view = BooksView::new(books.store.snapshot(), *view.marker(), view.ids().clone());
    let error = view.seq_of(*id).unwrap_err().to_string();
    assert!(error.contains("another generation") && error.contains(&format!("{:032x}", id.0)), "{error}");
}
