//! The result of a soak, as JSON and as text.

use crate::arguments::SoakArguments;
use crate::crash_report::{UnderOneLoad, kills_table, loads_table};
use crate::environment::Environment;
use crate::figures::{grouped, microseconds, rounded};
use crate::measurements::{Percentiles, TimelinePoint};
use crate::report_table::table;
use crate::soak::bounds::Bound;
use crate::soak::watch::Sample;
use crate::survival::findings::Findings;
use crate::survival::kill::Kills;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The result.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SoakReport {
    pub(crate) command: &'static str,
    pub(crate) started_at: String,
    pub(crate) elapsed_s: f64,
    /// `complete`, `interrupted` or `failed`.
    pub(crate) ended: &'static str,
    pub(crate) passed: bool,
    /// What ended it early.
    pub(crate) failure: Option<String>,
    pub(crate) legs: u32,
    /// Starts of the server, the first one included.
    pub(crate) lives: u32,
    /// What was done to the server, and how often.
    pub(crate) faults: BTreeMap<&'static str, u64>,
    pub(crate) bursts: u32,
    pub(crate) kills_total: u64,
    pub(crate) kills: Kills,
    /// How often `SERVER verify` found nothing.
    pub(crate) verifications: u32,
    /// How long the longest start took, recovery included.
    pub(crate) start_took_s_max: f64,
    /// Entries in the journal at the end.
    pub(crate) entries: u64,
    pub(crate) wallets: u64,
    #[serde(flatten)]
    pub(crate) findings: Findings,
    /// Transfers of earlier legs of which it is kept what was told, and of how many.
    pub(crate) archived_kept: u64,
    pub(crate) archived_of: u64,
    pub(crate) requests: u64,
    pub(crate) transfers_acknowledged: u64,
    pub(crate) transfers_per_second: f64,
    /// Of all requests with transfers, in pauses and bursts, too.
    pub(crate) latency_us: Percentiles,
    pub(crate) errors: BTreeMap<&'static str, u64>,
    pub(crate) bounds: Vec<Bound>,
    /// How much memory and journal grew with each entry, by least squares over the rests.
    pub(crate) resident_bytes_per_entry: Option<f64>,
    pub(crate) journal_bytes_per_entry: Option<f64>,
    pub(crate) by_load: BTreeMap<&'static str, UnderOneLoad>,
    pub(crate) parameters: SoakParameters,
    pub(crate) environment: Environment,
    pub(crate) marks: Vec<Event>,
    pub(crate) timeline: Vec<TimelinePoint>,
    pub(crate) samples: Vec<Sample>,
}

/// Something that was done to the server.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Event {
    pub(crate) at_s: f64,
    pub(crate) what: &'static str,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct SoakParameters {
    pub(crate) server: String,
    pub(crate) server_arguments: Vec<String>,
    pub(crate) duration_s: f64,
    pub(crate) rate: f64,
    pub(crate) burst: u64,
    pub(crate) wallets: u32,
    pub(crate) connections: usize,
    pub(crate) in_flight: usize,
    pub(crate) batch: u64,
    pub(crate) seed: u64,
}

impl SoakParameters {
    pub(crate) fn of(arguments: &SoakArguments) -> Self {
        Self {
            server: arguments.server_bin.display().to_string(),
            server_arguments: arguments.server_arguments.clone(),
            duration_s: arguments.duration.as_secs_f64(),
            rate: arguments.rate,
            burst: arguments.burst,
            wallets: arguments.wallets,
            connections: arguments.connections,
            in_flight: arguments.in_flight,
            batch: arguments.batch,
            seed: arguments.seed,
        }
    }
}

impl SoakReport {
    /// For people.
    pub(crate) fn text(&self) -> String {
        let mut text = format!(
            "{}\n{}\n{}\n",
            loads_table(&self.by_load),
            kills_table(&self.kills),
            bounds_table(&self.bounds)
        );
        for line in self.lines() {
            writeln!(text, "{line}").expect("a string takes what it is given");
        }
        for difference in &self.findings.first_differences {
            writeln!(text, "  {difference}").expect("a string takes what it is given");
        }
        if let Some(failure) = &self.failure {
            writeln!(text, "  {failure}\n  the plan again: --seed {}", self.parameters.seed)
                .expect("a string takes what it is given");
        }
        text.truncate(text.trim_end().len());
        text
    }

    fn lines(&self) -> Vec<String> {
        let faults: Vec<String> = self
            .faults
            .iter()
            .filter(|(name, _)| **name != "nothing")
            .map(|(name, count)| format!("{} {}", name.replace('_', " "), grouped(*count)))
            .collect();
        let growth =
            |bytes: Option<f64>| bytes.map_or("unknown".to_owned(), |bytes| format!("{bytes:.0} bytes"));
        let findings = &self.findings;
        vec![
            format!(
                "{:.0} s ({}), {} legs, {} lives of the server, {} kills, seed {}",
                self.elapsed_s,
                self.ended,
                grouped(u64::from(self.legs)),
                grouped(u64::from(self.lives)),
                grouped(self.kills_total),
                self.parameters.seed
            ),
            format!("done to the server: {}; bursts {}", faults.join(", "), self.bursts),
            format!(
                "{} entries, {} wallets; {} transfers/s on average; p50 {}, p99 {}, max {}; longest start {:.1} s",
                grouped(self.entries),
                grouped(self.wallets),
                rounded(self.transfers_per_second),
                microseconds(self.latency_us.p50),
                microseconds(self.latency_us.p99),
                microseconds(self.latency_us.max),
                self.start_took_s_max,
            ),
            format!(
                "with each entry memory grew by {}, the journal by {}",
                growth(self.resident_bytes_per_entry),
                growth(self.journal_bytes_per_entry)
            ),
            format!(
                "looked up again {} (kept {} of {}), sent again {}, reads compared {}, `verify` found nothing {} times",
                grouped(findings.looked_up_again),
                grouped(self.archived_kept),
                grouped(self.archived_of),
                grouped(findings.sent_again),
                grouped(findings.reads),
                grouped(u64::from(self.verifications)),
            ),
            format!(
                "acknowledged {}, unknown {}, found afterwards {}, lost {}, doubled {}, mismatches {}: {}",
                grouped(findings.acknowledged),
                grouped(findings.unknown),
                grouped(findings.found_after_crash),
                grouped(findings.lost),
                grouped(findings.doubled),
                grouped(findings.mismatches),
                self.verdict(),
            ),
        ]
    }

    pub(crate) fn verdict(&self) -> &'static str {
        if self.passed { "passed" } else { "FAILED" }
    }
}

fn bounds_table(bounds: &[Bound]) -> comfy_table::Table {
    let mut table = table(&["bound", "allowed", "used at most", "of"]);
    for bound in bounds {
        let name = if bound.held { bound.name.to_owned() } else { format!("{}: BROKEN", bound.name) };
        let (value, limit) = used(bound);
        table.add_row([name, bound.rule.clone(), value, limit]);
    }
    table
}

/// What was used at the worst moment, and what was allowed then.
pub(crate) fn used(bound: &Bound) -> (String, String) {
    let figure = |number: u64| match number {
        0..1_000_000 => grouped(number),
        _ => format!("{} MiB", grouped(number >> 20)),
    };
    bound.worst.map_or_else(
        || ("never looked at".to_owned(), String::new()),
        |worst| (figure(worst.value), figure(worst.limit)),
    )
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::report;
    use crate::server_vitals::Vitals;
    use crate::soak::bounds;

    /// A report of a small soak.
    pub(crate) fn sample() -> SoakReport {
        let samples: Vec<Sample> = (0..40)
            .map(|number| Sample {
                at_s: f64::from(number) * 0.25,
                at_rest: number % 10 == 0,
                connections: 3,
                entries: u64::try_from(number).expect("it is positive") * 10_000,
                wallets: 1_000,
                server: (number % 7 != 0 || number == 0).then_some(Vitals {
                    resident_bytes: 90 << 20,
                    resident_bytes_max: 100 << 20,
                    threads: 15,
                    descriptors: 27,
                }),
                journal_bytes: 30 << 20,
                other_bytes: 9_000,
                harness_bytes: 20 << 20,
            })
            .collect();
        let run = report::tests::sample();
        SoakReport {
            command: "soak",
            started_at: "2026-01-02T03:04:05.678Z".to_owned(),
            elapsed_s: 10.0,
            ended: "complete",
            passed: true,
            failure: None,
            legs: 9,
            lives: 4,
            faults: [("kill", 2), ("nothing", 6), ("long_pause", 1)].into(),
            bursts: 3,
            kills_total: 2,
            kills: [("under_load", 2)].into(),
            verifications: 4,
            start_took_s_max: 0.3,
            entries: 390_000,
            wallets: 1_000,
            findings: Findings { acknowledged: 389_000, ..Findings::default() },
            archived_kept: 200_000,
            archived_of: 389_000,
            requests: 80_000,
            transfers_acknowledged: 389_000,
            transfers_per_second: 38_900.0,
            latency_us: run.latency_us,
            errors: BTreeMap::new(),
            bounds: bounds::judge(&samples),
            resident_bytes_per_entry: Some(71.3),
            journal_bytes_per_entry: None,
            by_load: [("zipf", UnderOneLoad::default())].into(),
            parameters: SoakParameters {
                server: "<bursar>".to_owned(),
                server_arguments: Vec::new(),
                duration_s: 10.0,
                rate: 1_000.0,
                burst: 50_000,
                wallets: 1_000,
                connections: 4,
                in_flight: 16,
                batch: 64,
                seed: 1,
            },
            environment: run.environment,
            marks: vec![Event { at_s: 1.0, what: "kill" }, Event { at_s: 3.0, what: "burst" }],
            timeline: run.timeline,
            samples,
        }
    }

    #[test]
    fn the_json_has_its_counts_at_the_top() {
        let json = serde_json::to_value(sample()).expect("it is JSON");
        for (pointer, expected) in [
            ("/acknowledged", 389_000),
            ("/lost", 0),
            ("/doubled", 0),
            ("/mismatches", 0),
            ("/kills_total", 2),
            ("/faults/long_pause", 1),
            ("/samples/0/server/threads", 15),
        ] {
            assert_eq!(json.pointer(pointer), Some(&expected.into()), "{pointer}");
        }
        assert_eq!(json.pointer("/bounds/0/held"), Some(&true.into()));
        assert_eq!(json["passed"], true);
    }

    #[test]
    fn the_text_names_what_was_broken() {
        let text = sample().text();
        for part in
            ["mismatches 0: passed", "memory grew by 71 bytes", "long pause 1", "kept 200,000 of 389,000"]
        {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        let mut broken = sample();
        broken.bounds[0].held = false;
        broken.passed = false;
        broken.failure = Some("memory of the server".to_owned());
        let text = broken.text();
        for part in ["memory of the server: BROKEN", "mismatches 0: FAILED", "--seed 1"] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
    }
}
