//! One pipelined connection: many calls under way at once, their frames written together, their replies
//! handed out as they come. It neither retries nor splits; [`crate::Client`] does.

use crate::call::CallFailure;
use crate::endpoint::{ByteReader, ByteWriter, Endpoint, split};
use crate::error::ClientError;
use crate::frame_reader::{FrameReader, ReadFault};
use crate::options::ClientOptions;
use ledger::{
    NewWallet, Outcome, Pending, Post, Reversal, Transaction, Transfer, TransferId, Void, WalletId,
};
use protocol::limits::NAME_LENGTH_MAX;
use protocol::{
    BalanceView, FlagChange, FrameError, HELLO_FRAME_MAX, Hello, Limits, NewAsset, Operation, OrdersAnswered,
    PROTOCOL_VERSION, Pong, Reply, RequestHead, RequestRef, TransferView, TrialBalance, WalletLimits,
    WalletMetadata, WalletView, Welcome, decode_reply, encode_hello, encode_request,
};
use slab::Slab;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{Notify, Semaphore, oneshot};
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
    answer: oneshot::Sender<Result<Reply, CallFailure>>,
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
            let answer = shared.send(request, head, self.limits().frame_bytes_max).await?;
            sent = true;
            answer.await.unwrap_or_else(|_| Err(CallFailure::sent(shared.lost())))
        });
        if let Ok(result) = answered.await {
            // A caller may rely on there being an answer to each item.
            return result.and_then(|reply| {
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

    /// Puts the request's frame where the writer takes it from.
    async fn send(
        &self,
        request: RequestRef<'_>,
        head: RequestHead,
        frame_limit: u32,
    ) -> Result<oneshot::Receiver<Result<Reply, CallFailure>>, CallFailure> {
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
                    let answer = calls.enter(request, head, frame_limit)?;
                    let tell = !std::mem::replace(&mut calls.writer_told, true);
                    drop(calls);
                    if tell {
                        self.to_write.notify_one();
                    }
                    // From here on the slot stands for it; the reader gives it back.
                    permit.forget();
                    return Ok(answer);
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
            // A failed send is a call that nobody waits for any more.
            let _ = slot.answer.send(Err(CallFailure::sent(error)));
        }
        self.permits.close();
        self.taken.notify_waiters();
        self.to_write.notify_one();
    }

    fn lost(&self) -> ClientError {
        let reason = self.lock().closed.clone();
        ClientError::ConnectionLost { reason: reason.unwrap_or_else(|| "it was closed here".into()) }
    }

    /// Hands out one reply. An error ends the connection.
    fn dispatch(&self, message_type: u8, request_id: u64, body: &[u8]) -> Result<(), String> {
        let decoded = decode_reply(message_type, body);
        if request_id == 0 {
            return Err(match decoded {
                Ok(Reply::Error(error)) => format!("the server says {error}"),
                Ok(_) => "the server sent a reply to no request".to_owned(),
                Err(error) => error.to_string(),
            });
        }
        let Some(slot) = self.lock().leave(request_id) else {
            return Err(format!("the server answered request {request_id:#x}, which is not under way"));
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
                // A number that only a newer client knows leaves all other replies readable.
                let newer =
                    matches!(error, FrameError::UnknownStatus { .. } | FrameError::UnknownErrorCode { .. });
                let fault = (!newer).then(|| error.to_string());
                (Err(CallFailure::sent(error.into())), fault)
            }
        };
        let _ = slot.answer.send(answer);
        fault.map_or(Ok(()), Err)
    }
}

impl Calls {
    /// Makes a slot for the request and encodes its frame.
    fn enter(
        &mut self,
        request: RequestRef<'_>,
        head: RequestHead,
        frame_limit: u32,
    ) -> Result<oneshot::Receiver<Result<Reply, CallFailure>>, CallFailure> {
        let (sender, receiver) = oneshot::channel();
        let entry = self.slots.vacant_entry();
        self.count = self.count.wrapping_add(1);
        let low = u32::try_from(entry.key() + 1).expect("fewer than 2^32 requests are under way");
        let request_id = u64::from(self.count) << 32 | u64::from(low);
        encode_request(request_id, head, request, frame_limit, &mut self.to_write)
            .map_err(|error| CallFailure::unsent(error.into()))?;
        entry.insert(Slot { request_id, operation: request.operation(), answer: sender });
        Ok(receiver)
    }

    /// Takes the slot of a request that was answered.
    fn leave(&mut self, request_id: u64) -> Option<Slot> {
        let key = ((request_id & u64::from(u32::MAX)) as usize).checked_sub(1)?;
        if self.slots.get(key)?.request_id != request_id {
            return None;
        }
        Some(self.slots.remove(key))
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
        let mut count = 0;
        let fault = loop {
            match frames.buffered() {
                Ok(Some((header, body))) => {
                    count += 1;
                    if let Err(fault) = shared.dispatch(header.message_type, header.request_id, body) {
                        break Some(fault);
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
        shared.permits.add_permits(count as usize);
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
        | Reply::SetMetadata(outcomes) => Some(outcomes),
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
