//! The real server against a naive model of what the documents say, step by step and then all at once.

use crate::books::{BANK, Chance, EUR, USD, asset, open_books, setting, transfer, wallet};
use crate::naive::{Naive, State};
use crate::server::Server;
use client::Client;
use ledger::{
    AMOUNT_MAX, Leg, Memo, NewWallet, Order, Outcome, OverdraftLimit, Pending, Post, RefusalDetail, Reversal,
    Setting, Side, Status, Transaction, Transfer, TransferId, Void, WalletChange, WalletFlags, WalletId,
};
use protocol::{FlagChange, Progress, WalletLimits, WalletMetadata};
use std::collections::{BTreeMap, HashMap};
use std::panic::{self, AssertUnwindSafe};
use std::slice::from_ref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::runtime::Builder;
use tokio::task::JoinSet;

/// What the server is to have, and what it was told.
#[derive(Default)]
struct Expected {
    naive: Naive,
    /// Wallets as they were created.
    created: BTreeMap<WalletId, NewWallet>,
    /// The time of the newest entry that it has told of.
    seen_ns: u64,
    /// Amounts near 2^127 and holds that expire do not go together: a full counter is free again only when the end of a
    /// hold is journaled, of which nobody is told.
    holds_expire: bool,
}

fn wall_clock_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    u64::try_from(since.as_nanos()).expect("it is earlier than 2554")
}

impl Expected {
    fn create_wallet(&mut self, new: &NewWallet) -> Status {
        if new.id.0 == 0 {
            return Status::IdMustNotBeZero;
        }
        if ![USD, EUR].contains(&new.asset) {
            return Status::AssetNotFound;
        }
        let Some(first) = self.created.get(&new.id) else {
            self.naive.create(new.clone());
            self.created.insert(new.id, new.clone());
            return Status::Created;
        };
        if first.asset != new.asset {
            Status::ExistsWithDifferentAsset
        } else if first.overdraft_limit != new.overdraft_limit {
            Status::ExistsWithDifferentOverdraftLimit
        } else if first.balance_max != new.balance_max {
            Status::ExistsWithDifferentBalanceMax
        } else {
            Status::Exists
        }
    }

    /// The time at which it was decided: that of the entry, if it has made one.
    fn time_of(&mut self, outcome: &Outcome) -> u64 {
        if !outcome.replayed {
            self.seen_ns = self.seen_ns.max(outcome.timestamp_ns);
        }
        self.seen_ns
    }

    fn amount(&self, chance: &mut Chance) -> u128 {
        match chance.below(30) {
            0 => 0,
            1 if !self.holds_expire => AMOUNT_MAX,
            2 if !self.holds_expire => AMOUNT_MAX - 100,
            3 => u128::MAX,
            _ => u128::from(1 + chance.below(120)),
        }
    }

    fn random_transfer(&self, id: TransferId, chance: &mut Chance) -> Transfer {
        let wallets = (u128::from(chance.below(10)), u128::from(chance.below(10)));
        let mut asked = transfer(id.0, wallets.0, wallets.1, self.amount(chance));
        if chance.below(5) == 0 {
            asked.asset = EUR;
        }
        asked
    }

    /// One of some ids, or any.
    fn reference<'a>(chance: &mut Chance, likely: impl Iterator<Item = &'a TransferId>) -> TransferId {
        let likely: Vec<TransferId> = likely.copied().collect();
        if likely.is_empty() || chance.below(6) == 0 {
            return TransferId(u128::from(chance.below(150)));
        }
        likely[chance.below(likely.len() as u64) as usize]
    }

    fn random_order(&self, chance: &mut Chance) -> Order {
        let sent: Vec<&Order> = self.naive.decided.values().map(|(order, _)| order).collect();
        if !sent.is_empty() && chance.below(12) == 0 {
            return sent[chance.below(sent.len() as u64) as usize].clone();
        }
        let id = TransferId(u128::from(chance.below(400)));
        let memo = Memo { code: u16::from(chance.below(20) == 0), ..Memo::default() };
        let open = self.naive.holds.iter().filter(|(_, hold)| hold.state == State::Open).map(|(id, _)| id);
        let done = self.naive.decided.iter().filter(|(_, (_, status))| *status == Status::Created);
        match chance.below(10) {
            0..3 => Order::Transfer(self.random_transfer(id, chance)),
            3..5 => {
                let timeout_s = if self.holds_expire { chance.below(3) as u32 } else { 0 };
                Order::Pending(Pending { transfer: self.random_transfer(id, chance), timeout_s })
            }
            5 | 6 => {
                let pending_id = Self::reference(chance, open);
                let amount = if chance.below(3) == 0 { 0 } else { self.amount(chance) };
                Order::Post(Post { id, pending_id, amount, memo })
            }
            7 => Order::Void(Void { id, pending_id: Self::reference(chance, open), memo }),
            8 => {
                let reverses_id = Self::reference(chance, done.map(|(id, _)| id));
                let amount = if chance.below(2) == 0 { 0 } else { self.amount(chance) };
                Order::Reversal(Reversal { id, reverses_id, amount, memo })
            }
            _ => Order::Transaction(Transaction { id, legs: self.random_legs(chance), memo }),
        }
    }

    /// Legs that mostly balance and mostly are in the asset of their wallets, some wallets on several.
    fn random_legs(&self, chance: &mut Chance) -> Box<[Leg]> {
        let pairs = if chance.below(10) == 0 { 25 + chance.below(10) } else { chance.below(5) };
        let mut legs = Vec::new();
        for _ in 0..pairs {
            let asked = self.random_transfer(TransferId(1), chance);
            let terms = self.created.get(&asked.debit_wallet);
            let asset = terms.filter(|_| chance.below(10) > 0).map_or(asked.asset, |terms| terms.asset);
            let same = self.created.values().filter(|terms| terms.asset == asset).map(|terms| terms.id);
            let same: Vec<WalletId> = same.collect();
            let to = if same.is_empty() {
                asked.credit_wallet
            } else {
                same[chance.below(same.len() as u64) as usize]
            };
            let leg = |wallet, side| Leg { wallet, side, asset, amount: asked.amount };
            legs.extend([leg(asked.debit_wallet, Side::Debit), leg(to, Side::Credit)]);
        }
        if chance.below(10) == 0 {
            legs.pop();
        }
        if chance.below(2) == 0 {
            legs.reverse();
        }
        legs.into()
    }
}

fn random_wallet(chance: &mut Chance) -> NewWallet {
    let mut new = wallet(u128::from(chance.below(9)));
    new.asset = if chance.below(4) == 0 { EUR } else { USD };
    if chance.below(20) == 0 {
        new.asset = ledger::AssetId(5);
    }
    (new.overdraft_limit, new.balance_max) = random_limits(chance);
    new
}

fn random_limits(chance: &mut Chance) -> (OverdraftLimit, u128) {
    let overdraft_limit = match chance.below(3) {
        0 => OverdraftLimit::Unlimited,
        1 => OverdraftLimit::Limited(u128::from(chance.below(200))),
        _ => OverdraftLimit::Limited(0),
    };
    (overdraft_limit, if chance.below(3) == 0 { u128::from(1 + chance.below(300)) } else { 0 })
}

fn random_change(chance: &mut Chance) -> WalletChange {
    let none = WalletFlags::default();
    let flag = [WalletFlags::DEBIT_FROZEN, WalletFlags::CREDIT_FROZEN, WalletFlags::CLOSED]
        [chance.below(3) as usize];
    let setting = match chance.below(8) {
        0 | 1 => {
            let (overdraft_limit, balance_max) = random_limits(chance);
            Setting::Limits { overdraft_limit, balance_max }
        }
        2 | 3 => Setting::Flags { set: flag, clear: none },
        4..7 => Setting::Flags { set: none, clear: flag },
        _ => Setting::Metadata(vec![7; chance.below(3) as usize].into()),
    };
    WalletChange { wallet: WalletId(u128::from(1 + chance.below(10))), setting }
}

async fn send(client: &Client, order: &Order) -> Outcome {
    loop {
        let outcomes = match order {
            Order::Transfer(transfer) => client.create_transfers(from_ref(transfer)).await,
            Order::Pending(pending) => client.create_pending(from_ref(pending)).await,
            Order::Post(post) => client.post_pending(from_ref(post)).await,
            Order::Void(void) => client.void_pending(from_ref(void)).await,
            Order::Reversal(reversal) => client.reverse(from_ref(reversal)).await,
            Order::Transaction(transaction) => client.create_transactions(from_ref(transaction)).await,
        };
        // A hold that expires at this moment may be in the way.
        let outcome = outcomes.unwrap()[0];
        if outcome.status != Status::Contended {
            return outcome;
        }
    }
}

async fn send_change(client: &Client, change: &WalletChange) -> Outcome {
    let wallet = change.wallet;
    let outcomes = match &change.setting {
        Setting::Limits { overdraft_limit, balance_max } => {
            let (overdraft_limit, balance_max) = (*overdraft_limit, *balance_max);
            client.set_limits(&[WalletLimits { wallet, overdraft_limit, balance_max }]).await
        }
        Setting::Flags { set, clear } => {
            client.set_flags(&[FlagChange { wallet, set: *set, clear: *clear }]).await
        }
        Setting::Metadata(metadata) => {
            client.set_metadata(&[WalletMetadata { wallet, metadata: metadata.clone() }]).await
        }
    };
    outcomes.unwrap()[0]
}

/// What was available is told as the wallet knew it; that it was too little holds in any case.
fn assert_same_answer(told: &Outcome, expected: (Status, RefusalDetail), context: &str) {
    match (told.detail, expected.1) {
        (
            RefusalDetail::InsufficientFunds { available, required },
            RefusalDetail::InsufficientFunds { required: expected_required, .. },
        ) => {
            assert!(available < required && required == expected_required, "{context}: {told:?}");
            assert_eq!(told.status, expected.0, "{context}");
        }
        (detail, _) => assert_eq!((told.status, detail), expected, "{context}"),
    }
    let is_replayed = matches!(told.status, Status::Exists | Status::IdAlreadyRefused);
    assert_eq!(told.replayed, is_replayed, "{context}: {told:?}");
}

/// Tells the model which holds have expired, and sees to it that all others are as it has them.
async fn hear_of_expired_holds(client: &Client, expected: &mut Expected, context: &str) -> bool {
    let ids: Vec<TransferId> = expected.naive.holds.keys().copied().collect();
    let views = client.lookup_transfers(&ids).await.unwrap();
    let mut any = false;
    for (id, view) in ids.into_iter().zip(views) {
        let view = view.unwrap_or_else(|| panic!("{context}: {id} exists"));
        let Progress::Hold { terms, state } = view.progress else {
            panic!("{context}: {id} is a hold: {view:?}")
        };
        let hold = &expected.naive.holds[&id];
        assert_eq!(terms.expires_at_ns, hold.expires_at_ns.unwrap_or(u64::MAX), "{context}: {id}");
        let known = match hold.state {
            State::Open => "open",
            State::Posted => "posted",
            State::Voided => "voided",
            State::Expired => "expired",
        };
        if known == "open" && state.name() == "expired" {
            let now_ns = wall_clock_ns() + 1_000_000;
            assert!(expected.naive.expire(id, now_ns), "{context}: {id} has expired before its time");
            any = true;
        } else {
            assert_eq!(state.name(), known, "{context}: {id}");
        }
    }
    any
}

async fn assert_same_positions(client: &Client, expected: &mut Expected, context: &str) {
    hear_of_expired_holds(client, expected, context).await;
    loop {
        let ids: Vec<WalletId> = expected.created.keys().copied().collect();
        let before_ns = wall_clock_ns().saturating_sub(1_000_000);
        let views = client.lookup_wallets(&ids).await.unwrap();
        let balances = client.balances(&ids).await.unwrap();
        let after_ns = wall_clock_ns() + 1_000_000;
        // What has expired meanwhile is in some of these and not in others.
        if hear_of_expired_holds(client, expected, context).await {
            continue;
        }
        let naive = &expected.naive;
        for wallet in &naive.wallets {
            let id = wallet.terms.id;
            let index = ids.iter().position(|other| *other == id).expect("all of them were looked up");
            let found = views[index].clone().unwrap_or_else(|| panic!("{context}: {id} exists"));
            let balance = balances[index].unwrap_or_else(|| panic!("{context}: {id} exists"));
            assert_eq!(found.terms, wallet.terms, "{context}");
            let pending = [Side::Debit, Side::Credit].map(|side| naive.pending(id, side));
            for position in [found.position, balance.position] {
                assert_eq!(
                    (position.debits_posted, position.credits_posted),
                    (wallet.debits, wallet.credits),
                    "{context}: {id}"
                );
                assert_eq!([position.debits_pending, position.credits_pending], pending, "{context}: {id}");
            }
            assert_eq!(found.version, wallet.version, "{context}: {id}");
            let possible = [before_ns, after_ns].map(|now_ns| naive.available(wallet, now_ns));
            assert!(possible.contains(&balance.available), "{context}: {id}: {balance:?} {possible:?}");
        }
        return;
    }
}

/// Much of a case is waiting, for holds to expire and for servers to start.
const CASES_AT_ONCE: usize = 12;

/// Of a case. After one of them, the server is killed.
const STEPS: u64 = 240;

/// Every operation. More with `BURSAR_TEST_MODEL_CASES`, which the fixture keeps from the server.
#[test]
fn any_sequence_of_requests_is_answered_as_by_the_naive_model_and_survives_a_kill() {
    let cases = u64::from(setting("BURSAR_TEST_MODEL_CASES", 8));
    let next = AtomicU64::new(0);
    // A thread each: while one waits for its server to start, the connections of the others must not.
    thread::scope(|scope| {
        for _ in 0..CASES_AT_ONCE {
            scope.spawn(|| {
                let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= cases {
                        return;
                    }
                    let case =
                        AssertUnwindSafe(|| runtime.block_on(answers_are_those_of_the_naive_model(seed)));
                    panic::catch_unwind(case).unwrap_or_else(|panic| {
                        // The others need not go on.
                        next.store(cases, Ordering::Relaxed);
                        panic::resume_unwind(panic)
                    });
                }
            });
        }
    });
}

/// One case: a server of its own, asked the same as the model, step by step.
async fn answers_are_those_of_the_naive_model(seed: u64) {
    let mut chance = Chance(seed);
    let mut expected = Expected { holds_expire: seed.is_multiple_of(2), ..Expected::default() };
    let mut server = Server::start(&[]);
    let mut client = server.client().await;
    client.create_assets(&[asset(USD, "USD"), asset(EUR, "EUR")]).await.unwrap();
    let killed_after = chance.below(STEPS);
    for step in 0..STEPS {
        // Items of a batch are independent of each other, so a batch that is compared has one.
        match chance.below(12) {
            0 | 1 => {
                let new = random_wallet(&mut chance);
                let outcome = client.create_wallets(from_ref(&new)).await.unwrap()[0];
                expected.time_of(&outcome);
                assert_eq!(outcome.status, expected.create_wallet(&new), "seed {seed}, step {step}: {new:?}");
            }
            2 => {
                let change = random_change(&mut chance);
                let outcome = send_change(&client, &change).await;
                let at_ns = expected.time_of(&outcome);
                let status = expected.naive.change(&change, at_ns);
                assert_eq!(outcome.status, status, "seed {seed}, step {step}: {change:?}");
            }
            _ => {
                let order = expected.random_order(&mut chance);
                let outcome = send(&client, &order).await;
                let at_ns = expected.time_of(&outcome);
                let context = format!("seed {seed}, step {step}: {order:?}");
                assert_same_answer(&outcome, expected.naive.order(&order, at_ns), &context);
            }
        }
        if expected.holds_expire && chance.below(80) == 0 {
            tokio::time::sleep(Duration::from_millis(1_001)).await;
        }
        if chance.below(10) == 0 {
            assert_same_positions(&client, &mut expected, &format!("seed {seed}, step {step}")).await;
        }
        if step == killed_after {
            server.kill();
            server = server.restart();
            client = server.client().await;
        }
    }
    assert_same_positions(&client, &mut expected, &format!("seed {seed}, at the end")).await;
    let trial = client.trial_balance().await.unwrap();
    assert!(trial.assets.iter().all(|line| line.totals.is_balanced()), "seed {seed}");
}

#[tokio::test]
async fn concurrent_transfers_among_few_wallets_with_limits_keep_every_limit_and_every_unit() {
    const WALLETS: u64 = 5;
    let mut server = Server::start(&["--shards", "2"]);
    let client = server.client().await;
    let wallets: Vec<NewWallet> = (2..2 + WALLETS)
        .map(|id| NewWallet {
            balance_max: if id % 2 == 0 { 150 } else { 0 },
            overdraft_limit: OverdraftLimit::Limited(if id % 3 == 0 { 40 } else { 0 }),
            ..wallet(u128::from(id))
        })
        .collect();
    open_books(&client, &wallets).await;
    let funding: Vec<_> =
        (2..2 + WALLETS).map(|id| transfer(u128::from(id), BANK, u128::from(id), 100)).collect();
    client.create_transfers(&funding).await.unwrap();
    let mut tasks = JoinSet::new();
    for task in 0..8_u64 {
        let connection = server.connection().await;
        tasks.spawn(async move {
            let mut chance = Chance(task);
            let mut done = Vec::new();
            for step in 0..150_u64 {
                let batch: Vec<Transfer> = (0..8)
                    .map(|index| {
                        let (from, to) = (2 + chance.below(WALLETS), 2 + chance.below(WALLETS));
                        let to = if from == to { 1 } else { to };
                        // Ids collide between tasks: the same payment, sent by several workers at once.
                        let id = 1_000 + (step * 8 + index) * 4 + task % 4;
                        let mut same = Chance(id);
                        let (from, to) =
                            if task % 2 == 0 { (from, to) } else { (1, 2 + same.below(WALLETS)) };
                        transfer(
                            u128::from(id),
                            u128::from(from),
                            u128::from(to),
                            u128::from(1 + same.below(60)),
                        )
                    })
                    .collect();
                let outcomes = connection.create_transfers(&batch).await.unwrap();
                done.extend(
                    batch.into_iter().zip(outcomes).filter(|(_, outcome)| outcome.status == Status::Created),
                );
            }
            done
        });
    }
    let mut balances: HashMap<u128, i128> = (2..2 + WALLETS).map(|id| (u128::from(id), 100)).collect();
    balances.insert(BANK, -100 * i128::from(WALLETS));
    let mut ids = HashMap::new();
    while let Some(done) = tasks.join_next().await {
        for (transfer, outcome) in done.expect("no task panics") {
            assert_eq!(ids.insert(transfer.id, outcome.seq), None, "{} was done twice", transfer.id);
            let amount = i128::try_from(transfer.amount).expect("small");
            *balances.get_mut(&transfer.debit_wallet.0).expect("one of them") -= amount;
            *balances.get_mut(&transfer.credit_wallet.0).expect("one of them") += amount;
        }
    }
    assert!(ids.len() > 100, "too little was done to show anything");
    server.kill();
    for round in 0..2 {
        server = if round == 0 { server.restart() } else { server };
        let client = server.client().await;
        for terms in &wallets {
            let view = client.lookup_wallets(&[terms.id]).await.unwrap().remove(0).expect("it exists");
            let balance = view.position.balance();
            assert_eq!(balance, balances[&terms.id.0], "{}", terms.id);
            let OverdraftLimit::Limited(limit) = terms.overdraft_limit else {
                unreachable!("all are limited")
            };
            assert!(balance >= -i128::try_from(limit).expect("small"), "{} is at {balance}", terms.id);
            let max = i128::try_from(terms.balance_max).expect("small");
            assert!(max == 0 || balance <= max, "{} is at {balance}", terms.id);
        }
        let trial = client.trial_balance().await.unwrap();
        assert!(trial.assets.iter().all(|line| line.totals.is_balanced()));
    }
}
