//! A seed's story: several lives of the process on one disk, each ended by a fault, and a last one in peace.

use super::clients::Clients;
use super::history::History;
use super::oracle::{self, Call, Troubles};
use super::world::{PANICKED, Start, Step, World};
use crate::admission::Rejection;
use crate::core::WalletsInMemory;
use crate::request::Answer;
use crate::simulation::clients::Asked;
use ledger::{OrderKind, Status};
use persistence::{Crash, DiskFailure, SimulatedDisk};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::collections::BTreeMap;

const SECOND_NS: u64 = 1_000_000_000;

/// More steps than any life needs; a story that does not end is a fault.
const STEPS_MAX: u64 = 200_000;

/// What has happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Figures {
    steps: u64,
    answers: u64,
    entries: u64,
    lives: u64,
    kills: u64,
    power_losses: u64,
    disk_failures: u64,
    failures_in_recovery: u64,
    torn_ends: u64,
    survived_unacknowledged: u64,
    panics: u64,
    quarantined: u64,
    fatal_panics: u64,
    rejections: u64,
    unknown: u64,
    folds: u64,
    /// How often each kind of order was done, and each refusal journaled.
    kinds: BTreeMap<&'static str, u64>,
}

impl Figures {
    pub(super) fn add(&mut self, other: &Self) {
        let Self {
            steps,
            answers,
            entries,
            lives,
            kills,
            power_losses,
            disk_failures,
            failures_in_recovery,
            torn_ends,
            survived_unacknowledged,
            panics,
            quarantined,
            fatal_panics,
            rejections,
            unknown,
            folds,
            kinds,
        } = other;
        for (name, times) in kinds {
            *self.kinds.entry(name).or_default() += times;
        }
        self.steps += steps;
        self.answers += answers;
        self.entries += entries;
        self.lives += lives;
        self.kills += kills;
        self.power_losses += power_losses;
        self.disk_failures += disk_failures;
        self.failures_in_recovery += failures_in_recovery;
        self.torn_ends += torn_ends;
        self.survived_unacknowledged += survived_unacknowledged;
        self.panics += panics;
        self.quarantined += quarantined;
        self.fatal_panics += fatal_panics;
        self.rejections += rejections;
        self.unknown += unknown;
        self.folds += folds;
    }

    /// A fault that never happens shows nothing.
    pub(super) fn assert_that_everything_happened(&self, seeds: u64) {
        if seeds < 200 {
            return;
        }
        let happened = [
            self.kills,
            self.power_losses,
            self.disk_failures,
            self.failures_in_recovery,
            self.torn_ends,
            self.survived_unacknowledged,
            self.panics,
            self.quarantined,
            self.rejections,
            self.unknown,
            self.folds,
        ];
        assert!(happened.iter().all(|&times| times > 0), "{self:?}");
        // Nobody comes near 2^127 here, and a wallet that does not exist credits nobody often.
        let rare = ["debit_wallet_overflow", "credit_wallet_overflow"];
        let kinds = OrderKind::ALL.into_iter().map(OrderKind::name);
        let refusals = Status::ALL.iter().filter(|status| status.is_final()).map(|status| status.name());
        for name in
            kinds.chain(refusals).chain(["change", "close_import"]).filter(|name| !rare.contains(name))
        {
            assert!(self.kinds.contains_key(name), "no {name} in {seeds} seeds: {self:?}");
        }
    }
}

/// How a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// When everybody has been answered.
    Peace,
    /// At that step.
    AtStep(u64),
    /// When the disk fails, at that operation of it.
    Disk(u64, DiskFailure),
}

struct Story {
    rng: SmallRng,
    trace: bool,
    clients: Clients,
    history: History,
    disk: SimulatedDisk,
    wall_clock_ns: u64,
    /// The newest entry that anybody was answered from.
    known_seq: u64,
    figures: Figures,
}

/// Runs one seed.
pub(super) fn run(seed: u64, trace: bool) -> Figures {
    let mut rng = SmallRng::seed_from_u64(seed);
    let lives = rng.random_range(1..=4);
    let mut story = Story {
        clients: Clients::new(rng.random()),
        rng,
        trace,
        history: History::default(),
        disk: SimulatedDisk::default(),
        wall_clock_ns: 1_000 * SECOND_NS,
        known_seq: 0,
        figures: Figures::default(),
    };
    for _ in 0..lives {
        story.live(false);
    }
    story.live(true);
    story.figures.entries = story.history.last_seq();
    story.figures.kinds = story.history.kinds();
    story.figures
}

impl Story {
    fn live(&mut self, is_last: bool) {
        self.figures.lives += 1;
        let mut world = self.open();
        let ends = if is_last { End::Peace } else { self.choose_end() };
        if let End::Disk(operation, failure) = ends {
            self.disk.fail_at(self.disk.operations() + operation, failure);
        }
        self.note(&format!("a life that ends {ends:?}"));
        let panics_one_in =
            if !is_last && self.rng.random_ratio(1, 2) { self.rng.random_range(5..200) } else { 0 };
        let arrives_in_order = self.rng.random_ratio(1, 2);
        // From books that are close behind to books that never catch up.
        let folds_one_in = [0, 5, 30, 200][self.rng.random_range(0..4)];
        let calls_max = self.rng.random_range(5..=60);
        let under_way_max = self.rng.random_range(1..=10);
        let mut calls: Vec<Option<Call>> = Vec::new();
        let (mut under_way, mut step_number) = (0, 0_u64);
        loop {
            step_number += 1;
            assert!(step_number < STEPS_MAX, "it does not come to an end: {:?}", world.enabled());
            if ends == End::AtStep(step_number) {
                break;
            }
            if calls.len() < calls_max && under_way < under_way_max && self.rng.random_ratio(1, 4) {
                under_way += usize::from(self.submit(&mut world, &mut calls));
            }
            if panics_one_in > 0 && self.rng.random_ratio(1, panics_one_in) {
                world.panics.arm(self.rng.random_range(1..=4));
            }
            self.let_time_pass(&world);
            if self.rng.random_ratio(1, 50) {
                world.expire_holds();
            }
            if folds_one_in > 0 && self.rng.random_ratio(1, folds_one_in) && world.can_fold() {
                self.figures.folds += 1;
                world.run(Step::Fold, &mut |_| 0);
            }
            let steps = world.enabled();
            if steps.is_empty() && calls.len() == calls_max {
                break;
            }
            if !steps.is_empty() {
                let step = steps[self.rng.random_range(0..steps.len())];
                if self.trace {
                    println!("{step_number:5} {step:?}");
                }
                let rng = &mut self.rng;
                world.run(step, &mut |count| if arrives_in_order { 0 } else { rng.random_range(0..count) });
            }
            for (number, answer, synced_seq) in world.take_answers() {
                under_way -= 1;
                let call = calls[number].take().expect("a request is answered once");
                self.check(&world, &call, answer, synced_seq, panics_one_in > 0);
            }
            if let Some(reason) = world.fatal() {
                let is_expected = matches!(ends, End::Disk(..)) || reason == PANICKED;
                assert!(is_expected, "the process ends for no reason: {reason}");
                break;
            }
        }
        self.figures.steps += step_number;
        self.figures.panics += world.panics.injected.load(std::sync::atomic::Ordering::Relaxed);
        let unanswered = calls.iter().flatten().count() as u64;
        if world.enabled().is_empty() && world.fatal().is_none() {
            assert_eq!(unanswered, 0, "nothing is under way, and yet not everybody was answered");
            self.history.catch_up(&world.whole_journal(), world.durable_seq());
            world.assert_at_rest(&self.history);
            self.figures.quarantined += world.quarantined() as u64;
        }
        self.figures.unknown += unanswered;
        self.crash(world);
    }

    /// Opens the disk. The first tries may fail, and be cut off in their turn.
    fn open(&mut self) -> World {
        loop {
            if self.rng.random_ratio(1, 4) {
                self.disk.fail_at(self.rng.random_range(1..=4), DiskFailure::Broken);
            }
            // The wall clock may have been set, back as well as forth.
            let wall_clock_ns = if self.rng.random_ratio(1, 4) {
                self.rng.random_range(0..2 * self.wall_clock_ns)
            } else {
                self.wall_clock_ns
            };
            let start = Start {
                shards: self.rng.random_range(1..=3),
                shard_seed: self.rng.random(),
                wall_clock_ns,
                wallets_in_memory: WalletsInMemory {
                    live_max: self.rng.random_range(0..=8),
                    dormant_max: self.rng.random_range(0..=8),
                },
                window_entries: self.rng.random_range(1..=64),
            };
            match World::open(&self.disk, start) {
                Ok((world, report)) => {
                    self.note(&format!("opened: {start:?} {report:?}"));
                    // What was to fail in recovery did not come to it; it may not fail in peace.
                    self.disk.fail_at(u64::MAX, DiskFailure::Broken);
                    self.figures.torn_ends += u64::from(report.dropped_tail.is_some());
                    self.figures.survived_unacknowledged += u64::from(report.last_seq > report.head_seq);
                    self.history =
                        self.history.recovered(&world.whole_journal(), report.last_seq, self.known_seq);
                    // Nobody was told of these, and yet a reader may see them from now on.
                    return world;
                }
                Err(error) => {
                    assert!(self.disk.has_failed(), "what was acknowledged cannot be opened: {error}");
                    self.note(&format!("the disk failed during recovery: {error}"));
                    self.figures.failures_in_recovery += 1;
                    self.disk = self.crashed();
                }
            }
        }
    }

    fn choose_end(&mut self) -> End {
        match self.rng.random_range(0..4) {
            0 => End::Peace,
            1 => End::Disk(self.rng.random_range(1..=60), DiskFailure::Broken),
            2 => End::Disk(self.rng.random_range(1..=60), DiskFailure::Full),
            _ => End::AtStep(self.rng.random_range(1..=2000)),
        }
    }

    fn crash(&mut self, world: World) {
        match world.fatal() {
            Some(reason) if reason == PANICKED => self.figures.fatal_panics += 1,
            Some(_) => self.figures.disk_failures += 1,
            None => {}
        }
        self.wall_clock_ns = world.now_ns();
        let next = self.crashed();
        world.end();
        self.disk = next;
    }

    fn crashed(&mut self) -> SimulatedDisk {
        let crash = if self.rng.random_ratio(1, 2) { Crash::Kill } else { Crash::PowerLoss };
        match crash {
            Crash::Kill => self.figures.kills += 1,
            Crash::PowerLoss => self.figures.power_losses += 1,
        }
        self.note(&format!("{crash:?}"));
        let rng = &mut self.rng;
        self.disk.crash(crash, &mut |below| rng.random_range(0..below))
    }

    /// Says whether a request is under way now.
    fn submit(&mut self, world: &mut World, calls: &mut Vec<Option<Call>>) -> bool {
        let asked = self.clients.next();
        let has_deadline = self.rng.random_ratio(1, 10);
        let deadline_in_ns = has_deadline.then(|| self.rng.random_range(0..2 * SECOND_NS));
        let disk_full = self.rng.random_ratio(1, 30);
        world.set_disk_full(disk_full);
        let via = self.rng.random_range(0..3);
        let submitted = world.submit(calls.len(), &asked, deadline_in_ns, via);
        world.set_disk_full(false);
        self.note(&format!("request {}: {asked:?} {submitted:?}", calls.len()));
        let is_write =
            !matches!(asked, Asked::ReadWallets(_) | Asked::ReadTransfers(_) | Asked::TrialBalance);
        match submitted {
            Ok(()) => {
                assert!(!(disk_full && is_write), "nothing is written when the disk is full");
                calls.push(Some(Call { asked, has_deadline, known_seq: self.known_seq }));
                true
            }
            Err(rejection) => {
                self.figures.rejections += 1;
                match rejection {
                    Rejection::DiskFull => assert!(disk_full && is_write),
                    Rejection::Overloaded => {}
                    Rejection::ShuttingDown | Rejection::Unavailable => panic!("{rejection:?}"),
                }
                calls.push(None);
                false
            }
        }
    }

    fn let_time_pass(&mut self, world: &World) {
        let nanoseconds = match self.rng.random_range(0..1000) {
            0 => self.rng.random_range(0..100 * SECOND_NS),
            1..20 => self.rng.random_range(0..SECOND_NS),
            _ => self.rng.random_range(0..1000),
        };
        world.pass_time(nanoseconds);
    }

    fn check(&mut self, world: &World, call: &Call, answer: Answer, synced_seq: u64, panics: bool) {
        if self.trace {
            println!("      {:?} is answered {answer:?}", call.asked);
        }
        if matches!(answer, Answer::OutcomeUnknown | Answer::Unavailable) && world.fatal().is_some() {
            self.figures.unknown += 1;
            return;
        }
        self.figures.answers += 1;
        self.history.catch_up(&world.whole_journal(), world.durable_seq());
        let seen_seq = oracle::check(call, answer, &self.history, Troubles { panics });
        assert!(seen_seq <= synced_seq, "entry {seen_seq} is answered from, and {synced_seq} is on the disk");
        self.known_seq = self.known_seq.max(seen_seq);
    }

    fn note(&self, what: &str) {
        if self.trace {
            println!("      {what}");
        }
    }
}
