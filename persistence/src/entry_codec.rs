//! How an entry is written into the journal: compact bincode (little-endian, variable-width integers).
//!
//! The structs here mirror those of `ledger` and are frozen: an enum only ever grows at its end, and any other change
//! is a new record version. The entry's sequence number and timestamp stand beside it, in the record.

use crate::error::PersistenceError;
use bincode::config::{Configuration, LittleEndian, Varint};
use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::enc::write::Writer;
use bincode::error::{DecodeError, EncodeError};
use ledger::order::LEGS_MAX;
use ledger::{
    Asset, AssetCode, AssetId, Entry, HoldTerms, ImportId, Leg, Memo, NewWallet, Order, OverdraftLimit,
    Owner, Pending, Post, Refusal, RefusalDetail, Reversal, ReversedFacts, Setting, Side, Status,
    Transaction, Transfer, TransferId, Void, WalletChange, WalletFlags, WalletId,
};

pub(crate) const CONFIGURATION: Configuration<LittleEndian, Varint> = bincode::config::standard();

#[derive(bincode::Encode, bincode::BorrowDecode)]
enum StoredEntry<'a> {
    AssetCreated {
        id: u32,
        code: &'a str,
        scale: u8,
    },
    WalletCreated(StoredWallet<'a>),
    Transferred(StoredTransfer<'a>),
    TransferRefused {
        transfer: StoredTransfer<'a>,
        status: u16,
        detail: StoredDetail,
    },
    Pended(StoredPending<'a>),
    Posted {
        post: StoredPost<'a>,
        hold: StoredHold,
    },
    Voided {
        void: StoredVoid<'a>,
        hold: StoredHold,
    },
    Expired {
        pending_id: u128,
        hold: StoredHold,
    },
    Reversed {
        reversal: StoredReversal<'a>,
        legs: StoredLegs,
        of_transaction: bool,
        amount: u128,
        original_amount: u128,
    },
    TransactionDone(StoredTransaction<'a>),
    OrderRefused {
        order: StoredOrder<'a>,
        status: u16,
        detail: StoredDetail,
    },
    WalletChanged {
        wallet: u128,
        setting: StoredSetting<'a>,
    },
    ImportClosed {
        import: u128,
    },
}

#[derive(bincode::Encode, bincode::BorrowDecode)]
enum StoredOrder<'a> {
    Transfer(StoredTransfer<'a>),
    Pending(StoredPending<'a>),
    Post(StoredPost<'a>),
    Void(StoredVoid<'a>),
    Reversal(StoredReversal<'a>),
    Transaction(StoredTransaction<'a>),
}

#[derive(bincode::Encode, bincode::BorrowDecode)]
struct StoredPending<'a> {
    transfer: StoredTransfer<'a>,
    timeout_s: u32,
}

#[derive(bincode::Encode, bincode::BorrowDecode)]
struct StoredMemo<'a> {
    group_id: u128,
    code: u16,
    effective_at_ns: u64,
    metadata: &'a [u8],
}

#[derive(bincode::Encode, bincode::BorrowDecode)]
struct StoredPost<'a> {
    id: u128,
    pending_id: u128,
    amount: u128,
    memo: StoredMemo<'a>,
}

#[derive(bincode::Encode, bincode::BorrowDecode)]
struct StoredVoid<'a> {
    id: u128,
    pending_id: u128,
    memo: StoredMemo<'a>,
}

#[derive(bincode::Encode, bincode::BorrowDecode)]
struct StoredReversal<'a> {
    id: u128,
    reverses_id: u128,
    amount: u128,
    memo: StoredMemo<'a>,
}

#[derive(bincode::Encode, bincode::BorrowDecode)]
struct StoredTransaction<'a> {
    id: u128,
    legs: StoredLegs,
    memo: StoredMemo<'a>,
}

#[derive(bincode::Encode, bincode::Decode)]
struct StoredLeg {
    wallet: u128,
    is_credit: bool,
    asset: u32,
    amount: u128,
}

/// Legs, written as any list: how many, then each. Read, the number is checked before anything is made of it.
struct StoredLegs(Vec<StoredLeg>);

impl bincode::Encode for StoredLegs {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        self.0.encode(encoder)
    }
}

impl<Context> bincode::Decode<Context> for StoredLegs {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let count = u64::decode(decoder)?;
        if count > LEGS_MAX as u64 {
            return Err(DecodeError::OtherString(format!("{count} legs are more than {LEGS_MAX}")));
        }
        (0..count).map(|_| StoredLeg::decode(decoder)).collect::<Result<_, _>>().map(Self)
    }
}

bincode::impl_borrow_decode!(StoredLegs);

#[derive(bincode::Encode, bincode::Decode)]
struct StoredHold {
    debit_wallet: u128,
    credit_wallet: u128,
    asset: u32,
    amount: u128,
    expires_at_ns: u64,
}

#[derive(bincode::Encode, bincode::BorrowDecode)]
enum StoredSetting<'a> {
    Limits { overdraft_limit: Option<u128>, balance_max: u128 },
    Flags { set: u16, clear: u16 },
    Metadata(&'a [u8]),
}

/// What a wallet is to be: in the journal as it was created, in the books as it is.
#[derive(bincode::Encode, bincode::BorrowDecode)]
pub(crate) struct StoredWallet<'a> {
    id: u128,
    owner: StoredOwner<'a>,
    asset: u32,
    code: u16,
    flags: u16,
    /// `None` is unlimited.
    overdraft_limit: Option<u128>,
    balance_max: u128,
    metadata: &'a [u8],
    /// 0 is none.
    import: u128,
}

#[derive(bincode::Encode, bincode::BorrowDecode)]
enum StoredOwner<'a> {
    Number(u128),
    Bytes(&'a [u8]),
}

#[derive(bincode::Encode, bincode::BorrowDecode)]
struct StoredTransfer<'a> {
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

#[derive(bincode::Encode, bincode::Decode)]
enum StoredDetail {
    None,
    InsufficientFunds { available: u128, required: u128 },
    LimitExceeded { limit: u128 },
    AmountExceeded { left: u128 },
    LegRefused { index: u8, status: u16 },
}

/// Appends an asset's creation.
pub fn encode_asset_created(asset: &Asset, out: &mut Vec<u8>) {
    encode(&StoredEntry::AssetCreated { id: asset.id.0, code: asset.code.as_str(), scale: asset.scale }, out);
}

/// Appends a wallet's creation.
pub fn encode_wallet_created(wallet: &NewWallet, out: &mut Vec<u8>) {
    encode(&StoredEntry::WalletCreated(stored_wallet(wallet)), out);
}

pub(crate) fn stored_wallet(wallet: &NewWallet) -> StoredWallet<'_> {
    StoredWallet {
        id: wallet.id.0,
        owner: match &wallet.owner {
            Owner::Number(number) => StoredOwner::Number(*number),
            Owner::Bytes(bytes) => StoredOwner::Bytes(bytes),
        },
        asset: wallet.asset.0,
        code: wallet.code,
        flags: wallet.flags.bits(),
        overdraft_limit: stored_overdraft_limit(wallet.overdraft_limit),
        balance_max: wallet.balance_max,
        metadata: &wallet.metadata,
        import: wallet.import.0,
    }
}

pub(crate) fn loaded_wallet(stored: &StoredWallet<'_>) -> NewWallet {
    NewWallet {
        id: WalletId(stored.id),
        owner: match stored.owner {
            StoredOwner::Number(number) => Owner::Number(number),
            StoredOwner::Bytes(bytes) => Owner::Bytes(bytes.into()),
        },
        asset: AssetId(stored.asset),
        code: stored.code,
        flags: WalletFlags::from_bits(stored.flags),
        overdraft_limit: loaded_overdraft_limit(stored.overdraft_limit),
        balance_max: stored.balance_max,
        metadata: stored.metadata.into(),
        import: ImportId(stored.import),
    }
}

/// Appends the end of an import.
pub fn encode_import_closed(import: ImportId, out: &mut Vec<u8>) {
    encode(&StoredEntry::ImportClosed { import: import.0 }, out);
}

/// Appends a transfer that was done.
pub fn encode_transferred(transfer: &Transfer, out: &mut Vec<u8>) {
    encode(&StoredEntry::Transferred(stored_transfer(transfer)), out);
}

/// Appends a transfer that was refused for good.
pub fn encode_transfer_refused(transfer: &Transfer, refusal: &Refusal, out: &mut Vec<u8>) {
    let (transfer, detail) = (stored_transfer(transfer), stored_detail(refusal.detail));
    encode(&StoredEntry::TransferRefused { transfer, status: refusal.status.number(), detail }, out);
}

/// Appends any entry.
pub fn encode_entry(entry: &Entry, out: &mut Vec<u8>) {
    let stored = match entry {
        Entry::AssetCreated(asset) => return encode_asset_created(asset, out),
        Entry::WalletCreated(wallet) => return encode_wallet_created(wallet, out),
        Entry::ImportClosed(import) => return encode_import_closed(*import, out),
        Entry::Transferred(transfer) => return encode_transferred(transfer, out),
        Entry::TransferRefused { transfer, refusal } => {
            return encode_transfer_refused(transfer, refusal, out);
        }
        Entry::Pended(pending) => StoredEntry::Pended(stored_pending(pending)),
        Entry::Posted { post, hold } => {
            StoredEntry::Posted { post: stored_post(post), hold: stored_hold(hold) }
        }
        Entry::Voided { void, hold } => {
            StoredEntry::Voided { void: stored_void(void), hold: stored_hold(hold) }
        }
        Entry::Expired { pending_id, hold } => {
            StoredEntry::Expired { pending_id: pending_id.0, hold: stored_hold(hold) }
        }
        Entry::Reversed { reversal, facts } => StoredEntry::Reversed {
            reversal: stored_reversal(reversal),
            legs: stored_legs(&facts.legs),
            of_transaction: facts.of_transaction,
            amount: facts.amount,
            original_amount: facts.original_amount,
        },
        Entry::TransactionDone(transaction) => StoredEntry::TransactionDone(stored_transaction(transaction)),
        Entry::OrderRefused { order, refusal } => StoredEntry::OrderRefused {
            order: stored_order(order),
            status: refusal.status.number(),
            detail: stored_detail(refusal.detail),
        },
        Entry::WalletChanged(change) => StoredEntry::WalletChanged {
            wallet: change.wallet.0,
            setting: match &change.setting {
                Setting::Limits { overdraft_limit, balance_max } => StoredSetting::Limits {
                    overdraft_limit: stored_overdraft_limit(*overdraft_limit),
                    balance_max: *balance_max,
                },
                Setting::Flags { set, clear } => {
                    StoredSetting::Flags { set: set.bits(), clear: clear.bits() }
                }
                Setting::Metadata(metadata) => StoredSetting::Metadata(metadata),
            },
        },
    };
    encode(&stored, out);
}

/// Whether a payload is that of a wallet's creation, by its first byte.
pub(crate) fn creates_wallet(payload: &[u8]) -> bool {
    payload.first() == Some(&1)
}

/// Reads the payload of the entry `seq`.
pub fn decode_entry(seq: u64, payload: &[u8]) -> Result<Entry, PersistenceError> {
    let unreadable = |reason: String| PersistenceError::UnreadableEntry { seq, reason };
    let (stored, length) = bincode::borrow_decode_from_slice::<StoredEntry<'_>, _>(payload, CONFIGURATION)
        .map_err(|error| unreadable(error.to_string()))?;
    if length != payload.len() {
        return Err(unreadable(format!("{} bytes follow its end", payload.len() - length)));
    }
    Ok(match stored {
        StoredEntry::AssetCreated { id, code, scale } => {
            let code = AssetCode::new(code).ok_or_else(|| unreadable("its asset code is none".to_owned()))?;
            Entry::AssetCreated(Asset { id: AssetId(id), code, scale })
        }
        StoredEntry::WalletCreated(wallet) => Entry::WalletCreated(loaded_wallet(&wallet)),
        StoredEntry::Transferred(transfer) => Entry::Transferred(loaded_transfer(&transfer)),
        StoredEntry::TransferRefused { transfer, status, detail } => Entry::TransferRefused {
            transfer: loaded_transfer(&transfer),
            refusal: loaded_refusal(status, &detail).map_err(unreadable)?,
        },
        StoredEntry::Pended(pending) => Entry::Pended(loaded_pending(&pending)),
        StoredEntry::Posted { post, hold } => {
            Entry::Posted { post: loaded_post(&post), hold: loaded_hold(&hold) }
        }
        StoredEntry::Voided { void, hold } => {
            Entry::Voided { void: loaded_void(&void), hold: loaded_hold(&hold) }
        }
        StoredEntry::Expired { pending_id, hold } => {
            Entry::Expired { pending_id: TransferId(pending_id), hold: loaded_hold(&hold) }
        }
        StoredEntry::Reversed { reversal, legs, of_transaction, amount, original_amount } => {
            let legs = loaded_legs(&legs);
            let facts = ReversedFacts { legs, of_transaction, amount, original_amount };
            Entry::Reversed { reversal: loaded_reversal(&reversal), facts }
        }
        StoredEntry::TransactionDone(transaction) => Entry::TransactionDone(loaded_transaction(&transaction)),
        StoredEntry::OrderRefused { order, status, detail } => Entry::OrderRefused {
            order: loaded_order(&order),
            refusal: loaded_refusal(status, &detail).map_err(unreadable)?,
        },
        StoredEntry::WalletChanged { wallet, setting } => Entry::WalletChanged(WalletChange {
            wallet: WalletId(wallet),
            setting: match setting {
                StoredSetting::Limits { overdraft_limit, balance_max } => {
                    Setting::Limits { overdraft_limit: loaded_overdraft_limit(overdraft_limit), balance_max }
                }
                StoredSetting::Flags { set, clear } => {
                    Setting::Flags { set: WalletFlags::from_bits(set), clear: WalletFlags::from_bits(clear) }
                }
                StoredSetting::Metadata(metadata) => Setting::Metadata(metadata.into()),
            },
        }),
        StoredEntry::ImportClosed { import } => Entry::ImportClosed(ImportId(import)),
    })
}

fn stored_overdraft_limit(limit: OverdraftLimit) -> Option<u128> {
    match limit {
        OverdraftLimit::Limited(limit) => Some(limit),
        OverdraftLimit::Unlimited => None,
    }
}

fn loaded_overdraft_limit(stored: Option<u128>) -> OverdraftLimit {
    stored.map_or(OverdraftLimit::Unlimited, OverdraftLimit::Limited)
}

fn stored_detail(detail: RefusalDetail) -> StoredDetail {
    match detail {
        RefusalDetail::InsufficientFunds { available, required } => {
            StoredDetail::InsufficientFunds { available, required }
        }
        RefusalDetail::LimitExceeded { limit } => StoredDetail::LimitExceeded { limit },
        RefusalDetail::AmountExceeded { left } => StoredDetail::AmountExceeded { left },
        RefusalDetail::LegRefused { index, status } => {
            StoredDetail::LegRefused { index, status: status.number() }
        }
        RefusalDetail::None | RefusalDetail::AlreadyRefused { .. } => StoredDetail::None,
    }
}

fn loaded_refusal(status: u16, detail: &StoredDetail) -> Result<Refusal, String> {
    let known = |number| {
        Status::from_number(number).ok_or_else(|| format!("status {number} is not known to this version"))
    };
    let detail = match *detail {
        StoredDetail::None => RefusalDetail::None,
        StoredDetail::InsufficientFunds { available, required } => {
            RefusalDetail::InsufficientFunds { available, required }
        }
        StoredDetail::LimitExceeded { limit } => RefusalDetail::LimitExceeded { limit },
        StoredDetail::AmountExceeded { left } => RefusalDetail::AmountExceeded { left },
        StoredDetail::LegRefused { index, status } => {
            RefusalDetail::LegRefused { index, status: known(status)? }
        }
    };
    Ok(Refusal { status: known(status)?, detail })
}

fn stored_memo(memo: &Memo) -> StoredMemo<'_> {
    StoredMemo {
        group_id: memo.group_id,
        code: memo.code,
        effective_at_ns: memo.effective_at_ns,
        metadata: &memo.metadata,
    }
}

fn loaded_memo(stored: &StoredMemo<'_>) -> Memo {
    Memo {
        group_id: stored.group_id,
        code: stored.code,
        effective_at_ns: stored.effective_at_ns,
        metadata: stored.metadata.into(),
    }
}

fn stored_hold(hold: &HoldTerms) -> StoredHold {
    StoredHold {
        debit_wallet: hold.debit_wallet.0,
        credit_wallet: hold.credit_wallet.0,
        asset: hold.asset.0,
        amount: hold.amount,
        expires_at_ns: hold.expires_at_ns,
    }
}

fn loaded_hold(stored: &StoredHold) -> HoldTerms {
    HoldTerms {
        debit_wallet: WalletId(stored.debit_wallet),
        credit_wallet: WalletId(stored.credit_wallet),
        asset: AssetId(stored.asset),
        amount: stored.amount,
        expires_at_ns: stored.expires_at_ns,
    }
}

fn stored_legs(legs: &[Leg]) -> StoredLegs {
    let stored = |leg: &Leg| StoredLeg {
        wallet: leg.wallet.0,
        is_credit: leg.side == Side::Credit,
        asset: leg.asset.0,
        amount: leg.amount,
    };
    StoredLegs(legs.iter().map(stored).collect())
}

fn loaded_legs(stored: &StoredLegs) -> Box<[Leg]> {
    let loaded = |leg: &StoredLeg| Leg {
        wallet: WalletId(leg.wallet),
        side: if leg.is_credit { Side::Credit } else { Side::Debit },
        asset: AssetId(leg.asset),
        amount: leg.amount,
    };
    stored.0.iter().map(loaded).collect()
}

fn stored_pending(pending: &Pending) -> StoredPending<'_> {
    StoredPending { transfer: stored_transfer(&pending.transfer), timeout_s: pending.timeout_s }
}

fn loaded_pending(stored: &StoredPending<'_>) -> Pending {
    Pending { transfer: loaded_transfer(&stored.transfer), timeout_s: stored.timeout_s }
}

fn stored_post(post: &Post) -> StoredPost<'_> {
    let Post { id, pending_id, amount, memo } = post;
    StoredPost { id: id.0, pending_id: pending_id.0, amount: *amount, memo: stored_memo(memo) }
}

fn loaded_post(stored: &StoredPost<'_>) -> Post {
    Post {
        id: TransferId(stored.id),
        pending_id: TransferId(stored.pending_id),
        amount: stored.amount,
        memo: loaded_memo(&stored.memo),
    }
}

fn stored_void(void: &Void) -> StoredVoid<'_> {
    StoredVoid { id: void.id.0, pending_id: void.pending_id.0, memo: stored_memo(&void.memo) }
}

fn loaded_void(stored: &StoredVoid<'_>) -> Void {
    Void {
        id: TransferId(stored.id),
        pending_id: TransferId(stored.pending_id),
        memo: loaded_memo(&stored.memo),
    }
}

fn stored_reversal(reversal: &Reversal) -> StoredReversal<'_> {
    let Reversal { id, reverses_id, amount, memo } = reversal;
    StoredReversal { id: id.0, reverses_id: reverses_id.0, amount: *amount, memo: stored_memo(memo) }
}

fn loaded_reversal(stored: &StoredReversal<'_>) -> Reversal {
    Reversal {
        id: TransferId(stored.id),
        reverses_id: TransferId(stored.reverses_id),
        amount: stored.amount,
        memo: loaded_memo(&stored.memo),
    }
}

fn stored_transaction(transaction: &Transaction) -> StoredTransaction<'_> {
    StoredTransaction {
        id: transaction.id.0,
        legs: stored_legs(&transaction.legs),
        memo: stored_memo(&transaction.memo),
    }
}

fn loaded_transaction(stored: &StoredTransaction<'_>) -> Transaction {
    Transaction {
        id: TransferId(stored.id),
        legs: loaded_legs(&stored.legs),
        memo: loaded_memo(&stored.memo),
    }
}

fn stored_order(order: &Order) -> StoredOrder<'_> {
    match order {
        Order::Transfer(transfer) => StoredOrder::Transfer(stored_transfer(transfer)),
        Order::Pending(pending) => StoredOrder::Pending(stored_pending(pending)),
        Order::Post(post) => StoredOrder::Post(stored_post(post)),
        Order::Void(void) => StoredOrder::Void(stored_void(void)),
        Order::Reversal(reversal) => StoredOrder::Reversal(stored_reversal(reversal)),
        Order::Transaction(transaction) => StoredOrder::Transaction(stored_transaction(transaction)),
    }
}

fn loaded_order(stored: &StoredOrder<'_>) -> Order {
    match stored {
        StoredOrder::Transfer(transfer) => Order::Transfer(loaded_transfer(transfer)),
        StoredOrder::Pending(pending) => Order::Pending(loaded_pending(pending)),
        StoredOrder::Post(post) => Order::Post(loaded_post(post)),
        StoredOrder::Void(void) => Order::Void(loaded_void(void)),
        StoredOrder::Reversal(reversal) => Order::Reversal(loaded_reversal(reversal)),
        StoredOrder::Transaction(transaction) => Order::Transaction(loaded_transaction(transaction)),
    }
}

fn stored_transfer(transfer: &Transfer) -> StoredTransfer<'_> {
    StoredTransfer {
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

fn loaded_transfer(stored: &StoredTransfer<'_>) -> Transfer {
    Transfer {
        id: TransferId(stored.id),
        debit_wallet: WalletId(stored.debit_wallet),
        credit_wallet: WalletId(stored.credit_wallet),
        asset: AssetId(stored.asset),
        amount: stored.amount,
        group_id: stored.group_id,
        code: stored.code,
        effective_at_ns: stored.effective_at_ns,
        metadata: stored.metadata.into(),
    }
}

/// Appends to a buffer that its owner reuses.
struct Appender<'a>(&'a mut Vec<u8>);

impl Writer for Appender<'_> {
    #[inline]
    fn write(&mut self, bytes: &[u8]) -> Result<(), EncodeError> {
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

fn encode(entry: &StoredEntry<'_>, out: &mut Vec<u8>) {
    bincode::encode_into_writer(entry, Appender(out), CONFIGURATION)
        .expect("writing to memory does not fail, and no type here refuses a value");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_transfer() -> impl Strategy<Value = Transfer> {
        let ids = (any::<u128>(), any::<u128>(), any::<u128>(), any::<u32>());
        let rest = (
            any::<u128>(),
            any::<u128>(),
            any::<u16>(),
            any::<u64>(),
            prop::collection::vec(any::<u8>(), 0..=256),
        );
        (ids, rest).prop_map(
            |((id, debit, credit, asset), (amount, group_id, code, effective_at_ns, metadata))| Transfer {
                id: TransferId(id),
                debit_wallet: WalletId(debit),
                credit_wallet: WalletId(credit),
                asset: AssetId(asset),
                amount,
                group_id,
                code,
                effective_at_ns,
                metadata: metadata.into(),
            },
        )
    }

    fn any_wallet() -> impl Strategy<Value = NewWallet> {
        let owner = prop_oneof![
            any::<u128>().prop_map(Owner::Number),
            prop::collection::vec(any::<u8>(), 0..=64).prop_map(|bytes| Owner::Bytes(bytes.into())),
        ];
        let limit =
            prop_oneof![any::<u128>().prop_map(OverdraftLimit::Limited), Just(OverdraftLimit::Unlimited)];
        let metadata = prop::collection::vec(any::<u8>(), 0..=1024);
        let ids = (any::<u128>(), any::<u128>());
        (ids, owner, any::<u32>(), any::<u16>(), 0_u16..16, limit, any::<u128>(), metadata).prop_map(
            |((id, import), owner, asset, code, flags, overdraft_limit, balance_max, metadata)| NewWallet {
                id: WalletId(id),
                owner,
                asset: AssetId(asset),
                code,
                flags: WalletFlags::from_bits(flags),
                overdraft_limit,
                balance_max,
                metadata: metadata.into(),
                import: ImportId(import),
            },
        )
    }

    fn any_memo() -> impl Strategy<Value = Memo> {
        let metadata = prop::collection::vec(any::<u8>(), 0..=256);
        (any::<u128>(), any::<u16>(), any::<u64>(), metadata).prop_map(
            |(group_id, code, effective_at_ns, metadata)| Memo {
                group_id,
                code,
                effective_at_ns,
                metadata: metadata.into(),
            },
        )
    }

    fn any_legs() -> impl Strategy<Value = Box<[Leg]>> {
        let leg = (any::<u128>(), any::<bool>(), any::<u32>(), any::<u128>()).prop_map(
            |(wallet, is_credit, asset, amount)| Leg {
                wallet: WalletId(wallet),
                side: if is_credit { Side::Credit } else { Side::Debit },
                asset: AssetId(asset),
                amount,
            },
        );
        prop_oneof![
            4 => prop::collection::vec(leg.clone(), 0..6),
            1 => prop::collection::vec(leg, LEGS_MAX..=LEGS_MAX),
        ]
        .prop_map(Vec::into_boxed_slice)
    }

    fn any_post() -> impl Strategy<Value = Post> {
        (any::<u128>(), any::<u128>(), any::<u128>(), any_memo()).prop_map(
            |(id, pending_id, amount, memo)| Post {
                id: TransferId(id),
                pending_id: TransferId(pending_id),
                amount,
                memo,
            },
        )
    }

    fn any_void() -> impl Strategy<Value = Void> {
        any_post().prop_map(|Post { id, pending_id, memo, .. }| Void { id, pending_id, memo })
    }

    fn any_reversal() -> impl Strategy<Value = Reversal> {
        any_post().prop_map(|Post { id, pending_id, amount, memo }| Reversal {
            id,
            reverses_id: pending_id,
            amount,
            memo,
        })
    }

    fn any_transaction() -> impl Strategy<Value = Transaction> {
        (any::<u128>(), any_legs(), any_memo()).prop_map(|(id, legs, memo)| Transaction {
            id: TransferId(id),
            legs,
            memo,
        })
    }

    fn any_pending() -> impl Strategy<Value = Pending> {
        (any_transfer(), any::<u32>()).prop_map(|(transfer, timeout_s)| Pending { transfer, timeout_s })
    }

    fn any_order() -> impl Strategy<Value = Order> {
        prop_oneof![
            any_transfer().prop_map(Order::Transfer),
            any_pending().prop_map(Order::Pending),
            any_post().prop_map(Order::Post),
            any_void().prop_map(Order::Void),
            any_reversal().prop_map(Order::Reversal),
            any_transaction().prop_map(Order::Transaction),
        ]
    }

    fn any_hold() -> impl Strategy<Value = HoldTerms> {
        (any::<u128>(), any::<u128>(), any::<u32>(), any::<u128>(), any::<u64>()).prop_map(
            |(debit, credit, asset, amount, expires_at_ns)| HoldTerms {
                debit_wallet: WalletId(debit),
                credit_wallet: WalletId(credit),
                asset: AssetId(asset),
                amount,
                expires_at_ns,
            },
        )
    }

    fn any_reversed() -> impl Strategy<Value = Entry> {
        (any_reversal(), any_legs(), any::<bool>(), any::<u128>(), any::<u128>()).prop_map(
            |(reversal, legs, of_transaction, amount, original_amount)| {
                let facts = ReversedFacts { legs, of_transaction, amount, original_amount };
                Entry::Reversed { reversal, facts }
            },
        )
    }

    fn any_change() -> impl Strategy<Value = WalletChange> {
        let limit =
            prop_oneof![any::<u128>().prop_map(OverdraftLimit::Limited), Just(OverdraftLimit::Unlimited)];
        let setting = prop_oneof![
            (limit, any::<u128>())
                .prop_map(|(overdraft_limit, balance_max)| Setting::Limits { overdraft_limit, balance_max }),
            (any::<u16>(), any::<u16>()).prop_map(|(set, clear)| Setting::Flags {
                set: WalletFlags::from_bits(set),
                clear: WalletFlags::from_bits(clear)
            }),
            prop::collection::vec(any::<u8>(), 0..=1024).prop_map(|bytes| Setting::Metadata(bytes.into())),
        ];
        (any::<u128>(), setting)
            .prop_map(|(wallet, setting)| WalletChange { wallet: WalletId(wallet), setting })
    }

    fn any_status() -> impl Strategy<Value = Status> {
        prop::sample::select(Status::ALL)
    }

    fn any_refusal() -> impl Strategy<Value = Refusal> {
        let detail = prop_oneof![
            Just(RefusalDetail::None),
            (any::<u128>(), any::<u128>()).prop_map(|(available, required)| {
                RefusalDetail::InsufficientFunds { available, required }
            }),
            any::<u128>().prop_map(|limit| RefusalDetail::LimitExceeded { limit }),
            any::<u128>().prop_map(|left| RefusalDetail::AmountExceeded { left }),
            (any::<u8>(), any_status())
                .prop_map(|(index, status)| RefusalDetail::LegRefused { index, status }),
        ];
        (any_status(), detail).prop_map(|(status, detail)| Refusal { status, detail })
    }

    fn any_entry() -> impl Strategy<Value = Entry> {
        prop_oneof![
            (any::<u32>(), "[A-Z0-9_.-]{1,16}", any::<u8>()).prop_map(|(id, code, scale)| {
                Entry::AssetCreated(Asset { id: AssetId(id), code: AssetCode::new(&code).unwrap(), scale })
            }),
            any_wallet().prop_map(Entry::WalletCreated),
            any_transfer().prop_map(Entry::Transferred),
            (any_transfer(), any_refusal())
                .prop_map(|(transfer, refusal)| Entry::TransferRefused { transfer, refusal }),
            any_pending().prop_map(Entry::Pended),
            (any_post(), any_hold()).prop_map(|(post, hold)| Entry::Posted { post, hold }),
            (any_void(), any_hold()).prop_map(|(void, hold)| Entry::Voided { void, hold }),
            (any::<u128>(), any_hold())
                .prop_map(|(id, hold)| Entry::Expired { pending_id: TransferId(id), hold }),
            any_reversed(),
            any_transaction().prop_map(Entry::TransactionDone),
            (any_order(), any_refusal()).prop_map(|(order, refusal)| Entry::OrderRefused { order, refusal }),
            any_change().prop_map(Entry::WalletChanged),
            any::<u128>().prop_map(|import| Entry::ImportClosed(ImportId(import))),
        ]
    }

    proptest! {
        #[test]
        fn every_entry_is_read_as_it_was_written_and_refused_when_cut_or_followed(entry in any_entry()) {
            let mut payload = Vec::new();
            encode_entry(&entry, &mut payload);
            prop_assert_eq!(decode_entry(1, &payload).unwrap(), entry);
            for length in 0..payload.len() {
                prop_assert!(decode_entry(1, &payload[..length]).is_err());
            }
            payload.push(0);
            prop_assert!(decode_entry(1, &payload).is_err());
        }

        /// Whatever the bytes say: a fault or an entry, and no more memory than they are worth.
        #[test]
        fn bytes_of_chance_are_an_entry_or_a_fault(
            kind in 0_u8..16,
            mut bytes in prop::collection::vec(prop_oneof![Just(0xfd_u8), Just(0xff), any::<u8>()], 0..200),
        ) {
            bytes.insert(0, kind);
            if let Ok(entry) = decode_entry(1, &bytes) {
                let mut again = Vec::new();
                encode_entry(&entry, &mut again);
                prop_assert_eq!(decode_entry(1, &again).unwrap(), entry);
            }
        }
    }

    /// The number of legs is where an entry says how much memory it needs: it is believed up to 64.
    #[test]
    fn more_than_64_legs_are_refused_before_room_is_made_for_them() {
        let leg = Leg { wallet: WalletId(1), side: Side::Debit, asset: AssetId(1), amount: 1 };
        let with = |legs: usize| {
            let legs: Box<[Leg]> = vec![leg; legs].into();
            let reversal =
                Reversal { id: TransferId(1), reverses_id: TransferId(2), amount: 0, memo: Memo::default() };
            let transaction = Transaction { id: TransferId(1), legs: legs.clone(), memo: Memo::default() };
            let facts = ReversedFacts { legs, of_transaction: true, amount: 1, original_amount: 1 };
            let order = Order::Transaction(transaction.clone());
            let refusal = Refusal::from(Status::LegRefused);
            [
                Entry::TransactionDone(transaction),
                Entry::Reversed { reversal, facts },
                Entry::OrderRefused { order, refusal },
            ]
        };
        let encoded = |entry: &Entry| {
            let mut payload = Vec::new();
            encode_entry(entry, &mut payload);
            payload
        };
        for entry in with(LEGS_MAX) {
            assert_eq!(decode_entry(1, &encoded(&entry)).unwrap(), entry);
        }
        for entry in with(LEGS_MAX + 1) {
            let error = decode_entry(1, &encoded(&entry)).unwrap_err().to_string();
            assert!(error.contains("65 legs are more than 64"), "{error}");
        }
        // A number of legs and nothing behind it.
        for count in [65, 1 << 20, u64::MAX >> 6, u64::MAX] {
            let mut payload = vec![9, 1, 0xfd];
            payload.extend(count.to_le_bytes());
            let error = decode_entry(1, &payload).unwrap_err().to_string();
            assert!(error.contains(&format!("{count} legs are more than 64")), "{error}");
        }
        let mut payload = vec![2, 1, 1, 1, 1, 1, 1, 1, 1, 0xfd];
        payload.extend(u64::MAX.to_le_bytes());
        assert!(decode_entry(1, &payload).is_err(), "metadata of which there is none");
    }

    #[test]
    fn a_status_that_this_version_does_not_know_is_a_fault() {
        let refused = |status: u16, leg: u16| {
            let mut payload = vec![10, 3, 1, 2, 0, 0, 0, 0, 0xfb];
            payload.extend(status.to_le_bytes());
            payload.extend([4, 5, 0xfb]);
            payload.extend(leg.to_le_bytes());
            decode_entry(1, &payload)
        };
        let entry = refused(Status::LegRefused.number(), Status::InsufficientFunds.number());
        let void = Void { id: TransferId(1), pending_id: TransferId(2), memo: Memo::default() };
        let detail = RefusalDetail::LegRefused { index: 5, status: Status::InsufficientFunds };
        let refusal = Refusal { status: Status::LegRefused, detail };
        assert_eq!(entry.unwrap(), Entry::OrderRefused { order: Order::Void(void), refusal });
        for (status, leg) in [(999, Status::InsufficientFunds.number()), (Status::LegRefused.number(), 999)] {
            let error = refused(status, leg).unwrap_err().to_string();
            assert!(error.contains("status 999 is not known to this version"), "{error}");
        }
    }

    #[test]
    fn the_bytes_of_each_entry_are_those_of_the_first_release() {
        let check = |entry: &Entry, expected: &str| {
            let mut payload = Vec::new();
            encode_entry(entry, &mut payload);
            let hex = payload.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
            assert_eq!(hex, expected, "{entry:?}");
        };
        let transfer = Transfer {
            id: TransferId(1),
            debit_wallet: WalletId(2),
            credit_wallet: WalletId(300),
            asset: AssetId(4),
            amount: 5,
            group_id: 6,
            code: 7,
            effective_at_ns: 8,
            metadata: [9].into(),
        };
        check(
            &Entry::AssetCreated(Asset { id: AssetId(1), code: AssetCode::new("USD").unwrap(), scale: 2 }),
            "00010355534402",
        );
        check(
            &Entry::WalletCreated(NewWallet {
                id: WalletId(1),
                owner: Owner::Bytes([0xaa].into()),
                asset: AssetId(3),
                code: 4,
                flags: WalletFlags::SYSTEM,
                overdraft_limit: OverdraftLimit::Limited(5),
                balance_max: 6,
                metadata: [7].into(),
                import: ImportId(8),
            }),
            "01010101aa030408010506010708",
        );
        check(&Entry::Transferred(transfer.clone()), "020102fb2c0104050607080109");
        check(
            &Entry::TransferRefused {
                transfer,
                refusal: Refusal {
                    status: Status::InsufficientFunds,
                    detail: RefusalDetail::InsufficientFunds { available: 1, required: 2 },
                },
            },
            "030102fb2c0104050607080109cd010102",
        );
    }

    #[test]
    fn the_bytes_of_each_entry_of_a_later_kind_are_those_of_its_first_release() {
        let check = |entry: &Entry, expected: &str| {
            let mut payload = Vec::new();
            encode_entry(entry, &mut payload);
            let hex = payload.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat();
            assert_eq!(hex, expected, "{entry:?}");
        };
        let memo = || Memo { group_id: 6, code: 7, effective_at_ns: 8, metadata: [9].into() };
        let transfer = Transfer {
            id: TransferId(1),
            debit_wallet: WalletId(2),
            credit_wallet: WalletId(300),
            asset: AssetId(4),
            amount: 5,
            group_id: 6,
            code: 7,
            effective_at_ns: 8,
            metadata: [9].into(),
        };
        let pending = Pending { transfer: transfer.clone(), timeout_s: 70_000 };
        let post = Post { id: TransferId(1), pending_id: TransferId(2), amount: 3, memo: memo() };
        let void = Void { id: TransferId(1), pending_id: TransferId(2), memo: memo() };
        let reversal = Reversal { id: TransferId(1), reverses_id: TransferId(2), amount: 3, memo: memo() };
        let hold = HoldTerms {
            debit_wallet: WalletId(10),
            credit_wallet: WalletId(11),
            asset: AssetId(12),
            amount: 13,
            expires_at_ns: u64::MAX,
        };
        let leg = |wallet, side, amount| Leg { wallet: WalletId(wallet), side, asset: AssetId(4), amount };
        let legs: Box<[Leg]> = [leg(2, Side::Debit, 5), leg(3, Side::Credit, 5)].into();
        let transaction = Transaction { id: TransferId(1), legs: legs.clone(), memo: memo() };
        let facts = ReversedFacts { legs, of_transaction: true, amount: 14, original_amount: 15 };
        check(&Entry::Pended(pending.clone()), "040102fb2c0104050607080109fc70110100");
        check(&Entry::Posted { post: post.clone(), hold }, "0501020306070801090a0b0c0dfdffffffffffffffff");
        check(&Entry::Voided { void: void.clone(), hold }, "06010206070801090a0b0c0dfdffffffffffffffff");
        check(&Entry::Expired { pending_id: TransferId(2), hold }, "07020a0b0c0dfdffffffffffffffff");
        check(
            &Entry::Reversed { reversal: reversal.clone(), facts },
            "080102030607080109020200040503010405010e0f",
        );
        check(&Entry::TransactionDone(transaction.clone()), "09010202000405030104050607080109");
        let orders = [
            (Order::Transfer(transfer), "0a000102fb2c0104050607080109690310"),
            (Order::Pending(pending), "0a010102fb2c0104050607080109fc70110100690310"),
            (Order::Post(post), "0a020102030607080109690310"),
            (Order::Void(void), "0a0301020607080109690310"),
            (Order::Reversal(reversal), "0a040102030607080109690310"),
            (Order::Transaction(transaction), "0a05010202000405030104050607080109690310"),
        ];
        for (order, expected) in orders {
            let detail = RefusalDetail::AmountExceeded { left: 16 };
            let refusal = Refusal { status: Status::ExceedsPendingAmount, detail };
            check(&Entry::OrderRefused { order, refusal }, expected);
        }
        let refused = |detail| Entry::OrderRefused {
            order: Order::Void(Void { id: TransferId(1), pending_id: TransferId(2), memo: Memo::default() }),
            refusal: Refusal { status: Status::LegRefused, detail },
        };
        check(&refused(RefusalDetail::None), "0a03010200000000f000");
        check(&refused(RefusalDetail::LimitExceeded { limit: 17 }), "0a03010200000000f00211");
        check(
            &refused(RefusalDetail::LegRefused { index: 18, status: Status::InsufficientFunds }),
            "0a03010200000000f00412cd",
        );
        let change = |setting| Entry::WalletChanged(WalletChange { wallet: WalletId(19), setting });
        let limits = |overdraft_limit| Setting::Limits { overdraft_limit, balance_max: 20 };
        check(&change(limits(OverdraftLimit::Limited(21))), "0b1300011514");
        check(&change(limits(OverdraftLimit::Unlimited)), "0b13000014");
        let flags = Setting::Flags { set: WalletFlags::CLOSED, clear: WalletFlags::CREDIT_FROZEN };
        check(&change(flags), "0b13010402");
        check(&change(Setting::Metadata([22, 23].into())), "0b1302021617");
        check(&Entry::ImportClosed(ImportId(24)), "0c18");
    }
}
