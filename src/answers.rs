//! From a request of the protocol to operations of the ledger, and from its answer back to a reply.

use crate::telemetry::Telemetry;
use actors::{Answer, Operations, Rejection};
use ledger::{Order, Outcome, WalletChange};
use protocol::{
    AssetTrialBalance, BalanceView, ChangeBatch, ErrorCode, ErrorReply, Operation, OrderBatch,
    OrdersAnswered, Progress, Reply, Request, TransferView, TrialBalance, WalletPosition, WalletView,
};
use std::collections::BTreeMap;

/// When a client that was turned away should try again: a few group commits from now.
const RETRY_AFTER_MS: u32 = 10;

/// The operations that a request asks for; `None` for those that the connection answers itself.
pub(crate) fn operations(request: Request) -> Option<Operations> {
    Some(match request {
        Request::Hello(_)
        | Request::Ping(_)
        | Request::BalancesAt(_)
        | Request::Statement(_)
        | Request::ListPending(_)
        | Request::ListWallets(_)
        | Request::ReadRecords(_)
        | Request::Subscribe(_)
        | Request::MoreEvents(_)
        | Request::Unsubscribe(_) => return None,
        Request::CreateAssets(request) => {
            Operations::CreateAssets(request.assets.iter().map(protocol::NewAsset::to_asset).collect())
        }
        Request::CreateWallets(request) => Operations::CreateWallets(request.wallets),
        Request::CreateTransfers(request) => orders(request, Order::Transfer),
        Request::CreatePending(request) => orders(request, Order::Pending),
        Request::PostPending(request) => orders(request, Order::Post),
        Request::VoidPending(request) => orders(request, Order::Void),
        Request::Reverse(request) => orders(request, Order::Reversal),
        Request::CreateTransactions(request) => orders(request, Order::Transaction),
        Request::SetLimits(request) => changes(request),
        Request::SetFlags(request) => changes(request),
        Request::SetMetadata(request) => changes(request),
        Request::LookupWallets(request) => Operations::LookupWallets(request.ids),
        Request::Balances(request) => Operations::LookupWallets(request.ids),
        Request::LookupTransfers(request) => Operations::LookupTransfers(request.ids),
        Request::TrialBalance(_) => Operations::TrialBalance,
    })
}

fn orders<T>(request: OrderBatch<T>, order: impl Fn(T) -> Order) -> Operations {
    let orders = request.orders.into_iter().map(order).collect();
    Operations::Orders { orders, with_balances: request.with_balances }
}

fn changes<T: Into<WalletChange>>(request: ChangeBatch<T>) -> Operations {
    Operations::ChangeWallets(request.changes.into_iter().map(Into::into).collect())
}

/// The reply to a request for `operation` that was answered so.
pub(crate) fn reply(operation: Operation, answer: Answer, telemetry: &Telemetry) -> Reply {
    match answer {
        Answer::Outcomes { outcomes, balances } => {
            let positions = || balances.iter().map(|route| route.iter().map(position).collect()).collect();
            let answered = |outcomes: Vec<Outcome>| {
                count_orders(&outcomes, telemetry);
                OrdersAnswered { outcomes, positions: positions() }
            };
            match operation {
                Operation::CreateAssets => Reply::CreateAssets(outcomes),
                Operation::CreateWallets => Reply::CreateWallets(outcomes),
                Operation::SetLimits => Reply::SetLimits(outcomes),
                Operation::SetFlags => Reply::SetFlags(outcomes),
                Operation::SetMetadata => Reply::SetMetadata(outcomes),
                Operation::CreateTransfers => Reply::CreateTransfers(answered(outcomes)),
                Operation::CreatePending => Reply::CreatePending(answered(outcomes)),
                Operation::PostPending => Reply::PostPending(answered(outcomes)),
                Operation::VoidPending => Reply::VoidPending(answered(outcomes)),
                Operation::Reverse => Reply::Reverse(answered(outcomes)),
                Operation::CreateTransactions => Reply::CreateTransactions(answered(outcomes)),
                other => panic!("{other} is never answered with outcomes"),
            }
        }
        Answer::Wallets(views) => match operation {
            Operation::LookupWallets => {
                Reply::LookupWallets(views.into_iter().map(|view| view.map(wallet_view)).collect())
            }
            Operation::Balances => {
                Reply::Balances(views.iter().map(|view| view.as_ref().map(balance_view)).collect())
            }
            other => panic!("{other} is never answered with wallets"),
        },
        Answer::Transfers(views) => {
            Reply::LookupTransfers(views.into_iter().map(|view| view.map(transfer_view)).collect())
        }
        Answer::TrialBalance(view) => {
            let assets = view.assets.into_iter().map(|(asset, totals)| AssetTrialBalance { asset, totals });
            Reply::TrialBalance(TrialBalance { as_of_seq: view.as_of_seq, assets: assets.collect() })
        }
        Answer::Query(answer) => panic!("no client can ask for {answer:?} yet"),
        Answer::DeadlineExceeded => Reply::Error(ErrorReply::new(
            ErrorCode::DeadlineExceeded,
            "the deadline passed before the request was begun; nothing of it was done",
        )),
        Answer::Unavailable => Reply::Error(ErrorReply {
            code: ErrorCode::Unavailable,
            text: "a wallet is being rebuilt or is quarantined; ask again".to_owned(),
            retry_after_ms: RETRY_AFTER_MS,
        }),
        Answer::OutcomeUnknown => Reply::Error(ErrorReply::new(
            ErrorCode::Unavailable,
            "the journal has failed; whether the outcome is durable is not known: send the same ids again later",
        )),
    }
}

/// The reply to a request that was turned away.
pub(crate) fn rejection(rejection: Rejection) -> ErrorReply {
    match rejection {
        Rejection::Overloaded => ErrorReply {
            code: ErrorCode::Overloaded,
            text: "too much is under way; nothing of this request was done".to_owned(),
            retry_after_ms: RETRY_AFTER_MS,
        },
        Rejection::DiskFull => ErrorReply::new(
            ErrorCode::DiskFull,
            "free space is below the reserve: no writes until there is room; reads go on",
        ),
        Rejection::ShuttingDown => ErrorReply::new(ErrorCode::ShuttingDown, "the server is stopping"),
        Rejection::Unavailable => {
            ErrorReply::new(ErrorCode::Unavailable, "the journal has failed; the server is stopping")
        }
    }
}

fn wallet_view(view: actors::WalletView) -> WalletView {
    let available = view.available;
    let wallet = view.wallet;
    WalletView {
        terms: wallet.terms,
        position: wallet.position,
        version: wallet.version,
        last_seq: wallet.last_seq,
        created_seq: wallet.created_seq,
        created_at_ns: wallet.created_at_ns,
        available,
        as_of_seq: view.as_of_seq,
    }
}

fn balance_view(view: &actors::WalletView) -> BalanceView {
    BalanceView {
        balance: view.wallet.position.balance(),
        available: view.available,
        position: view.wallet.position,
        as_of_seq: view.as_of_seq,
    }
}

fn position(view: &actors::WalletView) -> WalletPosition {
    let position = view.wallet.position;
    WalletPosition {
        wallet: view.wallet.terms.id,
        balance: position.balance(),
        debits_pending: position.debits_pending,
        credits_pending: position.credits_pending,
        available: view.available,
        as_of_seq: view.as_of_seq,
    }
}

fn transfer_view(view: actors::TransferView) -> TransferView {
    let progress = match view.progress {
        actors::Progress::None => Progress::None,
        actors::Progress::Hold { terms, state } => Progress::Hold { terms, state },
        actors::Progress::Moved { amount, reversed } => Progress::Moved { amount, reversed },
    };
    TransferView { order: view.order, outcome: view.outcome, progress }
}

fn count_orders(outcomes: &[Outcome], telemetry: &Telemetry) {
    // Mostly they are all alike: one addition a status, not one an order.
    let mut counts = BTreeMap::new();
    for outcome in outcomes {
        *counts.entry(outcome.status).or_insert(0) += 1;
    }
    for (status, count) in counts {
        telemetry.orders(status, count);
    }
}
