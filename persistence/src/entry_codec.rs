//! How an entry is written into the journal: compact bincode (little-endian, variable-width integers).
//!
//! The structs here mirror those of `ledger` and are frozen: an enum only ever grows at its end, and any other change
//! is a new record version. The entry's sequence number and timestamp stand beside it, in the record.

use crate::error::PersistenceError;
use bincode::config::{Configuration, LittleEndian, Varint};
use bincode::enc::write::Writer;
use bincode::error::EncodeError;
use ledger::{
    Asset, AssetCode, AssetId, Entry, NewWallet, OverdraftLimit, Owner, Refusal, RefusalDetail, Status,
    Transfer, TransferId, WalletFlags, WalletId,
};

const CONFIGURATION: Configuration<LittleEndian, Varint> = bincode::config::standard();

#[derive(bincode::Encode, bincode::BorrowDecode)]
enum StoredEntry<'a> {
    AssetCreated { id: u32, code: &'a str, scale: u8 },
    WalletCreated(StoredWallet<'a>),
    Transferred(StoredTransfer<'a>),
    TransferRefused { transfer: StoredTransfer<'a>, status: u16, detail: StoredDetail },
}

#[derive(bincode::Encode, bincode::BorrowDecode)]
struct StoredWallet<'a> {
    id: u128,
    owner: StoredOwner<'a>,
    asset: u32,
    code: u16,
    flags: u16,
    /// `None` is unlimited.
    overdraft_limit: Option<u128>,
    balance_max: u128,
    metadata: &'a [u8],
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

#[derive(bincode::Encode, bincode::BorrowDecode)]
enum StoredDetail {
    None,
    InsufficientFunds { available: u128, required: u128 },
    LimitExceeded { limit: u128 },
}

/// Appends an asset's creation.
pub fn encode_asset_created(asset: &Asset, out: &mut Vec<u8>) {
    encode(&StoredEntry::AssetCreated { id: asset.id.0, code: asset.code.as_str(), scale: asset.scale }, out);
}

/// Appends a wallet's creation.
pub fn encode_wallet_created(wallet: &NewWallet, out: &mut Vec<u8>) {
    let owner = match &wallet.owner {
        Owner::Number(number) => StoredOwner::Number(*number),
        Owner::Bytes(bytes) => StoredOwner::Bytes(bytes),
    };
    let overdraft_limit = match wallet.overdraft_limit {
        OverdraftLimit::Limited(limit) => Some(limit),
        OverdraftLimit::Unlimited => None,
    };
    let stored = StoredWallet {
        id: wallet.id.0,
        owner,
        asset: wallet.asset.0,
        code: wallet.code,
        flags: wallet.flags.bits(),
        overdraft_limit,
        balance_max: wallet.balance_max,
        metadata: &wallet.metadata,
    };
    encode(&StoredEntry::WalletCreated(stored), out);
}

/// Appends a transfer that was done.
pub fn encode_transferred(transfer: &Transfer, out: &mut Vec<u8>) {
    encode(&StoredEntry::Transferred(stored_transfer(transfer)), out);
}

/// Appends a transfer that was refused for good.
pub fn encode_transfer_refused(transfer: &Transfer, refusal: &Refusal, out: &mut Vec<u8>) {
    let detail = match refusal.detail {
        RefusalDetail::InsufficientFunds { available, required } => {
            StoredDetail::InsufficientFunds { available, required }
        }
        RefusalDetail::LimitExceeded { limit } => StoredDetail::LimitExceeded { limit },
        RefusalDetail::None | RefusalDetail::AlreadyRefused { .. } => StoredDetail::None,
    };
    let transfer = stored_transfer(transfer);
    encode(&StoredEntry::TransferRefused { transfer, status: refusal.status.number(), detail }, out);
}

/// Appends any entry.
pub fn encode_entry(entry: &Entry, out: &mut Vec<u8>) {
    match entry {
        Entry::AssetCreated(asset) => encode_asset_created(asset, out),
        Entry::WalletCreated(wallet) => encode_wallet_created(wallet, out),
        Entry::Transferred(transfer) => encode_transferred(transfer, out),
        Entry::TransferRefused { transfer, refusal } => encode_transfer_refused(transfer, refusal, out),
    }
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
        StoredEntry::WalletCreated(wallet) => Entry::WalletCreated(NewWallet {
            id: WalletId(wallet.id),
            owner: match wallet.owner {
                StoredOwner::Number(number) => Owner::Number(number),
                StoredOwner::Bytes(bytes) => Owner::Bytes(bytes.into()),
            },
            asset: AssetId(wallet.asset),
            code: wallet.code,
            flags: WalletFlags::from_bits(wallet.flags),
            overdraft_limit: wallet
                .overdraft_limit
                .map_or(OverdraftLimit::Unlimited, OverdraftLimit::Limited),
            balance_max: wallet.balance_max,
            metadata: wallet.metadata.into(),
        }),
        StoredEntry::Transferred(transfer) => Entry::Transferred(loaded_transfer(&transfer)),
        StoredEntry::TransferRefused { transfer, status, detail } => {
            let status = Status::from_number(status)
                .ok_or_else(|| unreadable(format!("status {status} is not known to this version")))?;
            let detail = match detail {
                StoredDetail::None => RefusalDetail::None,
                StoredDetail::InsufficientFunds { available, required } => {
                    RefusalDetail::InsufficientFunds { available, required }
                }
                StoredDetail::LimitExceeded { limit } => RefusalDetail::LimitExceeded { limit },
            };
            Entry::TransferRefused {
                transfer: loaded_transfer(&transfer),
                refusal: Refusal { status, detail },
            }
        }
    })
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
        (any::<u128>(), owner, any::<u32>(), any::<u16>(), 0_u16..16, limit, any::<u128>(), metadata)
            .prop_map(|(id, owner, asset, code, flags, overdraft_limit, balance_max, metadata)| NewWallet {
                id: WalletId(id),
                owner,
                asset: AssetId(asset),
                code,
                flags: WalletFlags::from_bits(flags),
                overdraft_limit,
                balance_max,
                metadata: metadata.into(),
            })
    }

    fn any_entry() -> impl Strategy<Value = Entry> {
        let detail = prop_oneof![
            Just(Refusal::from(Status::CreditWalletNotFound)),
            (any::<u128>(), any::<u128>()).prop_map(|(available, required)| Refusal {
                status: Status::InsufficientFunds,
                detail: RefusalDetail::InsufficientFunds { available, required },
            }),
            any::<u128>().prop_map(|limit| Refusal {
                status: Status::LimitExceeded,
                detail: RefusalDetail::LimitExceeded { limit },
            }),
        ];
        prop_oneof![
            (any::<u32>(), "[A-Z0-9_.-]{1,16}", any::<u8>()).prop_map(|(id, code, scale)| {
                Entry::AssetCreated(Asset { id: AssetId(id), code: AssetCode::new(&code).unwrap(), scale })
            }),
            any_wallet().prop_map(Entry::WalletCreated),
            any_transfer().prop_map(Entry::Transferred),
            (any_transfer(), detail)
                .prop_map(|(transfer, refusal)| Entry::TransferRefused { transfer, refusal }),
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
            }),
            "01010101aa0304080105060107",
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
}
