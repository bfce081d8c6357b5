//! The rows of the books, byte by byte.
//!
//! Keys are big-endian, so that they lie in the order of what they stand for. Values are compact bincode (as in
//! [`crate::entry_codec`]); the structs here are frozen, and what could grow starts with a version.
//!
//! | keyspace  | kind              | key                                    | value                                         |
//! |-----------|-------------------|----------------------------------------|-----------------------------------------------|
//! | `records` | records           | first sequence number                  | the record, as it was in the journal          |
//! | `ids`     | ids               | generation, transfer id                | sequence number: see [`Generations`]          |
//! | `history` | history           | generation, wallet, first entry        | a chunk of the wallet's: see [`super::history`] |
//! | `state`   | marker            | `00`                                   | up to where the books go                      |
//! | `state`   | assets            | `10`, asset                            | code, scale, sequence number, time            |
//! | `state`   | totals            | `11`, asset                            | the sums over all wallets                     |
//! | `state`   | imports           | `12`, import                           | sequence number, time; only of closed ones    |
//! | `state`   | wallets           | `20`, wallet                           | the wallet without its holds                  |
//! | `state`   | owners            | `21`, owner, wallet                    | nothing; only of wallets that have an owner   |
//! | `state`   | past generations  | `22`, wallet, generation               | nothing; see [`past_generation_key`]          |
//! | `state`   | holds             | `30`, hold                             | what is held; only of holds that are open     |
//! | `state`   | holds by wallet   | `31`, wallet, hold                     | the same as that wallet knows it              |
//! | `state`   | holds by expiry   | `32`, expiry, hold                     | nothing; only of holds that expire            |
//! | `state`   | originals         | `40`, transfer id                      | how a hold ended, or how much was moved back  |
//!
//! What is overwritten is in one keyspace together with the marker, because a keyspace is changed as a whole: so the state is always
//! as of the marker, and a fold that was cut off is simply done again. The rows of the other three say the same whenever they are written.

use crate::entry_codec::{CONFIGURATION, StoredWallet, loaded_wallet, stored_wallet};
use crate::error::{BooksDamage, PersistenceError};
use crate::journal::ChainPoint;
use ledger::fold::AssetTotals;
use ledger::holds::{Hold, Holds};
use ledger::{
    Asset, AssetCode, AssetId, HoldState, HoldTerms, Owner, Position, Side, TransferId, Wallet, WalletId,
};
use std::fmt::Write;
use std::path::Path;

use super::id_filter::FilterMark;

/// The only version of the books that is written and read.
pub(crate) const BOOKS_FORMAT: u8 = 5;

/// A kind of row in [`super::store::Space::State`], by the byte that its keys start with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    Marker = 0x00,
    Asset = 0x10,
    Totals = 0x11,
    Import = 0x12,
    Wallet = 0x20,
    Owner = 0x21,
    PastGeneration = 0x22,
    Hold = 0x30,
    HoldByWallet = 0x31,
    HoldByExpiry = 0x32,
    Original = 0x40,
}

impl Kind {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Marker => "marker",
            Self::Asset => "assets",
            Self::Totals => "totals",
            Self::Import => "imports",
            Self::Wallet => "wallets",
            Self::Owner => "owners",
            Self::PastGeneration => "past generations",
            Self::Hold => "holds",
            Self::HoldByWallet => "holds by wallet",
            Self::HoldByExpiry => "holds by expiry",
            Self::Original => "originals",
        }
    }

    /// The least key of the kind, and one that is greater than all of them.
    pub(crate) fn bounds(self) -> ([u8; 1], [u8; 1]) {
        ([self as u8], [self as u8 + 1])
    }

    /// A key of this kind.
    pub(crate) fn key(self, rest: &[&[u8]]) -> Vec<u8> {
        let mut key = Vec::with_capacity(33);
        key.push(self as u8);
        for part in rest {
            key.extend_from_slice(part);
        }
        key
    }
}

/// An error that names a row.
pub(crate) fn bad_row(path: &Path, table: &'static str, key: &[u8], reason: &str) -> PersistenceError {
    let mut hex = String::with_capacity(key.len() * 2);
    for byte in key {
        write!(hex, "{byte:02x}").expect("a string takes everything");
    }
    PersistenceError::damaged_books(path, BooksDamage::Row { table, key: hex, reason: reason.to_owned() })
}

/// Ids and history are kept by the generation of their entry: so many entries are one.
///
/// Random ids of a window, and its chunks of history, fall between all that there are, and the engine would merge them with all of those.
/// With the generation before them, they are merged with those of their own generation only, however many there are. Who looks for one
/// asks in each generation that may have it: the filter of ids knows which those are of an id, and [`past_generation_key`] of a wallet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Generations {
    entries: u64,
}

/// The generation, four bytes, and the id.
pub(crate) type IdKey = [u8; 20];

impl Default for Generations {
    fn default() -> Self {
        // With each 24 windows, half a generation of random ids and of history is merged again, on average; and who asks for an id of the
        // greatest level of the filter looks into nine of them, or more where entries without ids lie between.
        Self::of_entries(4 << 20)
    }
}

impl Generations {
    /// Of so many entries each.
    pub(crate) const fn of_entries(entries: u64) -> Self {
        Self { entries }
    }

    /// The generation of an entry.
    pub(crate) fn of(self, seq: u64) -> u32 {
        u32::try_from(seq / self.entries).unwrap_or(u32::MAX)
    }

    /// The generation that a wallet has left with the entry `seq`, if that has to be noted: see [`past_generation_key`].
    pub(crate) fn left(self, wallet: &Wallet, seq: u64) -> Option<u32> {
        let left = self.of(wallet.last_seq);
        (left != self.of(seq) && left != self.of(wallet.created_seq)).then_some(left)
    }

    /// The key of an entry's id.
    pub(crate) fn id_key(self, seq: u64, id: TransferId) -> IdKey {
        id_key(self.of(seq), id)
    }
}

/// The key of an id of a generation.
pub(crate) fn id_key(generation: u32, id: TransferId) -> IdKey {
    let mut key = IdKey::default();
    key[..4].copy_from_slice(&generation.to_be_bytes());
    key[4..].copy_from_slice(&id.0.to_be_bytes());
    key
}

/// Up to where the books go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Marker {
    /// The last record that is in them.
    pub point: ChainPoint,
    /// The time of its last entry, in nanoseconds since 1970.
    pub last_timestamp_ns: u64,
    /// What the files of the id filter hold at least.
    pub(crate) filter: FilterMark,
    /// How ids and history are kept.
    pub(crate) generations: Generations,
}

/// What has become of an earlier order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// A hold has ended.
    Ended(HoldState),
    /// So much was moved back.
    Reversed(u128),
}

#[derive(bincode::Encode, bincode::Decode)]
struct StoredMarker {
    format: u8,
    seq: u64,
    hash: [u8; 32],
    last_timestamp_ns: u64,
    filter_levels: u32,
    filter_seq: u64,
    generation_entries: u64,
}

#[derive(bincode::Encode, bincode::Decode)]
struct StoredPosition {
    debits_pending: u128,
    debits_posted: u128,
    credits_pending: u128,
    credits_posted: u128,
}

#[derive(bincode::Encode, bincode::BorrowDecode)]
struct StoredWalletRow<'a> {
    version_of_row: u8,
    terms: StoredWallet<'a>,
    created_as: Option<StoredWallet<'a>>,
    position: StoredPosition,
    version: u64,
    last_seq: u64,
    created_seq: u64,
    created_at_ns: u64,
}

#[derive(bincode::Encode, bincode::BorrowDecode)]
struct StoredAsset<'a> {
    code: &'a str,
    scale: u8,
    seq: u64,
    timestamp_ns: u64,
}

#[derive(bincode::Encode, bincode::Decode)]
struct StoredImport {
    closed_seq: u64,
    closed_at_ns: u64,
}

#[derive(bincode::Encode, bincode::Decode)]
struct StoredTotals {
    wallets: u64,
    debits_posted: u128,
    credits_posted: u128,
    debits_pending: u128,
    credits_pending: u128,
}

#[derive(bincode::Encode, bincode::Decode)]
struct StoredOpenHold {
    debit_wallet: u128,
    credit_wallet: u128,
    asset: u32,
    amount: u128,
    expires_at_ns: u64,
    seq: u64,
}

#[derive(bincode::Encode, bincode::Decode)]
struct StoredWalletHold {
    is_credit: bool,
    amount: u128,
    expires_at_ns: u64,
    seq: u64,
}

#[derive(bincode::Encode, bincode::Decode)]
enum StoredProgress {
    Posted,
    Voided,
    Expired,
    Reversed(u128),
}

/// Replaces what is in `out` by the value.
fn encode(value: impl bincode::Encode, out: &mut Vec<u8>) {
    out.clear();
    bincode::encode_into_std_write(value, out, CONFIGURATION)
        .expect("writing to memory does not fail, and no type here refuses a value");
}

fn decode<'a, T: bincode::BorrowDecode<'a, ()>>(bytes: &'a [u8]) -> Result<T, String> {
    let (value, length) = bincode::borrow_decode_from_slice::<T, _>(bytes, CONFIGURATION)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if length == bytes.len() { Ok(value) } else { Err("has bytes behind its end".to_owned()) }
}

impl Marker {
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let stored = StoredMarker {
            format: BOOKS_FORMAT,
            seq: self.point.seq,
            hash: self.point.hash,
            last_timestamp_ns: self.last_timestamp_ns,
            filter_levels: self.filter.levels,
            filter_seq: self.filter.seq,
            generation_entries: self.generations.entries,
        };
        encode(stored, out);
    }

    pub(crate) fn decode(value: &[u8]) -> Result<Self, String> {
        let stored: StoredMarker = decode(value)?;
        if stored.generation_entries == 0 {
            return Err("has generations of no entries".to_owned());
        }
        Ok(Self {
            point: ChainPoint { seq: stored.seq, hash: stored.hash },
            last_timestamp_ns: stored.last_timestamp_ns,
            filter: FilterMark { levels: stored.filter_levels, seq: stored.filter_seq },
            generations: Generations::of_entries(stored.generation_entries),
        })
    }
}

fn stored_position(position: &Position) -> StoredPosition {
    let &Position { debits_pending, debits_posted, credits_pending, credits_posted } = position;
    StoredPosition { debits_pending, debits_posted, credits_pending, credits_posted }
}

fn loaded_position(stored: &StoredPosition) -> Position {
    let &StoredPosition { debits_pending, debits_posted, credits_pending, credits_posted } = stored;
    Position { debits_pending, debits_posted, credits_pending, credits_posted }
}

pub(crate) fn encode_seq(seq: u64, out: &mut Vec<u8>) {
    encode(seq, out);
}

pub(crate) fn decode_seq(value: &[u8]) -> Result<u64, String> {
    decode(value)
}

pub(crate) fn encode_wallet(wallet: &Wallet, out: &mut Vec<u8>) {
    let stored = StoredWalletRow {
        version_of_row: 1,
        terms: stored_wallet(&wallet.terms),
        created_as: wallet.created_as.as_deref().map(stored_wallet),
        position: stored_position(&wallet.position),
        version: wallet.version,
        last_seq: wallet.last_seq,
        created_seq: wallet.created_seq,
        created_at_ns: wallet.created_at_ns,
    };
    encode(stored, out);
}

/// The wallet, without its holds.
pub(crate) fn decode_wallet(id: WalletId, value: &[u8]) -> Result<Wallet, String> {
    let stored: StoredWalletRow<'_> = decode(value)?;
    if stored.version_of_row != 1 {
        return Err(format!("is of version {}, and this program reads 1", stored.version_of_row));
    }
    let terms = loaded_wallet(&stored.terms);
    if terms.id != id {
        return Err(format!("is that of wallet {}", terms.id));
    }
    Ok(Wallet {
        terms,
        created_as: stored.created_as.as_ref().map(|terms| Box::new(loaded_wallet(terms))),
        position: loaded_position(&stored.position),
        holds: Holds::default(),
        version: stored.version,
        last_seq: stored.last_seq,
        created_seq: stored.created_seq,
        created_at_ns: stored.created_at_ns,
    })
}

/// The owner as it stands in a key, so that no owner's keys lie among another's; `None` for no owner.
pub(crate) fn owner_key(owner: &Owner) -> Option<Vec<u8>> {
    match owner {
        Owner::Number(0) => None,
        Owner::Number(number) => Some(Kind::Owner.key(&[&[0], &number.to_be_bytes()])),
        Owner::Bytes(bytes) if bytes.is_empty() => None,
        Owner::Bytes(bytes) => Some(Kind::Owner.key(&[&[1, bytes.len() as u8], bytes])),
    }
}

pub(crate) fn encode_asset(asset: &Asset, seq: u64, timestamp_ns: u64, out: &mut Vec<u8>) {
    encode(StoredAsset { code: asset.code.as_str(), scale: asset.scale, seq, timestamp_ns }, out);
}

pub(crate) fn decode_asset(id: AssetId, value: &[u8]) -> Result<(Asset, u64, u64), String> {
    let stored: StoredAsset<'_> = decode(value)?;
    let code = AssetCode::new(stored.code).ok_or("has a code that is none")?;
    Ok((Asset { id, code, scale: stored.scale }, stored.seq, stored.timestamp_ns))
}

pub(crate) fn encode_import(closed_seq: u64, closed_at_ns: u64, out: &mut Vec<u8>) {
    encode(StoredImport { closed_seq, closed_at_ns }, out);
}

pub(crate) fn decode_import(value: &[u8]) -> Result<(u64, u64), String> {
    let StoredImport { closed_seq, closed_at_ns } = decode(value)?;
    Ok((closed_seq, closed_at_ns))
}

pub(crate) fn encode_totals(totals: &AssetTotals, out: &mut Vec<u8>) {
    let &AssetTotals { wallets, debits_posted, credits_posted, debits_pending, credits_pending } = totals;
    encode(StoredTotals { wallets, debits_posted, credits_posted, debits_pending, credits_pending }, out);
}

pub(crate) fn decode_totals(value: &[u8]) -> Result<AssetTotals, String> {
    let StoredTotals { wallets, debits_posted, credits_posted, debits_pending, credits_pending } =
        decode(value)?;
    Ok(AssetTotals { wallets, debits_posted, credits_posted, debits_pending, credits_pending })
}

pub(crate) fn encode_hold(terms: &HoldTerms, seq: u64, out: &mut Vec<u8>) {
    let stored = StoredOpenHold {
        debit_wallet: terms.debit_wallet.0,
        credit_wallet: terms.credit_wallet.0,
        asset: terms.asset.0,
        amount: terms.amount,
        expires_at_ns: terms.expires_at_ns,
        seq,
    };
    encode(stored, out);
}

pub(crate) fn decode_hold(value: &[u8]) -> Result<(HoldTerms, u64), String> {
    let stored: StoredOpenHold = decode(value)?;
    let terms = HoldTerms {
        debit_wallet: WalletId(stored.debit_wallet),
        credit_wallet: WalletId(stored.credit_wallet),
        asset: AssetId(stored.asset),
        amount: stored.amount,
        expires_at_ns: stored.expires_at_ns,
    };
    Ok((terms, stored.seq))
}

pub(crate) fn encode_wallet_hold(hold: &Hold, out: &mut Vec<u8>) {
    let stored = StoredWalletHold {
        is_credit: hold.side == Side::Credit,
        amount: hold.amount,
        expires_at_ns: hold.expires_at_ns,
        seq: hold.seq,
    };
    encode(stored, out);
}

pub(crate) fn decode_wallet_hold(value: &[u8]) -> Result<Hold, String> {
    let stored: StoredWalletHold = decode(value)?;
    Ok(Hold {
        side: if stored.is_credit { Side::Credit } else { Side::Debit },
        amount: stored.amount,
        expires_at_ns: stored.expires_at_ns,
        seq: stored.seq,
    })
}

pub(crate) fn encode_progress(progress: Progress, out: &mut Vec<u8>) {
    let stored = match progress {
        Progress::Ended(HoldState::Posted) => StoredProgress::Posted,
        Progress::Ended(HoldState::Voided) => StoredProgress::Voided,
        Progress::Ended(HoldState::Expired) => StoredProgress::Expired,
        Progress::Ended(HoldState::Open) => unreachable!("a hold that is open has no such row"),
        Progress::Reversed(amount) => StoredProgress::Reversed(amount),
    };
    encode(stored, out);
}

pub(crate) fn decode_progress(value: &[u8]) -> Result<Progress, String> {
    Ok(match decode(value)? {
        StoredProgress::Posted => Progress::Ended(HoldState::Posted),
        StoredProgress::Voided => Progress::Ended(HoldState::Voided),
        StoredProgress::Expired => Progress::Ended(HoldState::Expired),
        StoredProgress::Reversed(amount) => Progress::Reversed(amount),
    })
}

/// The id that ends a key.
pub(crate) fn id_at_end(key: &[u8]) -> Result<u128, String> {
    let id = key.last_chunk::<16>().map(|id| u128::from_be_bytes(*id));
    id.filter(|_| key.len() > 16).ok_or_else(|| "has a key that is none".to_owned())
}

/// What of an order that holds an amount its two wallets know.
pub(crate) fn wallet_holds(terms: &HoldTerms, seq: u64) -> [(WalletId, Hold); 2] {
    let hold = |side| Hold { side, amount: terms.amount, expires_at_ns: terms.expires_at_ns, seq };
    [(terms.debit_wallet, hold(Side::Debit)), (terms.credit_wallet, hold(Side::Credit))]
}

/// The key of a hold among those of one wallet.
pub(crate) fn wallet_hold_key(wallet: WalletId, hold: TransferId) -> Vec<u8> {
    Kind::HoldByWallet.key(&[&wallet.0.to_be_bytes(), &hold.0.to_be_bytes()])
}

/// The key of a hold among those that expire.
pub(crate) fn expiry_key(expires_at_ns: u64, hold: TransferId) -> Vec<u8> {
    Kind::HoldByExpiry.key(&[&expires_at_ns.to_be_bytes(), &hold.0.to_be_bytes()])
}

/// The key that says that a wallet has history of a generation. There is one of each but that of its creation and that of its newest entry,
/// which its own row names: so a wallet that is used once has none, and each is written once, when an entry of a later generation follows.
pub(crate) fn past_generation_key(wallet: WalletId, generation: u32) -> Vec<u8> {
    Kind::PastGeneration.key(&[&wallet.0.to_be_bytes(), &generation.to_be_bytes()])
}

/// The generation that such a key is about.
pub(crate) fn decode_past_generation_key(key: &[u8]) -> Result<u32, String> {
    let generation = key.last_chunk().filter(|_| key.len() == 21);
    generation.map(|bytes| u32::from_be_bytes(*bytes)).ok_or_else(|| "has a key that is none".to_owned())
}
