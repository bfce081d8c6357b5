//! What the harness asks of a ledger. The seam at which tests put a ledger in memory, honest or lying.

use crate::orders::Orders;
use client::ledger::{NewWallet, Outcome, TransferId, WalletId};
use client::{
    BalanceView, Client, ClientError, FlagChange, NewAsset, TransferView, TrialBalance, WalletView,
};
use std::future::Future;

pub(crate) type Answers<Answer> = Result<Vec<Answer>, ClientError>;

/// The calls, as the client offers them.
pub(crate) trait LedgerCalls: Send + Sync + 'static {
    /// Creates assets; one outcome each, in order.
    fn create_assets(&self, assets: &[NewAsset]) -> impl Future<Output = Answers<Outcome>> + Send;

    /// Opens wallets; one outcome each, in order.
    fn create_wallets(&self, wallets: &[NewWallet]) -> impl Future<Output = Answers<Outcome>> + Send;

    /// Freezes, unfreezes, closes and reopens wallets; one outcome each, in order.
    fn set_flags(&self, changes: &[FlagChange]) -> impl Future<Output = Answers<Outcome>> + Send;

    /// Asks for orders to be done; one outcome each, in order.
    fn submit(&self, orders: &Orders) -> impl Future<Output = Answers<Outcome>> + Send;

    /// Reads wallets; `None` where there is no such wallet.
    fn lookup_wallets(&self, ids: &[WalletId]) -> impl Future<Output = Answers<Option<WalletView>>> + Send;

    /// Reads orders of any kind and their outcomes; `None` where the id is not used up.
    fn lookup_transfers(
        &self,
        ids: &[TransferId],
    ) -> impl Future<Output = Answers<Option<TransferView>>> + Send;

    /// Reads what wallets hold now; `None` where there is no such wallet.
    fn balances(&self, ids: &[WalletId]) -> impl Future<Output = Answers<Option<BalanceView>>> + Send;

    /// Sums up all wallets per asset.
    fn trial_balance(&self) -> impl Future<Output = Result<TrialBalance, ClientError>> + Send;
}

impl LedgerCalls for Client {
    async fn create_assets(&self, assets: &[NewAsset]) -> Answers<Outcome> {
        self.create_assets(assets).await
    }

    async fn create_wallets(&self, wallets: &[NewWallet]) -> Answers<Outcome> {
        self.create_wallets(wallets).await
    }

    async fn set_flags(&self, changes: &[FlagChange]) -> Answers<Outcome> {
        self.set_flags(changes).await
    }

    async fn submit(&self, orders: &Orders) -> Answers<Outcome> {
        match orders {
            Orders::Transfers(transfers) => self.create_transfers(transfers).await,
            Orders::Pending(pending) => self.create_pending(pending).await,
            Orders::Posts(posts) => self.post_pending(posts).await,
            Orders::Voids(voids) => self.void_pending(voids).await,
            Orders::Reversals(reversals) => self.reverse(reversals).await,
            Orders::Transactions(transactions) => self.create_transactions(transactions).await,
        }
    }

    async fn lookup_wallets(&self, ids: &[WalletId]) -> Answers<Option<WalletView>> {
        self.lookup_wallets(ids).await
    }

    async fn lookup_transfers(&self, ids: &[TransferId]) -> Answers<Option<TransferView>> {
        self.lookup_transfers(ids).await
    }

    async fn balances(&self, ids: &[WalletId]) -> Answers<Option<BalanceView>> {
        self.balances(ids).await
    }

    async fn trial_balance(&self) -> Result<TrialBalance, ClientError> {
        self.trial_balance().await
    }
}
