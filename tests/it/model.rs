//! The real server against a naive model of what the documents say, step by step and then all at once.

use crate::books::{BANK, Chance, EUR, USD, asset, open_books, setting, transfer, wallet};
use crate::server::Server;
use client::Client;
use ledger::{AMOUNT_MAX, NewWallet, OverdraftLimit, Status, Transfer, TransferId, WalletFlags, WalletId};
use std::collections::HashMap;
use tokio::task::JoinSet;

/// A ledger as somebody would write it in an afternoon, from the documents alone.
#[derive(Default)]
struct Naive {
    wallets: Vec<(NewWallet, u128, u128)>,
    decided: HashMap<TransferId, (Transfer, Status)>,
}

impl Naive {
    fn wallet(&mut self, id: WalletId) -> Option<&mut (NewWallet, u128, u128)> {
        self.wallets.iter_mut().find(|(terms, ..)| terms.id == id)
    }

    fn create_wallet(&mut self, new: &NewWallet) -> Status {
        if new.id.0 == 0 {
            return Status::IdMustNotBeZero;
        }
        if ![USD, EUR].contains(&new.asset) {
            return Status::AssetNotFound;
        }
        let Some((terms, ..)) = self.wallet(new.id) else {
            self.wallets.push((new.clone(), 0, 0));
            return Status::Created;
        };
        if terms.asset != new.asset {
            Status::ExistsWithDifferentAsset
        } else if terms.overdraft_limit != new.overdraft_limit {
            Status::ExistsWithDifferentOverdraftLimit
        } else if terms.balance_max != new.balance_max {
            Status::ExistsWithDifferentBalanceMax
        } else {
            Status::Exists
        }
    }

    fn transfer(&mut self, asked: &Transfer) -> Status {
        if asked.id.0 == 0 {
            return Status::IdMustNotBeZero;
        }
        if asked.amount == 0 {
            return Status::AmountMustNotBeZero;
        }
        if asked.amount > AMOUNT_MAX {
            return Status::AmountTooLarge;
        }
        if asked.debit_wallet == asked.credit_wallet {
            return Status::WalletsMustDiffer;
        }
        if let Some((first, status)) = self.decided.get(&asked.id) {
            return if first.debit_wallet != asked.debit_wallet {
                Status::ExistsWithDifferentDebitWallet
            } else if first.credit_wallet != asked.credit_wallet {
                Status::ExistsWithDifferentCreditWallet
            } else if first.asset != asked.asset {
                Status::ExistsWithDifferentAsset
            } else if first.amount != asked.amount {
                Status::ExistsWithDifferentAmount
            } else if *status == Status::Created {
                Status::Exists
            } else {
                Status::IdAlreadyRefused
            };
        }
        let status = self.decide(asked);
        if status == Status::Created {
            self.wallet(asked.debit_wallet).expect("it was decided on").1 += asked.amount;
            self.wallet(asked.credit_wallet).expect("it was decided on").2 += asked.amount;
        }
        self.decided.insert(asked.id, (asked.clone(), status));
        status
    }

    fn decide(&mut self, asked: &Transfer) -> Status {
        let Some((terms, debits, credits)) = self.wallet(asked.debit_wallet) else {
            return Status::DebitWalletNotFound;
        };
        if terms.asset != asked.asset {
            return Status::DebitWalletAssetMismatch;
        }
        if terms.flags.contains(WalletFlags::DEBIT_FROZEN) {
            return Status::DebitWalletFrozen;
        }
        if *debits + asked.amount > AMOUNT_MAX {
            return Status::DebitWalletOverflow;
        }
        if let OverdraftLimit::Limited(limit) = terms.overdraft_limit
            && !terms.flags.contains(WalletFlags::SYSTEM)
            && *debits + asked.amount > *credits + limit
        {
            return Status::InsufficientFunds;
        }
        let Some((terms, debits, credits)) = self.wallet(asked.credit_wallet) else {
            return Status::CreditWalletNotFound;
        };
        if terms.asset != asked.asset {
            return Status::CreditWalletAssetMismatch;
        }
        if terms.flags.contains(WalletFlags::CREDIT_FROZEN) {
            return Status::CreditWalletFrozen;
        }
        if *credits + asked.amount > AMOUNT_MAX {
            return Status::CreditWalletOverflow;
        }
        if terms.balance_max > 0 && *credits + asked.amount > *debits + terms.balance_max {
            return Status::LimitExceeded;
        }
        Status::Created
    }
}

fn random_wallet(chance: &mut Chance) -> NewWallet {
    let mut new = wallet(u128::from(chance.below(9)));
    new.asset = if chance.below(4) == 0 { EUR } else { USD };
    if chance.below(20) == 0 {
        new.asset = ledger::AssetId(5);
    }
    new.overdraft_limit = match chance.below(3) {
        0 => OverdraftLimit::Unlimited,
        1 => OverdraftLimit::Limited(u128::from(chance.below(200))),
        _ => OverdraftLimit::Limited(0),
    };
    if chance.below(3) == 0 {
        new.balance_max = u128::from(1 + chance.below(300));
    }
    new
}

fn random_transfer(chance: &mut Chance) -> Transfer {
    let amount = match chance.below(30) {
        0 => 0,
        1 => AMOUNT_MAX,
        2 => AMOUNT_MAX - 100,
        3 => u128::MAX,
        _ => u128::from(1 + chance.below(120)),
    };
    let wallets = (u128::from(chance.below(10)), u128::from(chance.below(10)));
    let mut asked = transfer(u128::from(chance.below(150)), wallets.0, wallets.1, amount);
    if chance.below(5) == 0 {
        asked.asset = EUR;
    }
    asked
}

async fn assert_same_positions(client: &Client, naive: &Naive, context: &str) {
    let ids: Vec<WalletId> = naive.wallets.iter().map(|(terms, ..)| terms.id).collect();
    let views = client.lookup_wallets(&ids).await.unwrap();
    for ((terms, debits, credits), view) in naive.wallets.iter().zip(views) {
        let found = view.unwrap_or_else(|| panic!("{context}: {} exists", terms.id));
        let position = (found.position.debits_posted, found.position.credits_posted);
        assert_eq!((&found.terms, position), (terms, (*debits, *credits)), "{context}");
    }
}

/// More with `BURSAR_TEST_MODEL_CASES`, which the fixture keeps from the server.
#[tokio::test]
async fn any_sequence_of_requests_is_answered_as_by_the_naive_model_and_survives_a_kill() {
    for seed in 0..u64::from(setting("BURSAR_TEST_MODEL_CASES", 8)) {
        let mut chance = Chance(seed);
        let mut naive = Naive::default();
        let mut server = Server::start(&[]);
        let mut client = server.client().await;
        client.create_assets(&[asset(USD, "USD"), asset(EUR, "EUR")]).await.unwrap();
        for step in 0..120 {
            let context = format!("seed {seed}, step {step}");
            // Items of a batch are independent of each other, so a batch that is compared has one.
            if chance.below(6) == 0 {
                let new = random_wallet(&mut chance);
                let outcome = client.create_wallets(std::slice::from_ref(&new)).await.unwrap()[0];
                assert_eq!(outcome.status, naive.create_wallet(&new), "{context}: {new:?}");
            } else {
                let asked = random_transfer(&mut chance);
                let outcome = client.create_transfers(std::slice::from_ref(&asked)).await.unwrap()[0];
                assert_eq!(outcome.status, naive.transfer(&asked), "{context}: {asked:?}");
                assert_eq!(
                    outcome.replayed,
                    matches!(outcome.status, Status::Exists | Status::IdAlreadyRefused)
                );
            }
            if chance.below(10) == 0 {
                assert_same_positions(&client, &naive, &context).await;
            }
            if chance.below(60) == 0 {
                server.kill();
                server = server.restart();
                client = server.client().await;
            }
        }
        assert_same_positions(&client, &naive, &format!("seed {seed}, at the end")).await;
    }
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
