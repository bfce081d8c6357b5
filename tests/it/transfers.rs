//! What transfers are answered: every status that can be reached, in the order of the checks, and idempotency.

use crate::books::{
    BANK, Chance, EUR, USD, already_refused, assert_all_created, balance, exists, open_books, pay,
    system_wallet, transfer, wallet,
};
use crate::raw_connection::{RawConnection, request, request_with};
use crate::server::Server;
use client::Client;
use ledger::{
    AMOUNT_MAX, AssetId, NewWallet, Order, Outcome, OverdraftLimit, RefusalDetail, Status, Transfer,
    TransferId, WalletFlags, WalletId,
};
use protocol::{OPERATIONS_PER_REQUEST_MAX, Operation, Reply, RequestHead, RequestRef};
use tokio::task::JoinSet;

const NOBODY: u128 = 999;

#[tokio::test]
async fn a_transfer_moves_its_amount_and_is_found_again() {
    let server = Server::start(&[]);
    let client = server.client().await;
    open_books(&client, &[wallet(2), wallet(3)]).await;
    assert_all_created(&[pay(&client, &transfer(1, BANK, 2, 100)).await]);
    let asked = Transfer {
        group_id: 5,
        code: 6,
        effective_at_ns: 7,
        metadata: b"an invoice".as_slice().into(),
        ..transfer(2, 2, 3, 40)
    };
    let outcome = pay(&client, &asked).await;
    assert_all_created(&[outcome]);

    let found = client.lookup_transfers(&[TransferId(2), TransferId(77)]).await.unwrap();
    let view = found[0].as_ref().expect("it was just made");
    assert_eq!((&view.order, &view.outcome), (&Order::Transfer(asked), &outcome));
    assert_eq!(found[1], None);
    let views = client.balances(&[1, 2, 3].map(WalletId)).await.unwrap();
    let balances: Vec<i128> = views.iter().map(|view| view.unwrap().balance).collect();
    assert_eq!(balances, [-100, 60, 40]);
    assert!(views.iter().all(|view| view.unwrap().as_of_seq >= outcome.seq));
    assert_eq!(views[0].unwrap().available, None, "a system wallet has no limit");
    assert_eq!(views[1].unwrap().available, Some(60));

    let trial = client.trial_balance().await.unwrap();
    let codes: Vec<&str> = trial.assets.iter().map(|line| line.asset.code.as_str()).collect();
    assert_eq!(codes, ["USD", "EUR"]);
    let dollars = &trial.assets[0].totals;
    assert_eq!((dollars.wallets, dollars.debits_posted, dollars.credits_posted), (3, 140, 140));
    assert!(trial.as_of_seq >= outcome.seq);
}

/// Wallets of every kind, each in the state that its case needs.
async fn open_all_kinds(client: &Client) {
    let with_flags = |id, flags| NewWallet { flags, ..wallet(id) };
    let in_euros = |id, flags| NewWallet { flags, asset: EUR, ..wallet(id) };
    let both_frozen = WalletFlags::DEBIT_FROZEN.with(WalletFlags::CREDIT_FROZEN);
    let wallets = [
        wallet(2),
        with_flags(3, WalletFlags::DEBIT_FROZEN),
        with_flags(4, WalletFlags::CREDIT_FROZEN),
        in_euros(5, both_frozen),
        NewWallet { balance_max: 50, ..wallet(6) },
        NewWallet { overdraft_limit: OverdraftLimit::Limited(30), ..wallet(7) },
        system_wallet(8),
        wallet(9),
        system_wallet(10),
        NewWallet { overdraft_limit: OverdraftLimit::Unlimited, ..wallet(11) },
        NewWallet { flags: WalletFlags::CREDIT_FROZEN, balance_max: 50, ..wallet(12) },
    ];
    open_books(client, &wallets).await;
    let funding = [
        transfer(10_001, BANK, 2, 100),
        transfer(10_002, BANK, 3, 100),
        transfer(10_003, 8, 9, AMOUNT_MAX),
        transfer(10_004, BANK, 6, 10),
    ];
    assert_all_created(&client.create_transfers(&funding).await.unwrap());
}

#[tokio::test]
async fn every_status_is_given_with_its_details_in_the_order_of_the_checks() {
    let server = Server::start(&[]);
    let client = server.client().await;
    open_all_kinds(&client).await;
    let long: Box<[u8]> = vec![1; 257].into();
    let insufficient = |available, required| RefusalDetail::InsufficientFunds { available, required };
    let none = RefusalDetail::None;
    // Each case breaks the rule it is about and, where one can, the rules after it.
    let cases = [
        (transfer(0, 2, 2, 0), Status::IdMustNotBeZero, none),
        (transfer(1, 2, 2, 0), Status::AmountMustNotBeZero, none),
        (transfer(2, 2, 2, AMOUNT_MAX + 1), Status::AmountTooLarge, none),
        (transfer(3, 2, 2, u128::MAX), Status::AmountTooLarge, none),
        (Transfer { metadata: long.clone(), ..transfer(4, 2, 2, 1) }, Status::WalletsMustDiffer, none),
        (Transfer { metadata: long, ..transfer(5, NOBODY, 2, 1) }, Status::MetadataTooLarge, none),
        (transfer(6, NOBODY, NOBODY + 1, 1), Status::DebitWalletNotFound, none),
        (transfer(7, 0, 2, 1), Status::DebitWalletNotFound, none),
        (transfer(8, 5, NOBODY, 1), Status::DebitWalletAssetMismatch, none),
        (Transfer { asset: AssetId(1), ..transfer(9, 2, 7, 1) }, Status::DebitWalletAssetMismatch, none),
        (transfer(10, 3, NOBODY, 1_000), Status::DebitWalletFrozen, none),
        (transfer(11, 8, NOBODY, 1), Status::DebitWalletOverflow, none),
        (transfer(12, 2, NOBODY, 101), Status::InsufficientFunds, insufficient(100, 101)),
        (transfer(13, 7, 2, 31), Status::InsufficientFunds, insufficient(30, 31)),
        (transfer(14, 2, NOBODY, 1), Status::CreditWalletNotFound, none),
        (transfer(15, 2, 5, 1), Status::CreditWalletAssetMismatch, none),
        (transfer(16, 10, 12, 51), Status::CreditWalletFrozen, none),
        (transfer(17, 10, 6, AMOUNT_MAX), Status::CreditWalletOverflow, none),
        (transfer(18, 10, 9, 1), Status::CreditWalletOverflow, none),
        (transfer(19, 10, 6, 41), Status::LimitExceeded, RefusalDetail::LimitExceeded { limit: 50 }),
        // What is just within the limits is done.
        (transfer(20, 10, 6, 40), Status::Created, none),
        (transfer(21, 7, 2, 30), Status::Created, none),
        (transfer(22, 11, 2, 1_000), Status::Created, none),
        (transfer(23, 2, 7, 1_130), Status::Created, none),
        (transfer(24, BANK, 3, 1), Status::Created, none),
        (transfer(25, 2, 7, 1), Status::InsufficientFunds, insufficient(0, 1)),
        (transfer(26, 4, 2, 1), Status::InsufficientFunds, insufficient(0, 1)),
    ];
    for (asked, status, detail) in cases {
        let outcome = pay(&client, &asked).await;
        assert_eq!((outcome.status, outcome.detail), (status, detail), "{asked:?}");
        assert!(!outcome.replayed);
        let found = client.lookup_transfers(&[asked.id]).await.unwrap().remove(0);
        let again = pay(&client, &asked).await;
        if status == Status::Created {
            assert_eq!(found.expect("it is done").outcome, outcome);
            assert_eq!(again, exists(&outcome));
        } else if status.is_final() {
            assert!(outcome.seq > 0 && outcome.timestamp_ns > 0, "a final refusal is journaled: {outcome:?}");
            assert_eq!(found.expect("its id is used up").outcome, outcome);
            assert_eq!(again, already_refused(&outcome));
        } else {
            assert_eq!((outcome.seq, outcome.timestamp_ns), (0, 0));
            assert_eq!(found, None, "its id is not used up");
            assert_eq!(again, outcome);
        }
    }
    // The statuses in the table are in the order of the checks, and so are their numbers.
}

#[tokio::test]
async fn an_id_whose_shape_was_wrong_may_be_sent_again_with_the_right_one() {
    let server = Server::start(&[]);
    let client = server.client().await;
    open_books(&client, &[wallet(2)]).await;
    assert_eq!(pay(&client, &transfer(1, BANK, 2, 0)).await.status, Status::AmountMustNotBeZero);
    assert_all_created(&[pay(&client, &transfer(1, BANK, 2, 5)).await]);
}

#[tokio::test]
async fn the_same_id_with_other_fields_is_told_the_first_field_that_differs() {
    type Change = fn(&mut Transfer);

    let server = Server::start(&[]);
    let client = server.client().await;
    open_books(&client, &[wallet(2), wallet(3)]).await;
    let base = |id, amount| Transfer {
        group_id: 5,
        code: 6,
        effective_at_ns: 7,
        metadata: b"right".as_slice().into(),
        ..transfer(id, BANK, 2, amount)
    };
    let done = base(1, 10);
    let refused = Transfer { debit_wallet: WalletId(3), ..base(2, 10) };
    let first_done = pay(&client, &done).await;
    let first_refused = pay(&client, &refused).await;
    assert_eq!(first_done.status, Status::Created);
    assert_eq!(first_refused.status, Status::InsufficientFunds);
    let changes: [(Status, Change); 8] = [
        (Status::ExistsWithDifferentDebitWallet, |again| again.debit_wallet = WalletId(NOBODY)),
        (Status::ExistsWithDifferentCreditWallet, |again| again.credit_wallet = WalletId(NOBODY + 1)),
        (Status::ExistsWithDifferentAsset, |again| again.asset = EUR),
        (Status::ExistsWithDifferentAmount, |again| again.amount += 1),
        (Status::ExistsWithDifferentGroupId, |again| again.group_id = 0),
        (Status::ExistsWithDifferentCode, |again| again.code = 0),
        (Status::ExistsWithDifferentEffectiveAt, |again| again.effective_at_ns = 0),
        (Status::ExistsWithDifferentMetadata, |again| again.metadata = b"wrong".as_slice().into()),
    ];
    for (original, first) in [(&done, first_done), (&refused, first_refused)] {
        for (index, (expected, change)) in changes.iter().enumerate() {
            let mut one_field = original.clone();
            change(&mut one_field);
            let outcome = pay(&client, &one_field).await;
            assert_eq!((outcome.status, outcome.replayed), (*expected, false));
            assert_eq!(outcome.seq, first.seq, "it says where the id was used");
            let mut this_and_all_after = original.clone();
            changes[index..].iter().for_each(|(_, change)| change(&mut this_and_all_after));
            assert_eq!(pay(&client, &this_and_all_after).await.status, *expected);
        }
    }
    assert_eq!(pay(&client, &done).await, exists(&first_done));
    assert_eq!(balance(&client, 2).await, 10, "nothing moved but the first time");
}

#[tokio::test]
async fn a_refusal_stays_however_the_balance_has_changed_since() {
    let server = Server::start(&[]);
    let client = server.client().await;
    open_books(&client, &[wallet(2), wallet(3)]).await;
    let asked = transfer(1, 2, 3, 10);
    let first = pay(&client, &asked).await;
    assert_eq!(first.status, Status::InsufficientFunds);
    assert_all_created(&[pay(&client, &transfer(2, BANK, 2, 1_000)).await]);
    assert_eq!(pay(&client, &asked).await, already_refused(&first));
    // A wallet that did not exist then does now.
    let too_early = transfer(3, 2, 4, 10);
    let first = pay(&client, &too_early).await;
    assert_eq!(first.status, Status::CreditWalletNotFound);
    assert_all_created(&client.create_wallets(&[wallet(4)]).await.unwrap());
    assert_eq!(pay(&client, &too_early).await, already_refused(&first));
    assert_eq!(balance(&client, 2).await, 1_000);
}

/// Sends one transfer of each at the same moment, from a connection each.
async fn at_once(server: &Server, transfers: Vec<Transfer>) -> Vec<Outcome> {
    let mut senders = JoinSet::new();
    for asked in transfers {
        let connection = server.connection().await;
        senders.spawn(async move { connection.create_transfers(&[asked]).await.unwrap()[0] });
    }
    senders.join_all().await
}

#[tokio::test]
async fn the_same_id_at_the_same_moment_from_many_connections_is_executed_once() {
    let server = Server::start(&[]);
    let client = server.client().await;
    open_books(&client, &[wallet(2), wallet(3)]).await;
    let mut expected_balance = 0;
    for round in 0..20 {
        let done = at_once(&server, vec![transfer(100 + round, BANK, 2, 7); 8]).await;
        let first: Vec<&Outcome> = done.iter().filter(|outcome| outcome.status == Status::Created).collect();
        assert_eq!(first.len(), 1, "{done:?}");
        let replayed = exists(first[0]);
        assert_eq!(done.iter().filter(|&outcome| *outcome == replayed).count(), 7, "{done:?}");
        expected_balance += 7;

        let refused = at_once(&server, vec![transfer(200 + round, 3, 2, 7); 8]).await;
        let first: Vec<&Outcome> =
            refused.iter().filter(|outcome| outcome.status == Status::InsufficientFunds).collect();
        assert_eq!(first.len(), 1, "{refused:?}");
        let replayed = already_refused(first[0]);
        assert_eq!(refused.iter().filter(|&outcome| *outcome == replayed).count(), 7, "{refused:?}");

        let amounts = (1..=8).map(|amount| transfer(300 + round, BANK, 2, amount)).collect();
        let differing = at_once(&server, amounts).await;
        let created = differing.iter().filter(|outcome| outcome.status == Status::Created).count();
        let others =
            differing.iter().filter(|outcome| outcome.status == Status::ExistsWithDifferentAmount).count();
        assert_eq!((created, others), (1, 7), "{differing:?}");
        let found = client.lookup_transfers(&[TransferId(300 + round)]).await.unwrap();
        let Order::Transfer(done) = &found[0].as_ref().unwrap().order else { panic!("{found:?}") };
        expected_balance += i128::try_from(done.amount).unwrap();
        assert_eq!(balance(&client, 2).await, expected_balance);
    }
}

#[tokio::test]
async fn the_same_id_twice_in_one_batch_is_executed_once() {
    let server = Server::start(&[]);
    let client = server.client().await;
    open_books(&client, &[wallet(2), wallet(3)]).await;
    let batch = [
        transfer(1, BANK, 2, 5),
        transfer(1, BANK, 2, 5),
        transfer(1, BANK, 2, 6),
        transfer(2, 3, 2, 5),
        transfer(2, 3, 2, 5),
        transfer(2, BANK, 2, 5),
    ];
    let outcomes = client.create_transfers(&batch).await.unwrap();
    assert_eq!(outcomes[0].status, Status::Created);
    assert_eq!(outcomes[1], exists(&outcomes[0]));
    assert_eq!(outcomes[2].status, Status::ExistsWithDifferentAmount);
    assert_eq!(outcomes[3].status, Status::InsufficientFunds);
    assert_eq!(outcomes[4], already_refused(&outcomes[3]));
    assert_eq!(outcomes[5].status, Status::ExistsWithDifferentDebitWallet);
    assert_eq!(balance(&client, 2).await, 5);
}

#[tokio::test]
async fn the_largest_batch_with_all_the_metadata_there_may_be_is_done() {
    let server = Server::start(&[]);
    let connection = server.connection().await;
    let client = server.client().await;
    open_books(&client, &[wallet(2)]).await;
    let batch: Vec<Transfer> = (1..=u128::from(OPERATIONS_PER_REQUEST_MAX))
        .map(|id| Transfer { metadata: vec![id as u8; 256].into(), ..transfer(id, BANK, 2, 1) })
        .collect();
    let created = connection.create_transfers_with_balances(&batch).await.unwrap();
    assert_all_created(&created.outcomes);
    for (positions, outcome) in created.positions.iter().zip(&created.outcomes) {
        assert_eq!(positions.iter().map(|position| position.wallet.0).collect::<Vec<_>>(), [BANK, 2]);
        assert!(positions.iter().all(|position| position.as_of_seq >= outcome.seq));
    }
    let ids: Vec<TransferId> = batch.iter().map(|transfer| transfer.id).collect();
    // Fewer fit into a look-up: any of what it finds may be a transaction of 64 legs.
    let lookup_max = connection.limits().batch_max(Operation::LookupTransfers) as usize;
    let mut found = Vec::new();
    for ids in ids.chunks(lookup_max) {
        found.extend(connection.lookup_transfers(ids).await.unwrap());
    }
    assert_eq!(found.len(), batch.len());
    for ((view, asked), outcome) in found.iter().zip(&batch).zip(&created.outcomes) {
        let view = view.as_ref().expect("it is done");
        assert_eq!((&view.order, &view.outcome), (&Order::Transfer(asked.clone()), outcome));
    }
    let mut seqs: Vec<u64> = created.outcomes.iter().map(|outcome| outcome.seq).collect();
    seqs.sort_unstable();
    assert!(seqs.windows(2).all(|pair| pair[0] + 1 == pair[1]), "sequence numbers are contiguous");
    assert_eq!(balance(&client, 2).await, i128::from(OPERATIONS_PER_REQUEST_MAX));
}

#[tokio::test]
async fn balances_that_are_asked_for_are_those_of_the_wallets_that_exist_debit_first() {
    let server = Server::start(&[]);
    let client = server.client().await;
    open_books(&client, &[wallet(2), wallet(3)]).await;
    let batch = [transfer(1, BANK, 2, 100), transfer(2, NOBODY, 2, 1), transfer(3, NOBODY, NOBODY + 1, 1)];
    let created = client.create_transfers_with_balances(&batch).await.unwrap();
    let shown: Vec<Vec<(u128, i128, Option<i128>)>> = created
        .positions
        .iter()
        .map(|route| {
            route.iter().map(|position| (position.wallet.0, position.balance, position.available)).collect()
        })
        .collect();
    assert_eq!(shown, [vec![(BANK, -100, None), (2, 100, Some(100))], vec![(2, 100, Some(100))], vec![]]);
    // A repetition and a refusal show them, too.
    let again = client
        .create_transfers_with_balances(&[transfer(1, BANK, 2, 100), transfer(4, 3, 2, 1)])
        .await
        .unwrap();
    assert_eq!(again.outcomes[0].status, Status::Exists);
    assert_eq!(again.outcomes[1].status, Status::InsufficientFunds);
    assert_eq!(again.positions[0].len(), 2);
    assert_eq!((again.positions[1][0].wallet.0, again.positions[1][0].balance), (3, 0));
    assert!(client.create_transfers(&[]).await.unwrap().is_empty(), "an empty batch is legal");
}

#[tokio::test]
async fn what_is_not_begun_by_its_deadline_is_surely_not_executed() {
    let server = Server::start(&[]);
    let client = server.client().await;
    open_books(&client, &[wallet(2)]).await;
    let mut connection = RawConnection::open(&server).await;
    let mut next_id = 1;
    let mut batch = |count: u128| {
        let first = next_id;
        next_id += count;
        (first..next_id).map(|id| transfer(id, BANK, 2, 1)).collect::<Vec<_>>()
    };
    let mut done = 0;
    let mut missed = Vec::new();
    // Behind large batches, a millisecond passes sooner or later.
    for _ in 0..50 {
        let large = [batch(4_000), batch(4_000)];
        let small = batch(1);
        for (number, transfers) in large.iter().enumerate() {
            let large = RequestRef::CreateTransfers { orders: transfers, with_balances: false };
            connection.send(&request(number as u64, large)).await;
        }
        let head = RequestHead { deadline_ms: 1, trace_id: 1 };
        let hurried = RequestRef::CreateTransfers { orders: &small, with_balances: false };
        connection.send(&request_with(9, head, hurried)).await;
        for _ in 0..3 {
            let (request_id, reply) = connection.reply().await;
            let Reply::CreateTransfers(created) = reply else { panic!("{reply:?}") };
            if let (9, Status::DeadlineExceeded) = (request_id, created.outcomes[0].status) {
                missed.push(small[0].clone());
            } else {
                assert_all_created(&created.outcomes);
                done += created.outcomes.len() as i128;
            }
        }
        if !missed.is_empty() {
            break;
        }
    }
    assert!(!missed.is_empty(), "a millisecond passes sooner or later");
    assert_eq!(balance(&client, 2).await, done);
    let ids: Vec<TransferId> = missed.iter().map(|transfer| transfer.id).collect();
    assert!(client.lookup_transfers(&ids).await.unwrap().iter().all(Option::is_none));
    assert_all_created(&client.create_transfers(&missed).await.unwrap());
}

#[tokio::test]
async fn of_many_who_spend_the_same_money_at_once_exactly_as_many_succeed_as_there_is_money_for() {
    let server = Server::start(&[]);
    let client = server.client().await;
    open_books(&client, &[wallet(2), wallet(3)]).await;
    assert_all_created(&[pay(&client, &transfer(1, BANK, 2, 100)).await]);
    let mut senders = JoinSet::new();
    for sender in 1..=8 {
        let connection = server.connection().await;
        let batch: Vec<Transfer> = (0..50).map(|n| transfer(sender * 1_000 + n, 2, 3, 1)).collect();
        senders.spawn(async move { connection.create_transfers(&batch).await.unwrap() });
    }
    let outcomes: Vec<Outcome> = senders.join_all().await.into_iter().flatten().collect();
    let created = outcomes.iter().filter(|outcome| outcome.status == Status::Created).count();
    let refused = outcomes.iter().filter(|outcome| outcome.status == Status::InsufficientFunds).count();
    assert_eq!((created, refused), (100, 300));
    assert_eq!((balance(&client, 2).await, balance(&client, 3).await), (0, 100));
}

#[tokio::test]
async fn a_wallet_that_is_paid_into_and_out_of_at_once_never_holds_more_than_its_maximum() {
    let server = Server::start(&[]);
    let client = server.client().await;
    open_books(&client, &[NewWallet { balance_max: 20, ..wallet(2) }]).await;
    let mut senders = JoinSet::new();
    for sender in 1..=8 {
        let connection = server.connection().await;
        let mut chance = Chance(sender);
        let batches: Vec<Vec<Transfer>> = (0..10)
            .map(|batch| {
                let one = |n: u128| {
                    let id = u128::from(sender) * 10_000 + batch * 100 + n;
                    let amount = u128::from(chance.below(5)) + 1;
                    if sender % 2 == 0 {
                        transfer(id, BANK, 2, amount)
                    } else {
                        transfer(id, 2, BANK, amount)
                    }
                };
                (0..20).map(one).collect()
            })
            .collect();
        senders.spawn(async move {
            let mut all = Vec::new();
            for batch in batches {
                let mut open = batch;
                // Who was in the others' way may come again, and is not for ever.
                for _ in 0..1_000 {
                    let outcomes = connection.create_transfers(&open).await.unwrap();
                    let positions = connection.balances(&[WalletId(2)]).await.unwrap();
                    let balance = positions[0].unwrap().balance;
                    assert!((0..=20).contains(&balance), "{balance}");
                    let contended = |outcome: &Outcome| outcome.status == Status::Contended;
                    let again = open.iter().zip(&outcomes).filter(|(_, outcome)| contended(outcome));
                    let again: Vec<Transfer> = again.map(|(asked, _)| asked.clone()).collect();
                    all.extend(open.into_iter().zip(outcomes).filter(|(_, outcome)| !contended(outcome)));
                    open = again;
                    if open.is_empty() {
                        break;
                    }
                }
                assert!(open.is_empty(), "contended for ever: {open:?}");
            }
            all
        });
    }
    let mut expected = 0;
    for (asked, outcome) in senders.join_all().await.into_iter().flatten() {
        let amount = i128::try_from(asked.amount).unwrap();
        match outcome.status {
            Status::Created => {
                expected += if asked.debit_wallet == WalletId(BANK) { amount } else { -amount }
            }
            Status::InsufficientFunds => assert_eq!(asked.debit_wallet, WalletId(2)),
            Status::LimitExceeded => assert_eq!(asked.credit_wallet, WalletId(2)),
            other => panic!("{other}"),
        }
    }
    assert_eq!(balance(&client, 2).await, expected);
    assert_eq!(balance(&client, BANK).await, -expected);
}

#[tokio::test]
async fn one_asset_never_becomes_another() {
    let server = Server::start(&[]);
    let client = server.client().await;
    let euros = NewWallet { asset: EUR, ..system_wallet(2) };
    open_books(&client, &[euros, NewWallet { asset: EUR, ..wallet(3) }]).await;
    assert_all_created(&[pay(&client, &Transfer { asset: EUR, ..transfer(1, 2, 3, 10) }).await]);
    assert_eq!(pay(&client, &transfer(2, BANK, 3, 10)).await.status, Status::CreditWalletAssetMismatch);
    assert_eq!(
        pay(&client, &Transfer { asset: EUR, ..transfer(3, BANK, 3, 10) }).await.status,
        Status::DebitWalletAssetMismatch
    );
    let trial = client.trial_balance().await.unwrap();
    for line in &trial.assets {
        let moved = if line.asset.id == USD { 0 } else { 10 };
        assert_eq!((line.totals.debits_posted, line.totals.credits_posted), (moved, moved));
    }
}
