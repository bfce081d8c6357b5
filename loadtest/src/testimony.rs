//! What the server has said during a run: the side that the ledger is compared with afterwards.

use crate::acknowledged_sample::{AcknowledgedSample, Acknowledgement};
use crate::expected_positions::ExpectedPositions;
use crate::workload::PlannedTransfer;
use client::ledger::{Outcome, Status};
use std::ops::Range;

/// Acknowledged transfers that are looked up one by one; of more than these an even spread.
pub(crate) const LOOKED_UP_MAX: usize = 200_000;

/// Refused transfers that are looked up.
const REFUSED_MAX: usize = 10_000;

/// Contradictions that are named.
const CONTRADICTIONS_NAMED_MAX: usize = 20;

/// What was said.
#[derive(Clone, Debug)]
pub(crate) struct Testimony {
    /// What wallets must hold by it; without the transfers whose outcome is unknown.
    pub(crate) positions: ExpectedPositions,
    pub(crate) acknowledged: u64,
    pub(crate) sample: AcknowledgedSample,
    /// The numbers of transfers whose outcome is not known.
    pub(crate) unknown: Vec<Range<u64>>,
    /// The first transfers that were refused, and what with.
    pub(crate) refused: Vec<(u64, Status)>,
    /// Answers that contradict what was sent.
    pub(crate) contradictions: Vec<String>,
    pub(crate) contradictions_count: u64,
}

impl Testimony {
    pub(crate) fn new(positions: ExpectedPositions) -> Self {
        Self {
            positions,
            acknowledged: 0,
            sample: AcknowledgedSample::new(LOOKED_UP_MAX),
            unknown: Vec::new(),
            refused: Vec::new(),
            contradictions: Vec::new(),
            contradictions_count: 0,
        }
    }

    /// The server has answered a transfer that was sent once.
    pub(crate) fn answered(&mut self, number: u64, plan: PlannedTransfer, outcome: &Outcome) {
        if outcome.status == Status::Unavailable {
            // It says of itself that the same id is to be sent again to know.
            return self.unknown(number..number + 1);
        }
        if !outcome.status.is_success() {
            if self.refused.len() < REFUSED_MAX {
                self.refused.push((number, outcome.status));
            }
            return;
        }
        self.acknowledged += 1;
        self.positions.apply(plan);
        let &Outcome { seq, timestamp_ns, .. } = outcome;
        self.sample.add(Acknowledgement { number, seq, timestamp_ns });
        if outcome.status != Status::Created || outcome.replayed || seq == 0 {
            self.contradict(|| format!("transfer number {number} was sent once and answered {outcome:?}"));
        }
    }

    /// It is not known what became of these.
    pub(crate) fn unknown(&mut self, numbers: Range<u64>) {
        self.unknown.push(numbers);
    }

    /// How many transfers are unknown.
    pub(crate) fn unknown_count(&self) -> u64 {
        self.unknown.iter().map(|numbers| numbers.end - numbers.start).sum()
    }

    pub(crate) fn contradict(&mut self, text: impl FnOnce() -> String) {
        self.contradictions_count += 1;
        if self.contradictions.len() < CONTRADICTIONS_NAMED_MAX {
            self.contradictions.push(text());
        }
    }
}
