//! Requests: any message from a client to a server, decoded as the server takes it and encoded as the client
//! has it, without a copy of its items.

use crate::balances::Balances;
use crate::balances_at::{self, BalancesAt, Moment};
use crate::batch::{ChangeBatch, OrderBatch};
use crate::body::{BodyReader, put, put_sequence};
use crate::close_imports::CloseImports;
use crate::create_assets::{self, CreateAssets, NewAsset};
use crate::create_wallets::{self, CreateWallets};
use crate::error_reply::{ErrorCode, ErrorReply};
use crate::frame::{FrameError, append_frame};
use crate::hello::{self, Hello};
use crate::limits::{ID_BYTES, Limits, OPERATIONS_PER_REQUEST_MAX};
use crate::list_pending::{self, PendingQuery};
use crate::list_wallets::{self, WalletsQuery};
use crate::lookup_transfers::LookupTransfers;
use crate::lookup_wallets::LookupWallets;
use crate::more_events::{self, MoreEvents};
use crate::operation::Operation;
use crate::query::{self, Query};
use crate::read_records::{self, RecordsQuery};
use crate::set_flags::{self, FlagChange};
use crate::set_limits::{self, WalletLimits};
use crate::set_metadata::{self, WalletMetadata};
use crate::statement::{self, StatementQuery};
use crate::subscribe::{self, Subscribe};
use crate::{
    create_pending, create_transactions, create_transfers, post_pending, reverse, unsubscribe, void_pending,
};
use bincode::{Decode, Encode};
use ledger::{
    ImportId, NewWallet, Pending, Post, Reversal, Transaction, Transfer, TransferId, Void, WalletId,
};

/// What every request but hello begins with. Its fields stand on the wire as they are here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Encode, Decode)]
pub struct RequestHead {
    /// How long the request may wait to be begun, in milliseconds from its receipt; 0 for as long as it takes.
    pub deadline_ms: u32,
    /// The client's trace id, which comes back in logs; 0 for none.
    pub trace_id: u128,
}

/// A request as the server has decoded it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Opens the conversation.
    Hello(Hello),
    /// Creates assets.
    CreateAssets(CreateAssets),
    /// Creates wallets.
    CreateWallets(CreateWallets),
    /// Reads wallets by id.
    LookupWallets(LookupWallets),
    /// Makes transfers.
    CreateTransfers(OrderBatch<Transfer>),
    /// Reads transfers by id.
    LookupTransfers(LookupTransfers),
    /// Reads what wallets hold.
    Balances(Balances),
    /// Sums up all wallets per asset.
    TrialBalance(RequestHead),
    /// Asks whether the server is there.
    Ping(RequestHead),
    /// Holds amounts.
    CreatePending(OrderBatch<Pending>),
    /// Captures holds.
    PostPending(OrderBatch<Post>),
    /// Releases holds.
    VoidPending(OrderBatch<Void>),
    /// Moves back what earlier orders have moved.
    Reverse(OrderBatch<Reversal>),
    /// Does transactions of many legs.
    CreateTransactions(OrderBatch<Transaction>),
    /// Changes limits of wallets.
    SetLimits(ChangeBatch<WalletLimits>),
    /// Freezes, unfreezes, closes and reopens wallets.
    SetFlags(ChangeBatch<FlagChange>),
    /// Replaces metadata of wallets.
    SetMetadata(ChangeBatch<WalletMetadata>),
    /// Reads where wallets stood at a moment.
    BalancesAt(Query<BalancesAt>),
    /// Reads what was done to a wallet.
    Statement(Query<StatementQuery>),
    /// Reads the open holds of a wallet.
    ListPending(Query<PendingQuery>),
    /// Reads wallets by what they are.
    ListWallets(Query<WalletsQuery>),
    /// Reads records of the journal.
    ReadRecords(Query<RecordsQuery>),
    /// Wants the entries of the journal.
    Subscribe(Query<Subscribe>),
    /// Lets more events of a subscription come.
    MoreEvents(Query<MoreEvents>),
    /// Ends the subscription that the request of this id began.
    Unsubscribe(Query<u64>),
    /// Closes imports, which shows their wallets.
    CloseImports(CloseImports),
}

/// A request after hello, as the client has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestRef<'a> {
    /// Creates assets.
    CreateAssets(&'a [NewAsset]),
    /// Creates wallets.
    CreateWallets(&'a [NewWallet]),
    /// Reads wallets by id.
    LookupWallets(&'a [WalletId]),
    /// Makes transfers.
    CreateTransfers {
        /// What to do.
        orders: &'a [Transfer],
        /// Whether the reply should carry the wallets' positions.
        with_balances: bool,
    },
    /// Reads transfers by id.
    LookupTransfers(&'a [TransferId]),
    /// Reads what wallets hold.
    Balances(&'a [WalletId]),
    /// Sums up all wallets per asset.
    TrialBalance,
    /// Asks whether the server is there.
    Ping,
    /// Holds amounts.
    CreatePending {
        /// What to do.
        orders: &'a [Pending],
        /// Whether the reply should carry the wallets' positions.
        with_balances: bool,
    },
    /// Captures holds.
    PostPending {
        /// What to do.
        orders: &'a [Post],
        /// Whether the reply should carry the wallets' positions.
        with_balances: bool,
    },
    /// Releases holds.
    VoidPending {
        /// What to do.
        orders: &'a [Void],
        /// Whether the reply should carry the wallets' positions.
        with_balances: bool,
    },
    /// Moves back what earlier orders have moved.
    Reverse {
        /// What to do.
        orders: &'a [Reversal],
        /// Whether the reply should carry the wallets' positions.
        with_balances: bool,
    },
    /// Does transactions of many legs.
    CreateTransactions {
        /// What to do.
        orders: &'a [Transaction],
        /// Whether the reply should carry the wallets' positions.
        with_balances: bool,
    },
    /// Changes limits of wallets.
    SetLimits(&'a [WalletLimits]),
    /// Freezes, unfreezes, closes and reopens wallets.
    SetFlags(&'a [FlagChange]),
    /// Replaces metadata of wallets.
    SetMetadata(&'a [WalletMetadata]),
    /// Reads where wallets stood at a moment.
    BalancesAt {
        /// When.
        at: Moment,
        /// Of which wallets.
        ids: &'a [WalletId],
    },
    /// Reads what was done to a wallet.
    Statement(&'a StatementQuery),
    /// Reads the open holds of a wallet.
    ListPending(&'a PendingQuery),
    /// Reads wallets by what they are.
    ListWallets(&'a WalletsQuery),
    /// Reads records of the journal.
    ReadRecords(RecordsQuery),
    /// Wants the entries of the journal.
    Subscribe(&'a Subscribe),
    /// Lets more events of a subscription come.
    MoreEvents(MoreEvents),
    /// Ends the subscription that the request of this id began.
    Unsubscribe(u64),
    /// Closes imports, which shows their wallets.
    CloseImports(&'a [ImportId]),
}

impl Request {
    /// What it asks for.
    pub fn operation(&self) -> Operation {
        match self {
            Self::Hello(_) => Operation::Hello,
            Self::CreateAssets(_) => Operation::CreateAssets,
            Self::CreateWallets(_) => Operation::CreateWallets,
            Self::LookupWallets(_) => Operation::LookupWallets,
            Self::CreateTransfers(_) => Operation::CreateTransfers,
            Self::LookupTransfers(_) => Operation::LookupTransfers,
            Self::Balances(_) => Operation::Balances,
            Self::TrialBalance(_) => Operation::TrialBalance,
            Self::Ping(_) => Operation::Ping,
            Self::CreatePending(_) => Operation::CreatePending,
            Self::PostPending(_) => Operation::PostPending,
            Self::VoidPending(_) => Operation::VoidPending,
            Self::Reverse(_) => Operation::Reverse,
            Self::CreateTransactions(_) => Operation::CreateTransactions,
            Self::SetLimits(_) => Operation::SetLimits,
            Self::SetFlags(_) => Operation::SetFlags,
            Self::SetMetadata(_) => Operation::SetMetadata,
            Self::BalancesAt(_) => Operation::BalancesAt,
            Self::Statement(_) => Operation::Statement,
            Self::ListPending(_) => Operation::ListPending,
            Self::ListWallets(_) => Operation::ListWallets,
            Self::ReadRecords(_) => Operation::ReadRecords,
            Self::Subscribe(_) => Operation::Subscribe,
            Self::MoreEvents(_) => Operation::MoreEvents,
            Self::Unsubscribe(_) => Operation::Unsubscribe,
            Self::CloseImports(_) => Operation::CloseImports,
        }
    }

    /// Deadline and trace; a hello has neither.
    pub fn head(&self) -> RequestHead {
        match self {
            Self::Hello(_) => RequestHead::default(),
            Self::CreateAssets(request) => request.head,
            Self::CreateWallets(request) => request.head,
            Self::LookupWallets(request) => request.head,
            Self::CreateTransfers(request) => request.head,
            Self::LookupTransfers(request) => request.head,
            Self::Balances(request) => request.head,
            Self::TrialBalance(head) | Self::Ping(head) => *head,
            Self::CreatePending(request) => request.head,
            Self::PostPending(request) => request.head,
            Self::VoidPending(request) => request.head,
            Self::Reverse(request) => request.head,
            Self::CreateTransactions(request) => request.head,
            Self::SetLimits(request) => request.head,
            Self::SetFlags(request) => request.head,
            Self::SetMetadata(request) => request.head,
            Self::BalancesAt(query) => query.head,
            Self::Statement(query) => query.head,
            Self::ListPending(query) => query.head,
            Self::ListWallets(query) => query.head,
            Self::ReadRecords(query) => query.head,
            Self::Subscribe(query) => query.head,
            Self::MoreEvents(query) => query.head,
            Self::Unsubscribe(query) => query.head,
            Self::CloseImports(request) => request.head,
        }
    }

    /// How many operations it holds; 1 for what is not a batch.
    pub fn operation_count(&self) -> usize {
        match self {
            Self::Hello(_)
            | Self::TrialBalance(_)
            | Self::Ping(_)
            | Self::Statement(_)
            | Self::ListPending(_)
            | Self::ListWallets(_)
            | Self::ReadRecords(_)
            | Self::Subscribe(_)
            | Self::MoreEvents(_)
            | Self::Unsubscribe(_) => 1,
            Self::BalancesAt(query) => query.what.ids.len(),
            Self::CreateAssets(request) => request.assets.len(),
            Self::CreateWallets(request) => request.wallets.len(),
            Self::LookupWallets(request) => request.ids.len(),
            Self::CreateTransfers(request) => request.orders.len(),
            Self::LookupTransfers(request) => request.ids.len(),
            Self::Balances(request) => request.ids.len(),
            Self::CreatePending(request) => request.orders.len(),
            Self::PostPending(request) => request.orders.len(),
            Self::VoidPending(request) => request.orders.len(),
            Self::Reverse(request) => request.orders.len(),
            Self::CreateTransactions(request) => request.orders.len(),
            Self::SetLimits(request) => request.changes.len(),
            Self::SetFlags(request) => request.changes.len(),
            Self::SetMetadata(request) => request.changes.len(),
            Self::CloseImports(request) => request.imports.len(),
        }
    }

    /// Whether the batch is within what the server said it takes; if not, what to answer.
    pub fn check_batch(&self, limits: &Limits) -> Result<(), ErrorReply> {
        let (given, max) = (self.operation_count(), limits.batch_max(self.operation()));
        if given as u64 > u64::from(max) {
            let text = format!("{} takes at most {max} operations, not {given}", self.operation());
            return Err(ErrorReply::new(ErrorCode::TooManyOperations, text));
        }
        Ok(())
    }

    /// The same request, to be encoded; `None` for a hello.
    pub fn as_ref(&self) -> Option<RequestRef<'_>> {
        Some(match self {
            Self::Hello(_) => return None,
            Self::CreateAssets(request) => RequestRef::CreateAssets(&request.assets),
            Self::CreateWallets(request) => RequestRef::CreateWallets(&request.wallets),
            Self::LookupWallets(request) => RequestRef::LookupWallets(&request.ids),
            Self::CreateTransfers(OrderBatch { orders, with_balances, .. }) => {
                RequestRef::CreateTransfers { orders, with_balances: *with_balances }
            }
            Self::LookupTransfers(request) => RequestRef::LookupTransfers(&request.ids),
            Self::Balances(request) => RequestRef::Balances(&request.ids),
            Self::TrialBalance(_) => RequestRef::TrialBalance,
            Self::Ping(_) => RequestRef::Ping,
            Self::CreatePending(OrderBatch { orders, with_balances, .. }) => {
                RequestRef::CreatePending { orders, with_balances: *with_balances }
            }
            Self::PostPending(OrderBatch { orders, with_balances, .. }) => {
                RequestRef::PostPending { orders, with_balances: *with_balances }
            }
            Self::VoidPending(OrderBatch { orders, with_balances, .. }) => {
                RequestRef::VoidPending { orders, with_balances: *with_balances }
            }
            Self::Reverse(OrderBatch { orders, with_balances, .. }) => {
                RequestRef::Reverse { orders, with_balances: *with_balances }
            }
            Self::CreateTransactions(OrderBatch { orders, with_balances, .. }) => {
                RequestRef::CreateTransactions { orders, with_balances: *with_balances }
            }
            Self::SetLimits(request) => RequestRef::SetLimits(&request.changes),
            Self::SetFlags(request) => RequestRef::SetFlags(&request.changes),
            Self::SetMetadata(request) => RequestRef::SetMetadata(&request.changes),
            Self::BalancesAt(Query { what: BalancesAt { at, ids }, .. }) => {
                RequestRef::BalancesAt { at: *at, ids }
            }
            Self::Statement(query) => RequestRef::Statement(&query.what),
            Self::ListPending(query) => RequestRef::ListPending(&query.what),
            Self::ListWallets(query) => RequestRef::ListWallets(&query.what),
            Self::ReadRecords(query) => RequestRef::ReadRecords(query.what),
            Self::Subscribe(query) => RequestRef::Subscribe(&query.what),
            Self::MoreEvents(query) => RequestRef::MoreEvents(query.what),
            Self::Unsubscribe(query) => RequestRef::Unsubscribe(query.what),
            Self::CloseImports(request) => RequestRef::CloseImports(&request.imports),
        })
    }
}

impl RequestRef<'_> {
    /// What it asks for.
    pub fn operation(&self) -> Operation {
        match self {
            Self::CreateAssets(_) => Operation::CreateAssets,
            Self::CreateWallets(_) => Operation::CreateWallets,
            Self::LookupWallets(_) => Operation::LookupWallets,
            Self::CreateTransfers { .. } => Operation::CreateTransfers,
            Self::LookupTransfers(_) => Operation::LookupTransfers,
            Self::Balances(_) => Operation::Balances,
            Self::TrialBalance => Operation::TrialBalance,
            Self::Ping => Operation::Ping,
            Self::CreatePending { .. } => Operation::CreatePending,
            Self::PostPending { .. } => Operation::PostPending,
            Self::VoidPending { .. } => Operation::VoidPending,
            Self::Reverse { .. } => Operation::Reverse,
            Self::CreateTransactions { .. } => Operation::CreateTransactions,
            Self::SetLimits(_) => Operation::SetLimits,
            Self::SetFlags(_) => Operation::SetFlags,
            Self::SetMetadata(_) => Operation::SetMetadata,
            Self::BalancesAt { .. } => Operation::BalancesAt,
            Self::Statement(_) => Operation::Statement,
            Self::ListPending(_) => Operation::ListPending,
            Self::ListWallets(_) => Operation::ListWallets,
            Self::ReadRecords(_) => Operation::ReadRecords,
            Self::Subscribe(_) => Operation::Subscribe,
            Self::MoreEvents(_) => Operation::MoreEvents,
            Self::Unsubscribe(_) => Operation::Unsubscribe,
            Self::CloseImports(_) => Operation::CloseImports,
        }
    }

    /// How many operations it holds; 1 for what is not a batch.
    pub fn operation_count(&self) -> usize {
        match self {
            Self::CreateAssets(assets) => assets.len(),
            Self::CreateWallets(wallets) => wallets.len(),
            Self::CreateTransfers { orders, .. } => orders.len(),
            Self::LookupTransfers(ids) => ids.len(),
            Self::LookupWallets(ids) | Self::Balances(ids) | Self::BalancesAt { ids, .. } => ids.len(),
            Self::TrialBalance
            | Self::Ping
            | Self::Statement(_)
            | Self::ListPending(_)
            | Self::ListWallets(_)
            | Self::ReadRecords(_)
            | Self::Subscribe(_)
            | Self::MoreEvents(_)
            | Self::Unsubscribe(_) => 1,
            Self::CreatePending { orders, .. } => orders.len(),
            Self::PostPending { orders, .. } => orders.len(),
            Self::VoidPending { orders, .. } => orders.len(),
            Self::Reverse { orders, .. } => orders.len(),
            Self::CreateTransactions { orders, .. } => orders.len(),
            Self::SetLimits(changes) => changes.len(),
            Self::SetFlags(changes) => changes.len(),
            Self::SetMetadata(changes) => changes.len(),
            Self::CloseImports(imports) => imports.len(),
        }
    }

    /// Whether the reply should carry the wallets' positions; only orders can ask for them.
    pub fn with_balances(&self) -> bool {
        match self {
            Self::CreateTransfers { with_balances, .. }
            | Self::CreatePending { with_balances, .. }
            | Self::PostPending { with_balances, .. }
            | Self::VoidPending { with_balances, .. }
            | Self::Reverse { with_balances, .. }
            | Self::CreateTransactions { with_balances, .. } => *with_balances,
            Self::CreateAssets(_)
            | Self::CreateWallets(_)
            | Self::LookupWallets(_)
            | Self::LookupTransfers(_)
            | Self::Balances(_)
            | Self::TrialBalance
            | Self::Ping
            | Self::SetLimits(_)
            | Self::SetFlags(_)
            | Self::SetMetadata(_)
            | Self::BalancesAt { .. }
            | Self::Statement(_)
            | Self::ListPending(_)
            | Self::ListWallets(_)
            | Self::ReadRecords(_)
            | Self::Subscribe(_)
            | Self::MoreEvents(_)
            | Self::Unsubscribe(_)
            | Self::CloseImports(_) => false,
        }
    }
}

/// Decodes the body of a frame that a client sent.
pub fn decode_request(message_type: u8, body: &[u8]) -> Result<Request, FrameError> {
    let Some(operation) = Operation::from_request_type(message_type) else {
        return Err(FrameError::UnknownType { message_type });
    };
    Ok(match operation {
        Operation::Hello => Request::Hello(hello::read_request(body)?),
        Operation::CreateAssets => Request::CreateAssets(create_assets::read_request(body)?),
        Operation::CreateWallets => Request::CreateWallets(create_wallets::read_request(body)?),
        Operation::CreateTransfers => Request::CreateTransfers(create_transfers::read_request(body)?),
        Operation::LookupWallets => {
            let (head, ids) = read_ids(body, WalletId)?;
            Request::LookupWallets(LookupWallets { head, ids })
        }
        Operation::LookupTransfers => {
            let (head, ids) = read_ids(body, TransferId)?;
            Request::LookupTransfers(LookupTransfers { head, ids })
        }
        Operation::Balances => {
            let (head, ids) = read_ids(body, WalletId)?;
            Request::Balances(Balances { head, ids })
        }
        Operation::TrialBalance => Request::TrialBalance(read_head(body)?),
        Operation::Ping => Request::Ping(read_head(body)?),
        Operation::CreatePending => Request::CreatePending(create_pending::read_request(body)?),
        Operation::PostPending => Request::PostPending(post_pending::read_request(body)?),
        Operation::VoidPending => Request::VoidPending(void_pending::read_request(body)?),
        Operation::Reverse => Request::Reverse(reverse::read_request(body)?),
        Operation::CreateTransactions => {
            Request::CreateTransactions(create_transactions::read_request(body)?)
        }
        Operation::SetLimits => Request::SetLimits(set_limits::read_request(body)?),
        Operation::SetFlags => Request::SetFlags(set_flags::read_request(body)?),
        Operation::SetMetadata => Request::SetMetadata(set_metadata::read_request(body)?),
        Operation::BalancesAt => Request::BalancesAt(query::read_request(body, balances_at::what)?),
        Operation::Statement => Request::Statement(query::read_request(body, statement::what)?),
        Operation::ListPending => Request::ListPending(query::read_request(body, list_pending::what)?),
        Operation::ListWallets => Request::ListWallets(query::read_request(body, list_wallets::what)?),
        Operation::ReadRecords => Request::ReadRecords(query::read_request(body, read_records::what)?),
        Operation::Subscribe => Request::Subscribe(query::read_request(body, subscribe::what)?),
        Operation::MoreEvents => Request::MoreEvents(query::read_request(body, more_events::what)?),
        Operation::Unsubscribe => Request::Unsubscribe(query::read_request(body, unsubscribe::what)?),
        Operation::CloseImports => {
            let (head, imports) = read_ids(body, ImportId)?;
            Request::CloseImports(CloseImports { head, imports })
        }
    })
}

/// Appends the frame that opens a connection.
pub fn encode_hello(request_id: u64, hello: &Hello, buffer: &mut Vec<u8>) {
    append_frame(buffer, Operation::Hello.request_type(), request_id, |body| {
        hello::write_request(body, hello);
    });
}

/// Appends a frame with the request. Nothing is appended when it would be larger than `frame_limit`.
pub fn encode_request(
    request_id: u64,
    head: RequestHead,
    request: RequestRef<'_>,
    frame_limit: u32,
    buffer: &mut Vec<u8>,
) -> Result<(), FrameError> {
    let start = buffer.len();
    let message_type = request.operation().request_type();
    let frame_bytes = append_frame(buffer, message_type, request_id, |body| match request {
        RequestRef::CreateAssets(assets) => create_assets::write_request(body, head, assets),
        RequestRef::CreateWallets(wallets) => create_wallets::write_request(body, head, wallets),
        RequestRef::CreateTransfers { orders, with_balances } => {
            create_transfers::write_request(body, head, with_balances, orders);
        }
        RequestRef::CreatePending { orders, with_balances } => {
            create_pending::write_request(body, head, with_balances, orders);
        }
        RequestRef::PostPending { orders, with_balances } => {
            post_pending::write_request(body, head, with_balances, orders);
        }
        RequestRef::VoidPending { orders, with_balances } => {
            void_pending::write_request(body, head, with_balances, orders);
        }
        RequestRef::Reverse { orders, with_balances } => {
            reverse::write_request(body, head, with_balances, orders);
        }
        RequestRef::CreateTransactions { orders, with_balances } => {
            create_transactions::write_request(body, head, with_balances, orders);
        }
        RequestRef::SetLimits(changes) => set_limits::write_request(body, head, changes),
        RequestRef::SetFlags(changes) => set_flags::write_request(body, head, changes),
        RequestRef::SetMetadata(changes) => set_metadata::write_request(body, head, changes),
        RequestRef::LookupWallets(ids) | RequestRef::Balances(ids) => {
            write_ids(body, head, ids.iter().map(|id| id.0));
        }
        RequestRef::LookupTransfers(ids) => write_ids(body, head, ids.iter().map(|id| id.0)),
        RequestRef::CloseImports(ids) => write_ids(body, head, ids.iter().map(|id| id.0)),
        RequestRef::TrialBalance | RequestRef::Ping => put(body, head),
        RequestRef::BalancesAt { at, ids } => {
            put(body, head);
            balances_at::put_what(body, at, ids);
        }
        RequestRef::Statement(what) => query::write_request(body, head, what, statement::put_what),
        RequestRef::ListPending(what) => query::write_request(body, head, what, list_pending::put_what),
        RequestRef::ListWallets(what) => query::write_request(body, head, what, list_wallets::put_what),
        RequestRef::ReadRecords(what) => query::write_request(body, head, &what, read_records::put_what),
        RequestRef::Subscribe(what) => query::write_request(body, head, what, subscribe::put_what),
        RequestRef::MoreEvents(what) => query::write_request(body, head, &what, more_events::put_what),
        RequestRef::Unsubscribe(subscription) => {
            put(body, head);
            unsubscribe::put_what(body, subscription);
        }
    });
    if frame_bytes as u64 > u64::from(frame_limit) {
        buffer.truncate(start);
        return Err(FrameError::TooLarge { frame_bytes: frame_bytes as u64, limit: frame_limit });
    }
    Ok(())
}

fn write_ids(buffer: &mut Vec<u8>, head: RequestHead, ids: impl ExactSizeIterator<Item = u128>) {
    put(buffer, head);
    put_sequence(buffer, ids);
}

fn read_ids<Id>(body: &[u8], id: impl Fn(u128) -> Id) -> Result<(RequestHead, Vec<Id>), FrameError> {
    let mut reader = BodyReader::new(body);
    let head = reader.value()?;
    let ids = reader.sequence(OPERATIONS_PER_REQUEST_MAX, ID_BYTES, |number: u128| Ok(id(number)))?;
    reader.finish()?;
    Ok((head, ids))
}

fn read_head(body: &[u8]) -> Result<RequestHead, FrameError> {
    let mut reader = BodyReader::new(body);
    let head = reader.value()?;
    reader.finish()?;
    Ok(head)
}
