//! What is exported is what was decided: the three forms say the same, the rows of a wallet add up to its position, a range has what lies
//! in it, and a server, its stopped directory and a backup of it give the same bytes.

use crate::books::open_books;
use crate::reads::{Day, wallets};
use crate::server::{Ended, Server, bursar, run};
use crate::told_history::ToldHistory;
use ledger::{Position, WalletId};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;

fn export(to: &Path, arguments: &[&str]) -> Ended {
    run(bursar().arg("export").arg(to).args(arguments))
}

fn exported(to: &Path, arguments: &[&str]) -> Vec<u8> {
    let ended = export(to, arguments);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let bytes = fs::read(to).unwrap();
    fs::remove_file(to).unwrap();
    bytes
}

type Row = BTreeMap<String, String>;

/// The rows of a CSV file, by the names of their columns.
fn csv_rows(bytes: &[u8]) -> Vec<Row> {
    let mut reader = csv::Reader::from_reader(bytes);
    let names = reader.headers().unwrap().clone();
    let row = |record: csv::StringRecord| {
        names.iter().zip(record.iter()).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
    };
    reader.records().map(|record| row(record.unwrap())).collect()
}

/// The rows of a Parquet file, each value written as the CSV writes it.
fn parquet_rows(bytes: Vec<u8>) -> Vec<Row> {
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("file");
    fs::write(&path, bytes).unwrap();
    let reader = SerializedFileReader::new(File::open(path).unwrap()).unwrap();
    let time = |nanoseconds: u64| {
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_nanos(nanoseconds);
        humantime::format_rfc3339_nanos(time).to_string()
    };
    let text = |name: &str, field: &Field| match (name, field) {
        (_, Field::Null) => String::new(),
        ("timestamp" | "effective_at", Field::Long(at)) => time(at.cast_unsigned()),
        (_, Field::Bytes(bytes)) if name == "metadata" => String::from_utf8(bytes.data().to_vec()).unwrap(),
        ("id" | "about_id" | "group_id" | "wallet", Field::Bytes(bytes)) => {
            WalletId(u128::from_be_bytes(bytes.data().try_into().unwrap())).to_string()
        }
        (_, Field::Decimal(decimal)) => i128::from_be_bytes(decimal.data().try_into().unwrap()).to_string(),
        (_, Field::Str(text)) => text.clone(),
        (_, number) => number.to_string(),
    };
    let row = |row: parquet::record::Row| {
        row.get_column_iter().map(|(name, field)| (name.clone(), text(name, field))).collect()
    };
    reader.get_row_iter(None).unwrap().map(|found| row(found.unwrap())).collect()
}

/// What the rows of each wallet add up to.
fn positions(rows: &[Row]) -> BTreeMap<String, Position> {
    let mut positions: BTreeMap<String, Position> = BTreeMap::new();
    for row in rows.iter().filter(|row| !row["wallet"].is_empty()) {
        let position = positions.entry(row["wallet"].clone()).or_default();
        let change = |name: &str| row[name].parse::<i128>().unwrap();
        let add =
            |counter: &mut u128, name: &str| *counter = counter.checked_add_signed(change(name)).unwrap();
        add(&mut position.debits_posted, "debits_posted");
        add(&mut position.credits_posted, "credits_posted");
        add(&mut position.debits_pending, "debits_pending");
        add(&mut position.credits_pending, "credits_pending");
    }
    positions
}

#[tokio::test]
async fn every_form_says_what_was_decided_and_a_range_has_what_lies_in_it() {
    let place = tempfile::tempdir().unwrap();
    let to = |name: &str| place.path().join(name);
    let mut server = Server::start(&[]);
    let client = server.client().await;
    open_books(&client, &wallets()).await;
    Day::new(11).send(&client, 250, 600).await;
    let of_server = ["--addr", &server.address.clone()];
    let told = ToldHistory::read(&client).await;
    let durable_seq = told.entries.last().unwrap().0;

    let lines = exported(&to("a.jsonl"), &of_server);
    let events = run(bursar().args(["events", "--json"]).args(of_server));
    assert_eq!(String::from_utf8(lines).unwrap(), events.stdout);
    let table = exported(&to("a.csv"), &of_server);
    let rows = csv_rows(&table);
    let file = exported(&to("a.parquet"), &of_server);
    assert_eq!(parquet_rows(file.clone()), rows);
    let found = positions(&rows);
    for (wallet, position) in told.positions.last().unwrap() {
        assert_eq!(found.get(&wallet.to_string()).copied().unwrap_or_default(), *position, "{wallet}");
    }
    let numbers: Vec<u64> =
        rows.iter().filter(|row| row["part"] == "0").map(|row| row["seq"].parse().unwrap()).collect();
    assert_eq!(numbers, (1..=durable_seq).collect::<Vec<u64>>(), "every entry once, in order");
    let kinds: std::collections::BTreeSet<&str> = rows.iter().map(|row| row["kind"].as_str()).collect();
    assert!(kinds.len() >= 9, "not everything happened: {kinds:?}");
    for row in rows.iter().filter(|row| row["kind"] == "order_refused") {
        let details: Value = serde_json::from_str(&row["details"]).unwrap();
        assert_eq!(details["outcome"]["status"], row["status"], "{row:?}");
        assert!(row["wallet"].is_empty() && !row["id"].is_empty(), "{row:?}");
    }

    // Ranges from and before entries, and between them.
    let time = |seq: u64| told.entries[seq as usize - 1].1;
    for (from_ns, before_ns) in [
        (0, time(1)),
        (time(1), time(2)),
        (time(7), time(100)),
        (time(7) + 1, time(100) + 1),
        (time(durable_seq), u64::MAX - 1),
        (time(durable_seq) + 1, u64::MAX - 1),
        (time(100), time(7)),
        (0, u64::MAX - 1),
    ] {
        let (from, before) = (from_ns.to_string(), before_ns.to_string());
        let range = [&of_server[..], &["--from", &from, "--before", &before]].concat();
        let in_range = |row: &&Row| {
            let seq = row["seq"].parse::<u64>().unwrap();
            (from_ns..before_ns).contains(&time(seq))
        };
        let expected: Vec<Row> = rows.iter().filter(in_range).cloned().collect();
        assert_eq!(csv_rows(&exported(&to("b.csv"), &range)), expected, "{from_ns} to {before_ns}");
    }
    let middle = (durable_seq / 2).to_string();
    let rest = csv_rows(&exported(&to("b.csv"), &[&of_server[..], &["--from-seq", &middle]].concat()));
    assert_eq!(rest[0]["seq"], middle);
    assert_eq!(rest[..], rows[rows.len() - rest.len()..]);

    let backup = to("backup");
    assert_eq!(run(bursar().arg("backup").arg(&backup).args(of_server)).code, Some(0));
    server.stop();
    for source in [server.data(), &backup] {
        let source = ["--data", source.to_str().unwrap()];
        assert!(exported(&to("c.csv"), &source) == table, "{source:?}");
        assert!(exported(&to("c.parquet"), &source) == file, "{source:?}");
        let (from, before) = (time(7).to_string(), time(100).to_string());
        let range = [&source[..], &["--from", &from, "--before", &before, "--format", "csv"]].concat();
        let some = csv_rows(&exported(&to("some"), &range));
        assert_eq!((&*some[0]["seq"], &*some[some.len() - 1]["seq"]), ("7", "99"), "{source:?}");
    }
}

#[tokio::test]
async fn what_cannot_be_exported_says_why_and_leaves_nothing() {
    let place = tempfile::tempdir().unwrap();
    let path = |name: &str| place.path().join(name);
    let server = Server::start(&[]);
    let of_server = ["--addr", &server.address];
    fs::write(path("there.csv"), "mine").unwrap();
    let check = |ended: &Ended, code: i32, expected: &str| {
        assert_eq!(ended.code, Some(code), "{ended:?}");
        assert!(ended.stderr.contains(expected), "{expected}: {ended:?}");
    };
    check(&export(&path("there.csv"), &of_server), 1, "is there already");
    check(&export(&path("a.xlsx"), &of_server), 1, "say --format");
    check(&export(&path("a.csv"), &["--addr", "127.0.0.1:1"]), 1, "cannot reach a server");
    check(&export(&path("a.csv"), &["--from", "soon"]), 2, "is no time");
    check(&export(&path("a.csv"), &["--data", "x", "--addr", "127.0.0.1:1"]), 2, "cannot be used with");
    check(&export(&path("no/a.csv"), &of_server), 1, "No such file or directory");
    let empty = export(&path("a.csv"), &of_server);
    assert!(empty.code == Some(0) && empty.stdout.contains("entries"), "{empty:?}");
    assert!(csv_rows(&fs::read(path("a.csv")).unwrap()).is_empty());
    let mut names: Vec<_> =
        fs::read_dir(place.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["a.csv", "there.csv"]);
    assert_eq!(fs::read_to_string(path("there.csv")).unwrap(), "mine");
}
