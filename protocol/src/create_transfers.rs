//! `create_transfers`: transfers to make; one outcome each, and on request the positions of the wallets. The
//! hot path: items are encoded from where they stand and decoded straight into the ledger's own type.

use crate::body::{BodyReader, LENGTH_BYTES, put, put_sequence};
use crate::frame::FrameError;
use crate::limits::{OPERATIONS_PER_REQUEST_MAX, TAG_BYTES};
use crate::outcome::{OUTCOME_BYTES_MAX, OUTCOME_BYTES_MIN, OutcomeV1};
use crate::request::RequestHead;
use bincode::{BorrowDecode, Decode, Encode};
use ledger::transfer::TRANSFER_METADATA_MAX;
use ledger::{AssetId, Outcome, Transfer, TransferId, WalletId};

/// The fewest bytes that an item takes: without metadata.
pub(crate) const ITEM_BYTES_MIN: u32 = 16 + 16 + 16 + 4 + 16 + 16 + 2 + 8 + LENGTH_BYTES;

/// The most bytes that a right item takes.
pub(crate) const ITEM_BYTES_MAX: u32 = ITEM_BYTES_MIN + TRANSFER_METADATA_MAX as u32;

/// A transfer has a debit and a credit wallet.
const POSITIONS_MAX: u32 = 2;
const POSITION_BYTES_MIN: u32 = 16 + 16 + TAG_BYTES + 8;
const POSITION_BYTES_MAX: u32 = POSITION_BYTES_MIN + 16;

/// The most bytes that the answer to one item takes: the outcome, and both wallets' positions.
pub(crate) const ANSWER_BYTES_MAX: u32 =
    OUTCOME_BYTES_MAX + LENGTH_BYTES + POSITIONS_MAX * POSITION_BYTES_MAX;

/// The request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateTransfers {
    /// Deadline and trace.
    pub head: RequestHead,
    /// Whether the reply should carry the wallets' positions.
    pub with_balances: bool,
    /// What to do; items are independent of each other.
    pub transfers: Vec<Transfer>,
}

/// The reply.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TransfersCreated {
    /// One for each transfer, in order.
    pub outcomes: Vec<Outcome>,
    /// For each transfer the positions of its wallets that exist, debit first; empty unless asked for.
    pub positions: Vec<Vec<WalletPosition>>,
}

/// The committed, durable position of a wallet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalletPosition {
    /// Whose.
    pub wallet: WalletId,
    /// Credits posted − debits posted.
    pub balance: i128,
    /// What can be spent; `None` where there is no limit.
    pub available: Option<i128>,
    /// Everything up to this entry is in it.
    pub as_of_seq: u64,
}

#[derive(Encode, BorrowDecode)]
pub(crate) struct TransferV1<'a> {
    id: u128,
    debit_wallet: u128,
    credit_wallet: u128,
    asset: u32,
    amount: u128,
    group_id: u128,
    code: u16,
    effective_at_ns: u64,
    metadata: &'a [u8],
}

#[derive(Encode, Decode)]
struct WalletPositionV1 {
    wallet: u128,
    balance: i128,
    available: Option<i128>,
    as_of_seq: u64,
}

impl<'a> From<&'a Transfer> for TransferV1<'a> {
    #[inline]
    fn from(transfer: &'a Transfer) -> Self {
        Self {
            id: transfer.id.0,
            debit_wallet: transfer.debit_wallet.0,
            credit_wallet: transfer.credit_wallet.0,
            asset: transfer.asset.0,
            amount: transfer.amount,
            group_id: transfer.group_id,
            code: transfer.code,
            effective_at_ns: transfer.effective_at_ns,
            metadata: &transfer.metadata,
        }
    }
}

impl From<TransferV1<'_>> for Transfer {
    #[inline]
    fn from(wire: TransferV1<'_>) -> Self {
        Self {
            id: TransferId(wire.id),
            debit_wallet: WalletId(wire.debit_wallet),
            credit_wallet: WalletId(wire.credit_wallet),
            asset: AssetId(wire.asset),
            amount: wire.amount,
            group_id: wire.group_id,
            code: wire.code,
            effective_at_ns: wire.effective_at_ns,
            metadata: wire.metadata.into(),
        }
    }
}

pub(crate) fn write_request(
    buffer: &mut Vec<u8>,
    head: RequestHead,
    with_balances: bool,
    transfers: &[Transfer],
) {
    put(buffer, head);
    put(buffer, with_balances);
    put_sequence(buffer, transfers.iter().map(TransferV1::from));
}

pub(crate) fn read_request(body: &[u8]) -> Result<CreateTransfers, FrameError> {
    let mut reader = BodyReader::new(body);
    let head = reader.value()?;
    let with_balances = reader.value()?;
    let transfers = reader.sequence(OPERATIONS_PER_REQUEST_MAX, ITEM_BYTES_MIN, |item: TransferV1<'_>| {
        Ok(Transfer::from(item))
    })?;
    reader.finish()?;
    Ok(CreateTransfers { head, with_balances, transfers })
}

/// Outcomes alone are what `create_assets` and `create_wallets` answer.
pub(crate) fn write_outcomes(buffer: &mut Vec<u8>, outcomes: &[Outcome]) {
    put_sequence(buffer, outcomes.iter().map(OutcomeV1::from));
}

pub(crate) fn write_reply(buffer: &mut Vec<u8>, reply: &TransfersCreated) {
    write_outcomes(buffer, &reply.outcomes);
    put(buffer, reply.positions.len() as u64);
    for positions in &reply.positions {
        put_sequence(
            buffer,
            positions.iter().map(|position| WalletPositionV1 {
                wallet: position.wallet.0,
                balance: position.balance,
                available: position.available,
                as_of_seq: position.as_of_seq,
            }),
        );
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

pub(crate) fn read_reply(body: &[u8]) -> Result<TransfersCreated, FrameError> {
    let mut reader = BodyReader::new(body);
    let outcomes = outcomes(&mut reader)?;
    let count = reader.length(OPERATIONS_PER_REQUEST_MAX, LENGTH_BYTES)?;
    let mut positions = Vec::with_capacity(count);
    for _ in 0..count {
        positions.push(reader.sequence(POSITIONS_MAX, POSITION_BYTES_MIN, |wire: WalletPositionV1| {
            Ok(WalletPosition {
                wallet: WalletId(wire.wallet),
                balance: wire.balance,
                available: wire.available,
                as_of_seq: wire.as_of_seq,
            })
        })?);
    }
    reader.finish()?;
    Ok(TransfersCreated { outcomes, positions })
}
