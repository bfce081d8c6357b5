//! From a request of the protocol to operations of the ledger, and from its answer back to a reply.

use crate::telemetry::Telemetry;
use actors::{Answer, Operations, Rejection};
use ledger::Outcome;
use protocol::{
    AssetTrialBalance, BalanceView, ErrorCode, ErrorReply, Operation, Reply, Request, TransferView,
    TransfersCreated, TrialBalance, WalletPosition, WalletView,
};
use std::collections::BTreeMap;

/// When a client that was turned away should try again: a few group commits from now.
const RETRY_AFTER_MS: u32 = 10;

/// The operations that a request asks for; `None` for those that the connection answers itself.
pub(crate) fn operations(request: Request) -> Option<Operations> {
    Some(match request {
        Request::Hello(_) | Request::Ping(_) => return None,
        Request::CreateAssets(request) => {
            Operations::CreateAssets(request.assets.iter().map(protocol::NewAsset::to_asset).collect())
        }
        Request::CreateWallets(request) => Operations::CreateWallets(request.wallets),
        Request::CreateTransfers(request) => {
            Operations::CreateTransfers { transfers: request.transfers, with_balances: request.with_balances }
        }
        Request::LookupWallets(request) => Operations::LookupWallets(request.ids),
        Request::Balances(request) => Operations::LookupWallets(request.ids),
        Request::LookupTransfers(request) => Operations::LookupTransfers(request.ids),
        Request::TrialBalance(_) => Operations::TrialBalance,
    })
}

/// The reply to a request for `operation` that was answered so.
pub(crate) fn reply(operation: Operation, answer: Answer, telemetry: &Telemetry) -> Reply {
    match (operation, answer) {
        (Operation::CreateAssets, Answer::Outcomes { outcomes, .. }) => Reply::CreateAssets(outcomes),
        (Operation::CreateWallets, Answer::Outcomes { outcomes, .. }) => Reply::CreateWallets(outcomes),
        (Operation::CreateTransfers, Answer::Outcomes { outcomes, balances }) => {
            count_transfers(&outcomes, telemetry);
            let positions = balances.into_iter().map(|route| route.iter().map(position).collect()).collect();
            Reply::CreateTransfers(TransfersCreated { outcomes, positions })
        }
        (Operation::LookupWallets, Answer::Wallets(views)) => {
            let found = |view: actors::WalletView| WalletView {
                available: view.wallet.available(),
                wallet: view.wallet,
                as_of_seq: view.as_of_seq,
            };
            Reply::LookupWallets(views.into_iter().map(|view| view.map(found)).collect())
        }
        (Operation::Balances, Answer::Wallets(views)) => {
            let found = |view: actors::WalletView| BalanceView {
                balance: view.wallet.position.balance(),
                available: view.wallet.available(),
                position: view.wallet.position,
                as_of_seq: view.as_of_seq,
            };
            Reply::Balances(views.into_iter().map(|view| view.map(found)).collect())
        }
        (Operation::LookupTransfers, Answer::Transfers(views)) => {
            let found =
                |view: actors::TransferView| TransferView { transfer: view.transfer, outcome: view.outcome };
            Reply::LookupTransfers(views.into_iter().map(|view| view.map(found)).collect())
        }
        (Operation::TrialBalance, Answer::TrialBalance(view)) => {
            let assets = view.assets.into_iter().map(|(asset, totals)| AssetTrialBalance { asset, totals });
            Reply::TrialBalance(TrialBalance { as_of_seq: view.as_of_seq, assets: assets.collect() })
        }
        (_, Answer::DeadlineExceeded) => Reply::Error(ErrorReply::new(
            ErrorCode::DeadlineExceeded,
            "the deadline passed before the request was begun; nothing of it was done",
        )),
        (_, Answer::Unavailable) => Reply::Error(ErrorReply {
            code: ErrorCode::Unavailable,
            text: "a wallet is being rebuilt or is quarantined; ask again".to_owned(),
            retry_after_ms: RETRY_AFTER_MS,
        }),
        (_, Answer::OutcomeUnknown) => Reply::Error(ErrorReply::new(
            ErrorCode::Unavailable,
            "the journal has failed; whether the outcome is durable is not known: send the same ids again later",
        )),
        (operation, answer) => panic!("{operation} is never answered with {answer:?}"),
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

fn position(view: &actors::WalletView) -> WalletPosition {
    WalletPosition {
        wallet: view.wallet.terms.id,
        balance: view.wallet.position.balance(),
        available: view.wallet.available(),
        as_of_seq: view.as_of_seq,
    }
}

fn count_transfers(outcomes: &[Outcome], telemetry: &Telemetry) {
    // Mostly they are all alike: one addition a status, not one a transfer.
    let mut counts = BTreeMap::new();
    for outcome in outcomes {
        *counts.entry(outcome.status).or_insert(0) += 1;
    }
    for (status, count) in counts {
        telemetry.transfers(status, count);
    }
}
