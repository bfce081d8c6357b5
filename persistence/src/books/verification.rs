//! Are the books what the records make of them? Everything is worked out again from the first record on, and compared.
//!
//! It works on a copy of the books, in which the files that never change are links, because the engine changes what it opens. Wallets and
//! holds are folded in memory; ids and history, which grow with the ledger, are compared by their number and by a sum over the hashes of
//! their rows, so that neither has to be sorted or kept.

use crate::chain::Chain;
use crate::entry_codec::decode_entry;
use crate::error::{BooksDamage, PersistenceError};
use crate::head_file::Head;
use crate::record::Record;
use crate::recovery::RecoveryReport;
use crate::replay::check_conservation;
use crate::restore::read_backup;
use crate::stopped_ledger::examine_ledger;
use foldhash::fast::RandomState;
use hashbrown::HashSet;
use ledger::fold::{AssetTotals, FoldFault};
use ledger::{Asset, Entry, Fold, HoldState, HoldTerms, Original, TransferId, Wallet};
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use super::history::{ChunkKey, HistoryRow, decode_chunk};
use super::rows::{self, Generations, Kind, Progress, bad_row};
use super::store::Space;
use super::view::BooksView;

/// What a verification has checked.
#[derive(Debug)]
pub struct VerifyReport {
    /// What was found on disk; its records, entries and bytes are those of books and journal together.
    pub recovery: RecoveryReport,
    /// The totals of each asset.
    pub totals: Vec<(Asset, AssetTotals)>,
    /// Wallets.
    pub wallets: u64,
    /// Transfers that were done.
    pub transfers: u64,
    /// Transfers that were refused for good.
    pub refused: u64,
    /// The time of the newest entry, in nanoseconds since 1970.
    pub last_timestamp_ns: u64,
}

/// Takes each entry with its number and its time, in order, once it is known to be allowed.
pub type OnVerified<'a> = dyn FnMut(u64, u64, &Entry) -> Result<(), PersistenceError> + 'a;

/// A ledger that is worked out again from its records.
struct Recount {
    fold: Fold,
    chain: Chain,
    records: u64,
    bytes: u64,
    transfers: u64,
    refused: u64,
    ids: RowSum,
    history: RowSum,
    past_generations: RowSum,
}

/// A sum over rows, in whatever order they come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct RowSum {
    rows: u64,
    hashes: u128,
}

impl RowSum {
    fn add(&mut self, key: &[u8], value: &[u8]) {
        let mut hasher = blake3::Hasher::new();
        // Keys of one table are equally long.
        hasher.update(key).update(value);
        let hash = *hasher.finalize().as_bytes().first_chunk().expect("a hash has 32 bytes");
        self.rows += 1;
        self.hashes = self.hashes.wrapping_add(u128::from_le_bytes(hash));
    }
}

impl Recount {
    fn begin() -> Self {
        Self {
            fold: Fold::default(),
            chain: Chain::from_the_start(),
            records: 0,
            bytes: 0,
            transfers: 0,
            refused: 0,
            ids: RowSum::default(),
            history: RowSum::default(),
            past_generations: RowSum::default(),
        }
    }

    fn admit(&mut self, record: &Record, place: &Path) -> Result<(), PersistenceError> {
        self.chain.follow(record).map_err(|damage| PersistenceError::damaged(place, damage))?;
        self.records += 1;
        self.bytes += record.as_bytes().len() as u64;
        Ok(())
    }

    fn apply(&mut self, seq: u64, timestamp_ns: u64, entry: &Entry) -> Result<(), PersistenceError> {
        self.fold.apply(seq, timestamp_ns, entry)?;
        match entry {
            Entry::TransferRefused { .. } | Entry::OrderRefused { .. } => self.refused += 1,
            entry if entry.order_id().is_some() => self.transfers += 1,
            _ => {}
        }
        Ok(())
    }

    /// Which generations wallets leave with the entry, which is not applied yet.
    fn sum_past_generations(&mut self, generations: Generations, seq: u64, entry: &Entry) {
        for id in entry.wallets() {
            let left = self.fold.wallets.get(&id).and_then(|wallet| generations.left(wallet, seq));
            if let Some(generation) = left {
                self.past_generations.add(&rows::past_generation_key(id, generation), &[]);
            }
        }
    }

    /// What the entry, which is applied, adds to the tables that are only added to.
    fn sum(&mut self, generations: Generations, seq: u64, timestamp_ns: u64, entry: &Entry) {
        let mut value = Vec::new();
        if let Some(id) = entry.order_id() {
            rows::encode_seq(seq, &mut value);
            self.ids.add(&generations.id_key(seq, id), &value);
        }
        for wallet in entry.wallets() {
            let row = HistoryRow::of(seq, timestamp_ns, entry, self.fold.wallets[&wallet].position);
            add_history(&mut self.history, ChunkKey::of(generations, wallet, seq), &row, &mut value);
        }
    }

    /// What there is, once everything has been read.
    fn report(self, recovery: RecoveryReport) -> Result<VerifyReport, PersistenceError> {
        let Self { fold, transfers, refused, .. } = self;
        check_conservation(&fold)?;
        let totals = fold.totals();
        let totals = fold.assets.values().map(|(asset, _, _)| (asset.clone(), totals[&asset.id])).collect();
        Ok(VerifyReport {
            recovery,
            totals,
            wallets: fold.wallets.len() as u64,
            transfers,
            refused,
            last_timestamp_ns: fold.last_timestamp_ns,
        })
    }

    /// Works out the records of a view.
    fn read(&mut self, view: &Arc<BooksView>, on_entry: &mut OnVerified<'_>) -> Result<(), PersistenceError> {
        let generations = view.marker().generations;
        for record in view.records_from(1) {
            let record = record?;
            self.admit(&record, view.path())?;
            for (seq, timestamp_ns, payload) in record.entries() {
                let entry = decode_entry(seq, payload)?;
                self.sum_past_generations(generations, seq, &entry);
                self.apply(seq, timestamp_ns, &entry)?;
                self.sum(generations, seq, timestamp_ns, &entry);
                on_entry(seq, timestamp_ns, &entry)?;
            }
        }
        let end = Head { point: view.chain_point(), timestamp: view.last_timestamp_ns() };
        if self.chain.tip().unwrap_or_default() != end {
            return Err(bad_row(view.path(), Kind::Marker.name(), &[], "is not of the last record"));
        }
        Ok(())
    }

    /// Compares everything in a view with what was worked out.
    fn compare(&self, view: &BooksView) -> Result<(), PersistenceError> {
        let mut ids = RowSum::default();
        for row in view.all(Space::Ids) {
            let (key, value) = row?;
            let seq = view.decode_id_row(&key, &value)?;
            // What lies above the marker is of a fold that was cut off.
            if seq <= view.seq() {
                ids.add(&key, &value);
            }
        }
        check_sum(view, "ids", ids, self.ids)?;
        check_sum(view, "history", Self::sum_history(view)?, self.history)?;
        let mut past_generations = RowSum::default();
        for row in view.all_of(Kind::PastGeneration) {
            let (key, value) = row?;
            past_generations.add(&key, &value);
        }
        check_sum(view, Kind::PastGeneration.name(), past_generations, self.past_generations)?;
        self.compare_wallets(view)?;
        self.compare_holds(view)
    }

    /// The sum of all rows in the history, each of which has to lie in the order of a wallet's entries.
    fn sum_history(view: &BooksView) -> Result<RowSum, PersistenceError> {
        let (mut sum, mut value) = (RowSum::default(), Vec::new());
        let generations = view.marker().generations;
        let mut last: Option<ChunkKey> = None;
        for chunk in view.all(Space::History) {
            let (key, chunk) = chunk?;
            let bad = |reason: String| bad_row(view.path(), "history", &key, &reason);
            let place = ChunkKey::decode(&key, generations).map_err(bad)?;
            if place.first_seq > view.seq() {
                continue;
            }
            for row in decode_chunk(place.first_seq, &chunk).map_err(bad)? {
                let place = ChunkKey { first_seq: row.seq, ..place };
                if last.is_some_and(|last| last >= place) {
                    return Err(bad("is not behind the one before".to_owned()));
                }
                last = Some(place);
                add_history(&mut sum, place, &row, &mut value);
            }
        }
        Ok(sum)
    }

    fn compare_wallets(&self, view: &BooksView) -> Result<(), PersistenceError> {
        let mut value = Vec::new();
        let assets = self.fold.assets.iter().map(|(id, (asset, seq, timestamp_ns))| {
            rows::encode_asset(asset, *seq, *timestamp_ns, &mut value);
            (Kind::Asset.key(&[&id.0.to_be_bytes()]), value.clone())
        });
        compare_rows(view, Kind::Asset, assets)?;
        let imports = self.fold.imports.iter().map(|(id, (closed_seq, closed_at_ns))| {
            rows::encode_import(*closed_seq, *closed_at_ns, &mut value);
            (Kind::Import.key(&[&id.0.to_be_bytes()]), value.clone())
        });
        compare_rows(view, Kind::Import, imports)?;
        let totals = self.fold.totals();
        let totals = totals.iter().map(|(id, totals)| {
            rows::encode_totals(totals, &mut value);
            (Kind::Totals.key(&[&id.0.to_be_bytes()]), value.clone())
        });
        compare_rows(view, Kind::Totals, totals)?;
        let mut wallets: Vec<&Wallet> = self.fold.wallets.values().collect();
        wallets.sort_unstable_by_key(|wallet| wallet.terms.id);
        let rows_of_wallets = wallets.iter().map(|wallet| {
            rows::encode_wallet(wallet, &mut value);
            (Kind::Wallet.key(&[&wallet.terms.id.0.to_be_bytes()]), value.clone())
        });
        compare_rows(view, Kind::Wallet, rows_of_wallets)?;
        let owned = wallets.iter().filter_map(|wallet| {
            let mut key = rows::owner_key(&wallet.terms.owner)?;
            key.extend_from_slice(&wallet.terms.id.0.to_be_bytes());
            Some(key)
        });
        let mut owners: Vec<_> = owned.collect();
        owners.sort_unstable();
        compare_rows(view, Kind::Owner, owners.into_iter().map(|key| (key, Vec::new())))
    }

    fn compare_holds(&self, view: &BooksView) -> Result<(), PersistenceError> {
        let mut open: Vec<(TransferId, HoldTerms, u64)> = Vec::new();
        let mut progress: Vec<(TransferId, Progress)> = Vec::new();
        for (&id, &(terms, state)) in &self.fold.holds {
            if state != HoldState::Open {
                progress.push((id, Progress::Ended(state)));
                continue;
            }
            let debit_wallet = self.fold.wallets.get(&terms.debit_wallet);
            let hold = debit_wallet.and_then(|wallet| wallet.holds.get(id));
            let seq = hold.expect("an open hold is at its wallets").seq;
            open.push((id, terms, seq));
        }
        for (&id, original) in &self.fold.reversed {
            if let Original::Moved { reversed, .. } = original {
                progress.push((id, Progress::Reversed(*reversed)));
            }
        }
        open.sort_unstable_by_key(|(id, _, _)| *id);
        progress.sort_unstable_by_key(|(id, _)| *id);
        let mut value = Vec::new();
        let holds = open.iter().map(|(id, terms, seq)| {
            rows::encode_hold(terms, *seq, &mut value);
            (Kind::Hold.key(&[&id.0.to_be_bytes()]), value.clone())
        });
        compare_rows(view, Kind::Hold, holds)?;
        let mut by_wallet = Vec::new();
        for (id, terms, seq) in &open {
            for (wallet, hold) in rows::wallet_holds(terms, *seq) {
                rows::encode_wallet_hold(&hold, &mut value);
                by_wallet.push((rows::wallet_hold_key(wallet, *id), value.clone()));
            }
        }
        by_wallet.sort_unstable();
        compare_rows(view, Kind::HoldByWallet, by_wallet.into_iter())?;
        let expiring = open.iter().filter(|(_, terms, _)| terms.expires_at_ns != u64::MAX);
        let mut by_expiry: Vec<_> =
            expiring.map(|(id, terms, _)| rows::expiry_key(terms.expires_at_ns, *id)).collect();
        by_expiry.sort_unstable();
        compare_rows(view, Kind::HoldByExpiry, by_expiry.into_iter().map(|key| (key, Vec::new())))?;
        let originals = progress.iter().map(|(id, progress)| {
            rows::encode_progress(*progress, &mut value);
            (Kind::Original.key(&[&id.0.to_be_bytes()]), value.clone())
        });
        compare_rows(view, Kind::Original, originals)
    }
}

/// Adds a row, wherever its chunk starts.
fn add_history(sum: &mut RowSum, place: ChunkKey, row: &HistoryRow, value: &mut Vec<u8>) {
    row.encode_alone(value);
    sum.add(&place.encode(), value);
}

fn check_sum(
    view: &BooksView,
    table: &'static str,
    found: RowSum,
    expected: RowSum,
) -> Result<(), PersistenceError> {
    if found == expected {
        return Ok(());
    }
    let damage = BooksDamage::OtherRows { table, found: found.rows, expected: expected.rows };
    Err(PersistenceError::damaged_books(view.path(), damage))
}

/// Goes through the rows of a kind and through those that there should be.
fn compare_rows(
    view: &BooksView,
    kind: Kind,
    mut expected: impl Iterator<Item = (Vec<u8>, Vec<u8>)>,
) -> Result<(), PersistenceError> {
    let bad = |key: &[u8], reason| Err(bad_row(view.path(), kind.name(), key, reason));
    for row in view.all_of(kind) {
        let (key, value) = row?;
        match expected.next() {
            None => return bad(&key, "is of nothing in the records"),
            Some((expected, _)) if expected[..] > key[..] => {
                return bad(&key, "is of nothing in the records");
            }
            Some((expected, _)) if expected[..] < key[..] => return bad(&expected, "is missing"),
            Some((_, expected)) if expected[..] != value[..] => {
                return bad(&key, "is not what the records make of it");
            }
            Some(_) => {}
        }
    }
    expected.next().map_or(Ok(()), |(key, _)| bad(&key, "is missing"))
}

/// Verifies the stopped data directory at `path` from its first record to its last, and its books, without changing it.
pub fn verify(path: &Path) -> Result<VerifyReport, PersistenceError> {
    verify_and_read(path, &mut |_, _, _| Ok(()))
}

/// As [`verify`]; gives every entry to `on_entry`. Those of the books are given before the rest of the books is checked.
pub fn verify_and_read(path: &Path, on_entry: &mut OnVerified<'_>) -> Result<VerifyReport, PersistenceError> {
    let mut recount = Recount::begin();
    let mut checked: Option<Arc<BooksView>> = None;
    let mut tail_ids: HashSet<TransferId, RandomState> = HashSet::default();
    let recount_cell = std::cell::RefCell::new((&mut recount, on_entry));
    let checked_cell = std::cell::RefCell::new(&mut checked);
    let examined = examine_ledger(
        path,
        &mut |view| {
            let mut recounting = recount_cell.borrow_mut();
            let (recount, on_entry) = &mut *recounting;
            recount.read(view, *on_entry).and_then(|()| recount.compare(view))?;
            **checked_cell.borrow_mut() = Some(Arc::clone(view));
            Ok(())
        },
        &mut |record| {
            let mut recounting = recount_cell.borrow_mut();
            let (recount, on_entry) = &mut *recounting;
            // What the books hold already was checked there.
            if record.last_seq() <= recount.chain.end().seq {
                return Ok(());
            }
            recount.admit(record, path)?;
            for (seq, timestamp_ns, payload) in record.entries() {
                let entry = decode_entry(seq, payload)?;
                recount.apply(seq, timestamp_ns, &entry)?;
                on_entry(seq, timestamp_ns, &entry)?;
                let Some(id) = entry.order_id() else { continue };
                let before = match checked_cell.borrow().as_ref() {
                    Some(view) => view.seq_of(id)?,
                    None => None,
                };
                if before.is_some() || !tail_ids.insert(id) {
                    return Err(FoldFault { seq, fault: format!("uses the id {id} again") }.into());
                }
            }
            Ok(())
        },
    )?;
    drop(checked);
    // Of the books and the journal, which may overlap.
    let (records, entries, bytes) = (recount.records, recount.chain.end().seq, recount.bytes);
    recount.report(RecoveryReport { records, entries, bytes, ..examined.report.clone() })
}

/// Verifies the backup at `path`: its records, their chain, its end, and that every entry is one that the rules allow. That no id is
/// used twice is found out when it is restored and that is verified. `on_record` is told how far it has come.
pub fn verify_backup(path: &Path, on_record: &mut dyn FnMut(u64)) -> Result<VerifyReport, PersistenceError> {
    let started = Instant::now();
    let mut recount = Recount::begin();
    let whole = read_backup(path, &mut |record, _| {
        for (seq, timestamp_ns, payload) in record.entries() {
            recount.apply(seq, timestamp_ns, &decode_entry(seq, payload)?)?;
        }
        on_record(record.last_seq());
        Ok(())
    })?;
    recount.report(RecoveryReport {
        records: whole.records,
        entries: whole.entries,
        bytes: whole.file_bytes,
        last_seq: whole.entries,
        head_seq: whole.entries,
        clean: true,
        elapsed: started.elapsed(),
        ..RecoveryReport::default()
    })
}
