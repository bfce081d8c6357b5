//! `lookup_transfers`: orders of any kind by id, with what they were first answered and what has become of them.

use crate::body::{BodyReader, put};
use crate::frame::FrameError;
use crate::limits::{OPERATIONS_PER_REQUEST_MAX, TAG_BYTES};
use crate::order::{ORDER_BYTES_MAX, order, put_order};
use crate::outcome::{OUTCOME_BYTES_MAX, OutcomeV1};
use crate::request::RequestHead;
use bincode::{Decode, Encode};
use ledger::{AssetId, HoldState, HoldTerms, Order, Outcome, TransferId, WalletId};

/// The most bytes that what has become of an order takes: a hold's is the largest.
const PROGRESS_BYTES_MAX: u32 = 4 + (16 + 16 + 4 + 16 + 8) + 4;

/// The most bytes that one answer takes.
pub(crate) const VIEW_BYTES_MAX: u32 = TAG_BYTES + ORDER_BYTES_MAX + OUTCOME_BYTES_MAX + PROGRESS_BYTES_MAX;

/// The request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupTransfers {
    /// Deadline and trace.
    pub head: RequestHead,
    /// Which orders.
    pub ids: Vec<TransferId>,
}

/// An order that used up its id: it was done, or refused for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferView {
    /// As it was asked for.
    pub order: Order,
    /// What it was answered at first, so never replayed.
    pub outcome: Outcome,
    /// What has become of it since.
    pub progress: Progress,
}

/// What has become of an order since it was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// Nothing can: it was refused, or is itself a release or a reversal.
    None,
    /// It is a hold.
    Hold {
        /// As it was made.
        terms: HoldTerms,
        /// How it has ended, if it has.
        state: HoldState,
    },
    /// It has moved money, which may be reversed.
    Moved {
        /// How much; of a transaction 1, which is all of it.
        amount: u128,
        /// How much of that was moved back.
        reversed: u128,
    },
}

#[derive(Encode, Decode)]
enum ProgressV1 {
    None,
    Hold {
        debit_wallet: u128,
        credit_wallet: u128,
        asset: u32,
        amount: u128,
        expires_at_ns: u64,
        state: HoldStateV1,
    },
    Moved {
        amount: u128,
        reversed: u128,
    },
}

#[derive(Encode, Decode)]
enum HoldStateV1 {
    Open,
    Posted,
    Voided,
    Expired,
}

impl From<&Progress> for ProgressV1 {
    fn from(progress: &Progress) -> Self {
        match *progress {
            Progress::None => Self::None,
            Progress::Hold { terms, state } => {
                let HoldTerms { debit_wallet, credit_wallet, asset, amount, expires_at_ns } = terms;
                Self::Hold {
                    debit_wallet: debit_wallet.0,
                    credit_wallet: credit_wallet.0,
                    asset: asset.0,
                    amount,
                    expires_at_ns,
                    state: match state {
                        HoldState::Open => HoldStateV1::Open,
                        HoldState::Posted => HoldStateV1::Posted,
                        HoldState::Voided => HoldStateV1::Voided,
                        HoldState::Expired => HoldStateV1::Expired,
                    },
                }
            }
            Progress::Moved { amount, reversed } => Self::Moved { amount, reversed },
        }
    }
}

impl From<ProgressV1> for Progress {
    fn from(wire: ProgressV1) -> Self {
        match wire {
            ProgressV1::None => Self::None,
            ProgressV1::Hold { debit_wallet, credit_wallet, asset, amount, expires_at_ns, state } => {
                Self::Hold {
                    terms: HoldTerms {
                        debit_wallet: WalletId(debit_wallet),
                        credit_wallet: WalletId(credit_wallet),
                        asset: AssetId(asset),
                        amount,
                        expires_at_ns,
                    },
                    state: match state {
                        HoldStateV1::Open => HoldState::Open,
                        HoldStateV1::Posted => HoldState::Posted,
                        HoldStateV1::Voided => HoldState::Voided,
                        HoldStateV1::Expired => HoldState::Expired,
                    },
                }
            }
            ProgressV1::Moved { amount, reversed } => Self::Moved { amount, reversed },
        }
    }
}

pub(crate) fn write_reply(buffer: &mut Vec<u8>, views: &[Option<TransferView>]) {
    put(buffer, views.len() as u64);
    for view in views {
        put(buffer, view.is_some());
        if let Some(TransferView { order, outcome, progress }) = view {
            put_order(buffer, order);
            put(buffer, OutcomeV1::from(outcome));
            put(buffer, ProgressV1::from(progress));
        }
    }
}

fn view(reader: &mut BodyReader<'_>) -> Result<TransferView, FrameError> {
    Ok(TransferView {
        order: order(reader)?,
        outcome: reader.value::<OutcomeV1>()?.try_into()?,
        progress: reader.value::<ProgressV1>()?.into(),
    })
}

pub(crate) fn read_reply(body: &[u8]) -> Result<Vec<Option<TransferView>>, FrameError> {
    let mut reader = BodyReader::new(body);
    let views = reader.elements(OPERATIONS_PER_REQUEST_MAX, TAG_BYTES, |reader| {
        if reader.value()? { view(reader).map(Some) } else { Ok(None) }
    })?;
    reader.finish()?;
    Ok(views)
}
