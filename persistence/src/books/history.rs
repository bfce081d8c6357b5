//! The history: where a wallet stood after each entry that changed it, in chunks of many entries.
//!
//! A chunk is one row of the engine: so what is written and merged are some rows a wallet and window, and not one an entry, and each
//! entry is stored as what it changed. A wallet's chunk ends with its window, before each entry whose number among those of the wallet
//! ([`ledger::Wallet::version`]) is a multiple of [`CHUNK_ROWS`], and before its first entry of a
//! [generation](super::rows::Generations): all of a chunk is of one.
//!
//! That makes it possible to fold again what a crash cut off, in windows that end elsewhere. What was written above the marker starts
//! with the first entry of a wallet above it, or at a multiple; whatever window goes beyond such an entry starts a chunk with it, too,
//! and overwrites what is there.

use crate::entry_codec::CONFIGURATION;
use ledger::{Entry, OrderKind, Position, WalletId};

use super::rows::Generations;

/// A chunk has at most so many entries, but in tests: a read decodes no more than that for nothing.
pub(crate) const CHUNK_ROWS: u64 = 128;

/// What an entry did to one wallet. Every entry that has changed a wallet has such a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryRow {
    /// The entry.
    pub seq: u64,
    /// Its time, in nanoseconds since 1970.
    pub timestamp_ns: u64,
    /// What it was; `None` for the creation of the wallet and for changes of its settings.
    pub kind: Option<OrderKind>,
    /// The client's code.
    pub code: u16,
    /// The client's group; 0 for none.
    pub group_id: u128,
    /// Where the wallet stood after it.
    pub position: Position,
}

/// What a row is stored as the difference from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Before {
    pub(crate) seq: u64,
    pub(crate) timestamp_ns: u64,
    pub(crate) position: Position,
}

impl Before {
    /// What the first row of a chunk is stored as the difference from: its own number is in the chunk's key.
    pub(crate) fn chunk(first_seq: u64) -> Self {
        Self { seq: first_seq, timestamp_ns: 0, position: Position::default() }
    }
}

/// Each number but for the kind, the code and the group is the difference from the row before. Positions count modulo 2^128.
#[derive(bincode::Encode, bincode::Decode)]
struct StoredRow {
    seq: u64,
    timestamp_ns: u64,
    kind: u8,
    code: u16,
    group_id: u128,
    debits_pending: i128,
    debits_posted: i128,
    credits_pending: i128,
    credits_posted: i128,
}

/// Where a chunk lies: the generation that it is of, its wallet, and the entry that it starts with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ChunkKey {
    pub(crate) generation: u32,
    pub(crate) wallet: WalletId,
    pub(crate) first_seq: u64,
}

impl ChunkKey {
    /// Of the chunk of a wallet that starts with an entry.
    pub(crate) fn of(generations: Generations, wallet: WalletId, first_seq: u64) -> Self {
        Self { generation: generations.of(first_seq), wallet, first_seq }
    }

    pub(crate) fn encode(&self) -> [u8; 28] {
        let mut key = [0; 28];
        key[..4].copy_from_slice(&self.generation.to_be_bytes());
        key[4..20].copy_from_slice(&self.wallet.0.to_be_bytes());
        key[20..].copy_from_slice(&self.first_seq.to_be_bytes());
        key
    }

    /// Of a chunk that lies where it should.
    pub(crate) fn decode(key: &[u8], generations: Generations) -> Result<Self, String> {
        let parts = key.split_first_chunk::<4>().and_then(|(generation, rest)| {
            let (wallet, first_seq) = rest.split_first_chunk::<16>()?;
            Some((generation, wallet, first_seq.try_into().ok()?))
        });
        let (generation, wallet, first_seq) = parts.ok_or("has a key that is none")?;
        let key = Self {
            generation: u32::from_be_bytes(*generation),
            wallet: WalletId(u128::from_be_bytes(*wallet)),
            first_seq: u64::from_be_bytes(first_seq),
        };
        if key.generation != generations.of(key.first_seq) {
            return Err(format!("starts with entry {}, which is of another generation", key.first_seq));
        }
        Ok(key)
    }
}

impl HistoryRow {
    /// What an entry did to a wallet that stood at `position` after it.
    pub(crate) fn of(seq: u64, timestamp_ns: u64, entry: &Entry, position: Position) -> Self {
        let (group_id, code) = entry.group_and_code();
        Self { seq, timestamp_ns, kind: entry.kind(), code, group_id, position }
    }

    /// What the next row of the chunk is stored as the difference from.
    pub(crate) fn before_next(&self) -> Before {
        Before { seq: self.seq, timestamp_ns: self.timestamp_ns, position: self.position }
    }

    /// Appends the row to a chunk.
    pub(crate) fn append(&self, before: &Before, out: &mut Vec<u8>) {
        let difference = |after: u128, before: u128| after.wrapping_sub(before).cast_signed();
        let (position, base) = (&self.position, &before.position);
        let stored = StoredRow {
            seq: self.seq - before.seq,
            timestamp_ns: self.timestamp_ns - before.timestamp_ns,
            kind: self.kind.map_or(0, OrderKind::number),
            code: self.code,
            group_id: self.group_id,
            debits_pending: difference(position.debits_pending, base.debits_pending),
            debits_posted: difference(position.debits_posted, base.debits_posted),
            credits_pending: difference(position.credits_pending, base.credits_pending),
            credits_posted: difference(position.credits_posted, base.credits_posted),
        };
        bincode::encode_into_std_write(stored, out, CONFIGURATION)
            .expect("writing to memory does not fail, and no type here refuses a value");
    }

    /// The row in a form that does not depend on the chunk that it lies in.
    pub(crate) fn encode_alone(&self, out: &mut Vec<u8>) {
        out.clear();
        self.append(&Before::chunk(self.seq), out);
    }
}

/// The rows of a chunk, in order.
pub(crate) fn decode_chunk(first_seq: u64, mut value: &[u8]) -> Result<Vec<HistoryRow>, String> {
    let mut rows = Vec::with_capacity((value.len() / 16).min(CHUNK_ROWS as usize));
    let mut before = Before::chunk(first_seq);
    while !value.is_empty() {
        let (stored, length) = bincode::decode_from_slice::<StoredRow, _>(value, CONFIGURATION)
            .map_err(|error| format!("cannot be read: {error}"))?;
        value = &value[length..];
        // The first one is that of the key, and every other is later.
        if (stored.seq == 0) != rows.is_empty() {
            return Err("has entries that are not in order".to_owned());
        }
        let kind = match stored.kind {
            0 => None,
            number => Some(OrderKind::from_number(number).ok_or("is of a kind that is none")?),
        };
        let sum = |before: u128, difference: i128| before.wrapping_add(difference.cast_unsigned());
        let base = before.position;
        let row = HistoryRow {
            seq: before.seq.checked_add(stored.seq).ok_or("has an entry beyond all numbers")?,
            timestamp_ns: before
                .timestamp_ns
                .checked_add(stored.timestamp_ns)
                .ok_or("has a time beyond all times")?,
            kind,
            code: stored.code,
            group_id: stored.group_id,
            position: Position {
                debits_pending: sum(base.debits_pending, stored.debits_pending),
                debits_posted: sum(base.debits_posted, stored.debits_posted),
                credits_pending: sum(base.credits_pending, stored.credits_pending),
                credits_posted: sum(base.credits_posted, stored.credits_posted),
            },
        };
        before = row.before_next();
        rows.push(row);
    }
    if rows.is_empty() { Err("is empty".to_owned()) } else { Ok(rows) }
}
