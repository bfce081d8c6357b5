//! The client against a server that does what it should not, or does it late. Time is paused: it moves on only
//! when everybody waits.

use crate::fake_server::{FakeServer, Peer, error, fake_server, limits, outcome, pong, welcome};
use crate::{Client, ClientError, ClientOptions, Connection};
use ledger::{
    AssetId, ImportId, Leg, Memo, Outcome, OverdraftLimit, Pending, Post, Reversal, Side, Status,
    Transaction, Transfer, TransferId, Void, WalletFlags, WalletId,
};
use protocol::{
    BalanceView, ErrorCode, ErrorReply, FRAME_LIMIT_DEFAULT, FlagChange, FrameError, Limits, Operation,
    OrdersAnswered, Reply, Request, WalletLimits, WalletMetadata, WalletPosition, Welcome, decode_request,
    encode_reply,
};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

fn options() -> ClientOptions {
    ClientOptions { retries: 2, ..ClientOptions::default() }
}

async fn connection() -> (Connection, Peer, FakeServer) {
    let (mut server, endpoint) = fake_server();
    let options = options();
    let (connection, peer) = tokio::join!(Connection::dial(&endpoint, &options), server.accept());
    (connection.expect("the server welcomes"), peer, server)
}

async fn client(options: ClientOptions) -> (Client, Peer, FakeServer) {
    let (mut server, endpoint) = fake_server();
    let (client, peer) = tokio::join!(Client::connect_to(endpoint, options), server.accept());
    (client.expect("the server welcomes"), peer, server)
}

fn transfer(id: u128) -> Transfer {
    Transfer {
        id: TransferId(id),
        debit_wallet: WalletId(1),
        credit_wallet: WalletId(2),
        asset: AssetId(1),
        amount: 1,
        group_id: 0,
        code: 0,
        effective_at_ns: 0,
        metadata: Box::default(),
    }
}

fn transfers(request: Request) -> Vec<Transfer> {
    let Request::CreateTransfers(request) = request else { panic!("not transfers: {request:?}") };
    request.orders
}

fn created(statuses: &[Status]) -> Reply {
    let outcomes = statuses.iter().map(|&status| outcome(status)).collect();
    Reply::CreateTransfers(OrdersAnswered { outcomes, positions: Vec::new() })
}

#[tokio::test(start_paused = true)]
async fn replies_out_of_order_find_their_calls() {
    let (connection, mut peer, _server) = connection().await;
    let serve = async {
        let (first, _) = peer.receive().await;
        let (second, _) = peer.receive().await;
        let (third, _) = peer.receive().await;
        peer.reply(third, &pong(3)).await;
        peer.reply(first, &pong(1)).await;
        peer.reply(second, &pong(2)).await;
    };
    let calls = async { tokio::join!(connection.ping(), connection.ping(), connection.ping()) };
    let ((first, second, third), ()) = tokio::join!(calls, serve);
    assert_eq!([first, second, third].map(|pong| pong.unwrap().durable_seq), [1, 2, 3]);
    assert_eq!(connection.in_flight(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_carries_its_trace_id_and_the_time_that_is_left_for_it() {
    let (client, mut peer, _server) =
        client(ClientOptions { request_timeout: Duration::from_millis(1500), ..options() }).await;
    let serve = async {
        let (id, request) = peer.receive().await;
        assert_eq!(request.head().deadline_ms, 1500);
        assert_eq!(request.head().trace_id, 77);
        tokio::time::sleep(Duration::from_millis(300)).await;
        peer.reply(id, &error(ErrorCode::Overloaded, 200)).await;
        let (id, request) = peer.receive().await;
        assert!((900..=1000).contains(&request.head().deadline_ms), "{}", request.head().deadline_ms);
        peer.reply(id, &pong(1)).await;
    };
    let traced = client.traced(77);
    let (answer, ()) = tokio::join!(traced.ping(), serve);
    answer.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_closed_in_the_middle_of_a_call_leaves_the_outcome_of_writes_unknown() {
    let (connection, peer, _server) = connection().await;
    let items = [transfer(1)];
    let (write, read, _) =
        tokio::join!(connection.create_transfers(&items), connection.ping(), peer.receive_and_close());
    assert!(matches!(write, Err(ClientError::OutcomeUnknown { answered: 0, .. })), "{write:?}");
    assert!(matches!(read, Err(ClientError::ConnectionLost { .. })), "{read:?}");
    assert!(connection.is_closed());
    // Nothing of a call on a closed connection was sent.
    let later = connection.create_transfers(&items).await;
    assert!(matches!(later, Err(ClientError::ConnectionLost { .. })), "{later:?}");
}

#[tokio::test(start_paused = true)]
async fn a_client_reconnects_and_sends_the_same_ids_again_and_what_was_done_is_a_success() {
    let (client, peer, mut server) = client(options()).await;
    let serve = async {
        let before = transfers(peer.receive_and_close().await);
        let mut peer = server.accept().await;
        let (id, again) = peer.receive().await;
        assert_eq!(transfers(again), before);
        peer.reply(id, &created(&[Status::Exists, Status::Created])).await;
    };
    let items = [transfer(1), transfer(2)];
    let (answer, ()) = tokio::join!(client.create_transfers(&items), serve);
    let outcomes = answer.unwrap();
    assert!(outcomes.iter().all(|outcome| outcome.status.is_success()));
    assert!(outcomes[0].replayed);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_gives_up_says_whether_something_may_have_been_done() {
    // Sent once, then nobody is there any more: unknown, though the last attempt sent nothing.
    let (unlucky, peer, server) = client(options()).await;
    let items = [transfer(1)];
    let serve = async {
        peer.receive_and_close().await;
        drop(server);
    };
    let (answer, ()) = tokio::join!(unlucky.create_transfers(&items), serve);
    let Err(ClientError::OutcomeUnknown { answered: 0, source }) = answer else { panic!("{answer:?}") };
    assert!(matches!(*source, ClientError::Connect { .. }), "{source:?}");
    // Nothing of a later call is sent.
    let answer = unlucky.create_transfers(&items).await;
    assert!(matches!(answer, Err(ClientError::Connect { .. })), "{answer:?}");

    // Refused as a whole each time: surely nothing was done.
    let (refused, mut peer, _server) = client(options()).await;
    let serve = async {
        for _ in 0..3 {
            let (id, _) = peer.receive().await;
            peer.reply(id, &error(ErrorCode::Overloaded, 0)).await;
        }
    };
    let (answer, ()) = tokio::join!(refused.create_transfers(&items), serve);
    assert!(matches!(answer, Err(ClientError::Refused { code: ErrorCode::Overloaded, .. })), "{answer:?}");

    // The server itself does not know: unknown, also after a further attempt that was refused.
    let (unknown, mut peer, _server) = client(options()).await;
    let serve = async {
        let (id, _) = peer.receive().await;
        peer.reply(id, &error(ErrorCode::Unavailable, 0)).await;
        let (id, _) = peer.receive().await;
        peer.reply(id, &error(ErrorCode::ReadOnly, 0)).await;
    };
    let (answer, ()) = tokio::join!(unknown.create_transfers(&items), serve);
    assert!(matches!(answer, Err(ClientError::OutcomeUnknown { .. })), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_server_is_left_alone_for_as_long_as_it_asks() {
    let (client, mut peer, _server) = client(options()).await;
    let serve = async {
        let (id, _) = peer.receive().await;
        peer.reply(id, &error(ErrorCode::Overloaded, 700)).await;
        let asked = Instant::now();
        let (id, _) = peer.receive().await;
        assert!(asked.elapsed() >= Duration::from_millis(700));
        peer.reply(id, &created(&[Status::Created])).await;
    };
    let items = [transfer(1)];
    let (answer, ()) = tokio::join!(client.create_transfers(&items), serve);
    assert_eq!(answer.unwrap(), [outcome(Status::Created)]);
}

#[tokio::test(start_paused = true)]
async fn what_no_retry_can_change_is_not_retried() {
    for code in
        [ErrorCode::NotAuthorized, ErrorCode::ReadOnly, ErrorCode::DiskFull, ErrorCode::TooManyOperations]
    {
        let (client, mut peer, _server) = client(options()).await;
        let serve = async {
            let (id, _) = peer.receive().await;
            peer.reply(id, &error(code, 0)).await;
        };
        let (answer, ()) = tokio::join!(client.ping(), serve);
        assert!(matches!(answer, Err(ClientError::Refused { code: told, .. }) if told == code), "{answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_without_a_common_version_is_refused() {
    let check = async |reply: Reply| {
        let (mut server, endpoint) = fake_server();
        let serve = async {
            let mut peer = server.accept_silently().await;
            let (id, _) = peer.receive().await;
            peer.reply(id, &reply).await;
        };
        let options = options();
        let (opened, ()) = tokio::join!(Connection::dial(&endpoint, &options), serve);
        opened.expect_err("no common version")
    };
    let error = check(error(ErrorCode::UnsupportedVersion, 0)).await;
    assert!(matches!(error, ClientError::Refused { code: ErrorCode::UnsupportedVersion, .. }), "{error:?}");
    let error = check(welcome(2)).await;
    let expected = FrameError::UnsupportedVersion { found: 2 };
    assert!(matches!(&error, ClientError::Protocol { source } if *source == expected), "{error:?}");
    let error = check(pong(1)).await;
    assert!(matches!(error, ClientError::UnexpectedReply { operation: Operation::Hello }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_never_says_hello_is_given_up() {
    let (mut server, endpoint) = fake_server();
    let options = options();
    let (opened, _peer) = tokio::join!(Connection::dial(&endpoint, &options), server.accept_silently());
    assert!(matches!(opened, Err(ClientError::Connect { .. })), "{opened:?}");
}

#[tokio::test(start_paused = true)]
async fn garbage_ends_the_connection_and_every_call_on_it() {
    let frame = |request_id: u64, reply: &Reply| {
        let mut frame = Vec::new();
        encode_reply(request_id, reply, FRAME_LIMIT_DEFAULT, &mut frame);
        frame
    };
    // Makes the bytes from the id of the first request.
    let check = async |bytes: &dyn Fn(u64) -> Vec<u8>, what: &str| {
        let (connection, mut peer, _server) = connection().await;
        let serve = async {
            let (id, _) = peer.receive().await;
            peer.receive().await;
            peer.send(&bytes(id)).await;
        };
        let calls = async { tokio::join!(connection.ping(), connection.trial_balance()) };
        let ((ping, trial_balance), ()) = tokio::join!(calls, serve);
        assert!(ping.is_err() && trial_balance.is_err(), "{what}: {ping:?}, {trial_balance:?}");
        assert!(connection.is_closed(), "{what}");
    };
    check(&|_| b"HTTP/1.1 400 Bad Request\r\n".to_vec(), "another protocol").await;
    check(&|id| frame(id + 77, &pong(1)), "a reply to nobody").await;
    check(&|id| frame(id, &created(&[])), "another operation's reply").await;
    check(&|_| frame(0, &pong(1)), "a reply to request 0").await;
    check(&|_| frame(0, &error(ErrorCode::TimedOut, 0)), "an error for the connection").await;
    check(&|id| frame(id, &error(ErrorCode::Malformed, 0)), "an error that closes").await;
    let cut = |id| {
        let mut bytes = frame(id, &pong(1));
        bytes.pop();
        bytes[0] -= 1;
        bytes
    };
    check(&cut, "a reply that is cut short").await;
    let too_large = |id| {
        let mut bytes = frame(id, &pong(1));
        bytes[..4].copy_from_slice(&u32::MAX.to_le_bytes());
        bytes
    };
    check(&too_large, "a reply above the limit").await;
}

#[tokio::test(start_paused = true)]
async fn a_status_that_only_newer_clients_know_is_an_error_for_that_call_alone() {
    let (connection, mut peer, _server) = connection().await;
    let serve = async {
        let (id, _) = peer.receive().await;
        let mut frame = Vec::new();
        encode_reply(id, &created(&[Status::Created]), FRAME_LIMIT_DEFAULT, &mut frame);
        // The status stands after the header and the length of the sequence.
        frame[24..26].copy_from_slice(&60_000_u16.to_le_bytes());
        peer.send(&frame).await;
        let (id, _) = peer.receive().await;
        peer.reply(id, &pong(1)).await;
    };
    let calls = async {
        let write = connection.create_transfers(&[transfer(1)]).await;
        let Err(ClientError::OutcomeUnknown { source, .. }) = write else { panic!("{write:?}") };
        let expected = FrameError::UnknownStatus { number: 60_000 };
        assert!(matches!(&*source, ClientError::Protocol { source } if *source == expected), "{source:?}");
        connection.ping().await
    };
    let (answer, ()) = tokio::join!(calls, serve);
    answer.unwrap();
}

#[tokio::test(start_paused = true)]
async fn calls_that_are_dropped_leak_nothing_and_confuse_nobody() {
    let (connection, mut peer, _server) = connection().await;
    // Far more than may be in flight: half of them are dropped, some while they wait for their turn.
    for round in 0..20 {
        let kept = connection.ping();
        let dropped = tokio::time::timeout(Duration::from_millis(1), async {
            tokio::join!(connection.ping(), connection.ping(), connection.ping(), connection.ping())
        });
        let serve = async {
            // The kept one is first; the dropped ones are answered after they were dropped.
            let mut ids = Vec::new();
            for _ in 0..limits().requests_in_flight_max {
                ids.push(peer.receive().await.0);
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
            for &id in ids.iter().rev() {
                let seq = if id == ids[0] { round } else { u64::MAX };
                peer.reply(id, &pong(seq)).await;
            }
        };
        let (kept, dropped, ()) = tokio::join!(kept, dropped, serve);
        assert!(dropped.is_err());
        assert_eq!(kept.unwrap().durable_seq, round);
        assert_eq!(connection.in_flight(), 0);
    }
    assert!(!connection.is_closed());
}

#[tokio::test(start_paused = true)]
async fn no_more_requests_are_under_way_than_the_server_allows() {
    let (connection, mut peer, _server) = connection().await;
    let calls = (0..6).map(|_| {
        let connection = connection.clone();
        tokio::spawn(async move { connection.ping().await })
    });
    let calls: Vec<_> = calls.collect();
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(peer.receive().await.0);
    }
    let fifth = tokio::time::timeout(Duration::from_secs(1), peer.receive()).await;
    assert!(fifth.is_err(), "a fifth request before any was answered");
    for id in ids {
        peer.reply(id, &pong(1)).await;
    }
    for _ in 0..2 {
        let (id, _) = peer.receive().await;
        peer.reply(id, &pong(1)).await;
    }
    for call in calls {
        call.await.unwrap().unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn long_slices_are_split_by_a_client_and_refused_by_a_connection() {
    let items: Vec<Transfer> = (1..=25).map(transfer).collect();
    let (splitting, mut peer, _server) = client(options()).await;
    let serve = async {
        for expected in [10, 10, 5] {
            let (id, request) = peer.receive().await;
            let batch = transfers(request);
            assert_eq!(batch.len(), expected);
            let outcomes =
                batch.iter().map(|item| Outcome { seq: item.id.0 as u64, ..outcome(Status::Created) });
            let reply = OrdersAnswered { outcomes: outcomes.collect(), positions: Vec::new() };
            peer.reply(id, &Reply::CreateTransfers(reply)).await;
        }
    };
    let (answer, ()) = tokio::join!(splitting.create_transfers(&items), serve);
    let seqs: Vec<u64> = answer.unwrap().iter().map(|outcome| outcome.seq).collect();
    assert_eq!(seqs, (1..=25).collect::<Vec<u64>>());
    assert_eq!(splitting.create_transfers(&[]).await.unwrap(), []);

    let (connection, _peer, _server) = connection().await;
    let answer = connection.create_transfers(&items).await;
    assert!(matches!(answer, Err(ClientError::BatchTooLarge { given: 25, max: 10, .. })), "{answer:?}");
    assert_eq!(connection.in_flight(), 0);
}

/// Answers every item of any write with the number of its place in the batch, and orders with a position if asked to.
fn numbered(request: &Request) -> Reply {
    let count = request.operation_count();
    let outcomes: Vec<Outcome> =
        (1..=count as u64).map(|seq| Outcome { seq, ..outcome(Status::Created) }).collect();
    let with_balances = request.as_ref().is_some_and(|request| request.with_balances());
    let position = WalletPosition {
        wallet: WalletId(1),
        balance: 1,
        debits_pending: 0,
        credits_pending: 0,
        available: None,
        as_of_seq: 1,
    };
    let positions = if with_balances { vec![vec![position]; count] } else { Vec::new() };
    let answered = OrdersAnswered { outcomes: outcomes.clone(), positions };
    match request.operation() {
        Operation::CreateTransfers => Reply::CreateTransfers(answered),
        Operation::CreatePending => Reply::CreatePending(answered),
        Operation::PostPending => Reply::PostPending(answered),
        Operation::VoidPending => Reply::VoidPending(answered),
        Operation::Reverse => Reply::Reverse(answered),
        Operation::CreateTransactions => Reply::CreateTransactions(answered),
        Operation::SetLimits => Reply::SetLimits(outcomes),
        Operation::SetFlags => Reply::SetFlags(outcomes),
        Operation::SetMetadata => Reply::SetMetadata(outcomes),
        Operation::CloseImports => Reply::CloseImports(outcomes),
        other => panic!("{other} has no outcomes"),
    }
}

/// Loses the connection on the first request, then answers this one and those that follow.
async fn lose_the_first_and_serve(peer: Peer, mut server: FakeServer, requests: usize) -> Vec<Request> {
    let lost = peer.receive_and_close().await;
    let mut peer = server.accept().await;
    let mut served = Vec::new();
    for _ in 0..requests {
        let (id, request) = peer.receive().await;
        peer.reply(id, &numbered(&request)).await;
        served.push(request);
    }
    let operations = |request: &Request| (request.operation(), request.operation_count());
    assert_eq!(served.first().map(operations), Some(operations(&lost)), "the same is sent again");
    served
}

#[tokio::test(start_paused = true)]
async fn every_write_is_split_and_sent_again_and_answered_in_order() {
    // What is asked for, given so many items, and the operation that it should become.
    macro_rules! check {
        ($method:ident, $operation:ident, $item:expr, $outcomes:expr) => {{
            let items: Vec<_> = (1..=12_u128).map($item).collect();
            let (client, peer, server) = client(options()).await;
            let (answer, served) =
                tokio::join!(client.$method(&items), lose_the_first_and_serve(peer, server, 2));
            let seqs: Vec<u64> = $outcomes(answer.unwrap()).iter().map(|outcome| outcome.seq).collect();
            assert_eq!(seqs, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 1, 2], stringify!($method));
            let items_served: Vec<_> = served
                .into_iter()
                .flat_map(|request| match request {
                    Request::$operation(request) => check!(@items $operation, request),
                    other => panic!("{} became {other:?}", stringify!($method)),
                })
                .collect();
            assert_eq!(items_served, items, stringify!($method));
        }};
        (@items SetLimits, $request:expr) => { $request.changes };
        (@items SetFlags, $request:expr) => { $request.changes };
        (@items SetMetadata, $request:expr) => { $request.changes };
        (@items CloseImports, $request:expr) => { $request.imports };
        (@items $operation:ident, $request:expr) => { $request.orders };
    }
    let alone = |outcomes: Vec<Outcome>| outcomes;
    let with_positions = |answered: OrdersAnswered| {
        assert_eq!(answered.positions.len(), answered.outcomes.len());
        answered.outcomes
    };
    let memo = || Memo { code: 3, ..Memo::default() };
    let pending = |id| Pending { transfer: transfer(id), timeout_s: 60 };
    let post = |id| Post { id: TransferId(id), pending_id: TransferId(100), amount: 0, memo: memo() };
    let void = |id| Void { id: TransferId(id), pending_id: TransferId(100), memo: memo() };
    let reversal =
        |id| Reversal { id: TransferId(id), reverses_id: TransferId(100), amount: 1, memo: memo() };
    let transaction = |id| {
        let leg = |wallet, side| Leg { wallet: WalletId(wallet), side, asset: AssetId(1), amount: id };
        let legs = Box::new([leg(1, Side::Debit), leg(2, Side::Credit)]);
        Transaction { id: TransferId(id), legs, memo: memo() }
    };
    check!(create_transfers, CreateTransfers, transfer, alone);
    check!(create_transfers_with_balances, CreateTransfers, transfer, with_positions);
    check!(create_pending, CreatePending, pending, alone);
    check!(create_pending_with_balances, CreatePending, pending, with_positions);
    check!(post_pending, PostPending, post, alone);
    check!(post_pending_with_balances, PostPending, post, with_positions);
    check!(void_pending, VoidPending, void, alone);
    check!(void_pending_with_balances, VoidPending, void, with_positions);
    check!(reverse, Reverse, reversal, alone);
    check!(reverse_with_balances, Reverse, reversal, with_positions);
    check!(create_transactions, CreateTransactions, transaction, alone);
    check!(create_transactions_with_balances, CreateTransactions, transaction, with_positions);
    let limits = |id| WalletLimits {
        wallet: WalletId(id),
        overdraft_limit: OverdraftLimit::Limited(5),
        balance_max: 9,
    };
    let flags =
        |id| FlagChange { wallet: WalletId(id), set: WalletFlags::CLOSED, clear: WalletFlags::DEBIT_FROZEN };
    let metadata = |id| WalletMetadata { wallet: WalletId(id), metadata: Box::from(*b"gold") };
    check!(set_limits, SetLimits, limits, alone);
    check!(set_flags, SetFlags, flags, alone);
    check!(set_metadata, SetMetadata, metadata, alone);
    check!(close_imports, CloseImports, ImportId, alone);
}

#[tokio::test(start_paused = true)]
async fn positions_that_were_not_asked_for_or_are_missing_are_not_taken() {
    let position = Vec::new();
    for (with_balances, positions) in [(true, Vec::new()), (false, vec![position])] {
        let (connection, mut peer, _server) = connection().await;
        let voids = [Void { id: TransferId(1), pending_id: TransferId(2), memo: Memo::default() }];
        let serve = async {
            let (id, _) = peer.receive().await;
            let outcomes = vec![outcome(Status::Created)];
            peer.reply(id, &Reply::VoidPending(OrdersAnswered { outcomes, positions })).await;
        };
        let call = async {
            if with_balances {
                connection.void_pending_with_balances(&voids).await.map(|answered| answered.outcomes)
            } else {
                connection.void_pending(&voids).await
            }
        };
        let (answer, ()) = tokio::join!(call, serve);
        assert!(matches!(answer, Err(ClientError::OutcomeUnknown { .. })), "{with_balances}: {answer:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_of_a_wallet_that_is_not_answered_leaves_its_outcome_unknown() {
    let (connection, peer, _server) = connection().await;
    let changes = [WalletMetadata { wallet: WalletId(1), metadata: Box::default() }];
    let (answer, _) = tokio::join!(connection.set_metadata(&changes), peer.receive_and_close());
    assert!(matches!(answer, Err(ClientError::OutcomeUnknown { answered: 0, .. })), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_slice_that_fails_half_way_says_how_much_of_it_was_answered() {
    let items: Vec<Transfer> = (1..=25).map(transfer).collect();
    let (client, mut peer, _server) = client(options()).await;
    let serve = async {
        let (id, _) = peer.receive().await;
        peer.reply(id, &created(&[Status::Created; 10])).await;
        let (id, _) = peer.receive().await;
        peer.reply(id, &error(ErrorCode::ReadOnly, 0)).await;
    };
    let (answer, ()) = tokio::join!(client.create_transfers(&items), serve);
    assert!(matches!(answer, Err(ClientError::OutcomeUnknown { answered: 10, .. })), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_reply_with_too_few_answers_is_not_taken() {
    let (client, mut peer, _server) = client(options()).await;
    let serve = async {
        let (id, _) = peer.receive().await;
        peer.reply(id, &Reply::Balances(vec![None::<BalanceView>])).await;
    };
    let ids = [WalletId(1), WalletId(2)];
    let (answer, ()) = tokio::join!(client.balances(&ids), serve);
    assert!(matches!(answer, Err(ClientError::UnexpectedReply { .. })), "{answer:?}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_not_answered_times_out_and_a_silent_connection_is_replaced() {
    let (client, mut peer, mut server) = client(options()).await;
    let start = Instant::now();
    let items = [transfer(1)];
    let (answer, _) = tokio::join!(client.create_transfers(&items), peer.receive());
    assert!(matches!(answer, Err(ClientError::OutcomeUnknown { .. })), "{answer:?}");
    assert_eq!(start.elapsed(), options().request_timeout);
    // The old connection said nothing all the while, so the next call does not trust it.
    let serve = async {
        let mut peer = server.accept().await;
        let (id, _) = peer.receive().await;
        peer.reply(id, &pong(1)).await;
    };
    let (answer, ()) = tokio::join!(client.ping(), serve);
    answer.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_does_not_end_a_connection_that_answers_others() {
    let (connection, mut peer, _server) = connection().await;
    let serve = async {
        let (slow, _) = peer.receive().await;
        let (quick, _) = peer.receive().await;
        peer.reply(quick, &pong(2)).await;
        tokio::time::sleep(options().request_timeout + Duration::from_secs(1)).await;
        peer.reply(slow, &pong(1)).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    let calls = async { tokio::join!(connection.ping(), connection.ping()) };
    let ((slow, quick), ()) = tokio::join!(calls, serve);
    assert!(matches!(slow, Err(ClientError::TimedOut { operation: Operation::Ping })), "{slow:?}");
    assert_eq!(quick.unwrap().durable_seq, 2);
    // The late reply found nobody, and its slot is free again.
    assert_eq!(connection.in_flight(), 0);
    assert!(!connection.is_closed());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_read_makes_calls_wait_and_not_the_memory_grow() {
    let (mut server, endpoint) = fake_server();
    let options = options();
    let serve = async {
        let mut peer = server.accept_silently().await;
        let (id, _) = peer.receive().await;
        let limits = Limits::new(FRAME_LIMIT_DEFAULT, 1_000, 1_000_000, 0);
        let (server_name, server_version) = ("fake".to_owned(), "0".to_owned());
        peer.reply(id, &Reply::Hello(Welcome { version: 1, server_name, server_version, limits })).await;
        peer
    };
    let (connection, _peer) = tokio::join!(Connection::dial(&endpoint, &options), serve);
    let connection = connection.unwrap();
    let batch: Vec<Transfer> = (1..=8_190).map(transfer).collect();
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let (connection, batch) = (connection.clone(), batch.clone());
            tokio::spawn(async move { connection.create_transfers(&batch).await })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    // Eight megabytes and a batch in the buffer, and as much again being written.
    assert!((5..25).contains(&connection.in_flight()), "{}", connection.in_flight());
    let mut unsent = 0;
    for call in calls {
        match call.await.unwrap().expect_err("nobody answers") {
            ClientError::OutcomeUnknown { .. } => {}
            ClientError::TimedOut { .. } | ClientError::ConnectionLost { .. } => unsent += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(unsent > 70, "{unsent}");
}

#[tokio::test(start_paused = true)]
async fn a_pool_uses_its_connections_in_turn() {
    let (client, mut first, mut server) = client(ClientOptions { connections: 2, ..options() }).await;
    let serve = async {
        let (id, _) = first.receive().await;
        first.reply(id, &pong(1)).await;
        let mut second = server.accept().await;
        let (id, _) = second.receive().await;
        second.reply(id, &pong(2)).await;
        let (id, _) = first.receive().await;
        first.reply(id, &pong(3)).await;
    };
    let calls = async { [client.ping().await, client.ping().await, client.ping().await] };
    let (answers, ()) = tokio::join!(calls, serve);
    assert_eq!(answers.map(|pong| pong.unwrap().durable_seq), [1, 2, 3]);
}

/// A server on a real socket that answers every ping at once, until the client goes.
async fn serve_pings(listener: tokio::net::TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        tokio::spawn(async move {
            let (reader, mut writer) = stream.into_split();
            let mut frames = crate::frame_reader::FrameReader::new(reader, FRAME_LIMIT_DEFAULT);
            let mut replies = Vec::new();
            while frames.fill().await.is_ok() {
                while let Some((header, body)) = frames.buffered().unwrap() {
                    let (server_name, server_version) = (String::new(), String::new());
                    let limits = Limits::new(FRAME_LIMIT_DEFAULT, 1024, 65_536, 0);
                    let reply = match decode_request(header.message_type, body) {
                        Ok(Request::Hello(_)) => {
                            Reply::Hello(Welcome { version: 1, server_name, server_version, limits })
                        }
                        Ok(Request::Ping(_)) => pong(header.request_id),
                        Ok(_) => created(&[Status::Created]),
                        Err(error) => Reply::Error(ErrorReply::from(&error)),
                    };
                    encode_reply(header.request_id, &reply, FRAME_LIMIT_DEFAULT, &mut replies);
                }
                writer.write_all(&replies).await.unwrap();
                replies.clear();
            }
        });
    }
}

async fn many_calls(client: &Connection, tasks: usize, calls: usize) {
    let tasks = (0..tasks).map(|_| {
        let client = client.clone();
        tokio::spawn(async move {
            for _ in 0..calls {
                client.ping().await.unwrap();
            }
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_threads_may_share_a_connection_over_tcp() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(serve_pings(listener));
    let client = Client::connect(address.as_str(), options()).await.unwrap();
    client.ping().await.unwrap();
    let connection = Connection::open(address, &options()).await.unwrap();
    many_calls(&connection, 50, 100).await;
    assert_eq!(connection.in_flight(), 0);
}
