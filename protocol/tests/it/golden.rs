//! The exact bytes of every message. They never change: another layout is another version.

use crate::samples::{Message, open, samples};
use bincode::{Decode, Encode};
use std::path::{Path, PathBuf};

pub(crate) fn golden_path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("golden").join(name).with_extension("bin")
}

fn golden(name: &str) -> Vec<u8> {
    let path = golden_path(name);
    std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// To add a message, run with `BURSAR_WRITE_GOLDEN=1`: only files that are missing are written.
#[test]
fn every_message_is_encoded_to_exactly_its_golden_bytes_and_decoded_from_them() {
    for sample in samples() {
        let frame = sample.message.frame(sample.request_id);
        let path = golden_path(sample.name);
        if std::env::var_os("BURSAR_WRITE_GOLDEN").is_some() && !path.exists() {
            std::fs::write(&path, &frame).unwrap();
        }
        let expected = golden(sample.name);
        assert_eq!(frame, expected, "{}", sample.name);
        let (header, body) = open(&expected);
        assert_eq!((header.version, header.request_id), (1, sample.request_id));
        assert_eq!(header.body_length, body.len());
        let decoded = sample.message.decode_alike(header.message_type, body);
        assert_eq!(decoded.as_ref(), Ok(&sample.message), "{}", sample.name);
    }
}

#[test]
fn every_golden_file_belongs_to_a_message() {
    let mut found: Vec<String> = std::fs::read_dir(golden_path("x").parent().unwrap())
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned())
        .collect();
    let mut expected: Vec<String> = samples().iter().map(|sample| sample.name.to_owned()).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

// The same messages as structs that own their parts, encoded by bincode alone: the sequences that this crate
// writes and reads by hand are bincode's own.

#[derive(Debug, PartialEq, Encode, Decode)]
struct PlainCreateTransfers {
    deadline_ms: u32,
    trace_id: u128,
    with_balances: bool,
    transfers: Vec<PlainTransfer>,
}

#[derive(Debug, PartialEq, Encode, Decode)]
struct PlainTransfer {
    id: u128,
    debit_wallet: u128,
    credit_wallet: u128,
    asset: u32,
    amount: u128,
    group_id: u128,
    code: u16,
    effective_at_ns: u64,
    metadata: Vec<u8>,
}

#[derive(Debug, PartialEq, Encode, Decode)]
struct PlainOrdersAnswered {
    outcomes: Vec<PlainOutcome>,
    positions: Vec<Vec<PlainPosition>>,
}

#[derive(Debug, PartialEq, Encode, Decode)]
struct PlainOutcome {
    status: u16,
    replayed: bool,
    seq: u64,
    timestamp_ns: u64,
    detail: PlainDetail,
}

#[derive(Debug, PartialEq, Encode, Decode)]
enum PlainDetail {
    None,
    InsufficientFunds { available: u128, required: u128 },
    LimitExceeded { limit: u128 },
    AlreadyRefused { first_status: u16 },
    AmountExceeded { left: u128 },
    LegRefused { index: u8, status: u16 },
}

#[derive(Debug, PartialEq, Encode, Decode)]
struct PlainPosition {
    wallet: u128,
    balance: i128,
    debits_pending: u128,
    credits_pending: u128,
    available: Option<i128>,
    as_of_seq: u64,
}

#[derive(Debug, PartialEq, Encode, Decode)]
struct PlainCreateWallets {
    deadline_ms: u32,
    trace_id: u128,
    wallets: Vec<PlainNewWallet>,
}

#[derive(Debug, PartialEq, Encode, Decode)]
struct PlainNewWallet {
    id: u128,
    owner: PlainOwner,
    asset: u32,
    code: u16,
    flags: u16,
    overdraft_limit: PlainOverdraftLimit,
    balance_max: u128,
    metadata: Vec<u8>,
    import: u128,
}

#[derive(Debug, PartialEq, Encode, Decode)]
enum PlainOwner {
    Number(u128),
    Bytes(Vec<u8>),
}

#[derive(Debug, PartialEq, Encode, Decode)]
enum PlainOverdraftLimit {
    Limited(u128),
    Unlimited,
}

#[derive(Debug, PartialEq, Encode, Decode)]
struct PlainCreateTransactions {
    deadline_ms: u32,
    trace_id: u128,
    with_balances: bool,
    transactions: Vec<PlainTransaction>,
}

#[derive(Debug, PartialEq, Encode, Decode)]
struct PlainTransaction {
    id: u128,
    group_id: u128,
    code: u16,
    effective_at_ns: u64,
    metadata: Vec<u8>,
    legs: Vec<PlainLeg>,
}

#[derive(Debug, PartialEq, Encode, Decode)]
struct PlainLeg {
    wallet: u128,
    is_credit: bool,
    asset: u32,
    amount: u128,
}

#[derive(Debug, PartialEq, Encode, Decode)]
struct PlainCounters {
    debits_pending: u128,
    debits_posted: u128,
    credits_pending: u128,
    credits_posted: u128,
}

#[derive(Debug, PartialEq, Encode, Decode)]
struct PlainPositionsAt {
    as_of_seq: u64,
    positions: Vec<Option<PlainCounters>>,
}

#[derive(Debug, PartialEq, Encode, Decode)]
struct PlainStatementPage {
    as_of_seq: u64,
    opening: PlainCounters,
    closing: PlainCounters,
    rows: Vec<PlainStatementRow>,
    next: Option<PlainCursor>,
}

#[derive(Debug, PartialEq, Encode, Decode)]
struct PlainStatementRow {
    seq: u64,
    timestamp_ns: u64,
    kind: u8,
    id: u128,
    counterparty: Option<u128>,
    debits: u128,
    credits: u128,
    code: u16,
    group_id: u128,
    position: PlainCounters,
}

#[derive(Debug, PartialEq, Encode, Decode)]
struct PlainCursor {
    as_of_seq: u64,
    seq: u64,
    query: u64,
}

#[derive(Debug, PartialEq, Encode, Decode)]
struct PlainRecordsPage {
    durable_seq: u64,
    records: Vec<Vec<u8>>,
}

#[derive(Debug, PartialEq, Encode, Decode)]
struct PlainSubscribe {
    deadline_ms: u32,
    trace_id: u128,
    from_seq: Option<u64>,
    wallets: Vec<u128>,
    kinds: Vec<u8>,
    code: Option<u16>,
    credit: u32,
}

/// What bincode makes of a result is what every question about the past is answered.
type PlainAnswer<T> = Result<T, u16>;

fn check_plain<Plain: Encode + Decode<()> + std::fmt::Debug>(name: &str) {
    let configuration = bincode::config::standard().with_little_endian().with_fixed_int_encoding();
    let frame = golden(name);
    let (_, body) = open(&frame);
    let (plain, used): (Plain, usize) = bincode::decode_from_slice(body, configuration).unwrap();
    assert_eq!(used, body.len(), "{plain:?}");
    assert_eq!(bincode::encode_to_vec(&plain, configuration).unwrap(), body, "{name}");
}

#[test]
fn bodies_written_item_by_item_are_what_bincode_makes_of_the_whole_message() {
    check_plain::<PlainCreateTransfers>("create_transfers_request");
    check_plain::<PlainOrdersAnswered>("create_transfers_reply");
    check_plain::<PlainCreateWallets>("create_wallets_request");
    check_plain::<Vec<PlainOutcome>>("create_wallets_reply");
    check_plain::<PlainCreateTransactions>("create_transactions_request");
    check_plain::<PlainOrdersAnswered>("create_transactions_reply");
    check_plain::<PlainOrdersAnswered>("post_pending_reply");
    check_plain::<PlainAnswer<PlainPositionsAt>>("balances_at_reply");
    check_plain::<PlainAnswer<PlainStatementPage>>("statement_reply");
    check_plain::<PlainAnswer<PlainStatementPage>>("statement_refused_reply");
    check_plain::<PlainAnswer<PlainRecordsPage>>("read_records_reply");
    check_plain::<PlainSubscribe>("subscribe_request");
}

#[test]
fn an_empty_batch_is_a_legal_message() {
    use protocol::{Reply, Request, RequestHead};
    let messages = [
        Message::Request(Request::CreateTransfers(protocol::OrderBatch {
            head: RequestHead::default(),
            with_balances: false,
            orders: Vec::new(),
        })),
        Message::Request(Request::Balances(protocol::Balances {
            head: RequestHead::default(),
            ids: Vec::new(),
        })),
        Message::Reply(Reply::CreateTransfers(protocol::OrdersAnswered::default())),
        Message::Reply(Reply::Balances(Vec::new())),
    ];
    for message in messages {
        let frame = message.frame(1);
        let (header, body) = open(&frame);
        assert_eq!(message.decode_alike(header.message_type, body), Ok(message));
    }
}
