//! From a request of the protocol to operations of the ledger, and from its answer back to a reply.

use crate::telemetry::Telemetry;
use actors::{Answer, Operations, Query, QueryAnswer, Rejection};
use ledger::wallet::OWNER_LENGTH_MAX;
use ledger::{Order, Outcome, Owner, Status, Wallet, WalletChange, WalletFlags};
use protocol::limits::records_that_fit;
use protocol::{
    AssetTrialBalance, BalanceView, ChangeBatch, ErrorCode, ErrorReply, ListedWallet, Moment, OpenHold,
    Operation, OrderBatch, OrdersAnswered, PendingPage, PositionsAt, Progress, RecordsPage, RecordsQuery,
    Reply, Request, StatementCursor, StatementPage, StatementQuery, StatementRow, TransferView, TrialBalance,
    WalletPosition, WalletView, WalletsPage, WalletsQuery, page_max,
};
use std::collections::BTreeMap;

/// When a client that was turned away should try again: a few group commits from now.
const RETRY_AFTER_MS: u32 = 10;

/// The operations that a request asks for; `None` for those that the connection answers itself. `frame_limit` bounds what
/// is asked for to what can be answered.
pub(crate) fn operations(request: Request, frame_limit: u32) -> Option<Operations> {
    Some(match request {
        Request::Hello(_)
        | Request::Ping(_)
        | Request::Subscribe(_)
        | Request::MoreEvents(_)
        | Request::Unsubscribe(_) => return None,
        Request::BalancesAt(query) => Operations::Query(Query::BalancesAt {
            wallets: query.what.ids,
            at: match query.what.at {
                Moment::Seq(seq) => actors::Moment::Seq(seq),
                Moment::TimestampNs(timestamp_ns) => actors::Moment::TimestampNs(timestamp_ns),
            },
        }),
        Request::Statement(query) => {
            Operations::Query(Query::Statement(statement_request(&query.what, frame_limit)))
        }
        Request::ListPending(query) => Operations::Query(Query::ListPending {
            wallet: query.what.wallet,
            after: query.what.after,
            limit: page_limit(query.what.limit, Operation::ListPending, frame_limit),
        }),
        Request::ListWallets(query) => {
            let limit = page_limit(query.what.limit, Operation::ListWallets, frame_limit);
            let WalletsQuery { owner, code, flags, after, .. } = query.what;
            Operations::Query(Query::ListWallets { owner, code, flags, after, limit })
        }
        Request::ReadRecords(query) => {
            let RecordsQuery { from_seq, bytes_max } = query.what;
            let bytes_max = if bytes_max == 0 { frame_limit } else { bytes_max.min(frame_limit) };
            Operations::Query(Query::Records { from_seq, bytes_max: bytes_max as usize })
        }
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
        Request::CloseImports(request) => Operations::CloseImports(request.imports),
        Request::LookupWallets(request) => Operations::LookupWallets(request.ids),
        Request::Balances(request) => Operations::LookupWallets(request.ids),
        Request::LookupTransfers(request) => Operations::LookupTransfers(request.ids),
        Request::TrialBalance(_) => Operations::TrialBalance,
    })
}

/// The answer to a question that is wrong whatever the ledger holds.
pub(crate) fn refused_by_shape(request: &Request) -> Option<Reply> {
    let Request::ListWallets(query) = request else { return None };
    if matches!(&query.what.owner, Some(Owner::Bytes(bytes)) if bytes.len() > OWNER_LENGTH_MAX) {
        return Some(Reply::ListWallets(Err(Status::OwnerTooLarge)));
    }
    let known = WalletFlags::ALL.into_iter().fold(WalletFlags::default(), |all, (flag, _)| all.with(flag));
    if !known.contains(query.what.flags) {
        return Some(Reply::ListWallets(Err(Status::ReservedFlag)));
    }
    None
}

fn statement_request(query: &StatementQuery, frame_limit: u32) -> actors::StatementRequest {
    actors::StatementRequest {
        wallet: query.wallet,
        from_ns: query.from_ns,
        to_ns: query.to_ns,
        newest_first: query.newest_first,
        kind: query.kind,
        code: query.code,
        group_id: query.group_id,
        limit: page_limit(query.limit, Operation::Statement, frame_limit),
        cursor: query.cursor.map(|cursor| {
            let StatementCursor { as_of_seq, seq, query } = cursor;
            actors::Cursor { as_of_seq, seq, query }
        }),
    }
}

/// How many items a page has at most, when so many are wanted: as many as fit into a frame.
fn page_limit(wanted: u32, operation: Operation, frame_limit: u32) -> usize {
    let max = page_max(operation, frame_limit);
    (if wanted == 0 { max } else { wanted.min(max) }) as usize
}

fn orders<T>(request: OrderBatch<T>, order: impl Fn(T) -> Order) -> Operations {
    let orders = request.orders.into_iter().map(order).collect();
    Operations::Orders { orders, with_balances: request.with_balances }
}

fn changes<T: Into<WalletChange>>(request: ChangeBatch<T>) -> Operations {
    Operations::ChangeWallets(request.changes.into_iter().map(Into::into).collect())
}

/// The reply to a request for `operation` that was answered so.
pub(crate) fn reply(operation: Operation, answer: Answer, telemetry: &Telemetry, frame_limit: u32) -> Reply {
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
                Operation::CloseImports => Reply::CloseImports(outcomes),
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
        Answer::Query(answer) => query_reply(operation, answer, frame_limit),
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

fn query_reply(operation: Operation, answer: QueryAnswer, frame_limit: u32) -> Reply {
    match answer {
        QueryAnswer::Refused(status) => match operation {
            Operation::BalancesAt => Reply::BalancesAt(Err(status)),
            Operation::Statement => Reply::Statement(Err(status)),
            Operation::ListPending => Reply::ListPending(Err(status)),
            Operation::ListWallets => Reply::ListWallets(Err(status)),
            Operation::ReadRecords => Reply::ReadRecords(Err(status)),
            other => panic!("{other} is no question about the past"),
        },
        QueryAnswer::Balances { as_of_seq, positions } => {
            Reply::BalancesAt(Ok(PositionsAt { as_of_seq, positions }))
        }
        QueryAnswer::Statement(statement) => Reply::Statement(Ok(statement_page(statement))),
        QueryAnswer::Pending { as_of_seq, holds, next } => {
            let holds = holds.into_iter().map(|(id, hold)| {
                let ledger::holds::Hold { side, amount, expires_at_ns, seq } = hold;
                OpenHold { id, side, amount, expires_at_ns, seq }
            });
            Reply::ListPending(Ok(PendingPage { as_of_seq, holds: holds.collect(), next }))
        }
        QueryAnswer::Wallets { as_of_seq, wallets, next } => {
            let wallets = wallets.into_iter().map(listed_wallet).collect();
            Reply::ListWallets(Ok(WalletsPage { as_of_seq, wallets, next }))
        }
        QueryAnswer::Records { durable_seq, mut records } => {
            // One at least: if it is larger than a frame, that is what is told.
            let fit = records_that_fit(records.iter().map(Vec::len), frame_limit).max(1);
            records.truncate(fit);
            Reply::ReadRecords(Ok(RecordsPage { durable_seq, records }))
        }
    }
}

fn statement_page(statement: actors::Statement) -> StatementPage {
    let actors::Statement { as_of_seq, opening, closing, rows, next } = statement;
    let rows = rows.into_iter().map(|row| StatementRow {
        seq: row.seq,
        timestamp_ns: row.timestamp_ns,
        kind: row.kind,
        id: row.id,
        counterparty: row.counterparty,
        debits: row.debits,
        credits: row.credits,
        code: row.code,
        group_id: row.group_id,
        position: row.position,
    });
    let next = next.map(|cursor| {
        let actors::Cursor { as_of_seq, seq, query } = cursor;
        StatementCursor { as_of_seq, seq, query }
    });
    StatementPage { as_of_seq, opening, closing, rows: rows.collect(), next }
}

fn listed_wallet(wallet: Wallet) -> ListedWallet {
    let Wallet { terms, position, version, last_seq, created_seq, created_at_ns, .. } = wallet;
    ListedWallet { terms, position, version, last_seq, created_seq, created_at_ns }
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
