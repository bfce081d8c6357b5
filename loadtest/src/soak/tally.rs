//! What a soak has come to so far, and the report of it.

use crate::arguments::SoakArguments;
use crate::crash_report::UnderOneLoad;
use crate::environment::Environment;
use crate::measurements::percentiles;
use crate::soak::bounds;
use crate::soak::report::{Event, SoakParameters, SoakReport};
use crate::soak::watch::Watch;
use crate::survival::findings::Findings;
use crate::survival::kill::Kills;
use crate::survival::round_load::Meter;
use std::collections::BTreeMap;
use std::time::Duration;

/// Counts of everything that was done and found.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) legs: u32,
    pub(super) lives: u32,
    pub(super) faults: BTreeMap<&'static str, u64>,
    pub(super) bursts: u32,
    pub(super) kills: Kills,
    pub(super) verifications: u32,
    pub(super) start_took_max: Duration,
    pub(super) entries: u64,
    pub(super) wallets: u64,
    pub(super) archived: (u64, u64),
    pub(super) by_load: BTreeMap<&'static str, UnderOneLoad>,
    pub(super) at_the_end: Findings,
    pub(super) events: Vec<Event>,
}

/// How it ended.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) failure: Option<String>,
    pub(super) interrupted: bool,
}

impl Tally {
    /// The report, with what was measured and seen beside.
    pub(super) fn report(
        self,
        arguments: &SoakArguments,
        watch: &Watch,
        meter: &Meter,
        started_at: String,
        ending: Ending,
    ) -> SoakReport {
        let elapsed = meter.started.elapsed();
        let mut findings = self.at_the_end;
        for load in self.by_load.values() {
            findings.absorb(load.findings.clone());
        }
        let samples = watch.samples();
        let bounds = bounds::judge(&samples);
        let broken: Vec<&str> = bounds.iter().filter(|bound| !bound.held).map(|bound| bound.name).collect();
        let failure = ending
            .failure
            .or_else(|| (!broken.is_empty()).then(|| format!("not within bounds: {}", broken.join(", "))));
        let ended = match (&failure, ending.interrupted) {
            (Some(_), _) => "failed",
            (None, true) => "interrupted",
            (None, false) => "complete",
        };
        let rests: Vec<_> = samples.iter().copied().filter(|sample| sample.at_rest).collect();
        let measurements = meter.lock();
        SoakReport {
            command: "soak",
            started_at,
            elapsed_s: elapsed.as_secs_f64(),
            ended,
            passed: failure.is_none() && findings.passed(),
            failure,
            legs: self.legs,
            lives: self.lives,
            faults: self.faults,
            bursts: self.bursts,
            kills_total: self.kills.values().sum(),
            kills: self.kills,
            verifications: self.verifications,
            start_took_s_max: self.start_took_max.as_secs_f64(),
            entries: self.entries,
            wallets: self.wallets,
            findings,
            archived_of: self.archived.0,
            archived_kept: self.archived.1,
            requests: measurements.requests,
            transfers_acknowledged: measurements.transfers_acknowledged,
            transfers_per_second: measurements.transfers_acknowledged as f64 / elapsed.as_secs_f64(),
            latency_us: percentiles(&measurements.latency),
            errors: measurements.errors.clone(),
            resident_bytes_per_entry: bounds::bytes_per_entry(&rests, |sample| {
                Some(sample.server?.resident_bytes)
            }),
            journal_bytes_per_entry: bounds::bytes_per_entry(&rests, |sample| Some(sample.journal_bytes)),
            bounds,
            by_load: self.by_load,
            parameters: SoakParameters::of(arguments),
            environment: Environment::read(),
            marks: self.events,
            timeline: measurements.timeline.clone(),
            samples,
        }
    }
}
