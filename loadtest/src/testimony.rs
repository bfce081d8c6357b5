//! What the server has said during a run: the side that the ledger is compared with afterwards.

use crate::acknowledged_sample::{AcknowledgedSample, Acknowledgement};
use crate::expected_positions::ExpectedPositions;
use crate::planned_order::PlannedOrder;
use crate::repetition;
use crate::survival::told::Told;
use client::ledger::{Outcome, Refusal, Status};
use std::collections::VecDeque;

/// Acknowledged orders that are looked up one by one; of more than these an even spread.
pub(crate) const LOOKED_UP_MAX: usize = 200_000;

/// Refused orders that are looked up.
const REFUSED_MAX: usize = 10_000;

/// Of the holds that are left to expire, the newest of these are waited for: they are the last to do so.
const EXPIRING_MAX: usize = 1_000;

/// Contradictions that are named.
const CONTRADICTIONS_NAMED_MAX: usize = 20;

/// What was said.
#[derive(Clone, Debug)]
pub(crate) struct Testimony {
    /// What wallets must hold by it; without the orders whose outcome is unknown.
    pub(crate) positions: ExpectedPositions,
    pub(crate) acknowledged: u64,
    pub(crate) sample: AcknowledgedSample,
    /// The numbers of orders whose outcome is not known.
    pub(crate) unknown: Vec<u64>,
    /// The first orders that were refused, and what with.
    pub(crate) refused: Vec<(u64, Refusal)>,
    /// The newest holds that are left to expire.
    pub(crate) expiring: VecDeque<u64>,
    /// Answers that contradict what was sent.
    pub(crate) contradictions: Vec<String>,
    pub(crate) contradictions_count: u64,
}

impl Testimony {
    /// Nothing yet, of orders in scripts with so many numbers each.
    pub(crate) fn new(positions: ExpectedPositions, steps: u64) -> Self {
        Self {
            positions,
            acknowledged: 0,
            sample: AcknowledgedSample::new(LOOKED_UP_MAX, steps),
            unknown: Vec::new(),
            refused: Vec::new(),
            expiring: VecDeque::new(),
            contradictions: Vec::new(),
            contradictions_count: 0,
        }
    }

    /// The server has answered an order that was sent once. Returns whether what follows on it may be sent.
    pub(crate) fn answered(&mut self, number: u64, plan: &PlannedOrder, outcome: &Outcome) -> bool {
        let is_recorded = outcome.status == Status::Created || outcome.status.is_final();
        if outcome.replayed || is_recorded == (outcome.seq == 0) || outcome.status == Status::Exists {
            self.contradict(|| format!("order number {number} was sent once and answered {outcome:?}"));
        }
        self.settled(number, plan, outcome)
    }

    /// The server has answered an order that was sent twice at the same moment. Returns whether what follows on it may be
    /// sent.
    pub(crate) fn answered_twice(
        &mut self,
        number: u64,
        plan: &PlannedOrder,
        answers: [&Outcome; 2],
    ) -> bool {
        match repetition::of_two(answers) {
            Ok(original) => self.settled(number, plan, &original),
            Err(text) => {
                self.contradict(|| format!("order number {number}, sent twice at once, {text}"));
                // Whatever it was, one of them is what it came to.
                self.settled(number, plan, &repetition::original(answers[0]))
            }
        }
    }

    /// Of an order that was sent twice at the same moment, one was answered and the other was not.
    pub(crate) fn answered_once_of_two(
        &mut self,
        number: u64,
        plan: &PlannedOrder,
        answer: &Outcome,
    ) -> bool {
        self.settled(number, plan, &repetition::original(answer))
    }

    /// The server has answered an order that was answered before, and was sent again.
    pub(crate) fn repeated(&mut self, number: u64, told: Told, outcome: &Outcome) {
        if let Err(text) = repetition::of_told(told, outcome) {
            self.contradict(|| format!("order number {number}, sent again, {text}"));
        }
    }

    fn settled(&mut self, number: u64, plan: &PlannedOrder, outcome: &Outcome) -> bool {
        let &Outcome { status, seq, timestamp_ns, detail, .. } = outcome;
        if status == Status::Unavailable {
            // It says of itself that the same id is to be sent again to know.
            self.unknown(&[number]);
            return false;
        }
        let refusal = Refusal { status, detail };
        // A repetition does not tell what was lacking.
        let is_as_expected = if outcome.replayed {
            plan.expected.allows_status(status)
        } else {
            plan.expected.allows(refusal)
        };
        if !is_as_expected {
            self.contradict(|| {
                format!(
                    "order number {number} ({:?}) must be {:?}, it was answered {refusal:?}",
                    plan.asked, plan.expected
                )
            });
        }
        if status != Status::Created {
            if self.refused.len() < REFUSED_MAX {
                self.refused.push((number, refusal));
            }
            return plan.expected.is_met_by(status);
        }
        self.acknowledged += 1;
        self.positions.apply(&plan.effect);
        self.sample.add(Acknowledgement { number, seq, timestamp_ns });
        if plan.is_left_to_expire() {
            if self.expiring.len() == EXPIRING_MAX {
                self.expiring.pop_front();
            }
            self.expiring.push_back(number);
        }
        plan.expected.is_met_by(status)
    }

    /// It is not known what became of these.
    pub(crate) fn unknown(&mut self, numbers: &[u64]) {
        self.unknown.extend_from_slice(numbers);
    }

    pub(crate) fn contradict(&mut self, text: impl FnOnce() -> String) {
        self.contradictions_count += 1;
        if self.contradictions.len() < CONTRADICTIONS_NAMED_MAX {
            self.contradictions.push(text());
        }
    }
}
