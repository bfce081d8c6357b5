//! What clients do while they are recorded: several connections at once, batches and single transfers, accepted, refused
//! for good, refused for now, and ids that are sent again.

use crate::books::{BANK, Chance, EUR, USD, asset, system_wallet, transfer, wallet};
use crate::server::{PATIENCE, Server};
use client::{ClientError, ClientOptions, Connection};
use ledger::{NewWallet, Transfer, TransferId, WalletFlags, WalletId};
use std::sync::{Arc, Mutex};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

/// Wallets 2 to this one may be paid and pay; the last ones are limited and frozen.
const LAST_WALLET: u64 = 12;

/// Clients of one ledger, through all its crashes.
#[derive(Debug)]
pub(crate) struct Workload {
    runtime: Runtime,
    chance: Chance,
    /// What may be sent again.
    sent: Arc<Mutex<Vec<Transfer>>>,
    tasks: u64,
}

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Amount {
    pub(crate) connections: u64,
    pub(crate) rounds: u64,
    /// Transfers in a batch, at most.
    pub(crate) batch_max: u64,
    /// Bytes of metadata of most transfers; the others have none.
    pub(crate) metadata: u64,
}

/// Enough to show everything, on the way to a kill or a stop.
pub(crate) const SOME: Amount = Amount { connections: 4, rounds: 12, batch_max: 12, metadata: 40 };

impl Workload {
    pub(crate) fn new(seed: u64) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { runtime, chance: Chance(seed), sent: Arc::default(), tasks: 0 }
    }

    /// Goes on until everything is answered, or until the server is gone. Says what ended each connection early.
    pub(crate) fn run(&mut self, server: &Server, amount: Amount) -> Vec<ClientError> {
        let Self { runtime, chance, sent, tasks } = self;
        runtime.block_on(async {
            let mut early = Vec::new();
            match open_connection(server).await {
                Ok(connection) => early.extend(open_books(&connection).await.err()),
                Err(error) => early.push(error),
            }
            let mut running = JoinSet::new();
            for _ in 0..amount.connections {
                *tasks += 1;
                let client = OneClient {
                    chance: Chance(chance.next()),
                    sent: Arc::clone(sent),
                    next_id: (u128::from(*tasks) << 64) + 1,
                    amount,
                };
                match open_connection(server).await {
                    Ok(connection) => drop(running.spawn(client.run(connection))),
                    Err(error) => early.push(error),
                }
            }
            while let Some(ended) = running.join_next().await {
                early.extend(ended.expect("no client panics").err());
            }
            early
        })
    }
}

async fn open_connection(server: &Server) -> Result<Connection, ClientError> {
    let options =
        ClientOptions { connect_timeout: PATIENCE, request_timeout: PATIENCE, ..ClientOptions::default() };
    Connection::open(server.address.clone(), &options).await
}

/// Asks for the same assets and wallets each time.
async fn open_books(connection: &Connection) -> Result<(), ClientError> {
    connection.create_assets(&[asset(USD, "USD"), asset(EUR, "EUR")]).await?;
    connection.create_wallets(&[system_wallet(BANK)]).await?;
    let wallets: Vec<NewWallet> = (2..=LAST_WALLET)
        .map(|id| NewWallet {
            balance_max: if id == LAST_WALLET { 500 } else { 0 },
            flags: if id == LAST_WALLET - 1 { WalletFlags::CREDIT_FROZEN } else { WalletFlags::default() },
            ..wallet(u128::from(id))
        })
        .collect();
    connection.create_wallets(&wallets).await?;
    Ok(())
}

struct OneClient {
    chance: Chance,
    sent: Arc<Mutex<Vec<Transfer>>>,
    next_id: u128,
    amount: Amount,
}

impl OneClient {
    async fn run(mut self, connection: Connection) -> Result<(), ClientError> {
        for _ in 0..self.amount.rounds {
            match self.chance.below(10) {
                0 => {
                    let ids: Vec<WalletId> = (1..=LAST_WALLET).map(|id| WalletId(u128::from(id))).collect();
                    connection.balances(&ids).await?;
                }
                1 => drop(connection.trial_balance().await?),
                2 => {
                    let ids: Vec<TransferId> = self.some_sent().iter().map(|sent| sent.id).collect();
                    connection.lookup_transfers(&ids).await?;
                }
                3 => {
                    let again = self.some_sent();
                    connection.create_transfers(&again).await?;
                }
                _ => {
                    let batch = self.new_batch();
                    self.sent.lock().expect("no client panics").extend(batch.iter().cloned());
                    connection.create_transfers(&batch).await?;
                }
            }
        }
        Ok(())
    }

    fn new_batch(&mut self) -> Vec<Transfer> {
        let count = match self.chance.below(3) {
            0 => 1,
            _ => 1 + self.chance.below(self.amount.batch_max),
        };
        (0..count).map(|_| self.new_transfer()).collect()
    }

    fn new_transfer(&mut self) -> Transfer {
        let id = self.next_id;
        self.next_id += 1;
        let to = 2 + self.chance.below(LAST_WALLET - 1);
        // From the bank it is accepted; between wallets often refused for good; from nowhere always.
        let from = match self.chance.below(10) {
            0..6 => u64::try_from(BANK).expect("small"),
            6..9 => 2 + self.chance.below(LAST_WALLET),
            _ => 900,
        };
        // Nothing, and to the same wallet, is refused without using up the id.
        let amount = self.chance.below(60);
        let bytes = if self.chance.below(4) == 0 { 0 } else { self.amount.metadata };
        let metadata = (0..bytes).map(|_| self.chance.next() as u8);
        let metadata = metadata.collect();
        Transfer { metadata, ..transfer(id, u128::from(from), u128::from(to), u128::from(amount)) }
    }

    /// A few of those that anybody has sent, one of them changed.
    fn some_sent(&mut self) -> Vec<Transfer> {
        let sent = self.sent.lock().expect("no client panics");
        if sent.is_empty() {
            return Vec::new();
        }
        let mut some: Vec<Transfer> =
            (0..5).map(|_| sent[self.chance.below(sent.len() as u64) as usize].clone()).collect();
        some[0].amount += u128::from(self.chance.below(2));
        // A batch with the same id twice would be answered in no certain order.
        some.sort_by_key(|transfer| transfer.id);
        some.dedup_by_key(|transfer| transfer.id);
        some
    }
}
