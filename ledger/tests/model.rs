//! The rules against a naive model: a list of balances, one thread, no reservations, everything recomputed.

use ledger::decide::{decide_credit, decide_debit};
use ledger::{
    AMOUNT_MAX, Asset, AssetCode, AssetId, Decision, Entry, Fold, NewWallet, OpenReservations,
    OverdraftLimit, Owner, Refusal, RefusalDetail, Status, Transfer, TransferId, Wallet, WalletFlags,
    WalletId,
};
use proptest::prelude::*;

const ASSETS: u32 = 2;

fn amount() -> impl Strategy<Value = u128> {
    prop_oneof![
        6 => 1_u128..200,
        1 => Just(0),
        1 => Just(AMOUNT_MAX),
        1 => Just(AMOUNT_MAX - 50),
        1 => Just(u128::MAX),
    ]
}

fn new_wallet(id: u128) -> impl Strategy<Value = NewWallet> {
    let limit = prop_oneof![
        3 => Just(OverdraftLimit::Limited(0)),
        1 => (0_u128..300).prop_map(OverdraftLimit::Limited),
        1 => Just(OverdraftLimit::Unlimited),
    ];
    let balance_max = prop_oneof![3 => Just(0_u128), 1 => 1_u128..300];
    (1..=ASSETS, 0_u16..16, limit, balance_max).prop_map(
        move |(asset, flags, overdraft_limit, balance_max)| NewWallet {
            id: WalletId(id),
            owner: Owner::Number(0),
            asset: AssetId(asset),
            code: 0,
            // A closed wallet cannot be created, and yet a journal of later versions may hold one.
            flags: WalletFlags::from_bits(flags),
            overdraft_limit,
            balance_max,
            metadata: Box::default(),
        },
    )
}

fn wallets() -> impl Strategy<Value = Vec<NewWallet>> {
    (1_u128..=6).map(|id| new_wallet(id).boxed()).collect::<Vec<_>>()
}

fn transfer() -> impl Strategy<Value = Transfer> {
    (1_u128..40, 1_u128..=7, 1_u128..=7, 1..=ASSETS, amount()).prop_map(
        |(id, debit, credit, asset, amount)| Transfer {
            id: TransferId(id),
            debit_wallet: WalletId(debit),
            credit_wallet: WalletId(credit),
            asset: AssetId(asset),
            amount,
            group_id: 0,
            code: 0,
            effective_at_ns: 0,
            metadata: Box::default(),
        },
    )
}

/// A ledger as somebody would write it in an afternoon.
struct Naive {
    /// Terms, debits, credits.
    wallets: Vec<(NewWallet, u128, u128)>,
}

impl Naive {
    fn find(&mut self, id: WalletId) -> Option<&mut (NewWallet, u128, u128)> {
        self.wallets.iter_mut().find(|(terms, _, _)| terms.id == id)
    }

    fn transfer(&mut self, transfer: &Transfer) -> Status {
        if transfer.amount == 0 {
            return Status::AmountMustNotBeZero;
        }
        if transfer.amount > AMOUNT_MAX {
            return Status::AmountTooLarge;
        }
        if transfer.debit_wallet == transfer.credit_wallet {
            return Status::WalletsMustDiffer;
        }
        let Some((terms, debits, credits)) = self.find(transfer.debit_wallet) else {
            return Status::DebitWalletNotFound;
        };
        if terms.asset != transfer.asset {
            return Status::DebitWalletAssetMismatch;
        }
        if terms.flags.contains(WalletFlags::CLOSED) {
            return Status::DebitWalletClosed;
        }
        if terms.flags.contains(WalletFlags::DEBIT_FROZEN) {
            return Status::DebitWalletFrozen;
        }
        if *debits + transfer.amount > AMOUNT_MAX {
            return Status::DebitWalletOverflow;
        }
        let unlimited = terms.flags.contains(WalletFlags::SYSTEM);
        if let OverdraftLimit::Limited(limit) = terms.overdraft_limit
            && !unlimited
            && *debits + transfer.amount > *credits + limit
        {
            return Status::InsufficientFunds;
        }
        let Some((terms, debits, credits)) = self.find(transfer.credit_wallet) else {
            return Status::CreditWalletNotFound;
        };
        if terms.asset != transfer.asset {
            return Status::CreditWalletAssetMismatch;
        }
        if terms.flags.contains(WalletFlags::CLOSED) {
            return Status::CreditWalletClosed;
        }
        if terms.flags.contains(WalletFlags::CREDIT_FROZEN) {
            return Status::CreditWalletFrozen;
        }
        if *credits + transfer.amount > AMOUNT_MAX {
            return Status::CreditWalletOverflow;
        }
        if terms.balance_max > 0 && *credits + transfer.amount > *debits + terms.balance_max {
            return Status::LimitExceeded;
        }
        *credits += transfer.amount;
        self.find(transfer.debit_wallet).expect("was there before").1 += transfer.amount;
        Status::Created
    }
}

/// The rules as the server applies them, with nothing open.
fn decide(fold: &Fold, transfer: &Transfer) -> Result<(), Refusal> {
    transfer.check_shape()?;
    let open = OpenReservations::default();
    let debit = decide_debit(fold.wallets.get(&transfer.debit_wallet), open, transfer);
    let credit = decide_credit(fold.wallets.get(&transfer.credit_wallet), open, transfer);
    for decision in [debit, credit] {
        match decision {
            Decision::Accept => {}
            Decision::Refuse(refusal) => return Err(refusal),
            Decision::Wait => panic!("with nothing open there is nothing to wait for"),
        }
    }
    Ok(())
}

fn ledger_of(wallets: &[NewWallet]) -> Fold {
    let mut fold = Fold::default();
    let mut seq = 0;
    let mut apply = |entry: &Entry| {
        seq += 1;
        fold.apply(seq, seq * 10, entry).expect("assets and wallets are new");
    };
    for asset in 1..=ASSETS {
        let code = AssetCode::new("USD").expect("a valid code");
        apply(&Entry::AssetCreated(Asset { id: AssetId(asset), code, scale: 2 }));
    }
    for wallet in wallets {
        apply(&Entry::WalletCreated(wallet.clone()));
    }
    fold
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_transfers_is_answered_and_applied_as_by_the_naive_model(
        wallets in wallets(),
        transfers in prop::collection::vec(transfer(), 1..80),
    ) {
        let mut fold = ledger_of(&wallets);
        let mut naive = Naive { wallets: wallets.into_iter().map(|terms| (terms, 0, 0)).collect() };
        for transfer in transfers {
            let decided = decide(&fold, &transfer);
            let status = decided.map_or_else(|refusal| refusal.status, |()| Status::Created);
            prop_assert_eq!(status, naive.transfer(&transfer), "{:?}", transfer);
            if status == Status::Created {
                let seq = fold.last_seq + 1;
                fold.apply(seq, seq * 10, &Entry::Transferred(transfer)).expect("it was decided");
            }
            for (terms, debits, credits) in &naive.wallets {
                let position = fold.wallets[&terms.id].position;
                prop_assert_eq!((position.debits_posted, position.credits_posted), (*debits, *credits));
            }
            prop_assert!(fold.totals().values().all(ledger::fold::AssetTotals::is_balanced));
        }
    }

    /// What a decision with reservations open promises: *accept* whatever becomes of them, *refuse* whatever becomes of
    /// them, *wait* only if it makes a difference.
    #[test]
    fn a_decision_with_reservations_open_holds_under_every_outcome_of_them(
        terms in new_wallet(1),
        history in prop::collection::vec((any::<bool>(), 1_u128..200), 0..8),
        open in prop::collection::vec((any::<bool>(), 1_u128..200), 0..6),
        mut transfer in transfer(),
        is_debit in any::<bool>(),
    ) {
        transfer.asset = terms.asset;
        prop_assume!(transfer.check_shape().is_ok());
        let mut wallet = Wallet::create(terms, 1, 1);
        for (debit, amount) in history {
            if debit { wallet.debit(amount, 2) } else { wallet.credit(amount, 2) }
        }
        let decide = if is_debit { decide_debit } else { decide_credit };
        let sums = OpenReservations {
            debits: open.iter().filter(|(debit, _)| *debit).map(|(_, amount)| amount).sum(),
            credits: open.iter().filter(|(debit, _)| !*debit).map(|(_, amount)| amount).sum(),
        };
        let decision = decide(Some(&wallet), sums, &transfer);

        let mut verdicts = Vec::new();
        for outcome in 0..1_u32 << open.len() {
            let mut wallet = wallet.clone();
            for (index, (debit, amount)) in open.iter().enumerate() {
                if outcome & (1 << index) != 0 {
                    if *debit { wallet.debit(*amount, 3) } else { wallet.credit(*amount, 3) }
                }
            }
            verdicts.push(decide(Some(&wallet), OpenReservations::default(), &transfer));
        }
        match decision {
            Decision::Accept => {
                prop_assert!(verdicts.iter().all(|verdict| *verdict == Decision::Accept), "{verdicts:?}");
            }
            Decision::Refuse(refusal) => prop_assert!(
                verdicts.iter().all(|verdict| matches!(verdict, Decision::Refuse(other) if other.status == refusal.status)),
                "{verdicts:?}"
            ),
            Decision::Wait => prop_assert!(verdicts.iter().any(|verdict| *verdict != verdicts[0]), "{verdicts:?}"),
        }
    }
}

#[test]
fn a_refusal_says_what_was_lacking() {
    let terms = NewWallet {
        id: WalletId(1),
        owner: Owner::Number(0),
        asset: AssetId(1),
        code: 0,
        flags: WalletFlags::default(),
        overdraft_limit: OverdraftLimit::Limited(10),
        balance_max: 100,
        metadata: Box::default(),
    };
    let mut wallet = Wallet::create(terms, 1, 1);
    wallet.credit(60, 2);
    wallet.debit(20, 3);
    let open = OpenReservations::default();
    let mut transfer = Transfer {
        id: TransferId(1),
        debit_wallet: WalletId(1),
        credit_wallet: WalletId(2),
        asset: AssetId(1),
        amount: 51,
        group_id: 0,
        code: 0,
        effective_at_ns: 0,
        metadata: Box::default(),
    };
    let refusal = |status, detail| Decision::Refuse(Refusal { status, detail });
    let lacking = RefusalDetail::InsufficientFunds { available: 50, required: 51 };
    assert_eq!(decide_debit(Some(&wallet), open, &transfer), refusal(Status::InsufficientFunds, lacking));
    assert_eq!(wallet.available(), Some(50));
    transfer.amount = 61;
    let limit = RefusalDetail::LimitExceeded { limit: 100 };
    assert_eq!(decide_credit(Some(&wallet), open, &transfer), refusal(Status::LimitExceeded, limit));
    transfer.amount = 50;
    assert_eq!(decide_debit(Some(&wallet), open, &transfer), Decision::Accept);
    let open = OpenReservations { debits: 1, credits: 0 };
    assert_eq!(decide_debit(Some(&wallet), open, &transfer), Decision::Wait);
}

#[test]
fn a_journal_that_nobody_can_have_decided_on_is_a_fault() {
    let wallet = |id| NewWallet {
        id: WalletId(id),
        owner: Owner::Number(0),
        asset: AssetId(1),
        code: 0,
        flags: WalletFlags::default(),
        overdraft_limit: OverdraftLimit::Limited(0),
        balance_max: 0,
        metadata: Box::default(),
    };
    let fold = ledger_of(&[wallet(1), wallet(2)]);
    let next = fold.last_seq + 1;
    let transfer = |debit, credit| {
        Entry::Transferred(Transfer {
            id: TransferId(1),
            debit_wallet: WalletId(debit),
            credit_wallet: WalletId(credit),
            asset: AssetId(1),
            amount: 1,
            group_id: 0,
            code: 0,
            effective_at_ns: 0,
            metadata: Box::default(),
        })
    };
    let mut foreign = wallet(3);
    foreign.asset = AssetId(9);
    let code = AssetCode::new("EUR").expect("a valid code");
    let cases = [
        (next + 1, 1_000, Entry::WalletCreated(wallet(3)), "follows entry 4"),
        (next, 40, Entry::WalletCreated(wallet(3)), "is not later than the entry before it"),
        (
            next,
            1_000,
            Entry::WalletCreated(wallet(1)),
            "creates wallet 00000000-0000-0000-0000-000000000001 again",
        ),
        (next, 1_000, Entry::WalletCreated(foreign), "in unknown asset 9"),
        (next, 1_000, Entry::AssetCreated(Asset { id: AssetId(1), code, scale: 0 }), "creates asset 1 again"),
        (next, 1_000, transfer(1, 2), "insufficient_funds"),
        (next, 1_000, transfer(1, 7), "insufficient_funds"),
        (next, 1_000, transfer(7, 1), "debit_wallet_not_found"),
    ];
    for (seq, timestamp_ns, entry, expected) in cases {
        let mut damaged = fold.clone();
        let fault = damaged.apply(seq, timestamp_ns, &entry).expect_err("a fault").to_string();
        assert!(fault.contains(expected), "{fault} does not say {expected}");
        assert_eq!(damaged, fold, "a fault changes nothing");
    }
}
