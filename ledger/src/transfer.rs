//! A transfer: an amount of one asset, from one wallet to another.

use crate::amount::AMOUNT_MAX;
use crate::identity::{AssetId, TransferId, WalletId};
use crate::status::{Refusal, Status};

/// The most metadata a transfer may carry, in bytes.
pub const TRANSFER_METADATA_MAX: usize = 256;

/// A one-phase transfer as the client asked for it. Immutable once journaled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transfer {
    /// The idempotency key, unique for ever; not zero.
    pub id: TransferId,
    /// Whose balance goes down.
    pub debit_wallet: WalletId,
    /// Whose balance goes up.
    pub credit_wallet: WalletId,
    /// The asset that both wallets must be in.
    pub asset: AssetId,
    /// In the asset's smallest unit; from 1 to 2^127 − 1.
    pub amount: u128,
    /// Ties transfers together for the client (an order, a payout run); 0 for none.
    pub group_id: u128,
    /// What kind of transfer this is to the client (its chart of accounts); any number.
    pub code: u16,
    /// When it took effect in the client's world, in nanoseconds since 1970; 0 for "when it was journaled".
    pub effective_at_ns: u64,
    /// The client's own bytes, at most [`TRANSFER_METADATA_MAX`].
    pub metadata: Box<[u8]>,
}

impl Transfer {
    /// The checks that need no state, in the documented order. A refusal here does not use up the id.
    pub fn check_shape(&self) -> Result<(), Refusal> {
        if self.id.0 == 0 {
            return Err(Status::IdMustNotBeZero.into());
        }
        if self.amount == 0 {
            return Err(Status::AmountMustNotBeZero.into());
        }
        if self.amount > AMOUNT_MAX {
            return Err(Status::AmountTooLarge.into());
        }
        if self.debit_wallet == self.credit_wallet {
            return Err(Status::WalletsMustDiffer.into());
        }
        if self.metadata.len() > TRANSFER_METADATA_MAX {
            return Err(Status::MetadataTooLarge.into());
        }
        Ok(())
    }

    /// What a second transfer of the same id is answered: [`Status::Exists`], or the first field that differs.
    pub fn compare(&self, again: &Self) -> Status {
        if self.debit_wallet != again.debit_wallet {
            return Status::ExistsWithDifferentDebitWallet;
        }
        if self.credit_wallet != again.credit_wallet {
            return Status::ExistsWithDifferentCreditWallet;
        }
        if self.asset != again.asset {
            return Status::ExistsWithDifferentAsset;
        }
        if self.amount != again.amount {
            return Status::ExistsWithDifferentAmount;
        }
        if self.group_id != again.group_id {
            return Status::ExistsWithDifferentGroupId;
        }
        if self.code != again.code {
            return Status::ExistsWithDifferentCode;
        }
        if self.effective_at_ns != again.effective_at_ns {
            return Status::ExistsWithDifferentEffectiveAt;
        }
        if self.metadata != again.metadata {
            return Status::ExistsWithDifferentMetadata;
        }
        Status::Exists
    }
}
