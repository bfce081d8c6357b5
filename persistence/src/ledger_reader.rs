//! The whole ledger, read: the books up to their marker, and the journal above it.
//!
//! Whoever combines the two holds one view while it does: the journal is not trimmed above the marker of a view that is held. All
//! reads block, so they are for readers' threads. A read "as of" an entry asks only for entries that are durable; the books may
//! have gone on beyond it meanwhile.

use crate::books::Books;
use crate::books::history::HistoryRow;
use crate::books::view::{BooksView, Direction, Page, WalletQuery};
use crate::books::window::add_effect;
use crate::entry_codec::{creates_wallet, decode_entry};
use crate::error::PersistenceError;
use crate::journal::{JournalReader, Records};
use crate::record::Record;
use crate::replay::{read_entries, replay_one};
use crate::wallet_index::WalletIndex;
use ledger::fold::{AssetTotals, FoldFault};
use ledger::holds::Hold;
use ledger::{AssetId, Effect, Entry, ImportId, OrderKind, Original, Position, TransferId, Wallet, WalletId};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The journal from its first record on, wherever its records are.
#[derive(Debug)]
pub struct WholeJournal {
    view: Arc<BooksView>,
    journal: Arc<dyn JournalReader>,
}

impl JournalReader for WholeJournal {
    fn read_from(&self, from_seq: u64) -> Records {
        let above = from_seq.max(self.view.seq() + 1);
        let held = KeepsView { _view: Arc::clone(&self.view), records: self.journal.read_from(above) };
        Box::new(self.view.records_from(from_seq).chain(held))
    }

    fn record_holding(&self, seq: u64) -> Result<Option<Record>, PersistenceError> {
        if seq <= self.view.seq() { self.view.record_holding(seq) } else { self.journal.record_holding(seq) }
    }
}

/// Records that are not trimmed while they are being read.
struct KeepsView {
    _view: Arc<BooksView>,
    records: Records,
}

impl Iterator for KeepsView {
    type Item = Result<Record, PersistenceError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.records.next()
    }
}

/// Which entries of a wallet are wanted.
#[derive(Debug, Clone, Copy)]
pub struct StatementQuery {
    /// From this entry on.
    pub first_seq: u64,
    /// Up to this one, which is durable.
    pub last_seq: u64,
    /// Oldest or newest first.
    pub direction: Direction,
    /// At most so many.
    pub limit: usize,
    /// Look at no more than so many.
    pub scan_max: usize,
    /// Only of this kind.
    pub kind: Option<OrderKind>,
    /// Only of this code.
    pub code: Option<u16>,
    /// Only of this group.
    pub group_id: Option<u128>,
}

impl StatementQuery {
    /// Creations and changes of settings move nothing, so they are in no statement.
    fn matches(&self, row: &HistoryRow) -> bool {
        row.kind.is_some()
            && self.kind.is_none_or(|kind| row.kind == Some(kind))
            && self.code.is_none_or(|code| row.code == code)
            && self.group_id.is_none_or(|group_id| row.group_id == group_id)
    }
}

/// Reads the books and the journal as one. Cheap to clone.
#[derive(Debug, Clone)]
pub struct LedgerReader {
    journal: Arc<dyn JournalReader>,
    books: Arc<Books>,
    index: Arc<WalletIndex>,
}

impl LedgerReader {
    /// Reads the books and the journal that they are made of. The index holds the entries above the books.
    pub fn new(journal: Arc<dyn JournalReader>, books: Arc<Books>, index: Arc<WalletIndex>) -> Self {
        Self { journal, books, index }
    }

    /// The books.
    pub fn books(&self) -> &Arc<Books> {
        &self.books
    }

    /// The newest view of the books.
    pub fn view(&self) -> Arc<BooksView> {
        self.books.view()
    }

    /// The entry that decided an order, if the books hold it.
    pub fn seq_of(&self, id: TransferId) -> Result<Option<u64>, PersistenceError> {
        self.books.view().seq_of(id)
    }

    /// The books hold everything up to `seq`: the index need not any more.
    pub fn forget_through(&self, seq: u64) {
        self.index.forget_through(seq);
    }

    /// All records.
    pub fn whole_journal(&self) -> WholeJournal {
        WholeJournal { view: self.books.view(), journal: Arc::clone(&self.journal) }
    }

    /// The durable records that hold the entries from `seq` on. The first may start below it.
    pub fn records_from(&self, seq: u64) -> Records {
        self.whole_journal().read_from(seq)
    }

    /// A durable entry and its time, in nanoseconds since 1970.
    pub fn entry(&self, seq: u64) -> Result<Option<(u64, Entry)>, PersistenceError> {
        let Some(record) = self.whole_journal().record_holding(seq)? else { return Ok(None) };
        let held = record.entries().find(|&(held, _, _)| held == seq);
        held.map(|(_, timestamp_ns, payload)| Ok((timestamp_ns, decode_entry(seq, payload)?))).transpose()
    }

    /// Durable entries, whose numbers are in order.
    pub fn entries(
        &self,
        seqs: &[u64],
        on_entry: &mut dyn FnMut(u64, u64, Entry) -> Result<(), PersistenceError>,
    ) -> Result<(), PersistenceError> {
        read_entries(&self.whole_journal(), seqs, on_entry)
    }

    /// An order that another one can be about, and the entry that decided it, as far as the books know: what came of it above their
    /// marker, which is given with it, is for the caller to add.
    pub fn original(&self, id: TransferId) -> Result<(u64, Option<(u64, Original)>), PersistenceError> {
        let view = self.books.view();
        Ok((view.seq(), view.original(id)?))
    }

    /// A wallet with its open holds, as of the durable entry `seq`.
    pub fn wallet_as_of(&self, wallet: WalletId, seq: u64) -> Result<Option<Wallet>, PersistenceError> {
        let tail = self.tail(wallet, seq)?;
        let base = if tail.is_from_the_start { None } else { tail.whole.view.wallet(wallet)? };
        tail.replay(wallet, base, &mut |_, _, _, _| {})
    }

    /// Where a wallet stood after the durable entry `seq`; `None` if it did not exist.
    pub fn position_at(&self, wallet: WalletId, seq: u64) -> Result<Option<Position>, PersistenceError> {
        let view = self.books.view();
        if seq <= view.seq() {
            return view.position_at(wallet, seq);
        }
        let last = self.history(wallet, 0, seq, Direction::Backward, 1)?;
        Ok(last.first().map(|row| row.position))
    }

    /// The last durable entry whose time is not after `timestamp_ns`, looking no further than `seq_max`; 0 if there is none.
    pub fn seq_at(&self, timestamp_ns: u64, seq_max: u64) -> Result<u64, PersistenceError> {
        let whole = self.whole_journal();
        let view = &whole.view;
        if timestamp_ns < view.last_timestamp_ns() || seq_max <= view.seq() {
            return Ok(view.seq_at(timestamp_ns)?.min(seq_max));
        }
        // Everything up to `low` is not after it, what is above `high` is.
        let (mut low, mut high) = (view.seq(), seq_max);
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            let record = whole.record_holding(middle)?.ok_or_else(|| missing(middle))?;
            let not_after = record.entries().take_while(|&(_, time, _)| time <= timestamp_ns).last();
            match not_after {
                None => high = record.first_seq() - 1,
                Some((seq, _, _)) if seq == record.last_seq() => low = seq,
                Some((seq, _, _)) => return Ok(seq.min(seq_max)),
            }
        }
        Ok(low.min(seq_max))
    }

    /// What was done to a wallet by the durable entries from `first_seq` to `last_seq`, at most `limit` of them from the end that
    /// the direction begins at.
    pub fn history(
        &self,
        wallet: WalletId,
        first_seq: u64,
        last_seq: u64,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<HistoryRow>, PersistenceError> {
        let view = self.books.view();
        if last_seq <= view.seq() {
            return view.history(wallet, first_seq, last_seq, direction, limit);
        }
        let tail = self.tail(wallet, last_seq)?;
        let view = &tail.whole.view;
        let mut above = Vec::new();
        if last_seq > view.seq() {
            let base = view.wallet_without_holds(wallet)?;
            tail.replay_positions(wallet, base, &mut |seq, timestamp_ns, entry, wallet| {
                above.push(HistoryRow::of(seq, timestamp_ns, entry, wallet.position));
            })?;
            above.retain(|row| (first_seq..=last_seq).contains(&row.seq));
        }
        let below = |limit| view.history(wallet, first_seq, last_seq, direction, limit);
        let mut rows;
        match direction {
            Direction::Forward => {
                rows = below(limit)?;
                rows.extend(above);
                rows.truncate(limit);
            }
            Direction::Backward => {
                rows = above;
                rows.reverse();
                rows.truncate(limit);
                rows.extend(below(limit - rows.len())?);
            }
        }
        Ok(rows)
    }

    /// A page of a wallet's statement, and the entry after which the next one begins, in its direction.
    pub fn statement(
        &self,
        wallet: WalletId,
        query: &StatementQuery,
    ) -> Result<Page<HistoryRow, u64>, PersistenceError> {
        let (mut first_seq, mut last_seq) = (query.first_seq, query.last_seq);
        let limit = query.limit.max(1);
        let mut items: Vec<HistoryRow> = Vec::new();
        let mut left = query.scan_max.max(1);
        // What is wanted may be all there is; if not, more and more is looked at to find it.
        let mut count = limit;
        loop {
            count = count.min(left);
            // One more, to know whether it goes on.
            let rows = self.history(wallet, first_seq, last_seq, query.direction, count.saturating_add(1))?;
            for (place, row) in rows.iter().take(count).enumerate().filter(|(_, row)| query.matches(row)) {
                items.push(*row);
                if items.len() == limit {
                    let is_more = place + 1 < rows.len();
                    return Ok(Page { items, next: is_more.then_some(row.seq) });
                }
            }
            let Some(last) = rows.get(count - 1).filter(|_| rows.len() > count) else {
                return Ok(Page { items, next: None });
            };
            left -= count;
            if left == 0 {
                return Ok(Page { items, next: Some(last.seq) });
            }
            match query.direction {
                Direction::Forward => first_seq = last.seq + 1,
                Direction::Backward => last_seq = last.seq - 1,
            }
            count = count.saturating_mul(4);
        }
    }

    /// A page of a wallet's open holds as of the durable entry `seq`, by their ids.
    pub fn list_pending(
        &self,
        wallet: WalletId,
        seq: u64,
        after: Option<TransferId>,
        limit: usize,
    ) -> Result<Page<(TransferId, Hold), TransferId>, PersistenceError> {
        let tail = self.tail(wallet, seq)?;
        if tail.is_from_the_start {
            let wallet = self.wallet_as_of(wallet, seq)?;
            let holds = wallet.iter().flat_map(|wallet| wallet.holds.iter());
            let mut holds = holds.filter(|(id, _)| Some(*id) > after).map(|(id, hold)| (id, *hold));
            let items: Vec<_> = holds.by_ref().take(limit).collect();
            let next = if holds.next().is_some() { items.last().map(|(id, _)| *id) } else { None };
            return Ok(Page { items, next });
        }
        // What is above the books: opened holds, and ended ones as nothing.
        let mut changed: BTreeMap<TransferId, Option<Hold>> = BTreeMap::new();
        tail.each(&mut |seq, timestamp_ns, entry| {
            let route = entry.route();
            let part = route.parts().iter().find(|part| part.wallet == wallet);
            match part.map(|part| part.effect) {
                Some(Effect::Hold { id, side, amount, timeout_s }) => {
                    let expires_at_ns = ledger::route::expires_at_ns(timestamp_ns, timeout_s);
                    changed.insert(id, Some(Hold { side, amount, expires_at_ns, seq }));
                }
                Some(Effect::Resolve { id, .. }) => drop(changed.insert(id, None)),
                _ => {}
            }
            Ok(())
        })?;
        // So many more, as may have ended.
        let enough = limit.saturating_add(changed.len()).saturating_add(1);
        let below = tail.whole.view.list_pending(wallet, after, enough)?;
        let mut open: BTreeMap<TransferId, Hold> = below.items.into_iter().collect();
        // Beyond where the books' page ends there may be others between.
        let bound = below.next.unwrap_or(TransferId(u128::MAX));
        for (id, hold) in changed.into_iter().filter(|(id, _)| Some(*id) > after && *id <= bound) {
            match hold {
                Some(hold) => drop(open.insert(id, hold)),
                None => drop(open.remove(&id)),
            }
        }
        let is_more = open.len() > limit || below.next.is_some();
        let items: Vec<_> = open.into_iter().take(limit).collect();
        let next = if is_more { items.last().map(|(id, _)| *id) } else { None };
        Ok(Page { items, next })
    }

    /// A page of wallets by their ids, without their holds, as of the durable entry `seq`. Fewer than asked for, with a place to go
    /// on, if the scan was long.
    pub fn list_wallets(
        &self,
        query: &WalletQuery,
        seq: u64,
    ) -> Result<Page<Wallet, WalletId>, PersistenceError> {
        let whole = self.whole_journal();
        let view = &whole.view;
        // Flags may have changed above the books.
        let unflagged = WalletQuery { flags: ledger::WalletFlags::default(), ..query.clone() };
        let below = view.list_wallets(&unflagged)?;
        let bound = below.next.unwrap_or(WalletId(u128::MAX));
        let mut listed: BTreeSet<WalletId> = below.items.iter().map(|wallet| wallet.terms.id).collect();
        if seq > view.seq() {
            for record in self.journal.read_from(view.seq() + 1) {
                let record = record?;
                for (_, _, payload) in record.entries().take_while(|(held, _, _)| *held <= seq) {
                    if creates_wallet(payload)
                        && let Entry::WalletCreated(terms) = decode_entry(record.first_seq(), payload)?
                        && Some(terms.id) > query.after
                        && terms.id <= bound
                        && query.may_match(&terms)
                    {
                        listed.insert(terms.id);
                    }
                }
                if record.last_seq() >= seq {
                    break;
                }
            }
        }
        let (mut items, mut next) = (Vec::new(), below.next);
        for id in listed {
            if items.len() == query.limit {
                next = items.last().map(|wallet: &Wallet| wallet.terms.id);
                break;
            }
            let wallet = self.wallet_without_holds_as_of(id, seq)?;
            items.extend(wallet.filter(|wallet| query.matches(wallet)));
        }
        Ok(Page { items, next })
    }

    /// The entry that created a wallet, and under which import; `None` if there is none up to the durable entry `seq`.
    pub fn creation(&self, wallet: WalletId, seq: u64) -> Result<Option<(u64, ImportId)>, PersistenceError> {
        loop {
            let view = self.books.view();
            if let Some(known) = view.wallet_without_holds(wallet)? {
                return Ok((known.created_seq <= seq).then_some((known.created_seq, known.terms.import)));
            }
            // One that the books have no word of was created above them, and that is the first that is known of it.
            let Some(above) = self.index.seqs_above(wallet, view.seq(), seq) else { continue };
            let Some(&created_seq) = above.first() else { return Ok(None) };
            return match self.entry(created_seq)? {
                Some((_, Entry::WalletCreated(terms))) => Ok(Some((created_seq, terms.import))),
                other => {
                    let fault = format!("is the first of wallet {wallet}, and does not create it: {other:?}");
                    Err(FoldFault { seq: created_seq, fault }.into())
                }
            };
        }
    }

    /// A wallet without its holds, as of the durable entry `seq`.
    fn wallet_without_holds_as_of(
        &self,
        wallet: WalletId,
        seq: u64,
    ) -> Result<Option<Wallet>, PersistenceError> {
        let tail = self.tail(wallet, seq)?;
        let base =
            if tail.is_from_the_start { None } else { tail.whole.view.wallet_without_holds(wallet)? };
        tail.replay_positions(wallet, base, &mut |_, _, _, _| {})
    }

    /// The totals of each asset over all wallets, as of the durable entry `seq`.
    pub fn totals_as_of(&self, seq: u64) -> Result<BTreeMap<AssetId, AssetTotals>, PersistenceError> {
        let whole = self.whole_journal();
        let view = Arc::clone(&whole.view);
        let mut totals = view.totals()?;
        // Sums can be undone: if the books have gone on, what they have added since is taken away.
        let (from, to, sign) =
            if seq >= view.seq() { (view.seq(), seq, Sign::Add) } else { (seq, view.seq(), Sign::Undo) };
        if from == to {
            return Ok(totals);
        }
        let mut not_yet = Vec::new();
        for record in whole.read_from(from + 1) {
            let record = record?;
            for (held, _, payload) in record.entries() {
                if held > from && held <= to {
                    let entry = decode_entry(held, payload)?;
                    if let (Sign::Undo, Entry::AssetCreated(asset)) = (sign, &entry) {
                        not_yet.push(asset.id);
                    }
                    sign.apply(&mut totals, &entry);
                }
            }
            if record.last_seq() >= to {
                break;
            }
        }
        totals.retain(|asset, _| !not_yet.contains(asset));
        Ok(totals)
    }

    /// The entries that lead from a view to `seq` at one wallet.
    fn tail(&self, wallet: WalletId, seq: u64) -> Result<Tail, PersistenceError> {
        loop {
            let view = self.books.view();
            // What the index has forgotten is in a view that was published before.
            let Some(above) = self.index.seqs_above(wallet, view.seq(), seq) else { continue };
            let last_seq = view.wallet_without_holds(wallet)?.map_or(0, |wallet| wallet.last_seq);
            let is_from_the_start = last_seq > seq;
            let mut seqs = above;
            if is_from_the_start {
                // The books have gone on beyond it: from its creation on.
                let all = view.history(wallet, 0, seq, Direction::Forward, usize::MAX)?;
                seqs = all.into_iter().map(|row| row.seq).collect();
            }
            let whole = WholeJournal { view, journal: Arc::clone(&self.journal) };
            return Ok(Tail { whole, seqs, is_from_the_start });
        }
    }
}

/// What has to be replayed of one wallet, and the view that it goes on from.
struct Tail {
    whole: WholeJournal,
    seqs: Vec<u64>,
    is_from_the_start: bool,
}

/// Called with each entry that was applied, and the wallet after it.
type OnApplied<'a> = dyn FnMut(u64, u64, &Entry, &Wallet) + 'a;

/// Applies an entry with its number and time; says whether it did anything.
type Apply<'a> = dyn FnMut(&mut Option<Wallet>, u64, u64, &Entry) -> bool + 'a;

impl Tail {
    fn each(
        &self,
        on_entry: &mut dyn FnMut(u64, u64, Entry) -> Result<(), PersistenceError>,
    ) -> Result<(), PersistenceError> {
        read_entries(&self.whole, &self.seqs, on_entry)
    }

    fn replay(
        &self,
        wallet: WalletId,
        base: Option<Wallet>,
        on_applied: &mut OnApplied<'_>,
    ) -> Result<Option<Wallet>, PersistenceError> {
        self.replay_by(wallet, base, on_applied, &mut |state, seq, timestamp_ns, entry| {
            replay_one(state, wallet, seq, timestamp_ns, entry)
        })
    }

    /// For a wallet without its holds.
    fn replay_positions(
        &self,
        wallet: WalletId,
        base: Option<Wallet>,
        on_applied: &mut OnApplied<'_>,
    ) -> Result<Option<Wallet>, PersistenceError> {
        self.replay_by(wallet, base, on_applied, &mut |state, seq, timestamp_ns, entry| {
            let route = entry.route();
            match (state.as_mut(), route.parts().iter().find(|part| part.wallet == wallet)) {
                (Some(state), Some(part)) => {
                    state.apply_to_position(&part.effect, seq);
                    true
                }
                _ => replay_one(state, wallet, seq, timestamp_ns, entry),
            }
        })
    }

    fn replay_by(
        &self,
        wallet: WalletId,
        base: Option<Wallet>,
        on_applied: &mut OnApplied<'_>,
        apply: &mut Apply<'_>,
    ) -> Result<Option<Wallet>, PersistenceError> {
        let mut state = base;
        self.each(&mut |seq, timestamp_ns, entry| {
            if !apply(&mut state, seq, timestamp_ns, &entry) {
                let fault = format!("is among those of wallet {wallet}, and does not change it: {entry:?}");
                return Err(FoldFault { seq, fault }.into());
            }
            if let Some(state) = &state {
                on_applied(seq, timestamp_ns, &entry, state);
            }
            Ok(())
        })?;
        Ok(state)
    }
}

#[derive(Clone, Copy)]
enum Sign {
    Add,
    Undo,
}

impl Sign {
    fn apply(self, totals: &mut BTreeMap<AssetId, AssetTotals>, entry: &Entry) {
        match (self, entry) {
            (Self::Add, Entry::AssetCreated(asset)) => {
                totals.insert(asset.id, AssetTotals::default());
            }
            (sign, Entry::WalletCreated(wallet)) => {
                let wallets = &mut totals.entry(wallet.asset).or_default().wallets;
                *wallets = match sign {
                    Self::Add => wallets.wrapping_add(1),
                    Self::Undo => wallets.wrapping_sub(1),
                };
            }
            (sign, entry) => {
                for part in entry.route().parts() {
                    let sums = totals.entry(part.asset).or_default();
                    match sign {
                        Self::Add => add_effect(sums, &part.effect),
                        Self::Undo => {
                            let mut added = AssetTotals::default();
                            add_effect(&mut added, &part.effect);
                            take_away(sums, &added);
                        }
                    }
                }
            }
        }
    }
}

/// Counting modulo 2^128 as the sums do.
fn take_away(sums: &mut AssetTotals, added: &AssetTotals) {
    sums.debits_posted = sums.debits_posted.wrapping_sub(added.debits_posted);
    sums.credits_posted = sums.credits_posted.wrapping_sub(added.credits_posted);
    sums.debits_pending = sums.debits_pending.wrapping_sub(added.debits_pending);
    sums.credits_pending = sums.credits_pending.wrapping_sub(added.credits_pending);
}

fn missing(seq: u64) -> PersistenceError {
    PersistenceError::UnreadableEntry { seq, reason: "the journal does not hold it".to_owned() }
}
