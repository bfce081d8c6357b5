//! The documents say what the code does.

use bursar::telemetry::METRICS;
use ledger::Status;
use protocol::operation::Operation;
use std::fs;
use std::path::Path;

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The cells of the rows of the table under a heading, without its head.
fn table(document: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, rest) = document.split_once(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("{heading}"));
    let section = rest.split("\n## ").next().expect("a split has a first part");
    let rows = section.lines().filter(|line| line.starts_with('|')).skip(2);
    rows.map(|row| row.split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

#[test]
fn the_table_of_statuses_has_every_status_with_its_number_and_whether_it_is_final_and_no_other() {
    let rows = table(&document("docs/SEMANTICS.md"), "## Every status");
    let found: Vec<[&str; 3]> = rows.iter().map(|cells| [&*cells[1], &*cells[2], &*cells[3]]).collect();
    let expected: Vec<[String; 3]> = Status::ALL
        .iter()
        .map(|status| {
            let is_refusal = !status.is_success() && *status != Status::IdAlreadyRefused;
            let is_final = match (is_refusal, status.is_final()) {
                (false, _) => "–",
                (true, true) => "yes",
                (true, false) => "no",
            };
            [status.number().to_string(), format!("`{status}`"), is_final.to_owned()]
        })
        .collect();
    assert_eq!(found, expected);
    for cells in &rows {
        assert!(cells.len() == 7 && !cells[4].is_empty() && !cells[5].is_empty(), "{cells:?}");
    }
}

#[test]
fn the_table_of_operations_has_every_operation_and_no_other() {
    let semantics = document("docs/SEMANTICS.md");
    let mut found: Vec<String> =
        table(&semantics, "## Operations").into_iter().map(|mut cells| cells.swap_remove(1)).collect();
    let mut expected = Operation::ALL.map(|operation| format!("`{operation}`")).to_vec();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
}

#[test]
fn the_table_of_metrics_has_every_metric_with_its_type_and_help() {
    let operations = document("docs/OPERATIONS.md");
    for (name, kind, _, help) in METRICS {
        let row = format!("| `{name}` | {kind} | {help} |");
        assert!(operations.contains(&row), "docs/OPERATIONS.md lacks: {row}");
    }
}

#[test]
fn the_readme_names_the_two_commands_and_only_documents_that_exist() {
    let readme = document("README.md");
    for command in ["cargo run --release -- serve", "cargo test --workspace"] {
        assert!(readme.contains(&format!("```console\n{command}\n```")), "{command}");
    }
    for (_, rest) in readme.match_indices("](").map(|(index, _)| readme.split_at(index + 2)) {
        let link = rest.split(')').next().expect("a split has a first part");
        assert!(
            link.starts_with("http") || Path::new(env!("CARGO_MANIFEST_DIR")).join(link).exists(),
            "{link}"
        );
    }
}
