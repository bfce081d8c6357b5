//! A hostile or broken client gets its own clear answer, and harms nobody but itself.

use crate::books::{BANK, Chance, USD, assert_all_created, asset, balance, open_books, transfer, wallet};
use crate::metrics_page::MetricsPage;
use crate::raw_connection::{HELLO_ID, RawConnection, frame, hello, hello_of, request};
use crate::server::Server;
use client::NewAsset;
use ledger::{TransferId, WalletId};
use protocol::{ErrorCode, FRAME_LIMIT_DEFAULT, Limits, Operation, PROTOCOL_VERSION, Reply, RequestRef};

const CREATE_TRANSFERS: u8 = Operation::CreateTransfers.request_type();
const PING: u8 = Operation::Ping.request_type();

/// A ping's frame whose length field says something else.
fn with_length(length: u32) -> Vec<u8> {
    let mut bytes = request(1, RequestRef::Ping);
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    bytes
}

#[tokio::test]
async fn each_malformed_frame_has_its_own_answer_and_closes_only_its_connection_if_it_must() {
    let server = Server::start(&[]);
    let mut bystander = RawConnection::open(&server).await;
    let ping = request(1, RequestRef::Ping);
    let transfers = [transfer(1, 1, 2, 3)];
    let right = request(1, RequestRef::CreateTransfers { orders: &transfers, with_balances: false });
    let mut lying = right.clone();
    // The count of transfers stands behind header, deadline, trace id and flag.
    lying[16 + 4 + 16 + 1..][..8].copy_from_slice(&u64::MAX.to_le_bytes());
    let mut trailing = frame(PROTOCOL_VERSION, PING, 1, &ping[16..]);
    trailing.extend_from_slice(&[0; 3]);
    trailing[..4].copy_from_slice(&(12 + 20 + 3_u32).to_le_bytes());
    let mut bad_magic = ping.clone();
    bad_magic[4] = b'X';
    let cases: Vec<(&str, &str, Vec<u8>, u64, ErrorCode)> = vec![
        ("bad magic", "bad_magic", bad_magic, 0, ErrorCode::Malformed),
        ("HTTP", "bad_magic", b"GET / HTTP/1.1\r\nHost: somewhere\r\n\r\n".to_vec(), 0, ErrorCode::Malformed),
        ("a length below the header", "too_short", with_length(11), 1, ErrorCode::Malformed),
        ("a length of zero", "too_short", with_length(0), 1, ErrorCode::Malformed),
        (
            "a length above the limit",
            "too_large",
            with_length(FRAME_LIMIT_DEFAULT - 3),
            1,
            ErrorCode::TooLarge,
        ),
        ("the largest length", "too_large", with_length(u32::MAX), 1, ErrorCode::TooLarge),
        (
            "another version",
            "unsupported_version",
            frame(9, PING, 1, &ping[16..]),
            1,
            ErrorCode::UnsupportedVersion,
        ),
        (
            "an unknown type",
            "unknown_type",
            frame(PROTOCOL_VERSION, 99, 1, &[]),
            1,
            ErrorCode::UnknownMessage,
        ),
        (
            "a reply's type",
            "unknown_type",
            frame(PROTOCOL_VERSION, 0x85, 1, &[]),
            1,
            ErrorCode::UnknownMessage,
        ),
        (
            "no body",
            "malformed_body",
            frame(PROTOCOL_VERSION, CREATE_TRANSFERS, 1, &[]),
            1,
            ErrorCode::Malformed,
        ),
        (
            "a body cut short",
            "malformed_body",
            frame(PROTOCOL_VERSION, CREATE_TRANSFERS, 1, &right[16..60]),
            1,
            ErrorCode::Malformed,
        ),
        (
            "garbage",
            "malformed_body",
            frame(PROTOCOL_VERSION, CREATE_TRANSFERS, 1, &[0xee; 200]),
            1,
            ErrorCode::Malformed,
        ),
        ("trailing bytes", "trailing_bytes", trailing, 1, ErrorCode::Malformed),
        ("a count that lies", "too_many_operations", lying, 1, ErrorCode::TooManyOperations),
    ];
    for (what, reason, bytes, request_id, code) in cases {
        let series = format!("bursar_rejected_frames_total{{reason=\"{reason}\"}}");
        let before = MetricsPage::read(&server).value(&series);
        let mut connection = RawConnection::open(&server).await;
        connection.send(&bytes).await;
        let (answered, error) = connection.error().await;
        assert_eq!((answered, error.code), (request_id, code), "{what}: {error}");
        assert!(!error.text.is_empty(), "{what}");
        if code.is_fatal() {
            connection.assert_closed().await;
        } else {
            connection.assert_open().await;
        }
        let after = MetricsPage::read(&server).value(&series);
        assert!(
            (after - before - 1.0).abs() < f64::EPSILON,
            "{what} is counted as {reason}: {before} then {after}"
        );
        bystander.assert_open().await;
    }
}

#[tokio::test]
async fn a_connection_begins_with_one_hello_of_a_common_version() {
    let server = Server::start(&[]);
    let check = async |bytes: Vec<u8>, request_id: u64, code: ErrorCode| {
        let mut connection = RawConnection::silent(&server).await;
        connection.send(&bytes).await;
        connection.assert_closed_with(request_id, code).await;
    };
    check(request(5, RequestRef::Ping), 5, ErrorCode::Unauthenticated).await;
    // Whatever else it is, a first frame that is not a hello says so: the codes that leave a connection open would
    // promise that this one goes on.
    check(frame(PROTOCOL_VERSION, 99, 5, &[]), 5, ErrorCode::Unauthenticated).await;
    let mut too_many = request(5, RequestRef::Balances(&[]));
    let count = too_many.len() - 8;
    too_many[count..].copy_from_slice(&9_000_u64.to_le_bytes());
    check(too_many, 5, ErrorCode::Unauthenticated).await;
    check(hello_of(PROTOCOL_VERSION + 1, PROTOCOL_VERSION + 3), HELLO_ID, ErrorCode::UnsupportedVersion)
        .await;
    check(hello_of(0, 0), HELLO_ID, ErrorCode::UnsupportedVersion).await;
    check(frame(PROTOCOL_VERSION, 1, 5, &[0; 1_024 - 16 + 1]), 5, ErrorCode::TooLarge).await;

    let mut older_and_newer = RawConnection::silent(&server).await;
    older_and_newer.send(&hello_of(0, 200)).await;
    let (_, reply) = older_and_newer.reply().await;
    assert!(matches!(&reply, Reply::Hello(welcome) if welcome.version == PROTOCOL_VERSION), "{reply:?}");

    let mut twice = RawConnection::open(&server).await;
    twice.send(&hello()).await;
    assert_eq!(twice.error().await.1.code, ErrorCode::UnknownMessage);
    twice.assert_open().await;
}

#[tokio::test]
async fn silent_and_half_open_connections_are_closed_in_time() {
    let server = Server::start(&["--handshake-timeout", "200ms", "--idle-timeout", "300ms"]);
    RawConnection::silent(&server).await.assert_closed_with(0, ErrorCode::TimedOut).await;
    let mut half_a_hello = RawConnection::silent(&server).await;
    half_a_hello.send(&hello()[..20]).await;
    half_a_hello.assert_closed_with(0, ErrorCode::TimedOut).await;
    RawConnection::open(&server).await.assert_closed_with(0, ErrorCode::TimedOut).await;
    let mut half_a_request = RawConnection::open(&server).await;
    half_a_request.send(&request(1, RequestRef::Ping)[..17]).await;
    half_a_request.assert_closed_with(0, ErrorCode::TimedOut).await;
}

#[tokio::test]
async fn a_client_that_hangs_up_anywhere_harms_nobody() {
    let server = Server::start(&[]);
    let client = server.client().await;
    open_books(&client, &[wallet(2)]).await;
    let transfers: Vec<_> = (1..=50).map(|id| transfer(id, BANK, 2, 1)).collect();
    let bytes = request(1, RequestRef::CreateTransfers { orders: &transfers, with_balances: false });
    for length in (0..bytes.len()).step_by(97) {
        let mut connection = RawConnection::open(&server).await;
        connection.send(&bytes[..length]).await;
    }
    assert_eq!(balance(&client, 2).await, 0, "half a request is none");
    let mut connection = RawConnection::open(&server).await;
    connection.send(&bytes).await;
    drop(connection);
    // Sent whole, it may be done or not; the same ids say so, and it is done once.
    client.create_transfers(&transfers).await.unwrap();
    assert_eq!(balance(&client, 2).await, 50);
}

#[tokio::test]
async fn a_client_that_half_closes_gets_its_replies() {
    use tokio::io::AsyncWriteExt;
    let server = Server::start(&[]);
    let mut connection = RawConnection::open(&server).await;
    for id in 1..=20 {
        connection.send(&request(id, RequestRef::TrialBalance)).await;
    }
    connection.stream.shutdown().await.unwrap();
    let mut answered = Vec::new();
    while let Some((id, reply)) = connection.try_reply().await {
        assert!(matches!(reply, Reply::TrialBalance(_)), "{reply:?}");
        answered.push(id);
    }
    answered.sort_unstable();
    assert_eq!(answered, (1..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_client_that_does_not_read_its_replies_is_disconnected_and_others_are_served() {
    let server = Server::start(&["--write-timeout", "500ms", "--connection-requests-max", "64"]);
    let client = server.client().await;
    let wallets: Vec<_> = (2..2_000).map(wallet).collect();
    open_books(&client, &wallets).await;
    let ids: Vec<WalletId> = (2..2_000).map(WalletId).collect();
    let bytes = request(1, RequestRef::LookupWallets(&ids));
    let mut deaf = RawConnection::open(&server).await;
    // More replies than any socket buffer holds: writing fails once the server has hung up.
    let mut sent = 0;
    while sent < 100_000 && deaf.try_send(&bytes).await.is_ok() {
        sent += 1;
    }
    assert!(sent < 100_000, "the server reads on for a client that does not");
    assert_all_created(&client.create_transfers(&[transfer(1, BANK, 2, 1)]).await.unwrap());
}

#[tokio::test]
async fn a_batch_beyond_the_maximum_is_refused_and_the_connection_goes_on() {
    let server = Server::start(&[]);
    let limits = Limits::new(FRAME_LIMIT_DEFAULT, 1, u32::MAX, 0);
    let mut connection = RawConnection::open(&server).await;
    let many = |operation| (1..=u128::from(limits.batch_max(operation)) + 1).collect::<Vec<_>>();
    let wallets: Vec<_> = many(Operation::CreateWallets).into_iter().map(wallet).collect();
    let reads: Vec<_> = many(Operation::LookupWallets).into_iter().map(WalletId).collect();
    for request_ref in [RequestRef::CreateWallets(&wallets), RequestRef::LookupWallets(&reads)] {
        connection.send(&request(3, request_ref)).await;
        let (answered, error) = connection.error().await;
        assert_eq!((answered, error.code), (3, ErrorCode::TooManyOperations), "{error}");
    }
    connection.assert_open().await;
}

#[tokio::test]
async fn an_empty_batch_is_answered_with_nothing() {
    let server = Server::start(&[]);
    let client = server.connection().await;
    assert!(client.create_transfers(&[]).await.unwrap().is_empty());
    assert!(client.create_wallets(&[]).await.unwrap().is_empty());
    assert!(client.create_assets(&[]).await.unwrap().is_empty());
    assert!(client.lookup_wallets(&[]).await.unwrap().is_empty());
    assert!(client.lookup_transfers(&[]).await.unwrap().is_empty());
}

#[tokio::test]
async fn connections_beyond_the_limit_are_told_so() {
    let server = Server::start(&["--connections-max", "2"]);
    let mut first = RawConnection::open(&server).await;
    let mut second = RawConnection::open(&server).await;
    RawConnection::silent(&server).await.assert_closed_with(0, ErrorCode::TooManyConnections).await;
    first.assert_open().await;
    second.assert_open().await;
}

#[tokio::test]
async fn beyond_the_global_bound_requests_are_turned_away_at_once_and_may_be_sent_again() {
    let server = Server::start(&["--operations-max", "100", "--connection-operations-max", "100"]);
    let client = server.client().await;
    open_books(&client, &[wallet(2)]).await;
    let batch = |first: u128| (first..first + 60).map(|id| transfer(id, BANK, 2, 1)).collect::<Vec<_>>();
    let (ones, twos) = (batch(1_000), batch(2_000));
    let mut overloaded = 0;
    let mut one = RawConnection::open(&server).await;
    let mut two = RawConnection::open(&server).await;
    // Both at once do not fit. Which of them is turned away, if they meet, is chance: so it is tried often.
    for _ in 0..2_000 {
        one.send(&request(1, RequestRef::CreateTransfers { orders: &ones, with_balances: false })).await;
        two.send(&request(2, RequestRef::CreateTransfers { orders: &twos, with_balances: false })).await;
        for connection in [&mut one, &mut two] {
            match connection.reply().await.1 {
                Reply::Error(error) => {
                    assert_eq!(error.code, ErrorCode::Overloaded, "{error}");
                    assert!(error.retry_after_ms > 0);
                    overloaded += 1;
                }
                Reply::CreateTransfers(created) => assert_eq!(created.outcomes.len(), 60),
                reply => panic!("{reply:?}"),
            }
        }
        if overloaded >= 3 {
            break;
        }
    }
    assert!(overloaded >= 3, "the bound was never reached");
    client.create_transfers(&ones).await.unwrap();
    client.create_transfers(&twos).await.unwrap();
    assert_eq!(balance(&client, 2).await, 120, "each id once");
}

#[tokio::test]
async fn random_mutations_of_right_frames_never_kill_the_server() {
    let server = Server::start(&[]);
    let client = server.client().await;
    open_books(&client, &[wallet(2)]).await;
    let transfers: Vec<_> = (1..=4).map(|id| transfer(id, BANK, 2, 1)).collect();
    let (ids, transfer_ids) = ([WalletId(1), WalletId(2)], [TransferId(1)]);
    let wallets = [wallet(5)];
    let assets: [NewAsset; 1] = [asset(USD, "USD")];
    let seeds: Vec<Vec<u8>> = [
        RequestRef::CreateTransfers { orders: &transfers, with_balances: true },
        RequestRef::CreateWallets(&wallets),
        RequestRef::CreateAssets(&assets),
        RequestRef::LookupWallets(&ids),
        RequestRef::Balances(&ids),
        RequestRef::LookupTransfers(&transfer_ids),
        RequestRef::TrialBalance,
        RequestRef::Ping,
    ]
    .into_iter()
    .map(|request_ref| request(9, request_ref))
    .collect();
    let mut chance = Chance(42);
    for round in 0..2_000_u64 {
        let mut bytes = seeds[usize::try_from(chance.below(seeds.len() as u64)).unwrap()].clone();
        for _ in 0..=chance.below(4) {
            let place = usize::try_from(chance.below(bytes.len() as u64)).unwrap();
            bytes[place] = u8::try_from(chance.below(256)).unwrap();
        }
        let mut connection = RawConnection::silent(&server).await;
        connection.send(&hello()).await;
        connection.send(&bytes).await;
        if round % 100 == 0 {
            assert!(client.ping().await.unwrap().timestamp_ns > 0);
        }
    }
    for line in client.trial_balance().await.unwrap().assets {
        assert!(line.totals.is_balanced(), "{line:?}");
    }
}
