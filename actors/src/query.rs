//! Reads of what the ledger has kept: balances at a time, statements, open holds, wallets, and the journal's records.
//!
//! A query is read as of the newest entry there was when it came, once that is durable, on a reader's thread: never on a
//! shard's. What is shown page by page is read as of the entry that the first page was read as of; the cursor says so.

use crate::core::Core;
use crate::request::Request;
use foldhash::fast::FixedState;
use ledger::holds::Hold;
use ledger::{
    Effect, Entry, OrderKind, Owner, Position, Side, Status, TransferId, Wallet, WalletFlags, WalletId,
};
use persistence::{Direction, PersistenceError, StatementQuery, WalletQuery};
use std::hash::BuildHasher;
use std::sync::Arc;

/// Rows that one page may look at to find those that are asked for: a filter that lets nothing through must not read the
/// whole history at once.
const SCAN_MAX: usize = 20_000;

/// The most items of a page.
pub const PAGE_ITEMS_MAX: usize = 1_000;

/// A moment in the life of a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Moment {
    /// With every entry up to this one.
    Seq(u64),
    /// With every entry whose time is not after this, in nanoseconds since 1970.
    TimestampNs(u64),
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Query {
    /// Where wallets stood at a moment.
    BalancesAt {
        /// Which wallets.
        wallets: Vec<WalletId>,
        /// When.
        at: Moment,
    },
    /// A page of what was done to a wallet.
    Statement(StatementRequest),
    /// A page of the open holds from and for a wallet, by their ids.
    ListPending {
        /// Which wallet.
        wallet: WalletId,
        /// Only with greater ids; the cursor.
        after: Option<TransferId>,
        /// At most so many; 0 for as many as a page may have.
        limit: usize,
    },
    /// A page of wallets, by their ids.
    ListWallets {
        /// Only this owner's.
        owner: Option<Owner>,
        /// Only of this code.
        code: Option<u16>,
        /// Only with all of these flags.
        flags: WalletFlags,
        /// Only with greater ids; the cursor.
        after: Option<WalletId>,
        /// At most so many; 0 for as many as a page may have.
        limit: usize,
    },
    /// Records of the journal as they are on disk, from the one that holds this entry on.
    Records {
        /// The first entry wanted.
        from_seq: u64,
        /// No more than so many bytes, but at least one record if there is one.
        bytes_max: usize,
    },
}

/// A page of a statement, as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct StatementRequest {
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
    pub limit: usize,
    /// Where the page before ended; `None` for the first.
    pub cursor: Option<Cursor>,
}

/// Where a page of a statement ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    /// The statement is read as of this entry.
    pub as_of_seq: u64,
    /// The last entry that was looked at.
    pub seq: u64,
    /// Of what was asked for: a cursor is of one query.
    pub query: u64,
}

/// A page of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Everything up to this entry is in it.
    pub as_of_seq: u64,
    /// Where the wallet stood before the first entry of the whole time that is asked for, filters or not.
    pub opening: Position,
    /// Where it stood after the last.
    pub closing: Position,
    /// The rows.
    pub rows: Vec<StatementRow>,
    /// Where to go on; `None` if this was all.
    pub next: Option<Cursor>,
}

/// One row of a statement: what an entry did to the wallet.
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
    /// What was taken out.
    pub debits: u128,
    /// What was put in.
    pub credits: u128,
    /// The client's code.
    pub code: u16,
    /// The client's group.
    pub group_id: u128,
    /// Where the wallet stood after it.
    pub position: Position,
}

/// What a query is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryAnswer {
    /// It cannot be answered as it is asked.
    Refused(Status),
    /// Where wallets stood; `None` for one that did not exist.
    Balances {
        /// With every entry up to this one.
        as_of_seq: u64,
        /// In the order asked for.
        positions: Vec<Option<Position>>,
    },
    /// A page of a statement.
    Statement(Statement),
    /// Open holds.
    Pending {
        /// Everything up to this entry is in it.
        as_of_seq: u64,
        /// By their ids.
        holds: Vec<(TransferId, Hold)>,
        /// Where to go on.
        next: Option<TransferId>,
    },
    /// Wallets.
    Wallets {
        /// Everything up to this entry is in it.
        as_of_seq: u64,
        /// By their ids.
        wallets: Vec<Wallet>,
        /// Where to go on.
        next: Option<WalletId>,
    },
    /// Records.
    Records {
        /// The newest durable entry.
        durable_seq: u64,
        /// Each whole, in order.
        records: Vec<Vec<u8>>,
    },
}

/// Answers the query of the request, once everything there is is durable.
pub(crate) fn begin(core: &Arc<Core>, request: &Arc<Request>, query: &Query) {
    let as_of_seq = core.sequencer.appended_seq();
    let (reading, request, query) = (Arc::clone(core), Arc::clone(request), query.clone());
    let read = move |durable: Result<(), _>| {
        if durable.is_err() {
            return request.give_up();
        }
        let core = Arc::clone(&reading);
        reading.read_history_soon(move || match answer(&core, &query, as_of_seq) {
            Ok(answer) => request.finish_query(answer, as_of_seq),
            Err(error) => {
                core.cannot_read(&error);
                request.give_up();
            }
        });
    };
    core.sequencer.when_durable(as_of_seq, Box::new(read));
}

fn answer(core: &Core, query: &Query, as_of_seq: u64) -> Result<QueryAnswer, PersistenceError> {
    let reader = &core.reader;
    Ok(match query {
        Query::BalancesAt { wallets, at } => {
            let seq = match *at {
                Moment::Seq(seq) if seq > as_of_seq => {
                    return Ok(QueryAnswer::Refused(Status::MomentInTheFuture));
                }
                Moment::Seq(seq) => seq,
                Moment::TimestampNs(at_ns) if at_ns > core.sequencer.now_ns() => {
                    return Ok(QueryAnswer::Refused(Status::MomentInTheFuture));
                }
                Moment::TimestampNs(at_ns) => reader.seq_at(at_ns, as_of_seq)?,
            };
            let positions = wallets.iter().map(|&wallet| match creation(core, wallet, seq)? {
                None => Ok(None),
                Some(_) => reader.position_at(wallet, seq),
            });
            QueryAnswer::Balances { as_of_seq: seq, positions: positions.collect::<Result<_, _>>()? }
        }
        Query::Statement(asked) => return statement(core, asked, as_of_seq),
        Query::ListPending { wallet, after, limit } => {
            if creation(core, *wallet, as_of_seq)?.is_none() {
                return Ok(QueryAnswer::Refused(Status::WalletNotFound));
            }
            let page = reader.list_pending(*wallet, as_of_seq, *after, page_items(*limit))?;
            QueryAnswer::Pending { as_of_seq, holds: page.items, next: page.next }
        }
        Query::ListWallets { owner, code, flags, after, limit } => {
            let query = WalletQuery {
                owner: owner.clone(),
                code: *code,
                flags: *flags,
                imports: Arc::new(core.imports.shown_at(as_of_seq)),
                after: *after,
                limit: page_items(*limit),
                scan_max: SCAN_MAX,
            };
            let page = reader.list_wallets(&query, as_of_seq)?;
            QueryAnswer::Wallets { as_of_seq, wallets: page.items, next: page.next }
        }
        Query::Records { from_seq, bytes_max } => {
            let (mut records, mut bytes) = (Vec::new(), 0);
            if *from_seq <= as_of_seq {
                for record in reader.records_from(*from_seq) {
                    let record = record?.as_bytes().to_vec();
                    if !records.is_empty() && bytes + record.len() > *bytes_max {
                        break;
                    }
                    bytes += record.len();
                    records.push(record);
                }
            }
            QueryAnswer::Records { durable_seq: as_of_seq, records }
        }
    })
}

/// The entry that created a wallet which is shown as of the durable entry `seq`.
fn creation(core: &Core, wallet: WalletId, seq: u64) -> Result<Option<u64>, PersistenceError> {
    let creation = core.reader.creation(wallet, seq)?;
    Ok(creation.filter(|(_, import)| core.imports.shows(*import, seq)).map(|(created_seq, _)| created_seq))
}

fn page_items(limit: usize) -> usize {
    if limit == 0 { PAGE_ITEMS_MAX } else { limit.min(PAGE_ITEMS_MAX) }
}

fn statement(
    core: &Core,
    asked: &StatementRequest,
    newest_seq: u64,
) -> Result<QueryAnswer, PersistenceError> {
    let reader = &core.reader;
    let query = hash_of(asked);
    let as_of_seq = match asked.cursor {
        Some(cursor) if cursor.query != query || cursor.as_of_seq > newest_seq => {
            return Ok(QueryAnswer::Refused(Status::CursorOfAnotherQuery));
        }
        Some(cursor) => cursor.as_of_seq,
        None => newest_seq,
    };
    let Some(created_seq) = creation(core, asked.wallet, newest_seq)? else {
        return Ok(QueryAnswer::Refused(Status::WalletNotFound));
    };
    // From the first entry at that time to the last one.
    let first = match asked.from_ns.checked_sub(1) {
        None => 1,
        Some(before_ns) => reader.seq_at(before_ns, as_of_seq)? + 1,
    };
    let last = if asked.to_ns == u64::MAX { as_of_seq } else { reader.seq_at(asked.to_ns, as_of_seq)? };
    let at = |seq: u64| -> Result<Position, PersistenceError> {
        if seq < created_seq {
            Ok(Position::default())
        } else {
            Ok(reader.position_at(asked.wallet, seq)?.unwrap_or_default())
        }
    };
    let (opening, closing) = (at(first - 1)?, at(last.max(first - 1))?);
    let (mut first_seq, mut last_seq) = (first, last);
    match asked.cursor {
        Some(cursor) if asked.newest_first => last_seq = last_seq.min(cursor.seq.saturating_sub(1)),
        Some(cursor) => first_seq = first_seq.max(cursor.seq + 1),
        None => {}
    }
    let page = reader.statement(
        asked.wallet,
        &StatementQuery {
            first_seq,
            last_seq,
            direction: if asked.newest_first { Direction::Backward } else { Direction::Forward },
            limit: page_items(asked.limit),
            scan_max: SCAN_MAX,
            kind: asked.kind,
            code: asked.code,
            group_id: asked.group_id,
        },
    )?;
    let mut rows: Vec<StatementRow> = Vec::with_capacity(page.items.len());
    let mut seqs: Vec<u64> = page.items.iter().map(|row| row.seq).collect();
    seqs.sort_unstable();
    let mut parts = Vec::with_capacity(seqs.len());
    reader.entries(&seqs, &mut |seq, _, entry| {
        parts.push((seq, part_of(asked.wallet, &entry)));
        Ok(())
    })?;
    for row in &page.items {
        let place = parts.binary_search_by_key(&row.seq, |(seq, _)| *seq).expect("it was read");
        let Part { id, counterparty, debits, credits } = parts[place].1;
        rows.push(StatementRow {
            seq: row.seq,
            timestamp_ns: row.timestamp_ns,
            kind: row.kind.expect("only what moves or holds is in a statement"),
            id,
            counterparty,
            debits,
            credits,
            code: row.code,
            group_id: row.group_id,
            position: row.position,
        });
    }
    let next = page.next.map(|seq| Cursor { as_of_seq, seq, query });
    Ok(QueryAnswer::Statement(Statement { as_of_seq, opening, closing, rows, next }))
}

/// What an entry does to one wallet.
struct Part {
    id: TransferId,
    counterparty: Option<WalletId>,
    debits: u128,
    credits: u128,
}

fn part_of(wallet: WalletId, entry: &Entry) -> Part {
    let route = entry.route();
    let parts = route.parts();
    let counterparty = match parts {
        [one, other] if one.wallet == wallet => Some(other.wallet),
        [other, _] if parts.len() == 2 => Some(other.wallet),
        _ => None,
    };
    let (debits, credits) =
        parts.iter().find(|part| part.wallet == wallet).map_or((0, 0), |part| match part.effect {
            Effect::Move { debits, credits } => (debits, credits),
            Effect::Hold { .. } => (0, 0),
            Effect::Resolve { side: Side::Debit, captured, .. } => (captured, 0),
            Effect::Resolve { side: Side::Credit, captured, .. } => (0, captured),
        });
    let id = match entry {
        Entry::Expired { pending_id, .. } => *pending_id,
        entry => entry.order_id().unwrap_or_default(),
    };
    Part { id, counterparty, debits, credits }
}

/// A cursor names the query that it is of, but for what may differ from page to page. The same in every process.
fn hash_of(asked: &StatementRequest) -> u64 {
    let query = StatementRequest { cursor: None, limit: 0, ..asked.clone() };
    FixedState::with_seed(0x6275_7273_6172).hash_one(query)
}
