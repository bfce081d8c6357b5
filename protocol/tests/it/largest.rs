//! The largest batch of the largest items, and its largest reply: both fit, whatever the frame limit.

use crate::samples::{Message, hold_terms, new_wallet, outcome, pending, post, reversal, transfer, void};
use ledger::order::LEGS_MAX;
use ledger::{
    AssetId, HoldState, Leg, Memo, NewWallet, Order, OverdraftLimit, Owner, Pending, Position, Post,
    RefusalDetail, Reversal, Side, Status, Transaction, Transfer, TransferId, Void, WalletFlags, WalletId,
};
use protocol::{
    BalanceView, Balances, ChangeBatch, CreateAssets, CreateWallets, FRAME_HARD_MAX, FRAME_LIMIT_DEFAULT,
    FRAME_LIMIT_MIN, FlagChange, LookupTransfers, LookupWallets, NewAsset, OPERATIONS_PER_REQUEST_MAX,
    Operation, OrderBatch, OrdersAnswered, Progress, Reply, Request, RequestHead, TransferView, WalletLimits,
    WalletMetadata, WalletPosition, WalletView, batch_max, encode_reply,
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
        Operation::Hello | Operation::TrialBalance | Operation::Ping => unreachable!("not a batch"),
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
