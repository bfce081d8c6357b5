//! The four counters of a wallet on the wire, as `lookup_wallets`, `balances` and `trial_balance` carry them.

use bincode::{Decode, Encode};
use ledger::Position;

/// How many bytes the counters take.
pub(crate) const POSITION_BYTES: u32 = 4 * 16;

#[derive(Encode, Decode)]
pub(crate) struct PositionV1 {
    pub(crate) debits_pending: u128,
    pub(crate) debits_posted: u128,
    pub(crate) credits_pending: u128,
    pub(crate) credits_posted: u128,
}

impl From<&Position> for PositionV1 {
    fn from(position: &Position) -> Self {
        let &Position { debits_pending, debits_posted, credits_pending, credits_posted } = position;
        Self { debits_pending, debits_posted, credits_pending, credits_posted }
    }
}

impl From<PositionV1> for Position {
    fn from(wire: PositionV1) -> Self {
        let PositionV1 { debits_pending, debits_posted, credits_pending, credits_posted } = wire;
        Self { debits_pending, debits_posted, credits_pending, credits_posted }
    }
}
