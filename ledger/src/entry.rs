//! Journal entries: what was decided, in one total order. History, balances and events are all read from them.

use crate::asset::Asset;
use crate::change::WalletChange;
use crate::identity::{ImportId, TransferId, WalletId};
use crate::order::{Memo, Order, OrderKind, Pending, Post, Reversal, Transaction, Void};
use crate::original::{Facts, Original, ReversedFacts};
use crate::route::{HoldTerms, Route};
use crate::status::{Refusal, Status};
use crate::transfer::Transfer;
use crate::wallet::NewWallet;

/// One entry of the journal. Its sequence number and timestamp stand beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// An asset was created.
    AssetCreated(Asset),
    /// A wallet was created.
    WalletCreated(NewWallet),
    /// A transfer was done.
    Transferred(Transfer),
    /// A transfer was refused for good: its id is used up.
    TransferRefused {
        /// As it was asked for.
        transfer: Transfer,
        /// Why not.
        refusal: Refusal,
    },
    /// An amount is held.
    Pended(Pending),
    /// A hold was captured.
    Posted {
        /// As it was asked for.
        post: Post,
        /// The hold.
        hold: HoldTerms,
    },
    /// A hold was released.
    Voided {
        /// As it was asked for.
        void: Void,
        /// The hold.
        hold: HoldTerms,
    },
    /// A hold has expired.
    Expired {
        /// The order that had made it.
        pending_id: TransferId,
        /// The hold.
        hold: HoldTerms,
    },
    /// Something was moved back.
    Reversed {
        /// As it was asked for.
        reversal: Reversal,
        /// What moved back.
        facts: ReversedFacts,
    },
    /// Legs were done, all together.
    TransactionDone(Transaction),
    /// An order other than a one-phase transfer was refused for good: its id is used up.
    OrderRefused {
        /// As it was asked for.
        order: Order,
        /// Why not.
        refusal: Refusal,
    },
    /// A wallet's settings were changed.
    WalletChanged(WalletChange),
    /// An import is closed: its wallets are shown from here on.
    ImportClosed(ImportId),
}

impl Entry {
    /// The entry of an order that is done.
    pub fn done(order: Order, facts: Option<Facts>) -> Self {
        match (order, facts) {
            (Order::Transfer(transfer), None) => Entry::Transferred(transfer),
            (Order::Pending(pending), None) => Entry::Pended(pending),
            (Order::Post(post), Some(Facts::Hold(hold))) => Entry::Posted { post, hold },
            (Order::Void(void), Some(Facts::Hold(hold))) => Entry::Voided { void, hold },
            (Order::Reversal(reversal), Some(Facts::Reversed(facts))) => Entry::Reversed { reversal, facts },
            (Order::Transaction(transaction), None) => Entry::TransactionDone(transaction),
            (order, facts) => panic!("a {} is not resolved as {facts:?}", order.kind()),
        }
    }

    /// The entry of an order that is refused for good.
    pub fn refused(order: Order, refusal: Refusal) -> Self {
        match order {
            Order::Transfer(transfer) => Entry::TransferRefused { transfer, refusal },
            order => Entry::OrderRefused { order, refusal },
        }
    }

    /// The checks that need no state: those of what was asked for.
    pub fn check_shape(&self) -> Result<(), Refusal> {
        match self {
            Entry::AssetCreated(asset) => asset.check_shape(),
            Entry::WalletCreated(wallet) => wallet.check_shape(),
            Entry::WalletChanged(change) => change.check_shape(),
            Entry::ImportClosed(ImportId::NONE) => Err(Status::IdMustNotBeZero.into()),
            Entry::ImportClosed(_) => Ok(()),
            Entry::Transferred(transfer)
            | Entry::TransferRefused { transfer, .. }
            | Entry::Pended(Pending { transfer, .. }) => transfer.check_shape(),
            Entry::OrderRefused { order, .. } => order.check_shape(),
            Entry::Posted { .. }
            | Entry::Voided { .. }
            | Entry::Expired { .. }
            | Entry::Reversed { .. }
            | Entry::TransactionDone(_) => {
                self.clone().into_order().map_or(Ok(()), |(order, _)| order.check_shape())
            }
        }
    }

    /// What it does to which wallets by moving or holding amounts.
    pub fn route(&self) -> Route {
        match self {
            Entry::Transferred(transfer) => Route::of_transfer(transfer),
            Entry::Pended(pending) => Route::of_pending(&pending.transfer, pending.timeout_s),
            Entry::Posted { post, hold } => {
                let captured = if post.amount == 0 { hold.amount } else { post.amount };
                Route::of_resolution(post.pending_id, hold, captured)
            }
            Entry::Voided { void, hold } => Route::of_resolution(void.pending_id, hold, 0),
            Entry::Expired { pending_id, hold } => Route::of_resolution(*pending_id, hold, 0),
            Entry::Reversed { facts, .. } => Route::of_reversed(&facts.legs, facts.of_transaction),
            Entry::TransactionDone(transaction) => Route::of_legs(&transaction.legs),
            Entry::AssetCreated(_)
            | Entry::WalletCreated(_)
            | Entry::WalletChanged(_)
            | Entry::ImportClosed(_)
            | Entry::TransferRefused { .. }
            | Entry::OrderRefused { .. } => Route::None,
        }
    }

    /// The wallets that the entry changes, in the order in which they were asked.
    pub fn wallets(&self) -> impl Iterator<Item = WalletId> {
        let one = match self {
            Entry::WalletCreated(wallet) => Some(wallet.id),
            Entry::WalletChanged(change) => Some(change.wallet),
            _ => None,
        };
        let route = self.route();
        let mut index: usize = 0;
        one.into_iter().chain(std::iter::from_fn(move || {
            let part = route.parts().get(index)?;
            index = index.saturating_add(1);
            Some(part.wallet)
        }))
    }

    /// The id that it uses up, if it does.
    pub fn order_id(&self) -> Option<TransferId> {
        match self {
            Entry::Transferred(transfer) | Entry::TransferRefused { transfer, .. } => Some(transfer.id),
            Entry::Pended(pending) => Some(pending.transfer.id),
            Entry::Posted { post, .. } => Some(post.id),
            Entry::Voided { void, .. } => Some(void.id),
            Entry::Reversed { reversal, .. } => Some(reversal.id),
            Entry::TransactionDone(transaction) => Some(transaction.id),
            Entry::OrderRefused { order, .. } => Some(order.id()),
            Entry::AssetCreated(_)
            | Entry::WalletCreated(_)
            | Entry::Expired { .. }
            | Entry::WalletChanged(_)
            | Entry::ImportClosed(_) => None,
        }
    }

    /// The order that it decided, and the refusal if it was refused; `None` of what is no client's order.
    pub fn into_order(self) -> Option<(Order, Option<Refusal>)> {
        Some(match self {
            Entry::Transferred(transfer) => (Order::Transfer(transfer), None),
            Entry::TransferRefused { transfer, refusal } => (Order::Transfer(transfer), Some(refusal)),
            Entry::Pended(pending) => (Order::Pending(pending), None),
            Entry::Posted { post, .. } => (Order::Post(post), None),
            Entry::Voided { void, .. } => (Order::Void(void), None),
            Entry::Reversed { reversal, .. } => (Order::Reversal(reversal), None),
            Entry::TransactionDone(transaction) => (Order::Transaction(transaction), None),
            Entry::OrderRefused { order, refusal } => (order, Some(refusal)),
            Entry::AssetCreated(_)
            | Entry::WalletCreated(_)
            | Entry::Expired { .. }
            | Entry::WalletChanged(_)
            | Entry::ImportClosed(_) => return None,
        })
    }

    /// What kind of movement or hold it is, or the end of one, if it was done.
    pub fn kind(&self) -> Option<OrderKind> {
        Some(match self {
            Entry::Transferred(_) => OrderKind::Transfer,
            Entry::Pended(_) => OrderKind::Pending,
            Entry::Posted { .. } => OrderKind::Post,
            Entry::Voided { .. } => OrderKind::Void,
            Entry::Expired { .. } => OrderKind::Expire,
            Entry::Reversed { .. } => OrderKind::Reversal,
            Entry::TransactionDone(_) => OrderKind::Transaction,
            Entry::AssetCreated(_)
            | Entry::WalletCreated(_)
            | Entry::WalletChanged(_)
            | Entry::ImportClosed(_)
            | Entry::TransferRefused { .. }
            | Entry::OrderRefused { .. } => return None,
        })
    }

    /// What can be made of its order later, as it is when the entry has just been journaled at `timestamp_ns`.
    pub fn original(&self, timestamp_ns: u64) -> Original {
        match self {
            Entry::Transferred(transfer) => Original::moved(
                transfer.debit_wallet,
                transfer.credit_wallet,
                transfer.asset,
                transfer.amount,
            ),
            Entry::Pended(pending) => Original::of_pending(pending, timestamp_ns),
            Entry::Posted { post, hold } => {
                let captured = if post.amount == 0 { hold.amount } else { post.amount };
                Original::moved(hold.debit_wallet, hold.credit_wallet, hold.asset, captured)
            }
            Entry::TransactionDone(transaction) => Original::transaction(&transaction.legs),
            Entry::Voided { .. }
            | Entry::Expired { .. }
            | Entry::Reversed { .. }
            | Entry::AssetCreated(_)
            | Entry::WalletCreated(_)
            | Entry::WalletChanged(_)
            | Entry::ImportClosed(_)
            | Entry::TransferRefused { .. }
            | Entry::OrderRefused { .. } => Original::Neither,
        }
    }

    /// What the client noted on it, its group and its code; nothing of what is no client's order.
    pub fn group_and_code(&self) -> (u128, u16) {
        let of = |memo: &Memo| (memo.group_id, memo.code);
        match self {
            Entry::Transferred(transfer) | Entry::Pended(Pending { transfer, .. }) => {
                (transfer.group_id, transfer.code)
            }
            Entry::Posted { post, .. } => of(&post.memo),
            Entry::Voided { void, .. } => of(&void.memo),
            Entry::Reversed { reversal, .. } => of(&reversal.memo),
            Entry::TransactionDone(transaction) => of(&transaction.memo),
            _ => (0, 0),
        }
    }

    /// The earlier order whose progress it is, and what it says of it.
    pub fn resolves(&self) -> Option<(TransferId, OrderKind, Facts)> {
        Some(match self {
            Entry::Posted { post, hold } => (post.pending_id, OrderKind::Post, Facts::Hold(*hold)),
            Entry::Voided { void, hold } => (void.pending_id, OrderKind::Void, Facts::Hold(*hold)),
            Entry::Expired { pending_id, hold } => (*pending_id, OrderKind::Expire, Facts::Hold(*hold)),
            Entry::Reversed { reversal, facts } => {
                (reversal.reverses_id, OrderKind::Reversal, Facts::Reversed(facts.clone()))
            }
            _ => return None,
        })
    }
}
