//! `run`: population, load, verification, report.

use crate::arguments::{IdleArguments, RunArguments};
use crate::books::{self, Baseline};
use crate::distribution::{Distribution, WalletChooser};
use crate::environment::{self, Environment};
use crate::figures::grouped;
use crate::interruption::Interruption;
use crate::load::{Ending, Load, LoadPlan};
use crate::measurements::{Latencies, percentiles};
use crate::population::Population;
use crate::progress::Progress;
use crate::report::{HistogramBar, OpenLoop, Parameters, Report, ServerName};
use crate::request_channel::ReopeningConnection;
use crate::schedule::Schedule;
use crate::testimony::Testimony;
use crate::transfer_ids::{IdOrder, TransferIds};
use crate::verification::{self, Verification};
use crate::workload::{LEGS_MAX_DEFAULT, Workload};
use crate::workload_kind::WorkloadKind;
use crate::{report_html, report_table};
use anyhow::{Context, Result, ensure};
use client::{Client, ClientOptions, Limits, Operation};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How long to send when nothing is said.
const DURATION_DEFAULT: Duration = Duration::from_secs(10);

/// How long any one request may take. Longer than a server under load takes, so that slow is not unknown.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);

/// The windows of the timeline: so many at most, none shorter than this.
const WINDOWS_MAX: u32 = 1_200;
const WINDOW_MIN: Duration = Duration::from_millis(250);

/// How wide the bars of the latency histogram are: this many for each doubling.
const BARS_PER_DOUBLING: f64 = 5.0;

/// Wallets of an idle run; enough that they are not all the same one.
const IDLE_WALLETS: u32 = 100;

pub(crate) async fn run(arguments: &RunArguments) -> Result<ExitCode> {
    let goal = arguments.transfers.or_else(|| Some(duration(arguments)?.as_millis() as u64));
    let report = measure("run", arguments, Progress::on_stderr(goal)).await?;
    println!("{}", report_table::render(&report));
    write_files(&report, arguments.json.as_deref(), arguments.report.as_deref())?;
    Ok(exit_code(&report))
}

/// `idle`: the same with nothing beside it, and only latency to tell.
pub(crate) async fn idle(arguments: &IdleArguments) -> Result<ExitCode> {
    let run = RunArguments {
        addr: arguments.addr.clone(),
        workload: WorkloadKind::Transfers,
        wallets: IDLE_WALLETS,
        connections: 1,
        in_flight: 1,
        batch: 1,
        legs: LEGS_MAX_DEFAULT,
        retry_share: 0.0,
        ids: IdOrder::TimeOrdered,
        duration: None,
        transfers: Some(arguments.count),
        rate: None,
        distribution: Distribution::Uniform,
        read_share: 0.0,
        seed: arguments.seed,
        json: arguments.json.clone(),
        report: None,
        no_verify: false,
    };
    let report = measure("idle", &run, Progress::Nowhere).await?;
    let latency = report.latency_us;
    println!(
        "{} transfers, one at a time: p50 {} µs, p90 {} µs, p99 {} µs, max {} µs",
        report.transfers_acknowledged, latency.p50, latency.p90, latency.p99, latency.max
    );
    println!("{}", report_table::verdict(report.verification.as_ref()));
    write_files(&report, arguments.json.as_deref(), None)?;
    Ok(exit_code(&report))
}

async fn measure(command: &'static str, arguments: &RunArguments, progress: Progress) -> Result<Report> {
    let options = ClientOptions {
        name: concat!("bursar-loadtest ", env!("CARGO_PKG_VERSION")).to_owned(),
        request_timeout: REQUEST_TIMEOUT,
        ..ClientOptions::default()
    };
    let client = Client::connect(arguments.addr.as_str(), options.clone())
        .await
        .with_context(|| format!("is the server listening on {}?", arguments.addr))?;
    let mut channels = Vec::with_capacity(arguments.connections);
    for _ in 0..arguments.connections {
        channels.push(Arc::new(ReopeningConnection::open(&arguments.addr, &options).await?));
    }
    let welcome = channels[0].current().welcome().clone();
    let limits = &welcome.limits;
    let batch_max = batch_max(arguments.workload, limits);
    ensure!(
        arguments.batch <= u64::from(batch_max),
        "of the workload {} the server takes at most {batch_max} transfers in a request, not {}",
        arguments.workload,
        arguments.batch
    );
    if arguments.in_flight > limits.requests_in_flight_max as usize {
        eprintln!(
            "the server lets {} requests be in flight on a connection; further ones wait here, which counts as latency",
            limits.requests_in_flight_max
        );
    }

    let population = Population::new(arguments.seed, arguments.wallets);
    progress.say(&format!("preparing {} wallets", grouped(u64::from(arguments.wallets))));
    books::prepare(&client, population, u32::MAX).await?;
    if arguments.workload.needs_refusing_wallets() {
        books::prepare_refusing_wallets(&client, population).await?;
    }
    let baseline = books::baseline(&client, population).await?;
    let chooser = WalletChooser::new(arguments.distribution, arguments.wallets);
    let read_share = arguments.read_share / 100.0;
    let ids = TransferIds::unused_in(arguments.ids);
    let workload = Workload::new(population, ids, chooser, arguments.seed, read_share)
        .of_kind(arguments.workload)
        .with_legs(arguments.legs)
        .with_retries(arguments.retry_share / 100.0);
    let planned =
        arguments.rate.map(|rate| requests_per_second(rate, arguments.batch, workload.reading_share()));
    let schedule = planned.map(Schedule::new);
    let plan = LoadPlan {
        in_flight: arguments.in_flight,
        batch: arguments.batch,
        duration: duration(arguments),
        transfers: arguments.transfers,
        schedule,
    };

    let interruption = Interruption::listen().context("listening for signals")?;
    let started_at = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    let processor_before = environment::processor_time_s();
    let load = Load::new(workload, plan, Testimony::new(baseline.positions.clone(), workload.steps()));
    let interrupted = Arc::clone(&load);
    let watch = tokio::spawn(interruption.watch(move || interrupted.stop(Ending::Interrupted)));
    let window = plan.duration.map_or(WINDOW_MIN, |duration| (duration / WINDOWS_MAX).max(WINDOW_MIN));
    let (elapsed, ending) = tokio::select! {
        end = load.run(channels) => end,
        () = progress.follow(&load, window, plan.transfers.is_some()) => unreachable!("progress is followed for ever"),
    };
    let processor =
        environment::processor_time_s().zip(processor_before).map(|(after, before)| after - before);
    if !arguments.no_verify {
        progress.say("comparing the books with what was acknowledged");
    }
    let verification =
        if arguments.no_verify { None } else { Some(verify(&client, &workload, &baseline, &load).await?) };
    watch.abort();
    progress.finish();

    let parameters = Parameters {
        address: arguments.addr.clone(),
        workload: arguments.workload.name(),
        ids: arguments.ids.name(),
        legs: arguments.legs,
        retry_share_percent: arguments.retry_share,
        wallets: arguments.wallets,
        connections: arguments.connections,
        in_flight: arguments.in_flight,
        batch: arguments.batch,
        duration_s: plan.duration.map(|duration| duration.as_secs_f64()),
        transfers: arguments.transfers,
        rate: arguments.rate,
        distribution: arguments.distribution.to_string(),
        read_share_percent: arguments.read_share,
        seed: arguments.seed,
    };
    let due_and_begun = load.due_and_begun(elapsed);
    let state = load.lock();
    let measurements = &state.measurements;
    let elapsed_s = elapsed.as_secs_f64();
    let open_loop = planned.zip(due_and_begun).map(|(planned, (due, begun))| OpenLoop {
        requests_per_second_planned: planned,
        requests_due: due,
        requests_not_begun: due - begun,
        sent_behind_us: percentiles(&measurements.behind),
    });
    Ok(Report {
        command,
        started_at,
        elapsed_s,
        ended: match ending {
            Ending::Complete => "complete",
            Ending::Interrupted => "interrupted",
            Ending::Unreachable => "server_unreachable",
        },
        parameters,
        environment: Environment::read(),
        server: ServerName { name: welcome.server_name, version: welcome.server_version },
        requests: measurements.requests,
        requests_per_second: measurements.requests as f64 / elapsed_s,
        reads: measurements.reads,
        statements: measurements.statements,
        transfers_sent: measurements.transfers_sent,
        transfers_acknowledged: measurements.transfers_acknowledged,
        transfers_per_second: measurements.transfers_acknowledged as f64 / elapsed_s,
        transfers_unknown: state.testimony.unknown.len() as u64,
        repetitions: measurements.repetitions,
        outcomes: measurements.outcomes(),
        refused: measurements.refused(),
        errors: measurements.errors.clone(),
        latency_us: percentiles(&measurements.latency),
        read_latency_us: (measurements.reads > 0).then(|| percentiles(&measurements.read_latency)),
        open_loop,
        harness_processor_s: processor,
        verified: verification.as_ref().map(Verification::passed),
        verification,
        timeline: measurements.timeline.clone(),
        millions: measurements.milestones.clone(),
        latency_histogram: bars(&measurements.latency),
    })
}

async fn verify(
    client: &Client,
    workload: &Workload,
    baseline: &Baseline,
    load: &Load,
) -> Result<Verification> {
    // Taken out rather than borrowed: a lock is not held while waiting for replies.
    let empty = Testimony::new(baseline.positions.clone(), workload.steps());
    let testimony = std::mem::replace(&mut load.lock().testimony, empty);
    let found = verification::verify(client, workload, baseline, &testimony).await;
    load.lock().testimony = testimony;
    found.context("the books could not be read to be verified")
}

/// What the server takes in one request of any kind of order that the workload sends.
fn batch_max(workload: WorkloadKind, limits: &Limits) -> u32 {
    use Operation::{CreatePending, CreateTransactions, CreateTransfers, PostPending, Reverse, VoidPending};
    let operations: &[Operation] = match workload {
        WorkloadKind::Transfers => &[CreateTransfers],
        WorkloadKind::Holds => &[CreatePending, PostPending, VoidPending],
        WorkloadKind::MultiLeg => &[CreateTransactions, Reverse],
        WorkloadKind::Mixed => &[CreateTransfers, CreatePending, PostPending, VoidPending, Reverse],
        WorkloadKind::Retries | WorkloadKind::Refusals => {
            &[CreateTransfers, CreatePending, PostPending, VoidPending, Reverse, CreateTransactions]
        }
    };
    operations.iter().map(|&operation| limits.batch_max(operation)).min().unwrap_or(0)
}

/// For the transfers to come at this rate, reads beside them. With reads alone the rate is theirs.
fn requests_per_second(transfers_per_second: f64, batch: u64, read_share: f64) -> f64 {
    if read_share >= 1.0 {
        return transfers_per_second;
    }
    transfers_per_second / batch as f64 / (1.0 - read_share)
}

fn duration(arguments: &RunArguments) -> Option<Duration> {
    match arguments.transfers {
        Some(_) => None,
        None => Some(arguments.duration.unwrap_or(DURATION_DEFAULT)),
    }
}

/// The histogram, with bars that are equally wide on a logarithmic axis.
fn bars(latencies: &Latencies) -> Vec<HistogramBar> {
    let ratio = 2.0_f64.powf(1.0 / BARS_PER_DOUBLING);
    let mut bars = Vec::new();
    let mut from_us = latencies.min().max(1);
    while !latencies.is_empty() && from_us <= latencies.max() {
        let to_us = ((from_us as f64 * ratio) as u64).max(from_us + 1);
        // Counted in whole steps of the histogram, so that none is in two bars.
        let requests = latencies
            .iter_recorded()
            .map(|step| (step.value_iterated_to().max(1), step.count_at_value()))
            .filter(|(value, _)| (from_us..to_us).contains(value))
            .map(|(_, count)| count)
            .sum();
        bars.push(HistogramBar { from_us, to_us, requests });
        from_us = to_us;
    }
    bars
}

fn write_files(report: &Report, json: Option<&Path>, html: Option<&Path>) -> Result<()> {
    if let Some(path) = json {
        std::fs::write(path, report.to_json()).with_context(|| format!("writing {}", path.display()))?;
    }
    if let Some(path) = html {
        let page = report_html::render(report)?;
        std::fs::write(path, page).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}

fn exit_code(report: &Report) -> ExitCode {
    let wrong = report.verified == Some(false) || report.ended == "server_unreachable";
    if wrong { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurements::latencies;

    #[test]
    fn the_rate_is_of_transfers_whatever_the_batch_and_the_reads() {
        let check = |batch, read_share, expected: f64| {
            assert!((requests_per_second(1_000.0, batch, read_share) - expected).abs() < 1e-9);
        };
        check(1, 0.0, 1_000.0);
        check(10, 0.0, 100.0);
        check(10, 0.5, 200.0);
        check(10, 1.0, 1_000.0);
    }

    #[test]
    fn every_request_is_in_exactly_one_bar() {
        let mut recorded = latencies();
        for us in (1..2_000).chain([50_000, 1_000_000, 1_000_001]) {
            recorded.record(us).expect("it is within the bounds");
        }
        let bars = bars(&recorded);
        assert_eq!(bars.iter().map(|bar| bar.requests).sum::<u64>(), recorded.len());
        assert!(bars.windows(2).all(|pair| pair[0].to_us == pair[1].from_us));
        assert_eq!(super::bars(&latencies()), []);
    }
}
