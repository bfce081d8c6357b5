//! What concurrent clients are told is what some order of their requests, one after another, would have told them, in which
//! a request that was answered before another was sent comes first. Also across crashes: what was not answered may have
//! happened or not, but once it shows, it stays.
//!
//! The object is a small ledger as a whole, with its ids: that it is linearizable implies that each of its wallets is. The
//! histories are recorded at the clients of a real server, which is killed in the middle of each; the checker is
//! stateright's. `BURSAR_TEST_LINEARIZABILITY_HISTORIES` says how many.

use crate::books::{BANK, Chance, open_books, setting, transfer, wallet};
use crate::server::Server;
use client::Connection;
use ledger::{Status, Transfer, TransferId, WalletId};
use stateright::semantics::{ConsistencyTester, LinearizabilityTester, SequentialSpec};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::task::JoinSet;

const HISTORIES_DEFAULT: u32 = 10;

/// Few, because what the checker has to try grows with every request that overlaps others.
const CLIENTS: u64 = 3;
const REQUESTS_MAX: u64 = 5;
const LIVES: u64 = 2;

/// Two wallets that may only spend what they have, and the bank.
#[derive(Clone, Debug, Default)]
struct SmallLedger {
    balances: BTreeMap<WalletId, i128>,
    decided: BTreeMap<TransferId, bool>,
    /// The wallet without a limit.
    bank: u128,
}

#[derive(Clone, Debug)]
enum Request {
    Pay { id: TransferId, from: WalletId, to: WalletId, amount: i128 },
    Read(WalletId),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Paid,
    PaidBefore,
    Refused,
    RefusedBefore,
    /// Nothing was done, and nothing is said about the state.
    NotNow,
    Balance(i128),
}

impl SequentialSpec for SmallLedger {
    type Op = Request;
    type Ret = Told;

    fn invoke(&mut self, request: &Request) -> Told {
        match *request {
            Request::Read(wallet) => Told::Balance(self.balances.get(&wallet).copied().unwrap_or_default()),
            Request::Pay { id, from, to, amount } => match self.decided.get(&id) {
                Some(true) => Told::PaidBefore,
                Some(false) => Told::RefusedBefore,
                None => {
                    let has = self.balances.get(&from).copied().unwrap_or_default();
                    let is_paid = from.0 == self.bank || has >= amount;
                    self.decided.insert(id, is_paid);
                    if !is_paid {
                        return Told::Refused;
                    }
                    *self.balances.entry(from).or_default() -= amount;
                    *self.balances.entry(to).or_default() += amount;
                    Told::Paid
                }
            },
        }
    }

    fn is_valid_step(&mut self, request: &Request, told: &Told) -> bool {
        *told == Told::NotNow || self.invoke(request) == *told
    }
}

#[derive(Clone, Debug)]
enum Event {
    Sent(u64, Request),
    Answered(u64, Told),
}

fn is_linearizable(events: &[Event], bank: u128) -> bool {
    let mut tester = LinearizabilityTester::new(SmallLedger { bank, ..SmallLedger::default() });
    for event in events.iter().cloned() {
        let noted = match event {
            Event::Sent(client, request) => tester.on_invoke(client, request).map(|_| ()),
            Event::Answered(client, told) => tester.on_return(client, told).map(|_| ()),
        };
        noted.expect("a client has one request under way");
    }
    tester.is_consistent()
}

/// One life of a client: some requests, one after another, until they are done or the server is gone.
async fn live(
    connection: Connection,
    number: u64,
    requests: Vec<Request>,
    history: Arc<Mutex<Vec<Event>>>,
) -> Option<Request> {
    let note = |event| history.lock().expect("nobody panics with it").push(event);
    for request in requests {
        note(Event::Sent(number, request.clone()));
        let told = match request.clone() {
            Request::Read(wallet) => {
                let Ok(views) = connection.lookup_wallets(&[wallet]).await else { return Some(request) };
                Told::Balance(views[0].as_ref().expect("it exists").position.balance())
            }
            Request::Pay { id, from, to, amount } => {
                let amount = u128::try_from(amount).expect("small");
                let pay = [Transfer { id, ..transfer(1, from.0, to.0, amount) }];
                let Ok(outcomes) = connection.create_transfers(&pay).await else { return Some(request) };
                match outcomes[0].status {
                    Status::Created => Told::Paid,
                    Status::Exists => Told::PaidBefore,
                    Status::InsufficientFunds => Told::Refused,
                    Status::IdAlreadyRefused => Told::RefusedBefore,
                    Status::Contended | Status::Unavailable => Told::NotNow,
                    other => panic!("{request:?} is answered {other}"),
                }
            }
        };
        note(Event::Answered(number, told));
    }
    None
}

#[tokio::test]
async fn what_concurrent_clients_are_told_has_an_order_also_across_crashes() {
    let mut server = Server::start(&["--shards", "2"]);
    let (mut answered, mut unanswered, mut seen_again) = (0, 0, 0);
    for number in 0..u64::from(setting("BURSAR_TEST_LINEARIZABILITY_HISTORIES", HISTORIES_DEFAULT)) {
        let mut chance = Chance(number);
        let base = u128::from(number + 1) << 64;
        if number == 0 {
            open_books(&server.client().await, &[]).await;
        }
        let wallets = [BANK, base + 2, base + 3];
        let opened =
            server.client().await.create_wallets(&[wallet(base + 2), wallet(base + 3)]).await.unwrap();
        assert!(opened.iter().all(|outcome| outcome.status == Status::Created));
        let history = Arc::new(Mutex::new(Vec::new()));
        let mut unknown: Vec<Request> = Vec::new();
        let mut next_id = 0_u128;
        for life in 0..LIVES {
            let mut clients = JoinSet::new();
            for client in 0..CLIENTS {
                // What was not answered is sent again, by somebody else as well.
                let mut requests: Vec<Request> =
                    unknown.iter().filter(|_| chance.below(2) == 0).cloned().collect();
                while (requests.len() as u64) < REQUESTS_MAX {
                    // The bank is not read: it has a past from other histories.
                    let (from, to) = (chance.below(3), chance.below(3));
                    if from == to || chance.below(3) == 0 {
                        requests.push(Request::Read(WalletId(wallets[1 + chance.below(2) as usize])));
                        continue;
                    }
                    // Few ids, so that clients use the same ones for the same payments.
                    next_id += u128::from(chance.below(3) > 0);
                    let mut same = Chance((number << 32) + u64::try_from(next_id).expect("few"));
                    let amount = i128::from(1 + same.below(30));
                    let (from, to) = [(0, 1), (1, 2), (2, 1), (0, 2), (1, 0)][same.below(5) as usize];
                    requests.push(Request::Pay {
                        id: TransferId(base + next_id),
                        from: WalletId(wallets[from]),
                        to: WalletId(wallets[to]),
                        amount,
                    });
                }
                let connection = server.connection().await;
                let client = life * CLIENTS + client;
                clients.spawn(live(connection, client, requests, Arc::clone(&history)));
            }
            let kill_after = chance.below(CLIENTS * REQUESTS_MAX + 6);
            if life + 1 < LIVES {
                let events = || history.lock().expect("nobody panics with it").len() as u64;
                let until = events() + 2 * kill_after;
                while events() < until && !clients.is_empty() {
                    tokio::task::yield_now().await;
                    while clients.try_join_next().is_some_and(|ended| {
                        unknown.extend(ended.expect("no client panics"));
                        true
                    }) {}
                }
                server.kill();
            }
            while let Some(ended) = clients.join_next().await {
                unknown.extend(ended.expect("no client panics"));
            }
            if life + 1 < LIVES {
                server = server.restart();
            }
        }
        let events = history.lock().expect("nobody panics with it").clone();
        let told = |event: &&Event| matches!(event, Event::Answered(..));
        let again =
            |event: &&Event| matches!(event, Event::Answered(_, Told::PaidBefore | Told::RefusedBefore));
        answered += events.iter().filter(told).count();
        seen_again += events.iter().filter(again).count();
        unanswered += unknown.len();
        assert!(is_linearizable(&events, BANK), "history {number} has no order: {events:#?}");
    }
    println!("{answered} requests answered, {unanswered} not, {seen_again} had been decided before");
    assert!(answered > 100 && unanswered > 0 && seen_again > 0, "too little happened to show anything");
}

#[test]
fn a_history_without_an_order_is_found_out() {
    let (bank, a, b) = (WalletId(1), WalletId(2), WalletId(3));
    let pay = |id: u128, from, to, amount| Request::Pay { id: TransferId(id), from, to, amount };
    let check = |expected: bool, events: &[Event]| {
        assert_eq!(is_linearizable(events, bank.0), expected, "{events:#?}");
    };
    let one_after_another = |steps: &[(Request, Told)]| -> Vec<Event> {
        let events =
            |(request, told): &(Request, Told)| [Event::Sent(0, request.clone()), Event::Answered(0, *told)];
        steps.iter().flat_map(events).collect()
    };
    let funded = (pay(1, bank, a, 10), Told::Paid);
    check(true, &one_after_another(&[funded.clone(), (Request::Read(a), Told::Balance(10))]));
    // A stale read.
    check(false, &one_after_another(&[funded.clone(), (Request::Read(a), Told::Balance(0))]));
    // A lost update.
    let moved = (pay(2, a, b, 4), Told::Paid);
    check(false, &one_after_another(&[funded.clone(), moved.clone(), (Request::Read(a), Told::Balance(10))]));
    // An id applied twice.
    check(false, &one_after_another(&[funded.clone(), funded.clone()]));
    check(true, &one_after_another(&[funded.clone(), (pay(1, bank, a, 10), Told::PaidBefore)]));
    // More spent than there is; refused though there is enough.
    check(false, &one_after_another(&[funded.clone(), (pay(2, a, b, 11), Told::Paid)]));
    check(false, &one_after_another(&[funded.clone(), (pay(2, a, b, 10), Told::Refused)]));
    // What was not answered may show, or not; but not both, one after the other.
    let mut crashed = one_after_another(&[funded]);
    crashed.push(Event::Sent(1, pay(3, a, b, 5)));
    let then = |steps: &[(Request, Told)]| [crashed.clone(), one_after_another(steps)].concat();
    check(true, &then(&[(Request::Read(a), Told::Balance(5))]));
    check(true, &then(&[(Request::Read(a), Told::Balance(10))]));
    check(true, &then(&[(Request::Read(a), Told::Balance(10)), (pay(3, a, b, 5), Told::Paid)]));
    check(false, &then(&[(Request::Read(a), Told::Balance(5)), (Request::Read(a), Told::Balance(10))]));
    check(false, &then(&[(Request::Read(a), Told::Balance(5)), (pay(3, a, b, 5), Told::Paid)]));
}
