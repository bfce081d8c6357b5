//! Scripts: orders that belong together, such as a hold and its capture. Each is sent only after the one before it was
//! answered as it must be. What a script consists of is a pure function of the run and the script's number.

pub(crate) mod holds;
pub(crate) mod refusals;
pub(crate) mod transactions;

use crate::planned_order::{PlannedOrder, PlannedTransfer};
use crate::workload::Workload;
use rand::Rng;
use rand::rngs::SmallRng;
use std::time::Duration;

/// The most steps of a script. An order's number is that of its script times this, and its step.
pub(crate) const STEPS_MAX: u64 = 4;

/// A script.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Script {
    pub(crate) steps: Vec<Step>,
}

/// One order of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) planned: PlannedOrder,
    /// It is sent so long after the one before it was answered, at the earliest.
    pub(crate) after: Duration,
}

/// What scripts are written from: wallets and chance.
#[derive(Debug)]
pub(crate) struct Casting<'a> {
    pub(crate) workload: &'a Workload,
    /// Of this script alone.
    pub(crate) random: SmallRng,
    /// The number of the script's first order.
    pub(crate) first: u64,
}

impl Casting<'_> {
    /// Between two of the workload's wallets.
    pub(crate) fn transfer(&mut self) -> PlannedTransfer {
        self.workload.random_transfer(&mut self.random)
    }

    /// Chance, from 0 to 1.
    pub(crate) fn chance(&mut self) -> f64 {
        self.random.random()
    }

    /// The number of the order in this step.
    pub(crate) fn number(&self, step: u64) -> u64 {
        self.first + step
    }
}

impl Script {
    /// One order.
    pub(crate) fn of(planned: PlannedOrder) -> Self {
        Self::default().then(planned)
    }

    /// And then this.
    pub(crate) fn then(self, planned: PlannedOrder) -> Self {
        self.then_after(Duration::ZERO, planned)
    }

    /// And so long after that this.
    pub(crate) fn then_after(mut self, after: Duration, planned: PlannedOrder) -> Self {
        assert!((self.steps.len() as u64) < STEPS_MAX, "a script has few steps");
        self.steps.push(Step { planned, after });
        self
    }
}
