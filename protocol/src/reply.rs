//! Replies: any message from a server to a client.

use crate::balances::{self, BalanceView};
use crate::error_reply::{self, ErrorCode, ErrorReply};
use crate::frame::{FrameError, append_frame};
use crate::hello::{self, Welcome};
use crate::lookup_transfers::{self, TransferView};
use crate::lookup_wallets::{self, WalletView};
use crate::operation::{ERROR_MESSAGE_TYPE, Operation};
use crate::orders_answered::{self, OrdersAnswered};
use crate::ping::{self, Pong};
use crate::trial_balance::{self, TrialBalance};
use ledger::Outcome;

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
            Self::Error(_) => return None,
        })
    }

    /// How many operations it answers; 1 for what does not answer a batch.
    pub fn answer_count(&self) -> usize {
        match self {
            Self::CreateAssets(outcomes)
            | Self::CreateWallets(outcomes)
            | Self::SetLimits(outcomes)
            | Self::SetFlags(outcomes)
            | Self::SetMetadata(outcomes) => outcomes.len(),
            Self::LookupWallets(views) => views.len(),
            Self::CreateTransfers(answered)
            | Self::CreatePending(answered)
            | Self::PostPending(answered)
            | Self::VoidPending(answered)
            | Self::Reverse(answered)
            | Self::CreateTransactions(answered) => answered.outcomes.len(),
            Self::LookupTransfers(views) => views.len(),
            Self::Balances(views) => views.len(),
            Self::Hello(_) | Self::TrialBalance(_) | Self::Ping(_) | Self::Error(_) => 1,
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
            | Self::Error(_) => None,
        }
    }
}

/// Appends a frame with the reply.
///
/// A reply that would be larger than `frame_limit` is not sent, since the client would have to refuse it: the
/// client is told `reply_too_large` instead. Within the batch maxima only a trial balance can be so large.
pub fn encode_reply(request_id: u64, reply: &Reply, frame_limit: u32, buffer: &mut Vec<u8>) {
    let start = buffer.len();
    let message_type = reply.operation().map_or(ERROR_MESSAGE_TYPE, Operation::reply_type);
    let frame_bytes = append_frame(buffer, message_type, request_id, |body| match reply {
        Reply::Hello(welcome) => hello::write_reply(body, welcome),
        Reply::CreateAssets(outcomes)
        | Reply::CreateWallets(outcomes)
        | Reply::SetLimits(outcomes)
        | Reply::SetFlags(outcomes)
        | Reply::SetMetadata(outcomes) => orders_answered::write_outcomes(body, outcomes),
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
    })
}
