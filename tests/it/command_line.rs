//! What a person sees: tables, JSON, exit codes, and where settings come from.

use crate::server::{Ended, Server, bursar, run};
use serde_json::Value;
use std::fs;
use std::io::{BufRead, Write};
use std::process::Stdio;

fn ask(server: &Server, arguments: &[&str]) -> Ended {
    run(bursar().args(arguments).args(["--addr", &server.address]))
}

fn json(ended: &Ended) -> Value {
    serde_json::from_str(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

#[test]
fn every_command_prints_a_table_or_json_and_says_by_its_exit_code_whether_it_was_done() {
    let mut server = Server::start(&[]);
    let check = |arguments: &[&str], code: i32, shown: &[&str], pointer: &str, expected: &Value| {
        let table = ask(&server, arguments);
        assert_eq!(table.code, Some(code), "{arguments:?}: {table:?}");
        for text in shown {
            assert!(table.stdout.contains(text), "`{text}` is not in: {}", table.stdout);
        }
        let mut with_json = arguments.to_vec();
        with_json.push("--json");
        let answered = ask(&server, &with_json);
        assert_eq!(json(&answered).pointer(pointer), Some(expected), "{with_json:?}: {}", answered.stdout);
    };
    let text = |text: &str| Value::String(text.to_owned());
    check(&["ping"], 0, &["round trip", "ledger time"], "/durable_seq", &0.into());
    check(&["asset", "create", "1", "USD"], 0, &["created"], "/outcome/status", &text("exists"));
    check(&["asset", "create", "1", "EUR"], 3, &["exists_with_different_code"], "/code", &text("EUR"));
    check(&["asset", "create", "2", "dollars"], 3, &["asset_code_invalid"], "/outcome/seq", &0.into());
    check(
        &["wallet", "create", "1", "--asset", "1", "--system"],
        0,
        &["created"],
        "/outcome/status",
        &text("exists"),
    );
    check(
        &[
            "wallet",
            "create",
            "2",
            "--asset",
            "1",
            "--owner",
            "ada",
            "--balance-max",
            "900",
            "--metadata",
            "hi",
        ],
        0,
        &["created"],
        "/outcome/replayed",
        &true.into(),
    );
    check(
        &["wallet", "create", "3", "--asset", "9"],
        3,
        &["asset_not_found"],
        "/outcome/status",
        &text("asset_not_found"),
    );
    check(
        &["transfer", "1", "2", "500", "--asset", "1", "--id", "7"],
        0,
        &["created", "-500", "500"],
        "/wallets/1/balance",
        &text("500"),
    );
    check(
        &["transfer", "2", "1", "501", "--asset", "1", "--id", "8"],
        3,
        &["insufficient_funds", "501"],
        "/outcome/detail/first_status",
        &text("insufficient_funds"),
    );
    check(&["wallet", "show", "2"], 0, &["ada", "900", "hi", "500"], "/0/balance", &text("500"));
    // What has become of the same ids the second time, with `--json`, is `exists`.
    check(
        &["hold", "2", "1", "200", "--asset", "1", "--id", "20", "--expires-after", "7days"],
        0,
        &["created", "debits pending", "200", "300"],
        "/wallets/0/available",
        &text("300"),
    );
    check(
        &["transfer", "show", "20"],
        0,
        &["pending", "open", "expires"],
        "/0/progress/state",
        &text("open"),
    );
    check(
        &["post", "20", "201"],
        3,
        &["exceeds_pending_amount", "left"],
        "/outcome/detail/left",
        &text("200"),
    );
    check(&["post", "20", "150", "--id", "21"], 0, &["created", "350"], "/outcome/status", &text("exists"));
    check(
        &["void", "20"],
        3,
        &["pending_already_posted"],
        "/outcome/status",
        &text("pending_already_posted"),
    );
    check(&["reverse", "21", "50", "--id", "22"], 0, &["created", "400"], "/outcome/status", &text("exists"));
    check(
        &["transfer", "show", "20", "21", "22"],
        0,
        &["posted", "reversed", "reversal"],
        "/1/progress/reversed",
        &text("50"),
    );
    check(&["wallet", "create", "4", "--asset", "1"], 0, &["created"], "/outcome/status", &text("exists"));
    check(
        &[
            "transaction",
            "--asset",
            "1",
            "--debit",
            "2:100",
            "--credit",
            "4:95",
            "--credit",
            "1:5",
            "--id",
            "23",
        ],
        0,
        &["created", "300", "95"],
        "/outcome/status",
        &text("exists"),
    );
    check(&["transfer", "show", "23"], 0, &["credit", "95"], "/0/legs/1/amount", &text("95"));
    check(
        &["transaction", "--debit", "4:96:1", "--credit", "2:96:1"],
        3,
        &["leg_refused", "insufficient_funds"],
        "/outcome/detail/index",
        &0.into(),
    );
    check(&["transfer", "show", "99"], 3, &["not found"], "/0", &Value::Null);
    check(&["wallet", "freeze", "4", "--debits"], 0, &["created"], "/outcome/status", &text("exists"));
    check(&["wallet", "show", "4"], 0, &["debit_frozen"], "/0/flags/0", &text("debit_frozen"));
    check(&["wallet", "unfreeze", "4"], 0, &["created"], "/outcome/status", &text("exists"));
    check(&["wallet", "close", "4"], 3, &["balance_not_zero"], "/outcome/status", &text("balance_not_zero"));
    check(
        &["transfer", "4", "2", "95", "--asset", "1", "--id", "24"],
        0,
        &["395"],
        "/outcome/status",
        &text("exists"),
    );
    check(&["wallet", "close", "4"], 0, &["created"], "/outcome/status", &text("exists"));
    check(&["wallet", "reopen", "4"], 0, &["created"], "/outcome/status", &text("exists"));
    check(
        &["wallet", "set-limits", "4", "--overdraft-limit", "70", "--balance-max", "0"],
        0,
        &["created"],
        "/outcome/status",
        &text("exists"),
    );
    check(&["wallet", "set-metadata", "4", "gold"], 0, &["created"], "/outcome/status", &text("exists"));
    check(&["wallet", "show", "4"], 0, &["gold", "70"], "/0/available", &text("70"));
    check(&["wallet", "close", "77"], 3, &["wallet_not_found"], "/outcome/seq", &0.into());
    check(&["wallet", "show", "2", "77"], 3, &["ada", "not found"], "/1", &Value::Null);
    check(&["trial-balance"], 0, &["USD", "895", "yes"], "/assets/0/debits_posted", &text("895"));
    // What was.
    check(
        &["wallet", "statement", "4"],
        0,
        &["opening balance", "closing balance", "transaction", "2 entries as of entry"],
        "/rows/1/debits",
        &text("95"),
    );
    check(
        &["wallet", "statement", "2", "--newest-first", "--limit", "1"],
        0,
        &["395", "1 entries", "--all"],
        "/complete",
        &false.into(),
    );
    check(
        &["wallet", "statement", "2", "--kind", "post", "--from", "2026-01-01", "--all"],
        0,
        &["350"],
        "/rows/0/counterparty",
        &text("00000000-0000-0000-0000-000000000001"),
    );
    check(
        &["wallet", "statement", "2", "--to", "2001-01-01"],
        0,
        &["0 entries"],
        "/closing/balance",
        &text("0"),
    );
    check(&["wallet", "statement", "77"], 3, &["wallet_not_found"], "/status", &text("wallet_not_found"));
    check(
        &["wallet", "balance", "2", "4"],
        0,
        &["395", "as of entry"],
        "/wallets/0/position/balance",
        &text("395"),
    );
    check(&["wallet", "balance", "2", "--at-seq", "4"], 0, &["500"], "/as_of_seq", &4.into());
    check(
        &["wallet", "balance", "2", "4", "--at-seq", "4"],
        3,
        &["500", "not found"],
        "/wallets/1/position",
        &Value::Null,
    );
    check(
        &["wallet", "balance", "2", "--at", "2300-01-01T00:00:00Z"],
        3,
        &["moment_in_the_future"],
        "/status",
        &text("moment_in_the_future"),
    );
    check(&["wallet", "list"], 0, &["ada", "system", "3 wallets"], "/wallets/1/owner", &text("ada"));
    check(&["wallet", "list", "--flags", "system"], 0, &["1 wallets"], "/wallets/0/flags/0", &text("system"));
    check(&["wallet", "list", "--owner", "ada", "--limit", "1"], 0, &["395"], "/complete", &true.into());
    check(&["hold", "list", "2"], 0, &["0 open holds"], "/complete", &true.into());
    check(
        &["hold", "list", "77"],
        3,
        &["wallet_not_found"],
        "/wallet",
        &text("00000000-0000-0000-0000-00000000004d"),
    );
    check(
        &["hold", "2", "1", "9", "--asset", "1", "--id", "90"],
        0,
        &["created"],
        "/outcome/status",
        &text("exists"),
    );
    check(&["hold", "list", "2"], 0, &["debit", "never", "1 open holds"], "/holds/0/amount", &text("9"));
    check_events(&server);

    server.stop();
    let verified = run(bursar().arg("verify").arg(server.data()));
    assert_eq!(verified.code, Some(0), "{verified:?}");
    assert!(verified.stdout.contains("no fault"), "{}", verified.stdout);
    let verified = run(bursar().arg("verify").arg(server.data()).arg("--json"));
    assert_eq!(json(&verified).pointer("/transfers"), Some(&7.into()));
    assert_eq!(json(&verified).pointer("/clean_stop"), Some(&true.into()));

    let unreachable = ask(&server, &["ping"]);
    assert_eq!(unreachable.code, Some(1));
    assert!(unreachable.stderr.contains("is `bursar serve` running there?"), "{}", unreachable.stderr);
}

/// Of a ledger that asset 1 was created in first.
fn check_events(server: &Server) {
    let all = ask(server, &["events"]);
    assert_eq!(all.code, Some(0), "{all:?}");
    assert!(all.stdout.starts_with("1 2"), "{}", all.stdout);
    assert!(all.stdout.contains("asset_created 1 USD (scale 2)"), "{}", all.stdout);
    for text in [
        "wallet_created",
        "order_refused",
        "insufficient_funds",
        "held -200",
        "captured +150 of 200",
        "set closed",
    ] {
        assert!(all.stdout.contains(text), "`{text}` is not in: {}", all.stdout);
    }
    let with_json = ask(server, &["events", "--json", "--kind", "transaction", "--kind", "post"]);
    let events: Vec<Value> =
        with_json.stdout.lines().map(|line| serde_json::from_str(line).expect("one object a line")).collect();
    let kinds: Vec<&Value> = events.iter().map(|event| &event["kind"]).collect();
    assert_eq!(kinds, ["post", "transaction"]);
    assert_eq!(events[1]["order"]["legs"][1]["amount"], "95");
    assert_eq!(events[1]["movements"][0]["debits"], "100");
    assert_eq!(events[0]["movements"][1]["released"], "50");
    let of_wallet = ask(server, &["events", "--wallet", "4", "--code", "0", "--from-seq", "5"]);
    assert_eq!(of_wallet.stdout.lines().count(), 4, "{}", of_wallet.stdout);
    let future = ask(server, &["events", "--from-seq", "100000"]);
    assert!(future.code == Some(3) && future.stdout.contains("moment_in_the_future"), "{future:?}");

    // Followed, it shows what is done from now on, until it is interrupted.
    let mut following = bursar()
        .args(["events", "--follow", "--addr", &server.address])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    let mut lines = std::io::BufReader::new(following.stdout.take().expect("it is piped")).lines();
    let mut shown = None;
    for id in 1_000..1_100 {
        let paid = ask(server, &["transfer", "1", "2", "0", "--asset", "1"]);
        assert_eq!(paid.code, Some(3), "{paid:?}");
        let change = ask(server, &["wallet", "set-metadata", "4", &format!("m{id}")]);
        assert_eq!(change.code, Some(0), "{change:?}");
        if id == 1_004 {
            shown = lines.next();
            break;
        }
    }
    following.kill().expect("it runs until it is interrupted");
    following.wait().expect("it is ours");
    let shown = shown.expect("it has shown something").expect("text");
    assert!(shown.contains("wallet_changed") && shown.contains("metadata m10"), "{shown}");
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let commands = [
        "serve",
        "wallet",
        "transfer",
        "hold",
        "post",
        "void",
        "reverse",
        "transaction",
        "events",
        "verify",
        "import",
    ];
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = run(bursar().args(["completions", shell]));
        assert_eq!(script.code, Some(0), "{script:?}");
        for command in commands {
            assert!(script.stdout.contains(command), "{command} is not completed in {shell}");
        }
    }
    let page = run(bursar().arg("man"));
    assert!(page.code == Some(0) && page.stdout.contains(".TH bursar"), "{page:?}");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let pages = directory.path().join("man1");
    let written = run(bursar().arg("man").arg(&pages));
    assert_eq!(written.code, Some(0), "{written:?}");
    let nested = [
        "wallet-set-limits",
        "wallet-statement",
        "wallet-balance",
        "wallet-list",
        "hold-list",
        "transfer-show",
    ];
    for command in commands.into_iter().chain(nested) {
        assert!(pages.join(format!("bursar-{command}.1")).is_file(), "{command} has no page");
    }
    let nowhere = run(bursar().args(["man", "/proc/nowhere"]));
    assert!(nowhere.code == Some(1) && nowhere.stderr.contains("/proc/nowhere"), "{nowhere:?}");
}

#[test]
fn a_wrong_command_line_is_told_what_is_wrong() {
    let check = |arguments: &[&str], mentions: &str| {
        let ended = run(bursar().args(arguments));
        assert_eq!(ended.code, Some(2), "{arguments:?}: {ended:?}");
        assert!(ended.stderr.contains(mentions), "`{mentions}` is not in: {}", ended.stderr);
    };
    check(&[], "Usage");
    check(&["sreve"], "serve");
    check(&["transfer", "1", "2"], "<AMOUNT>");
    check(&["transfer", "one", "2", "3", "--asset", "1"], "neither a UUID nor an integer");
    check(&["transfer", "1", "2", "-3", "--asset", "1"], "-3");
    check(&["serve", "--listen", "nowhere"], "nowhere");
    check(&["ping", "--timeout", "soon"], "soon");
    check(&["transaction", "--debit", "2", "--credit", "3:1"], "WALLET:AMOUNT");
    check(&["hold", "1", "2", "3", "--asset", "1", "--expires-after", "1500ms"], "whole seconds");
    check(&["transfer", "show"], "<IDS>");
    check(&["hold", "list"], "<WALLET>");
    check(&["hold", "1", "2"], "<AMOUNT>");
    check(&["wallet", "statement", "1", "--kind", "gift"], "transaction");
    check(&["wallet", "statement", "1", "--limit", "0"], "--limit");
    check(&["wallet", "statement", "1", "--limit", "5", "--all"], "--all");
    check(&["wallet", "balance", "1", "--at", "yesterday"], "is no time");
    check(&["wallet", "balance", "1", "--at", "2026-01-01", "--at-seq", "5"], "--at-seq");
    check(&["wallet", "list", "--flags", "system,golden"], "debit_frozen");
    check(&["events", "--kind", "everything"], "wallet_created");
    check(&["completions", "cmd"], "powershell");
}

#[test]
fn a_setting_comes_from_flag_environment_file_or_default_in_this_order() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("bursar.toml");
    fs::write(&file, "shards = 3\nidle_timeout = \"7s\"\noperations_max = 70000\n").expect("a file");
    let ended = run(bursar()
        .args(["config", "--shards", "5", "--config"])
        .arg(&file)
        .env("BURSAR_SHARDS", "4")
        .env("BURSAR_IDLE_TIMEOUT", "8s"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let check = |key: &str, value: &str, origin: &str| {
        let line = ended.stdout.lines().find(|line| line.split_whitespace().any(|word| word == key));
        let line = line.unwrap_or_else(|| panic!("{key} is not in: {}", ended.stdout));
        assert!(line.contains(value) && line.contains(origin), "{key} = {value} from {origin}: {line}");
    };
    check("shards", "5", "flag");
    check("idle_timeout", "8s", "environment");
    check("operations_max", "70000", "bursar.toml");
    check("frame_bytes_max", "4194304", "default");
    let by_environment = run(bursar().arg("config").env("BURSAR_CONFIG", &file));
    assert!(by_environment.stdout.contains("70000"), "{by_environment:?}");
}

#[test]
fn the_clients_address_in_the_environment_is_no_setting_of_the_server() {
    // `bursar ping` reads it, and whoever has exported it may start a server in the same shell.
    let ended = run(bursar().arg("config").env("BURSAR_ADDR", "127.0.0.1:1"));
    assert_eq!(ended.code, Some(0), "{ended:?}");
}

#[test]
fn a_wrong_setting_is_refused_with_its_key_and_its_source() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let check = |content: &str, mentions: &[&str]| {
        let file = directory.path().join("bursar.toml");
        fs::write(&file, content).expect("a file");
        let ended = run(bursar().args(["serve", "--config"]).arg(&file));
        assert_eq!(ended.code, Some(1), "{ended:?}");
        assert_eq!(ended.stderr.trim_end().lines().count(), 1, "one line: {}", ended.stderr);
        for mention in mentions {
            assert!(ended.stderr.contains(mention), "`{mention}` is not in: {}", ended.stderr);
        }
    };
    check("shrads = 3", &["shrads"]);
    check("shards = \"many\"", &["shards", "bursar.toml"]);
    check("idle_timeout = 7", &["idle_timeout", "no unit"]);
    check("idle_timeout = \"soon\"", &["idle_timeout"]);
    check("frame_bytes_max = 12", &["frame_bytes_max = 12", "bursar.toml", "8192"]);
    check("operations_max = 10", &["connection_operations_max", "operations_max"]);
    check("shards = [", &["bursar.toml"]);
    // What nobody can see is told as one would write it.
    check("\"a\\n\\u001b[2J\" = 1", &["unknown", "a\\n\\u{1b}[2J: ", "bursar.toml"]);
    let missing = run(bursar().args(["serve", "--config", "/nowhere/bursar.toml"]));
    assert!(missing.code == Some(1) && missing.stderr.contains("/nowhere/bursar.toml"), "{missing:?}");
    let wrong = run(bursar().args(["config"]).env("BURSAR_SHARDS", "some"));
    assert!(wrong.code == Some(1) && wrong.stderr.contains("shards"), "{wrong:?}");
}

#[test]
fn help_names_every_setting() {
    let help = run(bursar().args(["serve", "--help"])).stdout;
    let settings = run(bursar().arg("config")).stdout;
    let mut count = 0;
    for line in settings.lines() {
        let Some(key) =
            line.split_whitespace().nth(1).filter(|word| word.contains(|c: char| c.is_ascii_lowercase()))
        else {
            continue;
        };
        if key == "setting" {
            continue;
        }
        count += 1;
        assert!(help.contains(&format!("--{}", key.replace('_', "-"))), "--{key} is not in: {help}");
    }
    assert!(count >= 18, "{settings}");
}

#[test]
fn an_address_that_is_taken_is_an_error_that_says_which_flag_changes_it() {
    let server = Server::start(&[]);
    let directory = tempfile::tempdir().expect("a temporary directory");
    let data = directory.path().join("data");
    let ended = run(bursar()
        .args(["serve", "--listen", &server.address, "--http", "127.0.0.1:0", "--data"])
        .arg(&data));
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains(&server.address) && ended.stderr.contains("--listen"), "{}", ended.stderr);
    assert!(!data.exists(), "nothing is made before it is known that the server can be reached");
}

#[test]
fn an_error_names_each_of_its_causes_once() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = taken.local_addr().expect("it is bound").to_string();
    drop(taken);
    let refused = run(bursar().args(["ping", "--addr", &address]));
    assert_eq!(refused.code, Some(1), "{refused:?}");
    for once in ["cannot reach a server", "could not connect", "Connection refused"] {
        assert_eq!(refused.stderr.matches(once).count(), 1, "{once}: {}", refused.stderr);
    }
}

#[test]
fn output_that_nobody_reads_is_no_failure() {
    let mut child =
        bursar().arg("config").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(!String::from_utf8_lossy(&output.stderr).contains("panicked"), "{output:?}");
    std::io::stdout().flush().expect("ours is open");
}
