//! A connection that load is sent over: opened again when it broke, but nothing is ever sent twice by it. What a broken
//! connection leaves unknown is for the verification to find out.

use crate::ledger_calls::Answers;
use crate::orders::Orders;
use client::ledger::{Outcome, WalletId};
use client::{BalanceView, ClientError, ClientOptions, Connection, StatementPage, StatementQuery};
use std::future::Future;
use std::sync::Mutex;

/// The calls that load consists of.
pub(crate) trait RequestChannel: Send + Sync + 'static {
    /// Asks for orders to be done; one outcome each, in order.
    fn submit(&self, orders: &Orders) -> impl Future<Output = Answers<Outcome>> + Send;

    /// Reads what wallets hold now.
    fn balances(&self, ids: &[WalletId]) -> impl Future<Output = Answers<Option<BalanceView>>> + Send;

    /// Reads the newest entries of a wallet's statement, at most so many.
    fn statement(
        &self,
        wallet: WalletId,
        rows_max: u32,
    ) -> impl Future<Output = Result<StatementPage, ClientError>> + Send;
}

/// A connection, and how to have it again.
#[derive(Debug)]
pub(crate) struct ReopeningConnection {
    address: String,
    options: ClientOptions,
    current: Mutex<Connection>,
    /// Held by whoever opens it again, so that the others wait for that.
    reopening: tokio::sync::Mutex<()>,
}

impl ReopeningConnection {
    pub(crate) async fn open(address: &str, options: &ClientOptions) -> Result<Self, ClientError> {
        let current = Connection::open(address, options).await?;
        Ok(Self {
            address: address.to_owned(),
            options: options.clone(),
            current: Mutex::new(current),
            reopening: tokio::sync::Mutex::default(),
        })
    }

    /// The connection as it is now, broken or not.
    pub(crate) fn current(&self) -> Connection {
        self.current.lock().expect("nothing panics while it holds the connection").clone()
    }

    async fn connection(&self) -> Result<Connection, ClientError> {
        let current = self.current();
        if !current.is_closed() {
            return Ok(current);
        }
        let _turn = self.reopening.lock().await;
        let current = self.current();
        if !current.is_closed() {
            return Ok(current);
        }
        let opened = Connection::open(self.address.as_str(), &self.options).await?;
        *self.current.lock().expect("nothing panics while it holds the connection") = opened.clone();
        Ok(opened)
    }
}

impl RequestChannel for ReopeningConnection {
    async fn submit(&self, orders: &Orders) -> Answers<Outcome> {
        let connection = self.connection().await?;
        submit_over(&connection, orders).await
    }

    async fn balances(&self, ids: &[WalletId]) -> Answers<Option<BalanceView>> {
        self.connection().await?.balances(ids).await
    }

    async fn statement(&self, wallet: WalletId, rows_max: u32) -> Result<StatementPage, ClientError> {
        self.connection().await?.statement(&newest_of(wallet, rows_max)).await
    }
}

/// The question for the newest entries of a wallet's statement.
fn newest_of(wallet: WalletId, rows_max: u32) -> StatementQuery {
    StatementQuery { newest_first: true, limit: rows_max, ..StatementQuery::of(wallet) }
}

/// Asks for orders to be done over this connection; one outcome each, in order.
pub(crate) async fn submit_over(connection: &Connection, orders: &Orders) -> Answers<Outcome> {
    match orders {
        Orders::Transfers(transfers) => connection.create_transfers(transfers).await,
        Orders::Pending(pending) => connection.create_pending(pending).await,
        Orders::Posts(posts) => connection.post_pending(posts).await,
        Orders::Voids(voids) => connection.void_pending(voids).await,
        Orders::Reversals(reversals) => connection.reverse(reversals).await,
        Orders::Transactions(transactions) => connection.create_transactions(transactions).await,
    }
}
