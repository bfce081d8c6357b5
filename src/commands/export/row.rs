//! Entries as rows of one table: one for each wallet that an entry changes, one for an entry that changes none.
//!
//! Whoever adds up the rows of a wallet has its position, all four counters of it.

use super::super::events::event_details;
use super::super::{bytes_text, time};
use client::{Event, Happening, Movement, PositionChange};
use ledger::{AssetId, Order, Status, TransferId, WalletId};

/// The names of the columns, in their order.
pub(super) const COLUMNS: [&str; 18] = [
    "seq",
    "part",
    "timestamp",
    "kind",
    "id",
    "status",
    "about_id",
    "code",
    "group_id",
    "effective_at",
    "metadata",
    "wallet",
    "asset",
    "debits_posted",
    "credits_posted",
    "debits_pending",
    "credits_pending",
    "details",
];

/// One row.
#[derive(Debug)]
pub(super) struct Row<'a> {
    /// The entry's number.
    pub(super) seq: u64,
    /// Which of the entry's rows it is, from 0 on.
    pub(super) part: u32,
    pub(super) timestamp_ns: u64,
    pub(super) kind: &'static str,
    pub(super) order: Option<OrderColumns<'a>>,
    pub(super) wallet: Option<WalletColumns>,
    /// What else there is to say, in JSON.
    pub(super) details: Option<String>,
}

/// Of an order, done or refused, or of a hold that has expired.
#[derive(Debug, Clone, Copy)]
pub(super) struct OrderColumns<'a> {
    /// Its own id; a hold that has expired has none.
    pub(super) id: Option<TransferId>,
    pub(super) status: Status,
    /// The order that it is about.
    pub(super) about: Option<TransferId>,
    pub(super) notes: Option<Notes<'a>>,
}

/// What the client has noted with an order; what it has left out is nothing.
#[derive(Debug, Clone, Copy)]
pub(super) struct Notes<'a> {
    pub(super) code: u16,
    pub(super) group_id: Option<TransferId>,
    pub(super) effective_at_ns: Option<u64>,
    pub(super) metadata: &'a [u8],
}

/// By how much a wallet's counters change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct WalletColumns {
    pub(super) wallet: WalletId,
    pub(super) asset: AssetId,
    pub(super) debits_posted: u128,
    pub(super) credits_posted: u128,
    pub(super) debits_pending: i128,
    pub(super) credits_pending: i128,
}

impl WalletColumns {
    fn of(movement: &Movement) -> Self {
        let mut row = Self { wallet: movement.wallet, asset: movement.asset, ..Self::default() };
        // Amounts are below 2^127.
        match movement.change {
            PositionChange::Moved { debits, credits } => {
                (row.debits_posted, row.credits_posted) = (debits, credits);
            }
            PositionChange::Held { side, amount } => row.set(side, 0, amount.cast_signed()),
            PositionChange::Resolved { side, held, captured } => {
                row.set(side, captured, -held.cast_signed());
            }
        }
        row
    }

    fn set(&mut self, side: ledger::Side, posted: u128, pending: i128) {
        match side {
            ledger::Side::Debit => (self.debits_posted, self.debits_pending) = (posted, pending),
            ledger::Side::Credit => (self.credits_posted, self.credits_pending) = (posted, pending),
        }
    }
}

/// The rows of an entry.
pub(super) fn rows_of(event: &Event) -> Vec<Row<'_>> {
    let (order, movements): (_, &[Movement]) = match &event.what {
        Happening::OrderDone { order, outcome, movements } => {
            (Some(columns_of(order, outcome.status)), movements)
        }
        Happening::OrderRefused { order, outcome } => (Some(columns_of(order, outcome.status)), &[]),
        Happening::HoldExpired { pending_id, movements } => {
            let columns =
                OrderColumns { id: None, status: Status::Created, about: Some(*pending_id), notes: None };
            (Some(columns), movements)
        }
        Happening::AssetCreated(_)
        | Happening::WalletCreated(_)
        | Happening::WalletChanged(_)
        | Happening::ImportClosed(_) => (None, &[]),
    };
    let row = |part: usize, movement: Option<&Movement>| Row {
        seq: event.seq,
        part: part as u32,
        timestamp_ns: event.timestamp_ns,
        kind: event.kind().name(),
        order,
        wallet: movement.map(WalletColumns::of),
        details: if part == 0 { event_details(event).map(|details| details.to_string()) } else { None },
    };
    if movements.is_empty() {
        return vec![row(0, None)];
    }
    movements.iter().enumerate().map(|(part, movement)| row(part, Some(movement))).collect()
}

fn columns_of(order: &Order, status: Status) -> OrderColumns<'_> {
    let (group_id, code, effective_at_ns, metadata) = order.notes();
    let notes = Notes {
        code,
        group_id: (group_id != 0).then_some(TransferId(group_id)),
        effective_at_ns: (effective_at_ns != 0).then_some(effective_at_ns),
        metadata,
    };
    OrderColumns { id: Some(order.id()), status, about: order.refers_to(), notes: Some(notes) }
}

impl Row<'_> {
    /// All columns as text; what there is none of is empty.
    pub(super) fn texts(&self) -> Vec<String> {
        let order = self.order.as_ref();
        let notes = order.and_then(|order| order.notes);
        let wallet = self.wallet.as_ref();
        let text = |text: Option<String>| text.unwrap_or_default();
        let number = |of: &dyn Fn(&WalletColumns) -> String| text(wallet.map(of));
        vec![
            self.seq.to_string(),
            self.part.to_string(),
            time(self.timestamp_ns),
            self.kind.to_owned(),
            text(order.and_then(|order| order.id).map(|id| id.to_string())),
            text(order.map(|order| order.status.name().to_owned())),
            text(order.and_then(|order| order.about).map(|id| id.to_string())),
            text(notes.map(|notes| notes.code.to_string())),
            text(notes.and_then(|notes| notes.group_id).map(|id| id.to_string())),
            text(notes.and_then(|notes| notes.effective_at_ns).map(time)),
            text(notes.map(|notes| bytes_text(notes.metadata))),
            text(wallet.map(|row| row.wallet.to_string())),
            text(wallet.map(|row| row.asset.0.to_string())),
            number(&|row| row.debits_posted.to_string()),
            number(&|row| row.credits_posted.to_string()),
            number(&|row| row.debits_pending.to_string()),
            number(&|row| row.credits_pending.to_string()),
            self.details.clone().unwrap_or_default(),
        ]
    }
}
