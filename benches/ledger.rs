//! The rules of money alone: one transfer decided and applied, and a journal folded. No disk, no threads.

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use ledger::decide::decide;
use ledger::{
    Asset, AssetCode, AssetId, Circumstances, Decision, Effect, Entry, Fold, NewWallet, OpenReservations,
    OverdraftLimit, Owner, Route, Transfer, TransferId, Wallet, WalletFlags, WalletId,
};
use std::collections::BTreeSet;
use std::hint::black_box;

const ASSET: AssetId = AssetId(1);

/// Wallets in the folded journal, and transfers between them.
const WALLETS: u128 = 1_000;
const TRANSFERS: u128 = 10_000;

fn terms(id: u128, overdraft_limit: OverdraftLimit) -> NewWallet {
    NewWallet {
        id: WalletId(id),
        owner: Owner::Number(id),
        asset: ASSET,
        code: 0,
        flags: WalletFlags::default(),
        overdraft_limit,
        balance_max: 0,
        metadata: Box::default(),
        import: ledger::ImportId::NONE,
    }
}

fn transfer(id: u128, from: u128, to: u128) -> Transfer {
    Transfer {
        id: TransferId(id),
        debit_wallet: WalletId(from),
        credit_wallet: WalletId(to),
        asset: ASSET,
        amount: 1,
        group_id: 0,
        code: 0,
        effective_at_ns: 0,
        metadata: Box::default(),
    }
}

fn decide_and_apply(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("ledger/decide_and_apply");
    group.throughput(Throughput::Elements(1));
    for (name, limit) in
        [("limited", OverdraftLimit::Limited(u128::MAX >> 2)), ("unlimited", OverdraftLimit::Unlimited)]
    {
        let mut debit_wallet = Wallet::create(terms(1, limit), 2, 2);
        let mut credit_wallet = Wallet::create(terms(2, limit), 3, 3);
        let transfer = transfer(1, 1, 2);
        let mut open = OpenReservations::default();
        open.add(&Effect::Move { debits: 7, credits: 0 });
        open.add(&Effect::Move { debits: 0, credits: 7 });
        let circumstances = Circumstances { open, ending: &BTreeSet::new(), now_ns: 4 };
        let mut seq = 3;
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let route = Route::of_transfer(black_box(&transfer));
                let [debit, credit] = route.parts() else { unreachable!("a transfer has two wallets") };
                assert_eq!(decide(Some(&debit_wallet), debit, &circumstances), Decision::Accept);
                assert_eq!(decide(Some(&credit_wallet), credit, &circumstances), Decision::Accept);
                seq += 1;
                debit_wallet.apply(&debit.effect, seq, seq);
                credit_wallet.apply(&credit.effect, seq, seq);
            });
        });
        black_box((debit_wallet, credit_wallet));
    }
    group.finish();
}

fn fold(criterion: &mut Criterion) {
    let mut created = Fold::default();
    let code = AssetCode::new("USD").expect("three letters are a code");
    let mut seq = 1;
    let mut next = |entry: &Entry, fold: &mut Fold| {
        fold.apply(seq, seq, entry).expect("the entry is one that can be decided on");
        seq += 1;
    };
    next(&Entry::AssetCreated(Asset { id: ASSET, code, scale: 2 }), &mut created);
    for id in 1..=WALLETS {
        next(&Entry::WalletCreated(terms(id, OverdraftLimit::Unlimited)), &mut created);
    }
    // Neighbours in the journal seldom touch the same wallets.
    let wallet = |number: u128| 1 + number.wrapping_mul(0x9e37_79b9) % WALLETS;
    let entries: Vec<Entry> = (0..TRANSFERS)
        .map(|number| {
            let from = wallet(number);
            Entry::Transferred(transfer(number + 1, from, 1 + from % WALLETS))
        })
        .collect();

    let mut group = criterion.benchmark_group("ledger/fold");
    group.throughput(Throughput::Elements(TRANSFERS as u64));
    group.bench_function("10000_transfers", |bencher| {
        bencher.iter_batched(
            || created.clone(),
            |mut fold| {
                for entry in &entries {
                    let seq = fold.last_seq + 1;
                    fold.apply(seq, seq, entry).expect("the entry is one that can be decided on");
                }
                fold
            },
            BatchSize::LargeInput,
        );
    });
    group.finish();
}

criterion_group!(benches, decide_and_apply, fold);
criterion_main!(benches);
