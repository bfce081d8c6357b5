//! Ledgers for tests: entries that somebody can have decided on, chosen at random, and a journal in memory that holds them.
//!
//! What the books should hold of them is worked out the slow and plain way, with [`ledger::Fold`] and lists.

use crate::entry_codec::encode_entry;
use crate::error::PersistenceError;
use crate::journal::{JournalReader, JournalTrimmer, Records};
use crate::record::{self, GENESIS_HASH, Record, RecordHash};
use ledger::original::{expire, resolve};
use ledger::{
    Asset, AssetCode, AssetId, Entry, Fold, HoldState, HoldTerms, ImportId, Leg, Memo, NewWallet, Order,
    Original, OverdraftLimit, Owner, Pending, Post, Reversal, Setting, Side, Status, Transaction, Transfer,
    TransferId, Void, WalletChange, WalletFlags, WalletId,
};
use parking_lot::Mutex;
use std::collections::BTreeMap;

use super::history::HistoryRow;

pub(crate) const ASSETS: u32 = 2;

/// A generator of numbers, the same for the same seed.
#[derive(Debug, Clone)]
pub(crate) struct Chance(u64);

impl Chance {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// A ledger that grows entry by entry, with all that can be asked about it.
#[derive(Debug, Clone, Default)]
pub(crate) struct InventedLedger {
    pub(crate) fold: Fold,
    /// Time and entry; the first is entry 1.
    pub(crate) entries: Vec<(u64, Entry)>,
    pub(crate) ids: BTreeMap<TransferId, u64>,
    pub(crate) history: Vec<(WalletId, HistoryRow)>,
    pub(crate) originals: BTreeMap<TransferId, Original>,
    next_id: u128,
}

impl InventedLedger {
    /// With so many entries, between so many wallets.
    pub(crate) fn invent(seed: u64, entries: usize, wallets: u64) -> Self {
        let mut ledger = Self::default();
        ledger.grow(&mut Chance::new(seed), entries, wallets);
        ledger
    }

    /// Goes on until there are so many entries.
    pub(crate) fn grow(&mut self, chance: &mut Chance, entries: usize, wallets: u64) {
        while self.entries.len() < entries {
            let timestamp_ns = self.fold.last_timestamp_ns + 1 + chance.below(3_000_000_000);
            if let Some(entry) = self.propose(chance, wallets, timestamp_ns) {
                // What nobody can have decided on is not taken.
                self.take(timestamp_ns, entry);
            }
        }
    }

    pub(crate) fn take(&mut self, timestamp_ns: u64, entry: Entry) -> bool {
        let seq = self.entries.len() as u64 + 1;
        if self.fold.apply(seq, timestamp_ns, &entry).is_err() {
            return false;
        }
        if let Some(id) = entry.order_id() {
            self.ids.insert(id, seq);
            self.originals.insert(id, entry.original(timestamp_ns));
        }
        if let Some((id, kind, facts)) = entry.resolves() {
            self.originals.get_mut(&id).expect("it was chosen among those").progress(kind, &facts);
        }
        let (group_id, code) = entry.group_and_code();
        for wallet in entry.wallets() {
            let position = self.fold.wallets[&wallet].position;
            let row = HistoryRow { seq, timestamp_ns, kind: entry.kind(), code, group_id, position };
            self.history.push((wallet, row));
        }
        self.entries.push((timestamp_ns, entry));
        true
    }

    fn propose(&mut self, chance: &mut Chance, wallets: u64, timestamp_ns: u64) -> Option<Entry> {
        if self.fold.assets.len() < ASSETS as usize {
            let id = self.fold.assets.len() as u32 + 1;
            let code = AssetCode::new(&format!("A{id}"))?;
            return Some(Entry::AssetCreated(Asset { id: AssetId(id), code, scale: 2 }));
        }
        // Wallets 1.. of asset 1 and 1001.. of asset 2, every fourth of them a system wallet.
        let asset = AssetId(1 + chance.below(u64::from(ASSETS)) as u32);
        let base = if asset.0 == 1 { 0 } else { 1000 };
        let any_wallet = |chance: &mut Chance| WalletId(u128::from(base + 1 + chance.below(wallets)));
        let (debit_wallet, credit_wallet) = (any_wallet(chance), any_wallet(chance));
        if !self.fold.wallets.contains_key(&debit_wallet) {
            return Some(Entry::WalletCreated(new_wallet(debit_wallet, asset, chance)));
        }
        self.next_id += 1;
        let scattered = blake3::hash(&self.next_id.to_le_bytes());
        let id = TransferId(u128::from_le_bytes(*scattered.as_bytes().first_chunk()?));
        let memo = Memo {
            group_id: u128::from(chance.below(3)),
            code: chance.below(4) as u16,
            effective_at_ns: chance.below(2),
            metadata: vec![7; chance.below(4) as usize].into(),
        };
        let transfer = Transfer {
            id,
            debit_wallet,
            credit_wallet,
            asset,
            amount: 1 + u128::from(chance.below(50)),
            group_id: memo.group_id,
            code: memo.code,
            effective_at_ns: memo.effective_at_ns,
            metadata: memo.metadata.clone(),
        };
        if chance.below(40) == 0 {
            return Some(Entry::ImportClosed(ImportId(u128::from(1 + chance.below(2)))));
        }
        if debit_wallet == credit_wallet {
            return Some(Entry::WalletChanged(WalletChange {
                wallet: debit_wallet,
                setting: change(chance),
            }));
        }
        match chance.below(12) {
            0..=3 => Some(Entry::Transferred(transfer)),
            4 | 5 => {
                let timeout_s = [0, 3, 30][chance.below(3) as usize];
                Some(Entry::Pended(Pending { transfer, timeout_s }))
            }
            6..=8 => self.end_a_hold(chance, id, memo, timestamp_ns),
            9 => {
                let moved: Vec<_> =
                    self.originals.iter().filter(|(_, original)| is_moved(original)).collect();
                let &(&reverses_id, _) = moved.get(chance.below(moved.len().max(1) as u64) as usize)?;
                let amount = u128::from(chance.below(20));
                let reversal = Reversal { id, reverses_id, amount, memo };
                Some(self.decided(Order::Reversal(reversal), timestamp_ns))
            }
            10 => {
                let third = any_wallet(chance);
                let leg = |wallet, side, amount| Leg { wallet, side, asset, amount };
                let legs: Box<[Leg]> = Box::new([
                    leg(debit_wallet, Side::Debit, transfer.amount + 1),
                    leg(credit_wallet, Side::Credit, transfer.amount),
                    leg(third, Side::Credit, 1),
                ]);
                let transaction = Transaction { id, legs, memo };
                Order::Transaction(transaction.clone()).check_shape().ok()?;
                Some(Entry::TransactionDone(transaction))
            }
            _ => Some(Entry::TransferRefused { transfer, refusal: Status::InsufficientFunds.into() }),
        }
    }

    fn end_a_hold(
        &self,
        chance: &mut Chance,
        id: TransferId,
        memo: Memo,
        timestamp_ns: u64,
    ) -> Option<Entry> {
        let mut open: Vec<(TransferId, HoldTerms)> = self.open_holds().collect();
        open.sort_unstable_by_key(|(id, _)| *id);
        let (pending_id, hold) = *open.get(chance.below(open.len().max(1) as u64) as usize)?;
        match chance.below(3) {
            0 => {
                let amount = u128::from(chance.below(2)) * hold.amount.div_ceil(2);
                Some(self.decided(Order::Post(Post { id, pending_id, amount, memo }), timestamp_ns))
            }
            1 => Some(self.decided(Order::Void(Void { id, pending_id, memo }), timestamp_ns)),
            _ => {
                expire(pending_id, self.originals.get(&pending_id), timestamp_ns)?;
                Some(Entry::Expired { pending_id, hold })
            }
        }
    }

    /// The entry of an order about an earlier one, done or refused.
    fn decided(&self, order: Order, timestamp_ns: u64) -> Entry {
        let original = order.refers_to().and_then(|id| self.originals.get(&id));
        match resolve(&order, original, timestamp_ns) {
            Ok(resolution) => Entry::done(order, resolution.facts),
            Err(unresolved) => Entry::refused(order, unresolved.refusal),
        }
    }

    pub(crate) fn open_holds(&self) -> impl Iterator<Item = (TransferId, HoldTerms)> {
        let holds = self.fold.holds.iter();
        holds.filter(|(_, (_, state))| *state == HoldState::Open).map(|(&id, &(terms, _))| (id, terms))
    }

    /// As it was after so many entries.
    pub(crate) fn as_of(&self, seq: u64) -> Self {
        let mut earlier = Self::default();
        for (timestamp_ns, entry) in &self.entries[..seq as usize] {
            assert!(earlier.take(*timestamp_ns, entry.clone()), "it was taken before");
        }
        earlier
    }
}

fn is_moved(original: &Original) -> bool {
    matches!(original, Original::Moved { .. })
}

fn new_wallet(id: WalletId, asset: AssetId, chance: &mut Chance) -> NewWallet {
    let is_system = id.0 % 4 == 1;
    NewWallet {
        id,
        owner: match chance.below(4) {
            0 => Owner::Number(0),
            1 => Owner::Number(9),
            2 => Owner::Bytes([1].into()),
            _ => Owner::Bytes([1, 1].into()),
        },
        asset,
        code: chance.below(3) as u16,
        flags: if is_system { WalletFlags::SYSTEM } else { WalletFlags::default() },
        overdraft_limit: OverdraftLimit::Limited(u128::from(chance.below(100))),
        balance_max: 0,
        metadata: vec![3; chance.below(5) as usize].into(),
        // The groups of orders are the same numbers.
        import: ImportId(u128::from(chance.below(6).saturating_sub(3))),
    }
}

fn change(chance: &mut Chance) -> Setting {
    match chance.below(3) {
        0 => Setting::Limits {
            overdraft_limit: OverdraftLimit::Limited(u128::from(chance.below(200))),
            balance_max: 0,
        },
        1 => {
            let frozen = WalletFlags::CREDIT_FROZEN;
            let none = WalletFlags::default();
            let (set, clear) = if chance.below(4) == 0 { (frozen, none) } else { (none, frozen) };
            Setting::Flags { set, clear }
        }
        _ => Setting::Metadata(vec![5; chance.below(6) as usize].into()),
    }
}

/// A journal in memory, of which some is durable and some is trimmed.
#[derive(Debug, Default)]
pub(crate) struct MemoryJournal {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    records: BTreeMap<u64, Vec<u8>>,
    last_seq: u64,
    tip: RecordHash,
}

impl MemoryJournal {
    /// With all entries of a ledger, in records of 1 to `entries_max` entries.
    pub(crate) fn of(ledger: &InventedLedger, chance: &mut Chance, entries_max: u64) -> Self {
        let journal = Self::default();
        journal.append(ledger, chance, entries_max);
        journal
    }

    /// Appends what the ledger holds more.
    pub(crate) fn append(&self, ledger: &InventedLedger, chance: &mut Chance, entries_max: u64) {
        let mut kept = self.kept.lock();
        while kept.last_seq < ledger.entries.len() as u64 {
            let start = kept.last_seq as usize;
            let count = (1 + chance.below(entries_max) as usize).min(ledger.entries.len() - start);
            let mut body = Vec::new();
            for (timestamp_ns, entry) in &ledger.entries[start..start + count] {
                let mut payload = Vec::new();
                encode_entry(entry, &mut payload);
                record::push_entry(&mut body, *timestamp_ns, &payload);
            }
            let before = if start == 0 { GENESIS_HASH } else { kept.tip };
            let first_seq = start as u64 + 1;
            let bytes = Record::encode(first_seq, count as u32, &before, &body);
            kept.tip = record::hash_of_encoded(&bytes);
            kept.last_seq += count as u64;
            kept.records.insert(first_seq, bytes);
        }
    }

    pub(crate) fn first_seq(&self) -> Option<u64> {
        self.kept.lock().records.keys().next().copied()
    }
}

impl JournalReader for MemoryJournal {
    fn read_from(&self, from_seq: u64) -> Records {
        let kept = self.kept.lock();
        let first = kept.records.range(..=from_seq).next_back().map_or(from_seq, |(&first, _)| first);
        let records: Vec<_> = kept.records.range(first..).map(|(_, bytes)| bytes.clone()).collect();
        let records = records.into_iter().map(|bytes| Record::decode(bytes).expect("it was encoded here"));
        Box::new(records.filter(move |record| record.last_seq() >= from_seq).map(Ok))
    }

    fn record_holding(&self, seq: u64) -> Result<Option<Record>, PersistenceError> {
        let kept = self.kept.lock();
        let record = kept.records.range(..=seq).next_back().map(|(_, bytes)| bytes.clone());
        let record = record.map(|bytes| Record::decode(bytes).expect("it was encoded here"));
        Ok(record.filter(|record| seq <= record.last_seq()))
    }
}

impl JournalTrimmer for MemoryJournal {
    fn trim(&self, through_seq: u64) -> Result<(), PersistenceError> {
        self.kept.lock().records.retain(|&first, _| first > through_seq);
        Ok(())
    }
}
