//! The load of a crash round, and what was told of every single transfer in it. It goes on until the server is
//! killed under it.

use crate::call_error;
use crate::workload::Workload;
use anyhow::Result;
use client::ledger::{Outcome, Status, Transfer};
use client::{ClientError, ClientOptions, Connection};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard};
use tokio::task::JoinSet;

/// The most transfers of one round: what was told of each is kept to the end.
const TRANSFERS_MAX: usize = 2_000_000;

/// What is known of one transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It surely was never sent.
    NotSent,
    /// It was sent, and no answer came.
    Unknown,
    /// It was answered.
    Answered { status: Status, seq: u64, timestamp_ns: u64 },
}

/// One round: what it asked for, and what it was told.
#[derive(Debug)]
pub(crate) struct Round {
    pub(crate) workload: Workload,
    /// By the number of the transfer.
    pub(crate) told: Vec<Told>,
}

/// How much a round sends at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CrashLoadPlan {
    pub(crate) connections: usize,
    pub(crate) in_flight: usize,
    /// Each request has from 1 to so many transfers.
    pub(crate) batch_max: u64,
    pub(crate) seed: u64,
}

/// A load that runs until it is dropped or the server is gone.
#[derive(Debug)]
pub(crate) struct CrashLoad {
    round: Arc<Mutex<Round>>,
    tasks: JoinSet<()>,
}

impl From<&Outcome> for Told {
    fn from(outcome: &Outcome) -> Self {
        let &Outcome { status, seq, timestamp_ns, .. } = outcome;
        match status {
            // It says of itself that the same id is to be sent again.
            Status::Unavailable => Self::Unknown,
            _ => Self::Answered { status, seq, timestamp_ns },
        }
    }
}

impl CrashLoad {
    /// Opens the connections and begins.
    pub(crate) async fn start(
        address: &str,
        options: &ClientOptions,
        plan: CrashLoadPlan,
        workload: Workload,
    ) -> Result<Self> {
        let mut connections = Vec::with_capacity(plan.connections);
        for _ in 0..plan.connections {
            connections.push(Connection::open(address, options).await?);
        }
        let round = Arc::new(Mutex::new(Round { workload, told: Vec::new() }));
        let mut random = SmallRng::seed_from_u64(plan.seed);
        let mut tasks = JoinSet::new();
        for connection in &connections {
            for _ in 0..plan.in_flight {
                let random = SmallRng::seed_from_u64(random.random());
                tasks.spawn(send(connection.clone(), Arc::clone(&round), plan.batch_max, random));
            }
        }
        Ok(Self { round, tasks })
    }

    /// Waits until all tasks have seen that the server is gone.
    pub(crate) async fn ended(mut self) -> Round {
        while let Some(ended) = self.tasks.join_next().await {
            ended.expect("a load task does not panic");
        }
        let round = Arc::into_inner(self.round).expect("the tasks that shared it have ended");
        round.into_inner().expect("a load task does not panic")
    }
}

async fn send(connection: Connection, round: Arc<Mutex<Round>>, batch_max: u64, mut random: SmallRng) {
    let mut transfers: Vec<Transfer> = Vec::new();
    while !connection.is_closed() {
        let Some(numbers) = lock(&round).begin(random.random_range(1..=batch_max), &mut transfers) else {
            return;
        };
        let result = connection.create_transfers(&transfers).await;
        let pause = lock(&round).note(numbers, result);
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
    }
}

fn lock(round: &Mutex<Round>) -> MutexGuard<'_, Round> {
    round.lock().expect("a load task does not panic")
}

impl Round {
    /// The next transfers, which from now on are unknown; `None` when there are enough.
    fn begin(&mut self, count: u64, transfers: &mut Vec<Transfer>) -> Option<Range<u64>> {
        if self.told.len() >= TRANSFERS_MAX {
            return None;
        }
        let first = self.told.len() as u64;
        let numbers = first..first + count;
        self.told.resize(numbers.end as usize, Told::Unknown);
        transfers.clear();
        let workload = &self.workload;
        transfers.extend(numbers.clone().map(|number| workload.transfer(number, workload.plan(number))));
        Some(numbers)
    }

    /// Notes what was told, and says how long to wait after an error.
    fn note(
        &mut self,
        numbers: Range<u64>,
        result: Result<Vec<Outcome>, ClientError>,
    ) -> Option<std::time::Duration> {
        let told = &mut self.told[numbers.start as usize..numbers.end as usize];
        match result {
            // A reply of another length tells nothing; the transfers stay unknown.
            Ok(outcomes) if outcomes.len() == told.len() => {
                for (told, outcome) in told.iter_mut().zip(&outcomes) {
                    *told = outcome.into();
                }
                None
            }
            Ok(_) => None,
            Err(error) => {
                if !call_error::leaves_outcome_unknown(&error) {
                    told.fill(Told::NotSent);
                }
                Some(call_error::pause(&error))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::tests::sample;

    #[test]
    fn what_was_sent_is_unknown_until_it_is_answered_or_surely_was_not_sent() {
        let mut round = Round { workload: sample(1, 5), told: Vec::new() };
        let mut transfers = Vec::new();
        for (count, expected) in [(2, 0..2), (1, 2..3), (3, 3..6)] {
            assert_eq!(round.begin(count, &mut transfers), Some(expected));
            assert_eq!(transfers.len() as u64, count);
        }
        let outcome = Outcome {
            status: Status::Created,
            replayed: false,
            seq: 7,
            timestamp_ns: 8,
            detail: client::ledger::RefusalDetail::None,
        };
        let unavailable = Outcome { status: Status::Unavailable, ..outcome };
        let lost = || ClientError::ConnectionLost { reason: "killed".into() };
        round.note(0..2, Ok(vec![outcome, unavailable]));
        round.note(2..3, Err(lost()));
        round.note(3..6, Err(ClientError::OutcomeUnknown { answered: 0, source: Box::new(lost()) }));
        let answered = Told::Answered { status: Status::Created, seq: 7, timestamp_ns: 8 };
        assert_eq!(
            round.told,
            [answered, Told::Unknown, Told::NotSent, Told::Unknown, Told::Unknown, Told::Unknown]
        );
    }
}
