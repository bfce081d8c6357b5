//! What a person sees: tables, JSON, exit codes, and where settings come from.

use crate::server::{Ended, Server, bursar, run};
use serde_json::Value;
use std::fs;
use std::io::Write;
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
    check(&["wallet", "show", "2", "77"], 3, &["ada", "not found"], "/1", &Value::Null);
    check(&["trial-balance"], 0, &["USD", "500", "yes"], "/assets/0/debits_posted", &text("500"));

    server.stop();
    let verified = run(bursar().arg("verify").arg(server.data()));
    assert_eq!(verified.code, Some(0), "{verified:?}");
    assert!(verified.stdout.contains("no fault"), "{}", verified.stdout);
    let verified = run(bursar().arg("verify").arg(server.data()).arg("--json"));
    assert_eq!(json(&verified).pointer("/transfers"), Some(&1.into()));
    assert_eq!(json(&verified).pointer("/clean_stop"), Some(&true.into()));

    let unreachable = ask(&server, &["ping"]);
    assert_eq!(unreachable.code, Some(1));
    assert!(unreachable.stderr.contains("is `bursar serve` running there?"), "{}", unreachable.stderr);
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
