//! Events: journal entries as they are told to subscribers, and which of them a subscriber wants.
//!
//! An event carries all that its entry has decided: the order as it was asked for, its outcome, and what it does to which
//! wallet. So whoever adds the movements up has the balances, without knowing the rules.

use crate::body::{BodyReader, LENGTH_BYTES, put, put_sequence};
use crate::create_assets::NewAssetV1;
use crate::create_wallets::{NewWalletV1, OverdraftLimitV1};
use crate::frame::FrameError;
use crate::order::{ORDER_BYTES_MAX, order, order_of_kind, put_order};
use crate::orders_answered::POSITIONS_MAX;
use crate::outcome::{OUTCOME_BYTES_MAX, OutcomeV1};
use bincode::{BorrowDecode, Decode, Encode};
use ledger::{
    Asset, AssetCode, AssetId, Effect, Entry, ImportId, NewWallet, Order, OrderKind, Outcome, Refusal,
    RefusalDetail, Route, Setting, Side, Status, TransferId, WalletChange, WalletFlags, WalletId,
};
use std::fmt;

/// The most wallets that a filter names.
pub const FILTER_WALLETS_MAX: u32 = 64;

/// The most kinds that a filter names: more than there are.
pub(crate) const FILTER_KINDS_MAX: u32 = 32;

/// The fewest bytes that an event takes: one about an asset with an empty code.
pub(crate) const EVENT_BYTES_MIN: u32 = 8 + 8 + 1 + (4 + LENGTH_BYTES + 1);

/// The most bytes that an event takes: that of a transaction of as many legs as may be, each of another wallet.
pub const EVENT_BYTES_MAX: u32 =
    8 + 8 + ORDER_BYTES_MAX + OUTCOME_BYTES_MAX + LENGTH_BYTES + POSITIONS_MAX * MOVEMENT_BYTES_MAX;

const MOVEMENT_BYTES_MIN: u32 = 16 + 4 + 4 + 1 + 16;
const MOVEMENT_BYTES_MAX: u32 = 16 + 4 + 4 + 1 + 2 * 16;

/// One entry of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its number: without a gap, were it not for the filter.
    pub seq: u64,
    /// Its time, in nanoseconds since 1970; strictly increasing.
    pub timestamp_ns: u64,
    /// What was decided.
    pub what: Happening,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// An order of any kind was done.
    OrderDone {
        /// As it was asked for.
        order: Order,
        /// What it was answered.
        outcome: Outcome,
        /// What it does to which wallets: those that give first.
        movements: Box<[Movement]>,
    },
    /// An order of any kind was refused for good. Nothing moves.
    OrderRefused {
        /// As it was asked for.
        order: Order,
        /// What it was answered.
        outcome: Outcome,
    },
    /// A hold has expired.
    HoldExpired {
        /// The order that had made it.
        pending_id: TransferId,
        /// What is released.
        movements: Box<[Movement]>,
    },
    /// An asset was created.
    AssetCreated(Asset),
    /// A wallet was created.
    WalletCreated(NewWallet),
    /// Settings of a wallet were changed.
    WalletChanged(WalletChange),
    /// An import was closed: its wallets are shown from here on.
    ImportClosed(ImportId),
}

/// What an entry does to one wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Movement {
    /// Which wallet.
    pub wallet: WalletId,
    /// In which asset.
    pub asset: AssetId,
    /// What is done to it.
    pub change: PositionChange,
}

/// What an entry does to the counters of a wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PositionChange {
    /// Both posted counters grow by so much.
    Moved {
        /// Taken out.
        debits: u128,
        /// Put in.
        credits: u128,
    },
    /// The pending counter of one side grows.
    Held {
        /// Of which side.
        side: Side,
        /// By how much.
        amount: u128,
    },
    /// The pending counter of one side shrinks by what was held, and its posted counter grows by what was captured.
    Resolved {
        /// Of which side.
        side: Side,
        /// How much was held.
        held: u128,
        /// How much of it has moved; 0 if it was released or has expired.
        captured: u128,
    },
}

/// What kind of event it is. Those of orders have the numbers of [`OrderKind`], which never reach 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventKind {
    /// An order of this kind was done, or a hold has expired.
    Done(OrderKind),
    /// An asset was created.
    AssetCreated,
    /// A wallet was created.
    WalletCreated,
    /// Settings of a wallet were changed.
    WalletChanged,
    /// An order of any kind was refused for good.
    OrderRefused,
    /// An import was closed.
    ImportClosed,
}

impl EventKind {
    /// All kinds, in the order of their numbers.
    pub const ALL: [Self; 12] = [
        Self::Done(OrderKind::Transfer),
        Self::Done(OrderKind::Pending),
        Self::Done(OrderKind::Post),
        Self::Done(OrderKind::Void),
        Self::Done(OrderKind::Expire),
        Self::Done(OrderKind::Reversal),
        Self::Done(OrderKind::Transaction),
        Self::AssetCreated,
        Self::WalletCreated,
        Self::WalletChanged,
        Self::OrderRefused,
        Self::ImportClosed,
    ];

    /// The number on the wire.
    pub const fn number(self) -> u8 {
        match self {
            Self::Done(kind) => kind.number(),
            Self::AssetCreated => 100,
            Self::WalletCreated => 101,
            Self::WalletChanged => 102,
            Self::OrderRefused => 103,
            Self::ImportClosed => 104,
        }
    }

    /// The kind of this number, if there is one.
    pub fn from_number(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.number() == number)
    }

    /// The name used in documents, on the command line and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done(kind) => kind.name(),
            Self::AssetCreated => "asset_created",
            Self::WalletCreated => "wallet_created",
            Self::WalletChanged => "wallet_changed",
            Self::OrderRefused => "order_refused",
            Self::ImportClosed => "import_closed",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Which events a subscriber wants. The empty filter wants all of them.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct EventFilter {
    /// Only those that have to do with one of these wallets, at most [`FILTER_WALLETS_MAX`]; empty for all.
    pub wallets: Vec<WalletId>,
    /// Only of these kinds; empty for all.
    pub kinds: Vec<EventKind>,
    /// Only orders with this code.
    pub code: Option<u16>,
}

impl EventFilter {
    /// Whether it wants the event.
    pub fn wants(&self, event: &Event) -> bool {
        (self.kinds.is_empty() || self.kinds.contains(&event.kind()))
            && (self.code.is_none() || self.code == event.code())
            && (self.wallets.is_empty() || event.is_about(&self.wallets))
    }
}

impl Event {
    /// The event of an entry.
    pub fn of_entry(seq: u64, timestamp_ns: u64, entry: Entry) -> Self {
        let movements = movements(&entry.route());
        let what = match entry {
            Entry::AssetCreated(asset) => Happening::AssetCreated(asset),
            Entry::WalletCreated(wallet) => Happening::WalletCreated(wallet),
            Entry::WalletChanged(change) => Happening::WalletChanged(change),
            Entry::ImportClosed(import) => Happening::ImportClosed(import),
            Entry::Expired { pending_id, .. } => Happening::HoldExpired { pending_id, movements },
            entry => {
                let (order, refusal) = entry.into_order().expect("all others are of orders");
                let outcome = |status, detail| Outcome { status, replayed: false, seq, timestamp_ns, detail };
                match refusal {
                    None => {
                        let outcome = outcome(Status::Created, RefusalDetail::None);
                        Happening::OrderDone { order, outcome, movements }
                    }
                    Some(Refusal { status, detail }) => {
                        Happening::OrderRefused { order, outcome: outcome(status, detail) }
                    }
                }
            }
        };
        Self { seq, timestamp_ns, what }
    }

    /// What kind it is.
    pub fn kind(&self) -> EventKind {
        match &self.what {
            Happening::OrderDone { order, .. } => EventKind::Done(order.kind()),
            Happening::OrderRefused { .. } => EventKind::OrderRefused,
            Happening::HoldExpired { .. } => EventKind::Done(OrderKind::Expire),
            Happening::AssetCreated(_) => EventKind::AssetCreated,
            Happening::WalletCreated(_) => EventKind::WalletCreated,
            Happening::WalletChanged(_) => EventKind::WalletChanged,
            Happening::ImportClosed(_) => EventKind::ImportClosed,
        }
    }

    /// The code of its order, if it is of one.
    pub fn code(&self) -> Option<u16> {
        self.order().map(|order| order.notes().1)
    }

    /// The order that it decides, if it is of one.
    pub fn order(&self) -> Option<&Order> {
        match &self.what {
            Happening::OrderDone { order, .. } | Happening::OrderRefused { order, .. } => Some(order),
            Happening::HoldExpired { .. }
            | Happening::AssetCreated(_)
            | Happening::WalletCreated(_)
            | Happening::WalletChanged(_)
            | Happening::ImportClosed(_) => None,
        }
    }

    /// What it does to which wallets.
    pub fn movements(&self) -> &[Movement] {
        match &self.what {
            Happening::OrderDone { movements, .. } | Happening::HoldExpired { movements, .. } => movements,
            Happening::OrderRefused { .. }
            | Happening::AssetCreated(_)
            | Happening::WalletCreated(_)
            | Happening::WalletChanged(_)
            | Happening::ImportClosed(_) => &[],
        }
    }

    /// Whether it changes one of these wallets, or is the refusal of an order that names one.
    fn is_about(&self, wallets: &[WalletId]) -> bool {
        match &self.what {
            Happening::OrderDone { movements, .. } | Happening::HoldExpired { movements, .. } => {
                movements.iter().any(|movement| wallets.contains(&movement.wallet))
            }
            Happening::OrderRefused { order, .. } => names_any(order, wallets),
            Happening::AssetCreated(_) | Happening::ImportClosed(_) => false,
            Happening::WalletCreated(terms) => wallets.contains(&terms.id),
            Happening::WalletChanged(change) => wallets.contains(&change.wallet),
        }
    }
}

fn names_any(order: &Order, wallets: &[WalletId]) -> bool {
    match order {
        Order::Transfer(transfer) | Order::Pending(ledger::Pending { transfer, .. }) => {
            wallets.contains(&transfer.debit_wallet) || wallets.contains(&transfer.credit_wallet)
        }
        Order::Transaction(transaction) => transaction.legs.iter().any(|leg| wallets.contains(&leg.wallet)),
        Order::Post(_) | Order::Void(_) | Order::Reversal(_) => false,
    }
}

fn movements(route: &Route) -> Box<[Movement]> {
    let movement = |part: &ledger::Part| {
        let change = match part.effect {
            Effect::Move { debits, credits } => PositionChange::Moved { debits, credits },
            Effect::Hold { side, amount, .. } => PositionChange::Held { side, amount },
            Effect::Resolve { side, held, captured, .. } => PositionChange::Resolved { side, held, captured },
        };
        Movement { wallet: part.wallet, asset: part.asset, change }
    };
    route.parts().iter().map(movement).collect()
}

#[derive(Encode, Decode)]
struct MovementV1 {
    wallet: u128,
    asset: u32,
    change: PositionChangeV1,
}

#[derive(Encode, Decode)]
enum PositionChangeV1 {
    Moved { debits: u128, credits: u128 },
    Held { is_credit: bool, amount: u128 },
    Resolved { is_credit: bool, held: u128, captured: u128 },
}

#[derive(Encode, BorrowDecode)]
struct WalletChangeV1<'a> {
    wallet: u128,
    setting: SettingV1<'a>,
}

#[derive(Encode, BorrowDecode)]
enum SettingV1<'a> {
    Limits { overdraft_limit: OverdraftLimitV1, balance_max: u128 },
    Flags { set: u16, clear: u16 },
    Metadata(&'a [u8]),
}

const fn side(is_credit: bool) -> Side {
    if is_credit { Side::Credit } else { Side::Debit }
}

impl From<&Movement> for MovementV1 {
    fn from(movement: &Movement) -> Self {
        let change = match movement.change {
            PositionChange::Moved { debits, credits } => PositionChangeV1::Moved { debits, credits },
            PositionChange::Held { side, amount } => {
                PositionChangeV1::Held { is_credit: side == Side::Credit, amount }
            }
            PositionChange::Resolved { side, held, captured } => {
                PositionChangeV1::Resolved { is_credit: side == Side::Credit, held, captured }
            }
        };
        Self { wallet: movement.wallet.0, asset: movement.asset.0, change }
    }
}

impl From<MovementV1> for Movement {
    fn from(wire: MovementV1) -> Self {
        let change = match wire.change {
            PositionChangeV1::Moved { debits, credits } => PositionChange::Moved { debits, credits },
            PositionChangeV1::Held { is_credit, amount } => {
                PositionChange::Held { side: side(is_credit), amount }
            }
            PositionChangeV1::Resolved { is_credit, held, captured } => {
                PositionChange::Resolved { side: side(is_credit), held, captured }
            }
        };
        Self { wallet: WalletId(wire.wallet), asset: AssetId(wire.asset), change }
    }
}

impl<'a> From<&'a WalletChange> for WalletChangeV1<'a> {
    fn from(change: &'a WalletChange) -> Self {
        let setting = match &change.setting {
            Setting::Limits { overdraft_limit, balance_max } => {
                SettingV1::Limits { overdraft_limit: (*overdraft_limit).into(), balance_max: *balance_max }
            }
            Setting::Flags { set, clear } => SettingV1::Flags { set: set.bits(), clear: clear.bits() },
            Setting::Metadata(metadata) => SettingV1::Metadata(metadata),
        };
        Self { wallet: change.wallet.0, setting }
    }
}

impl From<WalletChangeV1<'_>> for WalletChange {
    fn from(wire: WalletChangeV1<'_>) -> Self {
        let setting = match wire.setting {
            SettingV1::Limits { overdraft_limit, balance_max } => {
                Setting::Limits { overdraft_limit: overdraft_limit.into(), balance_max }
            }
            SettingV1::Flags { set, clear } => {
                Setting::Flags { set: WalletFlags::from_bits(set), clear: WalletFlags::from_bits(clear) }
            }
            SettingV1::Metadata(metadata) => Setting::Metadata(metadata.into()),
        };
        Self { wallet: WalletId(wire.wallet), setting }
    }
}

pub(crate) fn put_event(buffer: &mut Vec<u8>, event: &Event) {
    put(buffer, event.seq);
    put(buffer, event.timestamp_ns);
    match &event.what {
        // An order begins with the number of its kind, which is the event's.
        Happening::OrderDone { order, outcome, movements } => {
            put_order(buffer, order);
            put(buffer, OutcomeV1::from(outcome));
            put_movements(buffer, movements);
        }
        Happening::OrderRefused { order, outcome } => {
            put(buffer, event.kind().number());
            put_order(buffer, order);
            put(buffer, OutcomeV1::from(outcome));
        }
        Happening::HoldExpired { pending_id, movements } => {
            put(buffer, event.kind().number());
            put(buffer, pending_id.0);
            put_movements(buffer, movements);
        }
        Happening::AssetCreated(asset) => {
            put(buffer, event.kind().number());
            put(buffer, NewAssetV1 { id: asset.id.0, code: asset.code.as_str(), scale: asset.scale });
        }
        Happening::WalletCreated(wallet) => {
            put(buffer, event.kind().number());
            put(buffer, NewWalletV1::from(wallet));
        }
        Happening::WalletChanged(change) => {
            put(buffer, event.kind().number());
            put(buffer, WalletChangeV1::from(change));
        }
        Happening::ImportClosed(import) => {
            put(buffer, event.kind().number());
            put(buffer, import.0);
        }
    }
}

fn put_movements(buffer: &mut Vec<u8>, movements: &[Movement]) {
    put_sequence(buffer, movements.iter().map(MovementV1::from));
}

pub(crate) fn event(reader: &mut BodyReader<'_>) -> Result<Event, FrameError> {
    let seq = reader.value()?;
    let timestamp_ns = reader.value()?;
    let number: u8 = reader.value()?;
    let what = match kind(number)? {
        EventKind::Done(OrderKind::Expire) => Happening::HoldExpired {
            pending_id: TransferId(reader.value()?),
            movements: read_movements(reader)?,
        },
        EventKind::Done(_) => Happening::OrderDone {
            order: order_of_kind(number, reader)?,
            outcome: reader.value::<OutcomeV1>()?.try_into()?,
            movements: read_movements(reader)?,
        },
        EventKind::OrderRefused => Happening::OrderRefused {
            order: order(reader)?,
            outcome: reader.value::<OutcomeV1>()?.try_into()?,
        },
        EventKind::AssetCreated => {
            let NewAssetV1 { id, code, scale } = reader.value()?;
            let Some(code) = AssetCode::new(code) else {
                return Err(FrameError::malformed("an asset with a code that no asset can have"));
            };
            Happening::AssetCreated(Asset { id: AssetId(id), code, scale })
        }
        EventKind::WalletCreated => Happening::WalletCreated(reader.value::<NewWalletV1<'_>>()?.into()),
        EventKind::WalletChanged => Happening::WalletChanged(reader.value::<WalletChangeV1<'_>>()?.into()),
        EventKind::ImportClosed => Happening::ImportClosed(ImportId(reader.value()?)),
    };
    Ok(Event { seq, timestamp_ns, what })
}

fn read_movements(reader: &mut BodyReader<'_>) -> Result<Box<[Movement]>, FrameError> {
    let movements =
        reader.sequence(POSITIONS_MAX, MOVEMENT_BYTES_MIN, |movement: MovementV1| Ok(movement.into()))?;
    Ok(movements.into())
}

/// The kind of an event of this number.
pub(crate) fn kind(number: u8) -> Result<EventKind, FrameError> {
    EventKind::from_number(number)
        .ok_or_else(|| FrameError::malformed(format!("an event of kind {number}, which there is not")))
}
