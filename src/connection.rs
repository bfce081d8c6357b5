//! One client's connection: reads frames, submits requests, writes replies as they become ready.
//!
//! Two tasks on one shard's thread. The reader stops reading when too much of this connection is under way; the writer
//! gives up on a client that does not read. What is malformed closes this connection only, after an error frame.

use crate::answers;
use crate::config::Config;
use crate::event_feed::{Subscriptions, Wake};
use crate::telemetry::Telemetry;
use actors::{Answered, Engine};
use protocol::{
    ErrorCode, ErrorReply, FrameError, FrameHeader, HEADER_LENGTH, HELLO_FRAME_MAX, Limits, Operation,
    PROTOCOL_VERSION, Pong, Reply, Request, Welcome, decode_request, encode_reply, frame,
};
use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Notify, mpsc, oneshot, watch};

/// How many replies are encoded before they are written.
const REPLIES_PER_WRITE: usize = 512;

/// A buffer that once held a large frame is not kept at that size.
const BUFFER_KEPT: usize = 256 << 10;

/// How much is read at once.
const READ_CHUNK: usize = 64 << 10;

/// What all connections share.
#[derive(Debug)]
pub struct ConnectionContext {
    /// The ledger.
    pub engine: Engine,
    /// The metrics.
    pub telemetry: Arc<Telemetry>,
    /// The configuration.
    pub config: Config,
    /// Connections that are open.
    pub open: AtomicUsize,
    /// Requests that were taken and whose replies have not been written.
    pub unwritten: AtomicU64,
    /// Wakes subscriptions when there is something new, and when the server stops.
    pub wake: watch::Sender<Wake>,
}

/// Counts a connection for as long as it lives.
#[derive(Debug)]
pub struct OpenConnection(Arc<ConnectionContext>);

impl OpenConnection {
    /// One more connection; `None` if there are as many as may be.
    pub fn count(context: &Arc<ConnectionContext>) -> Option<Self> {
        let before = context.open.fetch_add(1, Ordering::Relaxed);
        context.telemetry.connections.increment(1.0);
        let counted = Self(Arc::clone(context));
        (before < context.config.connections_max).then_some(counted)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
        self.0.telemetry.connections.decrement(1.0);
    }
}

/// Something to be written.
pub(crate) enum Outgoing {
    /// The ledger has answered.
    Answered { request_id: u64, operation: Operation, operations: u32, received: Instant, answered: Answered },
    /// The connection itself answers a request.
    Reply { request_id: u64, reply: Reply, operations: u32 },
    /// A frame of a subscription, which answers no request that is under way. Whoever waits is told when it was written.
    Events { frame: Vec<u8>, written: oneshot::Sender<()> },
    /// The last thing that is written.
    Close { request_id: u64, error: ErrorReply },
}

/// What is under way on one connection. Both tasks run on one thread.
#[derive(Default)]
struct UnderWay {
    requests: Cell<u32>,
    operations: Cell<u32>,
    changed: Notify,
}

/// The way to the writer of one connection, for all that answer on it. The writer ends when nobody has it any more.
#[derive(Clone)]
pub(crate) struct Outbound {
    pub(crate) context: Arc<ConnectionContext>,
    sender: mpsc::UnboundedSender<Outgoing>,
    under_way: Rc<UnderWay>,
}

impl Outbound {
    /// Answers without the ledger.
    pub(crate) fn reply(&self, request_id: u64, reply: Reply, operations: u32) {
        self.begin(operations);
        self.send(Outgoing::Reply { request_id, reply, operations });
    }

    /// Sends a frame of a subscription, and waits until it has been written; false if the client is gone.
    pub(crate) async fn write_events(&self, frame: Vec<u8>) -> bool {
        let (written, waiting) = oneshot::channel();
        self.sender.send(Outgoing::Events { frame, written }).is_ok() && waiting.await.is_ok()
    }

    fn send(&self, outgoing: Outgoing) {
        if self.sender.send(outgoing).is_err() {
            // The client is gone; its writer has stopped counting.
            self.context.unwritten.fetch_sub(1, Ordering::Relaxed);
        }
    }

    fn begin(&self, operations: u32) {
        self.under_way.requests.set(self.under_way.requests.get() + 1);
        self.under_way.operations.set(self.under_way.operations.get() + operations);
        self.context.unwritten.fetch_add(1, Ordering::Relaxed);
    }
}

/// Why a connection ends.
enum End {
    /// The client has closed its side.
    Closed,
    /// The client broke a rule, and is told which.
    Broken { request_id: u64, error: ErrorReply },
    /// The connection itself failed.
    Io(io::Error),
}

impl From<io::Error> for End {
    fn from(error: io::Error) -> Self {
        End::Io(error)
    }
}

/// Serves a connection until it ends. `via` is the number of the thread it lives on.
pub async fn serve(stream: TcpStream, peer: SocketAddr, via: usize, counted: OpenConnection) {
    let context = Arc::clone(&counted.0);
    let (read_half, write_half) = stream.into_split();
    let (sender, receiver) = mpsc::unbounded_channel();
    let under_way = Rc::new(UnderWay::default());
    let mut writer =
        actix_rt::spawn(write_replies(write_half, receiver, Rc::clone(&under_way), Arc::clone(&context)));
    let outbound = Outbound { context: Arc::clone(&context), sender, under_way };
    let mut reader = Reader {
        subscriptions: Subscriptions::new(outbound.clone()),
        outbound,
        stream: read_half,
        buffer: Vec::new(),
        start: 0,
        via,
        limits: limits(&context.config),
    };
    let reading = async {
        match reader.handshake().await {
            Ok(client) => {
                tracing::debug!(%peer, client, "connected");
                reader.read_requests().await
            }
            Err(end) => end,
        }
    };
    let end = tokio::select! {
        end = reading => Some(end),
        // The client does not read, or is gone.
        _ = &mut writer => None,
    };
    match end {
        Some(End::Broken { request_id, error }) => {
            tracing::debug!(%peer, code = %error.code, text = error.text, "connection refused");
            reader.outbound.begin(0);
            reader.outbound.send(Outgoing::Close { request_id, error });
        }
        Some(End::Io(error)) => tracing::debug!(%peer, %error, "connection lost"),
        Some(End::Closed) | None => tracing::debug!(%peer, "disconnected"),
    }
    // Ends the subscriptions, too. The writer ends when the last request under way has been answered: its reply holds a
    // sender.
    drop(reader);
    if !writer.is_finished() {
        let _ended = writer.await;
    }
    drop(counted);
}

/// What this server lets a connection do.
pub fn limits(config: &Config) -> Limits {
    let idle_ms = u32::try_from(config.idle_timeout.as_millis()).unwrap_or(u32::MAX);
    Limits::new(
        config.frame_bytes_max,
        config.connection_requests_max,
        config.connection_operations_max,
        idle_ms,
    )
}

struct Reader {
    outbound: Outbound,
    subscriptions: Subscriptions,
    stream: OwnedReadHalf,
    /// Bytes that were received; those before `start` are done with.
    buffer: Vec<u8>,
    start: usize,
    via: usize,
    limits: Limits,
}

impl Reader {
    /// Takes the hello and answers it. Returns the client's name.
    async fn handshake(&mut self) -> Result<String, End> {
        let timeout = self.outbound.context.config.handshake_timeout;
        let hello = self.read_frame(HELLO_FRAME_MAX);
        let (header, body) = if timeout.is_zero() {
            hello.await?
        } else {
            tokio::time::timeout(timeout, hello)
                .await
                .map_err(|_| timed_out("no hello within the handshake timeout"))??
        };
        let request_id = header.request_id;
        let no_hello = || {
            let error = ErrorReply::new(ErrorCode::Unauthenticated, "a connection begins with a hello");
            End::Broken { request_id, error }
        };
        // Before the body is looked at: what a stranger sends instead of a hello is nobody's business.
        if header.message_type != Operation::Hello.request_type() {
            return Err(no_hello());
        }
        let request = decode_request(header.message_type, &self.buffer[body]);
        let request = request.map_err(|error| self.refuse_frame(request_id, &error))?;
        let Request::Hello(hello) = request else { return Err(no_hello()) };
        let Some(version) = hello.common_version() else {
            let text = format!(
                "this server speaks version {PROTOCOL_VERSION}, the client {} to {}",
                hello.version_min, hello.version_max
            );
            return Err(End::Broken {
                request_id,
                error: ErrorReply::new(ErrorCode::UnsupportedVersion, text),
            });
        };
        let welcome = Welcome {
            version,
            server_name: "bursar".to_owned(),
            server_version: env!("CARGO_PKG_VERSION").to_owned(),
            limits: self.limits.clone(),
        };
        self.outbound.reply(request_id, Reply::Hello(welcome), 0);
        Ok(hello.client_name)
    }

    /// Takes requests until the connection ends.
    async fn read_requests(&mut self) -> End {
        loop {
            if let Err(end) = self.read_request().await {
                return end;
            }
        }
    }

    async fn read_request(&mut self) -> Result<(), End> {
        self.wait_for_room().await;
        let frame_limit = self.limits.frame_bytes_max;
        let (header, body) = self.read_frame_or_idle(frame_limit).await?;
        let received = Instant::now();
        let bytes = body.len() as u64;
        let request = decode_request(header.message_type, &self.buffer[body]);
        self.forget_large_frame();
        let request_id = header.request_id;
        let request = match request {
            Ok(request) => request,
            Err(error) => {
                let end = self.refuse_frame(request_id, &error);
                let End::Broken { error, .. } = &end else { return Err(end) };
                if error.code.is_fatal() {
                    return Err(end);
                }
                self.outbound.reply(request_id, Reply::Error(error.clone()), 0);
                return Ok(());
            }
        };
        if let Err(error) = request.check_batch(&self.limits) {
            self.outbound.reply(request_id, Reply::Error(error), 0);
            return Ok(());
        }
        if self.subscriptions.has(request_id) {
            let text = "the request has the id of a subscription that has not ended";
            let error = ErrorReply::new(ErrorCode::Malformed, text);
            return Err(End::Broken { request_id, error });
        }
        self.submit(request_id, request, bytes, received);
        Ok(())
    }

    fn submit(&self, request_id: u64, request: Request, bytes: u64, received: Instant) {
        let outbound = &self.outbound;
        let operation = request.operation();
        let count = request.operation_count() as u32;
        let head = request.head();
        if head.trace_id != 0 {
            tracing::debug!(trace_id = format_args!("{:032x}", head.trace_id), %operation, count, "request");
        }
        let deadline = (head.deadline_ms > 0).then(|| Duration::from_millis(u64::from(head.deadline_ms)));
        let request = match request {
            Request::Ping(_) => {
                let engine = &outbound.context.engine;
                let pong = Pong { timestamp_ns: engine.now_ns(), durable_seq: engine.durable_seq() };
                return outbound.reply(request_id, Reply::Ping(pong), 0);
            }
            Request::Subscribe(query) => return self.subscriptions.subscribe(request_id, query.what),
            Request::MoreEvents(query) => {
                return outbound.reply(request_id, self.subscriptions.more(query.what), 0);
            }
            Request::Unsubscribe(query) => {
                return outbound.reply(request_id, self.subscriptions.unsubscribe(query.what), 0);
            }
            other => other,
        };
        if let Some(reply) = answers::refused_by_shape(&request) {
            return outbound.reply(request_id, reply, 0);
        }
        let Some(operations) = answers::operations(request, self.limits.frame_bytes_max) else {
            let error = ErrorReply::new(ErrorCode::UnknownMessage, "a hello is sent once, at the start");
            return outbound.reply(request_id, Reply::Error(error), 0);
        };
        outbound.begin(count);
        let sender = outbound.sender.clone();
        let context = Arc::clone(&outbound.context);
        let reply = move |answered| {
            let outgoing =
                Outgoing::Answered { request_id, operation, operations: count, received, answered };
            if sender.send(outgoing).is_err() {
                // The client is gone; its writer has stopped counting.
                context.unwritten.fetch_sub(1, Ordering::Relaxed);
            }
        };
        let engine = &outbound.context.engine;
        let submitted = engine.submit(self.via, operations, bytes, deadline, Box::new(reply));
        if let Err(rejection) = submitted {
            let reply = Reply::Error(answers::rejection(rejection));
            outbound.send(Outgoing::Reply { request_id, reply, operations: count });
        }
    }

    /// Waits until one more request may be under way.
    async fn wait_for_room(&self) {
        let under_way = &self.outbound.under_way;
        let full = || {
            under_way.requests.get() >= self.limits.requests_in_flight_max
                || under_way.operations.get() >= self.limits.operations_in_flight_max
        };
        while full() {
            under_way.changed.notified().await;
        }
    }

    /// Reads a frame. Silence is a reason to close only while nothing is under way and there is no subscription.
    async fn read_frame_or_idle(
        &mut self,
        frame_limit: u32,
    ) -> Result<(FrameHeader, std::ops::Range<usize>), End> {
        let timeout = self.outbound.context.config.idle_timeout;
        if timeout.is_zero() {
            return self.read_frame(frame_limit).await;
        }
        loop {
            let under_way = Rc::clone(&self.outbound.under_way);
            match tokio::time::timeout(timeout, self.read_frame(frame_limit)).await {
                Ok(frame) => return frame,
                Err(_) if under_way.requests.get() > 0 || !self.subscriptions.is_empty() => {}
                Err(_) => return Err(timed_out("nothing was received for the idle timeout")),
            }
        }
    }

    /// Reads until a whole frame is there, and returns where its body is. Safe to drop and to call again: what has
    /// been received stays in the buffer.
    async fn read_frame(&mut self, frame_limit: u32) -> Result<(FrameHeader, std::ops::Range<usize>), End> {
        loop {
            let received = &self.buffer[self.start..];
            let mut missing = HEADER_LENGTH;
            if let Some(bytes) = received.first_chunk::<HEADER_LENGTH>() {
                let header = FrameHeader::parse(bytes, frame_limit);
                let header = header.map_err(|error| self.refuse_frame(frame::request_id(bytes), &error))?;
                let length = HEADER_LENGTH + header.body_length;
                if received.len() >= length {
                    let body = self.start + HEADER_LENGTH..self.start + length;
                    self.start += length;
                    return Ok((header, body));
                }
                missing = length;
            }
            if self.start > 0 {
                self.buffer.drain(..self.start);
                self.start = 0;
            }
            // Room as the bytes come and not as the header promises: a peer's number sizes nothing.
            let room = (missing - self.buffer.len()).min(self.buffer.len());
            self.buffer.reserve(room.max(READ_CHUNK));
            let read = self.stream.read_buf(&mut self.buffer).await?;
            self.outbound.context.telemetry.received_bytes.increment(read as u64);
            if read == 0 {
                return Err(End::Closed);
            }
        }
    }

    fn forget_large_frame(&mut self) {
        if self.start == self.buffer.len() {
            self.buffer.clear();
            self.start = 0;
            if self.buffer.capacity() > BUFFER_KEPT {
                self.buffer.shrink_to(BUFFER_KEPT);
            }
        }
    }

    fn refuse_frame(&self, request_id: u64, error: &FrameError) -> End {
        self.outbound.context.telemetry.rejected_frame(error);
        let request_id = if matches!(error, FrameError::BadMagic { .. }) { 0 } else { request_id };
        End::Broken { request_id, error: ErrorReply::from(error) }
    }
}

fn timed_out(text: &str) -> End {
    End::Broken { request_id: 0, error: ErrorReply::new(ErrorCode::TimedOut, text) }
}

/// Writes replies until nobody can send one any more, or the client does not read.
async fn write_replies(
    mut stream: OwnedWriteHalf,
    mut receiver: mpsc::UnboundedReceiver<Outgoing>,
    under_way: Rc<UnderWay>,
    context: Arc<ConnectionContext>,
) {
    let mut ready = Vec::with_capacity(REPLIES_PER_WRITE);
    let mut bytes = Vec::new();
    let mut close = false;
    let mut frames_written = Vec::new();
    while !close && receiver.recv_many(&mut ready, REPLIES_PER_WRITE).await > 0 {
        let (mut requests, mut operations) = (0_u32, 0);
        for outgoing in ready.drain(..) {
            let (request_id, reply, count) = match outgoing {
                Outgoing::Answered { request_id, operation, operations, received, answered } => {
                    let answer = answered.into_answer();
                    let frame_limit = context.config.frame_bytes_max;
                    let reply = answers::reply(operation, answer, &context.telemetry, frame_limit);
                    context.telemetry.request(operation, received.elapsed().as_secs_f64());
                    (request_id, reply, operations)
                }
                Outgoing::Reply { request_id, reply, operations } => (request_id, reply, operations),
                Outgoing::Events { frame, written } => {
                    bytes.extend_from_slice(&frame);
                    frames_written.push(written);
                    continue;
                }
                Outgoing::Close { request_id, error } => {
                    close = true;
                    (request_id, Reply::Error(error), 0)
                }
            };
            if let Reply::Error(error) = &reply {
                context.telemetry.error_reply(error.code);
            }
            encode_reply(request_id, &reply, context.config.frame_bytes_max, &mut bytes);
            requests += 1;
            operations += count;
        }
        let written = write_all(&mut stream, &bytes, context.config.write_timeout).await;
        context.telemetry.sent_bytes.increment(bytes.len() as u64);
        context.unwritten.fetch_sub(u64::from(requests), Ordering::Relaxed);
        under_way.requests.set(under_way.requests.get() - requests);
        under_way.operations.set(under_way.operations.get() - operations);
        under_way.changed.notify_one();
        if written.is_err() {
            break;
        }
        for waiting in frames_written.drain(..) {
            // Its subscription may have ended meanwhile.
            let _ = waiting.send(());
        }
        bytes.clear();
        if bytes.capacity() > BUFFER_KEPT {
            bytes.shrink_to(BUFFER_KEPT);
        }
    }
    receiver.close();
    // What is answered from now on is nobody's any more.
    let mut lost = 0;
    while let Ok(outgoing) = receiver.try_recv() {
        lost += u64::from(!matches!(outgoing, Outgoing::Events { .. }));
    }
    context.unwritten.fetch_sub(lost, Ordering::Relaxed);
    let _gone = stream.shutdown().await;
}

async fn write_all(stream: &mut OwnedWriteHalf, bytes: &[u8], timeout: Duration) -> io::Result<()> {
    if timeout.is_zero() {
        return stream.write_all(bytes).await;
    }
    match tokio::time::timeout(timeout, stream.write_all(bytes)).await {
        Ok(written) => written,
        Err(_) => Err(io::ErrorKind::TimedOut.into()),
    }
}
