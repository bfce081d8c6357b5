//! `balances_at`: where wallets stood at a moment.

use crate::body::{BodyReader, put, put_sequence};
use crate::frame::FrameError;
use crate::limits::{ID_BYTES, OPERATIONS_PER_REQUEST_MAX, TAG_BYTES};
use crate::position::{POSITION_BYTES, PositionV1};
use crate::query::VARIANT_BYTES;
use bincode::{Decode, Encode};
use ledger::{Position, WalletId};

/// How many bytes a moment takes.
pub(crate) const MOMENT_BYTES: u32 = VARIANT_BYTES + 8;

/// The most bytes that one answer takes.
pub(crate) const ANSWER_BYTES_MAX: u32 = TAG_BYTES + POSITION_BYTES;

/// A moment in the life of a ledger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moment {
    /// With every entry up to this one.
    Seq(u64),
    /// With every entry whose time is not after this, in nanoseconds since 1970.
    TimestampNs(u64),
}

/// What is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BalancesAt {
    /// When.
    pub at: Moment,
    /// Of which wallets.
    pub ids: Vec<WalletId>,
}

/// Where wallets stood.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct PositionsAt {
    /// With every entry up to this one, the last one of the moment.
    pub as_of_seq: u64,
    /// In the order asked for; `None` for a wallet that did not exist.
    pub positions: Vec<Option<Position>>,
}

#[derive(Encode, Decode)]
enum MomentV1 {
    Seq(u64),
    TimestampNs(u64),
}

pub(crate) fn put_what(buffer: &mut Vec<u8>, at: Moment, ids: &[WalletId]) {
    put(
        buffer,
        match at {
            Moment::Seq(seq) => MomentV1::Seq(seq),
            Moment::TimestampNs(timestamp_ns) => MomentV1::TimestampNs(timestamp_ns),
        },
    );
    put_sequence(buffer, ids.iter().map(|id| id.0));
}

pub(crate) fn what(reader: &mut BodyReader<'_>) -> Result<BalancesAt, FrameError> {
    let at = match reader.value()? {
        MomentV1::Seq(seq) => Moment::Seq(seq),
        MomentV1::TimestampNs(timestamp_ns) => Moment::TimestampNs(timestamp_ns),
    };
    let ids = reader.sequence(OPERATIONS_PER_REQUEST_MAX, ID_BYTES, |id: u128| Ok(WalletId(id)))?;
    Ok(BalancesAt { at, ids })
}

pub(crate) fn put_answer(buffer: &mut Vec<u8>, answer: &PositionsAt) {
    put(buffer, answer.as_of_seq);
    put_sequence(buffer, answer.positions.iter().map(|position| position.as_ref().map(PositionV1::from)));
}

pub(crate) fn answer(reader: &mut BodyReader<'_>) -> Result<PositionsAt, FrameError> {
    let as_of_seq = reader.value()?;
    let positions =
        reader.sequence(OPERATIONS_PER_REQUEST_MAX, TAG_BYTES, |position: Option<PositionV1>| {
            Ok(position.map(Position::from))
        })?;
    Ok(PositionsAt { as_of_seq, positions })
}
