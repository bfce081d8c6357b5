//! The largest batch of the largest items, and its largest reply: both fit, whatever the frame limit.

use crate::samples::{Message, hold_terms, new_wallet, outcome, pending, post, reversal, transfer, void};
use ledger::order::LEGS_MAX;
use ledger::{
    AssetId, Entry, HoldState, ImportId, Leg, Memo, NewWallet, Order, OrderKind, OverdraftLimit, Owner,
    Pending, Position, Post, RefusalDetail, Reversal, Side, Status, Transaction, Transfer, TransferId, Void,
    WalletFlags, WalletId,
};
use protocol::event::EVENT_BYTES_MAX;
use protocol::{
    BalanceView, Balances, BalancesAt, ChangeBatch, CloseImports, CreateAssets, CreateWallets, Event,
    EventsFrame, FRAME_HARD_MAX, FRAME_LIMIT_DEFAULT, FRAME_LIMIT_MIN, FlagChange, ListedWallet,
    LookupTransfers, LookupWallets, Moment, NewAsset, OPERATIONS_PER_REQUEST_MAX, OpenHold, Operation,
    OrderBatch, OrdersAnswered, PAGE_ITEMS_MAX, PendingPage, PositionsAt, Progress, Query, Reply, Request,
    RequestHead, StatementCursor, StatementPage, StatementRow, TransferView, WalletLimits, WalletMetadata,
    WalletPosition, WalletView, WalletsPage, batch_max, encode_reply, page_max,
};

fn largest_wallet() -> NewWallet {
    NewWallet {
        owner: Owner::Bytes(Box::from([7; 64])),
        overdraft_limit: OverdraftLimit::Limited(9),
        metadata: Box::from([7; 1024]),
        ..new_wallet()
    }
}

fn largest_transfer() -> Transfer {
    Transfer { metadata: Box::from([7; 256]), ..transfer() }
}

fn largest_memo() -> Memo {
    Memo { metadata: Box::from([7; 256]), ..Memo::default() }
}

fn largest_transaction() -> Transaction {
    let leg = Leg { wallet: WalletId(1), side: Side::Debit, asset: AssetId(1), amount: 1 };
    Transaction { id: TransferId(1), legs: Box::new([leg; LEGS_MAX]), memo: largest_memo() }
}

/// A batch of the same order, with the positions asked for.
fn orders<T: Clone>(order: &T, count: usize) -> OrderBatch<T> {
    OrderBatch { head: RequestHead::default(), with_balances: true, orders: vec![order.clone(); count] }
}

fn changes<T: Clone>(change: &T, count: usize) -> ChangeBatch<T> {
    ChangeBatch { head: RequestHead::default(), changes: vec![change.clone(); count] }
}

/// The largest request of `count` items, and its largest reply.
fn largest(operation: Operation, count: usize) -> (Request, Reply) {
    let head = RequestHead::default();
    let outcome =
        outcome(Status::InsufficientFunds, RefusalDetail::InsufficientFunds { available: 1, required: 2 });
    let outcomes = vec![outcome; count];
    let (available, as_of_seq) = (Some(1), 1);
    let position = WalletPosition {
        wallet: WalletId(1),
        balance: 1,
        debits_pending: 1,
        credits_pending: 1,
        available,
        as_of_seq,
    };
    let answered = |wallets| OrdersAnswered {
        outcomes: outcomes.clone(),
        positions: vec![vec![position; wallets]; count],
    };
    let wallet_ids = vec![WalletId(1); count];
    match operation {
        Operation::CreateAssets => {
            let asset = NewAsset { id: AssetId(1), code: "SIXTEEN-LETTERS.".to_owned(), scale: 1 };
            let request = CreateAssets { head, assets: vec![asset; count] };
            (Request::CreateAssets(request), Reply::CreateAssets(outcomes))
        }
        Operation::CreateWallets => {
            let request = CreateWallets { head, wallets: vec![largest_wallet(); count] };
            (Request::CreateWallets(request), Reply::CreateWallets(outcomes))
        }
        Operation::LookupWallets => {
            let view = WalletView {
                terms: largest_wallet(),
                position: Position::default(),
                version: 1,
                last_seq: 1,
                created_seq: 1,
                created_at_ns: 1,
                available,
                as_of_seq,
            };
            let request = LookupWallets { head, ids: wallet_ids };
            (Request::LookupWallets(request), Reply::LookupWallets(vec![Some(view); count]))
        }
        Operation::CreateTransfers => (
            Request::CreateTransfers(orders(&largest_transfer(), count)),
            Reply::CreateTransfers(answered(2)),
        ),
        Operation::CreatePending => {
            let pending = Pending { transfer: largest_transfer(), ..pending() };
            (Request::CreatePending(orders(&pending, count)), Reply::CreatePending(answered(2)))
        }
        Operation::PostPending => {
            let post = Post { memo: largest_memo(), ..post() };
            (Request::PostPending(orders(&post, count)), Reply::PostPending(answered(2)))
        }
        Operation::VoidPending => {
            let void = Void { memo: largest_memo(), ..void() };
            (Request::VoidPending(orders(&void, count)), Reply::VoidPending(answered(2)))
        }
        Operation::Reverse => {
            let reversal = Reversal { memo: largest_memo(), ..reversal() };
            (Request::Reverse(orders(&reversal, count)), Reply::Reverse(answered(LEGS_MAX)))
        }
        Operation::CreateTransactions => (
            Request::CreateTransactions(orders(&largest_transaction(), count)),
            Reply::CreateTransactions(answered(LEGS_MAX)),
        ),
        Operation::SetLimits => {
            let limits = WalletLimits {
                wallet: WalletId(1),
                overdraft_limit: OverdraftLimit::Limited(1),
                balance_max: 1,
            };
            (Request::SetLimits(changes(&limits, count)), Reply::SetLimits(outcomes))
        }
        Operation::SetFlags => {
            let (set, clear) = (WalletFlags::CLOSED, WalletFlags::DEBIT_FROZEN);
            let change = FlagChange { wallet: WalletId(1), set, clear };
            (Request::SetFlags(changes(&change, count)), Reply::SetFlags(outcomes))
        }
        Operation::SetMetadata => {
            let metadata = WalletMetadata { wallet: WalletId(1), metadata: Box::from([7; 1024]) };
            (Request::SetMetadata(changes(&metadata, count)), Reply::SetMetadata(outcomes))
        }
        Operation::CloseImports => {
            let request = CloseImports { head, imports: vec![ImportId(1); count] };
            (Request::CloseImports(request), Reply::CloseImports(outcomes))
        }
        Operation::LookupTransfers => {
            let view = TransferView {
                order: Order::Transaction(largest_transaction()),
                outcome,
                progress: Progress::Hold { terms: hold_terms(), state: HoldState::Open },
            };
            let request = LookupTransfers { head, ids: vec![TransferId(1); count] };
            (Request::LookupTransfers(request), Reply::LookupTransfers(vec![Some(view); count]))
        }
        Operation::Balances => {
            let view = BalanceView { balance: 1, available, position: Position::default(), as_of_seq };
            let request = Balances { head, ids: wallet_ids };
            (Request::Balances(request), Reply::Balances(vec![Some(view); count]))
        }
        Operation::BalancesAt => {
            let what = BalancesAt { at: Moment::Seq(1), ids: wallet_ids };
            let answer = PositionsAt { as_of_seq, positions: vec![Some(Position::default()); count] };
            (Request::BalancesAt(Query { head, what }), Reply::BalancesAt(Ok(answer)))
        }
        Operation::Hello
        | Operation::TrialBalance
        | Operation::Ping
        | Operation::Statement
        | Operation::ListPending
        | Operation::ListWallets
        | Operation::ReadRecords
        | Operation::Subscribe
        | Operation::MoreEvents
        | Operation::Unsubscribe => unreachable!("not a batch"),
    }
}

#[test]
fn the_largest_batch_and_its_largest_reply_fit_and_one_item_more_does_not() {
    for operation in Operation::BATCHED {
        for frame_limit in [FRAME_LIMIT_MIN, 100_000, FRAME_LIMIT_DEFAULT, FRAME_HARD_MAX] {
            let bytes = |count: u32| {
                let (request, reply) = largest(operation, count as usize);
                let request = Message::Request(request).frame(1).len();
                // Without a limit, since a reply above it becomes an error.
                let mut frame = Vec::new();
                encode_reply(1, &reply, u32::MAX, &mut frame);
                request.max(frame.len())
            };
            let count = batch_max(operation, frame_limit);
            assert!(bytes(count) <= frame_limit as usize, "{count} {operation} in {frame_limit} bytes");
            if count < OPERATIONS_PER_REQUEST_MAX {
                // What a message carries beside its items differs a little, so a batch may be one too small.
                assert!(
                    bytes(count + 2) > frame_limit as usize,
                    "{count} + 2 {operation} in {frame_limit} bytes"
                );
            }
        }
    }
}

#[test]
fn the_largest_batch_survives_the_round_trip() {
    for operation in Operation::BATCHED {
        let count = batch_max(operation, FRAME_HARD_MAX) as usize;
        let (request, reply) = largest(operation, count);
        for message in [Message::Request(request), Message::Reply(reply)] {
            let frame = message.frame(1);
            let (header, body) = crate::samples::open(&frame);
            assert!(message.decode_alike(header.message_type, body) == Ok(message), "{operation}");
        }
    }
}

/// The largest page of `count` items.
fn largest_page(operation: Operation, count: usize) -> Reply {
    let (as_of_seq, position) = (1, Position::default());
    match operation {
        Operation::Statement => {
            let row = StatementRow {
                seq: 1,
                timestamp_ns: 1,
                kind: OrderKind::Transfer,
                id: TransferId(1),
                counterparty: Some(WalletId(2)),
                debits: 1,
                credits: 1,
                code: 1,
                group_id: 1,
                position,
            };
            let next = Some(StatementCursor { as_of_seq, seq: 1, query: 1 });
            let (opening, closing, rows) = (position, position, vec![row; count]);
            Reply::Statement(Ok(StatementPage { as_of_seq, opening, closing, rows, next }))
        }
        Operation::ListPending => {
            let hold = OpenHold { id: TransferId(1), side: Side::Debit, amount: 1, expires_at_ns: 1, seq: 1 };
            let next = Some(TransferId(1));
            Reply::ListPending(Ok(PendingPage { as_of_seq, holds: vec![hold; count], next }))
        }
        Operation::ListWallets => {
            let wallet = ListedWallet {
                terms: largest_wallet(),
                position,
                version: 1,
                last_seq: 1,
                created_seq: 1,
                created_at_ns: 1,
            };
            let next = Some(WalletId(1));
            Reply::ListWallets(Ok(WalletsPage { as_of_seq, wallets: vec![wallet; count], next }))
        }
        other => unreachable!("{other} is not answered in pages"),
    }
}

#[test]
fn the_largest_page_fits_and_one_of_an_item_more_does_not() {
    for operation in [Operation::Statement, Operation::ListPending, Operation::ListWallets] {
        for frame_limit in [FRAME_LIMIT_MIN, 50_000, FRAME_LIMIT_DEFAULT, FRAME_HARD_MAX] {
            let bytes = |count: u32| {
                let mut frame = Vec::new();
                encode_reply(1, &largest_page(operation, count as usize), u32::MAX, &mut frame);
                frame.len()
            };
            let count = page_max(operation, frame_limit);
            assert!(bytes(count) <= frame_limit as usize, "{count} of {operation} in {frame_limit} bytes");
            if count < PAGE_ITEMS_MAX {
                assert!(bytes(count + 1) > frame_limit as usize, "{operation} in {frame_limit} bytes");
            }
        }
    }
}

#[test]
fn the_largest_event_fits_into_the_smallest_frame_limit() {
    let legs: Vec<Leg> = (0..LEGS_MAX)
        .map(|index| Leg {
            wallet: WalletId(1 + index as u128),
            side: if index == 0 { Side::Debit } else { Side::Credit },
            asset: AssetId(1),
            amount: 1,
        })
        .collect();
    let transaction = Transaction { id: TransferId(1), legs: legs.into(), memo: largest_memo() };
    let event = Event::of_entry(1, 1, Entry::TransactionDone(transaction));
    assert_eq!(event.movements().len(), LEGS_MAX);
    let mut frame = EventsFrame::new(1, FRAME_LIMIT_MIN);
    let empty = EventsFrame::new(1, FRAME_LIMIT_MIN).finish(1, 1).len();
    assert!(frame.push(&event), "the largest event does not fit");
    let bytes = frame.finish(1, 1).len();
    assert!(bytes <= FRAME_LIMIT_MIN as usize && bytes - empty <= EVENT_BYTES_MAX as usize, "{bytes}");
}
