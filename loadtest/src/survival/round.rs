//! One stretch of load: what it asked for, and what it was told of every single thing.

use crate::agenda::Agenda;
use crate::call_error;
use crate::ledger_calls::Answers;
use crate::orders::Orders;
use crate::repetition;
use crate::survival::findings::Findings;
use crate::survival::load_kind::{LoadKind, LoadPlan, WALLETS_PER_ASSET};
use crate::survival::openings::Openings;
use crate::survival::reads::{Read, Reads};
use crate::survival::told::{Sent, Told};
use crate::workload::Workload;
use client::ledger::{Outcome, Refusal};
use client::{ClientError, NewAsset};
use rand::Rng;
use rand::rngs::SmallRng;
use std::time::{Duration, Instant};

/// Where transfers are repeated: how many of all, and how many of these are of the newest, which may be under way.
const REPEATED_SHARE: f64 = 0.5;
const REPEATED_NEWEST_SHARE: f64 = 0.5;
const NEWEST: usize = 64;

/// Wallets opened in one request.
const OPENED_AT_ONCE: usize = 8;

/// How often one that was asked for before is asked for again beside them.
const OPENED_AGAIN_SHARE: f64 = 0.25;

/// One round.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) kind: LoadKind,
    pub(crate) workload: Workload,
    /// By the number of the order.
    pub(crate) told: Vec<Told>,
    pub(crate) openings: Openings,
    pub(crate) reads: Reads,
    /// What contradicted itself already under load.
    pub(crate) heard: Findings,
    /// Requests that were answered, with whatever.
    pub(crate) answered: u64,
    plan: LoadPlan,
    agenda: Agenda,
    started: Instant,
}

/// The next request of a task.
#[derive(Debug)]
pub(crate) enum Request {
    /// By their numbers.
    Orders(Vec<u64>),
    Read(Read),
    /// By their indices.
    OpenWallets(Vec<usize>),
    /// An asset and, when it is there, wallets in it.
    CreateAsset(usize, Vec<usize>),
}

impl Round {
    pub(crate) fn new(
        kind: LoadKind,
        plan: LoadPlan,
        workload: Workload,
        openings: Openings,
        reads: Reads,
    ) -> Self {
        let (told, heard) = (Vec::new(), Findings::default());
        let (agenda, started) = (Agenda::default(), Instant::now());
        Self { kind, workload, told, openings, reads, heard, answered: 0, plan, agenda, started }
    }

    /// Orders of which no answer has told.
    #[cfg(test)]
    fn unknown(&self) -> usize {
        self.told.iter().filter(|&&told| told == Told::Unknown).count()
    }

    /// The next request; what it asks for is unknown from now on. `None` when there was enough.
    pub(crate) fn next(&mut self, random: &mut SmallRng) -> Option<Request> {
        if self.told.len() >= self.plan.transfers_max {
            return None;
        }
        if random.random_bool(self.plan.read_share) {
            return Some(Request::Read(self.reads.next(&self.workload, &self.told, random)));
        }
        if random.random_bool(self.plan.opening_share)
            && let Some(opening) = self.next_opening(random)
        {
            return Some(opening);
        }
        let count = random.random_range(self.plan.batch.clone());
        if self.workload.steps() == 1 {
            return Some(Request::Orders((0..count).map(|_| self.next_transfer(random)).collect()));
        }
        let numbers = self.agenda.next(&self.workload, count, self.started.elapsed());
        for &number in &numbers {
            // Scripts are begun in their order, so that nothing of one is known before the whole of it has its place.
            let steps = self.workload.steps();
            let known = self.told.len().max(((number / steps + 1) * steps) as usize);
            self.told.resize(known, Told::NotSent);
            self.told[number as usize] = Told::Unknown;
        }
        Some(Request::Orders(numbers))
    }

    fn next_transfer(&mut self, random: &mut SmallRng) -> u64 {
        let known = self.told.len();
        if self.plan.sent == Sent::Repeatedly && known > 0 && random.random_bool(REPEATED_SHARE) {
            let newest = random.random_bool(REPEATED_NEWEST_SHARE);
            let from = if newest { known.saturating_sub(NEWEST) } else { 0 };
            return random.random_range(from..known) as u64;
        }
        self.told.push(Told::Unknown);
        known as u64
    }

    fn next_opening(&mut self, random: &mut SmallRng) -> Option<Request> {
        if self.kind == LoadKind::AssetCreation {
            let asset = self.openings.begin_asset()?;
            let wallets = self.openings.begin_wallets(WALLETS_PER_ASSET as usize);
            return Some(Request::CreateAsset(asset, wallets.collect()));
        }
        let mut indices: Vec<usize> =
            self.openings.begin_wallets(random.random_range(1..=OPENED_AT_ONCE)).collect();
        let begun = self.openings.wallets_begun();
        if !indices.is_empty() && random.random_bool(OPENED_AGAIN_SHARE) {
            let again = random.random_range(0..begun);
            // What an earlier round left out was never asked for.
            if self.openings.wallets()[again].told != Told::NotSent {
                indices.push(again);
            }
        }
        (!indices.is_empty()).then_some(Request::OpenWallets(indices))
    }

    pub(crate) fn orders(&self, numbers: &[u64]) -> Orders {
        numbers.iter().map(|&number| self.workload.planned(number)).collect()
    }

    pub(crate) fn asset(&self, index: usize) -> NewAsset {
        self.openings.asset(index)
    }

    /// Notes what was told, and says how long to wait after an error.
    pub(crate) fn note_orders(&mut self, numbers: &[u64], result: Answers<Outcome>) -> Option<Duration> {
        let outcomes = match self.answered(numbers.len(), result) {
            Ok(outcomes) => outcomes,
            Err(error) => {
                // Another copy may be under way where transfers are repeated.
                if self.plan.sent == Sent::Once && !call_error::leaves_outcome_unknown(&error) {
                    for &number in numbers {
                        self.told[number as usize] = Told::NotSent;
                    }
                }
                return Some(call_error::pause(&error));
            }
        };
        for (&number, outcome) in numbers.iter().zip(&outcomes) {
            let told = &mut self.told[number as usize];
            let was_known = told.is_on_record();
            let id = self.workload.id(number);
            told.hear(outcome, self.plan.sent, || format!("order {id}"), &mut self.heard);
            if told.is_on_record() && !was_known {
                self.note_new(number, outcome);
            }
        }
        None
    }

    /// An order was answered for good, for the first time.
    fn note_new(&mut self, number: u64, outcome: &Outcome) {
        let plan = self.workload.plan(number);
        let Outcome { status, detail, .. } = repetition::original(outcome);
        // What it lacked is not told again to its repetition.
        let is_as_expected = if outcome.replayed {
            plan.expected.allows_status(status)
        } else {
            plan.expected.allows(Refusal { status, detail })
        };
        if self.told[number as usize].is_done() {
            self.reads.acknowledge(&plan.effect);
        }
        if !is_as_expected {
            self.heard.mismatch(format!(
                "order {} ({:?}) must be {:?}, it was answered {outcome:?}",
                self.workload.id(number),
                plan.asked,
                plan.expected
            ));
        }
        if plan.expected.is_met_by(status) {
            self.agenda.follow(&self.workload, number, self.started.elapsed());
        }
    }

    pub(crate) fn note_wallets(&mut self, indices: &[usize], result: Answers<Outcome>) -> Option<Duration> {
        let outcomes = match self.answered(indices.len(), result) {
            Ok(outcomes) => outcomes,
            Err(error) => return Some(call_error::pause(&error)),
        };
        for (&index, outcome) in indices.iter().zip(&outcomes) {
            let number = self.openings.wallet_number(index);
            let id = self.workload.population.wallet_id(number);
            let told = self.openings.told_of_wallet(index);
            told.hear(outcome, Sent::Repeatedly, || format!("wallet {id}"), &mut self.heard);
        }
        None
    }

    pub(crate) fn note_asset(&mut self, index: usize, result: Answers<Outcome>) -> Option<Duration> {
        let outcomes = match self.answered(1, result) {
            Ok(outcomes) => outcomes,
            Err(error) => return Some(call_error::pause(&error)),
        };
        for outcome in &outcomes {
            let id = self.workload.population.further_asset_id(index as u32);
            self.openings.assets[index].hear(outcome, Sent::Once, || format!("asset {id}"), &mut self.heard);
        }
        None
    }

    /// The outcomes, if there are as many as were asked for.
    fn answered(&mut self, asked: usize, result: Answers<Outcome>) -> Answers<Outcome> {
        let outcomes = result?;
        self.answered += 1;
        if outcomes.len() != asked {
            self.heard.mismatch(format!("{asked} operations were sent, {} answered", outcomes.len()));
            // It tells nothing; what was asked for stays unknown.
            return Ok(Vec::new());
        }
        Ok(outcomes)
    }

    /// A reply to a read came, or an error; says how long to wait after that.
    pub(crate) fn note_read<View>(
        &mut self,
        result: Result<View, ClientError>,
        note: impl FnOnce(&mut Reads, &Workload, &View, &mut Findings),
    ) -> Option<Duration> {
        match result {
            Ok(view) => {
                self.answered += 1;
                note(&mut self.reads, &self.workload, &view, &mut self.heard);
                None
            }
            Err(error) => Some(call_error::pause(&error)),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::expected_positions::ExpectedPositions;
    use crate::population::Population;
    use crate::survival::load_kind::LoadLimits;
    use client::ledger::{Position, RefusalDetail, Status};
    use rand::SeedableRng;

    /// A round of this kind over twenty wallets.
    pub(crate) fn sample(kind: LoadKind, seed: u64) -> Round {
        let limits =
            LoadLimits { connections: 1, in_flight: 1, batch: 5, server_batch: 50, transfers: 100_000 };
        let population = Population::varied(seed, 20);
        let plan = kind.plan(&limits, &mut SmallRng::seed_from_u64(seed));
        let mut openings = Openings::new(population);
        let workload = kind.workload(population, &mut openings, seed);
        let wallets = population.everyone() + openings.wallets().len();
        let positions = ExpectedPositions::new(vec![Position::default(); wallets]);
        Round::new(kind, plan, workload, openings, Reads::new(positions))
    }

    fn created(seq: u64) -> Outcome {
        let (status, detail) = (Status::Created, RefusalDetail::None);
        Outcome { status, replayed: false, seq, timestamp_ns: seq, detail }
    }

    #[test]
    fn what_was_sent_is_unknown_until_it_is_answered_or_surely_was_not_sent() {
        let mut round = sample(LoadKind::Batches, 1);
        let mut random = SmallRng::seed_from_u64(1);
        let numbers: Vec<u64> = (0..6).map(|_| round.next_transfer(&mut random)).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5]);
        let unavailable = Outcome { status: Status::Unavailable, ..created(0) };
        let lost = || ClientError::ConnectionLost { reason: "killed".into() };
        round.note_orders(&numbers[..2], Ok(vec![created(7), unavailable]));
        round.note_orders(&numbers[2..3], Err(lost()));
        round.note_orders(
            &numbers[3..],
            Err(ClientError::OutcomeUnknown { answered: 0, source: Box::new(lost()) }),
        );
        let answered = Told::Answered { status: Status::Created, seq: 7, timestamp_ns: 7 };
        let unknown = Told::Unknown;
        assert_eq!(round.told, [answered, unknown, Told::NotSent, unknown, unknown, unknown]);
        assert!(round.heard.passed());
        round.note_orders(&numbers[3..], Ok(vec![created(8)]));
        assert_eq!(round.heard.mismatches, 1, "three were sent");
        assert_eq!(round.unknown(), 4);
    }

    #[test]
    fn where_transfers_are_repeated_an_error_makes_nothing_surely_not_sent() {
        let mut round = sample(LoadKind::Retries, 1);
        let mut random = SmallRng::seed_from_u64(1);
        let numbers: Vec<u64> = (0..1_000).map(|_| round.next_transfer(&mut random)).collect();
        assert!((400..600).contains(&round.told.len()), "half are repetitions: {}", round.told.len());
        round.note_orders(&numbers, Err(ClientError::ConnectionLost { reason: "killed".into() }));
        assert_eq!(round.unknown(), round.told.len());
    }

    #[test]
    fn the_end_of_a_hold_follows_only_when_it_was_done() {
        for (status, follows) in [(Status::Created, true), (Status::InsufficientFunds, false)] {
            let mut round = sample(LoadKind::Holds, 1);
            let mut random = SmallRng::seed_from_u64(1);
            for _ in 0..100 {
                let Request::Orders(numbers) = round.next(&mut random).expect("there is no end to it yet")
                else {
                    panic!("it is orders alone")
                };
                let answers = numbers.iter().map(|&number| {
                    let is_hold = number.is_multiple_of(round.workload.steps());
                    Outcome { status: if is_hold { status } else { Status::Created }, ..created(number + 1) }
                });
                let answers = answers.collect();
                round.note_orders(&numbers, Ok(answers));
            }
            assert!(round.heard.passed(), "{:?}", round.heard);
            let steps = round.workload.steps() as usize;
            let ends = round.told.iter().skip(1).step_by(steps).filter(|told| told.is_on_record()).count();
            assert_eq!(ends > 0, follows, "{ends}");
        }
    }

    #[test]
    fn every_kind_sends_what_it_is_named_for() {
        for kind in LoadKind::ALL {
            let mut round = sample(kind, 1);
            let mut random = SmallRng::seed_from_u64(2);
            let (mut transfers, mut reads, mut openings) = (0, 0, 0);
            for _ in 0..500 {
                match round.next(&mut random).expect("there is no end to it yet") {
                    Request::Orders(numbers) => transfers += numbers.len(),
                    Request::Read(_) => reads += 1,
                    Request::OpenWallets(indices) | Request::CreateAsset(_, indices) => {
                        openings += indices.len();
                    }
                }
            }
            assert!(transfers > 0);
            assert_eq!(reads > 0, matches!(kind, LoadKind::Reads | LoadKind::Mixed), "{kind:?}");
            let opens = matches!(kind, LoadKind::WalletCreation | LoadKind::AssetCreation);
            assert_eq!(openings > 0, opens, "{kind:?}");
        }
    }
}
