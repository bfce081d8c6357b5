//! A data directory opened as a ledger: its journal replayed into wallets, ids and the wallet index.
//!
//! Replay applies entries and never decides anew; but an entry that nobody can have decided on is a contradiction, and
//! a ledger that contradicts itself is not opened.

use crate::clock::{implausible_wall_clock, wall_clock_ns};
use crate::entry_codec::decode_entry;
use crate::error::PersistenceError;
use crate::journal::{Journal, JournalReader};
use crate::record::Record;
use crate::recovery::{OpenOptions, OpenedJournal, RecoveryReport, examine, open};
use crate::wallet_index::WalletIndex;
use foldhash::fast::RandomState;
use hashbrown::HashSet;
use ledger::fold::{AssetTotals, FoldFault};
use ledger::{Asset, Entry, Fold, TransferId, Wallet, WalletId};
use std::path::Path;

/// A ledger as it was when it was last acknowledged, ready to go on.
#[derive(Debug)]
pub struct RecoveredLedger {
    /// Where new entries go.
    pub journal: Box<dyn Journal>,
    /// Assets and wallets.
    pub fold: Fold,
    /// Which entries changed which wallet.
    pub index: WalletIndex,
    /// What was found on disk.
    pub report: RecoveryReport,
}

/// What a verification has checked.
#[derive(Debug)]
pub struct VerifyReport {
    /// What was found on disk.
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

/// Opens the data directory at `path`, making it if there is none. Gives each transfer id that is used up, with the
/// entry that used it, to `on_id`, which says whether the id is new.
///
/// With `accept_clock`, a wall clock far from the newest entry is not a reason to refuse.
pub fn open_ledger(
    path: &Path,
    options: &OpenOptions,
    accept_clock: bool,
    on_id: &mut dyn FnMut(TransferId, u64) -> bool,
) -> Result<RecoveredLedger, PersistenceError> {
    let mut replay = Replay::default();
    let OpenedJournal { journal, directory: _, report } =
        open(path, options, &mut |record| replay.apply(record, on_id))?;
    let (fold, index) = replay.finish()?;
    if let Some(reason) = implausible_wall_clock(fold.last_timestamp_ns, wall_clock_ns())
        && !accept_clock
    {
        Box::new(journal).close()?;
        return Err(PersistenceError::ImplausibleClock { path: path.to_owned(), reason });
    }
    Ok(RecoveredLedger { journal: Box::new(journal), fold, index, report })
}

/// A journal on its way to being a ledger again.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    fold: Fold,
    index: WalletIndex,
}

impl Replay {
    /// Applies the next record. `on_id` is as for [`open_ledger`].
    pub(crate) fn apply(
        &mut self,
        record: &Record,
        on_id: &mut dyn FnMut(TransferId, u64) -> bool,
    ) -> Result<(), PersistenceError> {
        for (seq, timestamp_ns, payload) in record.entries() {
            let entry = decode_entry(seq, payload)?;
            apply_checked(&mut self.fold, seq, timestamp_ns, &entry, on_id)?;
            for wallet in entry.wallets() {
                self.index.push(wallet, seq);
            }
        }
        Ok(())
    }

    /// What the journal amounts to, if its books balance.
    pub(crate) fn finish(self) -> Result<(Fold, WalletIndex), PersistenceError> {
        check_conservation(&self.fold)?;
        Ok((self.fold, self.index))
    }
}

/// Verifies the stopped data directory at `path` from its first record to its last, without changing it.
pub fn verify(path: &Path) -> Result<VerifyReport, PersistenceError> {
    let mut fold = Fold::default();
    let mut ids: HashSet<TransferId, RandomState> = HashSet::default();
    let (mut transfers, mut refused) = (0, 0);
    let recovery = examine(path, &OpenOptions::default(), &mut |record| {
        for (seq, timestamp_ns, payload) in record.entries() {
            let entry = decode_entry(seq, payload)?;
            apply_checked(&mut fold, seq, timestamp_ns, &entry, &mut |id, _| ids.insert(id))?;
            match entry {
                Entry::TransferRefused { .. } | Entry::OrderRefused { .. } => refused += 1,
                entry if entry.order_id().is_some() => transfers += 1,
                _ => {}
            }
        }
        Ok(())
    })?;
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

/// The wallet as of the entry `seq_max`, from the journal alone; `None` if it did not exist then.
pub fn rebuild_wallet(
    reader: &dyn JournalReader,
    index: &WalletIndex,
    wallet: WalletId,
    seq_max: u64,
) -> Result<Option<Wallet>, PersistenceError> {
    let mut rebuilt: Option<Wallet> = None;
    read_entries(reader, &index.seqs(wallet, seq_max), &mut |seq, timestamp_ns, entry| {
        let changed = replay_one(&mut rebuilt, wallet, seq, timestamp_ns, &entry);
        if !changed {
            let fault = format!("is in the index of wallet {wallet}, and does not change it: {entry:?}");
            return Err(FoldFault { seq, fault }.into());
        }
        Ok(())
    })?;
    Ok(rebuilt)
}

/// Applies to one wallet what an entry does to it; says whether it does anything.
pub(crate) fn replay_one(
    state: &mut Option<Wallet>,
    wallet: WalletId,
    seq: u64,
    timestamp_ns: u64,
    entry: &Entry,
) -> bool {
    match (&mut *state, entry) {
        (None, Entry::WalletCreated(terms)) if terms.id == wallet => {
            *state = Some(Wallet::create(terms.clone(), seq, timestamp_ns));
            true
        }
        (Some(state), Entry::WalletChanged(change)) if change.wallet == wallet => {
            state.change(change, seq);
            true
        }
        (Some(state), entry) => {
            let route = entry.route();
            let part = route.parts().iter().find(|part| part.wallet == wallet);
            if let Some(part) = part {
                state.apply(&part.effect, seq, timestamp_ns);
            }
            part.is_some()
        }
        _ => false,
    }
}

/// Reads the durable entries `seqs`, which are in order; neighbours in one record are read together.
pub fn read_entries(
    reader: &dyn JournalReader,
    seqs: &[u64],
    on_entry: &mut dyn FnMut(u64, u64, Entry) -> Result<(), PersistenceError>,
) -> Result<(), PersistenceError> {
    let mut wanted = seqs.iter().copied().peekable();
    while let Some(&seq) = wanted.peek() {
        let missing =
            || PersistenceError::UnreadableEntry { seq, reason: "the journal does not hold it".to_owned() };
        let record = reader.record_holding(seq)?.ok_or_else(missing)?;
        for (held, timestamp_ns, payload) in record.entries() {
            if wanted.next_if_eq(&held).is_some() {
                on_entry(held, timestamp_ns, decode_entry(held, payload)?)?;
            }
        }
        if wanted.peek() == Some(&seq) {
            return Err(missing());
        }
    }
    Ok(())
}

fn apply_checked(
    fold: &mut Fold,
    seq: u64,
    timestamp_ns: u64,
    entry: &Entry,
    on_id: &mut dyn FnMut(TransferId, u64) -> bool,
) -> Result<(), PersistenceError> {
    fold.apply(seq, timestamp_ns, entry)?;
    if let Some(id) = entry.order_id()
        && !on_id(id, seq)
    {
        return Err(FoldFault { seq, fault: format!("uses the id {id} again") }.into());
    }
    Ok(())
}

pub(crate) fn check_conservation(fold: &Fold) -> Result<(), PersistenceError> {
    for (asset, totals) in fold.totals() {
        if !totals.is_balanced() {
            let fault = format!("debits and credits of asset {asset} differ: {totals:?}");
            return Err(FoldFault { seq: fold.last_seq, fault }.into());
        }
    }
    Ok(())
}
