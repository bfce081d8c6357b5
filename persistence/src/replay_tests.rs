//! A directory without books yet: opened as a ledger, verified, and read entry by entry; every entry in its place, once.

use crate::books::BooksOptions;
use crate::books::verification::verify;
use crate::clock::wall_clock_ns;
use crate::entry_codec::encode_entry;
use crate::journal::{Group, Journal};
use crate::opened_ledger::{OpenedLedger, open_ledger};
use crate::record::push_entry;
use crate::replay::{check_conservation, read_entries};
use crate::{LedgerReader, OpenOptions, PersistenceError};
use ledger::{
    Asset, AssetCode, AssetId, Entry, Fold, NewWallet, OverdraftLimit, Owner, Refusal, RefusalDetail, Status,
    Transfer, TransferId, Wallet, WalletFlags, WalletId,
};
use std::path::Path;

fn wallet(id: u128, flags: WalletFlags) -> Entry {
    Entry::WalletCreated(NewWallet {
        id: WalletId(id),
        owner: Owner::Number(0),
        asset: AssetId(1),
        code: 0,
        flags,
        overdraft_limit: OverdraftLimit::Limited(0),
        balance_max: 0,
        metadata: Box::default(),
        import: ledger::ImportId::NONE,
    })
}

fn transfer(id: u128, debit: u128, credit: u128, amount: u128) -> Transfer {
    Transfer {
        id: TransferId(id),
        debit_wallet: WalletId(debit),
        credit_wallet: WalletId(credit),
        asset: AssetId(1),
        amount,
        group_id: 0,
        code: 0,
        effective_at_ns: 0,
        metadata: Box::default(),
    }
}

fn done(id: u128, debit: u128, credit: u128, amount: u128) -> Entry {
    Entry::Transferred(transfer(id, debit, credit, amount))
}

fn refused(id: u128, debit: u128, credit: u128, amount: u128, status: Status) -> Entry {
    let mut refusal = Refusal::from(status);
    if status == Status::InsufficientFunds {
        refusal.detail = RefusalDetail::InsufficientFunds { available: 15, required: amount };
    }
    Entry::TransferRefused { transfer: transfer(id, debit, credit, amount), refusal }
}

/// A bank, two wallets, and what went on among them; entry n is the n-th.
fn history() -> Vec<Entry> {
    let code = AssetCode::new("USD").expect("a code");
    vec![
        Entry::AssetCreated(Asset { id: AssetId(1), code, scale: 2 }),
        wallet(1, WalletFlags::SYSTEM),
        wallet(2, WalletFlags::default()),
        done(101, 1, 2, 50),
        refused(102, 2, 9, 10, Status::CreditWalletNotFound),
        wallet(3, WalletFlags::default()),
        done(103, 2, 3, 20),
        done(104, 3, 2, 5),
        refused(105, 3, 2, 16, Status::InsufficientFunds),
        done(106, 1, 3, 7),
    ]
}

/// Entries as a group, one nanosecond apart up to `last_ns`.
struct Built {
    first_seq: u64,
    body: Vec<u8>,
    ends: Vec<u32>,
    last_ns: u64,
}

impl Built {
    fn new(first_seq: u64, entries: &[Entry], last_ns: u64) -> Self {
        let (mut body, mut ends) = (Vec::new(), Vec::new());
        for (index, entry) in entries.iter().enumerate() {
            let mut payload = Vec::new();
            encode_entry(entry, &mut payload);
            push_entry(&mut body, last_ns - (entries.len() - 1 - index) as u64, &payload);
            ends.push(body.len() as u32);
        }
        Self { first_seq, body, ends, last_ns }
    }

    fn group(&self) -> Group<'_> {
        Group {
            first_seq: self.first_seq,
            body: &self.body,
            entry_ends: &self.ends,
            last_timestamp: self.last_ns,
        }
    }
}

/// Writes the entries into the directory, each group of three for itself, and stops cleanly.
fn write(path: &Path, entries: &[Entry], last_ns: u64) {
    let opened = crate::open(path, &OpenOptions::default(), &mut |_| Ok(())).expect("it opens");
    let mut journal: Box<dyn Journal> = Box::new(opened.journal);
    let mut first_seq = 1;
    for part in entries.chunks(3) {
        let after = entries.len() as u64 - (first_seq - 1) - part.len() as u64;
        journal.append_group(&Built::new(first_seq, part, last_ns - after).group()).expect("it is healthy");
        first_seq += part.len() as u64;
    }
    journal.close().expect("it is healthy");
}

#[test]
fn an_opened_ledger_holds_every_entry_its_ids_and_which_wallets_it_changed() {
    let directory = tempfile::tempdir().unwrap();
    let (entries, now_ns) = (history(), wall_clock_ns());
    write(directory.path(), &entries, now_ns);
    let mut given = Vec::new();
    let opened = open_ledger(
        directory.path(),
        &OpenOptions::default(),
        &BooksOptions::default(),
        false,
        &mut |seq, timestamp_ns, entry| {
            given.push((seq, timestamp_ns, entry));
            Ok(())
        },
        &mut |_| Ok(()),
    );
    let OpenedLedger { journal, books, index, last_seq, last_timestamp_ns, report } =
        opened.expect("it opens");
    let expected = (1..).zip(&entries).map(|(seq, entry)| (seq, now_ns - (10 - seq), entry.clone()));
    assert_eq!(given, expected.collect::<Vec<_>>());
    let changed = |id| index.seqs(WalletId(id), u64::MAX);
    assert_eq!((changed(1), changed(2), changed(3)), (vec![2, 4, 10], vec![3, 4, 7, 8], vec![6, 7, 8, 10]));
    assert_eq!((journal.durable_seq(), last_seq, last_timestamp_ns), (10, 10, now_ns));
    assert_eq!((report.entries, report.last_seq), (10, 10));

    // A wallet as of any entry.
    let ledger_reader = LedgerReader::new(journal.reader(), books, index.into());
    let mut fold = Fold::default();
    for (seq, entry) in (1..).zip(&entries) {
        fold.apply(seq, now_ns - (10 - seq), entry).expect("a right history");
        for id in [1, 2, 3, 9].map(WalletId) {
            let read = ledger_reader.wallet_as_of(id, seq).expect("it can be read");
            assert_eq!(read.as_ref(), fold.wallets.get(&id), "wallet {id} as of {seq}");
        }
    }
    drop(ledger_reader);
    let reader = journal.reader();
    // Single entries, in one record and in several.
    for seqs in [vec![], vec![1], vec![10], vec![2, 3], vec![3, 4], vec![1, 4, 5, 6, 10], (1..=10).collect()]
    {
        let mut read = Vec::new();
        read_entries(reader.as_ref(), &seqs, &mut |seq, timestamp_ns, entry| {
            assert_eq!(timestamp_ns, now_ns - (10 - seq));
            read.push((seq, entry));
            Ok(())
        })
        .expect("they are there");
        let wanted: Vec<_> = seqs.iter().map(|&seq| (seq, entries[seq as usize - 1].clone())).collect();
        assert_eq!(read, wanted);
    }
    let beyond = read_entries(reader.as_ref(), &[10, 11], &mut |_, _, _| Ok(()));
    assert!(matches!(beyond, Err(PersistenceError::UnreadableEntry { seq: 11, .. })), "{beyond:?}");
    journal.close().expect("it is healthy");

    let report = verify(directory.path()).expect("it is whole");
    assert_eq!((report.wallets, report.transfers, report.refused), (3, 4, 2));
    assert_eq!(report.last_timestamp_ns, now_ns);
    assert_eq!(report.recovery.entries, 10);
    assert_eq!(report.totals.len(), 1);
    let (asset, totals) = &report.totals[0];
    assert_eq!(
        (asset.id, totals.wallets, totals.debits_posted, totals.credits_posted),
        (AssetId(1), 3, 82, 82)
    );
}

#[test]
fn a_journal_that_contradicts_itself_is_not_verified() {
    let check = |extra: Entry, expected: &str| {
        let directory = tempfile::tempdir().unwrap();
        let mut entries = history();
        entries.push(extra);
        write(directory.path(), &entries, wall_clock_ns());
        let error = verify(directory.path()).expect_err("it contradicts itself").to_string();
        assert!(error.contains(expected) && error.contains("entry 11"), "{error}");
    };
    check(done(103, 1, 2, 1), "uses the id 00000000-0000-0000-0000-000000000067 again");
    check(done(105, 1, 2, 1), "uses the id 00000000-0000-0000-0000-000000000069 again");
    check(
        refused(106, 2, 9, 1, Status::CreditWalletNotFound),
        "uses the id 00000000-0000-0000-0000-00000000006a again",
    );
    check(done(107, 3, 2, 1_000), "insufficient_funds");
    check(wallet(3, WalletFlags::default()), "again");
}

#[test]
fn a_wall_clock_far_from_the_newest_entry_is_refused_unless_it_is_accepted() {
    let directory = tempfile::tempdir().unwrap();
    let ahead_ns = wall_clock_ns() + 3_600_000_000_000;
    write(directory.path(), &history(), ahead_ns);
    let open = |accept| {
        let books = BooksOptions::default();
        open_ledger(
            directory.path(),
            &OpenOptions::default(),
            &books,
            accept,
            &mut |_, _, _| Ok(()),
            &mut |_| Ok(()),
        )
    };
    let refused = open(false);
    assert!(matches!(refused, Err(PersistenceError::ImplausibleClock { .. })), "{refused:?}");
    let opened = open(true).expect("it is accepted, and was closed cleanly before");
    assert!(opened.report.clean);
    assert_eq!(opened.last_timestamp_ns, ahead_ns);
    opened.journal.close().expect("it is healthy");
}

#[test]
fn wallets_that_do_not_balance_are_a_fault() {
    let mut fold = Fold::default();
    for (index, entry) in history().iter().enumerate() {
        fold.apply(index as u64 + 1, index as u64 + 1, entry).expect("a right history");
    }
    assert!(check_conservation(&fold).is_ok());
    let made: &mut Wallet = fold.wallets.get_mut(&WalletId(2)).expect("it exists");
    made.position.credits_posted += 1;
    let error = check_conservation(&fold).expect_err("a unit was made").to_string();
    assert!(error.contains("debits and credits of asset 1 differ"), "{error}");
}
