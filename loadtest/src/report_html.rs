//! The report as one HTML file that needs nothing else: no script, no font, no picture from anywhere.

use crate::figures::{grouped, microseconds, rounded};
use crate::measurements::Percentiles;
use crate::plots;
use crate::report::Report;
use crate::report_table::verdict;
use anyhow::Result;
use std::fmt::Write as _;

pub(crate) const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1c2430; --muted: #5b6573; --ground: #ffffff; --card: #f4f6f9;
  --line: #dde2e9; --good: #0b7a5c; --bad: #c62f2f; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e9ee; --muted: #9aa4b2; --ground: #14181f;
  --card: #1d232c; --line: #303845; --good: #3ccf9f; --bad: #ff7b7b; } }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 62rem; background: var(--ground);
  color: var(--ink); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0; } h2 { font-size: 1.05rem; margin: 2.25rem 0 .5rem; }
.subtitle { color: var(--muted); margin: .25rem 0 1.5rem; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .75rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: .8rem 1rem; }
.card b { display: block; font-size: 1.35rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.card span { color: var(--muted); font-size: .85rem; }
.good { color: var(--good); } .bad { color: var(--bad); }
.verdict { white-space: pre-wrap; border-left: 4px solid currentColor; padding: .35rem .9rem; margin: 1.25rem 0 0; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(19rem, 1fr)); gap: 0 2rem; }
table { border-collapse: collapse; width: 100%; } td, th { padding: .3rem .5rem .3rem 0; text-align: left;
  border-bottom: 1px solid var(--line); font-weight: 400; vertical-align: top; }
th { color: var(--muted); } td { font-variant-numeric: tabular-nums; overflow-wrap: break-word; }
.numbers td, .numbers th:not(:first-child) { text-align: right; }
svg { display: block; width: 100%; height: auto; } svg text { font-family: system-ui, sans-serif; }
svg text[fill=\"#808080\"] { fill: var(--muted); opacity: 1; }
.legend { display: flex; gap: 1.25rem; color: var(--muted); font-size: .85rem; }
.legend i { display: inline-block; width: 1.1rem; height: .2rem; border-radius: .1rem; margin-right: .4rem;
  vertical-align: middle; }
";

/// The whole file.
pub(crate) fn render(report: &Report) -> Result<String> {
    let mut html = String::new();
    let version = escaped(&report.server.version);
    let server = escaped(&report.server.name);
    write!(
        html,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>Load test, {started}</title><style>{STYLE}</style></head><body>\
         <h1>Load test of {server} {version}</h1>\
         <p class=\"subtitle\">{workload} · {address} · {started} · {elapsed:.1} s ({ended})</p>",
        workload = escaped(report.parameters.workload),
        started = escaped(&report.started_at),
        address = escaped(&report.parameters.address),
        elapsed = report.elapsed_s,
        ended = report.ended,
    )?;
    cards(&mut html, report)?;
    let class = match report.verified {
        Some(true) => "good",
        Some(false) => "bad",
        None => "",
    };
    let verdict = escaped(&verdict(report.verification.as_ref()));
    write!(html, "<p class=\"verdict {class}\">{verdict}</p>")?;
    write!(
        html,
        "<h2>Throughput over time</h2>{}",
        plots::throughput(&report.timeline, report.transfers_sent > 0, &[])?
    )?;
    write!(html, "<h2>Latency over time</h2>{}", plots::latency(&report.timeline, &[])?)?;
    html.push_str("<div class=\"legend\">");
    for (name, colour) in plots::latency_legend() {
        let plotters::style::RGBColor(red, green, blue) = colour;
        write!(html, "<span><i style=\"background:rgb({red} {green} {blue})\"></i>{name}</span>")?;
    }
    write!(
        html,
        "</div><h2>How long requests took</h2>{}",
        plots::histogram(&report.latency_histogram, report.latency_us)?
    )?;
    latency_table(&mut html, report)?;
    outcomes_table(&mut html, report)?;
    millions(&mut html, report)?;
    details(&mut html, report)?;
    html.push_str("</body></html>\n");
    Ok(html)
}

fn cards(html: &mut String, report: &Report) -> Result<()> {
    let errors: u64 = report.errors.values().sum();
    let refused: u64 = report.refused.values().sum();
    let cards = [
        (rounded(report.transfers_per_second), "transfers per second"),
        (grouped(report.transfers_acknowledged), "transfers acknowledged"),
        (microseconds(report.latency_us.p50), "median latency"),
        (microseconds(report.latency_us.p99), "99th percentile"),
        (grouped(refused), "refused"),
        (grouped(errors), "errors"),
    ];
    html.push_str("<div class=\"cards\">");
    for (figure, name) in cards {
        write!(html, "<div class=\"card\"><b>{figure}</b><span>{name}</span></div>")?;
    }
    html.push_str("</div>");
    Ok(())
}

fn latency_table(html: &mut String, report: &Report) -> Result<()> {
    html.push_str(
        "<h2>Latency</h2><table class=\"numbers\"><tr><th></th><th>p50</th><th>p90</th><th>p99</th>\
         <th>p99.9</th><th>max</th></tr>",
    );
    let mut rows = vec![("requests with transfers", report.latency_us)];
    rows.extend(report.read_latency_us.map(|percentiles| ("balance reads", percentiles)));
    rows.extend(
        report.open_loop.as_ref().map(|open_loop| ("sent later than due by", open_loop.sent_behind_us)),
    );
    for (name, Percentiles { p50, p90, p99, p999, max }) in rows {
        write!(html, "<tr><th>{name}</th>")?;
        for us in [p50, p90, p99, p999, max] {
            write!(html, "<td>{}</td>", microseconds(us))?;
        }
        html.push_str("</tr>");
    }
    html.push_str("</table>");
    Ok(())
}

/// A row for each kind of order and status.
fn outcomes_table(html: &mut String, report: &Report) -> Result<()> {
    html.push_str(
        "<h2>Answers</h2><table class=\"numbers\"><tr><th>kind</th><th>status</th><th>answers</th></tr>",
    );
    for (kind, counts) in &report.outcomes {
        for (status, &count) in counts {
            write!(html, "<tr><th>{kind}</th><td>{status}</td><td>{}</td></tr>", grouped(count))?;
        }
    }
    html.push_str("</table>");
    Ok(())
}

/// The speed of each million, if there was more than one.
fn millions(html: &mut String, report: &Report) -> Result<()> {
    if report.millions.len() < 2 {
        return Ok(());
    }
    write!(html, "<h2>Speed of each million</h2>{}", plots::millions(&report.millions)?)?;
    Ok(())
}

fn details(html: &mut String, report: &Report) -> Result<()> {
    let parameters = &report.parameters;
    let until = match (parameters.duration_s, parameters.transfers) {
        (_, Some(transfers)) => format!("{} transfers", grouped(transfers)),
        (Some(seconds), None) => format!("{seconds} s"),
        (None, None) => "until stopped".to_owned(),
    };
    let pace = match parameters.rate {
        Some(rate) => format!("{} transfers per second (open loop)", rounded(rate)),
        None => "as fast as answers come (closed loop)".to_owned(),
    };
    let asked = vec![
        ("workload", parameters.workload.to_owned()),
        ("ids", parameters.ids.to_owned()),
        ("legs of a transaction", format!("2 to {}", parameters.legs)),
        ("ids sent twice, of retries", format!("{}%", parameters.retry_share_percent)),
        ("wallets", grouped(u64::from(parameters.wallets))),
        ("connections", parameters.connections.to_string()),
        ("requests in flight on each", parameters.in_flight.to_string()),
        ("transfers in a request", grouped(parameters.batch)),
        ("for", until),
        ("pace", pace),
        ("distribution", parameters.distribution.clone()),
        ("reads", format!("{}% of requests", parameters.read_share_percent)),
        ("seed", parameters.seed.to_string()),
    ];
    let mut found = vec![
        ("requests answered", grouped(report.requests)),
        ("requests per second", rounded(report.requests_per_second)),
        ("of these reads", grouped(report.reads)),
        ("of these statements", grouped(report.statements)),
        ("transfers sent", grouped(report.transfers_sent)),
        ("transfers of unknown outcome", grouped(report.transfers_unknown)),
    ];
    if report.repetitions > 0 {
        found.push(("answers to what was sent before", grouped(report.repetitions)));
    }
    found.extend(report.errors.iter().map(|(&kind, &count)| (kind, grouped(count))));
    if let Some(open_loop) = &report.open_loop {
        found.push(("requests due", grouped(open_loop.requests_due)));
        found.push(("due and never begun", grouped(open_loop.requests_not_begun)));
    }
    let environment = &report.environment;
    let unknown = || "unknown".to_owned();
    let surroundings = vec![
        ("cores", environment.cores.to_string()),
        ("processor", environment.processor.clone().unwrap_or_else(unknown)),
        ("kernel", environment.kernel.clone()),
        ("memory", environment.memory_mib.map_or_else(unknown, |mib| format!("{} MiB", grouped(mib)))),
        ("harness", format!("bursar-loadtest {}", environment.harness)),
        (
            "processor time of the harness",
            report.harness_processor_s.map_or_else(unknown, |seconds| format!("{seconds:.2} s")),
        ),
    ];
    html.push_str("<div class=\"columns\">");
    for (title, rows) in [("Asked for", asked), ("Counted", found), ("Environment", surroundings)] {
        write!(html, "<section><h2>{title}</h2><table>")?;
        for (name, value) in rows {
            write!(html, "<tr><th>{}</th><td>{}</td></tr>", escaped(name), escaped(&value))?;
        }
        html.push_str("</table></section>");
    }
    html.push_str("</div>");
    Ok(())
}

pub(crate) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report;

    #[test]
    fn the_page_needs_nothing_else_and_trusts_no_text() {
        let html = render(&report::tests::sample()).expect("it can be drawn");
        assert_eq!(html.matches("<svg").count(), 4);
        assert!(html.contains("&lt;bursar&gt;"));
        for part in ["mixed", "<td>insufficient_funds</td><td>10</td>", "Speed of each million"] {
            assert!(html.contains(part), "{part}");
        }
        for outside in ["<script", "<link", "<img", "url(", "@import"] {
            assert!(!html.contains(outside), "{outside}");
        }
    }
}
