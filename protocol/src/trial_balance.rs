//! `trial_balance`: per asset, the sums over all wallets, exact as of one entry.

use crate::body::{BodyReader, LENGTH_BYTES, put, put_sequence};
use crate::frame::FrameError;
use crate::limits::FRAME_HARD_MAX;
use crate::position::{POSITION_BYTES, PositionV1};
use bincode::{BorrowDecode, Encode};
use ledger::fold::AssetTotals;
use ledger::{Asset, AssetCode, AssetId};

/// The fewest bytes that an asset takes.
const ASSET_BYTES_MIN: u32 = 4 + LENGTH_BYTES + 1 + 8 + POSITION_BYTES;

/// No frame holds more assets than this; how many there are is not bounded by a batch.
const ASSETS_MAX: u32 = FRAME_HARD_MAX / ASSET_BYTES_MIN;

/// The reply.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct TrialBalance {
    /// Everything up to this entry is in it, and nothing after it.
    pub as_of_seq: u64,
    /// Every asset, in the order of their ids.
    pub assets: Vec<AssetTrialBalance>,
}

/// One asset of a trial balance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssetTrialBalance {
    /// The asset.
    pub asset: Asset,
    /// The sums over all its wallets, modulo 2^128.
    pub totals: AssetTotals,
}

#[derive(Encode, BorrowDecode)]
struct AssetTrialBalanceV1<'a> {
    id: u32,
    code: &'a str,
    scale: u8,
    wallets: u64,
    totals: PositionV1,
}

pub(crate) fn write_reply(buffer: &mut Vec<u8>, reply: &TrialBalance) {
    put(buffer, reply.as_of_seq);
    put_sequence(
        buffer,
        reply.assets.iter().map(|AssetTrialBalance { asset, totals }| AssetTrialBalanceV1 {
            id: asset.id.0,
            code: asset.code.as_str(),
            scale: asset.scale,
            wallets: totals.wallets,
            totals: PositionV1 {
                debits_pending: totals.debits_pending,
                debits_posted: totals.debits_posted,
                credits_pending: totals.credits_pending,
                credits_posted: totals.credits_posted,
            },
        }),
    );
}

pub(crate) fn read_reply(body: &[u8]) -> Result<TrialBalance, FrameError> {
    let mut reader = BodyReader::new(body);
    let as_of_seq = reader.value()?;
    let assets = reader.sequence(ASSETS_MAX, ASSET_BYTES_MIN, |wire: AssetTrialBalanceV1<'_>| {
        let Some(code) = AssetCode::new(wire.code) else {
            return Err(FrameError::malformed("an asset with a code that no asset can have"));
        };
        let PositionV1 { debits_pending, debits_posted, credits_pending, credits_posted } = wire.totals;
        Ok(AssetTrialBalance {
            asset: Asset { id: AssetId(wire.id), code, scale: wire.scale },
            totals: AssetTotals {
                wallets: wire.wallets,
                debits_posted,
                credits_posted,
                debits_pending,
                credits_pending,
            },
        })
    })?;
    reader.finish()?;
    Ok(TrialBalance { as_of_seq, assets })
}
