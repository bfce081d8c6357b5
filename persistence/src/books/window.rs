//! A window of durable records, folded: what it changes in the books, and in which order that is written.
//!
//! It decides nothing again. What nobody can have decided on (money of a wallet that does not exist, an id used twice, sums that
//! differ) is a contradiction. Everything is gathered in memory first; nothing is written before the window is closed.

use crate::entry_codec::decode_entry;
use crate::error::{Damage, PersistenceError};
use crate::head_file::Head;
use crate::journal::ChainPoint;
use crate::record::Record;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use ledger::fold::{AssetTotals, FoldFault};
use ledger::{
    Asset, AssetId, Effect, Entry, Facts, HoldState, HoldTerms, ImportId, OrderKind, Position, TransferId,
    Wallet, WalletId,
};
use std::collections::BTreeMap;

use super::history::{Before, ChunkKey, HistoryRow};
use super::id_filter::IdFilterFiles;
use super::rows::{self, Generations, Kind, Marker, Progress};
use super::store::RowSink;
use super::view::BooksView;

/// Where a window ends at the latest; always between two records.
#[derive(Debug, Clone, Copy)]
pub struct WindowLimits {
    /// Entries.
    pub entries: u64,
    /// Wallets that it changes. They are in memory until it is written.
    pub wallets: usize,
    /// Bytes of its records, and of what it adds to the history, each.
    pub bytes: usize,
}

impl Default for WindowLimits {
    fn default() -> Self {
        // What a window takes while it is gathered is most of the server's memory. Measured up to 18 million transfers (batches of 1,000,
        // random ids, two busy cores): 542 MB at the most, against 641 MB with twice as many, and no fewer transfers a second.
        Self { entries: 250_000, wallets: 64 << 10, bytes: 64 << 20 }
    }
}

/// What is kept in memory from one window to the next: all that is folded up to its end.
#[derive(Debug, Default)]
pub(crate) struct FoldState {
    places: HashMap<WalletId, u32, RandomState>,
    wallets: Vec<WalletState>,
    assets: BTreeMap<AssetId, (Asset, u64, u64)>,
    /// Those that are closed, each with the entry that closed it and its time.
    imports: BTreeMap<ImportId, (u64, u64)>,
    totals: BTreeMap<AssetId, AssetTotals>,
}

#[derive(Debug)]
struct WalletState {
    /// Without its holds.
    wallet: Wallet,
    /// Where it stood when the window began; `None` if it did not exist.
    before: Option<Position>,
    is_changed: bool,
    /// The time of its newest row in the window's history; `None` if there is none yet.
    noted_at_ns: Option<u64>,
}

impl WalletState {
    fn new(wallet: Wallet, before: Option<Position>, is_changed: bool) -> Self {
        Self { wallet, before, is_changed, noted_at_ns: None }
    }

    /// What its row of the entry `seq` is the difference from, if that belongs to the same chunk.
    fn newest_row(&self, seq: u64, chunk_rows: u64, generations: Generations) -> Option<Before> {
        let Self { wallet, noted_at_ns, .. } = self;
        let goes_on = !(wallet.version + 1).is_multiple_of(chunk_rows)
            && generations.of(wallet.last_seq) == generations.of(seq);
        let timestamp_ns = noted_at_ns.filter(|_| goes_on)?;
        Some(Before { seq: wallet.last_seq, timestamp_ns, position: wallet.position })
    }
}

impl FoldState {
    /// What the books hold, as of a view.
    pub(crate) fn load(view: &BooksView) -> Result<Self, PersistenceError> {
        Ok(Self {
            assets: view.assets()?,
            imports: view.imports()?,
            totals: view.totals()?,
            ..Self::default()
        })
    }

    /// Makes ready for the next window.
    fn end_window(&mut self, changed: &[u32], wallets_max: usize) {
        if self.wallets.len() > wallets_max {
            self.places.clear();
            self.wallets.clear();
            return;
        }
        for &place in changed {
            let state = &mut self.wallets[place as usize];
            state.before = Some(state.wallet.position);
            state.is_changed = false;
            state.noted_at_ns = None;
        }
    }
}

/// What becomes of a hold in a window.
#[derive(Debug, Clone, Copy)]
enum HoldChange {
    Opened(HoldTerms, u64),
    Ended(HoldTerms),
}

/// One row of the history: which wallet, and where in the window's bytes it is.
#[derive(Debug, Clone, Copy, Default)]
struct HistoryPlace {
    wallet: u32,
    seq_offset: u32,
    start: u32,
    length: u16,
    starts_chunk: bool,
}

/// A window that is being gathered.
#[derive(Debug)]
pub(crate) struct Window {
    /// What it goes on from.
    base: Marker,
    chunk_rows: u64,
    tip: Head,
    records: Vec<Record>,
    record_bytes: usize,
    ids: Vec<(u128, u64)>,
    /// Places of the wallets that it changes.
    changed: Vec<u32>,
    history: Vec<HistoryPlace>,
    history_values: Vec<u8>,
    past_generations: Vec<(WalletId, u32)>,
    owners: Vec<Vec<u8>>,
    assets: Vec<AssetId>,
    imports: Vec<ImportId>,
    holds: BTreeMap<TransferId, HoldChange>,
    progress: BTreeMap<TransferId, Progress>,
}

impl Window {
    /// An empty one, to go on from a view.
    pub(crate) fn after(view: &BooksView, chunk_rows: u64) -> Self {
        let base = *view.marker();
        Self {
            base,
            chunk_rows,
            tip: Head { point: base.point, timestamp: base.last_timestamp_ns },
            records: Vec::new(),
            record_bytes: 0,
            ids: Vec::new(),
            changed: Vec::new(),
            history: Vec::new(),
            history_values: Vec::new(),
            past_generations: Vec::new(),
            owners: Vec::new(),
            assets: Vec::new(),
            imports: Vec::new(),
            holds: BTreeMap::new(),
            progress: BTreeMap::new(),
        }
    }

    pub(crate) fn entries(&self) -> u64 {
        self.tip.point.seq - self.base.point.seq
    }

    pub(crate) fn is_full(&self, limits: &WindowLimits) -> bool {
        self.entries() >= limits.entries
            || self.changed.len() >= limits.wallets
            || self.record_bytes.max(self.history_values.len()) >= limits.bytes
    }

    /// Adds the next record. After an error neither the window nor the state is of any use.
    pub(crate) fn add(
        &mut self,
        state: &mut FoldState,
        view: &BooksView,
        record: Record,
    ) -> Result<(), PersistenceError> {
        self.check_link(view, &record)?;
        let mut entries = Vec::with_capacity(record.count() as usize);
        for (seq, timestamp_ns, payload) in record.entries() {
            entries.push((seq, timestamp_ns, decode_entry(seq, payload)?));
        }
        load_missing(state, view, &entries)?;
        for (seq, timestamp_ns, entry) in &entries {
            self.apply(state, view, *seq, *timestamp_ns, entry)?;
        }
        self.tip = Head {
            point: ChainPoint { seq: record.last_seq(), hash: record.hash() },
            timestamp: record.last_timestamp(),
        };
        self.record_bytes += record.as_bytes().len();
        self.records.push(record);
        Ok(())
    }

    fn check_link(&self, view: &BooksView, record: &Record) -> Result<(), PersistenceError> {
        let (expected, found) = (self.tip.point.seq + 1, record.first_seq());
        let damage = if found != expected {
            Damage::Hole { expected, found }
        } else if record.prev_hash() != self.tip.point.hash {
            Damage::BrokenChain { seq: found }
        } else if record.first_timestamp() <= self.tip.timestamp {
            Damage::TimeWentBack { seq: found }
        } else {
            return Ok(());
        };
        Err(PersistenceError::damaged(view.path(), damage))
    }

    fn apply(
        &mut self,
        state: &mut FoldState,
        view: &BooksView,
        seq: u64,
        timestamp_ns: u64,
        entry: &Entry,
    ) -> Result<(), PersistenceError> {
        let fault = |fault: String| Err(FoldFault { seq, fault }.into());
        if let Some(id) = entry.order_id() {
            self.ids.push((id.0, seq));
        }
        match entry {
            Entry::AssetCreated(asset) => {
                if state.assets.insert(asset.id, (asset.clone(), seq, timestamp_ns)).is_some() {
                    return fault(format!("creates asset {} again", asset.id));
                }
                state.totals.insert(asset.id, AssetTotals::default());
                self.assets.push(asset.id);
                return Ok(());
            }
            Entry::ImportClosed(import) => {
                if state.imports.insert(*import, (seq, timestamp_ns)).is_some() {
                    return fault(format!("closes import {import} again"));
                }
                self.imports.push(*import);
                return Ok(());
            }
            Entry::WalletCreated(terms) => {
                if state.places.contains_key(&terms.id) {
                    return fault(format!("creates wallet {} again", terms.id));
                }
                if !state.assets.contains_key(&terms.asset) {
                    return fault(format!("creates wallet {} in unknown asset {}", terms.id, terms.asset));
                }
                let place = state.wallets.len() as u32;
                state.places.insert(terms.id, place);
                let wallet = Wallet::create(terms.clone(), seq, timestamp_ns);
                state.wallets.push(WalletState::new(wallet, None, true));
                self.changed.push(place);
                self.note(state, place, None, seq, timestamp_ns, entry);
                self.owners.extend(rows::owner_key(&terms.owner).map(|mut key| {
                    key.extend_from_slice(&terms.id.0.to_be_bytes());
                    key
                }));
                return Ok(());
            }
            Entry::WalletChanged(change) => {
                let Some(place) = self.touch(state, change.wallet) else {
                    return fault(format!("changes the unknown wallet {}", change.wallet));
                };
                let newest_row = self.about_to_change(state, place, seq);
                state.wallets[place as usize].wallet.change(change, seq);
                self.note(state, place, newest_row, seq, timestamp_ns, entry);
                return Ok(());
            }
            _ => {}
        }
        for part in entry.route().parts() {
            if cfg!(bursar_broken = "forgotten_fold") && matches!(part.effect, Effect::Resolve { .. }) {
                continue;
            }
            let Some(place) = self.touch(state, part.wallet) else {
                return fault(format!("moves money of the unknown wallet {}", part.wallet));
            };
            let newest_row = self.about_to_change(state, place, seq);
            state.wallets[place as usize].wallet.apply_to_position(&part.effect, seq);
            self.note(state, place, newest_row, seq, timestamp_ns, entry);
        }
        self.follow(view, seq, timestamp_ns, entry)
    }

    /// Called before the entry `seq` changes a wallet: what its row is the difference from, if that belongs to the same chunk.
    fn about_to_change(&mut self, state: &FoldState, place: u32, seq: u64) -> Option<Before> {
        let wallet = &state.wallets[place as usize];
        let left = self.base.generations.left(&wallet.wallet, seq);
        self.past_generations.extend(left.map(|generation| (wallet.wallet.terms.id, generation)));
        wallet.newest_row(seq, self.chunk_rows, self.base.generations)
    }

    /// Notes in the history what an entry has done to a wallet, whose row before it is `newest_row` if that is in the same chunk.
    fn note(
        &mut self,
        state: &mut FoldState,
        place: u32,
        newest_row: Option<Before>,
        seq: u64,
        timestamp_ns: u64,
        entry: &Entry,
    ) {
        let wallet = &mut state.wallets[place as usize];
        wallet.noted_at_ns = Some(timestamp_ns);
        let row = HistoryRow::of(seq, timestamp_ns, entry, wallet.wallet.position);
        let start = self.history_values.len();
        row.append(&newest_row.unwrap_or(Before::chunk(seq)), &mut self.history_values);
        self.history.push(HistoryPlace {
            wallet: place,
            seq_offset: (seq - self.base.point.seq) as u32,
            start: start as u32,
            length: (self.history_values.len() - start) as u16,
            starts_chunk: newest_row.is_none(),
        });
    }

    /// Notes what an entry does to holds, and what it makes of an earlier order.
    fn follow(
        &mut self,
        view: &BooksView,
        seq: u64,
        timestamp_ns: u64,
        entry: &Entry,
    ) -> Result<(), PersistenceError> {
        if let Entry::Pended(pending) = entry
            && let ledger::Original::Hold { terms, .. } = entry.original(timestamp_ns)
        {
            self.holds.insert(pending.transfer.id, HoldChange::Opened(terms, seq));
        }
        match entry.resolves() {
            Some((id, kind, Facts::Hold(terms))) => {
                match self.holds.remove(&id) {
                    // It was never written, so there is nothing to remove.
                    Some(HoldChange::Opened(..)) => {}
                    Some(HoldChange::Ended(_)) => {
                        return Err(FoldFault { seq, fault: format!("ends the hold {id} again") }.into());
                    }
                    None => {
                        self.holds.insert(id, HoldChange::Ended(terms));
                    }
                }
                let ended = match kind {
                    OrderKind::Post => HoldState::Posted,
                    OrderKind::Void => HoldState::Voided,
                    _ => HoldState::Expired,
                };
                self.progress.insert(id, Progress::Ended(ended));
            }
            Some((id, _, Facts::Reversed(facts))) => {
                let before = match self.progress.get(&id) {
                    Some(progress) => Some(*progress),
                    None => view.progress(id)?,
                };
                let before = match before {
                    None => 0,
                    Some(Progress::Reversed(amount)) => amount,
                    Some(Progress::Ended(_)) => {
                        return Err(FoldFault { seq, fault: format!("reverses the hold {id}") }.into());
                    }
                };
                self.progress.insert(id, Progress::Reversed(before.saturating_add(facts.amount)));
            }
            None => {}
        }
        Ok(())
    }

    /// The place of a wallet that is about to change.
    fn touch(&mut self, state: &mut FoldState, wallet: WalletId) -> Option<u32> {
        let place = *state.places.get(&wallet)?;
        let state = &mut state.wallets[place as usize];
        if !state.is_changed {
            state.is_changed = true;
            self.changed.push(place);
        }
        Some(place)
    }

    /// Nothing more is added: puts everything into the order in which it is written, checks the sums, and adds the ids to the filter,
    /// which does no harm if the window is never written.
    pub(crate) fn close(
        mut self,
        state: &mut FoldState,
        filter: &mut IdFilterFiles,
    ) -> Result<ClosedWindow, PersistenceError> {
        // While they are in the order of their entries: a level of the filter names those that it holds.
        for &(id, seq) in &self.ids {
            filter.add(TransferId(id), seq);
        }
        filter.advance_to(self.tip.point.seq);
        self.ids.sort_unstable();
        if let Some(twice) = self.ids.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let fault = format!("uses the id {} again", TransferId(twice[1].0));
            return Err(FoldFault { seq: twice[1].1, fault }.into());
        }
        self.changed.sort_unstable_by_key(|&place| state.wallets[place as usize].wallet.terms.id);
        for &place in &self.changed {
            let WalletState { wallet, before, .. } = &state.wallets[place as usize];
            let totals = state.totals.entry(wallet.terms.asset).or_default();
            move_totals(totals, before.as_ref(), &wallet.position);
        }
        for (asset, totals) in &state.totals {
            if !totals.is_balanced() {
                let fault = format!("debits and credits of asset {asset} differ: {totals:?}");
                return Err(FoldFault { seq: self.tip.point.seq, fault }.into());
            }
        }
        self.owners.sort_unstable();
        self.assets.sort_unstable();
        self.imports.sort_unstable();
        self.past_generations.sort_unstable();
        self.history = self.ordered_history(state);
        let (base, generations) = (self.base.point.seq, self.base.generations);
        if generations.of(base + 1) < generations.of(self.tip.point.seq) {
            self.ids.sort_unstable_by_key(|&(id, seq)| (generations.of(seq), id));
            self.history.sort_by_key(|row| generations.of(base + u64::from(row.seq_offset)));
        }
        Ok(ClosedWindow { window: self })
    }

    /// The rows of the history by wallet; those of one wallet are in order already.
    fn ordered_history(&self, state: &FoldState) -> Vec<HistoryPlace> {
        let mut rank_of = vec![0_u32; state.wallets.len()];
        for (rank, &place) in self.changed.iter().enumerate() {
            rank_of[place as usize] = rank as u32;
        }
        let mut starts = vec![0_u32; self.changed.len() + 1];
        for row in &self.history {
            starts[rank_of[row.wallet as usize] as usize + 1] += 1;
        }
        for rank in 0..self.changed.len() {
            starts[rank + 1] += starts[rank];
        }
        let mut ordered = vec![HistoryPlace::default(); self.history.len()];
        for row in &self.history {
            let next = &mut starts[rank_of[row.wallet as usize] as usize];
            ordered[*next as usize] = *row;
            *next += 1;
        }
        ordered
    }
}

/// Loads the wallets that the entries name and that are not in memory, in the order of their ids.
fn load_missing(
    state: &mut FoldState,
    view: &BooksView,
    entries: &[(u64, u64, Entry)],
) -> Result<(), PersistenceError> {
    let mut missing: Vec<WalletId> = Vec::new();
    let mut note = |wallet| {
        if !state.places.contains_key(&wallet) {
            missing.push(wallet);
        }
    };
    for (_, _, entry) in entries {
        match entry {
            Entry::Transferred(transfer) => {
                note(transfer.debit_wallet);
                note(transfer.credit_wallet);
            }
            entry => entry.wallets().for_each(&mut note),
        }
    }
    missing.sort_unstable();
    missing.dedup();
    for wallet in missing {
        // One that is created by these entries is not there yet.
        if let Some(wallet) = view.wallet_without_holds(wallet)? {
            let place = state.wallets.len() as u32;
            state.places.insert(wallet.terms.id, place);
            let before = Some(wallet.position);
            state.wallets.push(WalletState::new(wallet, before, false));
        }
    }
    Ok(())
}

/// Replaces one wallet's part in the sums, counting modulo 2^128 as the sums do.
fn move_totals(totals: &mut AssetTotals, before: Option<&Position>, after: &Position) {
    let none = Position::default();
    totals.wallets += u64::from(before.is_none());
    let before = before.unwrap_or(&none);
    let replace = |sum: &mut u128, before: u128, after: u128| {
        *sum = sum.wrapping_sub(before).wrapping_add(after);
    };
    replace(&mut totals.debits_posted, before.debits_posted, after.debits_posted);
    replace(&mut totals.credits_posted, before.credits_posted, after.credits_posted);
    replace(&mut totals.debits_pending, before.debits_pending, after.debits_pending);
    replace(&mut totals.credits_pending, before.credits_pending, after.credits_pending);
}

/// Adds what an effect does to the sums over all wallets, counting modulo 2^128 as the sums do.
pub(crate) fn add_effect(totals: &mut AssetTotals, effect: &Effect) {
    let (debits, credits) = match *effect {
        Effect::Move { debits, credits } => (debits, credits),
        Effect::Hold { side, amount, .. } => {
            let pending = match side {
                ledger::Side::Debit => &mut totals.debits_pending,
                ledger::Side::Credit => &mut totals.credits_pending,
            };
            *pending = pending.wrapping_add(amount);
            (0, 0)
        }
        Effect::Resolve { side: ledger::Side::Debit, held, captured, .. } => {
            totals.debits_pending = totals.debits_pending.wrapping_sub(held);
            (captured, 0)
        }
        Effect::Resolve { side: ledger::Side::Credit, held, captured, .. } => {
            totals.credits_pending = totals.credits_pending.wrapping_sub(held);
            (0, captured)
        }
    };
    totals.debits_posted = totals.debits_posted.wrapping_add(debits);
    totals.credits_posted = totals.credits_posted.wrapping_add(credits);
}

/// A window in the order in which it is written.
#[derive(Debug)]
pub(crate) struct ClosedWindow {
    window: Window,
}

impl ClosedWindow {
    pub(crate) fn end(&self) -> ChainPoint {
        self.window.tip.point
    }

    pub(crate) fn last_timestamp_ns(&self) -> u64 {
        self.window.tip.timestamp
    }

    pub(crate) fn generations(&self) -> Generations {
        self.window.base.generations
    }

    pub(crate) fn write_records(&self, sink: &mut RowSink<'_>) -> Result<(), PersistenceError> {
        for record in &self.window.records {
            sink(&record.first_seq().to_be_bytes(), Some(record.as_bytes()))?;
        }
        Ok(())
    }

    pub(crate) fn write_ids(&self, sink: &mut RowSink<'_>) -> Result<(), PersistenceError> {
        let mut value = Vec::new();
        for &(id, seq) in &self.window.ids {
            rows::encode_seq(seq, &mut value);
            sink(&self.generations().id_key(seq, TransferId(id)), Some(&value))?;
        }
        Ok(())
    }

    pub(crate) fn write_history(
        &self,
        state: &FoldState,
        sink: &mut RowSink<'_>,
    ) -> Result<(), PersistenceError> {
        let window = &self.window;
        let mut value = Vec::new();
        for chunk in window.history.chunk_by(|_, next| !next.starts_chunk) {
            value.clear();
            for row in chunk {
                value.extend_from_slice(&window.history_values[row.start as usize..][..row.length as usize]);
            }
            let wallet = state.wallets[chunk[0].wallet as usize].wallet.terms.id;
            let first_seq = window.base.point.seq + u64::from(chunk[0].seq_offset);
            sink(&ChunkKey::of(self.generations(), wallet, first_seq).encode(), Some(&value))?;
        }
        Ok(())
    }

    /// Writes everything that is overwritten, and the marker.
    pub(crate) fn write_state(
        &self,
        state: &FoldState,
        marker: &Marker,
        sink: &mut RowSink<'_>,
    ) -> Result<(), PersistenceError> {
        let window = &self.window;
        let mut value = Vec::new();
        marker.encode(&mut value);
        sink(&Kind::Marker.key(&[]), Some(&value))?;
        for asset in &window.assets {
            let (asset, seq, timestamp_ns) = &state.assets[asset];
            rows::encode_asset(asset, *seq, *timestamp_ns, &mut value);
            sink(&Kind::Asset.key(&[&asset.id.0.to_be_bytes()]), Some(&value))?;
        }
        for (asset, totals) in &state.totals {
            rows::encode_totals(totals, &mut value);
            sink(&Kind::Totals.key(&[&asset.0.to_be_bytes()]), Some(&value))?;
        }
        for import in &window.imports {
            let (closed_seq, closed_at_ns) = state.imports[import];
            rows::encode_import(closed_seq, closed_at_ns, &mut value);
            sink(&Kind::Import.key(&[&import.0.to_be_bytes()]), Some(&value))?;
        }
        for &place in &window.changed {
            let wallet = &state.wallets[place as usize].wallet;
            rows::encode_wallet(wallet, &mut value);
            sink(&Kind::Wallet.key(&[&wallet.terms.id.0.to_be_bytes()]), Some(&value))?;
        }
        for owner in &window.owners {
            sink(owner, Some(&[]))?;
        }
        for &(wallet, generation) in &window.past_generations {
            sink(&rows::past_generation_key(wallet, generation), Some(&[]))?;
        }
        self.write_holds(sink)?;
        for (id, progress) in &window.progress {
            rows::encode_progress(*progress, &mut value);
            sink(&Kind::Original.key(&[&id.0.to_be_bytes()]), Some(&value))?;
        }
        Ok(())
    }

    fn write_holds(&self, sink: &mut RowSink<'_>) -> Result<(), PersistenceError> {
        let mut value = Vec::new();
        let mut by_wallet = Vec::new();
        let mut by_expiry = Vec::new();
        for (&id, change) in &self.window.holds {
            let key = Kind::Hold.key(&[&id.0.to_be_bytes()]);
            let (terms, opened) = match change {
                HoldChange::Opened(terms, seq) => {
                    rows::encode_hold(terms, *seq, &mut value);
                    sink(&key, Some(&value))?;
                    (terms, Some(*seq))
                }
                HoldChange::Ended(terms) => {
                    sink(&key, None)?;
                    (terms, None)
                }
            };
            for (wallet, hold) in rows::wallet_holds(terms, opened.unwrap_or_default()) {
                by_wallet.push((rows::wallet_hold_key(wallet, id), opened.map(|_| hold)));
            }
            if terms.expires_at_ns != u64::MAX {
                by_expiry.push((rows::expiry_key(terms.expires_at_ns, id), opened.is_some()));
            }
        }
        by_wallet.sort_unstable_by(|(left, _), (right, _)| left.cmp(right));
        for (key, hold) in &by_wallet {
            match hold {
                Some(hold) => {
                    rows::encode_wallet_hold(hold, &mut value);
                    sink(key, Some(&value))?;
                }
                None => sink(key, None)?,
            }
        }
        by_expiry.sort_unstable();
        for (key, is_open) in &by_expiry {
            let value: Option<&[u8]> = is_open.then_some(&[]);
            sink(key, value)?;
        }
        Ok(())
    }

    /// It is written: makes the state ready for the next window.
    pub(crate) fn done(&self, state: &mut FoldState, limits: &WindowLimits) {
        state.end_window(&self.window.changed, limits.wallets);
    }
}
