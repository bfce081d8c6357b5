//! What Prometheus and load balancers see.

use crate::books::{BANK, open_books, pay, transfer, wallet};
use crate::metrics_page::{MetricsPage, get};
use crate::server::Server;
use bursar::telemetry::METRICS;

#[tokio::test]
async fn every_metric_is_there_with_help_and_type_and_counts_what_was_done() {
    let server = Server::start(&[]);
    let client = server.client().await;
    open_books(&client, &[wallet(2), wallet(3)]).await;
    for id in 1..=7 {
        pay(&client, &transfer(id, BANK, 2, 1)).await;
    }
    pay(&client, &transfer(7, BANK, 2, 1)).await;
    pay(&client, &transfer(8, 3, 2, 1)).await;
    let page = MetricsPage::read(&server);
    for &(name, kind, _, help) in METRICS {
        assert_eq!(page.types.get(name).map(String::as_str), Some(kind), "{name}");
        assert_eq!(page.help.get(name).map(String::as_str), Some(help), "{name}");
    }
    for series in page.series.keys() {
        let family = page.family_of(series);
        assert!(METRICS.iter().any(|(name, ..)| *name == family), "{series} is not documented");
    }
    let check = |series: &str, expected: f64| {
        let value = page.value(series);
        assert!((value - expected).abs() < f64::EPSILON, "{series} is {value}, not {expected}");
    };
    check("bursar_transfers_total{status=\"created\"}", 7.0);
    check("bursar_transfers_total{status=\"exists\"}", 1.0);
    check("bursar_transfers_total{status=\"insufficient_funds\"}", 1.0);
    check("bursar_request_duration_seconds_count{operation=\"create_transfers\"}", 9.0);
    check("bursar_wallets", 3.0);
    check("bursar_live_wallets", 3.0);
    check("bursar_connections", 1.0);
    check("bursar_disk_full", 0.0);
    // Two assets, three wallets, seven transfers and a refusal for good.
    check("bursar_journal_durable_seq", 13.0);
    check("bursar_journal_appended_seq", 13.0);
    check("bursar_operations_in_flight", 0.0);
    assert!(page.value("bursar_commit_duration_seconds_count") >= 1.0);
    assert!(page.value("bursar_disk_free_bytes") > 0.0);
}

#[test]
fn health_readiness_and_nothing_else_are_served() {
    let server = Server::start(&[]);
    let check = |path: &str, status: u16, body: &str| {
        let (found, _, text) = get(&server, path);
        assert_eq!((found, text.as_str()), (status, body), "{path}");
    };
    check("/healthz", 200, "alive\n");
    check("/readyz", 200, "ready\n");
    check("/", 404, "");
    check("/metrics/", 404, "");
}
