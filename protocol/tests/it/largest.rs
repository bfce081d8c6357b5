//! The largest batch of the largest items, and its largest reply: both fit, whatever the frame limit.

use crate::samples::{Message, new_wallet, outcome, transfer};
use ledger::{
    AssetId, NewWallet, OverdraftLimit, Owner, Position, RefusalDetail, Status, Transfer, TransferId, Wallet,
    WalletId,
};
use protocol::{
    BalanceView, Balances, CreateAssets, CreateTransfers, CreateWallets, FRAME_HARD_MAX, FRAME_LIMIT_DEFAULT,
    FRAME_LIMIT_MIN, LookupTransfers, LookupWallets, NewAsset, OPERATIONS_PER_REQUEST_MAX, Operation, Reply,
    Request, RequestHead, TransferView, TransfersCreated, WalletPosition, WalletView, batch_max,
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

/// The largest request of `count` items, and its largest reply.
fn largest(operation: Operation, count: usize) -> (Request, Reply) {
    let head = RequestHead::default();
    let outcome =
        outcome(Status::InsufficientFunds, RefusalDetail::InsufficientFunds { available: 1, required: 2 });
    let outcomes = vec![outcome; count];
    let (available, as_of_seq) = (Some(1), 1);
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
            let wallet = Wallet::create(largest_wallet(), 1, 1);
            let view = WalletView { wallet, available, as_of_seq };
            let request = LookupWallets { head, ids: wallet_ids };
            (Request::LookupWallets(request), Reply::LookupWallets(vec![Some(view); count]))
        }
        Operation::CreateTransfers => {
            let position = WalletPosition { wallet: WalletId(1), balance: 1, available, as_of_seq };
            let positions = vec![vec![position; 2]; count];
            let transfers = vec![largest_transfer(); count];
            let request = CreateTransfers { head, with_balances: true, transfers };
            (
                Request::CreateTransfers(request),
                Reply::CreateTransfers(TransfersCreated { outcomes, positions }),
            )
        }
        Operation::LookupTransfers => {
            let view = TransferView { transfer: largest_transfer(), outcome };
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
                // A reply above the hard limit would have become an error.
                let reply = Message::Reply(reply).frame(1).len();
                request.max(reply)
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
