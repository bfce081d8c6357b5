//! A client for those who just want answers: a pool of pipelined connections that are opened on demand, with
//! slices split into requests and requests sent again until they are answered or time runs out.

use crate::call::CallFailure;
use crate::connection::{
    Connection, balance_views, orders_answered, outcomes, pending_page, pong, positions_at, records_page,
    statement_page, transfer_views, trial_balance, wallet_views, wallets_page,
};
use crate::endpoint::Endpoint;
use crate::error::ClientError;
use crate::options::ClientOptions;
use crate::statement_pages::StatementPages;
use crate::subscription::Subscription;
use ledger::{
    ImportId, NewWallet, Outcome, Pending, Post, Reversal, Transaction, Transfer, TransferId, Void, WalletId,
};
use protocol::{
    BalanceView, EventFilter, FlagChange, Limits, Moment, NewAsset, Operation, OrdersAnswered, PendingPage,
    PendingQuery, Pong, PositionsAt, RecordsPage, RecordsQuery, Reply, RequestRef, StatementPage,
    StatementQuery, TransferView, TrialBalance, WalletLimits, WalletMetadata, WalletView, WalletsPage,
    WalletsQuery,
};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::RwLock;
use tokio::time::Instant;

/// A client. A clone shares its connections.
///
/// Everything it asks for is safe to be sent again: reads by nature, writes by their ids, and changes of wallets
/// because they say what is to hold. So a call whose connection broke, or which the server had no room for, is
/// repeated with the same ids, and what an earlier attempt did comes back as `exists` with its first outcome.
/// (A change of a wallet that is repeated so undoes what somebody else has set in between.) Slices longer than
/// one request may be are sent as several, one after the other.
#[derive(Clone)]
pub struct Client {
    pool: Arc<Pool>,
    trace_id: u128,
}

struct Pool {
    endpoint: Endpoint,
    options: ClientOptions,
    limits: Limits,
    next: AtomicUsize,
    connections: Box<[RwLock<Option<Connection>>]>,
}

impl Client {
    /// Connects to `host:port`: one connection at once, to know that the server is there; others when needed.
    pub async fn connect(address: impl Into<String>, options: ClientOptions) -> Result<Self, ClientError> {
        Self::connect_to(Endpoint::tcp(address.into()), options).await
    }

    pub(crate) async fn connect_to(endpoint: Endpoint, options: ClientOptions) -> Result<Self, ClientError> {
        let first = Connection::dial(&endpoint, &options).await?;
        let limits = first.limits().clone();
        let connections: Box<[_]> = (0..options.connections.max(1)).map(|_| RwLock::new(None)).collect();
        if let Some(slot) = connections.first() {
            *slot.write().await = Some(first);
        }
        let pool = Pool { endpoint, options, limits, next: AtomicUsize::new(0), connections };
        Ok(Self { pool: Arc::new(pool), trace_id: 0 })
    }

    /// The same client, whose requests carry this trace id, which comes back in the server's logs.
    #[must_use]
    pub fn traced(&self, trace_id: u128) -> Self {
        Self { trace_id, ..self.clone() }
    }

    /// What the server lets one connection do, as it said at the first hello.
    pub fn limits(&self) -> &Limits {
        &self.pool.limits
    }

    /// Creates assets; one outcome each, in order.
    pub async fn create_assets(&self, assets: &[NewAsset]) -> Result<Vec<Outcome>, ClientError> {
        self.call_split(Operation::CreateAssets, assets, RequestRef::CreateAssets, outcomes).await
    }

    /// Opens wallets; one outcome each, in order.
    pub async fn create_wallets(&self, wallets: &[NewWallet]) -> Result<Vec<Outcome>, ClientError> {
        self.call_split(Operation::CreateWallets, wallets, RequestRef::CreateWallets, outcomes).await
    }

    /// Makes transfers; one outcome each, in order.
    pub async fn create_transfers(&self, transfers: &[Transfer]) -> Result<Vec<Outcome>, ClientError> {
        let request = |orders| RequestRef::CreateTransfers { orders, with_balances: false };
        self.call_split(Operation::CreateTransfers, transfers, request, outcomes).await
    }

    /// Makes transfers; one outcome each, in order, and the positions of their wallets after it.
    pub async fn create_transfers_with_balances(
        &self,
        transfers: &[Transfer],
    ) -> Result<OrdersAnswered, ClientError> {
        let request = |orders| RequestRef::CreateTransfers { orders, with_balances: true };
        self.call_split(Operation::CreateTransfers, transfers, request, orders_answered).await
    }

    /// Holds amounts; one outcome each, in order.
    pub async fn create_pending(&self, pending: &[Pending]) -> Result<Vec<Outcome>, ClientError> {
        let request = |orders| RequestRef::CreatePending { orders, with_balances: false };
        self.call_split(Operation::CreatePending, pending, request, outcomes).await
    }

    /// Holds amounts; one outcome each, in order, and the positions of their wallets after it.
    pub async fn create_pending_with_balances(
        &self,
        pending: &[Pending],
    ) -> Result<OrdersAnswered, ClientError> {
        let request = |orders| RequestRef::CreatePending { orders, with_balances: true };
        self.call_split(Operation::CreatePending, pending, request, orders_answered).await
    }

    /// Captures holds, in full or in part; one outcome each, in order.
    pub async fn post_pending(&self, posts: &[Post]) -> Result<Vec<Outcome>, ClientError> {
        let request = |orders| RequestRef::PostPending { orders, with_balances: false };
        self.call_split(Operation::PostPending, posts, request, outcomes).await
    }

    /// Captures holds; one outcome each, in order, and the positions of their wallets after it.
    pub async fn post_pending_with_balances(&self, posts: &[Post]) -> Result<OrdersAnswered, ClientError> {
        let request = |orders| RequestRef::PostPending { orders, with_balances: true };
        self.call_split(Operation::PostPending, posts, request, orders_answered).await
    }

    /// Releases holds; one outcome each, in order.
    pub async fn void_pending(&self, voids: &[Void]) -> Result<Vec<Outcome>, ClientError> {
        let request = |orders| RequestRef::VoidPending { orders, with_balances: false };
        self.call_split(Operation::VoidPending, voids, request, outcomes).await
    }

    /// Releases holds; one outcome each, in order, and the positions of their wallets after it.
    pub async fn void_pending_with_balances(&self, voids: &[Void]) -> Result<OrdersAnswered, ClientError> {
        let request = |orders| RequestRef::VoidPending { orders, with_balances: true };
        self.call_split(Operation::VoidPending, voids, request, orders_answered).await
    }

    /// Moves back what earlier orders have moved; one outcome each, in order.
    pub async fn reverse(&self, reversals: &[Reversal]) -> Result<Vec<Outcome>, ClientError> {
        let request = |orders| RequestRef::Reverse { orders, with_balances: false };
        self.call_split(Operation::Reverse, reversals, request, outcomes).await
    }

    /// Moves back what earlier orders have moved; one outcome each, in order, and the positions of their wallets
    /// after it.
    pub async fn reverse_with_balances(&self, reversals: &[Reversal]) -> Result<OrdersAnswered, ClientError> {
        let request = |orders| RequestRef::Reverse { orders, with_balances: true };
        self.call_split(Operation::Reverse, reversals, request, orders_answered).await
    }

    /// Does transactions, each in full or not at all; one outcome each, in order.
    pub async fn create_transactions(
        &self,
        transactions: &[Transaction],
    ) -> Result<Vec<Outcome>, ClientError> {
        let request = |orders| RequestRef::CreateTransactions { orders, with_balances: false };
        self.call_split(Operation::CreateTransactions, transactions, request, outcomes).await
    }

    /// Does transactions; one outcome each, in order, and the positions of their wallets after it.
    pub async fn create_transactions_with_balances(
        &self,
        transactions: &[Transaction],
    ) -> Result<OrdersAnswered, ClientError> {
        let request = |orders| RequestRef::CreateTransactions { orders, with_balances: true };
        self.call_split(Operation::CreateTransactions, transactions, request, orders_answered).await
    }

    /// Sets limits of wallets; one outcome each, in order.
    pub async fn set_limits(&self, limits: &[WalletLimits]) -> Result<Vec<Outcome>, ClientError> {
        self.call_split(Operation::SetLimits, limits, RequestRef::SetLimits, outcomes).await
    }

    /// Freezes, unfreezes, closes and reopens wallets; one outcome each, in order.
    pub async fn set_flags(&self, changes: &[FlagChange]) -> Result<Vec<Outcome>, ClientError> {
        self.call_split(Operation::SetFlags, changes, RequestRef::SetFlags, outcomes).await
    }

    /// Replaces metadata of wallets; one outcome each, in order.
    pub async fn set_metadata(&self, changes: &[WalletMetadata]) -> Result<Vec<Outcome>, ClientError> {
        self.call_split(Operation::SetMetadata, changes, RequestRef::SetMetadata, outcomes).await
    }

    /// Closes imports, which shows their wallets; one outcome each, in order.
    pub async fn close_imports(&self, imports: &[ImportId]) -> Result<Vec<Outcome>, ClientError> {
        self.call_split(Operation::CloseImports, imports, RequestRef::CloseImports, outcomes).await
    }

    /// Reads wallets; `None` where there is no such wallet.
    pub async fn lookup_wallets(&self, ids: &[WalletId]) -> Result<Vec<Option<WalletView>>, ClientError> {
        self.call_split(Operation::LookupWallets, ids, RequestRef::LookupWallets, wallet_views).await
    }

    /// Reads orders of any kind, with their outcomes and what has become of them; `None` where the id is not used up.
    pub async fn lookup_transfers(
        &self,
        ids: &[TransferId],
    ) -> Result<Vec<Option<TransferView>>, ClientError> {
        self.call_split(Operation::LookupTransfers, ids, RequestRef::LookupTransfers, transfer_views).await
    }

    /// Reads what wallets hold now; `None` where there is no such wallet.
    pub async fn balances(&self, ids: &[WalletId]) -> Result<Vec<Option<BalanceView>>, ClientError> {
        self.call_split(Operation::Balances, ids, RequestRef::Balances, balance_views).await
    }

    /// Sums up all wallets per asset.
    pub async fn trial_balance(&self) -> Result<TrialBalance, ClientError> {
        self.call_once(RequestRef::TrialBalance, trial_balance).await
    }

    /// Reads where wallets stood at a moment; `None` where there was no such wallet then.
    pub async fn balances_at(&self, at: Moment, ids: &[WalletId]) -> Result<PositionsAt, ClientError> {
        let operation = Operation::BalancesAt;
        let batch_max = self.pool.limits.batch_max(operation).max(1) as usize;
        let (first, rest) = ids.split_at(batch_max.min(ids.len()));
        let mut answer = self.call_once(RequestRef::BalancesAt { at, ids: first }, positions_at).await?;
        // All of them at the same moment, whatever it was.
        let at = Moment::Seq(answer.as_of_seq);
        for ids in rest.chunks(batch_max) {
            let further = self.call_once(RequestRef::BalancesAt { at, ids }, positions_at).await?;
            answer.positions.extend(further.positions);
        }
        Ok(answer)
    }

    /// Reads one page of what was done to a wallet.
    pub async fn statement(&self, query: &StatementQuery) -> Result<StatementPage, ClientError> {
        self.call_once(RequestRef::Statement(query), statement_page).await
    }

    /// Reads what was done to a wallet, page by page.
    pub fn statement_pages(&self, query: StatementQuery) -> StatementPages {
        StatementPages::new(self.clone(), query)
    }

    /// Reads one page of the open holds of a wallet.
    pub async fn list_pending(&self, query: &PendingQuery) -> Result<PendingPage, ClientError> {
        self.call_once(RequestRef::ListPending(query), pending_page).await
    }

    /// Reads one page of wallets.
    pub async fn list_wallets(&self, query: &WalletsQuery) -> Result<WalletsPage, ClientError> {
        self.call_once(RequestRef::ListWallets(query), wallets_page).await
    }

    /// Reads records of the journal as they are on disk.
    pub async fn read_records(&self, query: RecordsQuery) -> Result<RecordsPage, ClientError> {
        self.call_once(RequestRef::ReadRecords(query), records_page).await
    }

    /// Subscribes to the entries of the journal from one on, or with `None` to those that are not durable yet. Nothing
    /// happens before the first event is asked for.
    pub fn subscribe(&self, from_seq: Option<u64>, filter: EventFilter) -> Subscription {
        Subscription::new(self.clone(), from_seq, filter)
    }

    pub(crate) fn options(&self) -> &ClientOptions {
        &self.pool.options
    }

    pub(crate) async fn connection(&self) -> Result<Connection, ClientError> {
        Ok(self.pool.connection().await?.traced(self.trace_id))
    }

    pub(crate) fn backoff(&self, attempt: u32) -> Duration {
        backoff(&self.pool.options, attempt)
    }

    /// Asks whether the server is there.
    pub async fn ping(&self) -> Result<Pong, ClientError> {
        self.call_once(RequestRef::Ping, pong).await
    }

    async fn call_once<T>(
        &self,
        request: RequestRef<'_>,
        take: fn(Reply) -> Option<T>,
    ) -> Result<T, ClientError> {
        let operation = request.operation();
        let deadline = Instant::now() + self.pool.options.request_timeout;
        let reply =
            self.persist(request, deadline).await.map_err(|failure| failure.into_error(operation, 0))?;
        take(reply).ok_or(ClientError::UnexpectedReply { operation })
    }

    async fn call_split<'a, Item, Answers: Batch>(
        &self,
        operation: Operation,
        items: &'a [Item],
        request: impl Fn(&'a [Item]) -> RequestRef<'a>,
        take: fn(Reply) -> Option<Answers>,
    ) -> Result<Answers, ClientError> {
        let deadline = Instant::now() + self.pool.options.request_timeout;
        let batch_max = self.pool.limits.batch_max(operation).max(1) as usize;
        let mut answers = Answers::default();
        // An empty slice is answered without asking.
        for batch in items.chunks(batch_max) {
            let answered = answers.count();
            let failed = |failure: CallFailure| failure.into_error(operation, answered);
            let reply = self.persist(request(batch), deadline).await.map_err(failed)?;
            let unexpected = || failed(CallFailure::sent(ClientError::UnexpectedReply { operation }));
            answers.append(take(reply).ok_or_else(unexpected)?);
        }
        Ok(answers)
    }

    /// Sends one request, and again until it is answered, the retries are used up or time has run out.
    async fn persist(&self, request: RequestRef<'_>, deadline: Instant) -> Result<Reply, CallFailure> {
        let options = &self.pool.options;
        let mut sent = false;
        let mut attempt = 0;
        loop {
            let connecting = tokio::time::timeout_at(deadline, self.pool.connection()).await;
            let result = match connecting {
                Ok(Ok(connection)) => {
                    let left = deadline.saturating_duration_since(Instant::now());
                    connection.attempt(request, self.trace_id, left).await
                }
                Ok(Err(error)) => Err(CallFailure::unsent(error)),
                Err(_) => Err(CallFailure::unsent(ClientError::TimedOut { operation: request.operation() })),
            };
            let mut failure = match result {
                Ok(reply) => return Ok(reply),
                Err(failure) => failure,
            };
            // Also an attempt that surely did nothing leaves open what the ones before it did.
            sent |= failure.sent;
            failure.sent = sent;
            let pause = backoff(options, attempt).max(failure.retry_after());
            if !failure.is_retryable() || attempt >= options.retries || Instant::now() + pause >= deadline {
                return Err(failure);
            }
            attempt += 1;
            tokio::time::sleep(pause).await;
        }
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("address", &self.pool.endpoint.address())
            .field("options", &self.pool.options)
            .field("limits", &self.pool.limits)
            .finish_non_exhaustive()
    }
}

impl Pool {
    /// The next connection in turn, opened if it is not there or broken.
    async fn connection(&self) -> Result<Connection, ClientError> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.connections.len();
        let slot = &self.connections[turn];
        if let Some(open) = slot.read().await.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(open.clone());
        }
        // Whoever comes first opens it; the others wait for it.
        let mut slot = slot.write().await;
        if let Some(open) = slot.as_ref().filter(|connection| !connection.is_closed()) {
            return Ok(open.clone());
        }
        let opened = Connection::dial(&self.endpoint, &self.options).await?;
        *slot = Some(opened.clone());
        Ok(opened)
    }
}

/// A random pause that doubles with each attempt, so that many clients do not come back all at once.
fn backoff(options: &ClientOptions, attempt: u32) -> Duration {
    let longest = options.backoff_min.saturating_mul(1 << attempt.min(16)).min(options.backoff_max);
    longest.mul_f64(rand::random_range(0.5..=1.0))
}

/// Answers to a batch, which is put together from those of its parts.
trait Batch: Default {
    fn count(&self) -> usize;
    fn append(&mut self, further: Self);
}

impl<Answer> Batch for Vec<Answer> {
    fn count(&self) -> usize {
        self.len()
    }

    fn append(&mut self, further: Self) {
        if self.is_empty() {
            *self = further;
        } else {
            self.extend(further);
        }
    }
}

impl Batch for OrdersAnswered {
    fn count(&self) -> usize {
        self.outcomes.len()
    }

    fn append(&mut self, further: Self) {
        Batch::append(&mut self.outcomes, further.outcomes);
        Batch::append(&mut self.positions, further.positions);
    }
}
