//! The documents say what the code does.

use bursar::telemetry::METRICS;
use ledger::Status;
use std::fs;
use std::path::Path;

fn document(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn the_table_of_statuses_has_every_status_with_its_number_and_whether_it_is_final() {
    let semantics = document("docs/SEMANTICS.md");
    for &status in Status::ALL {
        let row = semantics.lines().find(|line| line.contains(&format!("| `{}` |", status.name())));
        let row = row.unwrap_or_else(|| panic!("{status} is not in docs/SEMANTICS.md"));
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        assert_eq!(cells[1], status.number().to_string(), "{row}");
        assert_eq!(cells[3] == "yes", status.is_final(), "{row}");
        assert!(!cells[4].is_empty() && !cells[5].is_empty(), "{row}");
    }
    let rows = semantics.lines().filter(|line| line.starts_with("| ") && line.contains("| `")).count();
    assert_eq!(rows, Status::ALL.len(), "a row too many");
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
