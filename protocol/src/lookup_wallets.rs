//! `lookup_wallets`: wallets by id, with their terms and where they stand.

use crate::body::{BodyReader, put_sequence};
use crate::create_wallets::{ITEM_BYTES_MAX, NewWalletV1};
use crate::frame::FrameError;
use crate::limits::{OPERATIONS_PER_REQUEST_MAX, TAG_BYTES};
use crate::position::{POSITION_BYTES, PositionV1};
use crate::request::RequestHead;
use bincode::{BorrowDecode, Encode};
use ledger::{NewWallet, Position, WalletId};

/// The most bytes that one answer takes.
pub(crate) const VIEW_BYTES_MAX: u32 =
    TAG_BYTES + ITEM_BYTES_MAX + POSITION_BYTES + 4 * 8 + (TAG_BYTES + 16) + 8;

/// The request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LookupWallets {
    /// Deadline and trace.
    pub head: RequestHead,
    /// Which wallets.
    pub ids: Vec<WalletId>,
}

/// A wallet as it stood at one entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalletView {
    /// What holds for it now. What it was created with may have been another: settings can be changed.
    pub terms: NewWallet,
    /// Where it stands. A hold counts as pending until its end is journaled, even if it has expired before.
    pub position: Position,
    /// How many entries have changed it, its creation included.
    pub version: u64,
    /// The newest entry that changed it.
    pub last_seq: u64,
    /// The entry that created it.
    pub created_seq: u64,
    /// The time of that entry, in nanoseconds since 1970.
    pub created_at_ns: u64,
    /// What can be spent, without what has expired; `None` where there is no limit.
    pub available: Option<i128>,
    /// Everything up to this entry is in it.
    pub as_of_seq: u64,
}

#[derive(Encode, BorrowDecode)]
struct WalletViewV1<'a> {
    terms: NewWalletV1<'a>,
    position: PositionV1,
    version: u64,
    last_seq: u64,
    created_seq: u64,
    created_at_ns: u64,
    available: Option<i128>,
    as_of_seq: u64,
}

impl<'a> From<&'a WalletView> for WalletViewV1<'a> {
    fn from(view: &'a WalletView) -> Self {
        Self {
            terms: (&view.terms).into(),
            position: (&view.position).into(),
            version: view.version,
            last_seq: view.last_seq,
            created_seq: view.created_seq,
            created_at_ns: view.created_at_ns,
            available: view.available,
            as_of_seq: view.as_of_seq,
        }
    }
}

impl From<WalletViewV1<'_>> for WalletView {
    fn from(wire: WalletViewV1<'_>) -> Self {
        Self {
            terms: wire.terms.into(),
            position: wire.position.into(),
            version: wire.version,
            last_seq: wire.last_seq,
            created_seq: wire.created_seq,
            created_at_ns: wire.created_at_ns,
            available: wire.available,
            as_of_seq: wire.as_of_seq,
        }
    }
}

pub(crate) fn write_reply(buffer: &mut Vec<u8>, views: &[Option<WalletView>]) {
    put_sequence(buffer, views.iter().map(|view| view.as_ref().map(WalletViewV1::from)));
}

pub(crate) fn read_reply(body: &[u8]) -> Result<Vec<Option<WalletView>>, FrameError> {
    let mut reader = BodyReader::new(body);
    let views =
        reader.sequence(OPERATIONS_PER_REQUEST_MAX, TAG_BYTES, |view: Option<WalletViewV1<'_>>| {
            Ok(view.map(WalletView::from))
        })?;
    reader.finish()?;
    Ok(views)
}
