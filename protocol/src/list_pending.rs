//! `list_pending`: the open holds from and for a wallet, page by page.

use crate::body::{BodyReader, LENGTH_BYTES, put, put_sequence};
use crate::frame::FrameError;
use crate::limits::{PAGE_ITEMS_MAX, TAG_BYTES};
use bincode::{Decode, Encode};
use ledger::{Side, TransferId, WalletId};

/// How many bytes a hold takes.
pub(crate) const HOLD_BYTES: u32 = 16 + 1 + 16 + 8 + 8;

/// What a page carries beside its holds.
pub(crate) const PAGE_BYTES: u32 = 8 + LENGTH_BYTES + (TAG_BYTES + 16);

/// A page of open holds, as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingQuery {
    /// From and for which wallet.
    pub wallet: WalletId,
    /// Only with greater ids: where the page before ended.
    pub after: Option<TransferId>,
    /// At most so many; 0 for as many as a page may have.
    pub limit: u32,
}

/// A page of open holds.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PendingPage {
    /// Everything up to this entry is in it.
    pub as_of_seq: u64,
    /// In the order of their ids.
    pub holds: Vec<OpenHold>,
    /// Where to go on; `None` if this was all.
    pub next: Option<TransferId>,
}

/// A hold whose end is not journaled yet. It may have expired before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenHold {
    /// The order that made it.
    pub id: TransferId,
    /// Whether it is to be taken from the wallet or to be put into it.
    pub side: Side,
    /// How much.
    pub amount: u128,
    /// When it stops counting, in nanoseconds since 1970; `u64::MAX` for never.
    pub expires_at_ns: u64,
    /// The entry that made it.
    pub seq: u64,
}

#[derive(Encode, Decode)]
struct PendingQueryV1 {
    wallet: u128,
    after: Option<u128>,
    limit: u32,
}

#[derive(Encode, Decode)]
struct OpenHoldV1 {
    id: u128,
    is_credit: bool,
    amount: u128,
    expires_at_ns: u64,
    seq: u64,
}

impl From<&OpenHold> for OpenHoldV1 {
    fn from(hold: &OpenHold) -> Self {
        let &OpenHold { id, side, amount, expires_at_ns, seq } = hold;
        Self { id: id.0, is_credit: side == Side::Credit, amount, expires_at_ns, seq }
    }
}

impl From<OpenHoldV1> for OpenHold {
    fn from(wire: OpenHoldV1) -> Self {
        let OpenHoldV1 { id, is_credit, amount, expires_at_ns, seq } = wire;
        let side = if is_credit { Side::Credit } else { Side::Debit };
        Self { id: TransferId(id), side, amount, expires_at_ns, seq }
    }
}

pub(crate) fn put_what(buffer: &mut Vec<u8>, query: &PendingQuery) {
    let &PendingQuery { wallet, after, limit } = query;
    put(buffer, PendingQueryV1 { wallet: wallet.0, after: after.map(|id| id.0), limit });
}

pub(crate) fn what(reader: &mut BodyReader<'_>) -> Result<PendingQuery, FrameError> {
    let PendingQueryV1 { wallet, after, limit } = reader.value()?;
    Ok(PendingQuery { wallet: WalletId(wallet), after: after.map(TransferId), limit })
}

pub(crate) fn put_answer(buffer: &mut Vec<u8>, page: &PendingPage) {
    put(buffer, page.as_of_seq);
    put_sequence(buffer, page.holds.iter().map(OpenHoldV1::from));
    put(buffer, page.next.map(|id| id.0));
}

pub(crate) fn answer(reader: &mut BodyReader<'_>) -> Result<PendingPage, FrameError> {
    Ok(PendingPage {
        as_of_seq: reader.value()?,
        holds: reader.sequence(PAGE_ITEMS_MAX, HOLD_BYTES, |hold: OpenHoldV1| Ok(hold.into()))?,
        next: reader.value::<Option<u128>>()?.map(TransferId),
    })
}
