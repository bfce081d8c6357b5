//! The report as a table on the terminal.

use crate::figures::{grouped, microseconds, rounded};
use crate::measurements::Percentiles;
use crate::progress::milestone_line;
use crate::report::Report;
use crate::verification::Verification;
use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use std::fmt::Display;
use std::fmt::Write as _;

/// The figures of a run, a row each.
pub(crate) fn render(report: &Report) -> String {
    let mut table = table(&["", "figure"]);
    let mut row = |name: &str, figure: String| {
        table.add_row([name, &figure]);
    };
    row("workload", report.parameters.workload.to_owned());
    row("transfers acknowledged", grouped(report.transfers_acknowledged));
    row("transfers per second", rounded(report.transfers_per_second));
    row("requests per second", rounded(report.requests_per_second));
    row("elapsed", format!("{:.2} s ({})", report.elapsed_s, report.ended));
    if let Some(seconds) = report.harness_processor_s {
        row("processor time of the harness", format!("{seconds:.2} s"));
    }
    if report.reads > 0 {
        row(
            "reads, of these statements",
            format!("{}, {}", grouped(report.reads), grouped(report.statements)),
        );
    }
    if report.repetitions > 0 {
        row("answers to what was sent before", grouped(report.repetitions));
    }
    row("errors", by_name(report.errors.iter()));
    if report.transfers_unknown > 0 {
        row("transfers of unknown outcome", grouped(report.transfers_unknown));
    }
    if let Some(open_loop) = &report.open_loop {
        let (due, not_begun) = (grouped(open_loop.requests_due), grouped(open_loop.requests_not_begun));
        row("requests due", format!("{due}, of which never begun {not_begun}"));
    }
    let mut outcomes = crate::report_table::table(&["kind", "answers", "status"]);
    for (kind, counts) in &report.outcomes {
        for (status, &count) in counts {
            outcomes.add_row([*kind, &grouped(count), *status]);
        }
    }
    if let Some(statuses) = outcomes.column_mut(2) {
        statuses.set_cell_alignment(CellAlignment::Left);
    }
    let mut latency = crate::report_table::table(&["", "p50", "p90", "p99", "p99.9", "max"]);
    let mut row = |name: &str, percentiles: &Percentiles| {
        let Percentiles { p50, p90, p99, p999, max } = *percentiles;
        let mut cells = vec![name.to_owned()];
        cells.extend([p50, p90, p99, p999, max].map(microseconds));
        latency.add_row(cells);
    };
    row("latency of transfers", &report.latency_us);
    if let Some(reads) = &report.read_latency_us {
        row("latency of reads", reads);
    }
    if let Some(open_loop) = &report.open_loop {
        row("sent later than due by", &open_loop.sent_behind_us);
    }
    let mut text = format!("{table}\n{outcomes}\n{latency}\n");
    for million in &report.millions {
        text.push_str(&milestone_line(million));
        text.push('\n');
    }
    text + &verdict(report.verification.as_ref())
}

/// What the verification found, in words.
pub(crate) fn verdict(verification: Option<&Verification>) -> String {
    let Some(found) = verification else { return "not verified".to_owned() };
    let mut text = format!(
        "{}: {} wallets, {} {}, {} of {} acknowledged transfers and {} refused ones looked up",
        if found.passed() { "verified" } else { "NOT AS ACKNOWLEDGED" },
        grouped(found.wallets_checked),
        grouped(found.assets_checked),
        if found.assets_checked == 1 { "asset" } else { "assets" },
        grouped(found.acknowledged_looked_up),
        grouped(found.acknowledged),
        grouped(found.refused_looked_up),
    );
    if found.expired_looked_up > 0 {
        write!(text, ", {} holds have expired", grouped(found.expired_looked_up))
            .expect("a string takes what it is given");
    }
    let unknown = found.unknown_found_done + found.unknown_found_not_done;
    if unknown > 0 {
        let (unknown, done) = (grouped(unknown), grouped(found.unknown_found_done));
        write!(text, ", {done} of {unknown} unknown ones found done")
            .expect("a string takes what it is given");
    }
    if !found.passed() {
        write!(text, "\n{} differences, the first of them:", grouped(found.differences))
            .expect("a string takes what it is given");
        for difference in &found.first_differences {
            text.push_str("\n  ");
            text.push_str(difference);
        }
    }
    text
}

/// A table whose columns but the first are numbers.
pub(crate) fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_header(header);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

fn by_name<'a, Name: Display + 'a>(counts: impl Iterator<Item = (Name, &'a u64)>) -> String {
    let counts: Vec<String> = counts.map(|(name, &count)| format!("{name}: {}", grouped(count))).collect();
    if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report;

    #[test]
    fn the_table_shows_the_figures_and_the_verdict() {
        let text = render(&report::tests::sample());
        for part in [
            "mixed",
            "899,990",
            "89,999",
            "insufficient_funds",
            "99,990",
            "1.20 ms",
            "2,000,000 transfers after 9.00 s, the last million at 200,000 transfers/s",
            "verified: 0 wallets",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }

    #[test]
    fn differences_are_named() {
        let mut found = Verification::default();
        found.differ("wallet 7 holds 1, expected 2".to_owned());
        let text = verdict(Some(&found));
        assert!(text.starts_with("NOT AS ACKNOWLEDGED"), "{text}");
        assert!(text.ends_with("wallet 7 holds 1, expected 2"), "{text}");
        assert_eq!(verdict(None), "not verified");
    }
}
