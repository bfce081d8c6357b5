//! The outcome of one operation on the wire, as the replies to all writes and `lookup_transfers` carry it.

use crate::frame::FrameError;
use bincode::{Decode, Encode};
use ledger::{Outcome, RefusalDetail, Status};

/// The most bytes that an outcome takes: the detail's tag and two amounts are the largest detail.
pub(crate) const OUTCOME_BYTES_MAX: u32 = 2 + 1 + 8 + 8 + 4 + 2 * 16;

/// The fewest bytes that an outcome takes: with no detail but its tag.
pub(crate) const OUTCOME_BYTES_MIN: u32 = 2 + 1 + 8 + 8 + 4;

#[derive(Encode, Decode)]
pub(crate) struct OutcomeV1 {
    status: u16,
    replayed: bool,
    seq: u64,
    timestamp_ns: u64,
    detail: RefusalDetailV1,
}

#[derive(Encode, Decode)]
enum RefusalDetailV1 {
    None,
    InsufficientFunds { available: u128, required: u128 },
    LimitExceeded { limit: u128 },
    AlreadyRefused { first_status: u16 },
    AmountExceeded { left: u128 },
    LegRefused { index: u8, status: u16 },
}

impl From<&Outcome> for OutcomeV1 {
    #[inline]
    fn from(outcome: &Outcome) -> Self {
        let detail = match outcome.detail {
            RefusalDetail::None => RefusalDetailV1::None,
            RefusalDetail::InsufficientFunds { available, required } => {
                RefusalDetailV1::InsufficientFunds { available, required }
            }
            RefusalDetail::LimitExceeded { limit } => RefusalDetailV1::LimitExceeded { limit },
            RefusalDetail::AlreadyRefused { first_status } => {
                RefusalDetailV1::AlreadyRefused { first_status: first_status.number() }
            }
            RefusalDetail::AmountExceeded { left } => RefusalDetailV1::AmountExceeded { left },
            RefusalDetail::LegRefused { index, status } => {
                RefusalDetailV1::LegRefused { index, status: status.number() }
            }
        };
        Self {
            status: outcome.status.number(),
            replayed: outcome.replayed,
            seq: outcome.seq,
            timestamp_ns: outcome.timestamp_ns,
            detail,
        }
    }
}

impl TryFrom<OutcomeV1> for Outcome {
    type Error = FrameError;

    #[inline]
    fn try_from(wire: OutcomeV1) -> Result<Self, FrameError> {
        let detail = match wire.detail {
            RefusalDetailV1::None => RefusalDetail::None,
            RefusalDetailV1::InsufficientFunds { available, required } => {
                RefusalDetail::InsufficientFunds { available, required }
            }
            RefusalDetailV1::LimitExceeded { limit } => RefusalDetail::LimitExceeded { limit },
            RefusalDetailV1::AlreadyRefused { first_status } => {
                RefusalDetail::AlreadyRefused { first_status: status(first_status)? }
            }
            RefusalDetailV1::AmountExceeded { left } => RefusalDetail::AmountExceeded { left },
            RefusalDetailV1::LegRefused { index, status: number } => {
                RefusalDetail::LegRefused { index, status: status(number)? }
            }
        };
        Ok(Self {
            status: status(wire.status)?,
            replayed: wire.replayed,
            seq: wire.seq,
            timestamp_ns: wire.timestamp_ns,
            detail,
        })
    }
}

pub(crate) fn status(number: u16) -> Result<Status, FrameError> {
    Status::from_number(number).ok_or(FrameError::UnknownStatus { number })
}
