//! `soak`: one ledger for a long time under every kind of load, with kills, pauses and restarts in between. After each
//! leg everything that was told is checked, and memory, disk, threads and descriptors must stay bounded.
//!
//! | module | holds |
//! |---|---|
//! | [`plan`] | what is done one after the other |
//! | [`watch`] | samples of the server |
//! | [`bounds`] | what they must stay within |
//! | [`tally`] | what it has come to; [`report`] the result, [`page`], [`plots`] |

mod bounds;
mod page;
mod plan;
mod plots;
mod report;
mod tally;
mod watch;

use crate::arguments::SoakArguments;
use crate::crash::{ensure_new, keep_unless_empty};
use crate::figures::grouped;
use crate::interruption::Interruption;
use crate::population::{Population, mix};
use crate::server_process::{RunningPid, ServerCommand};
use crate::soak::plan::{BURSTS, FAULTS, Fault, burst_length, leg_length};
use crate::soak::report::Event;
use crate::soak::tally::{Ending, Tally};
use crate::soak::watch::Watch;
use crate::survival::findings::Findings;
use crate::survival::kill::Kills;
use crate::survival::load_kind::{Deck, LoadKind, LoadLimits};
use crate::survival::pace::Pace;
use crate::survival::round::Round;
use crate::survival::round_load::{Meter, RoundLoad};
use crate::survival::tested_ledger::TestedLedger;
use anyhow::{Context, Result, bail};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::fs;
use std::ops::RangeInclusive;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime};

/// Samples and windows of the timeline: so many at most, none shorter than this.
const WINDOWS_MAX: u32 = 1_200;
const WINDOW_MIN: Duration = Duration::from_millis(250);

/// Transfers of one leg: what was told of each is kept until it is checked.
const TRANSFERS_PER_LEG: usize = 2_000_000;

/// What is kept of earlier legs, and how much of it is looked up after a leg without and with a restart. At the end it is
/// all of it.
const ARCHIVED_MAX: usize = 1_000_000;
const ARCHIVED_LOOKED_UP: usize = 2_000;
const ARCHIVED_LOOKED_UP_RESTARTED: usize = 50_000;

/// For so long the load goes as fast as it can before the server is struck.
const RUSH_MS: RangeInclusive<u64> = 10..=150;

/// How often the server is killed in a row while it recovers, at most.
const START_KILLS_MAX: u32 = 4;

/// A soak that runs.
struct Soak<'a> {
    arguments: &'a SoakArguments,
    random: SmallRng,
    kinds: Deck<LoadKind>,
    faults: Deck<Fault>,
    bursts: Deck<bool>,
    meter: Meter,
    command: ServerCommand,
    watch: Watch,
    interrupted: Arc<AtomicBool>,
    tally: Tally,
}

pub(crate) async fn soak(arguments: &SoakArguments) -> Result<ExitCode> {
    let started_at = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    let temporary =
        tempfile::Builder::new().prefix("bursar-soak-").tempdir().context("making a temporary directory")?;
    let command = ServerCommand {
        program: arguments.server_bin.clone(),
        data: arguments.data.clone().unwrap_or_else(|| temporary.path().join("data")),
        arguments: arguments.server_arguments.clone(),
        log: arguments.server_log.clone().unwrap_or_else(|| temporary.path().join("server.log")),
        running: RunningPid::default(),
    };
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    let mut interruption = Interruption::listen().context("listening for signals")?;
    ensure_new(&command.data)?;
    let mut soak = Soak::new(arguments, command.clone(), interrupted);
    let kept_watch = soak.watch.keep((arguments.duration / WINDOWS_MAX).max(WINDOW_MIN));
    let interrupted_twice = async {
        interruption.next().await;
        eprintln!("interrupted: ending after this leg; once more ends this at once");
        flag.store(true, Ordering::Relaxed);
        interruption.next().await;
    };
    // However this ends, the server ends with it: the future that owns it is dropped.
    let ended = tokio::select! {
        ended = soak.all() => ended,
        () = interrupted_twice => Err(anyhow::anyhow!("interrupted")),
    };
    drop(kept_watch);
    let ending = Ending {
        failure: ended.err().map(|error| format!("{error:#}")),
        interrupted: soak.interrupted.load(Ordering::Relaxed),
    };
    let report = soak.tally.report(arguments, &soak.watch, &soak.meter, started_at, ending);
    println!("{}", report.text());
    if let Some(path) = &arguments.json {
        let json = serde_json::to_string_pretty(&report).context("writing the result")? + "\n";
        fs::write(path, json).with_context(|| format!("writing {}", path.display()))?;
    }
    if let Some(path) = &arguments.report {
        fs::write(path, page::render(&report)?).with_context(|| format!("writing {}", path.display()))?;
    }
    if !report.passed {
        println!(
            "the server's data is in {}, its output in {}",
            command.data.display(),
            command.log.display()
        );
        keep_unless_empty(temporary);
    }
    Ok(if report.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl<'a> Soak<'a> {
    fn new(arguments: &'a SoakArguments, command: ServerCommand, interrupted: Arc<AtomicBool>) -> Self {
        let meter = Meter::start();
        let watch = Watch::new(command.running.clone(), command.data.clone(), meter.clone());
        Self {
            arguments,
            random: SmallRng::seed_from_u64(mix(arguments.seed)),
            kinds: Deck::new(&LoadKind::ALL),
            faults: Deck::new(&FAULTS),
            bursts: Deck::new(&BURSTS),
            meter,
            command,
            watch,
            interrupted,
            tally: Tally::default(),
        }
    }

    fn is_over(&self) -> bool {
        self.interrupted.load(Ordering::Relaxed) || self.meter.started.elapsed() >= self.arguments.duration
    }

    async fn all(&mut self) -> Result<()> {
        let population = Population::varied(self.arguments.seed, self.arguments.wallets);
        let (random, kills) = (&mut self.random, &mut self.tally.kills);
        let mut ledger =
            TestedLedger::create(self.command.clone(), population, ARCHIVED_MAX, 0, random, kills).await?;
        self.tally.lives = 1;
        self.rest(&ledger);
        while !self.is_over() {
            self.tally.legs += 1;
            let number = self.tally.legs;
            self.leg(&mut ledger).await.with_context(|| format!("leg {number}"))?;
        }
        self.end(ledger).await
    }

    /// Load of one kind, something that is done to the server, and the check of all that was told.
    async fn leg(&mut self, ledger: &mut TestedLedger) -> Result<()> {
        let kind = self.kinds.draw(&mut self.random);
        let fault = self.faults.draw(&mut self.random);
        let limits = LoadLimits {
            connections: self.arguments.connections,
            in_flight: self.arguments.in_flight,
            batch: self.arguments.batch,
            server_batch: ledger.server_batch(),
            transfers: TRANSFERS_PER_LEG,
        };
        let plan = kind.plan(&limits, &mut self.random);
        let length = leg_length(self.arguments.duration, &mut self.random);
        let pace = Arc::new(Pace::new(Some(self.arguments.rate)));
        self.watch.know(|known| known.connections = 1 + plan.connections as u64);
        let load = ledger.load(kind, &plan, Arc::clone(&pace), self.meter.clone()).await?;
        let first_part = length.mul_f64(self.random.random_range(0.1..0.9));
        tokio::time::sleep(first_part).await;
        if self.bursts.draw(&mut self.random) {
            self.burst(&pace, burst_length(length)).await;
        }
        tokio::time::sleep(length.saturating_sub(first_part)).await;
        if fault.strikes_under_load() {
            // At the pace of the soak there is often nothing under way; what strikes is to strike something.
            pace.set(None);
            let rush = self.random.random_range(RUSH_MS);
            tokio::time::sleep(Duration::from_millis(rush)).await;
        }
        let mut kills = Kills::new();
        let round = self.harm(fault, ledger, load, &mut kills).await?;
        self.check(kind, fault, ledger, round, kills).await
    }

    /// As fast as it goes, until enough was sent or the time for it is over.
    async fn burst(&mut self, pace: &Pace, length: Duration) {
        self.tally.bursts += 1;
        self.happened("burst");
        let (started, sent_before) = (Instant::now(), self.watch.sent());
        pace.set(None);
        while started.elapsed() < length && self.watch.sent() - sent_before < self.arguments.burst {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        pace.set(Some(self.arguments.rate));
    }

    /// Does to the server what the fault says, and waits until the load has ended.
    async fn harm(
        &mut self,
        fault: Fault,
        ledger: &mut TestedLedger,
        mut load: RoundLoad,
        kills: &mut Kills,
    ) -> Result<Round> {
        *self.tally.faults.entry(fault.name()).or_default() += 1;
        if fault == Fault::Nothing {
            ledger.ensure_it_runs()?;
            return Ok(load.stop().await);
        }
        self.happened(fault.name());
        let pause = fault.pause(&mut self.random);
        match fault {
            Fault::Nothing => unreachable!("it was seen to"),
            Fault::Pause | Fault::LongPause => {
                ledger.pause(&mut load, pause).await?;
                Ok(load.stop().await)
            }
            Fault::Kill => {
                ledger.kill(None, kills).await?;
                Ok(load.ended().await)
            }
            Fault::HoldAndKill => {
                ledger.kill(Some(pause), kills).await?;
                Ok(load.ended().await)
            }
            Fault::KillAndKillStarts => {
                ledger.kill(None, kills).await?;
                let round = load.ended().await;
                let count = self.random.random_range(1..=START_KILLS_MAX);
                ledger.kill_starts(count, &mut self.random, kills).await?;
                Ok(round)
            }
            Fault::StopAndKill => {
                ledger.kill_while_stopping(&mut self.random, kills).await?;
                Ok(load.ended().await)
            }
            Fault::Restart => {
                ledger.stop().await?;
                Ok(load.ended().await)
            }
            Fault::RestartAtRest => {
                let round = load.stop().await;
                ledger.stop().await?;
                Ok(round)
            }
        }
    }

    /// Starts the server again if it was ended, and checks what the leg was told and some of what was told before.
    async fn check(
        &mut self,
        kind: LoadKind,
        fault: Fault,
        ledger: &mut TestedLedger,
        round: Round,
        kills: Kills,
    ) -> Result<()> {
        self.watch.know(|known| known.connections = 1);
        let restarts = !ledger.runs();
        if restarts {
            ledger.verify().await?;
            self.tally.verifications += 1;
            ledger.start().await?;
            self.tally.lives += 1;
            self.tally.start_took_max = self.tally.start_took_max.max(ledger.start_took);
        }
        let archived = if restarts { ARCHIVED_LOOKED_UP_RESTARTED } else { ARCHIVED_LOOKED_UP };
        let mut findings = Findings::default();
        ledger.check(round, archived, &mut findings).await?;
        self.rest(ledger);
        println!(
            "{:.0} s, leg {}: {}, {}: {} acknowledged, {} unknown, {} of them found, {} entries: {}",
            self.meter.started.elapsed().as_secs_f64(),
            self.tally.legs,
            kind.name(),
            fault.name().replace('_', " "),
            grouped(findings.acknowledged),
            grouped(findings.unknown),
            grouped(findings.found_after_crash),
            grouped(ledger.model.last_seq),
            if findings.passed() { "ok" } else { "DIFFERENCES" },
        );
        let (wrong, first) = (findings.wrong(), findings.first_differences.first().cloned());
        for (&phase, &count) in &kills {
            *self.tally.kills.entry(phase).or_default() += count;
        }
        self.tally.by_load.entry(kind.name()).or_default().add(kills, findings);
        if let Some(first) = first {
            // What is on disk now is what there is to look at: further legs would only bury it.
            bail!("{wrong} differences, the first: {first}");
        }
        Ok(())
    }

    /// The server has nothing to do: looks at it.
    fn rest(&mut self, ledger: &TestedLedger) {
        let wallets = ledger.model.population.everyone() + ledger.model.openings.wallets_done();
        let (last_seq, sent) = (ledger.model.last_seq, self.watch.sent());
        self.tally.entries = last_seq;
        self.tally.wallets = wallets as u64;
        self.tally.archived = ledger.model.archive.told_and_kept();
        self.watch.know(|known| {
            (known.last_seq, known.sent_by_then, known.wallets) = (last_seq, sent, wallets as u64);
        });
        self.watch.take(true);
    }

    /// All that is kept once more, a clean stop, and the server's own opinion of its data.
    async fn end(&mut self, mut ledger: TestedLedger) -> Result<()> {
        ledger.check_archive(usize::MAX, &mut self.tally.at_the_end).await?;
        self.rest(&ledger);
        ledger.stop().await?;
        ledger.verify().await?;
        self.tally.verifications += 1;
        Ok(())
    }

    fn happened(&mut self, what: &'static str) {
        let at_s = self.meter.started.elapsed().as_secs_f64();
        self.tally.events.push(Event { at_s, what });
    }
}
