//! One pipelined connection: many calls under way at once, their frames written together, their replies
//! handed out as they come. It neither retries nor splits; [`crate::Client`] does.

use crate::call::CallFailure;
use crate::endpoint::{ByteReader, ByteWriter, Endpoint, split};
use crate::error::ClientError;
use crate::event_stream::EventStream;
use crate::frame_reader::{FrameReader, ReadFault};
use crate::options::ClientOptions;
use ledger::{
    ImportId, NewWallet, Outcome, Pending, Post, Reversal, Transaction, Transfer, TransferId, Void, WalletId,
};
use protocol::limits::NAME_LENGTH_MAX;
use protocol::{
    BalanceView, Events, FlagChange, FrameError, HELLO_FRAME_MAX, Hello, Limits, Moment, NewAsset, Operation,
    OrdersAnswered, PROTOCOL_VERSION, PendingPage, PendingQuery, Pong, PositionsAt, RecordsPage,
    RecordsQuery, Reply, RequestHead, RequestRef, StatementPage, StatementQuery, Subscribe, TransferView,
    TrialBalance, WalletLimits, WalletMetadata, WalletView, WalletsPage, WalletsQuery, Welcome, decode_reply,
    encode_hello, encode_request,
};
use slab::Slab;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};
use tokio::task::AbortHandle;

/// Calls wait when so many bytes are waiting to be written: the server does not read as fast as they call.
const WRITE_BACKLOG_MAX: usize = 8 * 1024 * 1024;

/// A write buffer that a large batch has made larger than this is not kept.
const WRITE_BUFFER_KEPT: usize = 1024 * 1024;

/// The request id of the hello. Other ids have a slot number above 0 in their low half.
const HELLO_REQUEST_ID: u64 = 1 << 32;

/// A connection. A clone is the same connection; it is closed when the last clone is dropped.
#[derive(Clone)]
pub struct Connection {
    inner: Arc<Inner>,
    trace_id: u128,
}

/// What the handles own. The driver tasks do not own it, so that they end with the last handle.
struct Inner {
    shared: Arc<Shared>,
    welcome: Welcome,
    request_timeout: Duration,
    tasks: [AbortHandle; 2],
}

impl Drop for Inner {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

/// What the handles and the two driver tasks share.
struct Shared {
    calls: Mutex<Calls>,
    /// Tells the writer that there is something to write.
    to_write: Notify,
    /// Tells calls that the writer has taken what was to be written.
    taken: Notify,
    /// One permit for each request that the server lets be under way.
    permits: Semaphore,
    /// How many frames came. A connection on which none comes while a call times out is given up.
    received: AtomicU64,
}

struct Calls {
    slots: Slab<Slot>,
    /// Counts the calls, so that no two have the same request id.
    count: u32,
    to_write: Vec<u8>,
    /// Whether the writer has been told and has not taken the buffer yet.
    writer_told: bool,
    closed: Option<Arc<str>>,
}

/// A request that is under way. It stays until its reply comes, also when nobody waits for it any more: the
/// server counts it, too.
struct Slot {
    request_id: u64,
    operation: Operation,
    answer: Answer,
}

/// Where what answers a request goes.
enum Answer {
    /// One reply.
    Once(oneshot::Sender<Result<Reply, CallFailure>>),
    /// As many as come, which the credit bounds, until the subscription ends.
    Stream {
        events: EventsSender,
        /// Whether the first one has come: from then on, the server does not count it as under way.
        begun: bool,
    },
}

pub(crate) type EventsReceiver = mpsc::UnboundedReceiver<Result<Events, CallFailure>>;
type EventsSender = mpsc::UnboundedSender<Result<Events, CallFailure>>;

/// A reply that has found its slot.
enum Found {
    /// The slot, which is free now.
    Call(Slot),
    /// The slot stays. `begins` with the first reply.
    Subscription { events: EventsSender, begins: bool },
}

impl Answer {
    fn fail(self, failure: CallFailure) {
        // A failed send is a call that nobody waits for any more.
        match self {
            Self::Once(answer) => drop(answer.send(Err(failure))),
            Self::Stream { events, .. } => drop(events.send(Err(failure))),
        }
    }
}

impl Connection {
    /// Connects to `host:port` and says hello.
    pub async fn open(address: impl Into<String>, options: &ClientOptions) -> Result<Self, ClientError> {
        Self::dial(&Endpoint::tcp(address.into()), options).await
    }

    /// Says hello over a stream that is there already.
    pub async fn over(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        options: &ClientOptions,
    ) -> Result<Self, ClientError> {
        let (reader, writer) = split(stream);
        let opening = Self::say_hello(reader, writer, options);
        tokio::time::timeout(options.connect_timeout, opening)
            .await
            .unwrap_or(Err(ClientError::TimedOut { operation: Operation::Hello }))
    }

    pub(crate) async fn dial(endpoint: &Endpoint, options: &ClientOptions) -> Result<Self, ClientError> {
        let opening = async {
            let (reader, writer) = endpoint
                .dial()
                .await
                .map_err(|source| ClientError::Connect { address: endpoint.address().to_owned(), source })?;
            Self::say_hello(reader, writer, options).await
        };
        tokio::time::timeout(options.connect_timeout, opening).await.unwrap_or_else(|_| {
            let source = std::io::ErrorKind::TimedOut.into();
            Err(ClientError::Connect { address: endpoint.address().to_owned(), source })
        })
    }

    async fn say_hello(
        reader: ByteReader,
        mut writer: ByteWriter,
        options: &ClientOptions,
    ) -> Result<Self, ClientError> {
        let hello = Hello {
            version_min: PROTOCOL_VERSION,
            version_max: PROTOCOL_VERSION,
            client_name: options.name[..options.name.floor_char_boundary(NAME_LENGTH_MAX)].to_owned(),
            credentials: options.credentials.clone(),
        };
        let mut frame = Vec::new();
        encode_hello(HELLO_REQUEST_ID, &hello, &mut frame);
        writer.write_all(&frame).await.map_err(|error| lost(&error))?;
        let mut frames = FrameReader::new(reader, HELLO_FRAME_MAX);
        let reply = loop {
            if let Some((header, body)) = frames.buffered()? {
                break decode_reply(header.message_type, body)?;
            }
            frames.fill().await.map_err(ClientError::from)?;
        };
        let welcome = match reply {
            Reply::Hello(welcome) if welcome.version == PROTOCOL_VERSION => welcome,
            Reply::Hello(welcome) => {
                return Err(FrameError::UnsupportedVersion { found: welcome.version }.into());
            }
            Reply::Error(error) => return Err(error.into()),
            _ => return Err(ClientError::UnexpectedReply { operation: Operation::Hello }),
        };
        frames.set_frame_limit(welcome.limits.frame_bytes_max);
        let permits = usize::try_from(welcome.limits.requests_in_flight_max).unwrap_or(usize::MAX);
        let shared = Arc::new(Shared {
            calls: Mutex::new(Calls {
                slots: Slab::new(),
                count: 0,
                to_write: Vec::new(),
                writer_told: false,
                closed: None,
            }),
            to_write: Notify::new(),
            taken: Notify::new(),
            permits: Semaphore::new(permits.clamp(1, Semaphore::MAX_PERMITS)),
            received: AtomicU64::new(0),
        });
        let tasks = [
            tokio::spawn(write_frames(Arc::clone(&shared), writer)).abort_handle(),
            tokio::spawn(read_replies(Arc::clone(&shared), frames)).abort_handle(),
        ];
        let request_timeout = options.request_timeout;
        Ok(Self { inner: Arc::new(Inner { shared, welcome, request_timeout, tasks }), trace_id: 0 })
    }

    /// The same connection, whose requests carry this trace id, which comes back in the server's logs.
    #[must_use]
    pub fn traced(&self, trace_id: u128) -> Self {
        Self { trace_id, ..self.clone() }
    }

    /// What the server said it lets a connection do.
    pub fn limits(&self) -> &Limits {
        &self.inner.welcome.limits
    }

    /// The server's answer to the hello.
    pub fn welcome(&self) -> &Welcome {
        &self.inner.welcome
    }

    /// Whether calls can no longer be made on it.
    pub fn is_closed(&self) -> bool {
        self.inner.shared.lock().closed.is_some()
    }

    /// How many requests are under way, those included for whose replies nobody waits any more.
    pub fn in_flight(&self) -> usize {
        self.inner.shared.lock().slots.len()
    }

    /// Creates assets; one outcome each, in order.
    pub async fn create_assets(&self, assets: &[NewAsset]) -> Result<Vec<Outcome>, ClientError> {
        self.call(RequestRef::CreateAssets(assets), outcomes).await
    }

    /// Opens wallets; one outcome each, in order.
    pub async fn create_wallets(&self, wallets: &[NewWallet]) -> Result<Vec<Outcome>, ClientError> {
        self.call(RequestRef::CreateWallets(wallets), outcomes).await
    }

    /// Makes transfers; one outcome each, in order.
    pub async fn create_transfers(&self, transfers: &[Transfer]) -> Result<Vec<Outcome>, ClientError> {
        self.call(RequestRef::CreateTransfers { orders: transfers, with_balances: false }, outcomes).await
    }

    /// Makes transfers; one outcome each, in order, and the positions of their wallets after it.
    pub async fn create_transfers_with_balances(
        &self,
        transfers: &[Transfer],
    ) -> Result<OrdersAnswered, ClientError> {
        self.call(RequestRef::CreateTransfers { orders: transfers, with_balances: true }, orders_answered)
            .await
    }

    /// Holds amounts; one outcome each, in order.
    pub async fn create_pending(&self, pending: &[Pending]) -> Result<Vec<Outcome>, ClientError> {
        self.call(RequestRef::CreatePending { orders: pending, with_balances: false }, outcomes).await
    }

    /// Holds amounts; one outcome each, in order, and the positions of their wallets after it.
    pub async fn create_pending_with_balances(
        &self,
        pending: &[Pending],
    ) -> Result<OrdersAnswered, ClientError> {
        self.call(RequestRef::CreatePending { orders: pending, with_balances: true }, orders_answered).await
    }

    /// Captures holds, in full or in part; one outcome each, in order.
    pub async fn post_pending(&self, posts: &[Post]) -> Result<Vec<Outcome>, ClientError> {
        self.call(RequestRef::PostPending { orders: posts, with_balances: false }, outcomes).await
    }

    /// Captures holds; one outcome each, in order, and the positions of their wallets after it.
    pub async fn post_pending_with_balances(&self, posts: &[Post]) -> Result<OrdersAnswered, ClientError> {
        self.call(RequestRef::PostPending { orders: posts, with_balances: true }, orders_answered).await
    }

    /// Releases holds; one outcome each, in order.
    pub async fn void_pending(&self, voids: &[Void]) -> Result<Vec<Outcome>, ClientError> {
        self.call(RequestRef::VoidPending { orders: voids, with_balances: false }, outcomes).await
    }

    /// Releases holds; one outcome each, in order, and the positions of their wallets after it.
    pub async fn void_pending_with_balances(&self, voids: &[Void]) -> Result<OrdersAnswered, ClientError> {
        self.call(RequestRef::VoidPending { orders: voids, with_balances: true }, orders_answered).await
    }

    /// Moves back what earlier orders have moved; one outcome each, in order.
    pub async fn reverse(&self, reversals: &[Reversal]) -> Result<Vec<Outcome>, ClientError> {
        self.call(RequestRef::Reverse { orders: reversals, with_balances: false }, outcomes).await
    }

    /// Moves back what earlier orders have moved; one outcome each, in order, and the positions of their wallets
    /// after it.
    pub async fn reverse_with_balances(&self, reversals: &[Reversal]) -> Result<OrdersAnswered, ClientError> {
        self.call(RequestRef::Reverse { orders: reversals, with_balances: true }, orders_answered).await
    }

    /// Does transactions, each in full or not at all; one outcome each, in order.
    pub async fn create_transactions(
        &self,
        transactions: &[Transaction],
    ) -> Result<Vec<Outcome>, ClientError> {
        self.call(RequestRef::CreateTransactions { orders: transactions, with_balances: false }, outcomes)
            .await
    }

    /// Does transactions; one outcome each, in order, and the positions of their wallets after it.
    pub async fn create_transactions_with_balances(
        &self,
        transactions: &[Transaction],
    ) -> Result<OrdersAnswered, ClientError> {
        self.call(
            RequestRef::CreateTransactions { orders: transactions, with_balances: true },
            orders_answered,
        )
        .await
    }

    /// Sets limits of wallets; one outcome each, in order.
    pub async fn set_limits(&self, limits: &[WalletLimits]) -> Result<Vec<Outcome>, ClientError> {
        self.call(RequestRef::SetLimits(limits), outcomes).await
    }

    /// Freezes, unfreezes, closes and reopens wallets; one outcome each, in order.
    pub async fn set_flags(&self, changes: &[FlagChange]) -> Result<Vec<Outcome>, ClientError> {
        self.call(RequestRef::SetFlags(changes), outcomes).await
    }

    /// Replaces metadata of wallets; one outcome each, in order.
    pub async fn set_metadata(&self, changes: &[WalletMetadata]) -> Result<Vec<Outcome>, ClientError> {
        self.call(RequestRef::SetMetadata(changes), outcomes).await
    }

    /// Closes imports, which shows their wallets; one outcome each, in order.
    pub async fn close_imports(&self, imports: &[ImportId]) -> Result<Vec<Outcome>, ClientError> {
        self.call(RequestRef::CloseImports(imports), outcomes).await
    }

    /// Reads wallets; `None` where there is no such wallet.
    pub async fn lookup_wallets(&self, ids: &[WalletId]) -> Result<Vec<Option<WalletView>>, ClientError> {
        self.call(RequestRef::LookupWallets(ids), wallet_views).await
    }

    /// Reads orders of any kind, with their outcomes and what has become of them; `None` where the id is not used up.
    pub async fn lookup_transfers(
        &self,
        ids: &[TransferId],
    ) -> Result<Vec<Option<TransferView>>, ClientError> {
        self.call(RequestRef::LookupTransfers(ids), transfer_views).await
    }

    /// Reads what wallets hold now; `None` where there is no such wallet.
    pub async fn balances(&self, ids: &[WalletId]) -> Result<Vec<Option<BalanceView>>, ClientError> {
        self.call(RequestRef::Balances(ids), balance_views).await
    }

    /// Sums up all wallets per asset.
    pub async fn trial_balance(&self) -> Result<TrialBalance, ClientError> {
        self.call(RequestRef::TrialBalance, trial_balance).await
    }

    /// Asks whether the server is there.
    pub async fn ping(&self) -> Result<Pong, ClientError> {
        self.call(RequestRef::Ping, pong).await
    }

    /// Reads where wallets stood at a moment; `None` where there was no such wallet then.
    pub async fn balances_at(&self, at: Moment, ids: &[WalletId]) -> Result<PositionsAt, ClientError> {
        self.call(RequestRef::BalancesAt { at, ids }, positions_at).await
    }

    /// Reads a page of what was done to a wallet.
    pub async fn statement(&self, query: &StatementQuery) -> Result<StatementPage, ClientError> {
        self.call(RequestRef::Statement(query), statement_page).await
    }

    /// Reads a page of the open holds of a wallet.
    pub async fn list_pending(&self, query: &PendingQuery) -> Result<PendingPage, ClientError> {
        self.call(RequestRef::ListPending(query), pending_page).await
    }

    /// Reads a page of wallets.
    pub async fn list_wallets(&self, query: &WalletsQuery) -> Result<WalletsPage, ClientError> {
        self.call(RequestRef::ListWallets(query), wallets_page).await
    }

    /// Reads records of the journal as they are on disk.
    pub async fn read_records(&self, query: RecordsQuery) -> Result<RecordsPage, ClientError> {
        self.call(RequestRef::ReadRecords(query), records_page).await
    }

    /// Subscribes to the entries of the journal. [`crate::Client::subscribe`] also goes on after a break.
    pub async fn subscribe(&self, what: &Subscribe) -> Result<EventStream, ClientError> {
        let (events, receiver) = mpsc::unbounded_channel();
        let answer = Answer::Stream { events, begun: false };
        let head = RequestHead { deadline_ms: 0, trace_id: self.trace_id };
        let sent = self.inner.shared.send(RequestRef::Subscribe(what), head, self.frame_limit(), answer);
        let subscription = tokio::time::timeout(self.inner.request_timeout, sent)
            .await
            .unwrap_or(Err(CallFailure::unsent(ClientError::TimedOut { operation: Operation::Subscribe })))
            .map_err(|failure| failure.error)?;
        Ok(EventStream::new(self.clone(), subscription, receiver))
    }

    /// Sends a request whose reply nobody waits for.
    pub(crate) async fn tell(&self, request: RequestRef<'_>) -> Result<(), ClientError> {
        let (sender, _nobody) = oneshot::channel();
        let head = RequestHead { deadline_ms: 0, trace_id: self.trace_id };
        let sent = self.inner.shared.send(request, head, self.frame_limit(), Answer::Once(sender)).await;
        sent.map(drop).map_err(|failure| failure.error)
    }

    /// Ends a subscription that nobody listens to any more.
    pub(crate) async fn end_subscription(self, subscription: u64) {
        let request = RequestRef::Unsubscribe(subscription);
        let _ended = self.attempt(request, self.trace_id, self.inner.request_timeout).await;
        // Nothing of it comes after the reply.
        self.inner.shared.lock().forget(subscription);
    }

    /// Gives the connection up: all calls that are under way fail.
    pub(crate) fn give_up(&self, reason: &str) {
        self.inner.shared.close(reason);
    }

    fn frame_limit(&self) -> u32 {
        self.limits().frame_bytes_max
    }

    async fn call<T>(&self, request: RequestRef<'_>, take: fn(Reply) -> Option<T>) -> Result<T, ClientError> {
        let operation = request.operation();
        match self.attempt(request, self.trace_id, self.inner.request_timeout).await {
            Ok(reply) => take(reply).ok_or(ClientError::UnexpectedReply { operation }),
            Err(failure) => Err(failure.into_error(operation, 0)),
        }
    }

    /// One request and its reply, or why there is none and whether the server may have seen it.
    pub(crate) async fn attempt(
        &self,
        request: RequestRef<'_>,
        trace_id: u128,
        timeout: Duration,
    ) -> Result<Reply, CallFailure> {
        let operation = request.operation();
        let (given, max) = (request.operation_count(), self.limits().batch_max(operation));
        if given as u64 > u64::from(max) {
            return Err(CallFailure::unsent(ClientError::BatchTooLarge { operation, given, max }));
        }
        if timeout.is_zero() {
            return Err(CallFailure::unsent(ClientError::TimedOut { operation }));
        }
        let shared = &*self.inner.shared;
        let received_before = shared.received.load(Ordering::Relaxed);
        // A deadline of 0 would mean none.
        let deadline_ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX).max(1);
        let head = RequestHead { deadline_ms, trace_id };
        let mut sent = false;
        let answered = tokio::time::timeout(timeout, async {
            let (sender, answer) = oneshot::channel();
            shared.send(request, head, self.frame_limit(), Answer::Once(sender)).await?;
            sent = true;
            answer.await.unwrap_or_else(|_| Err(CallFailure::sent(shared.lost())))
        });
        if let Ok(result) = answered.await {
            // A caller may rely on there being an answer to each item.
            return result.and_then(|reply| {
                if let Some(status) = reply.refusal() {
                    return Err(CallFailure::sent(ClientError::QueryRefused { operation, status }));
                }
                let complete = reply.answer_count() == given && has_positions_asked_for(&reply, request);
                let unexpected = || CallFailure::sent(ClientError::UnexpectedReply { operation });
                if complete { Ok(reply) } else { Err(unexpected()) }
            });
        }
        if sent && shared.received.load(Ordering::Relaxed) == received_before {
            shared.close("the server sent nothing while a request timed out");
        }
        Err(CallFailure { error: ClientError::TimedOut { operation }, sent })
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("welcome", self.welcome())
            .field("closed", &self.is_closed())
            .finish()
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Calls> {
        self.calls.lock().expect("nothing panics while it holds the calls")
    }

    /// Puts the request's frame where the writer takes it from. Returns the request's id. If this is given up while it
    /// waits, nothing is sent.
    async fn send(
        &self,
        request: RequestRef<'_>,
        head: RequestHead,
        frame_limit: u32,
        answer: Answer,
    ) -> Result<u64, CallFailure> {
        let permit = match self.permits.try_acquire() {
            Ok(permit) => permit,
            Err(_) => self.permits.acquire().await.map_err(|_| CallFailure::unsent(self.lost()))?,
        };
        loop {
            let taken = {
                let mut calls = self.lock();
                if calls.closed.is_some() {
                    drop(calls);
                    return Err(CallFailure::unsent(self.lost()));
                }
                if calls.to_write.len() < WRITE_BACKLOG_MAX {
                    let request_id = calls.enter(request, head, frame_limit, answer)?;
                    let tell = !std::mem::replace(&mut calls.writer_told, true);
                    drop(calls);
                    if tell {
                        self.to_write.notify_one();
                    }
                    // From here on the slot stands for it; the reader gives it back.
                    permit.forget();
                    return Ok(request_id);
                }
                // Made under the lock, so that the writer cannot have taken the buffer in between unnoticed.
                self.taken.notified()
            };
            taken.await;
        }
    }

    /// Ends the connection: all calls under way are told why, later ones too. The first reason stays.
    fn close(&self, reason: &str) {
        let reason: Arc<str> = reason.into();
        let mut calls = self.lock();
        if calls.closed.is_some() {
            return;
        }
        calls.closed = Some(Arc::clone(&reason));
        let slots = std::mem::take(&mut calls.slots);
        calls.to_write = Vec::new();
        drop(calls);
        for (_, slot) in slots {
            let error = ClientError::ConnectionLost { reason: Arc::clone(&reason) };
            slot.answer.fail(CallFailure::sent(error));
        }
        self.permits.close();
        self.taken.notify_waiters();
        self.to_write.notify_one();
    }

    fn lost(&self) -> ClientError {
        let reason = self.lock().closed.clone();
        ClientError::ConnectionLost { reason: reason.unwrap_or_else(|| "it was closed here".into()) }
    }

    /// Hands out one reply, and says whether one request less is under way. An error ends the connection.
    fn dispatch(&self, message_type: u8, request_id: u64, body: &[u8]) -> Result<bool, String> {
        let decoded = decode_reply(message_type, body);
        if request_id == 0 {
            return Err(match decoded {
                Ok(Reply::Error(error)) => format!("the server says {error}"),
                Ok(_) => "the server sent a reply to no request".to_owned(),
                Err(error) => error.to_string(),
            });
        }
        let found = self.lock().find(request_id);
        let slot = match found {
            None => {
                return Err(format!("the server answered request {request_id:#x}, which is not under way"));
            }
            Some(Found::Call(slot)) => slot,
            Some(Found::Subscription { events, begins }) => {
                return self.hand_out_events(request_id, decoded, &events).map(|()| begins);
            }
        };
        let (answer, fault) = match decoded {
            Ok(Reply::Error(error)) => {
                let fault = error.code.is_fatal().then(|| format!("the server says {error}"));
                let sent = error.code.leaves_outcome_unknown();
                (Err(CallFailure { error: error.into(), sent }), fault)
            }
            Ok(reply) if reply.operation() == Some(slot.operation) => (Ok(reply), None),
            Ok(_) => {
                let fault = format!("the server answered {} with another message", slot.operation);
                let error = ClientError::UnexpectedReply { operation: slot.operation };
                (Err(CallFailure::sent(error)), Some(fault))
            }
            Err(error) => {
                let fault = (!is_newer(&error)).then(|| error.to_string());
                (Err(CallFailure::sent(error.into())), fault)
            }
        };
        if let Answer::Once(waiting) = slot.answer {
            let _ = waiting.send(answer);
        }
        fault.map_or(Ok(true), Err)
    }

    /// Hands out a frame of a subscription, or that it has ended.
    fn hand_out_events(
        &self,
        subscription: u64,
        decoded: Result<Reply, FrameError>,
        events: &EventsSender,
    ) -> Result<(), String> {
        let operation = Operation::Subscribe;
        let (failure, fault) = match decoded {
            Ok(Reply::Events(Ok(told))) => {
                // If nobody listens any more, its end has been asked for.
                let _ = events.send(Ok(told));
                return Ok(());
            }
            Ok(Reply::Events(Err(status))) => (ClientError::QueryRefused { operation, status }, None),
            Ok(Reply::Error(error)) => {
                let fault = error.code.is_fatal().then(|| format!("the server says {error}"));
                (error.into(), fault)
            }
            Ok(_) => {
                let fault = format!("the server answered {operation} with another message");
                (ClientError::UnexpectedReply { operation }, Some(fault))
            }
            Err(error) => {
                let fault = (!is_newer(&error)).then(|| error.to_string());
                (error.into(), fault)
            }
        };
        let _ = events.send(Err(CallFailure::sent(failure)));
        self.lock().forget(subscription);
        fault.map_or(Ok(()), Err)
    }
}

/// A number that only a newer client knows leaves all other replies readable.
fn is_newer(error: &FrameError) -> bool {
    matches!(error, FrameError::UnknownStatus { .. } | FrameError::UnknownErrorCode { .. })
}

impl Calls {
    /// Makes a slot for the request and encodes its frame.
    fn enter(
        &mut self,
        request: RequestRef<'_>,
        head: RequestHead,
        frame_limit: u32,
        answer: Answer,
    ) -> Result<u64, CallFailure> {
        let entry = self.slots.vacant_entry();
        self.count = self.count.wrapping_add(1);
        let low = u32::try_from(entry.key() + 1).expect("fewer than 2^32 requests are under way");
        let request_id = u64::from(self.count) << 32 | u64::from(low);
        encode_request(request_id, head, request, frame_limit, &mut self.to_write)
            .map_err(|error| CallFailure::unsent(error.into()))?;
        entry.insert(Slot { request_id, operation: request.operation(), answer });
        Ok(request_id)
    }

    /// Whom a reply is for. The slot of a call is free then, that of a subscription stays.
    fn find(&mut self, request_id: u64) -> Option<Found> {
        let key = self.key(request_id)?;
        if let Answer::Stream { events, begun } = &mut self.slots.get_mut(key)?.answer {
            let begins = !std::mem::replace(begun, true);
            return Some(Found::Subscription { events: events.clone(), begins });
        }
        Some(Found::Call(self.slots.remove(key)))
    }

    /// Frees the slot of a subscription that has ended.
    fn forget(&mut self, subscription: u64) {
        if let Some(key) = self.key(subscription) {
            self.slots.remove(key);
        }
    }

    fn key(&self, request_id: u64) -> Option<usize> {
        let key = ((request_id & u64::from(u32::MAX)) as usize).checked_sub(1)?;
        (self.slots.get(key)?.request_id == request_id).then_some(key)
    }
}

/// Writes what calls have encoded, all that has gathered at once.
async fn write_frames(shared: Arc<Shared>, mut writer: ByteWriter) {
    let mut writing = Vec::new();
    loop {
        shared.to_write.notified().await;
        {
            let mut calls = shared.lock();
            if calls.closed.is_some() {
                return;
            }
            calls.writer_told = false;
            std::mem::swap(&mut calls.to_write, &mut writing);
        }
        shared.taken.notify_waiters();
        if let Err(error) = writer.write_all(&writing).await {
            shared.close(&format!("writing failed: {error}"));
            return;
        }
        if writing.capacity() > WRITE_BUFFER_KEPT {
            writing = Vec::new();
        }
        writing.clear();
    }
}

/// Reads replies and hands them out, until the connection ends.
async fn read_replies(shared: Arc<Shared>, mut frames: FrameReader<ByteReader>) {
    loop {
        let (mut count, mut answered) = (0, 0);
        let fault = loop {
            match frames.buffered() {
                Ok(Some((header, body))) => {
                    count += 1;
                    match shared.dispatch(header.message_type, header.request_id, body) {
                        Ok(one_less) => answered += usize::from(one_less),
                        Err(fault) => break Some(fault),
                    }
                }
                Ok(None) => break None,
                Err(error) => break Some(error.to_string()),
            }
        };
        shared.received.fetch_add(count, Ordering::Relaxed);
        if let Some(fault) = fault {
            return shared.close(&fault);
        }
        shared.permits.add_permits(answered);
        if let Err(fault) = frames.fill().await {
            return shared.close(&fault.to_string());
        }
    }
}

impl fmt::Display for ReadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed => f.write_str("the server closed it"),
            Self::Io(error) => write!(f, "reading failed: {error}"),
            Self::Frame(error) => error.fmt(f),
        }
    }
}

impl From<ReadFault> for ClientError {
    fn from(fault: ReadFault) -> Self {
        match fault {
            ReadFault::Frame(source) => Self::Protocol { source },
            ReadFault::Closed | ReadFault::Io(_) => Self::ConnectionLost { reason: fault.to_string().into() },
        }
    }
}

fn lost(error: &std::io::Error) -> ClientError {
    ClientError::ConnectionLost { reason: format!("writing failed: {error}").into() }
}

fn has_positions_asked_for(reply: &Reply, request: RequestRef<'_>) -> bool {
    let Some(answered) = reply.orders_answered() else { return true };
    answered.positions.len() == if request.with_balances() { request.operation_count() } else { 0 }
}

/// Outcomes alone, of whatever has outcomes.
pub(crate) fn outcomes(reply: Reply) -> Option<Vec<Outcome>> {
    match reply {
        Reply::CreateAssets(outcomes)
        | Reply::CreateWallets(outcomes)
        | Reply::SetLimits(outcomes)
        | Reply::SetFlags(outcomes)
        | Reply::SetMetadata(outcomes)
        | Reply::CloseImports(outcomes) => Some(outcomes),
        orders => orders_answered(orders).map(|answered| answered.outcomes),
    }
}

/// What answers orders, of whatever kind: it was checked before that the reply is to the request.
pub(crate) fn orders_answered(reply: Reply) -> Option<OrdersAnswered> {
    match reply {
        Reply::CreateTransfers(answered)
        | Reply::CreatePending(answered)
        | Reply::PostPending(answered)
        | Reply::VoidPending(answered)
        | Reply::Reverse(answered)
        | Reply::CreateTransactions(answered) => Some(answered),
        _ => None,
    }
}

macro_rules! takes {
    ($($name:ident: $variant:ident => $answer:ty;)+) => {
        $(pub(crate) fn $name(reply: Reply) -> Option<$answer> {
            if let Reply::$variant(answer) = reply { Some(answer) } else { None }
        })+
    };
}

takes! {
    wallet_views: LookupWallets => Vec<Option<WalletView>>;
    transfer_views: LookupTransfers => Vec<Option<TransferView>>;
    balance_views: Balances => Vec<Option<BalanceView>>;
    trial_balance: TrialBalance => TrialBalance;
    pong: Ping => Pong;
}

macro_rules! takes_answer {
    ($($name:ident: $variant:ident => $answer:ty;)+) => {
        $(pub(crate) fn $name(reply: Reply) -> Option<$answer> {
            if let Reply::$variant(Ok(answer)) = reply { Some(answer) } else { None }
        })+
    };
}

takes_answer! {
    positions_at: BalancesAt => PositionsAt;
    statement_page: Statement => StatementPage;
    pending_page: ListPending => PendingPage;
    wallets_page: ListWallets => WalletsPage;
    records_page: ReadRecords => RecordsPage;
}
