//! Replies: any message from a server to a client.

use crate::balances::{self, BalanceView};
use crate::balances_at::{self, PositionsAt};
use crate::error_reply::{self, ErrorCode, ErrorReply};
use crate::frame::{FrameError, append_frame};
use crate::hello::{self, Welcome};
use crate::list_pending::{self, PendingPage};
use crate::list_wallets::{self, WalletsPage};
use crate::lookup_transfers::{self, TransferView};
use crate::lookup_wallets::{self, WalletView};
use crate::more_events;
use crate::operation::{ERROR_MESSAGE_TYPE, Operation};
use crate::orders_answered::{self, OrdersAnswered};
use crate::ping::{self, Pong};
use crate::query::{self, Queried};
use crate::read_records::{self, RecordsPage};
use crate::statement::{self, StatementPage};
use crate::subscribe::{self, Events};
use crate::trial_balance::{self, TrialBalance};
use crate::unsubscribe;
use ledger::{Outcome, Status};

/// A reply. What answers a batch has one answer for each of its items, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// Answers a hello.
    Hello(Welcome),
    /// Answers `create_assets`.
    CreateAssets(Vec<Outcome>),
    /// Answers `create_wallets`.
    CreateWallets(Vec<Outcome>),
    /// Answers `lookup_wallets`; `None` where there is no such wallet.
    LookupWallets(Vec<Option<WalletView>>),
    /// Answers `create_transfers`.
    CreateTransfers(OrdersAnswered),
    /// Answers `lookup_transfers`; `None` where the id was not used up.
    LookupTransfers(Vec<Option<TransferView>>),
    /// Answers `balances`; `None` where there is no such wallet.
    Balances(Vec<Option<BalanceView>>),
    /// Answers `trial_balance`.
    TrialBalance(TrialBalance),
    /// Answers `ping`.
    Ping(Pong),
    /// Answers `create_pending`.
    CreatePending(OrdersAnswered),
    /// Answers `post_pending`.
    PostPending(OrdersAnswered),
    /// Answers `void_pending`.
    VoidPending(OrdersAnswered),
    /// Answers `reverse`.
    Reverse(OrdersAnswered),
    /// Answers `create_transactions`.
    CreateTransactions(OrdersAnswered),
    /// Answers `set_limits`.
    SetLimits(Vec<Outcome>),
    /// Answers `set_flags`.
    SetFlags(Vec<Outcome>),
    /// Answers `set_metadata`.
    SetMetadata(Vec<Outcome>),
    /// Answers `balances_at`.
    BalancesAt(Queried<PositionsAt>),
    /// Answers `statement`.
    Statement(Queried<StatementPage>),
    /// Answers `list_pending`.
    ListPending(Queried<PendingPage>),
    /// Answers `list_wallets`.
    ListWallets(Queried<WalletsPage>),
    /// Answers `read_records`.
    ReadRecords(Queried<RecordsPage>),
    /// Answers `subscribe`, again and again until the subscription ends.
    Events(Queried<Events>),
    /// Answers `more_events`: how many events may come now.
    MoreEvents(u64),
    /// Answers `unsubscribe`: how far the subscription has come.
    Unsubscribe(u64),
    /// Answers `close_imports`.
    CloseImports(Vec<Outcome>),
    /// Answers anything.
    Error(ErrorReply),
}

impl Reply {
    /// What it answers; `None` for an error, which may answer anything.
    pub fn operation(&self) -> Option<Operation> {
        Some(match self {
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
            Self::Events(_) => Operation::Subscribe,
            Self::MoreEvents(_) => Operation::MoreEvents,
            Self::Unsubscribe(_) => Operation::Unsubscribe,
            Self::CloseImports(_) => Operation::CloseImports,
            Self::Error(_) => return None,
        })
    }

    /// Why a question about the past has no answer, if it has none.
    pub fn refusal(&self) -> Option<Status> {
        match self {
            Self::BalancesAt(answer) => answer.as_ref().err().copied(),
            Self::Statement(answer) => answer.as_ref().err().copied(),
            Self::ListPending(answer) => answer.as_ref().err().copied(),
            Self::ListWallets(answer) => answer.as_ref().err().copied(),
            Self::ReadRecords(answer) => answer.as_ref().err().copied(),
            Self::Events(answer) => answer.as_ref().err().copied(),
            _ => None,
        }
    }

    /// How many operations it answers; 1 for what does not answer a batch.
    pub fn answer_count(&self) -> usize {
        match self {
            Self::CreateAssets(outcomes)
            | Self::CreateWallets(outcomes)
            | Self::SetLimits(outcomes)
            | Self::SetFlags(outcomes)
            | Self::SetMetadata(outcomes)
            | Self::CloseImports(outcomes) => outcomes.len(),
            Self::LookupWallets(views) => views.len(),
            Self::CreateTransfers(answered)
            | Self::CreatePending(answered)
            | Self::PostPending(answered)
            | Self::VoidPending(answered)
            | Self::Reverse(answered)
            | Self::CreateTransactions(answered) => answered.outcomes.len(),
            Self::LookupTransfers(views) => views.len(),
            Self::Balances(views) => views.len(),
            Self::BalancesAt(Ok(answer)) => answer.positions.len(),
            Self::Hello(_)
            | Self::TrialBalance(_)
            | Self::Ping(_)
            | Self::BalancesAt(Err(_))
            | Self::Statement(_)
            | Self::ListPending(_)
            | Self::ListWallets(_)
            | Self::ReadRecords(_)
            | Self::Events(_)
            | Self::MoreEvents(_)
            | Self::Unsubscribe(_)
            | Self::Error(_) => 1,
        }
    }

    /// What answers orders of any kind; `None` for all other replies.
    pub fn orders_answered(&self) -> Option<&OrdersAnswered> {
        match self {
            Self::CreateTransfers(answered)
            | Self::CreatePending(answered)
            | Self::PostPending(answered)
            | Self::VoidPending(answered)
            | Self::Reverse(answered)
            | Self::CreateTransactions(answered) => Some(answered),
            Self::Hello(_)
            | Self::CreateAssets(_)
            | Self::CreateWallets(_)
            | Self::LookupWallets(_)
            | Self::LookupTransfers(_)
            | Self::Balances(_)
            | Self::TrialBalance(_)
            | Self::Ping(_)
            | Self::SetLimits(_)
            | Self::SetFlags(_)
            | Self::SetMetadata(_)
            | Self::BalancesAt(_)
            | Self::Statement(_)
            | Self::ListPending(_)
            | Self::ListWallets(_)
            | Self::ReadRecords(_)
            | Self::Events(_)
            | Self::MoreEvents(_)
            | Self::Unsubscribe(_)
            | Self::CloseImports(_)
            | Self::Error(_) => None,
        }
    }
}

/// Appends a frame with the reply.
///
/// A reply that would be larger than `frame_limit` is not sent, since the client would have to refuse it: the
/// client is told `reply_too_large` instead. Within the maxima only a trial balance or a single record can be so large.
pub fn encode_reply(request_id: u64, reply: &Reply, frame_limit: u32, buffer: &mut Vec<u8>) {
    let start = buffer.len();
    let message_type = reply.operation().map_or(ERROR_MESSAGE_TYPE, Operation::reply_type);
    let frame_bytes = append_frame(buffer, message_type, request_id, |body| match reply {
        Reply::Hello(welcome) => hello::write_reply(body, welcome),
        Reply::CreateAssets(outcomes)
        | Reply::CreateWallets(outcomes)
        | Reply::SetLimits(outcomes)
        | Reply::SetFlags(outcomes)
        | Reply::SetMetadata(outcomes)
        | Reply::CloseImports(outcomes) => orders_answered::write_outcomes(body, outcomes),
        Reply::LookupWallets(views) => lookup_wallets::write_reply(body, views),
        Reply::CreateTransfers(answered)
        | Reply::CreatePending(answered)
        | Reply::PostPending(answered)
        | Reply::VoidPending(answered)
        | Reply::Reverse(answered)
        | Reply::CreateTransactions(answered) => orders_answered::write_reply(body, answered),
        Reply::LookupTransfers(views) => lookup_transfers::write_reply(body, views),
        Reply::Balances(views) => balances::write_reply(body, views),
        Reply::TrialBalance(trial_balance) => trial_balance::write_reply(body, trial_balance),
        Reply::Ping(pong) => ping::write_reply(body, *pong),
        Reply::BalancesAt(answer) => query::write_reply(body, answer, balances_at::put_answer),
        Reply::Statement(answer) => query::write_reply(body, answer, statement::put_answer),
        Reply::ListPending(answer) => query::write_reply(body, answer, list_pending::put_answer),
        Reply::ListWallets(answer) => query::write_reply(body, answer, list_wallets::put_answer),
        Reply::ReadRecords(answer) => query::write_reply(body, answer, read_records::put_answer),
        Reply::Events(answer) => query::write_reply(body, answer, subscribe::put_answer),
        Reply::MoreEvents(credit) => more_events::write_reply(body, *credit),
        Reply::Unsubscribe(through_seq) => unsubscribe::write_reply(body, *through_seq),
        Reply::Error(error) => error_reply::write_reply(body, error),
    });
    // An error always fits: its text is cut to a fraction of the smallest limit.
    if frame_bytes as u64 > u64::from(frame_limit) && !matches!(reply, Reply::Error(_)) {
        buffer.truncate(start);
        let text =
            format!("the reply has {frame_bytes} bytes, more than the limit of {frame_limit}; ask for less");
        let error = ErrorReply::new(ErrorCode::ReplyTooLarge, text);
        append_frame(buffer, ERROR_MESSAGE_TYPE, request_id, |body| error_reply::write_reply(body, &error));
    }
}

/// Decodes the body of a frame that a server sent.
pub fn decode_reply(message_type: u8, body: &[u8]) -> Result<Reply, FrameError> {
    if message_type == ERROR_MESSAGE_TYPE {
        return Ok(Reply::Error(error_reply::read_reply(body)?));
    }
    let Some(operation) = Operation::from_reply_type(message_type) else {
        return Err(FrameError::UnknownType { message_type });
    };
    Ok(match operation {
        Operation::Hello => Reply::Hello(hello::read_reply(body)?),
        Operation::CreateAssets => Reply::CreateAssets(orders_answered::read_outcomes(body)?),
        Operation::CreateWallets => Reply::CreateWallets(orders_answered::read_outcomes(body)?),
        Operation::LookupWallets => Reply::LookupWallets(lookup_wallets::read_reply(body)?),
        Operation::CreateTransfers => Reply::CreateTransfers(orders_answered::read_reply(body)?),
        Operation::LookupTransfers => Reply::LookupTransfers(lookup_transfers::read_reply(body)?),
        Operation::Balances => Reply::Balances(balances::read_reply(body)?),
        Operation::TrialBalance => Reply::TrialBalance(trial_balance::read_reply(body)?),
        Operation::Ping => Reply::Ping(ping::read_reply(body)?),
        Operation::CreatePending => Reply::CreatePending(orders_answered::read_reply(body)?),
        Operation::PostPending => Reply::PostPending(orders_answered::read_reply(body)?),
        Operation::VoidPending => Reply::VoidPending(orders_answered::read_reply(body)?),
        Operation::Reverse => Reply::Reverse(orders_answered::read_reply(body)?),
        Operation::CreateTransactions => Reply::CreateTransactions(orders_answered::read_reply(body)?),
        Operation::SetLimits => Reply::SetLimits(orders_answered::read_outcomes(body)?),
        Operation::SetFlags => Reply::SetFlags(orders_answered::read_outcomes(body)?),
        Operation::SetMetadata => Reply::SetMetadata(orders_answered::read_outcomes(body)?),
        Operation::BalancesAt => Reply::BalancesAt(query::read_reply(body, balances_at::answer)?),
        Operation::Statement => Reply::Statement(query::read_reply(body, statement::answer)?),
        Operation::ListPending => Reply::ListPending(query::read_reply(body, list_pending::answer)?),
        Operation::ListWallets => Reply::ListWallets(query::read_reply(body, list_wallets::answer)?),
        Operation::ReadRecords => Reply::ReadRecords(query::read_reply(body, read_records::answer)?),
        Operation::Subscribe => Reply::Events(query::read_reply(body, subscribe::answer)?),
        Operation::MoreEvents => Reply::MoreEvents(more_events::read_reply(body)?),
        Operation::Unsubscribe => Reply::Unsubscribe(unsubscribe::read_reply(body)?),
        Operation::CloseImports => Reply::CloseImports(orders_answered::read_outcomes(body)?),
    })
}
