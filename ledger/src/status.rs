//! Every answer that an operation can get, numbered in the order of the checks.
//!
//! Refusals are data, not errors. Numbers are part of the protocol and of the journal: documented in
//! `docs/PROTOCOL.md`, never reused, with room left in each group for what is to come.

use std::fmt;

macro_rules! statuses {
    ($($(#[$doc:meta])+ $variant:ident = $number:literal, $name:literal;)+) => {
        /// The status of one operation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u16)]
        pub enum Status {
            $($(#[$doc])+ $variant = $number,)+
        }

        impl Status {
            /// All statuses, in the order of the checks.
            pub const ALL: &'static [Status] = &[$(Status::$variant,)+];

            /// The name used in documents, logs, metrics and JSON.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Status::$variant => $name,)+
                }
            }

            /// The status of this number, if there is one.
            pub const fn from_number(number: u16) -> Option<Self> {
                match number {
                    $($number => Some(Status::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

statuses! {
    /// Done, now, by this request.
    Created = 0, "created";

    /// The deadline passed before the operation was begun; it was surely not executed.
    DeadlineExceeded = 20, "deadline_exceeded";

    /// An id of zero.
    IdMustNotBeZero = 40, "id_must_not_be_zero";
    /// An amount of zero.
    AmountMustNotBeZero = 41, "amount_must_not_be_zero";
    /// An amount above 2^127 − 1.
    AmountTooLarge = 42, "amount_too_large";
    /// Debit and credit wallet are the same.
    WalletsMustDiffer = 43, "wallets_must_differ";
    /// A flag that may not be set here, or that does not exist.
    ReservedFlag = 44, "reserved_flag";
    /// A limit above 2^127 − 1.
    LimitTooLarge = 45, "limit_too_large";
    /// An owner of more than 64 bytes.
    OwnerTooLarge = 46, "owner_too_large";
    /// More metadata than allowed: 256 bytes for a transfer, 1 KiB for a wallet.
    MetadataTooLarge = 47, "metadata_too_large";
    /// A scale above 38.
    AssetScaleTooLarge = 48, "asset_scale_too_large";
    /// An asset code that is empty, longer than 16 bytes, or not of `A–Z 0–9 _ . -`.
    AssetCodeInvalid = 49, "asset_code_invalid";
    /// A transaction of fewer than two legs.
    TooFewLegs = 50, "too_few_legs";
    /// A transaction of more than 64 legs.
    TooManyLegs = 51, "too_many_legs";
    /// The legs of one wallet are in two assets; a wallet is in one.
    WalletInTwoAssets = 52, "wallet_in_two_assets";
    /// In some asset, the debits of a transaction are not its credits.
    LegsDoNotBalance = 53, "legs_do_not_balance";
    /// The id of what the order is about is zero.
    ReferenceMustNotBeZero = 54, "reference_must_not_be_zero";
    /// The order is about itself.
    RefersToItself = 55, "refers_to_itself";
    /// A flag is to be set and cleared at once.
    FlagSetAndCleared = 56, "flag_set_and_cleared";
    /// The cursor of a page is of another query.
    CursorOfAnotherQuery = 57, "cursor_of_another_query";
    /// A balance is asked for as of a moment that has not come.
    MomentInTheFuture = 58, "moment_in_the_future";

    /// The same id with the same fields was done before; the outcome is the original one.
    Exists = 80, "exists";
    /// The id was used with another debit wallet.
    ExistsWithDifferentDebitWallet = 81, "exists_with_different_debit_wallet";
    /// The id was used with another credit wallet.
    ExistsWithDifferentCreditWallet = 82, "exists_with_different_credit_wallet";
    /// The id was used with another asset.
    ExistsWithDifferentAsset = 83, "exists_with_different_asset";
    /// The id was used with another amount.
    ExistsWithDifferentAmount = 84, "exists_with_different_amount";
    /// The id was used with another group id.
    ExistsWithDifferentGroupId = 85, "exists_with_different_group_id";
    /// The id was used with another code.
    ExistsWithDifferentCode = 86, "exists_with_different_code";
    /// The id was used with another effective time.
    ExistsWithDifferentEffectiveAt = 87, "exists_with_different_effective_at";
    /// The id was used with other metadata.
    ExistsWithDifferentMetadata = 88, "exists_with_different_metadata";
    /// The id was used with another owner.
    ExistsWithDifferentOwner = 89, "exists_with_different_owner";
    /// The id was used with other flags.
    ExistsWithDifferentFlags = 90, "exists_with_different_flags";
    /// The id was used with another overdraft limit.
    ExistsWithDifferentOverdraftLimit = 91, "exists_with_different_overdraft_limit";
    /// The id was used with another balance maximum.
    ExistsWithDifferentBalanceMax = 92, "exists_with_different_balance_max";
    /// The id was used with another scale.
    ExistsWithDifferentScale = 93, "exists_with_different_scale";
    /// The id was used for another kind of order. Compared before any other field.
    ExistsWithDifferentKind = 94, "exists_with_different_kind";
    /// The id was used about another hold.
    ExistsWithDifferentPendingId = 95, "exists_with_different_pending_id";
    /// The id was used to reverse another order.
    ExistsWithDifferentReversesId = 96, "exists_with_different_reverses_id";
    /// The id was used with another timeout.
    ExistsWithDifferentTimeout = 97, "exists_with_different_timeout";
    /// The id was used with other legs.
    ExistsWithDifferentLegs = 98, "exists_with_different_legs";
    /// The same id with the same fields was refused for good before; `first_status` says why.
    IdAlreadyRefused = 99, "id_already_refused";

    /// There is no order of that id to capture or release.
    PendingNotFound = 100, "pending_not_found";
    /// The order of that id is no hold.
    NotPending = 101, "not_pending";
    /// The hold was captured before.
    PendingAlreadyPosted = 102, "pending_already_posted";
    /// The hold was released before.
    PendingAlreadyVoided = 103, "pending_already_voided";
    /// The hold has expired.
    PendingExpired = 104, "pending_expired";
    /// More than was held; `left` says how much that was.
    ExceedsPendingAmount = 105, "exceeds_pending_amount";
    /// There is no order of that id to reverse.
    OriginalNotFound = 110, "original_not_found";
    /// The order of that id has moved nothing, or is itself a reversal.
    OriginalNotReversible = 111, "original_not_reversible";
    /// Nothing is left of it to be reversed.
    OriginalAlreadyReversed = 112, "original_already_reversed";
    /// A transaction is reversed in full, so the amount must be left at 0.
    TransactionReversedInFullOnly = 113, "transaction_reversed_in_full_only";
    /// More than is left of it; `left` says how much that is.
    ExceedsOriginalAmount = 114, "exceeds_original_amount";

    /// There is no such asset to create a wallet in. Not recorded: wallet ids are not used up by refusals.
    AssetNotFound = 150, "asset_not_found";
    /// There is no such wallet to change. Not recorded.
    WalletNotFound = 151, "wallet_not_found";
    /// A wallet is closed only with a balance of zero. Not recorded.
    BalanceNotZero = 152, "balance_not_zero";
    /// A wallet is closed only when nothing is held from it or for it. Not recorded.
    HoldsAreOpen = 153, "holds_are_open";
    /// The import is closed: no more wallets are created under it.
    ImportIsClosed = 154, "import_is_closed";
    /// A wallet of this id was created under another import, or under none.
    ExistsWithDifferentImport = 155, "exists_with_different_import";

    /// There is no such wallet to debit.
    DebitWalletNotFound = 200, "debit_wallet_not_found";
    /// The debit wallet is in another asset.
    DebitWalletAssetMismatch = 201, "debit_wallet_asset_mismatch";
    /// The debit wallet is closed.
    DebitWalletClosed = 202, "debit_wallet_closed";
    /// The debit wallet may not be debited now.
    DebitWalletFrozen = 203, "debit_wallet_frozen";
    /// The debit wallet's counters would exceed 2^127 − 1.
    DebitWalletOverflow = 204, "debit_wallet_overflow";
    /// The debit wallet has less available than required.
    InsufficientFunds = 205, "insufficient_funds";

    /// There is no such wallet to credit.
    CreditWalletNotFound = 220, "credit_wallet_not_found";
    /// The credit wallet is in another asset.
    CreditWalletAssetMismatch = 221, "credit_wallet_asset_mismatch";
    /// The credit wallet is closed.
    CreditWalletClosed = 222, "credit_wallet_closed";
    /// The credit wallet may not be credited now.
    CreditWalletFrozen = 223, "credit_wallet_frozen";
    /// The credit wallet's counters would exceed 2^127 − 1.
    CreditWalletOverflow = 224, "credit_wallet_overflow";
    /// The credit wallet would hold more than its balance maximum.
    LimitExceeded = 225, "limit_exceeded";

    /// A leg of a transaction was refused, and so all of them; `index` and `status` say which and why.
    LegRefused = 240, "leg_refused";

    /// Others changed the same wallets again and again while this was decided; try again.
    Contended = 300, "contended";
    /// The wallet failed too often and waits for an operator.
    WalletQuarantined = 301, "wallet_quarantined";
    /// The wallet is being rebuilt, or the server is stopping; the same id may be sent again.
    Unavailable = 302, "unavailable";
    /// A fault of the server while this was decided; nothing was done.
    InternalError = 303, "internal_error";
    /// A wallet of it is being imported, and the order is not of the import's group; try again when the import is closed.
    WalletImporting = 304, "wallet_importing";
}

impl Status {
    /// The number on the wire and in the journal.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// Whether a refusal with this status depends on state, and so is journaled and holds for its id for ever.
    ///
    /// The caller makes it final only when it holds under every outcome of what is still open.
    pub const fn is_final(self) -> bool {
        matches!(self.number(), 100..150 | 200..300)
    }

    /// Whether the operation is done: by this request, or by an earlier one that was the same.
    pub const fn is_success(self) -> bool {
        matches!(self, Status::Created | Status::Exists)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What a refused operation lacked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum RefusalDetail {
    /// The status says it all.
    #[default]
    None,
    /// With [`Status::InsufficientFunds`].
    InsufficientFunds {
        /// What could have been spent; 0 when the wallet was below its limit.
        available: u128,
        /// What the transfer asked for.
        required: u128,
    },
    /// With [`Status::LimitExceeded`].
    LimitExceeded {
        /// The wallet's balance maximum.
        limit: u128,
    },
    /// With [`Status::ExceedsPendingAmount`] and [`Status::ExceedsOriginalAmount`].
    AmountExceeded {
        /// The most that could have been asked for.
        left: u128,
    },
    /// With [`Status::LegRefused`].
    LegRefused {
        /// The first leg, from 0, that could not be done.
        index: u8,
        /// Why not.
        status: Status,
    },
    /// With [`Status::IdAlreadyRefused`].
    AlreadyRefused {
        /// What the first attempt was answered.
        first_status: Status,
    },
}

/// A refusal: the status, and what was lacking.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Never a success.
    pub status: Status,
    /// What was lacking, where there is something to say.
    pub detail: RefusalDetail,
}

impl From<Status> for Refusal {
    fn from(status: Status) -> Self {
        Self { status, detail: RefusalDetail::None }
    }
}

/// What one operation is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The status.
    pub status: Status,
    /// Whether this repeats what an earlier request with the same id was answered.
    pub replayed: bool,
    /// The sequence number of the journal entry that holds the outcome; 0 if none was made.
    pub seq: u64,
    /// The time of that entry, in nanoseconds since 1970; 0 if none was made.
    pub timestamp_ns: u64,
    /// What was lacking.
    pub detail: RefusalDetail,
}

impl Outcome {
    /// An outcome that made no journal entry.
    pub fn refused(refusal: Refusal) -> Self {
        Self { status: refusal.status, replayed: false, seq: 0, timestamp_ns: 0, detail: refusal.detail }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_numbered_in_the_order_of_the_checks_and_found_by_number() {
        let numbers: Vec<u16> = Status::ALL.iter().map(|status| status.number()).collect();
        assert!(numbers.is_sorted_by(|earlier, later| earlier < later), "{numbers:?}");
        for &status in Status::ALL {
            assert_eq!(Status::from_number(status.number()), Some(status));
            assert!(status.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
        }
        assert_eq!(Status::from_number(1), None);
    }

    #[test]
    fn only_refusals_that_depend_on_state_are_final() {
        let finals: Vec<&str> =
            Status::ALL.iter().filter(|status| status.is_final()).map(|status| status.name()).collect();
        assert_eq!(
            finals,
            [
                "pending_not_found",
                "not_pending",
                "pending_already_posted",
                "pending_already_voided",
                "pending_expired",
                "exceeds_pending_amount",
                "original_not_found",
                "original_not_reversible",
                "original_already_reversed",
                "transaction_reversed_in_full_only",
                "exceeds_original_amount",
                "debit_wallet_not_found",
                "debit_wallet_asset_mismatch",
                "debit_wallet_closed",
                "debit_wallet_frozen",
                "debit_wallet_overflow",
                "insufficient_funds",
                "credit_wallet_not_found",
                "credit_wallet_asset_mismatch",
                "credit_wallet_closed",
                "credit_wallet_frozen",
                "credit_wallet_overflow",
                "limit_exceeded",
                "leg_refused",
            ]
        );
    }
}
