//! What is imported is hidden, and stands still for all but its own import, until one entry shows all of it; and an import that is cut off
//! anywhere, or refused, goes on where it was when it is run again.

use crate::books::{
    BANK, USD, assert_all_created, asset, balance, exists, open_books, pay, system_wallet, transfer, wallet,
};
use crate::server::{Ended, Server, bursar, run};
use client::{
    Client, ClientError, FlagChange, Moment, PendingQuery, StatementQuery, WalletLimits, WalletsQuery,
};
use ledger::{
    AssetId, ImportId, Leg, Memo, NewWallet, OverdraftLimit, Pending, Side, Status, Transaction, Transfer,
    TransferId, WalletFlags, WalletId,
};
use serde_json::Value;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

const IMPORT: ImportId = ImportId(77);

fn imported(id: u128) -> NewWallet {
    NewWallet { import: IMPORT, ..wallet(id) }
}

/// A transfer of the import's group.
fn opening(id: u128, from: u128, to: u128, amount: u128) -> Transfer {
    Transfer { group_id: IMPORT.0, ..transfer(id, from, to, amount) }
}

async fn listed(client: &Client) -> Vec<u128> {
    let page = client.list_wallets(&WalletsQuery::default()).await.unwrap();
    page.wallets.iter().map(|wallet| wallet.terms.id.0).collect()
}

async fn position_at(client: &Client, id: u128, seq: u64) -> Option<i128> {
    let answer = client.balances_at(Moment::Seq(seq), &[WalletId(id)]).await.unwrap();
    answer.positions[0].map(|position| position.balance())
}

fn refused<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> Status {
    match answer {
        Err(ClientError::QueryRefused { status, .. }) => status,
        other => panic!("{other:?}"),
    }
}

/// Nobody is shown anything of wallet 5.
async fn assert_hidden(client: &Client) {
    assert_eq!(client.lookup_wallets(&[WalletId(5)]).await.unwrap(), [None]);
    assert_eq!(client.balances(&[WalletId(5)]).await.unwrap(), [None]);
    assert_eq!(listed(client).await, [BANK, 2]);
    let newest = client.trial_balance().await.unwrap().as_of_seq;
    assert_eq!(position_at(client, 5, newest).await, None);
    let statement = StatementQuery::of(WalletId(5));
    assert_eq!(refused(client.statement(&statement).await), Status::WalletNotFound);
    let pending = PendingQuery { wallet: WalletId(5), after: None, limit: 0 };
    assert_eq!(refused(client.list_pending(&pending).await), Status::WalletNotFound);
}

#[tokio::test]
async fn wallets_of_an_import_stand_still_and_are_shown_all_at_once() {
    let mut server = Server::start(&[]);
    let client = server.client().await;
    open_books(&client, &[wallet(2)]).await;
    assert_all_created(&client.create_wallets(&[imported(5), imported(6)]).await.unwrap());
    assert_hidden(&client).await;

    // Whatever has to do with them, on either side, waits for the import; nothing is recorded.
    let statuses = |outcomes: Vec<ledger::Outcome>| {
        let status = |outcome: &ledger::Outcome| {
            assert_eq!(outcome.seq, 0, "{outcome:?}");
            outcome.status
        };
        outcomes.iter().map(status).collect::<Vec<_>>()
    };
    let strangers = [transfer(100, BANK, 5, 10), transfer(101, 5, BANK, 10), transfer(102, 5, 6, 10)];
    let waits = vec![Status::WalletImporting; 3];
    assert_eq!(statuses(client.create_transfers(&strangers).await.unwrap()), waits);
    let hold = Pending { transfer: transfer(103, BANK, 6, 10), timeout_s: 0 };
    assert_eq!(statuses(client.create_pending(&[hold]).await.unwrap()), waits[..1]);
    let leg = |wallet, side| Leg { wallet: WalletId(wallet), side, asset: USD, amount: 10 };
    let legs =
        Box::new([leg(BANK, Side::Debit), leg(2, Side::Credit), leg(2, Side::Debit), leg(6, Side::Credit)]);
    let transaction = Transaction { id: TransferId(104), legs, memo: Memo::default() };
    assert_eq!(statuses(client.create_transactions(&[transaction]).await.unwrap()), waits[..1]);

    // What is of its group is done; settings are changed; what was there before goes on.
    let given = opening(200, BANK, 5, 500);
    let first = pay(&client, &given).await;
    assert_all_created(&[first]);
    let limits =
        WalletLimits { wallet: WalletId(6), overdraft_limit: OverdraftLimit::Limited(50), balance_max: 0 };
    assert_all_created(&[
        pay(&client, &opening(201, BANK, 6, 7)).await,
        pay(&client, &transfer(300, BANK, 2, 1)).await,
    ]);
    assert_eq!(client.set_limits(&[limits]).await.unwrap()[0].status, Status::Created);
    assert_hidden(&client).await;
    assert_eq!(balance(&client, BANK).await, -508);
    let trial = client.trial_balance().await.unwrap();
    assert!(trial.assets.iter().all(|asset| asset.totals.is_balanced()), "{trial:?}");
    assert_eq!(trial.assets[0].totals.wallets, 4, "it counts them all");

    // None of it is forgotten.
    server.kill();
    let mut server = server.restart();
    let client = server.client().await;
    assert_hidden(&client).await;
    assert_eq!(pay(&client, &given).await, exists(&first));
    let before = client.trial_balance().await.unwrap().as_of_seq;

    let closed = client.close_imports(&[IMPORT, ImportId(0)]).await.unwrap();
    assert_eq!(closed[1].status, Status::IdMustNotBeZero);
    assert_all_created(&closed[..1]);
    let closed = closed[0];
    for again in 0..2 {
        let client = server.client().await;
        assert_eq!(client.close_imports(&[IMPORT]).await.unwrap(), [exists(&closed)]);
        assert_eq!(listed(&client).await, [BANK, 2, 5, 6]);
        assert_eq!((balance(&client, 5).await, balance(&client, 6).await), (500, 7));
        let shown = client.lookup_wallets(&[WalletId(6)]).await.unwrap()[0].clone().unwrap();
        assert_eq!((shown.terms.import, shown.available), (IMPORT, Some(57)));
        // As of its entry, and not before.
        assert_eq!(position_at(&client, 5, before).await, None);
        assert_eq!(position_at(&client, 5, closed.seq - 1).await, None);
        assert_eq!(position_at(&client, 5, closed.seq).await, Some(500));
        let statement = StatementQuery::of(WalletId(5));
        assert_eq!(client.statement(&statement).await.unwrap().rows.len(), 1);
        assert_eq!(client.create_wallets(&[imported(8)]).await.unwrap()[0].status, Status::ImportIsClosed);
        assert_eq!(client.create_wallets(&[imported(5)]).await.unwrap()[0].status, Status::Exists);
        let other = client.create_wallets(&[wallet(5)]).await.unwrap();
        assert_eq!(other[0].status, Status::ExistsWithDifferentImport);
        if again == 0 {
            server.kill();
            server = server.restart();
        }
    }
    // The same ids as before.
    let client = server.client().await;
    assert_all_created(
        &client.create_transfers(&[strangers[0].clone(), strangers[2].clone()]).await.unwrap(),
    );
    assert_eq!((balance(&client, 5).await, balance(&client, 6).await), (500, 17));
    let flags = FlagChange { wallet: WalletId(5), set: WalletFlags::CLOSED, clear: WalletFlags::default() };
    assert_eq!(client.set_flags(&[flags]).await.unwrap()[0].status, Status::BalanceNotZero);
    server.stop();
    let verified = run(bursar().arg("verify").arg(server.data()));
    assert_eq!(verified.code, Some(0), "{verified:?}");
}

fn import(server: &Server, file: &Path, arguments: &[&str]) -> Ended {
    run(bursar().arg("import").arg(file).args(["--json", "--addr", &server.address]).args(arguments))
}

fn told(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

fn write(directory: &Path, text: &str) -> PathBuf {
    let file = directory.join("wallets.csv");
    fs::write(&file, text).unwrap();
    file
}

/// So many wallets, from 1,000 on, with what each starts with.
fn many(count: u128) -> (String, Vec<(u128, i128)>) {
    let mut text = "id,asset,balance,owner,overdraft_limit,flags\n".to_owned();
    let mut expected = Vec::new();
    for index in 0..count {
        let id = 1_000 + index;
        let balance = i128::try_from(index % 7).unwrap() * 100 - 200;
        let frozen = if index % 11 == 0 { "debit_frozen credit_frozen" } else { "" };
        writeln!(text, "{id},{},{balance},owner-{},500,{frozen}", USD.0, index % 50).unwrap();
        expected.push((id, balance));
    }
    (text, expected)
}

#[tokio::test]
async fn an_import_that_is_cut_off_shows_nothing_and_goes_on_when_it_is_run_again() {
    let mut server = Server::start(&[]);
    let client = server.client().await;
    assert_all_created(&client.create_assets(&[asset(USD, "USD")]).await.unwrap());
    assert_all_created(&client.create_wallets(&[system_wallet(BANK)]).await.unwrap());
    let directory = tempfile::tempdir().unwrap();
    let (text, expected) = many(12_000);
    let file = write(directory.path(), &text);
    let from_bank = ["--opening-wallet", "1"];
    for server_too in [false, true] {
        let mut command = bursar();
        command.arg("import").arg(&file).args(["--addr", &server.address]).args(from_bank);
        let mut importing = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let client = server.client().await;
        let before = client.trial_balance().await.unwrap().as_of_seq;
        // Some of it is there.
        while client.trial_balance().await.unwrap().as_of_seq == before {
            assert_eq!(importing.try_wait().unwrap(), None, "it has ended before it was cut off");
        }
        if server_too {
            server.kill();
            server = server.restart();
        }
        importing.kill().unwrap();
        importing.wait().unwrap();
        assert_eq!(listed(&server.client().await).await, [BANK]);
    }
    let client = server.client().await;
    let first = import(&server, &file, &from_bank);
    assert_eq!(first.code, Some(0), "{first:?}");
    let first = told(&first);
    assert_eq!((&first["state"], &first["wallets"]), (&Value::from("closed"), &Value::from(12_000)));
    let entries = client.trial_balance().await.unwrap();
    let mut sum = 0;
    for chunk in expected.chunks(1_000) {
        let ids: Vec<WalletId> = chunk.iter().map(|(id, _)| WalletId(*id)).collect();
        let views = client.lookup_wallets(&ids).await.unwrap();
        for ((id, balance), view) in chunk.iter().zip(views) {
            let view = view.unwrap_or_else(|| panic!("wallet {id} is missing"));
            let frozen = WalletFlags::DEBIT_FROZEN.with(WalletFlags::CREDIT_FROZEN);
            assert_eq!(view.position.balance(), *balance, "{view:?}");
            assert_eq!(view.terms.flags == frozen, (id - 1_000) % 11 == 0, "{view:?}");
            sum += balance;
        }
    }
    assert_eq!(balance(&client, BANK).await, -sum);
    // Once more changes nothing, whatever was done with the wallets since.
    let thaw = FlagChange {
        wallet: WalletId(1_000),
        set: WalletFlags::default(),
        clear: WalletFlags::DEBIT_FROZEN.with(WalletFlags::CREDIT_FROZEN),
    };
    client.set_flags(&[thaw]).await.unwrap();
    let again = import(&server, &file, &from_bank);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(told(&again)["outcome"]["status"], "exists");
    let now = client.trial_balance().await.unwrap();
    assert_eq!((now.as_of_seq, &now.assets), (entries.as_of_seq + 1, &entries.assets));
    server.stop();
}

#[tokio::test]
async fn a_wrong_file_is_refused_with_its_lines_before_anything_is_sent() {
    let server = Server::start(&[]);
    let client = server.client().await;
    open_books(&client, &[wallet(2)]).await;
    let before = client.trial_balance().await.unwrap().as_of_seq;
    let directory = tempfile::tempdir().unwrap();
    let check = |text: &str, arguments: &[&str], expected: &[&str]| {
        let ended = import(&server, &write(directory.path(), text), arguments);
        assert_eq!(ended.code, Some(1), "{text}: {ended:?}");
        for expected in expected {
            assert!(ended.stderr.contains(expected), "{expected}: {}", ended.stderr);
        }
    };
    check(
        "id,asset\n5,840\n6,USD\n5,840\n",
        &[],
        &["line 3: `USD` is no id", "line 4: the wallet", "is there twice"],
    );
    check("id,asset,balance\n5,840,10\n", &[], &["line 2 has a balance in asset 840", "--opening-wallet"]);
    check(
        "id,asset,balance\n5,840,10\n",
        &["--opening-wallet", "9"],
        &["there is no wallet", "that opening balances"],
    );
    let both = ["--opening-wallet", "1", "--opening-wallet", "2"];
    check("id,asset,balance\n5,840,10\n", &both, &["are to come from"]);
    let own = ["--opening-wallet", "5"];
    check("id,asset,balance\n5,840,10\n", &own, &["is where opening balances come from"]);
    let max = i128::MAX;
    check(
        &format!("id,asset,balance\n5,840,{max}\n6,840,1\n"),
        &[],
        &["line 3: the balances add up to more"],
    );
    let missing = import(&server, Path::new("/nowhere/wallets.csv"), &[]);
    assert!(missing.code == Some(1) && missing.stderr.contains("/nowhere/wallets.csv"), "{missing:?}");
    // A check needs no server.
    let file = write(directory.path(), "id,asset,balance,overdraft_limit\n5,840,10,\n6,840,-3,3\n");
    let checked = run(bursar().arg("import").arg(&file).args(["--check", "--json", "--addr", "127.0.0.1:1"]));
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let checked = told(&checked);
    assert_eq!(
        (&checked["state"], &checked["balances"][0]["sum"]),
        (&Value::from("checked"), &Value::from("7"))
    );
    assert_eq!(client.trial_balance().await.unwrap().as_of_seq, before);
}

#[tokio::test]
async fn what_is_refused_is_told_with_its_line_and_done_when_the_reason_is_gone() {
    let mut server = Server::start(&[]);
    let client = server.client().await;
    open_books(&client, &[wallet(2)]).await;
    let directory = tempfile::tempdir().unwrap();
    let file = write(directory.path(), "id,asset,balance\n5,840,10\n6,840,20\n7,555,0\n");
    let from_poor = ["--opening-wallet", "2"];
    let refused = import(&server, &file, &from_poor);
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert_eq!(told(&refused)["line"], 4);
    assert_eq!(told(&refused)["outcome"]["status"], "asset_not_found");
    assert_all_created(&client.create_assets(&[asset(AssetId(555), "XTS")]).await.unwrap());
    for _ in 0..3 {
        let refused = import(&server, &file, &from_poor);
        assert_eq!(refused.code, Some(3), "{refused:?}");
        assert_eq!(told(&refused)["line"], 2);
        assert_eq!(told(&refused)["outcome"]["status"], "insufficient_funds");
        assert_eq!(listed(&client).await, [BANK, 2]);
    }
    assert_all_created(&[pay(&client, &transfer(1, BANK, 2, 30)).await]);
    let done = import(&server, &file, &from_poor);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert_eq!(
        (balance(&client, 2).await, balance(&client, 5).await, balance(&client, 6).await),
        (0, 10, 20)
    );

    // What was refused for good before is done with other fields, too: another wallet, a corrected balance in another file.
    let file = write(directory.path(), "id,asset,balance\n15,840,10\n16,840,20\n");
    let refused = told(&import(&server, &file, &from_poor));
    assert_eq!(refused["outcome"]["status"], "insufficient_funds");
    let first = refused["import"].as_str().expect("an id");
    let corrected = write(directory.path(), "id,asset,balance\n15,840,11\n16,840,20\n");
    let other = told(&import(&server, &corrected, &["--opening-wallet", "1"]));
    assert_eq!(other["outcome"]["status"], "exists_with_different_import");
    let done = import(&server, &corrected, &["--opening-wallet", "1", "--id", first]);
    assert_eq!(done.code, Some(0), "{done:?}");
    assert!(done.stderr.contains(first), "{}", done.stderr);
    assert_eq!((balance(&client, 15).await, balance(&client, 16).await), (11, 20));
    // What was done is not done in another way.
    let again = write(directory.path(), "id,asset,balance\n15,840,12\n16,840,20\n");
    let again = told(&import(&server, &again, &["--opening-wallet", "1", "--id", first]));
    assert_eq!(again["outcome"]["status"], "exists_with_different_amount");
    let none = import(&server, &file, &["--id", "0"]);
    assert!(none.code == Some(2) && none.stderr.contains("is not 0"), "{none:?}");

    // Several files of one id; the wallet that balances come from is in one of them.
    let first = write(directory.path(), "id,asset,balance,flags\n50,840,10,\n51,840,-4,system\n");
    let flags = ["--id", "99", "--opening-wallet", "60", "--keep-open"];
    let nobody = import(&server, &first, &flags);
    assert!(nobody.code == Some(1) && nobody.stderr.contains("there is no wallet"), "{nobody:?}");
    let with_it =
        write(directory.path(), "id,asset,balance,flags\n50,840,10,\n51,840,-4,system\n60,840,,system\n");
    let open = import(&server, &with_it, &flags);
    assert_eq!((open.code, &told(&open)["state"]), (Some(0), &Value::from("open")), "{open:?}");
    assert_eq!(client.balances(&[WalletId(50), WalletId(60)]).await.unwrap(), [None, None]);
    let second = write(directory.path(), "id,asset\n70,840\n");
    let closed = import(&server, &second, &["--id", "99"]);
    assert_eq!((closed.code, &told(&closed)["state"]), (Some(0), &Value::from("closed")), "{closed:?}");
    let balances = client.balances(&[50, 51, 60, 70].map(WalletId)).await.unwrap();
    let balances: Vec<_> = balances.iter().map(|view| view.unwrap().balance).collect();
    assert_eq!(balances, [10, -4, -6, 0]);
    server.stop();
    let verified = run(bursar().arg("verify").arg(server.data()));
    assert_eq!(verified.code, Some(0), "{verified:?}");
}
