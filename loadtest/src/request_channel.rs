//! A connection that load is sent over: opened again when it broke, but nothing is ever sent twice. What a broken
//! connection leaves unknown is for the verification to find out.

use crate::ledger_calls::Answers;
use client::ledger::{Outcome, Transfer, WalletId};
use client::{BalanceView, ClientError, ClientOptions, Connection};
use std::future::Future;
use std::sync::Mutex;

/// The two calls that load consists of.
pub(crate) trait RequestChannel: Send + Sync + 'static {
    /// Makes transfers; one outcome each, in order.
    fn create_transfers(&self, transfers: &[Transfer]) -> impl Future<Output = Answers<Outcome>> + Send;

    /// Reads what wallets hold now.
    fn balances(&self, ids: &[WalletId]) -> impl Future<Output = Answers<Option<BalanceView>>> + Send;
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
    async fn create_transfers(&self, transfers: &[Transfer]) -> Answers<Outcome> {
        self.connection().await?.create_transfers(transfers).await
    }

    async fn balances(&self, ids: &[WalletId]) -> Answers<Option<BalanceView>> {
        self.connection().await?.balances(ids).await
    }
}
