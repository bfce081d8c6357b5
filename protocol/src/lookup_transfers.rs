//! `lookup_transfers`: transfers by id, with what they were first answered.

use crate::body::{BodyReader, put_sequence};
use crate::create_transfers::{ITEM_BYTES_MAX, TransferV1};
use crate::frame::FrameError;
use crate::limits::{OPERATIONS_PER_REQUEST_MAX, TAG_BYTES};
use crate::outcome::{OUTCOME_BYTES_MAX, OutcomeV1};
use crate::request::RequestHead;
use bincode::{BorrowDecode, Encode};
use ledger::{Outcome, Transfer, TransferId};

/// The most bytes that one answer takes.
pub(crate) const VIEW_BYTES_MAX: u32 = TAG_BYTES + ITEM_BYTES_MAX + OUTCOME_BYTES_MAX;

/// The request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupTransfers {
    /// Deadline and trace.
    pub head: RequestHead,
    /// Which transfers.
    pub ids: Vec<TransferId>,
}

/// A transfer that used up its id: it was done, or refused for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransferView {
    /// As it was asked for.
    pub transfer: Transfer,
    /// What it was answered at first, so never replayed.
    pub outcome: Outcome,
}

#[derive(Encode, BorrowDecode)]
struct TransferViewV1<'a> {
    transfer: TransferV1<'a>,
    outcome: OutcomeV1,
}

impl<'a> From<&'a TransferView> for TransferViewV1<'a> {
    fn from(view: &'a TransferView) -> Self {
        Self { transfer: (&view.transfer).into(), outcome: (&view.outcome).into() }
    }
}

pub(crate) fn write_reply(buffer: &mut Vec<u8>, views: &[Option<TransferView>]) {
    put_sequence(buffer, views.iter().map(|view| view.as_ref().map(TransferViewV1::from)));
}

pub(crate) fn read_reply(body: &[u8]) -> Result<Vec<Option<TransferView>>, FrameError> {
    let mut reader = BodyReader::new(body);
    let views =
        reader.sequence(OPERATIONS_PER_REQUEST_MAX, TAG_BYTES, |view: Option<TransferViewV1<'_>>| {
            let Some(TransferViewV1 { transfer, outcome }) = view else { return Ok(None) };
            Ok(Some(TransferView { transfer: transfer.into(), outcome: outcome.try_into()? }))
        })?;
    reader.finish()?;
    Ok(views)
}
