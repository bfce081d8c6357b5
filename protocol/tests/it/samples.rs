//! One sample of every message, with a value in every field: what the golden files hold.

use ledger::fold::AssetTotals;
use ledger::{
    Asset, AssetCode, AssetId, Entry, HoldState, HoldTerms, ImportId, Leg, Memo, NewWallet, Order, OrderKind,
    Outcome, OverdraftLimit, Owner, Pending, Position, Post, Refusal, RefusalDetail, Reversal, ReversedFacts,
    Setting, Side, Status, Transaction, Transfer, TransferId, Void, WalletChange, WalletFlags, WalletId,
};
use protocol::{
    AssetTrialBalance, BalanceView, Balances, BalancesAt, ChangeBatch, CloseImports, CreateAssets,
    CreateWallets, ErrorCode, ErrorReply, Event, EventFilter, EventKind, Events, FRAME_HARD_MAX,
    FRAME_LIMIT_DEFAULT, FlagChange, FrameError, FrameHeader, HEADER_LENGTH, Hello, Limits, ListedWallet,
    LookupTransfers, LookupWallets, Moment, MoreEvents, NewAsset, OpenHold, OrderBatch, OrdersAnswered,
    PendingPage, PendingQuery, Pong, PositionsAt, Progress, Query, RecordsPage, RecordsQuery, Reply, Request,
    RequestHead, StatementCursor, StatementPage, StatementQuery, StatementRow, Subscribe, TransferView,
    TrialBalance, WalletLimits, WalletMetadata, WalletPosition, WalletView, WalletsPage, WalletsQuery,
    Welcome, decode_reply, decode_request, encode_hello, encode_reply, encode_request,
};

/// A message of either direction.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Message {
    Request(Request),
    Reply(Reply),
}

pub(crate) struct Sample {
    /// Of the golden file, and of the example in the document.
    pub(crate) name: &'static str,
    pub(crate) request_id: u64,
    pub(crate) message: Message,
}

impl Message {
    pub(crate) fn frame(&self, request_id: u64) -> Vec<u8> {
        let mut frame = Vec::new();
        match self {
            Self::Request(Request::Hello(hello)) => encode_hello(request_id, hello, &mut frame),
            Self::Request(request) => {
                let borrowed = request.as_ref().expect("only hello has no borrowed form");
                encode_request(request_id, request.head(), borrowed, FRAME_HARD_MAX, &mut frame).unwrap();
            }
            Self::Reply(reply) => encode_reply(request_id, reply, FRAME_HARD_MAX, &mut frame),
        }
        frame
    }

    /// Decodes what should be a message of the same direction.
    pub(crate) fn decode_alike(&self, message_type: u8, body: &[u8]) -> Result<Self, FrameError> {
        match self {
            Self::Request(_) => decode_request(message_type, body).map(Self::Request),
            Self::Reply(_) => decode_reply(message_type, body).map(Self::Reply),
        }
    }
}

/// The header of a whole frame, and its body.
pub(crate) fn open(frame: &[u8]) -> (FrameHeader, &[u8]) {
    let (header, body) = frame.split_first_chunk::<HEADER_LENGTH>().expect("a frame has a header");
    (FrameHeader::parse(header, FRAME_HARD_MAX).expect("the header is right"), body)
}

const HEAD: RequestHead =
    RequestHead { deadline_ms: 5_000, trace_id: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736 };
const BANK: WalletId = WalletId(1);
const ALICE: WalletId = WalletId(0x018f_4a3e_7d6b_7c1a_9f00_1122_3344_5566);
const TIME_NS: u64 = 1_767_225_600_000_000_000;

pub(crate) fn new_wallet() -> NewWallet {
    NewWallet {
        id: ALICE,
        owner: Owner::Bytes(Box::from(*b"alice")),
        asset: AssetId(840),
        code: 10,
        flags: WalletFlags::CREDIT_FROZEN,
        overdraft_limit: OverdraftLimit::Limited(500),
        balance_max: 1_000_000,
        metadata: Box::from(*b"vip"),
        import: ImportId(0x0102_0304_0506),
    }
}

pub(crate) fn transfer() -> Transfer {
    Transfer {
        id: TransferId(7),
        debit_wallet: BANK,
        credit_wallet: ALICE,
        asset: AssetId(840),
        amount: 10_050,
        group_id: 99,
        code: 3,
        effective_at_ns: TIME_NS,
        metadata: Box::from(*b"top-up"),
    }
}

pub(crate) fn memo() -> Memo {
    Memo { group_id: 99, code: 4, effective_at_ns: TIME_NS, metadata: Box::from(*b"shipped") }
}

pub(crate) fn pending() -> Pending {
    Pending { transfer: Transfer { id: TransferId(11), ..transfer() }, timeout_s: 604_800 }
}

pub(crate) fn hold_terms() -> HoldTerms {
    HoldTerms {
        debit_wallet: BANK,
        credit_wallet: ALICE,
        asset: AssetId(840),
        amount: 10_050,
        expires_at_ns: TIME_NS + 604_800_000_000_000,
    }
}

pub(crate) fn post() -> Post {
    Post { id: TransferId(12), pending_id: TransferId(11), amount: 9_000, memo: memo() }
}

pub(crate) fn void() -> Void {
    Void { id: TransferId(13), pending_id: TransferId(11), memo: memo() }
}

pub(crate) fn reversal() -> Reversal {
    Reversal { id: TransferId(14), reverses_id: TransferId(12), amount: 500, memo: memo() }
}

pub(crate) fn transaction() -> Transaction {
    let leg = |wallet, side, amount| Leg { wallet, side, asset: AssetId(840), amount };
    Transaction {
        id: TransferId(15),
        legs: Box::new([leg(BANK, Side::Debit, 10_000), leg(ALICE, Side::Credit, 10_000)]),
        memo: memo(),
    }
}

pub(crate) fn outcome(status: Status, detail: RefusalDetail) -> Outcome {
    Outcome { status, replayed: false, seq: 4, timestamp_ns: TIME_NS + 1, detail }
}

fn outcomes() -> Vec<Outcome> {
    vec![
        outcome(Status::Created, RefusalDetail::None),
        Outcome { replayed: true, ..outcome(Status::Exists, RefusalDetail::None) },
        Outcome { seq: 0, timestamp_ns: 0, ..outcome(Status::IdMustNotBeZero, RefusalDetail::None) },
    ]
}

fn position() -> Position {
    Position { debits_pending: 1, debits_posted: 10_550, credits_pending: 2, credits_posted: 10_050 }
}

fn orders<T>(order: T) -> OrderBatch<T> {
    OrderBatch { head: HEAD, with_balances: false, orders: vec![order] }
}

fn changes<T>(change: T) -> ChangeBatch<T> {
    ChangeBatch { head: HEAD, changes: vec![change] }
}

/// One outcome, and no positions, since none were asked for.
fn answered(status: Status, detail: RefusalDetail) -> OrdersAnswered {
    OrdersAnswered { outcomes: vec![outcome(status, detail)], positions: Vec::new() }
}

fn view(order: Order, progress: Progress) -> TransferView {
    TransferView { order, outcome: outcome(Status::Created, RefusalDetail::None), progress }
}

fn query<T>(what: T) -> Query<T> {
    Query { head: HEAD, what }
}

fn statement_query() -> StatementQuery {
    StatementQuery {
        wallet: ALICE,
        from_ns: TIME_NS,
        to_ns: u64::MAX,
        newest_first: true,
        kind: Some(OrderKind::Transfer),
        code: Some(3),
        group_id: Some(99),
        limit: 50,
        cursor: Some(StatementCursor { as_of_seq: 9, seq: 4, query: 0x0123_4567_89ab_cdef }),
    }
}

fn statement_page() -> StatementPage {
    let row = StatementRow {
        seq: 4,
        timestamp_ns: TIME_NS + 1,
        kind: OrderKind::Transfer,
        id: TransferId(7),
        counterparty: Some(BANK),
        debits: 0,
        credits: 10_050,
        code: 3,
        group_id: 99,
        position: Position { credits_posted: 10_050, ..Position::default() },
    };
    let of_many = StatementRow {
        seq: 5,
        kind: OrderKind::Transaction,
        id: TransferId(15),
        counterparty: None,
        debits: 10_550,
        credits: 0,
        position: position(),
        ..row.clone()
    };
    StatementPage {
        as_of_seq: 9,
        opening: Position::default(),
        closing: position(),
        rows: vec![row, of_many],
        next: Some(StatementCursor { as_of_seq: 9, seq: 5, query: 0x0123_4567_89ab_cdef }),
    }
}

/// One event of every kind.
pub(crate) fn events() -> Vec<Event> {
    let usd = Asset { id: AssetId(840), code: AssetCode::new("USD").unwrap(), scale: 2 };
    let refusal = Refusal {
        status: Status::InsufficientFunds,
        detail: RefusalDetail::InsufficientFunds { available: 5, required: 10_050 },
    };
    let leg = |wallet, side| Leg { wallet, side, asset: AssetId(840), amount: 500 };
    let change = |setting| Entry::WalletChanged(WalletChange { wallet: ALICE, setting });
    let entries = [
        Entry::AssetCreated(usd),
        Entry::WalletCreated(new_wallet()),
        Entry::Transferred(transfer()),
        Entry::TransferRefused { transfer: transfer(), refusal },
        Entry::Pended(pending()),
        Entry::Posted { post: post(), hold: hold_terms() },
        Entry::Voided { void: void(), hold: hold_terms() },
        Entry::Expired { pending_id: TransferId(11), hold: hold_terms() },
        Entry::Reversed {
            reversal: reversal(),
            facts: ReversedFacts {
                amount: 500,
                legs: Box::new([leg(ALICE, Side::Debit), leg(BANK, Side::Credit)]),
                of_transaction: false,
                original_amount: 9_000,
            },
        },
        Entry::TransactionDone(transaction()),
        Entry::OrderRefused { order: Order::Void(void()), refusal: Status::PendingExpired.into() },
        change(Setting::Limits { overdraft_limit: OverdraftLimit::Limited(700), balance_max: 0 }),
        change(Setting::Flags { set: WalletFlags::DEBIT_FROZEN, clear: WalletFlags::CREDIT_FROZEN }),
        change(Setting::Metadata(Box::from(*b"gold"))),
        Entry::ImportClosed(ImportId(0x0102_0304_0506)),
    ];
    (1..).zip(entries).map(|(seq, entry)| Event::of_entry(seq, TIME_NS + seq, entry)).collect()
}

fn reads() -> Vec<Sample> {
    let request = |name, request| Sample { name, request_id: 0x0102, message: Message::Request(request) };
    let reply = |name, reply| Sample { name, request_id: 0x0102, message: Message::Reply(reply) };
    vec![
        request(
            "balances_at_request",
            Request::BalancesAt(query(BalancesAt {
                at: Moment::TimestampNs(TIME_NS),
                ids: vec![ALICE, BANK],
            })),
        ),
        reply(
            "balances_at_reply",
            Reply::BalancesAt(Ok(PositionsAt { as_of_seq: 9, positions: vec![Some(position()), None] })),
        ),
        request("statement_request", Request::Statement(query(statement_query()))),
        reply("statement_reply", Reply::Statement(Ok(statement_page()))),
        reply("statement_refused_reply", Reply::Statement(Err(Status::CursorOfAnotherQuery))),
        request(
            "list_pending_request",
            Request::ListPending(query(PendingQuery {
                wallet: ALICE,
                after: Some(TransferId(10)),
                limit: 0,
            })),
        ),
        reply(
            "list_pending_reply",
            Reply::ListPending(Ok(PendingPage {
                as_of_seq: 9,
                holds: vec![OpenHold {
                    id: TransferId(11),
                    side: Side::Credit,
                    amount: 10_050,
                    expires_at_ns: TIME_NS + 604_800_000_000_000,
                    seq: 5,
                }],
                next: None,
            })),
        ),
        request(
            "list_wallets_request",
            Request::ListWallets(query(WalletsQuery {
                owner: Some(Owner::Bytes(Box::from(*b"alice"))),
                code: Some(10),
                flags: WalletFlags::CREDIT_FROZEN,
                after: Some(BANK),
                limit: 20,
            })),
        ),
        reply(
            "list_wallets_reply",
            Reply::ListWallets(Ok(WalletsPage {
                as_of_seq: 9,
                wallets: vec![ListedWallet {
                    terms: new_wallet(),
                    position: position(),
                    version: 3,
                    last_seq: 6,
                    created_seq: 2,
                    created_at_ns: TIME_NS,
                }],
                next: Some(ALICE),
            })),
        ),
        request(
            "read_records_request",
            Request::ReadRecords(query(RecordsQuery { from_seq: 4, bytes_max: 1_000_000 })),
        ),
        reply(
            "read_records_reply",
            // A record is longer in truth; here it is any bytes.
            Reply::ReadRecords(Ok(RecordsPage {
                durable_seq: 9,
                records: vec![vec![1, 0, 0, 0], vec![1, 0]],
            })),
        ),
        request(
            "subscribe_request",
            Request::Subscribe(query(Subscribe {
                from_seq: Some(4),
                filter: EventFilter {
                    wallets: vec![ALICE],
                    kinds: vec![EventKind::Done(OrderKind::Transfer), EventKind::OrderRefused],
                    code: Some(3),
                },
                credit: 1_000,
            })),
        ),
        reply(
            "subscribe_reply",
            Reply::Events(Ok(Events { through_seq: 15, durable_seq: 15, events: events() })),
        ),
        request(
            "more_events_request",
            Request::MoreEvents(query(MoreEvents { subscription: 0x0101, credit: 500 })),
        ),
        reply("more_events_reply", Reply::MoreEvents(986)),
        request("unsubscribe_request", Request::Unsubscribe(query(0x0101))),
        reply("unsubscribe_reply", Reply::Unsubscribe(14)),
    ]
}

pub(crate) fn samples() -> Vec<Sample> {
    let request = |name, request| Sample { name, request_id: 0x0102, message: Message::Request(request) };
    let reply = |name, reply| Sample { name, request_id: 0x0102, message: Message::Reply(reply) };
    let usd = Asset { id: AssetId(840), code: AssetCode::new("USD").unwrap(), scale: 2 };
    let mut samples = vec![
        request(
            "hello_request",
            Request::Hello(Hello {
                version_min: 1,
                version_max: 1,
                client_name: "example".to_owned(),
                credentials: Vec::new(),
            }),
        ),
        reply(
            "hello_reply",
            Reply::Hello(Welcome {
                version: 1,
                server_name: "bursar".to_owned(),
                server_version: "0.1.0".to_owned(),
                limits: Limits::new(FRAME_LIMIT_DEFAULT, 64, 65_520, 300_000),
            }),
        ),
        request(
            "create_assets_request",
            Request::CreateAssets(CreateAssets {
                head: HEAD,
                assets: vec![
                    NewAsset { id: AssetId(840), code: "USD".to_owned(), scale: 2 },
                    NewAsset { id: AssetId(0), code: "not a code".to_owned(), scale: 0 },
                ],
            }),
        ),
        reply("create_assets_reply", Reply::CreateAssets(outcomes())),
        request(
            "create_wallets_request",
            Request::CreateWallets(CreateWallets {
                head: HEAD,
                wallets: vec![
                    NewWallet {
                        id: BANK,
                        owner: Owner::Number(77),
                        flags: WalletFlags::SYSTEM,
                        overdraft_limit: OverdraftLimit::Unlimited,
                        balance_max: 0,
                        metadata: Box::default(),
                        import: ImportId::NONE,
                        ..new_wallet()
                    },
                    new_wallet(),
                ],
            }),
        ),
        reply("create_wallets_reply", Reply::CreateWallets(outcomes())),
        request(
            "lookup_wallets_request",
            Request::LookupWallets(LookupWallets { head: HEAD, ids: vec![ALICE] }),
        ),
        reply(
            "lookup_wallets_reply",
            Reply::LookupWallets(vec![
                Some(WalletView {
                    terms: new_wallet(),
                    position: position(),
                    version: 3,
                    last_seq: 6,
                    created_seq: 2,
                    created_at_ns: TIME_NS,
                    available: Some(-1),
                    as_of_seq: 9,
                }),
                None,
            ]),
        ),
        request(
            "create_transfers_request",
            Request::CreateTransfers(OrderBatch {
                head: HEAD,
                with_balances: true,
                orders: vec![transfer()],
            }),
        ),
        reply(
            "create_transfers_reply",
            Reply::CreateTransfers(OrdersAnswered {
                outcomes: vec![
                    outcome(Status::Created, RefusalDetail::None),
                    outcome(
                        Status::InsufficientFunds,
                        RefusalDetail::InsufficientFunds { available: 5, required: 9 },
                    ),
                    outcome(Status::LimitExceeded, RefusalDetail::LimitExceeded { limit: 1_000_000 }),
                    Outcome {
                        replayed: true,
                        ..outcome(
                            Status::IdAlreadyRefused,
                            RefusalDetail::AlreadyRefused { first_status: Status::InsufficientFunds },
                        )
                    },
                ],
                positions: vec![
                    vec![
                        WalletPosition {
                            wallet: BANK,
                            balance: -10_050,
                            debits_pending: 70,
                            credits_pending: 0,
                            available: None,
                            as_of_seq: 4,
                        },
                        WalletPosition {
                            wallet: ALICE,
                            balance: 10_050,
                            debits_pending: 0,
                            credits_pending: 70,
                            available: Some(10_550),
                            as_of_seq: 4,
                        },
                    ],
                    Vec::new(),
                    Vec::new(),
                    Vec::new(),
                ],
            }),
        ),
        request(
            "lookup_transfers_request",
            Request::LookupTransfers(LookupTransfers {
                head: HEAD,
                ids: vec![TransferId(7), TransferId(11)],
            }),
        ),
        reply(
            "lookup_transfers_reply",
            Reply::LookupTransfers(vec![
                Some(view(Order::Transfer(transfer()), Progress::Moved { amount: 10_050, reversed: 0 })),
                Some(view(
                    Order::Pending(pending()),
                    Progress::Hold { terms: hold_terms(), state: HoldState::Posted },
                )),
                Some(view(Order::Post(post()), Progress::Moved { amount: 9_000, reversed: 500 })),
                Some(TransferView {
                    outcome: outcome(Status::PendingAlreadyPosted, RefusalDetail::None),
                    ..view(Order::Void(void()), Progress::None)
                }),
                Some(view(Order::Reversal(reversal()), Progress::None)),
                Some(view(Order::Transaction(transaction()), Progress::Moved { amount: 1, reversed: 1 })),
                None,
            ]),
        ),
        request("balances_request", Request::Balances(Balances { head: HEAD, ids: vec![ALICE, BANK] })),
        reply(
            "balances_reply",
            Reply::Balances(vec![
                Some(BalanceView { balance: -500, available: Some(-1), position: position(), as_of_seq: 9 }),
                None,
            ]),
        ),
        request("trial_balance_request", Request::TrialBalance(HEAD)),
        reply(
            "trial_balance_reply",
            Reply::TrialBalance(TrialBalance {
                as_of_seq: 9,
                assets: vec![AssetTrialBalance {
                    asset: usd,
                    totals: AssetTotals {
                        wallets: 2,
                        debits_posted: 10_050,
                        credits_posted: 10_050,
                        debits_pending: 1,
                        credits_pending: 1,
                    },
                }],
            }),
        ),
        request("ping_request", Request::Ping(HEAD)),
        reply("ping_reply", Reply::Ping(Pong { timestamp_ns: TIME_NS, durable_seq: 9 })),
        request("create_pending_request", Request::CreatePending(orders(pending()))),
        reply("create_pending_reply", Reply::CreatePending(answered(Status::Created, RefusalDetail::None))),
        request("post_pending_request", Request::PostPending(orders(post()))),
        reply(
            "post_pending_reply",
            Reply::PostPending(answered(
                Status::ExceedsPendingAmount,
                RefusalDetail::AmountExceeded { left: 10_050 },
            )),
        ),
        request("void_pending_request", Request::VoidPending(orders(void()))),
        reply(
            "void_pending_reply",
            Reply::VoidPending(answered(Status::PendingAlreadyPosted, RefusalDetail::None)),
        ),
        request("reverse_request", Request::Reverse(orders(reversal()))),
        reply(
            "reverse_reply",
            Reply::Reverse(answered(
                Status::ExceedsOriginalAmount,
                RefusalDetail::AmountExceeded { left: 400 },
            )),
        ),
        request("create_transactions_request", Request::CreateTransactions(orders(transaction()))),
        reply(
            "create_transactions_reply",
            Reply::CreateTransactions(answered(
                Status::LegRefused,
                RefusalDetail::LegRefused { index: 1, status: Status::CreditWalletFrozen },
            )),
        ),
        request(
            "set_limits_request",
            Request::SetLimits(changes(WalletLimits {
                wallet: ALICE,
                overdraft_limit: OverdraftLimit::Limited(700),
                balance_max: 0,
            })),
        ),
        reply("set_limits_reply", Reply::SetLimits(vec![outcome(Status::Created, RefusalDetail::None)])),
        request(
            "set_flags_request",
            Request::SetFlags(changes(FlagChange {
                wallet: ALICE,
                set: WalletFlags::DEBIT_FROZEN,
                clear: WalletFlags::CREDIT_FROZEN,
            })),
        ),
        reply(
            "set_flags_reply",
            Reply::SetFlags(vec![Outcome {
                seq: 0,
                timestamp_ns: 0,
                ..outcome(Status::WalletNotFound, RefusalDetail::None)
            }]),
        ),
        request(
            "set_metadata_request",
            Request::SetMetadata(changes(WalletMetadata { wallet: ALICE, metadata: Box::from(*b"gold") })),
        ),
        reply(
            "set_metadata_reply",
            Reply::SetMetadata(vec![Outcome {
                timestamp_ns: 0,
                ..outcome(Status::Exists, RefusalDetail::None)
            }]),
        ),
        request(
            "close_imports_request",
            Request::CloseImports(CloseImports { head: HEAD, imports: vec![ImportId(0x0102_0304_0506)] }),
        ),
        reply(
            "close_imports_reply",
            Reply::CloseImports(vec![outcome(Status::Created, RefusalDetail::None)]),
        ),
        reply(
            "error_reply",
            Reply::Error(ErrorReply {
                code: ErrorCode::Overloaded,
                text: "too much is under way".to_owned(),
                retry_after_ms: 25,
            }),
        ),
    ];
    samples.extend(reads());
    samples
}
