//! Reads of the past, held to a naive model that is made of the ledger's own records: statements, balances at a moment,
//! lists of holds and wallets, and the records themselves; while the newest entries are in the journal only, when the books
//! hold them, and after a restart.

use crate::books::{BANK, Chance, assert_all_created, open_books, pay, transfer, wallet};
use crate::raw_connection::{RawConnection, request};
use crate::server::Server;
use crate::told_history::{ToldHistory, read_records};
use client::{
    Client, ClientError, ListedWallet, Moment, OpenHold, PendingQuery, RecordsQuery, StatementCursor,
    StatementPage, StatementQuery, StatementRow, WalletsQuery,
};
use ledger::{
    Leg, Memo, NewWallet, Order, OrderKind, Owner, Pending, Position, Post, Reversal, Side, Status,
    Transaction, Transfer, TransferId, Void, WalletFlags, WalletId,
};
use persistence::Record;
use protocol::{ErrorCode, FRAME_LIMIT_MIN, Reply, RequestRef, page_max};
use std::time::Duration;

/// The wallets beside the bank's.
const WALLETS: std::ops::Range<u128> = 2..8;

/// A client's day: orders of every kind, some of which are refused.
pub(crate) struct Day {
    chance: Chance,
    next_id: u128,
    holds: Vec<TransferId>,
    moved: Vec<TransferId>,
}

impl Day {
    pub(crate) fn new(seed: u64) -> Self {
        Self { chance: Chance(seed), next_id: 1_000, holds: Vec::new(), moved: Vec::new() }
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.chance.below(bound)
    }

    fn memo(&mut self) -> Memo {
        let (group_id, code) = (u128::from(self.below(3)), self.below(4) as u16);
        Memo { group_id, code, ..Memo::default() }
    }

    fn transfer(&mut self, id: u128) -> Transfer {
        let from = u128::from(self.below(7)) + BANK;
        let to = (from - BANK + 1 + u128::from(self.below(6))) % 7 + BANK;
        let Memo { group_id, code, .. } = self.memo();
        let amount = 1 + u128::from(self.below(if from == BANK { 500 } else { 60 }));
        Transfer { group_id, code, ..transfer(id, from, to, amount) }
    }

    fn one_of(chance: &mut Chance, ids: &[TransferId]) -> TransferId {
        if ids.is_empty() { TransferId(999) } else { ids[chance.below(ids.len() as u64) as usize] }
    }

    /// The next order. Holds that expire do so after `timeout_s`.
    fn order(&mut self, timeout_s: u32) -> Order {
        self.next_id += 1;
        let id = TransferId(self.next_id);
        let memo = self.memo();
        match self.below(12) {
            0..5 => {
                self.moved.push(id);
                Order::Transfer(self.transfer(id.0))
            }
            5..8 => {
                self.holds.push(id);
                let timeout_s = if self.below(2) == 0 { 0 } else { timeout_s };
                Order::Pending(Pending { transfer: self.transfer(id.0), timeout_s })
            }
            8 => {
                self.moved.push(id);
                let amount = u128::from(self.below(3)) * 5;
                let pending_id = Self::one_of(&mut self.chance, &self.holds);
                Order::Post(Post { id, pending_id, amount, memo })
            }
            9 => Order::Void(Void { id, pending_id: Self::one_of(&mut self.chance, &self.holds), memo }),
            10 => {
                let reverses_id = Self::one_of(&mut self.chance, &self.moved);
                Order::Reversal(Reversal { id, reverses_id, amount: 0, memo })
            }
            _ => {
                let (Transfer { debit_wallet, credit_wallet, asset, amount, .. }, third) =
                    (self.transfer(id.0), WalletId(u128::from(self.below(7)) + BANK));
                let leg = |wallet, side, amount| Leg { wallet, side, asset, amount };
                let legs = [
                    leg(debit_wallet, Side::Debit, amount + 2),
                    leg(credit_wallet, Side::Credit, amount),
                    leg(third, Side::Credit, 2),
                ];
                Order::Transaction(Transaction { id, legs: Box::new(legs), memo })
            }
        }
    }

    pub(crate) async fn send(&mut self, client: &Client, orders: usize, timeout_s: u32) {
        for _ in 0..orders {
            let order = self.order(timeout_s);
            let outcomes = match order {
                Order::Transfer(order) => client.create_transfers(&[order]).await,
                Order::Pending(order) => client.create_pending(&[order]).await,
                Order::Post(order) => client.post_pending(&[order]).await,
                Order::Void(order) => client.void_pending(&[order]).await,
                Order::Reversal(order) => client.reverse(&[order]).await,
                Order::Transaction(order) => client.create_transactions(&[order]).await,
            };
            assert!(outcomes.unwrap()[0].seq > 0, "it was decided for good");
        }
    }
}

pub(crate) fn wallets() -> Vec<NewWallet> {
    let ada = Owner::Bytes(Box::from(*b"ada"));
    WALLETS
        .map(|id| NewWallet {
            owner: if id % 2 == 0 { ada.clone() } else { Owner::Number(id) },
            code: (id / 3) as u16,
            ..wallet(id)
        })
        .collect()
}

/// A whole statement, and how many pages it took.
async fn whole(client: &Client, query: &StatementQuery) -> (StatementPage, usize) {
    let mut pages = client.statement_pages(query.clone());
    let mut whole: Option<StatementPage> = None;
    let mut count = 0;
    while let Some(page) = pages.next().await.unwrap() {
        assert!(query.limit == 0 || page.rows.len() <= query.limit as usize);
        count += 1;
        match &mut whole {
            None => whole = Some(page),
            Some(whole) => {
                let of_all = (page.as_of_seq, page.opening, page.closing);
                assert_eq!(of_all, (whole.as_of_seq, whole.opening, whole.closing));
                whole.rows.extend(page.rows);
            }
        }
    }
    (whole.expect("there is a page, if an empty one"), count)
}

fn expected_rows(told: &ToldHistory, query: &StatementQuery) -> Vec<StatementRow> {
    let rows = told.rows.get(&query.wallet).map(Vec::as_slice).unwrap_or_default();
    let wanted = |row: &&StatementRow| {
        (query.from_ns..=query.to_ns).contains(&row.timestamp_ns)
            && query.kind.is_none_or(|kind| kind == row.kind)
            && query.code.is_none_or(|code| code == row.code)
            && query.group_id.is_none_or(|group_id| group_id == row.group_id)
    };
    let mut rows: Vec<StatementRow> = rows.iter().filter(wanted).cloned().collect();
    if query.newest_first {
        rows.reverse();
    }
    rows
}

async fn check_statement(client: &Client, told: &ToldHistory, query: &StatementQuery) {
    let (statement, _) = whole(client, query).await;
    let count = |is_counted: &dyn Fn(u64) -> bool| {
        told.entries.iter().filter(|(_, timestamp_ns, _)| is_counted(*timestamp_ns)).count()
    };
    let before = count(&|timestamp_ns| timestamp_ns < query.from_ns);
    let after = count(&|timestamp_ns| timestamp_ns <= query.to_ns).max(before);
    let at = |seq: usize| told.positions[seq].get(&query.wallet).copied().unwrap_or_default();
    assert_eq!(statement.as_of_seq, told.last_seq(), "{query:?}");
    assert_eq!((statement.opening, statement.closing), (at(before), at(after)), "{query:?}");
    assert_eq!(statement.rows, expected_rows(told, query), "{query:?}");
}

/// Whatever is asked, the answer is the model's.
async fn check_everything(client: &Client, told: &ToldHistory, chance: &mut Chance) {
    let ids: Vec<WalletId> = (BANK..WALLETS.end).map(WalletId).collect();
    for &wallet in &ids {
        let all = StatementQuery::of(wallet);
        for newest_first in [false, true] {
            for limit in [0, 1, 13] {
                check_statement(client, told, &StatementQuery { newest_first, limit, ..all.clone() }).await;
            }
            for kind in OrderKind::ALL {
                let query = StatementQuery { newest_first, kind: Some(kind), limit: 5, ..all.clone() };
                check_statement(client, told, &query).await;
            }
            let (code, group_id) = (Some(2), Some(1));
            check_statement(client, told, &StatementQuery { newest_first, code, ..all.clone() }).await;
            check_statement(client, told, &StatementQuery { newest_first, code, group_id, ..all.clone() })
                .await;
            for _ in 0..8 {
                let mut time = || told.entries[chance.below(told.last_seq()) as usize].1;
                let (from_ns, to_ns) = (time(), time());
                let query = StatementQuery { newest_first, from_ns, to_ns, limit: 7, ..all.clone() };
                check_statement(client, told, &query).await;
            }
        }
        check_holds(client, told, wallet).await;
    }
    check_balances(client, told, &ids).await;
    check_wallets(client, told).await;
}

/// At every entry, and at the time of every entry and just before it.
async fn check_balances(client: &Client, told: &ToldHistory, ids: &[WalletId]) {
    let check = async |at: Moment, seq: u64| {
        let answer = client.balances_at(at, ids).await.unwrap();
        assert_eq!(answer.as_of_seq, seq, "{at:?}");
        let expected: Vec<Option<Position>> =
            ids.iter().map(|id| told.positions[seq as usize].get(id).copied()).collect();
        assert_eq!(answer.positions, expected, "{at:?}");
    };
    check(Moment::Seq(0), 0).await;
    check(Moment::TimestampNs(0), 0).await;
    for &(seq, timestamp_ns, _) in &told.entries {
        check(Moment::Seq(seq), seq).await;
        check(Moment::TimestampNs(timestamp_ns), seq).await;
        if seq % 7 == 0 {
            check(Moment::TimestampNs(timestamp_ns - 1), seq - 1).await;
        }
    }
}

async fn check_holds(client: &Client, told: &ToldHistory, wallet: WalletId) {
    let expected: Vec<OpenHold> =
        told.holds.get(&wallet).map(|holds| holds.values().copied().collect()).unwrap_or_default();
    for limit in [0, 1, 3] {
        let (mut found, mut after) = (Vec::new(), None);
        loop {
            let page = client.list_pending(&PendingQuery { wallet, after, limit }).await.unwrap();
            assert!(limit == 0 || page.holds.len() <= limit as usize);
            found.extend(page.holds);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(found, expected, "{wallet} by {limit}");
    }
}

async fn check_wallets(client: &Client, told: &ToldHistory) {
    let check = async |query: WalletsQuery| {
        let expected: Vec<&ListedWallet> = told
            .wallets
            .values()
            .filter(|wallet| {
                query.owner.as_ref().is_none_or(|owner| *owner == wallet.terms.owner)
                    && query.code.is_none_or(|code| code == wallet.terms.code)
                    && wallet.terms.flags.contains(query.flags)
            })
            .collect();
        for limit in [0, 1, 2] {
            let mut query = WalletsQuery { limit, ..query.clone() };
            let mut found = Vec::new();
            loop {
                let page = client.list_wallets(&query).await.unwrap();
                assert!(limit == 0 || page.wallets.len() <= limit as usize);
                found.extend(page.wallets);
                query.after = page.next;
                if query.after.is_none() {
                    break;
                }
            }
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{query:?}");
        }
    };
    let ada = Some(Owner::Bytes(Box::from(*b"ada")));
    check(WalletsQuery::default()).await;
    check(WalletsQuery { owner: ada.clone(), ..WalletsQuery::default() }).await;
    check(WalletsQuery { owner: Some(Owner::Number(3)), ..WalletsQuery::default() }).await;
    check(WalletsQuery { owner: Some(Owner::Number(4_444)), ..WalletsQuery::default() }).await;
    check(WalletsQuery { code: Some(2), ..WalletsQuery::default() }).await;
    check(WalletsQuery { owner: ada, code: Some(1), ..WalletsQuery::default() }).await;
    check(WalletsQuery { flags: WalletFlags::SYSTEM, ..WalletsQuery::default() }).await;
    check(WalletsQuery { flags: WalletFlags::CREDIT_FROZEN, ..WalletsQuery::default() }).await;
}

/// Waits until nothing more is journaled by itself.
async fn settle(client: &Client) {
    let mut before = client.ping().await.unwrap().durable_seq;
    loop {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let now = client.ping().await.unwrap().durable_seq;
        if now == before {
            return;
        }
        before = now;
    }
}

#[tokio::test]
async fn every_read_of_the_past_is_what_a_naive_model_makes_of_the_records() {
    let mut server = Server::start(&[]);
    let client = server.client().await;
    open_books(&client, &wallets()).await;
    let mut day = Day::new(5);
    day.send(&client, 150, 0).await;
    check_everything(&client, &ToldHistory::read(&client).await, &mut day.chance).await;

    // A page of a statement as it is now, to be gone on with later.
    let first = StatementQuery { limit: 10, ..StatementQuery::of(WalletId(BANK)) };
    let page = client.statement(&first).await.unwrap();
    let then = expected_rows(&ToldHistory::read(&client).await, &StatementQuery::of(WalletId(BANK)));
    let freeze = client::FlagChange {
        wallet: WalletId(4),
        set: WalletFlags::CREDIT_FROZEN,
        clear: WalletFlags::default(),
    };
    assert_all_created(&client.set_flags(&[freeze]).await.unwrap());
    day.send(&client, 200, 1).await;
    settle(&client).await;
    let told = ToldHistory::read(&client).await;
    assert!(told.rows.values().flatten().any(|row| row.kind == OrderKind::Expire), "some have expired");
    check_everything(&client, &told, &mut day.chance).await;

    drop(client);
    server.stop();
    let mut server = server.restart();
    let client = server.client().await;
    check_everything(&client, &ToldHistory::read(&client).await, &mut day.chance).await;
    // What was begun before goes on as of then.
    let rest = StatementQuery { cursor: page.next, ..first };
    let (rest, _) = whole(&client, &rest).await;
    assert_eq!(rest.as_of_seq, page.as_of_seq);
    assert_eq!([page.rows, rest.rows].concat(), then);
    day.send(&client, 50, 0).await;
    check_everything(&client, &ToldHistory::read(&client).await, &mut day.chance).await;
    drop(client);
    server.stop();
}

fn refused<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> Status {
    match answer {
        Err(ClientError::QueryRefused { status, .. }) => status,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_question_that_has_no_answer_is_refused_with_its_status() {
    let server = Server::start(&[]);
    let client = server.client().await;
    open_books(&client, &wallets()).await;
    for id in 1..20 {
        pay(&client, &transfer(id, BANK, 2, 1)).await;
    }
    let durable_seq = client.ping().await.unwrap().durable_seq;
    let ids = [WalletId(2)];
    // A moment that has not come.
    assert!(client.balances_at(Moment::Seq(durable_seq), &ids).await.is_ok());
    let future = client.balances_at(Moment::Seq(durable_seq + 1), &ids).await;
    assert_eq!(refused(future), Status::MomentInTheFuture);
    let now_ns = client.ping().await.unwrap().timestamp_ns;
    assert!(client.balances_at(Moment::TimestampNs(now_ns), &ids).await.is_ok());
    let tomorrow = Moment::TimestampNs(now_ns + 86_400_000_000_000);
    assert_eq!(refused(client.balances_at(tomorrow, &ids).await), Status::MomentInTheFuture);
    // A wallet that does not exist has no statement and no holds; among others it has no position.
    let nobody = WalletId(77);
    assert_eq!(refused(client.statement(&StatementQuery::of(nobody)).await), Status::WalletNotFound);
    let holds = client.list_pending(&PendingQuery { wallet: nobody, after: None, limit: 0 }).await;
    assert_eq!(refused(holds), Status::WalletNotFound);
    let both = client.balances_at(Moment::Seq(durable_seq), &[nobody, WalletId(2)]).await.unwrap();
    assert!(both.positions[0].is_none() && both.positions[1].is_some());
    // A cursor of another question.
    let query = StatementQuery { limit: 5, ..StatementQuery::of(WalletId(2)) };
    let cursor = client.statement(&query).await.unwrap().next;
    assert!(cursor.is_some());
    assert!(client.statement(&StatementQuery { cursor, limit: 3, ..query.clone() }).await.is_ok());
    for other in [
        StatementQuery { wallet: WalletId(BANK), ..query.clone() },
        StatementQuery { newest_first: true, ..query.clone() },
        StatementQuery { from_ns: 1, ..query.clone() },
        StatementQuery { to_ns: now_ns, ..query.clone() },
        StatementQuery { kind: Some(OrderKind::Transfer), ..query.clone() },
        StatementQuery { code: Some(0), ..query.clone() },
        StatementQuery { group_id: Some(0), ..query.clone() },
    ] {
        let answer = client.statement(&StatementQuery { cursor, ..other.clone() }).await;
        assert_eq!(refused(answer), Status::CursorOfAnotherQuery, "{other:?}");
    }
    let of_the_future = cursor.map(|cursor| StatementCursor { as_of_seq: durable_seq + 1_000, ..cursor });
    let answer = client.statement(&StatementQuery { cursor: of_the_future, ..query }).await;
    assert_eq!(refused(answer), Status::CursorOfAnotherQuery);
    // What no wallet can have.
    let owner = Some(Owner::Bytes(vec![7; 65].into()));
    let answer = client.list_wallets(&WalletsQuery { owner, ..WalletsQuery::default() }).await;
    assert_eq!(refused(answer), Status::OwnerTooLarge);
    let flags = WalletFlags::from_bits(1 << 9);
    let answer = client.list_wallets(&WalletsQuery { flags, ..WalletsQuery::default() }).await;
    assert_eq!(refused(answer), Status::ReservedFlag);
}

#[tokio::test]
async fn a_page_has_as_many_items_as_fit_into_a_frame_however_many_are_wanted() {
    let server = Server::start(&["--frame-bytes-max", &FRAME_LIMIT_MIN.to_string()]);
    let client = server.client().await;
    let large = |id| NewWallet {
        owner: Owner::Bytes(vec![7; 64].into()),
        metadata: vec![7; 1_024].into(),
        ..wallet(id)
    };
    assert_all_created(
        &client.create_assets(&[crate::books::asset(crate::books::USD, "USD")]).await.unwrap(),
    );
    assert_all_created(&client.create_wallets(&[crate::books::system_wallet(BANK)]).await.unwrap());
    assert_all_created(&client.create_wallets(&WALLETS.map(large).collect::<Vec<_>>()).await.unwrap());
    let hold = |id| Pending { transfer: transfer(id, BANK, 2, 1), timeout_s: 0 };
    assert_all_created(&client.create_pending(&(1..=400).map(hold).collect::<Vec<_>>()).await.unwrap());

    let max = |operation| page_max(operation, FRAME_LIMIT_MIN) as usize;
    for limit in [0, 1_000_000, u32::MAX] {
        let statement = StatementQuery { limit, ..StatementQuery::of(WalletId(2)) };
        let page = client.statement(&statement).await.unwrap();
        assert_eq!(page.rows.len(), max(client::Operation::Statement), "{limit}");
        let page =
            client.list_pending(&PendingQuery { wallet: WalletId(2), after: None, limit }).await.unwrap();
        assert_eq!(page.holds.len(), max(client::Operation::ListPending), "{limit}");
        let page = client
            .list_wallets(&WalletsQuery { after: Some(WalletId(BANK)), limit, ..WalletsQuery::default() })
            .await
            .unwrap();
        assert_eq!(page.wallets.len(), max(client::Operation::ListWallets).min(6), "{limit}");
    }
    let (all, pages) = whole(&client, &StatementQuery::of(WalletId(2))).await;
    assert_eq!((all.rows.len(), pages), (400, 400_usize.div_ceil(max(client::Operation::Statement))));
    // A record that does not fit is told so.
    let records = client.read_records(RecordsQuery { from_seq: 1, bytes_max: 0 }).await;
    match records {
        Ok(page) => assert!(!page.records.is_empty()),
        Err(ClientError::Refused { code, .. }) => assert_eq!(code, ErrorCode::ReplyTooLarge),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn records_come_whole_and_in_order_whatever_the_page() {
    let server = Server::start(&[]);
    let client = server.client().await;
    open_books(&client, &wallets()).await;
    for id in 0..200 {
        let batch: Vec<_> = (0..20).map(|leg| transfer(1 + id * 20 + leg, BANK, 2, 1)).collect();
        assert_all_created(&client.create_transfers(&batch).await.unwrap());
    }
    let all = read_records(&client, 0).await;
    let last_seq = all.last().expect("there are records").last_seq();
    assert_eq!(last_seq, client.ping().await.unwrap().durable_seq);
    for bytes_max in [1, 5_000, u32::MAX] {
        let again = read_records(&client, bytes_max).await;
        let bytes = |records: &[Record]| -> Vec<Vec<u8>> {
            records.iter().map(|record| record.as_bytes().to_vec()).collect()
        };
        assert!(bytes(&again) == bytes(&all), "with pages of {bytes_max} bytes");
    }
    // From the middle of a record on.
    let middle = all.iter().find(|record| record.count() > 2).expect("a batch in one record");
    let query = RecordsQuery { from_seq: middle.first_seq() + 1, bytes_max: 1 };
    let page = client.read_records(query).await.unwrap();
    assert_eq!(page.records, [middle.as_bytes()]);
    // Beyond the end there is nothing, and that is no error.
    for from_seq in [last_seq + 1, u64::MAX] {
        let page = client.read_records(RecordsQuery { from_seq, bytes_max: 0 }).await.unwrap();
        assert!(page.records.is_empty() && page.durable_seq == last_seq, "{page:?}");
    }
}

#[tokio::test]
async fn a_read_that_is_sent_after_a_write_was_answered_sees_it() {
    let server = Server::start(&[]);
    let client = server.client().await;
    open_books(&client, &wallets()).await;
    let newest = StatementQuery { newest_first: true, limit: 1, ..StatementQuery::of(WalletId(2)) };
    for id in 1..300 {
        let paid = pay(&client, &transfer(id, BANK, 2, 1)).await;
        let page = client.statement(&newest).await.unwrap();
        assert_eq!(page.rows[0].id, TransferId(id));
        assert_eq!(page.closing.credits_posted, id);
        let at = client.balances_at(Moment::Seq(paid.seq), &[WalletId(2)]).await.unwrap();
        assert_eq!(at.positions[0].map(|position| position.credits_posted), Some(id));
    }
}

#[tokio::test]
async fn questions_that_are_wrong_on_the_wire_are_refused_like_any_other_frame() {
    let server = Server::start(&[]);
    let mut connection = RawConnection::open(&server).await;
    // More wallets than one question may have: the connection stays.
    let ids = vec![WalletId(1); 8_190];
    connection.send(&request(3, RequestRef::BalancesAt { at: Moment::Seq(0), ids: &ids })).await;
    let (id, reply) = connection.reply().await;
    assert!(matches!(reply, Reply::BalancesAt(Ok(_))), "{reply:?}");
    assert_eq!(id, 3);
    let mut too_many = request(4, RequestRef::BalancesAt { at: Moment::Seq(0), ids: &ids });
    let count = 16 + 20 + 12;
    too_many[count..count + 8].copy_from_slice(&8_191_u64.to_le_bytes());
    connection.send(&too_many).await;
    let (id, error) = connection.error().await;
    assert_eq!((id, error.code), (4, ErrorCode::TooManyOperations));
    connection.assert_open().await;
}
