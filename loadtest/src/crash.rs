//! `crash`: a server of its own, killed under load again and again. After every kill it must come up again with
//! all that it acknowledged.

use crate::arguments::CrashArguments;
use crate::books;
use crate::crash_check::{self, Findings};
use crate::crash_load::{CrashLoad, CrashLoadPlan, Round};
use crate::distribution::{Distribution, WalletChooser};
use crate::environment::Environment;
use crate::expected_positions::ExpectedPositions;
use crate::figures::grouped;
use crate::interruption::Interruption;
use crate::population::{Population, mix};
use crate::server_process::{ServerCommand, ServerProcess};
use crate::transfer_ids::TransferIds;
use crate::workload::Workload;
use anyhow::{Context, Result, bail};
use client::{Client, ClientOptions, Operation};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde::Serialize;
use std::fs;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime};

/// When a kill comes, counted from the start of the load.
const KILL_AFTER_MS: std::ops::RangeInclusive<u64> = 50..=2_000;

/// In every so-many-th round the server is killed while it starts, too.
const START_KILL_EVERY: u32 = 3;

/// How often it is killed then before it may start, at most.
const START_KILLS_MAX: u32 = 3;

/// How long any one request may take while checking.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(1);

/// Of earlier rounds, how many transfers are looked up again after each kill. At the end it is all of them.
const EARLIER_LOOKED_UP: usize = 2_000;

/// The result.
#[derive(Clone, Debug, Serialize)]
struct CrashReport {
    command: &'static str,
    started_at: String,
    elapsed_s: f64,
    /// Rounds that were completed.
    rounds: u32,
    /// Kills while the server was starting.
    start_kills: u32,
    #[serde(flatten)]
    findings: Findings,
    /// Whether SIGTERM ended the server with exit code 0; `null` if it did not come to that.
    stopped_cleanly: Option<bool>,
    /// Whether the server's own check of its data found nothing; `null` if it did not come to that.
    data_verified: Option<bool>,
    /// What ended the rounds early.
    failure: Option<String>,
    passed: bool,
    parameters: CrashParameters,
    environment: Environment,
}

#[derive(Clone, Debug, Serialize)]
struct CrashParameters {
    server: String,
    server_arguments: Vec<String>,
    data: String,
    rounds: u32,
    wallets: u32,
    connections: usize,
    in_flight: usize,
    batch: u64,
    seed: u64,
}

/// What the rounds have come to.
#[derive(Debug, Default)]
struct Progress {
    rounds: u32,
    start_kills: u32,
    findings: Findings,
    stopped_cleanly: Option<bool>,
    data_verified: Option<bool>,
}

pub(crate) async fn crash(arguments: &CrashArguments) -> Result<ExitCode> {
    let started = Instant::now();
    let started_at = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    let place =
        tempfile::Builder::new().prefix("bursar-crash-").tempdir().context("making a temporary directory")?;
    let command = ServerCommand {
        program: arguments.server_bin.clone(),
        data: arguments.data.clone().unwrap_or_else(|| place.path().join("data")),
        arguments: arguments.server_arguments.clone(),
        log: arguments.server_log.clone().unwrap_or_else(|| place.path().join("server.log")),
    };
    let mut interruption = Interruption::listen().context("listening for signals")?;
    let mut progress = Progress::default();
    // However this ends, the server ends with it: the future that owns it is dropped.
    let ended = tokio::select! {
        ended = rounds(arguments, &command, &mut progress) => ended,
        () = interruption.next() => Err(anyhow::anyhow!("interrupted")),
    };
    let failure = ended.err().map(|error| format!("{error:#}"));
    let passed = failure.is_none() && progress.findings.passed();
    let report = CrashReport {
        command: "crash",
        started_at,
        elapsed_s: started.elapsed().as_secs_f64(),
        rounds: progress.rounds,
        start_kills: progress.start_kills,
        findings: progress.findings,
        stopped_cleanly: progress.stopped_cleanly,
        data_verified: progress.data_verified,
        failure,
        passed,
        parameters: CrashParameters {
            server: arguments.server_bin.display().to_string(),
            server_arguments: arguments.server_arguments.clone(),
            data: command.data.display().to_string(),
            rounds: arguments.rounds,
            wallets: arguments.wallets,
            connections: arguments.connections,
            in_flight: arguments.in_flight,
            batch: arguments.batch,
            seed: arguments.seed,
        },
        environment: Environment::read(),
    };
    print_summary(&report);
    if let Some(path) = &arguments.json {
        let json = serde_json::to_string_pretty(&report).context("writing the result")? + "\n";
        fs::write(path, json).with_context(|| format!("writing {}", path.display()))?;
    }
    if !passed {
        let kept = place.keep();
        println!(
            "the server's data is in {}, its output in {}",
            command.data.display(),
            command.log.display()
        );
        if fs::read_dir(&kept).is_ok_and(|mut entries| entries.next().is_none()) {
            // Nothing was in it: both are somewhere else.
            let _ = fs::remove_dir(&kept);
        }
    }
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn rounds(arguments: &CrashArguments, command: &ServerCommand, progress: &mut Progress) -> Result<()> {
    let mut random = SmallRng::seed_from_u64(mix(arguments.seed));
    let population = Population::new(arguments.seed, arguments.wallets);
    let (mut server, mut address) = command.start().await?;
    let mut client = connect(&address).await?;
    // The last tenth gets no funds, so that refusals must survive as well.
    books::prepare(&client, population, arguments.wallets - arguments.wallets / 10 + 1).await?;
    let baseline = books::baseline(&client, population).await?;
    let mut positions: ExpectedPositions = baseline.positions;
    let moved_before = baseline.totals.debits_posted;
    let mut start_took = Duration::from_millis(100);
    let mut done: Vec<Round> = Vec::new();

    for number in 1..=arguments.rounds {
        let batch_max = u64::from(client.limits().batch_max(Operation::CreateTransfers)).min(arguments.batch);
        let plan = CrashLoadPlan {
            connections: random.random_range(1..=arguments.connections),
            in_flight: random.random_range(1..=arguments.in_flight),
            batch_max: random.random_range(1..=batch_max.max(1)),
            seed: random.random(),
        };
        let chooser = WalletChooser::new(Distribution::Uniform, arguments.wallets);
        let workload = Workload::new(population, TransferIds::unused(), chooser, random.random(), 0.0);
        drop(client);
        let load = CrashLoad::start(&address, &options(), plan, workload).await?;
        let kill_after = Duration::from_millis(random.random_range(KILL_AFTER_MS));
        tokio::time::sleep(kill_after).await;
        if let Some(status) = server.ended()? {
            bail!("round {number}: the server ended by itself under load, with {status}");
        }
        server.kill().await?;
        let mut round = load.ended().await;

        let mut start_kills = 0;
        if number % START_KILL_EVERY == 0 {
            start_kills = random.random_range(1..=START_KILLS_MAX);
            for _ in 0..start_kills {
                let starting = command.spawn()?;
                tokio::time::sleep(start_took.mul_f64(random.random_range(0.0..1.2))).await;
                starting.kill().await?;
            }
            progress.start_kills += start_kills;
        }
        let starting = Instant::now();
        (server, address) =
            command.start().await.with_context(|| format!("round {number}, after the kill"))?;
        start_took = starting.elapsed();
        client = connect(&address).await?;

        let before = progress.findings.clone();
        let findings = &mut progress.findings;
        crash_check::check(&client, &mut round, &mut positions, moved_before, findings)
            .await
            .with_context(|| format!("checking round {number}"))?;
        for earlier in &done {
            let every = (earlier.told.len() * done.len() / EARLIER_LOOKED_UP).max(1);
            crash_check::check_earlier(&client, earlier, every, findings).await?;
        }
        done.push(round);
        progress.rounds = number;
        print_round(number, plan, kill_after, start_kills, start_took, &before, &progress.findings);
    }

    for round in &done {
        crash_check::check_earlier(&client, round, 1, &mut progress.findings).await?;
    }
    drop(client);
    stop(server, command, progress).await
}

/// A clean stop, and the server's own opinion of its data.
async fn stop(server: ServerProcess, command: &ServerCommand, progress: &mut Progress) -> Result<()> {
    let status = server.terminate().await?;
    progress.stopped_cleanly = Some(status.success());
    if !status.success() {
        bail!("SIGTERM ended the server with {status}");
    }
    let verified = command.verify().await;
    progress.data_verified = Some(verified.is_ok());
    verified
}

fn options() -> ClientOptions {
    ClientOptions {
        name: concat!("bursar-loadtest ", env!("CARGO_PKG_VERSION")).to_owned(),
        request_timeout: REQUEST_TIMEOUT,
        ..ClientOptions::default()
    }
}

async fn connect(address: &str) -> Result<Client> {
    Client::connect(address, options()).await.context("connecting to the server that was just started")
}

fn print_round(
    number: u32,
    plan: CrashLoadPlan,
    kill_after: Duration,
    start_kills: u32,
    start_took: Duration,
    before: &Findings,
    after: &Findings,
) {
    let starts = match start_kills {
        0 => String::new(),
        1 => " and once while starting".to_owned(),
        kills => format!(" and {kills} times while starting"),
    };
    let wrong =
        (after.lost + after.doubled + after.mismatches) - (before.lost + before.doubled + before.mismatches);
    let verdict = if wrong == 0 { "ok".to_owned() } else { format!("{wrong} DIFFERENCES") };
    println!(
        "round {number}: {}×{} requests of up to {}, killed after {} ms{starts}, ready again in {} ms: \
         {} acknowledged ({} refused), {} unknown, {} of them found: {verdict}",
        plan.connections,
        plan.in_flight,
        plan.batch_max,
        kill_after.as_millis(),
        start_took.as_millis(),
        grouped(after.acknowledged - before.acknowledged),
        grouped(after.refused - before.refused),
        grouped(after.unknown - before.unknown),
        grouped(after.found_after_crash - before.found_after_crash),
    );
}

fn print_summary(report: &CrashReport) {
    let findings = &report.findings;
    println!(
        "rounds {}, acknowledged {}, unknown {}, found after crash {}, lost {}, doubled {}, mismatches {}: {}",
        report.rounds,
        grouped(findings.acknowledged),
        grouped(findings.unknown),
        grouped(findings.found_after_crash),
        grouped(findings.lost),
        grouped(findings.doubled),
        grouped(findings.mismatches),
        if report.passed { "passed" } else { "FAILED" },
    );
    if let (Some(true), Some(true)) = (report.stopped_cleanly, report.data_verified) {
        println!("stopped cleanly; the server's own verification found nothing");
    }
    for difference in &findings.first_differences {
        println!("  {difference}");
    }
    if let Some(failure) = &report.failure {
        println!("  {failure}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_of_a_crash_has_its_counts_at_the_top() {
        let report = CrashReport {
            command: "crash",
            started_at: String::new(),
            elapsed_s: 1.0,
            rounds: 2,
            start_kills: 1,
            findings: Findings { acknowledged: 5, ..Findings::default() },
            stopped_cleanly: Some(true),
            data_verified: None,
            failure: None,
            passed: true,
            parameters: CrashParameters {
                server: "bursar".to_owned(),
                server_arguments: Vec::new(),
                data: "data".to_owned(),
                rounds: 2,
                wallets: 20,
                connections: 1,
                in_flight: 1,
                batch: 1,
                seed: 1,
            },
            environment: Environment::read(),
        };
        let json = serde_json::to_value(&report).expect("it is JSON");
        for (name, expected) in [
            ("rounds", 2),
            ("acknowledged", 5),
            ("unknown", 0),
            ("found_after_crash", 0),
            ("lost", 0),
            ("doubled", 0),
        ] {
            assert_eq!(json[name], expected, "{name}");
        }
        assert_eq!(json["mismatches"], 0);
    }
}
