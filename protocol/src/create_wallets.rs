//! `create_wallets`: wallets to open; one outcome each. The wire form of a wallet's terms is also what
//! `lookup_wallets` answers with.

use crate::body::{BodyReader, LENGTH_BYTES, put, put_sequence};
use crate::frame::FrameError;
use crate::limits::OPERATIONS_PER_REQUEST_MAX;
use crate::request::RequestHead;
use bincode::{BorrowDecode, Decode, Encode};
use ledger::wallet::{OWNER_LENGTH_MAX, WALLET_METADATA_MAX};
use ledger::{AssetId, ImportId, NewWallet, OverdraftLimit, Owner, WalletFlags, WalletId};

const OWNER_BYTES_MAX: u32 = 4 + LENGTH_BYTES + OWNER_LENGTH_MAX as u32;
const OVERDRAFT_LIMIT_BYTES_MAX: u32 = 4 + 16;

/// The most bytes that a right item takes.
pub(crate) const ITEM_BYTES_MAX: u32 = 16
    + OWNER_BYTES_MAX
    + 4
    + 2
    + 2
    + OVERDRAFT_LIMIT_BYTES_MAX
    + 16
    + LENGTH_BYTES
    + WALLET_METADATA_MAX as u32
    + 16;

/// The fewest bytes that an item takes: an empty owner, no overdraft limit, no metadata.
pub(crate) const ITEM_BYTES_MIN: u32 = 16 + (4 + LENGTH_BYTES) + 4 + 2 + 2 + 4 + 16 + LENGTH_BYTES + 16;

/// The request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateWallets {
    /// Deadline and trace.
    pub head: RequestHead,
    /// What to open.
    pub wallets: Vec<NewWallet>,
}

#[derive(Encode, BorrowDecode)]
pub(crate) struct NewWalletV1<'a> {
    id: u128,
    owner: OwnerV1<'a>,
    asset: u32,
    code: u16,
    flags: u16,
    overdraft_limit: OverdraftLimitV1,
    balance_max: u128,
    metadata: &'a [u8],
    import: u128,
}

#[derive(Encode, BorrowDecode)]
pub(crate) enum OwnerV1<'a> {
    Number(u128),
    Bytes(&'a [u8]),
}

#[derive(Encode, Decode)]
pub(crate) enum OverdraftLimitV1 {
    Limited(u128),
    Unlimited,
}

impl From<OverdraftLimit> for OverdraftLimitV1 {
    fn from(limit: OverdraftLimit) -> Self {
        match limit {
            OverdraftLimit::Limited(limit) => Self::Limited(limit),
            OverdraftLimit::Unlimited => Self::Unlimited,
        }
    }
}

impl From<OverdraftLimitV1> for OverdraftLimit {
    fn from(wire: OverdraftLimitV1) -> Self {
        match wire {
            OverdraftLimitV1::Limited(limit) => Self::Limited(limit),
            OverdraftLimitV1::Unlimited => Self::Unlimited,
        }
    }
}

impl<'a> From<&'a Owner> for OwnerV1<'a> {
    fn from(owner: &'a Owner) -> Self {
        match owner {
            Owner::Number(number) => Self::Number(*number),
            Owner::Bytes(bytes) => Self::Bytes(bytes),
        }
    }
}

impl From<OwnerV1<'_>> for Owner {
    fn from(wire: OwnerV1<'_>) -> Self {
        match wire {
            OwnerV1::Number(number) => Self::Number(number),
            OwnerV1::Bytes(bytes) => Self::Bytes(bytes.into()),
        }
    }
}

impl<'a> From<&'a NewWallet> for NewWalletV1<'a> {
    fn from(wallet: &'a NewWallet) -> Self {
        Self {
            id: wallet.id.0,
            owner: (&wallet.owner).into(),
            asset: wallet.asset.0,
            code: wallet.code,
            flags: wallet.flags.bits(),
            overdraft_limit: wallet.overdraft_limit.into(),
            balance_max: wallet.balance_max,
            metadata: &wallet.metadata,
            import: wallet.import.0,
        }
    }
}

impl From<NewWalletV1<'_>> for NewWallet {
    fn from(wire: NewWalletV1<'_>) -> Self {
        Self {
            id: WalletId(wire.id),
            owner: wire.owner.into(),
            asset: AssetId(wire.asset),
            code: wire.code,
            flags: WalletFlags::from_bits(wire.flags),
            overdraft_limit: wire.overdraft_limit.into(),
            balance_max: wire.balance_max,
            metadata: wire.metadata.into(),
            import: ImportId(wire.import),
        }
    }
}

pub(crate) fn write_request(buffer: &mut Vec<u8>, head: RequestHead, wallets: &[NewWallet]) {
    put(buffer, head);
    put_sequence(buffer, wallets.iter().map(NewWalletV1::from));
}

pub(crate) fn read_request(body: &[u8]) -> Result<CreateWallets, FrameError> {
    let mut reader = BodyReader::new(body);
    let head = reader.value()?;
    let wallets = reader.sequence(OPERATIONS_PER_REQUEST_MAX, ITEM_BYTES_MIN, |item: NewWalletV1<'_>| {
        Ok(NewWallet::from(item))
    })?;
    reader.finish()?;
    Ok(CreateWallets { head, wallets })
}
