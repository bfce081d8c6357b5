//! The client's notes on the wire. They end every order but a transaction, whose legs follow them.

use crate::body::LENGTH_BYTES;
use bincode::{BorrowDecode, Encode};
use ledger::Memo;
use ledger::transfer::TRANSFER_METADATA_MAX;

/// The fewest bytes that notes take: without metadata.
pub(crate) const MEMO_BYTES_MIN: u32 = 16 + 2 + 8 + LENGTH_BYTES;

/// The most bytes that right notes take.
pub(crate) const MEMO_BYTES_MAX: u32 = MEMO_BYTES_MIN + TRANSFER_METADATA_MAX as u32;

#[derive(Encode, BorrowDecode)]
pub(crate) struct MemoV1<'a> {
    group_id: u128,
    code: u16,
    effective_at_ns: u64,
    metadata: &'a [u8],
}

impl<'a> From<&'a Memo> for MemoV1<'a> {
    fn from(memo: &'a Memo) -> Self {
        let Memo { group_id, code, effective_at_ns, metadata } = memo;
        Self { group_id: *group_id, code: *code, effective_at_ns: *effective_at_ns, metadata }
    }
}

impl From<MemoV1<'_>> for Memo {
    fn from(wire: MemoV1<'_>) -> Self {
        let MemoV1 { group_id, code, effective_at_ns, metadata } = wire;
        Self { group_id, code, effective_at_ns, metadata: metadata.into() }
    }
}
