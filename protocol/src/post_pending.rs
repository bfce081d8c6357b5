//! `post_pending`: holds to capture, in full or in part; one outcome each.

use crate::batch::{OrderBatch, read_orders, write_orders};
use crate::body::put;
use crate::create_transfers;
use crate::frame::FrameError;
use crate::memo::{MEMO_BYTES_MAX, MEMO_BYTES_MIN, MemoV1};
use crate::request::RequestHead;
use bincode::{BorrowDecode, Encode};
use ledger::{Post, TransferId};

const FIXED_BYTES: u32 = 16 + 16 + 16;

const ITEM_BYTES_MIN: u32 = FIXED_BYTES + MEMO_BYTES_MIN;

/// The most bytes that a right item takes.
pub(crate) const ITEM_BYTES_MAX: u32 = FIXED_BYTES + MEMO_BYTES_MAX;

/// The most bytes that the answer to one item takes: the two wallets are the hold's.
pub(crate) const ANSWER_BYTES_MAX: u32 = create_transfers::ANSWER_BYTES_MAX;

#[derive(Encode, BorrowDecode)]
pub(crate) struct PostV1<'a> {
    id: u128,
    pending_id: u128,
    amount: u128,
    memo: MemoV1<'a>,
}

impl<'a> From<&'a Post> for PostV1<'a> {
    fn from(post: &'a Post) -> Self {
        let Post { id, pending_id, amount, memo } = post;
        Self { id: id.0, pending_id: pending_id.0, amount: *amount, memo: memo.into() }
    }
}

impl From<PostV1<'_>> for Post {
    fn from(wire: PostV1<'_>) -> Self {
        let PostV1 { id, pending_id, amount, memo } = wire;
        Self { id: TransferId(id), pending_id: TransferId(pending_id), amount, memo: memo.into() }
    }
}

pub(crate) fn write_request(buffer: &mut Vec<u8>, head: RequestHead, with_balances: bool, posts: &[Post]) {
    write_orders(buffer, head, with_balances, posts, |buffer, post| put(buffer, PostV1::from(post)));
}

pub(crate) fn read_request(body: &[u8]) -> Result<OrderBatch<Post>, FrameError> {
    read_orders(body, ITEM_BYTES_MIN, |reader| Ok(reader.value::<PostV1<'_>>()?.into()))
}
