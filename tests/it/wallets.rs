//! What the creation and the lookup of assets and wallets are answered.

use crate::books::{EUR, USD, assert_all_created, asset, exists, open_books, pay, transfer, wallet};
use crate::server::Server;
use client::{Client, NewAsset};
use ledger::{AMOUNT_MAX, AssetId, NewWallet, OverdraftLimit, Owner, Status, WalletFlags, WalletId};

async fn create(client: &Client, wallet: &NewWallet) -> ledger::Outcome {
    client.create_wallets(std::slice::from_ref(wallet)).await.unwrap()[0]
}

async fn create_asset(client: &Client, asset: &NewAsset) -> ledger::Outcome {
    client.create_assets(std::slice::from_ref(asset)).await.unwrap()[0]
}

#[tokio::test]
async fn an_asset_is_created_once_and_its_shape_is_checked_in_order() {
    let server = Server::start(&[]);
    let client = server.client().await;
    let named = |id, code: &str, scale| NewAsset { id: AssetId(id), code: code.to_owned(), scale };
    let cases = [
        (named(0, "", 39), Status::IdMustNotBeZero),
        (named(1, "", 39), Status::AssetScaleTooLarge),
        (named(1, "", 38), Status::AssetCodeInvalid),
        (named(1, "usd", 2), Status::AssetCodeInvalid),
        (named(1, "US D", 2), Status::AssetCodeInvalid),
        (named(1, "€", 2), Status::AssetCodeInvalid),
        (named(1, "SEVENTEENLETTERS!", 2), Status::AssetCodeInvalid),
        (named(1, "SEVENTEENLETTERSX", 2), Status::AssetCodeInvalid),
        (named(1, "SIXTEENLETTERS.-", 38), Status::Created),
        (named(2, "A", 0), Status::Created),
        (named(u32::MAX, "X_9", 2), Status::Created),
        (named(2, "B", 1), Status::ExistsWithDifferentCode),
        (named(2, "A", 1), Status::ExistsWithDifferentScale),
    ];
    for (asked, status) in cases {
        let outcome = create_asset(&client, &asked).await;
        assert_eq!(outcome.status, status, "{asked:?}");
        if status == Status::Created {
            assert_all_created(&[outcome]);
            assert_eq!(create_asset(&client, &asked).await, exists(&outcome));
        }
    }
    let trial = client.trial_balance().await.unwrap();
    let ids: Vec<u32> = trial.assets.iter().map(|line| line.asset.id.0).collect();
    assert_eq!(ids, [1, 2, u32::MAX], "every asset, in the order of their ids");
}

#[tokio::test]
async fn the_shape_of_a_wallet_is_checked_in_order_and_its_id_is_not_used_up() {
    let server = Server::start(&[]);
    let client = server.client().await;
    open_books(&client, &[]).await;
    let long_owner = Owner::Bytes(vec![1; 65].into());
    let all_wrong = NewWallet {
        flags: WalletFlags::CLOSED,
        balance_max: AMOUNT_MAX + 1,
        owner: long_owner.clone(),
        metadata: vec![0; 1025].into(),
        asset: AssetId(1),
        ..wallet(0)
    };
    let cases = [
        (all_wrong.clone(), Status::IdMustNotBeZero),
        (NewWallet { id: WalletId(5), ..all_wrong.clone() }, Status::ReservedFlag),
        (NewWallet { flags: WalletFlags::from_bits(1 << 4), ..wallet(5) }, Status::ReservedFlag),
        (NewWallet { flags: WalletFlags::from_bits(u16::MAX), ..wallet(5) }, Status::ReservedFlag),
        (
            NewWallet { id: WalletId(5), flags: WalletFlags::SYSTEM, ..all_wrong.clone() },
            Status::LimitTooLarge,
        ),
        (
            NewWallet { overdraft_limit: OverdraftLimit::Limited(AMOUNT_MAX + 1), ..wallet(5) },
            Status::LimitTooLarge,
        ),
        (NewWallet { owner: long_owner, metadata: vec![0; 1025].into(), ..wallet(5) }, Status::OwnerTooLarge),
        (
            NewWallet { metadata: vec![0; 1025].into(), asset: AssetId(1), ..wallet(5) },
            Status::MetadataTooLarge,
        ),
        (NewWallet { asset: AssetId(1), ..wallet(5) }, Status::AssetNotFound),
        (NewWallet { asset: AssetId(0), ..wallet(5) }, Status::AssetNotFound),
        (wallet(5), Status::Created),
    ];
    for (asked, status) in cases {
        let outcome = create(&client, &asked).await;
        assert_eq!(outcome.status, status, "{asked:?}");
        if status != Status::Created {
            assert_eq!((outcome.seq, outcome.timestamp_ns, outcome.replayed), (0, 0, false));
            assert_eq!(client.lookup_wallets(&[asked.id]).await.unwrap(), [None]);
        }
    }
}

#[tokio::test]
async fn the_same_wallet_exists_and_another_one_is_told_the_first_field_that_differs() {
    type Change = fn(&mut NewWallet);

    let server = Server::start(&[]);
    let client = server.client().await;
    let base = NewWallet {
        owner: Owner::Bytes(vec![7; 64].into()),
        code: 9,
        overdraft_limit: OverdraftLimit::Limited(AMOUNT_MAX),
        balance_max: AMOUNT_MAX,
        metadata: vec![3; 1024].into(),
        ..wallet(2)
    };
    open_books(&client, &[]).await;
    let first = create(&client, &base).await;
    assert_all_created(&[first]);
    assert_eq!(create(&client, &base).await, exists(&first));
    let changes: [(Status, Change); 7] = [
        (Status::ExistsWithDifferentOwner, |again| again.owner = Owner::Number(7)),
        (Status::ExistsWithDifferentAsset, |again| again.asset = EUR),
        (Status::ExistsWithDifferentCode, |again| again.code = 0),
        (Status::ExistsWithDifferentFlags, |again| again.flags = WalletFlags::SYSTEM),
        (Status::ExistsWithDifferentOverdraftLimit, |again| {
            again.overdraft_limit = OverdraftLimit::Unlimited;
        }),
        (Status::ExistsWithDifferentBalanceMax, |again| again.balance_max = 0),
        (Status::ExistsWithDifferentMetadata, |again| again.metadata = Box::default()),
    ];
    for (index, (expected, change)) in changes.iter().enumerate() {
        let mut one_field = base.clone();
        change(&mut one_field);
        let outcome = create(&client, &one_field).await;
        assert_eq!((outcome.status, outcome.replayed), (*expected, false));
        let mut this_and_all_after = base.clone();
        changes[index..].iter().for_each(|(_, change)| change(&mut this_and_all_after));
        assert_eq!(create(&client, &this_and_all_after).await.status, *expected);
    }
    let twice =
        client.create_wallets(&[wallet(3), wallet(3), NewWallet { code: 1, ..wallet(3) }]).await.unwrap();
    assert_eq!(twice[0].status, Status::Created);
    assert_eq!(twice[1], exists(&twice[0]));
    assert_eq!(twice[2].status, Status::ExistsWithDifferentCode);
}

#[tokio::test]
async fn a_wallet_is_shown_as_it_was_created_and_where_it_stands() {
    let server = Server::start(&[]);
    let client = server.client().await;
    let terms = NewWallet {
        owner: Owner::Bytes(b"somebody".as_slice().into()),
        code: 4,
        flags: WalletFlags::CREDIT_FROZEN,
        overdraft_limit: OverdraftLimit::Limited(50),
        balance_max: 1_000,
        metadata: b"mine".as_slice().into(),
        ..wallet(2)
    };
    open_books(&client, &[]).await;
    let created = create(&client, &terms).await;
    assert_all_created(&client.create_wallets(&[wallet(3)]).await.unwrap());
    let paid = pay(&client, &transfer(1, 2, 3, 30)).await;
    assert_eq!(paid.status, Status::Created);
    let views = client
        .lookup_wallets(&[WalletId(2), WalletId(77), WalletId(3), WalletId(2), WalletId(0)])
        .await
        .unwrap();
    assert_eq!((&views[1], &views[4]), (&None, &None));
    assert!(
        views[0] == views[3] || views[0].as_ref().unwrap().as_of_seq <= views[3].as_ref().unwrap().as_of_seq
    );
    let view = views[0].as_ref().unwrap();
    assert_eq!(view.terms, terms);
    assert_eq!((view.position.debits_posted, view.position.credits_posted), (30, 0));
    assert_eq!((view.version, view.last_seq), (2, paid.seq));
    assert_eq!((view.created_seq, view.created_at_ns), (created.seq, created.timestamp_ns));
    assert_eq!(view.available, Some(20));
    assert!(view.as_of_seq >= paid.seq);
    let balances = client.balances(&[WalletId(77), WalletId(2)]).await.unwrap();
    assert_eq!(balances[0], None);
    let balance = balances[1].unwrap();
    assert_eq!((balance.balance, balance.available, balance.position), (-30, Some(20), view.position));
}

#[tokio::test]
async fn a_balance_at_the_far_ends_is_exact() {
    let server = Server::start(&[]);
    let client = server.client().await;
    let broad = NewWallet { overdraft_limit: OverdraftLimit::Limited(AMOUNT_MAX), ..wallet(2) };
    open_books(&client, &[broad, wallet(3)]).await;
    assert_all_created(&[pay(&client, &transfer(1, 2, 3, AMOUNT_MAX)).await]);
    let views = client.balances(&[WalletId(2), WalletId(3)]).await.unwrap();
    assert_eq!((views[0].unwrap().balance, views[0].unwrap().available), (-i128::MAX, Some(0)));
    assert_eq!((views[1].unwrap().balance, views[1].unwrap().available), (i128::MAX, Some(i128::MAX)));
    assert_all_created(&[pay(&client, &transfer(2, 3, 2, AMOUNT_MAX)).await]);
    let views = client.balances(&[WalletId(2), WalletId(3)]).await.unwrap();
    assert_eq!((views[0].unwrap().balance, views[1].unwrap().balance), (0, 0));
    assert_eq!(pay(&client, &transfer(3, 3, 2, 1)).await.status, Status::DebitWalletOverflow);
}

#[tokio::test]
async fn as_many_wallets_are_created_in_one_call_as_one_likes() {
    let server = Server::start(&[]);
    let client = server.client().await;
    open_books(&client, &[]).await;
    let wallets: Vec<NewWallet> = (10..10_010).map(wallet).collect();
    assert_all_created(&client.create_wallets(&wallets).await.unwrap());
    let ids: Vec<WalletId> = wallets.iter().map(|wallet| wallet.id).collect();
    let views = client.lookup_wallets(&ids).await.unwrap();
    assert!(views.iter().zip(&wallets).all(|(view, terms)| view.as_ref().unwrap().terms == *terms));
    let trial = client.trial_balance().await.unwrap();
    assert_eq!(trial.assets.iter().find(|line| line.asset.id == USD).unwrap().totals.wallets, 10_001);
    // Assets cannot be created under another name by way of a wallet's.
    assert_eq!(create_asset(&client, &asset(EUR, "EURO")).await.status, Status::ExistsWithDifferentCode);
}
