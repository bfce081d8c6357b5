//! What all requests of orders are answered: outcomes, and on request the positions of the wallets.

use crate::body::{BodyReader, LENGTH_BYTES, put, put_sequence};
use crate::frame::FrameError;
use crate::limits::{OPERATIONS_PER_REQUEST_MAX, TAG_BYTES};
use crate::outcome::{OUTCOME_BYTES_MAX, OUTCOME_BYTES_MIN, OutcomeV1};
use bincode::{Decode, Encode};
use ledger::order::LEGS_MAX;
use ledger::{Outcome, WalletId};

/// The most wallets that any order has to do with: a transaction of as many legs as may be, each of another wallet.
pub(crate) const POSITIONS_MAX: u32 = LEGS_MAX as u32;

const POSITION_BYTES_MIN: u32 = 16 + 16 + 16 + 16 + TAG_BYTES + 8;
const POSITION_BYTES_MAX: u32 = POSITION_BYTES_MIN + 16;

/// The most bytes that the answer to an order about so many wallets takes: the outcome, and their positions.
pub(crate) const fn answer_bytes_max(positions: u32) -> u32 {
    OUTCOME_BYTES_MAX + LENGTH_BYTES + positions * POSITION_BYTES_MAX
}

/// The reply.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct OrdersAnswered {
    /// One for each order, in order.
    pub outcomes: Vec<Outcome>,
    /// For each order the positions of its wallets that exist, those that give first; empty unless asked for.
    pub positions: Vec<Vec<WalletPosition>>,
}

/// The committed, durable position of a wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalletPosition {
    /// Whose.
    pub wallet: WalletId,
    /// Credits posted − debits posted.
    pub balance: i128,
    /// Held, to be taken. A hold counts here until its end is journaled, even if it has expired before.
    pub debits_pending: u128,
    /// Held elsewhere, to be added.
    pub credits_pending: u128,
    /// What can be spent, without what has expired; `None` where there is no limit.
    pub available: Option<i128>,
    /// Everything up to this entry is in it.
    pub as_of_seq: u64,
}

#[derive(Encode, Decode)]
struct WalletPositionV1 {
    wallet: u128,
    balance: i128,
    debits_pending: u128,
    credits_pending: u128,
    available: Option<i128>,
    as_of_seq: u64,
}

impl From<&WalletPosition> for WalletPositionV1 {
    fn from(position: &WalletPosition) -> Self {
        let &WalletPosition { wallet, balance, debits_pending, credits_pending, available, as_of_seq } =
            position;
        Self { wallet: wallet.0, balance, debits_pending, credits_pending, available, as_of_seq }
    }
}

impl From<WalletPositionV1> for WalletPosition {
    fn from(wire: WalletPositionV1) -> Self {
        let WalletPositionV1 { wallet, balance, debits_pending, credits_pending, available, as_of_seq } =
            wire;
        Self { wallet: WalletId(wallet), balance, debits_pending, credits_pending, available, as_of_seq }
    }
}

/// Outcomes alone are what creations of assets and wallets and changes of settings are answered.
pub(crate) fn write_outcomes(buffer: &mut Vec<u8>, outcomes: &[Outcome]) {
    put_sequence(buffer, outcomes.iter().map(OutcomeV1::from));
}

pub(crate) fn write_reply(buffer: &mut Vec<u8>, reply: &OrdersAnswered) {
    write_outcomes(buffer, &reply.outcomes);
    put(buffer, reply.positions.len() as u64);
    for positions in &reply.positions {
        put_sequence(buffer, positions.iter().map(WalletPositionV1::from));
    }
}

fn outcomes(reader: &mut BodyReader<'_>) -> Result<Vec<Outcome>, FrameError> {
    reader.sequence(OPERATIONS_PER_REQUEST_MAX, OUTCOME_BYTES_MIN, |wire: OutcomeV1| Outcome::try_from(wire))
}

pub(crate) fn read_outcomes(body: &[u8]) -> Result<Vec<Outcome>, FrameError> {
    let mut reader = BodyReader::new(body);
    let outcomes = outcomes(&mut reader)?;
    reader.finish()?;
    Ok(outcomes)
}

pub(crate) fn read_reply(body: &[u8]) -> Result<OrdersAnswered, FrameError> {
    let mut reader = BodyReader::new(body);
    let outcomes = outcomes(&mut reader)?;
    let positions = reader.elements(OPERATIONS_PER_REQUEST_MAX, LENGTH_BYTES, |reader| {
        reader.sequence(POSITIONS_MAX, POSITION_BYTES_MIN, |wire: WalletPositionV1| Ok(wire.into()))
    })?;
    reader.finish()?;
    Ok(OrdersAnswered { outcomes, positions })
}
