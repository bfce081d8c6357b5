//! The result of `crash`, as JSON and as text.

use crate::arguments::CrashArguments;
use crate::environment::Environment;
use crate::figures::grouped;
use crate::report_table::table;
use crate::survival::findings::Findings;
use crate::survival::kill::{KillPhase, Kills};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The result.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CrashReport {
    pub(crate) command: &'static str,
    pub(crate) started_at: String,
    pub(crate) elapsed_s: f64,
    /// Rounds that were begun.
    pub(crate) rounds: u32,
    /// Data directories.
    pub(crate) ledgers: u32,
    /// All kills, by where they hit.
    pub(crate) kills_total: u64,
    pub(crate) kills: Kills,
    /// SIGSTOP and SIGCONT, of which so many were longer than a commit may take.
    pub(crate) pauses: u32,
    pub(crate) long_pauses: u32,
    /// How often `SERVER verify` found nothing.
    pub(crate) verifications: u32,
    #[serde(flatten)]
    pub(crate) findings: Findings,
    /// The same for each kind of load.
    pub(crate) by_load: BTreeMap<&'static str, UnderOneLoad>,
    /// Whether SIGTERM ended each server with exit code 0; `null` if it did not come to that.
    pub(crate) stopped_cleanly: Option<bool>,
    /// Whether the server's own check of its data found nothing after that; `null` if it did not come to that.
    pub(crate) data_verified: Option<bool>,
    /// What ended the rounds early.
    pub(crate) failure: Option<String>,
    pub(crate) passed: bool,
    pub(crate) parameters: CrashParameters,
    pub(crate) environment: Environment,
}

/// The rounds under one kind of load.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct UnderOneLoad {
    pub(crate) rounds: u32,
    pub(crate) kills: Kills,
    #[serde(flatten)]
    pub(crate) findings: Findings,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct CrashParameters {
    server: String,
    server_arguments: Vec<String>,
    rounds: u32,
    rounds_per_ledger: u32,
    wallets: u32,
    connections: usize,
    in_flight: usize,
    batch: u64,
    seed: u64,
}

impl CrashParameters {
    pub(crate) fn of(arguments: &CrashArguments) -> Self {
        Self {
            server: arguments.server_bin.display().to_string(),
            server_arguments: arguments.server_arguments.clone(),
            rounds: arguments.rounds,
            rounds_per_ledger: arguments.rounds_per_ledger,
            wallets: arguments.wallets,
            connections: arguments.connections,
            in_flight: arguments.in_flight,
            batch: arguments.batch,
            seed: arguments.seed,
        }
    }
}

impl UnderOneLoad {
    pub(crate) fn add(&mut self, kills: Kills, findings: Findings) {
        self.rounds += 1;
        for (phase, count) in kills {
            *self.kills.entry(phase).or_default() += count;
        }
        self.findings.absorb(findings);
    }
}

impl CrashReport {
    /// For people.
    pub(crate) fn text(&self) -> String {
        let findings = &self.findings;
        let mut text = format!("{}\n{}\n", loads_table(&self.by_load), kills_table(&self.kills));
        let mut line = |line: String| writeln!(text, "{line}").expect("a string takes what it is given");
        line(format!(
            "rounds {}, ledgers {}, kills {}, pauses {} ({} of them longer than 5 s), in {:.0} s, seed {}",
            self.rounds,
            self.ledgers,
            grouped(self.kills_total),
            self.pauses + self.long_pauses,
            self.long_pauses,
            self.elapsed_s,
            self.parameters.seed,
        ));
        line(format!(
            "looked up again {}, sent again {}, reads compared {}, `verify` found nothing {} times",
            grouped(findings.looked_up_again),
            grouped(findings.sent_again),
            grouped(findings.reads),
            self.verifications,
        ));
        line(format!(
            "acknowledged {}, unknown {}, found after crash {}, lost {}, doubled {}, mismatches {}: {}",
            grouped(findings.acknowledged),
            grouped(findings.unknown),
            grouped(findings.found_after_crash),
            grouped(findings.lost),
            grouped(findings.doubled),
            grouped(findings.mismatches),
            if self.passed { "passed" } else { "FAILED" },
        ));
        if let (Some(true), Some(true)) = (self.stopped_cleanly, self.data_verified) {
            line("stopped cleanly; the server's own verification found nothing".to_owned());
        }
        for difference in &findings.first_differences {
            line(format!("  {difference}"));
        }
        if let Some(failure) = &self.failure {
            line(format!("  {failure}"));
            line(format!("  the plan of the rounds again: --seed {}", self.parameters.seed));
        }
        text.truncate(text.trim_end().len());
        text
    }
}

/// What was found under each kind of load.
pub(crate) fn loads_table(by_load: &BTreeMap<&'static str, UnderOneLoad>) -> comfy_table::Table {
    let mut table = table(&[
        "load",
        "rounds",
        "kills",
        "acknowledged",
        "refused",
        "created",
        "unknown",
        "found",
        "lost",
        "doubled",
        "mismatches",
    ]);
    for (name, load) in by_load {
        let found = &load.findings;
        let counts = [
            u64::from(load.rounds),
            load.kills.values().sum(),
            found.acknowledged,
            found.refused,
            found.created,
            found.unknown,
            found.found_after_crash,
            found.lost,
            found.doubled,
            found.mismatches,
        ];
        let mut row = vec![(*name).to_owned()];
        row.extend(counts.map(grouped));
        table.add_row(row);
    }
    table
}

/// Where kills hit, in the order of what a server does.
pub(crate) fn kills_table(kills: &Kills) -> comfy_table::Table {
    let mut table = table(&["killed", "times"]);
    for phase in KillPhase::ALL {
        let count = kills.get(phase.name()).copied().unwrap_or_default();
        table.add_row([phase.name().replace('_', " "), grouped(count)]);
    }
    table
}

/// For the line of a round.
pub(crate) fn kills_in_words(kills: &Kills) -> String {
    if kills.is_empty() {
        return "stopped in time".to_owned();
    }
    let phases = KillPhase::ALL.iter().filter_map(|phase| {
        let words = phase.name().replace('_', " ");
        match kills.get(phase.name())? {
            1 => Some(words),
            count => Some(format!("{words} ({count} times)")),
        }
    });
    format!("killed {}", phases.collect::<Vec<_>>().join(", "))
}

/// For the line of a round.
pub(crate) fn in_words(findings: &Findings) -> String {
    let verdict = match findings.wrong() {
        0 => "ok".to_owned(),
        wrong => format!("{wrong} DIFFERENCES"),
    };
    format!(
        "{} acknowledged ({} refused), {} unknown, {} of them found: {verdict}",
        grouped(findings.acknowledged),
        grouped(findings.refused),
        grouped(findings.unknown),
        grouped(findings.found_after_crash),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(findings: Findings) -> CrashReport {
        let mut load = UnderOneLoad::default();
        load.add([("under_load", 1), ("start_opened", 2)].into(), findings.clone());
        CrashReport {
            command: "crash",
            started_at: String::new(),
            elapsed_s: 1.0,
            rounds: 1,
            ledgers: 1,
            kills_total: 3,
            kills: load.kills.clone(),
            pauses: 0,
            long_pauses: 0,
            verifications: 2,
            passed: findings.passed(),
            findings,
            by_load: [("zipf", load)].into(),
            stopped_cleanly: Some(true),
            data_verified: None,
            failure: None,
            parameters: CrashParameters {
                server: "bursar".to_owned(),
                server_arguments: Vec::new(),
                rounds: 1,
                rounds_per_ledger: 1,
                wallets: 20,
                connections: 1,
                in_flight: 1,
                batch: 1,
                seed: 1,
            },
            environment: Environment::read(),
        }
    }

    #[test]
    fn the_json_of_a_crash_has_its_counts_at_the_top_and_for_each_load() {
        let report = sample(Findings { acknowledged: 5, ..Findings::default() });
        let json = serde_json::to_value(&report).expect("it is JSON");
        for (pointer, expected) in [
            ("/rounds", 1),
            ("/kills_total", 3),
            ("/kills/start_opened", 2),
            ("/acknowledged", 5),
            ("/unknown", 0),
            ("/found_after_crash", 0),
            ("/lost", 0),
            ("/doubled", 0),
            ("/mismatches", 0),
            ("/by_load/zipf/acknowledged", 5),
            ("/by_load/zipf/kills/under_load", 1),
        ] {
            assert_eq!(json.pointer(pointer), Some(&expected.into()), "{pointer}");
        }
        assert_eq!(json["passed"], true);
    }

    #[test]
    fn the_text_says_passed_only_when_nothing_differs() {
        let text = sample(Findings::default()).text();
        assert!(text.contains("mismatches 0: passed"), "{text}");
        let mut findings = Findings::default();
        findings.lose("transfer 7 is not there".to_owned());
        let text = sample(findings).text();
        assert!(text.contains("lost 1, doubled 0, mismatches 0: FAILED"), "{text}");
        assert!(text.contains("transfer 7 is not there"), "{text}");
    }
}
