//! `crash`: a server of its own, killed again and again under every kind of load, while it starts and while it stops.
//! After every kill it must come up again with all that it acknowledged.

use crate::arguments::CrashArguments;
use crate::crash_report::{CrashParameters, CrashReport, UnderOneLoad, in_words, kills_in_words};
use crate::environment::Environment;
use crate::interruption::Interruption;
use crate::population::{Population, mix};
use crate::server_process::{RunningPid, ServerCommand};
use crate::survival::findings::Findings;
use crate::survival::kill::Kills;
use crate::survival::load_kind::{Deck, LoadKind, LoadLimits};
use crate::survival::pace::Pace;
use crate::survival::round_load::Meter;
use crate::survival::tested_ledger::TestedLedger;
use anyhow::{Context, Result, bail, ensure};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// When a kill comes, counted from the start of the load.
const KILL_AFTER_MS: RangeInclusive<u64> = 20..=500;

/// How often the server is killed in a row while it starts, at most.
const START_KILLS_MAX: u32 = 4;

/// How long it is held in most pauses, and in a long one, which is longer than a commit may take.
const PAUSE_MS: RangeInclusive<u64> = 10..=300;
const LONG_PAUSE_MS: RangeInclusive<u64> = 5_500..=6_500;

/// A long pause is tried in every so-many-th round.
const LONG_PAUSE_EVERY: u32 = 50;

/// Transfers of one round: each of them is looked up.
const TRANSFERS_PER_ROUND: usize = 150_000;

/// What is kept of earlier rounds on the same ledger, and how much of it is looked up after each kill. At the end it is
/// all of it.
const ARCHIVED_MAX: usize = 2_000_000;
const ARCHIVED_LOOKED_UP: usize = 2_000;

/// How a round ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// SIGKILL.
    Kill,
    /// SIGSTOP, and SIGKILL while it stands still.
    HoldAndKill,
    /// SIGSTOP and SIGCONT; when the load goes on, SIGKILL.
    PauseAndKill,
    /// SIGTERM, and SIGKILL while it stops.
    StopAndKill,
}

const ENDINGS: [Ending; 8] = [
    Ending::Kill,
    Ending::Kill,
    Ending::Kill,
    Ending::Kill,
    Ending::HoldAndKill,
    Ending::PauseAndKill,
    Ending::StopAndKill,
    Ending::StopAndKill,
];

/// The rounds, and what they have come to.
struct Crashes<'a> {
    arguments: &'a CrashArguments,
    place: PathBuf,
    log: PathBuf,
    random: SmallRng,
    kinds: Deck<LoadKind>,
    endings: Deck<Ending>,
    by_load: BTreeMap<&'static str, UnderOneLoad>,
    /// What was found apart from rounds: at the end of a ledger.
    at_the_end: Findings,
    kills_while_creating: Kills,
    rounds: u32,
    ledgers: u32,
    pauses: u32,
    long_pauses: u32,
    verifications: u32,
    stopped_cleanly: Option<bool>,
    data_verified: Option<bool>,
}

pub(crate) async fn crash(arguments: &CrashArguments) -> Result<ExitCode> {
    let started = Instant::now();
    let started_at = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    let temporary =
        tempfile::Builder::new().prefix("bursar-crash-").tempdir().context("making a temporary directory")?;
    let place = arguments.data.clone().unwrap_or_else(|| temporary.path().to_owned());
    let log = arguments.server_log.clone().unwrap_or_else(|| temporary.path().join("server.log"));
    let mut crashes = Crashes::new(arguments, place, log);
    let mut interruption = Interruption::listen().context("listening for signals")?;
    // However this ends, the server ends with it: the future that owns it is dropped.
    let ended = tokio::select! {
        ended = crashes.all() => ended,
        () = interruption.next() => Err(anyhow::anyhow!("interrupted")),
    };
    let failure = ended.err().map(|error| format!("{error:#}"));
    let (place, log) = (crashes.ledger_directory(), crashes.log.clone());
    let report = crashes.report(started_at, started.elapsed(), failure);
    println!("{}", report.text());
    if let Some(path) = &arguments.json {
        let json = serde_json::to_string_pretty(&report).context("writing the result")? + "\n";
        fs::write(path, json).with_context(|| format!("writing {}", path.display()))?;
    }
    if !report.passed {
        println!("the server's data is in {}, its output in {}", place.display(), log.display());
        keep_unless_empty(temporary);
    }
    Ok(if report.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The model is of a ledger that begins with the test; and what was not made here is not removed here.
pub(crate) fn ensure_new(directory: &Path) -> Result<()> {
    ensure!(!directory.exists(), "{} is there already: name a new directory", directory.display());
    Ok(())
}

/// What failed is kept to be looked at; but not an empty directory when everything is somewhere else.
pub(crate) fn keep_unless_empty(temporary: tempfile::TempDir) {
    let kept = temporary.keep();
    if fs::read_dir(&kept).is_ok_and(|mut entries| entries.next().is_none()) {
        // Left behind, it would do no harm.
        let _ = fs::remove_dir(&kept);
    }
}

impl<'a> Crashes<'a> {
    fn new(arguments: &'a CrashArguments, place: PathBuf, log: PathBuf) -> Self {
        Self {
            arguments,
            place,
            log,
            random: SmallRng::seed_from_u64(mix(arguments.seed)),
            kinds: Deck::new(&LoadKind::ALL),
            endings: Deck::new(&ENDINGS),
            by_load: BTreeMap::new(),
            at_the_end: Findings::default(),
            kills_while_creating: Kills::new(),
            rounds: 0,
            ledgers: 0,
            pauses: 0,
            long_pauses: 0,
            verifications: 0,
            stopped_cleanly: None,
            data_verified: None,
        }
    }

    /// The data directory of the ledger that is being tested.
    fn ledger_directory(&self) -> PathBuf {
        self.place.join(format!("ledger-{}", self.ledgers))
    }

    async fn all(&mut self) -> Result<()> {
        fs::create_dir_all(&self.place).with_context(|| format!("making {}", self.place.display()))?;
        while self.rounds < self.arguments.rounds {
            self.ledgers += 1;
            let directory = self.ledger_directory();
            ensure_new(&directory)?;
            self.one_ledger(&directory).await?;
            let is_last = self.rounds == self.arguments.rounds;
            if !(is_last && self.arguments.data.is_some()) {
                fs::remove_dir_all(&directory)
                    .with_context(|| format!("removing {}", directory.display()))?;
            }
        }
        Ok(())
    }

    /// A ledger for some rounds, so that its recovery stays short however many rounds there are.
    async fn one_ledger(&mut self, directory: &Path) -> Result<()> {
        let command = ServerCommand {
            program: self.arguments.server_bin.clone(),
            data: directory.to_owned(),
            arguments: self.arguments.server_arguments.clone(),
            log: self.log.clone(),
            running: RunningPid::default(),
        };
        let population = Population::varied(
            self.arguments.seed.wrapping_add(u64::from(self.ledgers)),
            self.arguments.wallets,
        );
        let killed_attempts = self.random.random_range(0..=START_KILLS_MAX);
        let ledger = TestedLedger::create(
            command,
            population,
            ARCHIVED_MAX,
            killed_attempts,
            &mut self.random,
            &mut self.kills_while_creating,
        );
        let mut ledger = ledger.await.with_context(|| format!("making ledger {}", self.ledgers))?;
        for _ in 0..self.arguments.rounds_per_ledger {
            if self.rounds == self.arguments.rounds {
                break;
            }
            self.rounds += 1;
            let number = self.rounds;
            self.one_round(&mut ledger).await.with_context(|| format!("round {number}"))?;
        }
        self.end(ledger).await
    }

    async fn one_round(&mut self, ledger: &mut TestedLedger) -> Result<()> {
        let number = self.rounds;
        let (kind, ending) = (self.kinds.draw(&mut self.random), self.endings.draw(&mut self.random));
        let limits = LoadLimits {
            connections: self.arguments.connections,
            in_flight: self.arguments.in_flight,
            batch: self.arguments.batch,
            server_batch: ledger.server_batch(),
            transfers: TRANSFERS_PER_ROUND,
        };
        let plan = kind.plan(&limits, &mut self.random);
        let mut kills = Kills::new();
        let mut load = ledger.load(kind, &plan, Arc::new(Pace::new(None)), Meter::start()).await?;
        let kill_after = Duration::from_millis(self.random.random_range(KILL_AFTER_MS));
        tokio::time::sleep(kill_after).await;
        if number.is_multiple_of(LONG_PAUSE_EVERY) {
            self.long_pauses += 1;
            let pause = self.random.random_range(LONG_PAUSE_MS);
            ledger.pause(&mut load, Duration::from_millis(pause)).await?;
        }
        let pause = Duration::from_millis(self.random.random_range(PAUSE_MS));
        match ending {
            Ending::Kill => ledger.kill(None, &mut kills).await?,
            Ending::HoldAndKill => ledger.kill(Some(pause), &mut kills).await?,
            Ending::PauseAndKill => {
                self.pauses += 1;
                ledger.pause(&mut load, pause).await?;
                ledger.kill(None, &mut kills).await?;
            }
            Ending::StopAndKill => ledger.kill_while_stopping(&mut self.random, &mut kills).await?,
        }
        let round = load.ended().await;
        if self.random.random() {
            let count = self.random.random_range(1..=START_KILLS_MAX);
            ledger.kill_starts(count, &mut self.random, &mut kills).await?;
        }
        ledger.verify().await?;
        self.verifications += 1;
        ledger.start().await?;
        let mut findings = Findings::default();
        ledger.check(round, ARCHIVED_LOOKED_UP, &mut findings).await?;

        println!(
            "round {number}: {}: {}×{} in flight, after {} ms {}, ready again in {} ms: {}",
            kind.name(),
            plan.connections,
            plan.in_flight,
            kill_after.as_millis(),
            kills_in_words(&kills),
            ledger.start_took.as_millis(),
            in_words(&findings),
        );
        let (wrong, first) = (findings.wrong(), findings.first_differences.first().cloned());
        self.by_load.entry(kind.name()).or_default().add(kills, findings);
        if let Some(first) = first {
            // What is on disk now is what there is to look at: further rounds would only bury it.
            bail!("{wrong} differences, the first: {first}");
        }
        Ok(())
    }

    /// Everything of all its rounds once more, a clean stop, and the server's own opinion of its data.
    async fn end(&mut self, mut ledger: TestedLedger) -> Result<()> {
        ledger.check_archive(usize::MAX, &mut self.at_the_end).await?;
        let stopped = ledger.stop().await;
        self.stopped_cleanly = Some(stopped.is_ok() && self.stopped_cleanly.unwrap_or(true));
        stopped?;
        let verified = ledger.verify().await;
        self.data_verified = Some(verified.is_ok() && self.data_verified.unwrap_or(true));
        self.verifications += 1;
        verified
    }

    fn report(self, started_at: String, elapsed: Duration, failure: Option<String>) -> CrashReport {
        let mut findings = self.at_the_end;
        let mut kills = self.kills_while_creating;
        for load in self.by_load.values() {
            findings.absorb(load.findings.clone());
            for (phase, count) in &load.kills {
                *kills.entry(phase).or_default() += count;
            }
        }
        let passed = failure.is_none() && findings.passed();
        CrashReport {
            command: "crash",
            started_at,
            elapsed_s: elapsed.as_secs_f64(),
            rounds: self.rounds,
            ledgers: self.ledgers,
            kills_total: kills.values().sum(),
            kills,
            pauses: self.pauses,
            long_pauses: self.long_pauses,
            verifications: self.verifications,
            findings,
            by_load: self.by_load,
            stopped_cleanly: self.stopped_cleanly,
            data_verified: self.data_verified,
            failure,
            passed,
            parameters: CrashParameters::of(self.arguments),
            environment: Environment::read(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_is_there_already_is_left_alone() {
        let place = tempfile::tempdir().expect("there is room for a directory");
        ensure_new(&place.path().join("ledger-1")).expect("it is not there");
        let error = ensure_new(place.path()).expect_err("it is there");
        assert!(error.to_string().contains("is there already"), "{error}");
    }
}
