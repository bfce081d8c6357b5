//! Entries read back and applied, in their order, each once.

use crate::entry_codec::decode_entry;
use crate::error::PersistenceError;
use crate::journal::JournalReader;
use ledger::fold::FoldFault;
use ledger::{Entry, Fold, Wallet, WalletId};

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

/// Debits equal credits, to the unit.
pub(crate) fn check_conservation(fold: &Fold) -> Result<(), PersistenceError> {
    for (asset, totals) in fold.totals() {
        if !totals.is_balanced() {
            let fault = format!("debits and credits of asset {asset} differ: {totals:?}");
            return Err(FoldFault { seq: fold.last_seq, fault }.into());
        }
    }
    Ok(())
}
