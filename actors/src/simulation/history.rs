//! What the journal says, entry by entry: the one truth that answers are compared with.

use ledger::fold::AssetTotals;
use ledger::original::{Original, resolve};
use ledger::{Asset, AssetId, Entry, Fold, HoldState, Order, Route, TransferId, Wallet, WalletId};
use persistence::{JournalReader, read_entries};
use std::collections::{BTreeMap, HashMap};

/// The entries that are durable, and every wallet as of each of them.
#[derive(Debug, Default)]
pub(super) struct History {
    entries: Vec<(u64, Entry)>,
    fold: Fold,
    wallets: BTreeMap<WalletId, Vec<(u64, Wallet)>>,
    by_id: HashMap<TransferId, u64>,
    /// The entries about each order, with what it had come to then.
    progress: HashMap<TransferId, Vec<(u64, Original)>>,
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
        self.check_what_it_is_about(seq, timestamp_ns, &entry);
        self.fold.apply(seq, timestamp_ns, &entry).expect("only what the rules allow is journaled");
        if let Some(id) = entry.order_id() {
            let before = self.by_id.insert(id, seq);
            assert_eq!(before, None, "entry {seq} uses the id {id} again");
        }
        if let Some((id, kind, facts)) = entry.resolves() {
            let mut original = self.original_at(id, u64::MAX).expect("it was there to be resolved");
            original.progress(kind, &facts);
            self.progress.entry(id).or_default().push((seq, original));
        }
        for id in entry.wallets() {
            let state = self.fold.wallets[&id].clone();
            self.wallets.entry(id).or_default().push((seq, state));
        }
        self.entries.push((timestamp_ns, entry));
    }

    /// Orders about others, done or refused, are as the rules say; the fold does not know all that they are about.
    fn check_what_it_is_about(&self, seq: u64, timestamp_ns: u64, entry: &Entry) {
        let Some((order @ (Order::Post(_) | Order::Void(_) | Order::Reversal(_)), refusal)) =
            entry.clone().into_order()
        else {
            return;
        };
        let about = order.refers_to().expect("it is about an order");
        let original = self.original_at(about, u64::MAX);
        let facts = entry.resolves().map(|(_, _, facts)| facts);
        match (resolve(&order, original.as_ref(), timestamp_ns), refusal) {
            (Ok(plan), None) => assert_eq!(plan.facts, facts, "entry {seq}: {order:?} of {original:?}"),
            // Refused by a wallet: that is the fold's.
            (Ok(_), Some(refusal)) => assert!(refusal.status.number() >= 200, "entry {seq}: {entry:?}"),
            (Err(expected), refusal) => assert_eq!(Some(expected.refusal), refusal, "entry {seq}: {entry:?}"),
        }
    }

    /// What orders can be about under this id, as of an entry.
    pub(super) fn original_at(&self, id: TransferId, seq: u64) -> Option<Original> {
        let made = self.decided(id).filter(|&made| made <= seq)?;
        let steps = self.progress.get(&id).map_or(&[][..], Vec::as_slice);
        let after = steps.partition_point(|(changed, _)| *changed <= seq);
        if let Some((_, original)) = after.checked_sub(1).map(|index| &steps[index]) {
            return Some(original.clone());
        }
        let (timestamp_ns, entry) = self.entry(made);
        Some(entry.original(*timestamp_ns))
    }

    /// How often each kind of order was done, and each refusal given.
    pub(super) fn kinds(&self) -> BTreeMap<&'static str, u64> {
        let mut kinds = BTreeMap::new();
        for (_, entry) in &self.entries {
            let refusal = entry.clone().into_order().and_then(|(_, refusal)| refusal);
            let name = match (entry.kind(), refusal, entry) {
                (Some(kind), _, _) => kind.name(),
                (None, Some(refusal), _) => refusal.status.name(),
                (None, None, Entry::WalletChanged(_)) => "change",
                (None, None, Entry::ImportClosed(_)) => "close_import",
                _ => continue,
            };
            *kinds.entry(name).or_default() += 1;
        }
        kinds
    }

    /// All holds, as they stand.
    pub(super) fn holds(&self) -> impl Iterator<Item = (TransferId, HoldState)> {
        self.fold.holds.iter().map(|(&id, &(_, state))| (id, state))
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

    /// Whether the wallet is there and shown as of an entry.
    pub(super) fn shows_at(&self, id: WalletId, seq: u64) -> bool {
        let closed_by = |import| self.fold.imports.get(&import).is_some_and(|(closed, _)| *closed <= seq);
        self.wallet_at(id, seq).is_some_and(|wallet| !wallet.is_importing(closed_by))
    }

    /// Whether the order may have met a wallet that was being imported after the entry `seq`, under another import than its group.
    pub(super) fn may_meet_import(&self, order: &Order, seq: u64) -> bool {
        let closed_by = |import| self.fold.imports.get(&import).is_some_and(|(closed, _)| *closed <= seq);
        let group_id = order.notes().0;
        let stands_still = |id: WalletId| {
            self.fold.wallets.get(&id).is_some_and(|wallet| !wallet.takes_part_in(group_id, closed_by))
        };
        let route = match order {
            Order::Transfer(transfer) => Route::of_transfer(transfer),
            Order::Pending(pending) => Route::of_pending(&pending.transfer, pending.timeout_s),
            Order::Transaction(transaction) => Route::of_legs(&transaction.legs),
            // Between the same wallets.
            Order::Reversal(reversal) => match self.decided(reversal.reverses_id) {
                Some(made) => self.entry(made).1.route(),
                None => return false,
            },
            // What was held before goes through.
            Order::Post(_) | Order::Void(_) => return false,
        };
        route.parts().iter().any(|part| stands_still(part.wallet))
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
