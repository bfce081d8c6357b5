//! The report of a soak as one HTML file that needs nothing else: no script, no font, no picture from anywhere.

use crate::figures::{grouped, microseconds, rounded};
use crate::plots;
use crate::report_html::{STYLE, escaped};
use crate::soak::plots::{DISK, HANDLES, Line, MARKS, MEMORY, lines, marks};
use crate::soak::report::{SoakReport, used};
use crate::survival::kill::KillPhase;
use anyhow::Result;
use plotters::style::RGBColor;
use std::fmt::Write as _;

/// The whole file.
pub(crate) fn render(report: &SoakReport) -> Result<String> {
    let mut html = String::new();
    write!(
        html,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>Soak, {started}</title><style>{STYLE}</style></head><body><h1>Soak</h1>\
         <p class=\"subtitle\">{server} · {started} · {elapsed:.0} s ({ended})</p>",
        server = escaped(&report.parameters.server),
        started = escaped(&report.started_at),
        elapsed = report.elapsed_s,
        ended = report.ended,
    )?;
    cards(&mut html, report)?;
    verdict(&mut html, report)?;
    let marks = marks(&report.marks);
    write!(html, "<h2>Throughput</h2>{}", plots::throughput(&report.timeline, true, &marks)?)?;
    legend(&mut html, &MARKS)?;
    html.push_str(
        "<p class=\"subtitle\">Nothing is sent while the server is down and while what it said is checked.</p>",
    );
    write!(html, "<h2>Latency</h2>{}", plots::latency(&report.timeline, &marks)?)?;
    legend(&mut html, &plots::latency_legend().collect::<Vec<_>>())?;
    for (title, set, unit) in [
        ("Memory of the server", &MEMORY[..], "MiB"),
        ("Disk", &DISK, "MiB"),
        ("Threads and file descriptors of the server", &HANDLES, "count"),
    ] {
        write!(html, "<h2>{title}</h2>{}", lines(&report.samples, set, unit, &marks)?)?;
        let names: Vec<_> = set.iter().map(|&(name, colour, _): &Line| (name, colour)).collect();
        legend(&mut html, &names)?;
    }
    bounds(&mut html, report)?;
    loads(&mut html, report)?;
    details(&mut html, report)?;
    html.push_str("</body></html>\n");
    Ok(html)
}

fn cards(html: &mut String, report: &SoakReport) -> Result<()> {
    let findings = &report.findings;
    let cards = [
        (grouped(findings.acknowledged), "outcomes acknowledged"),
        (grouped(findings.lost), "lost"),
        (grouped(findings.doubled), "done twice"),
        (grouped(findings.mismatches), "other differences"),
        (grouped(report.kills_total), "kills"),
        (grouped(u64::from(report.lives)), "lives of the server"),
        (rounded(report.transfers_per_second), "transfers per second"),
        (microseconds(report.latency_us.p99), "99th percentile"),
    ];
    html.push_str("<div class=\"cards\">");
    for (figure, name) in cards {
        write!(html, "<div class=\"card\"><b>{figure}</b><span>{name}</span></div>")?;
    }
    html.push_str("</div>");
    Ok(())
}

fn verdict(html: &mut String, report: &SoakReport) -> Result<()> {
    let class = if report.passed { "good" } else { "bad" };
    let findings = &report.findings;
    write!(
        html,
        "<p class=\"verdict {class}\">{}: {} transfers of unknown outcome, {} of them found done; {} looked up again, \
         {} sent again, {} reads compared; the server's own verification found nothing {} times",
        report.verdict(),
        grouped(findings.unknown),
        grouped(findings.found_after_crash),
        grouped(findings.looked_up_again),
        grouped(findings.sent_again),
        grouped(findings.reads),
        report.verifications,
    )?;
    for line in findings.first_differences.iter().chain(&report.failure) {
        write!(html, "\n{}", escaped(line))?;
    }
    html.push_str("</p>");
    Ok(())
}

fn legend(html: &mut String, names: &[(&str, RGBColor)]) -> Result<()> {
    html.push_str("<div class=\"legend\">");
    for (name, RGBColor(red, green, blue)) in names {
        write!(html, "<span><i style=\"background:rgb({red} {green} {blue})\"></i>{name}</span>")?;
    }
    html.push_str("</div>");
    Ok(())
}

fn bounds(html: &mut String, report: &SoakReport) -> Result<()> {
    html.push_str("<h2>Bounds</h2><table><tr><th></th><th>allowed</th><th>used at most</th><th>of</th></tr>");
    for bound in &report.bounds {
        let class = if bound.held { "good" } else { "bad" };
        let (value, limit) = used(bound);
        write!(
            html,
            "<tr><th>{}</th><td>{}</td><td class=\"{class}\">{value}</td><td>{limit}</td></tr>",
            bound.name,
            escaped(&bound.rule)
        )?;
    }
    html.push_str("</table>");
    Ok(())
}

fn loads(html: &mut String, report: &SoakReport) -> Result<()> {
    html.push_str("<h2>Kinds of load</h2><table class=\"numbers\"><tr><th></th>");
    for name in
        ["legs", "kills", "acknowledged", "refused", "unknown", "found", "lost", "doubled", "mismatches"]
    {
        write!(html, "<th>{name}</th>")?;
    }
    html.push_str("</tr>");
    for (name, load) in &report.by_load {
        let found = &load.findings;
        write!(html, "<tr><th>{name}</th>")?;
        for count in [
            u64::from(load.rounds),
            load.kills.values().sum(),
            found.acknowledged,
            found.refused,
            found.unknown,
            found.found_after_crash,
            found.lost,
            found.doubled,
            found.mismatches,
        ] {
            write!(html, "<td>{}</td>", grouped(count))?;
        }
        html.push_str("</tr>");
    }
    html.push_str("</table>");
    Ok(())
}

fn details(html: &mut String, report: &SoakReport) -> Result<()> {
    let growth = |bytes: Option<f64>| bytes.map_or("unknown".to_owned(), |bytes| format!("{bytes:.0} bytes"));
    let mut done: Vec<(String, String)> = report
        .faults
        .iter()
        .filter(|(name, _)| **name != "nothing")
        .map(|(name, count)| (name.replace('_', " "), grouped(*count)))
        .collect();
    done.push(("burst".to_owned(), grouped(u64::from(report.bursts))));
    let hits = KillPhase::ALL.iter().map(|phase| {
        let count = report.kills.get(phase.name()).copied().unwrap_or_default();
        (phase.name().replace('_', " "), grouped(count))
    });
    let ledger = [
        ("entries", grouped(report.entries)),
        ("wallets", grouped(report.wallets)),
        ("memory an entry", growth(report.resident_bytes_per_entry)),
        ("journal an entry", growth(report.journal_bytes_per_entry)),
        ("longest start", format!("{:.2} s", report.start_took_s_max)),
        ("told of earlier legs", grouped(report.archived_of)),
        ("of these kept", grouped(report.archived_kept)),
    ];
    let parameters = &report.parameters;
    let asked = [
        ("for", format!("{} s", parameters.duration_s)),
        ("transfers per second", rounded(parameters.rate)),
        ("transfers in a burst", grouped(parameters.burst)),
        ("wallets at first", grouped(u64::from(parameters.wallets))),
        ("connections, at most", parameters.connections.to_string()),
        ("requests in flight on each, at most", parameters.in_flight.to_string()),
        ("transfers in a request, at most", format!("{} (large batches: all)", parameters.batch)),
        ("seed", parameters.seed.to_string()),
        ("arguments of the server", parameters.server_arguments.join(" ")),
    ];
    let environment = &report.environment;
    let unknown = || "unknown".to_owned();
    let surroundings = [
        ("cores", environment.cores.to_string()),
        ("processor", environment.processor.clone().unwrap_or_else(unknown)),
        ("kernel", environment.kernel.clone()),
        ("memory", environment.memory_mib.map_or_else(unknown, |mib| format!("{} MiB", grouped(mib)))),
        ("harness", format!("bursar-loadtest {}", environment.harness)),
    ];
    let owned = |rows: &[(&str, String)]| -> Vec<(String, String)> {
        rows.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
    };
    html.push_str("<div class=\"columns\">");
    for (title, rows) in [
        ("Done to the server", done),
        ("Killed", hits.collect()),
        ("The ledger", owned(&ledger)),
        ("Asked for", owned(&asked)),
        ("Environment", owned(&surroundings)),
    ] {
        write!(html, "<section><h2>{title}</h2><table>")?;
        for (name, value) in rows {
            write!(html, "<tr><th>{}</th><td>{}</td></tr>", escaped(&name), escaped(&value))?;
        }
        html.push_str("</table></section>");
    }
    html.push_str("</div>");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::soak::report;

    #[test]
    fn the_page_needs_nothing_else_and_trusts_no_text() {
        let html = render(&report::tests::sample()).expect("it can be drawn");
        assert_eq!(html.matches("<svg").count(), 5);
        assert!(html.contains("&lt;bursar&gt;"));
        for outside in ["<script", "<link", "<img", "url(", "@import"] {
            assert!(!html.contains(outside), "{outside}");
        }
    }

    #[test]
    fn what_failed_is_on_the_page() {
        let mut report = report::tests::sample();
        report.passed = false;
        report.failure = Some("a wallet <is> gone".to_owned());
        let html = render(&report).expect("it can be drawn");
        assert!(html.contains("FAILED") && html.contains("a wallet &lt;is&gt; gone"));
    }
}
