//! The books as they were at one marker: all reads go through a view.
//!
//! Every read checks what it reads; what cannot have been written is an error that names the kind of row and its key. A
//! view is one moment in all keyspaces. Records, ids and history may already hold rows of a fold that was cut off; those lie above the
//! marker and are not seen. All reads block: they are for readers' threads.

use crate::entry_codec::decode_entry;
use crate::error::PersistenceError;
use crate::journal::ChainPoint;
use crate::record::Record;
use crate::side_by_side::side_by_side;
use ledger::fold::AssetTotals;
use ledger::holds::{Hold, Holds};
use ledger::{
    Asset, AssetId, Entry, HoldState, HoldTerms, ImportId, NewWallet, Original, Owner, Position, TransferId,
    Wallet, WalletFlags, WalletId,
};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::history::{self, ChunkKey, HistoryRow};
use super::id_filter::IdFilter;
use super::rows::{self, BOOKS_FORMAT, Kind, Marker, Progress, bad_row};
use super::store::{Row, Space, StoreRange, StoreSnapshot};

/// So many threads look for ids at the same time,
const LOOKING_AT_ONCE: usize = 8;
/// unless there are no more than so many.
const LOOKED_FOR_ALONE: usize = 4096;

/// Which way a list goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Oldest first.
    Forward,
    /// Newest first.
    Backward,
}

/// Which wallets a list holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WalletQuery {
    /// Only this owner's.
    pub owner: Option<Owner>,
    /// Only of this code.
    pub code: Option<u16>,
    /// Only with all of these flags.
    pub flags: WalletFlags,
    /// Of those that were imported, only those of these imports.
    pub imports: Arc<BTreeSet<ImportId>>,
    /// Only with greater ids.
    pub after: Option<WalletId>,
    /// At most so many.
    pub limit: usize,
    /// Look at no more than so many.
    pub scan_max: usize,
}

impl WalletQuery {
    /// Whether a wallet belongs to the list, wherever the list begins.
    pub fn matches(&self, wallet: &Wallet) -> bool {
        self.may_match(&wallet.terms) && wallet.terms.flags.contains(self.flags)
    }

    /// Whether a wallet that was created so belongs to the list, whatever its flags have become.
    pub(crate) fn may_match(&self, terms: &NewWallet) -> bool {
        self.owner.as_ref().is_none_or(|owner| terms.owner == *owner)
            && self.code.is_none_or(|code| terms.code == code)
            && (terms.import == ImportId::NONE || self.imports.contains(&terms.import))
    }
}

/// A page of a list, and where the next one begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, C> {
    /// What is on it.
    pub items: Vec<T>,
    /// Ask for what is after this to go on; `None` at the end.
    pub next: Option<C>,
}

/// The books at one marker. Whoever holds one can read the journal from there on, too: it is not trimmed above it.
#[derive(Debug)]
pub struct BooksView {
    snapshot: StoreSnapshot,
    marker: Marker,
    ids: IdFilter,
}

impl BooksView {
    pub(crate) fn new(snapshot: StoreSnapshot, marker: Marker, ids: IdFilter) -> Self {
        Self { snapshot, marker, ids }
    }

    /// The marker that stands in a snapshot.
    pub(crate) fn read_marker(snapshot: &StoreSnapshot) -> Result<Marker, PersistenceError> {
        let path = snapshot.store().path();
        let key = Kind::Marker.key(&[]);
        let value = snapshot.get(Space::State, &key)?;
        let value = value.ok_or_else(|| bad_row(path, Kind::Marker.name(), &key, "is missing"))?;
        if let Some(&found) = value.first().filter(|found| **found != BOOKS_FORMAT) {
            let path = path.to_path_buf();
            return Err(PersistenceError::OtherBooksFormat { path, found, supported: BOOKS_FORMAT });
        }
        Marker::decode(&value).map_err(|reason| bad_row(path, Kind::Marker.name(), &key, &reason))
    }

    /// The newest entry in them.
    pub fn seq(&self) -> u64 {
        self.marker.point.seq
    }

    /// The newest record in them.
    pub fn chain_point(&self) -> ChainPoint {
        self.marker.point
    }

    /// The time of the newest entry, in nanoseconds since 1970.
    pub fn last_timestamp_ns(&self) -> u64 {
        self.marker.last_timestamp_ns
    }

    /// Which transfer ids are surely not in them.
    pub fn ids(&self) -> &IdFilter {
        &self.ids
    }

    pub(crate) fn marker(&self) -> &Marker {
        &self.marker
    }

    pub(crate) fn path(&self) -> &Path {
        self.snapshot.store().path()
    }

    #[cfg(test)]
    pub(crate) fn snapshot(&self) -> &StoreSnapshot {
        &self.snapshot
    }

    fn bad(&self, table: &'static str, key: &[u8]) -> impl FnOnce(String) -> PersistenceError {
        let (path, key) = (self.path().to_path_buf(), key.to_vec());
        move |reason| bad_row(&path, table, &key, &reason)
    }

    /// The value of a row of the state.
    fn state<T>(
        &self,
        kind: Kind,
        rest: &[u8],
        decode: impl FnOnce(&[u8]) -> Result<T, String>,
    ) -> Result<Option<T>, PersistenceError> {
        let key = kind.key(&[rest]);
        let value = self.snapshot.get(Space::State, &key)?;
        value.map(|value| decode(&value).map_err(self.bad(kind.name(), &key))).transpose()
    }

    /// The entry that used up a transfer id.
    pub fn seq_of(&self, id: TransferId) -> Result<Option<u64>, PersistenceError> {
        let generations = self.ids.entries_with(id).flat_map(|seqs| {
            let [oldest, newest] = [*seqs.start(), *seqs.end()].map(|seq| self.marker.generations.of(seq));
            (oldest..=newest).rev()
        });
        let mut looked_in = None;
        for generation in generations {
            // Of two levels, one may end and the other begin within a generation.
            if looked_in.replace(generation) == Some(generation) {
                continue;
            }
            let key = rows::id_key(generation, id);
            if let Some(value) = self.snapshot.get(Space::Ids, &key)? {
                let seq = self.decode_id_row(&key, &value)?;
                return Ok((seq <= self.seq()).then_some(seq));
            }
        }
        Ok(None)
    }

    /// The entry that an id's row names.
    pub(crate) fn decode_id_row(&self, key: &[u8], value: &[u8]) -> Result<u64, PersistenceError> {
        let seq = rows::decode_seq(value).map_err(self.bad("ids", key))?;
        if key.first_chunk() != Some(&self.marker.generations.of(seq).to_be_bytes()) {
            return Err(self.bad("ids", key)(format!("names entry {seq}, which is of another generation")));
        }
        Ok(seq)
    }

    /// Any of these ids that is used up, if one is. For very many of them at a time, of which hardly any is.
    ///
    /// The filter lets some in five thousand through, a level, and each of those takes a block of every table, from disk: so several
    /// threads look, each in the order of the keys.
    pub fn any_used(&self, ids: &[TransferId]) -> Result<Option<TransferId>, PersistenceError> {
        let look_for = |part: &[TransferId]| {
            let mut possible: Vec<TransferId> =
                part.iter().copied().filter(|id| self.ids.may_contain(*id)).collect();
            possible.sort_unstable();
            for id in possible {
                if self.seq_of(id)?.is_some() {
                    return Ok(Some(id));
                }
            }
            Ok(None)
        };
        let share = ids.len().div_ceil(LOOKING_AT_ONCE).max(LOOKED_FOR_ALONE);
        let found = side_by_side(ids, share, self.path(), &look_for)?;
        Ok(found.into_iter().flatten().next())
    }

    /// The record that holds an entry.
    pub fn record_holding(&self, seq: u64) -> Result<Option<Record>, PersistenceError> {
        if seq == 0 || seq > self.seq() {
            return Ok(None);
        }
        let mut below = self.snapshot.range(Space::Records, &[0; 8], &seq.to_be_bytes());
        let missing = || self.bad("records", &seq.to_be_bytes())("is missing".to_owned());
        let record = self.record(below.next_back().ok_or_else(missing)??)?;
        if seq > record.last_seq() {
            return Err(missing());
        }
        Ok(Some(record))
    }

    fn record(&self, (key, value): Row) -> Result<Record, PersistenceError> {
        let record =
            Record::decode(value.to_vec()).map_err(|error| self.bad("records", &key)(error.to_string()))?;
        if record.first_seq().to_be_bytes() != *key {
            let reason = format!("is that of entry {}", record.first_seq());
            return Err(self.bad("records", &key)(reason));
        }
        Ok(record)
    }

    /// The records that hold the entries from `seq` on, in order. The first may start below it. Says where one is missing, and ends
    /// after the first error.
    pub fn records_from(
        self: &Arc<Self>,
        seq: u64,
    ) -> impl Iterator<Item = Result<Record, PersistenceError>> + Send + use<> {
        let view = Arc::clone(self);
        let mut expected = seq.max(1);
        let mut rest: Option<StoreRange> = None;
        std::iter::from_fn(move || {
            if expected > view.seq() {
                return None;
            }
            let next = view.next_record(&mut rest, expected);
            expected = next.as_ref().map_or(u64::MAX, |record| record.last_seq() + 1);
            Some(next)
        })
    }

    /// The record that holds `expected`: the first one that is asked for, or the next of `rest`.
    fn next_record(&self, rest: &mut Option<StoreRange>, expected: u64) -> Result<Record, PersistenceError> {
        let missing = || self.bad("records", &expected.to_be_bytes())("is missing".to_owned());
        let Some(rest) = rest else {
            let record = self.record_holding(expected)?.ok_or_else(missing)?;
            let next = (record.last_seq() + 1).to_be_bytes();
            *rest = Some(self.snapshot.range(Space::Records, &next, &self.seq().to_be_bytes()));
            return Ok(record);
        };
        let record = self.record(rest.next().ok_or_else(missing)??)?;
        if record.first_seq() == expected { Ok(record) } else { Err(missing()) }
    }

    /// An entry and its time, in nanoseconds since 1970.
    pub fn entry(&self, seq: u64) -> Result<Option<(u64, Entry)>, PersistenceError> {
        let Some(record) = self.record_holding(seq)? else { return Ok(None) };
        let held = record.entries().find(|&(held, _, _)| held == seq);
        let (_, timestamp_ns, payload) = held.expect("a record holds every entry between its ends");
        Ok(Some((timestamp_ns, decode_entry(seq, payload)?)))
    }

    /// A wallet with its open holds.
    pub fn wallet(&self, id: WalletId) -> Result<Option<Wallet>, PersistenceError> {
        let Some(mut wallet) = self.wallet_without_holds(id)? else { return Ok(None) };
        wallet.holds = self.holds_of(id)?;
        Ok(Some(wallet))
    }

    /// A wallet, but for its holds.
    pub fn wallet_without_holds(&self, id: WalletId) -> Result<Option<Wallet>, PersistenceError> {
        self.state(Kind::Wallet, &id.0.to_be_bytes(), |value| rows::decode_wallet(id, value))
    }

    fn holds_of(&self, wallet: WalletId) -> Result<Holds, PersistenceError> {
        let mut holds = Holds::default();
        for hold in self.wallet_holds(wallet, None) {
            let (id, hold) = hold?;
            holds.insert(id, hold);
        }
        Ok(holds)
    }

    /// The open holds of a wallet, by their ids, from above one on.
    fn wallet_holds(
        &self,
        wallet: WalletId,
        after: Option<TransferId>,
    ) -> impl Iterator<Item = Result<(TransferId, Hold), PersistenceError>> + use<'_> {
        let first = after.map_or(Some(0), |id| id.0.checked_add(1));
        let last = rows::wallet_hold_key(wallet, TransferId(u128::MAX));
        let rows = first.map(|first| {
            self.snapshot.range(Space::State, &rows::wallet_hold_key(wallet, TransferId(first)), &last)
        });
        rows.into_iter().flatten().map(|row| {
            let (key, value) = row?;
            let decoded = rows::id_at_end(&key).and_then(|id| {
                let hold = rows::decode_wallet_hold(&value)?;
                Ok((TransferId(id), hold))
            });
            decoded.map_err(self.bad(Kind::HoldByWallet.name(), &key))
        })
    }

    /// A page of a wallet's open holds, by their ids.
    pub fn list_pending(
        &self,
        wallet: WalletId,
        after: Option<TransferId>,
        limit: usize,
    ) -> Result<Page<(TransferId, Hold), TransferId>, PersistenceError> {
        let mut holds = self.wallet_holds(wallet, after);
        let items: Vec<_> = holds.by_ref().take(limit).collect::<Result<_, _>>()?;
        let next = if holds.next().transpose()?.is_some() { items.last().map(|(id, _)| *id) } else { None };
        Ok(Page { items, next })
    }

    /// An open hold, and the entry that made it.
    pub fn hold(&self, id: TransferId) -> Result<Option<(HoldTerms, u64)>, PersistenceError> {
        self.state(Kind::Hold, &id.0.to_be_bytes(), rows::decode_hold)
    }

    /// The open holds that expire at `until_ns` or before, soonest first; of those only the ones behind `after`.
    pub fn holds_due(
        &self,
        after: Option<(u64, TransferId)>,
        until_ns: u64,
        limit: usize,
    ) -> Result<Vec<(TransferId, HoldTerms)>, PersistenceError> {
        let (least_ns, least_id) = after.unwrap_or_default();
        let mut first = rows::expiry_key(least_ns, least_id);
        if after.is_some() {
            // The least key that is greater.
            first.push(0);
        }
        let last = rows::expiry_key(until_ns, TransferId(u128::MAX));
        let mut due = Vec::new();
        for row in self.snapshot.range(Space::State, &first, &last).take(limit) {
            let (key, _) = row?;
            let bad = self.bad(Kind::HoldByExpiry.name(), &key);
            let id = match rows::id_at_end(&key) {
                Ok(id) => TransferId(id),
                Err(reason) => return Err(bad(reason)),
            };
            let Some((terms, _)) = self.hold(id)? else { return Err(bad("is of no open hold".to_owned())) };
            due.push((id, terms));
        }
        Ok(due)
    }

    /// What has become of an order, if anything has.
    pub(crate) fn progress(&self, id: TransferId) -> Result<Option<Progress>, PersistenceError> {
        self.state(Kind::Original, &id.0.to_be_bytes(), rows::decode_progress)
    }

    /// An order that another one can be about, as far as it has come, and the entry that decided it.
    pub fn original(&self, id: TransferId) -> Result<Option<(u64, Original)>, PersistenceError> {
        let Some(seq) = self.seq_of(id)? else { return Ok(None) };
        let missing = || {
            let key = self.marker.generations.id_key(seq, id);
            self.bad("ids", &key)(format!("names entry {seq}, which is none of it"))
        };
        let (timestamp_ns, entry) = self.entry(seq)?.ok_or_else(missing)?;
        if entry.order_id() != Some(id) {
            return Err(missing());
        }
        let mut original = entry.original(timestamp_ns);
        if let Some(progress) = self.progress(id)? {
            progress.apply(&mut original).map_err(|reason| {
                self.bad(Kind::Original.name(), &Kind::Original.key(&[&id.0.to_be_bytes()]))(reason)
            })?;
        }
        Ok(Some((seq, original)))
    }

    /// What was done to a wallet by the entries from `first_seq` to `last_seq`, at most `limit` of them from the end that the
    /// direction begins at.
    pub fn history(
        &self,
        wallet: WalletId,
        first_seq: u64,
        last_seq: u64,
        direction: Direction,
        limit: usize,
    ) -> Result<Vec<HistoryRow>, PersistenceError> {
        let Some(row) = self.wallet_without_holds(wallet)? else { return Ok(Vec::new()) };
        // What lies above its newest entry is of a fold that was cut off.
        let (first_seq, last_seq) = (first_seq.max(row.created_seq), last_seq.min(row.last_seq));
        let mut rows = Vec::new();
        if first_seq > last_seq {
            return Ok(rows);
        }
        let is_wanted = |row: &HistoryRow| (first_seq..=last_seq).contains(&row.seq);
        let key = |generation, first_seq| ChunkKey { generation, wallet, first_seq }.encode();
        let range = |first: &[u8], last: &[u8]| self.snapshot.range(Space::History, first, last);
        let generations = self.generations_of(&row, first_seq, last_seq);
        match direction {
            Direction::Forward => {
                'all: for generation in generations {
                    let generation = generation?;
                    let lowest = key(generation, 0);
                    let mut first_chunk = None;
                    if first_seq > row.created_seq && generation == self.marker.generations.of(first_seq) {
                        // The chunk that holds the first one may start below it.
                        first_chunk = range(&lowest, &key(generation, first_seq)).next_back().transpose()?;
                    }
                    let first_key = first_chunk.as_ref().map_or(&lowest[..], |(key, _)| key);
                    for chunk in range(first_key, &key(generation, last_seq)) {
                        rows.extend(self.chunk(chunk?)?.into_iter().filter(is_wanted));
                        if rows.len() >= limit {
                            break 'all;
                        }
                    }
                }
            }
            Direction::Backward => {
                'all: for generation in generations.rev() {
                    let generation = generation?;
                    for chunk in range(&key(generation, 0), &key(generation, last_seq)).rev() {
                        let chunk = self.chunk(chunk?)?;
                        let is_last = chunk.first().is_none_or(|row| row.seq <= first_seq);
                        rows.extend(chunk.into_iter().rev().filter(is_wanted));
                        if is_last || rows.len() >= limit {
                            break 'all;
                        }
                    }
                }
            }
        }
        rows.truncate(limit);
        Ok(rows)
    }

    /// The generations in which entries from `first_seq` to `last_seq` have changed a wallet, looked for as far as somebody asks. Neither
    /// lies outside of the time from its creation to its newest entry.
    fn generations_of(
        &self,
        wallet: &Wallet,
        first_seq: u64,
        last_seq: u64,
    ) -> impl DoubleEndedIterator<Item = Result<u32, PersistenceError>> {
        let of = |seq| self.marker.generations.of(seq);
        let (oldest, newest) = (of(first_seq), of(last_seq));
        let (created, last) = (of(wallet.created_seq), of(wallet.last_seq));
        let id = wallet.terms.id;
        // Those of its creation and of its newest entry are not written down, and may be the same.
        let first = (oldest == created).then_some(Ok(created));
        let last = (newest == last && last != created).then_some(Ok(last));
        let between = std::iter::once_with(move || {
            let key = |generation| rows::past_generation_key(id, generation);
            self.snapshot.range(Space::State, &key(oldest), &key(newest))
        });
        let between = between.flatten().map(|row| {
            let (key, _) = row?;
            rows::decode_past_generation_key(&key).map_err(self.bad(Kind::PastGeneration.name(), &key))
        });
        first.into_iter().chain(between).chain(last)
    }

    fn chunk(&self, (key, value): Row) -> Result<Vec<HistoryRow>, PersistenceError> {
        let chunk = ChunkKey::decode(&key, self.marker.generations)
            .and_then(|place| history::decode_chunk(place.first_seq, &value));
        chunk.map_err(self.bad("history", &key))
    }

    /// Where a wallet stood after the entry `seq`; `None` if it did not exist. `seq` is not above the marker.
    pub fn position_at(&self, wallet: WalletId, seq: u64) -> Result<Option<Position>, PersistenceError> {
        Ok(self.history(wallet, 0, seq, Direction::Backward, 1)?.first().map(|row| row.position))
    }

    /// The last entry whose time is not after `timestamp_ns`; 0 if there is none.
    pub fn seq_at(&self, timestamp_ns: u64) -> Result<u64, PersistenceError> {
        if timestamp_ns >= self.last_timestamp_ns() {
            return Ok(self.seq());
        }
        // Everything up to `low` is not after it, what is above `high` is.
        let (mut low, mut high) = (0, self.seq());
        while low < high {
            let middle = low + (high - low).div_ceil(2);
            let record = self.record_holding(middle)?.expect("it is between 1 and the marker");
            if record.first_timestamp() > timestamp_ns {
                high = record.first_seq() - 1;
            } else if record.last_timestamp() <= timestamp_ns {
                low = record.last_seq();
            } else {
                let held = record.entries().take_while(|&(_, time, _)| time <= timestamp_ns).last();
                return Ok(held.map_or(low, |(seq, _, _)| seq));
            }
        }
        Ok(low)
    }

    /// A page of wallets by their ids, without their holds. Fewer than asked for, with a place to go on, if the scan was long.
    pub fn list_wallets(&self, query: &WalletQuery) -> Result<Page<Wallet, WalletId>, PersistenceError> {
        let first = match query.after {
            None => 0,
            Some(WalletId(u128::MAX)) => return Ok(Page { items: Vec::new(), next: None }),
            Some(after) => after.0 + 1,
        };
        let owner = match &query.owner {
            None => None,
            // Those without an owner are found among all.
            Some(owner) => rows::owner_key(owner),
        };
        let (kind, prefix) = match owner {
            Some(prefix) => (Kind::Owner, prefix),
            None => (Kind::Wallet, Kind::Wallet.key(&[])),
        };
        let bound = |id: u128| [prefix.as_slice(), &id.to_be_bytes()].concat();
        let mut rows = self.snapshot.range(Space::State, &bound(first), &bound(u128::MAX));
        let mut items = Vec::new();
        let mut last = None;
        for row in rows.by_ref().take(query.scan_max.max(1)) {
            let (key, value) = row?;
            let id = WalletId(rows::id_at_end(&key).map_err(self.bad(kind.name(), &key))?);
            let wallet = if kind == Kind::Wallet {
                rows::decode_wallet(id, &value).map_err(self.bad(kind.name(), &key))?
            } else {
                let wallet = self.wallet_without_holds(id)?;
                wallet.ok_or_else(|| self.bad(kind.name(), &key)("is of no wallet".to_owned()))?
            };
            last = Some(id);
            if query.matches(&wallet) {
                items.push(wallet);
                if items.len() >= query.limit {
                    break;
                }
            }
        }
        let next = if rows.next().transpose()?.is_some() { last } else { None };
        Ok(Page { items, next })
    }

    /// All assets, each with the entry that created it and its time.
    pub fn assets(&self) -> Result<BTreeMap<AssetId, (Asset, u64, u64)>, PersistenceError> {
        self.by_asset(Kind::Asset, rows::decode_asset)
    }

    /// The imports that are closed, each with the entry that closed it and its time.
    pub fn imports(&self) -> Result<BTreeMap<ImportId, (u64, u64)>, PersistenceError> {
        let mut imports = BTreeMap::new();
        for row in self.all_of(Kind::Import) {
            let (key, value) = row?;
            let decoded =
                rows::id_at_end(&key).and_then(|id| Ok((ImportId(id), rows::decode_import(&value)?)));
            imports.extend([decoded.map_err(self.bad(Kind::Import.name(), &key))?]);
        }
        Ok(imports)
    }

    /// The totals of each asset, over all wallets.
    pub fn totals(&self) -> Result<BTreeMap<AssetId, AssetTotals>, PersistenceError> {
        self.by_asset(Kind::Totals, |_, value| rows::decode_totals(value))
    }

    /// All rows of a keyspace, those of a fold that was cut off too.
    pub(crate) fn all(&self, space: Space) -> StoreRange {
        // No key is as long.
        self.snapshot.range(space, &[0], &[0xff; 128])
    }

    /// All rows of a kind.
    pub(crate) fn all_of(&self, kind: Kind) -> StoreRange {
        let (first, last) = kind.bounds();
        self.snapshot.range(Space::State, &first, &last)
    }

    fn by_asset<T>(
        &self,
        kind: Kind,
        decode: impl Fn(AssetId, &[u8]) -> Result<T, String>,
    ) -> Result<BTreeMap<AssetId, T>, PersistenceError> {
        let mut all = BTreeMap::new();
        for row in self.all_of(kind) {
            let (key, value) = row?;
            let bad = self.bad(kind.name(), &key);
            let asset = key.get(1..).and_then(|id| id.try_into().ok()).map(u32::from_be_bytes).map(AssetId);
            let decoded = asset.ok_or_else(|| "has a key that is none".to_owned());
            let decoded = decoded.and_then(|asset| decode(asset, &value).map(|value| (asset, value)));
            match decoded {
                Ok((asset, value)) => all.insert(asset, value),
                Err(reason) => return Err(bad(reason)),
            };
        }
        Ok(all)
    }
}

impl Progress {
    /// Brings an order, as it was made, to where it has come.
    pub(crate) fn apply(self, original: &mut Original) -> Result<(), String> {
        match (self, original) {
            (Self::Ended(ended), Original::Hold { state: state @ HoldState::Open, .. }) => *state = ended,
            (Self::Reversed(all), Original::Moved { amount, reversed, .. }) if all <= *amount => {
                *reversed = all;
            }
            (progress, original) => {
                return Err(format!("says {progress:?} of what is {original:?}"));
            }
        }
        Ok(())
    }
}
