//! `docs/PROTOCOL.md` says what the code does: its examples, statuses, error codes and numbers.

use crate::golden::golden_path;
use crate::samples::samples;
use ledger::Status;
use protocol::{ErrorCode, FRAME_LIMIT_DEFAULT, Operation, batch_max};
use std::collections::BTreeMap;
use std::path::Path;

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/PROTOCOL.md");
    std::fs::read_to_string(path).expect("the document is there")
}

/// The rows of the table after this heading, their cells trimmed of spaces and backticks.
fn table(document: &str, heading: &str) -> Vec<Vec<String>> {
    let section = document.split_once(&format!("{heading}\n")).unwrap_or_else(|| panic!("no `{heading}`")).1;
    let rows =
        section.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
    let cells = |row: &str| {
        let cells = row.trim_matches('|').split('|');
        cells.map(|cell| cell.trim_matches([' ', '`']).to_owned()).collect::<Vec<_>>()
    };
    // The first two rows are the table's head and its rule.
    rows.skip(2).map(cells).collect()
}

#[test]
fn every_example_shows_the_golden_bytes() {
    let document = document();
    let mut examples = BTreeMap::new();
    for block in document.split("```frame ").skip(1) {
        let (name, rest) = block.split_once('\n').unwrap();
        let lines = rest.split("\n```").next().unwrap().lines();
        let hex = lines.flat_map(|line| line.split('|').next().unwrap().split_whitespace());
        let bytes: Vec<u8> = hex.map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
        examples.insert(name.trim().to_owned(), bytes);
    }
    for sample in samples() {
        let golden = std::fs::read(golden_path(sample.name)).unwrap();
        assert_eq!(examples.remove(sample.name).as_ref(), Some(&golden), "{}", sample.name);
    }
    assert!(examples.is_empty(), "examples of no message: {:?}", examples.keys());
}

#[test]
fn the_table_of_statuses_is_the_ledgers() {
    let documented: Vec<(String, String, String)> = table(&document(), "## Statuses")
        .into_iter()
        .map(|row| (row[0].clone(), row[1].clone(), row[2].clone()))
        .collect();
    let expected: Vec<(String, String, String)> = Status::ALL
        .iter()
        .map(|status| {
            let is_final = if status.is_final() { "yes" } else { "no" };
            (status.number().to_string(), status.name().to_owned(), is_final.to_owned())
        })
        .collect();
    assert_eq!(documented, expected);
}

#[test]
fn the_table_of_error_codes_is_the_codes() {
    let documented: Vec<[String; 5]> = table(&document(), "## Error codes")
        .into_iter()
        .map(|row| std::array::from_fn(|column| row[column].clone()))
        .collect();
    let yes = |is: bool| if is { "yes" } else { "no" }.to_owned();
    let expected: Vec<[String; 5]> = ErrorCode::ALL
        .iter()
        .map(|code| {
            [
                code.number().to_string(),
                code.name().to_owned(),
                yes(code.is_fatal()),
                yes(code.is_retryable()),
                yes(code.leaves_outcome_unknown()),
            ]
        })
        .collect();
    assert_eq!(documented, expected);
}

#[test]
fn the_table_of_messages_is_the_operations() {
    let documented: Vec<[String; 4]> = table(&document(), "## Messages")
        .into_iter()
        .map(|row| std::array::from_fn(|column| row[column].clone()))
        .collect();
    let mut expected: Vec<[String; 4]> = Operation::ALL
        .iter()
        .map(|operation| {
            let batched = Operation::BATCHED.contains(operation);
            let max =
                if batched { batch_max(*operation, FRAME_LIMIT_DEFAULT).to_string() } else { String::new() };
            let number = |message_type: u8| format!("{message_type} (0x{message_type:02x})");
            [
                operation.name().to_owned(),
                number(operation.request_type()),
                number(operation.reply_type()),
                max,
            ]
        })
        .collect();
    expected.push(["error".to_owned(), String::new(), "255 (0xff)".to_owned(), String::new()]);
    assert_eq!(documented, expected);
}
