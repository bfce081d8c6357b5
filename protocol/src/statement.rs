//! `statement`: what was done to a wallet, page by page.

use crate::body::{BodyReader, LENGTH_BYTES, put, put_sequence};
use crate::frame::FrameError;
use crate::limits::{PAGE_ITEMS_MAX, TAG_BYTES};
use crate::position::{POSITION_BYTES, PositionV1};
use bincode::{Decode, Encode};
use ledger::{OrderKind, Position, TransferId, WalletId};

const ROW_BYTES_MIN: u32 = 8 + 8 + 1 + 16 + TAG_BYTES + 16 + 16 + 2 + 16 + POSITION_BYTES;

/// The most bytes that a row takes.
pub(crate) const ROW_BYTES_MAX: u32 = ROW_BYTES_MIN + 16;

/// What a page carries beside its rows.
pub(crate) const PAGE_BYTES: u32 = 8 + 2 * POSITION_BYTES + LENGTH_BYTES + (TAG_BYTES + 3 * 8);

/// A page of a statement, as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementQuery {
    /// Whose.
    pub wallet: WalletId,
    /// From this time on, in nanoseconds since 1970; 0 for the beginning.
    pub from_ns: u64,
    /// Up to this time; `u64::MAX` for now.
    pub to_ns: u64,
    /// Oldest or newest first.
    pub newest_first: bool,
    /// Only of this kind.
    pub kind: Option<OrderKind>,
    /// Only of this code.
    pub code: Option<u16>,
    /// Only of this group.
    pub group_id: Option<u128>,
    /// At most so many rows; 0 for as many as a page may have.
    pub limit: u32,
    /// Where the page before ended; `None` for the first.
    pub cursor: Option<StatementCursor>,
}

impl StatementQuery {
    /// All that was ever done to the wallet, oldest first, from its first page on.
    pub fn of(wallet: WalletId) -> Self {
        Self {
            wallet,
            from_ns: 0,
            to_ns: u64::MAX,
            newest_first: false,
            kind: None,
            code: None,
            group_id: None,
            limit: 0,
            cursor: None,
        }
    }
}

/// Where a page of a statement ended. Nothing for a client to look into: it is given back as it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StatementCursor {
    /// The statement is read as of this entry.
    pub as_of_seq: u64,
    /// The last entry that was looked at.
    pub seq: u64,
    /// Of what was asked for: a cursor is of one query.
    pub query: u64,
}

/// A page of a statement.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct StatementPage {
    /// Everything up to this entry is in it, and nothing after it.
    pub as_of_seq: u64,
    /// Where the wallet stood before the first entry of the time that is asked for, whatever the filters and the page.
    pub opening: Position,
    /// Where it stood after the last.
    pub closing: Position,
    /// The rows.
    pub rows: Vec<StatementRow>,
    /// Where to go on; `None` if this was all. A page may be short, even empty, and not be the last.
    pub next: Option<StatementCursor>,
}

/// What one entry did to the wallet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatementRow {
    /// The entry.
    pub seq: u64,
    /// Its time, in nanoseconds since 1970.
    pub timestamp_ns: u64,
    /// What it is.
    pub kind: OrderKind,
    /// The order; of a hold that has expired, the hold.
    pub id: TransferId,
    /// The other wallet, if there is exactly one.
    pub counterparty: Option<WalletId>,
    /// Taken out.
    pub debits: u128,
    /// Put in.
    pub credits: u128,
    /// The client's code.
    pub code: u16,
    /// The client's group.
    pub group_id: u128,
    /// Where the wallet stood after it.
    pub position: Position,
}

#[derive(Encode, Decode)]
struct StatementQueryV1 {
    wallet: u128,
    from_ns: u64,
    to_ns: u64,
    newest_first: bool,
    kind: Option<u8>,
    code: Option<u16>,
    group_id: Option<u128>,
    limit: u32,
    cursor: Option<StatementCursorV1>,
}

#[derive(Encode, Decode)]
struct StatementCursorV1 {
    as_of_seq: u64,
    seq: u64,
    query: u64,
}

#[derive(Encode, Decode)]
struct StatementRowV1 {
    seq: u64,
    timestamp_ns: u64,
    kind: u8,
    id: u128,
    counterparty: Option<u128>,
    debits: u128,
    credits: u128,
    code: u16,
    group_id: u128,
    position: PositionV1,
}

impl From<StatementCursor> for StatementCursorV1 {
    fn from(cursor: StatementCursor) -> Self {
        let StatementCursor { as_of_seq, seq, query } = cursor;
        Self { as_of_seq, seq, query }
    }
}

impl From<StatementCursorV1> for StatementCursor {
    fn from(wire: StatementCursorV1) -> Self {
        let StatementCursorV1 { as_of_seq, seq, query } = wire;
        Self { as_of_seq, seq, query }
    }
}

impl From<&StatementRow> for StatementRowV1 {
    fn from(row: &StatementRow) -> Self {
        Self {
            seq: row.seq,
            timestamp_ns: row.timestamp_ns,
            kind: row.kind.number(),
            id: row.id.0,
            counterparty: row.counterparty.map(|wallet| wallet.0),
            debits: row.debits,
            credits: row.credits,
            code: row.code,
            group_id: row.group_id,
            position: (&row.position).into(),
        }
    }
}

impl TryFrom<StatementRowV1> for StatementRow {
    type Error = FrameError;

    fn try_from(wire: StatementRowV1) -> Result<Self, FrameError> {
        Ok(Self {
            seq: wire.seq,
            timestamp_ns: wire.timestamp_ns,
            kind: kind(wire.kind)?,
            id: TransferId(wire.id),
            counterparty: wire.counterparty.map(WalletId),
            debits: wire.debits,
            credits: wire.credits,
            code: wire.code,
            group_id: wire.group_id,
            position: wire.position.into(),
        })
    }
}

fn kind(number: u8) -> Result<OrderKind, FrameError> {
    OrderKind::from_number(number)
        .ok_or_else(|| FrameError::malformed(format!("an order of kind {number}, which there is not")))
}

pub(crate) fn put_what(buffer: &mut Vec<u8>, query: &StatementQuery) {
    put(
        buffer,
        StatementQueryV1 {
            wallet: query.wallet.0,
            from_ns: query.from_ns,
            to_ns: query.to_ns,
            newest_first: query.newest_first,
            kind: query.kind.map(OrderKind::number),
            code: query.code,
            group_id: query.group_id,
            limit: query.limit,
            cursor: query.cursor.map(StatementCursorV1::from),
        },
    );
}

pub(crate) fn what(reader: &mut BodyReader<'_>) -> Result<StatementQuery, FrameError> {
    let wire: StatementQueryV1 = reader.value()?;
    Ok(StatementQuery {
        wallet: WalletId(wire.wallet),
        from_ns: wire.from_ns,
        to_ns: wire.to_ns,
        newest_first: wire.newest_first,
        kind: wire.kind.map(kind).transpose()?,
        code: wire.code,
        group_id: wire.group_id,
        limit: wire.limit,
        cursor: wire.cursor.map(StatementCursor::from),
    })
}

pub(crate) fn put_answer(buffer: &mut Vec<u8>, page: &StatementPage) {
    put(buffer, page.as_of_seq);
    put(buffer, PositionV1::from(&page.opening));
    put(buffer, PositionV1::from(&page.closing));
    put_sequence(buffer, page.rows.iter().map(StatementRowV1::from));
    put(buffer, page.next.map(StatementCursorV1::from));
}

pub(crate) fn answer(reader: &mut BodyReader<'_>) -> Result<StatementPage, FrameError> {
    Ok(StatementPage {
        as_of_seq: reader.value()?,
        opening: reader.value::<PositionV1>()?.into(),
        closing: reader.value::<PositionV1>()?.into(),
        rows: reader.sequence(PAGE_ITEMS_MAX, ROW_BYTES_MIN, |row: StatementRowV1| row.try_into())?,
        next: reader.value::<Option<StatementCursorV1>>()?.map(StatementCursor::from),
    })
}
