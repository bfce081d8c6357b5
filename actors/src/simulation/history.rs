//! What the journal says, entry by entry: the one truth that answers are compared with.

use ledger::fold::AssetTotals;
use ledger::{Asset, AssetId, Entry, Fold, TransferId, Wallet, WalletId};
use persistence::{JournalReader, read_entries};
use std::collections::{BTreeMap, HashMap};

/// The entries that are durable, and every wallet as of each of them.
#[derive(Debug, Default)]
pub(super) struct History {
    entries: Vec<(u64, Entry)>,
    fold: Fold,
    wallets: BTreeMap<WalletId, Vec<(u64, Wallet)>>,
    by_id: HashMap<TransferId, u64>,
}

impl History {
    /// Reads what has become durable since.
    pub(super) fn catch_up(&mut self, reader: &dyn JournalReader, durable_seq: u64) {
        let seqs: Vec<u64> = (self.last_seq() + 1..=durable_seq).collect();
        read_entries(reader, &seqs, &mut |seq, timestamp_ns, entry| {
            self.push(seq, timestamp_ns, entry);
            Ok(())
        })
        .expect("what is durable can be read");
    }

    fn push(&mut self, seq: u64, timestamp_ns: u64, entry: Entry) {
        self.fold.apply(seq, timestamp_ns, &entry).expect("only what the rules allow is journaled");
        if let Entry::Transferred(transfer) | Entry::TransferRefused { transfer, .. } = &entry {
            let before = self.by_id.insert(transfer.id, seq);
            assert_eq!(before, None, "entry {seq} uses the id {} again", transfer.id);
        }
        for id in entry.wallets() {
            let state = self.fold.wallets[&id].clone();
            self.wallets.entry(id).or_default().push((seq, state));
        }
        self.entries.push((timestamp_ns, entry));
    }

    /// Goes on from what a recovery has found: everything up to `acknowledged_seq` must still be as it was.
    pub(super) fn recovered(&self, reader: &dyn JournalReader, last_seq: u64, acknowledged_seq: u64) -> Self {
        let mut found = Self::default();
        found.catch_up(reader, last_seq);
        let acknowledged = acknowledged_seq as usize;
        assert!(
            found.entries.len() >= acknowledged,
            "entries up to {acknowledged} were acknowledged, and only {last_seq} have survived"
        );
        assert!(
            self.entries.len() >= acknowledged,
            "entries up to {acknowledged} were acknowledged before they could be read"
        );
        for (index, entry) in self.entries[..acknowledged].iter().enumerate() {
            assert_eq!(entry, &found.entries[index], "entry {} is not what it was", index + 1);
        }
        found
    }

    pub(super) fn last_seq(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(super) fn fold(&self) -> &Fold {
        &self.fold
    }

    /// The entry and its time.
    pub(super) fn entry(&self, seq: u64) -> &(u64, Entry) {
        let index = usize::try_from(seq).ok().and_then(|seq| seq.checked_sub(1));
        index.and_then(|index| self.entries.get(index)).unwrap_or_else(|| {
            panic!("entry {seq} is answered for, and the durable ones end at {}", self.last_seq())
        })
    }

    /// The entry that used up the id.
    pub(super) fn decided(&self, id: TransferId) -> Option<u64> {
        self.by_id.get(&id).copied()
    }

    /// The wallet as of an entry.
    pub(super) fn wallet_at(&self, id: WalletId, seq: u64) -> Option<&Wallet> {
        let states = self.wallets.get(&id)?;
        let after = states.partition_point(|(changed, _)| *changed <= seq);
        Some(&states[after.checked_sub(1)?].1)
    }

    /// The totals as of an entry.
    pub(super) fn totals_at(&self, seq: u64) -> Vec<(Asset, AssetTotals)> {
        let mut totals: BTreeMap<AssetId, (Asset, AssetTotals)> = self
            .fold
            .assets
            .values()
            .filter(|(_, created_seq, _)| *created_seq <= seq)
            .map(|(asset, _, _)| (asset.id, (asset.clone(), AssetTotals::default())))
            .collect();
        for id in self.wallets.keys() {
            if let Some(wallet) = self.wallet_at(*id, seq) {
                let (_, totals) = totals.get_mut(&wallet.terms.asset).expect("its asset came first");
                totals.add(wallet);
            }
        }
        totals.into_values().collect()
    }
}
