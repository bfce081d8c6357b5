//! `list_wallets`: wallets by what they are, page by page.

use crate::body::{BodyReader, LENGTH_BYTES, put, put_sequence};
use crate::create_wallets::{ITEM_BYTES_MAX, ITEM_BYTES_MIN, NewWalletV1, OwnerV1};
use crate::frame::FrameError;
use crate::limits::{PAGE_ITEMS_MAX, TAG_BYTES};
use crate::position::{POSITION_BYTES, PositionV1};
use bincode::{BorrowDecode, Encode};
use ledger::{NewWallet, Owner, Position, WalletFlags, WalletId};

const WALLET_BYTES_MIN: u32 = ITEM_BYTES_MIN + POSITION_BYTES + 4 * 8;

/// The most bytes that a wallet takes.
pub(crate) const WALLET_BYTES_MAX: u32 = ITEM_BYTES_MAX + POSITION_BYTES + 4 * 8;

/// What a page carries beside its wallets.
pub(crate) const PAGE_BYTES: u32 = 8 + LENGTH_BYTES + (TAG_BYTES + 16);

/// A page of wallets, as it is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct WalletsQuery {
    /// Only this owner's.
    pub owner: Option<Owner>,
    /// Only of this code.
    pub code: Option<u16>,
    /// Only with all of these flags, and whatever others.
    pub flags: WalletFlags,
    /// Only with greater ids: where the page before ended.
    pub after: Option<WalletId>,
    /// At most so many; 0 for as many as a page may have.
    pub limit: u32,
}

/// A page of wallets.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct WalletsPage {
    /// Everything up to this entry is in it.
    pub as_of_seq: u64,
    /// In the order of their ids.
    pub wallets: Vec<ListedWallet>,
    /// Where to go on; `None` if this was all. A page may be short, even empty, and not be the last.
    pub next: Option<WalletId>,
}

/// A wallet in a list: all that `lookup_wallets` tells of it but what is available, for which its holds are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedWallet {
    /// What holds for it.
    pub terms: NewWallet,
    /// Where it stands. A hold counts as pending until its end is journaled.
    pub position: Position,
    /// How many entries have changed it, its creation included.
    pub version: u64,
    /// The newest entry that changed it.
    pub last_seq: u64,
    /// The entry that created it.
    pub created_seq: u64,
    /// The time of that entry, in nanoseconds since 1970.
    pub created_at_ns: u64,
}

#[derive(Encode, BorrowDecode)]
struct WalletsQueryV1<'a> {
    owner: Option<OwnerV1<'a>>,
    code: Option<u16>,
    flags: u16,
    after: Option<u128>,
    limit: u32,
}

#[derive(Encode, BorrowDecode)]
struct ListedWalletV1<'a> {
    terms: NewWalletV1<'a>,
    position: PositionV1,
    version: u64,
    last_seq: u64,
    created_seq: u64,
    created_at_ns: u64,
}

impl<'a> From<&'a ListedWallet> for ListedWalletV1<'a> {
    fn from(wallet: &'a ListedWallet) -> Self {
        let ListedWallet { terms, position, version, last_seq, created_seq, created_at_ns } = wallet;
        Self {
            terms: terms.into(),
            position: position.into(),
            version: *version,
            last_seq: *last_seq,
            created_seq: *created_seq,
            created_at_ns: *created_at_ns,
        }
    }
}

impl From<ListedWalletV1<'_>> for ListedWallet {
    fn from(wire: ListedWalletV1<'_>) -> Self {
        let ListedWalletV1 { terms, position, version, last_seq, created_seq, created_at_ns } = wire;
        Self { terms: terms.into(), position: position.into(), version, last_seq, created_seq, created_at_ns }
    }
}

pub(crate) fn put_what(buffer: &mut Vec<u8>, query: &WalletsQuery) {
    put(
        buffer,
        WalletsQueryV1 {
            owner: query.owner.as_ref().map(OwnerV1::from),
            code: query.code,
            flags: query.flags.bits(),
            after: query.after.map(|id| id.0),
            limit: query.limit,
        },
    );
}

pub(crate) fn what(reader: &mut BodyReader<'_>) -> Result<WalletsQuery, FrameError> {
    let wire: WalletsQueryV1<'_> = reader.value()?;
    Ok(WalletsQuery {
        owner: wire.owner.map(Owner::from),
        code: wire.code,
        flags: WalletFlags::from_bits(wire.flags),
        after: wire.after.map(WalletId),
        limit: wire.limit,
    })
}

pub(crate) fn put_answer(buffer: &mut Vec<u8>, page: &WalletsPage) {
    put(buffer, page.as_of_seq);
    put_sequence(buffer, page.wallets.iter().map(ListedWalletV1::from));
    put(buffer, page.next.map(|id| id.0));
}

pub(crate) fn answer(reader: &mut BodyReader<'_>) -> Result<WalletsPage, FrameError> {
    Ok(WalletsPage {
        as_of_seq: reader.value()?,
        wallets: reader
            .sequence(PAGE_ITEMS_MAX, WALLET_BYTES_MIN, |wallet: ListedWalletV1<'_>| Ok(wallet.into()))?,
        next: reader.value::<Option<u128>>()?.map(WalletId),
    })
}
