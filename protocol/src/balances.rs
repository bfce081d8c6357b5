//! `balances`: what wallets hold now, without their terms.

use crate::body::{BodyReader, put_sequence};
use crate::frame::FrameError;
use crate::limits::{OPERATIONS_PER_REQUEST_MAX, TAG_BYTES};
use crate::position::{POSITION_BYTES, PositionV1};
use crate::request::RequestHead;
use bincode::{Decode, Encode};
use ledger::{Position, WalletId};

/// The most bytes that one answer takes.
pub(crate) const VIEW_BYTES_MAX: u32 = TAG_BYTES + 16 + (TAG_BYTES + 16) + POSITION_BYTES + 8;

/// The request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Balances {
    /// Deadline and trace.
    pub head: RequestHead,
    /// Of which wallets.
    pub ids: Vec<WalletId>,
}

/// What a wallet held at one entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BalanceView {
    /// Credits posted − debits posted.
    pub balance: i128,
    /// What can be spent; `None` where there is no limit.
    pub available: Option<i128>,
    /// The counters.
    pub position: Position,
    /// Everything up to this entry is in it.
    pub as_of_seq: u64,
}

#[derive(Encode, Decode)]
struct BalanceViewV1 {
    balance: i128,
    available: Option<i128>,
    position: PositionV1,
    as_of_seq: u64,
}

impl From<&BalanceView> for BalanceViewV1 {
    fn from(view: &BalanceView) -> Self {
        let BalanceView { balance, available, position, as_of_seq } = view;
        Self { balance: *balance, available: *available, position: position.into(), as_of_seq: *as_of_seq }
    }
}

impl From<BalanceViewV1> for BalanceView {
    fn from(wire: BalanceViewV1) -> Self {
        let BalanceViewV1 { balance, available, position, as_of_seq } = wire;
        Self { balance, available, position: position.into(), as_of_seq }
    }
}

pub(crate) fn write_reply(buffer: &mut Vec<u8>, views: &[Option<BalanceView>]) {
    put_sequence(buffer, views.iter().map(|view| view.as_ref().map(BalanceViewV1::from)));
}

pub(crate) fn read_reply(body: &[u8]) -> Result<Vec<Option<BalanceView>>, FrameError> {
    let mut reader = BodyReader::new(body);
    let views = reader.sequence(OPERATIONS_PER_REQUEST_MAX, TAG_BYTES, |view: Option<BalanceViewV1>| {
        Ok(view.map(BalanceView::from))
    })?;
    reader.finish()?;
    Ok(views)
}
