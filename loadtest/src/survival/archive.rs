//! What was told in earlier rounds, of as many transfers as memory is to be spent on: all up to a number, then every
//! second, every fourth and so on, evenly spread over all rounds.

use crate::survival::round::Round;
use crate::survival::told::Told;
use crate::workload::Workload;

/// Of one transfer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Archived {
    round: u32,
    number: u32,
    pub(crate) told: Told,
}

/// Of all rounds.
#[derive(Clone, Debug)]
pub(crate) struct Archive {
    workloads: Vec<Workload>,
    kept: Vec<Archived>,
    count_max: usize,
    /// Of so many told, one is kept.
    stride: u64,
    count: u64,
}

impl Archive {
    /// At most so many are kept.
    pub(crate) fn new(count_max: usize) -> Self {
        assert!(count_max >= 2, "an archive thins itself by half");
        Self { workloads: Vec::new(), kept: Vec::new(), count_max, stride: 1, count: 0 }
    }

    /// Takes in what a round was told, after everything unknown about it was resolved.
    pub(crate) fn add(&mut self, round: &Round) {
        let index = self.workloads.len() as u32;
        self.workloads.push(round.workload);
        for (number, &told) in (0..).zip(&round.told) {
            if matches!(told, Told::Answered { .. }) {
                self.add_one(Archived { round: index, number, told });
            }
        }
    }

    fn add_one(&mut self, archived: Archived) {
        let place = self.count;
        self.count += 1;
        if !place.is_multiple_of(self.stride) {
            return;
        }
        self.kept.push(archived);
        if self.kept.len() > self.count_max {
            self.stride *= 2;
            let mut place = 0_u64;
            self.kept.retain(|_| {
                place += 1;
                place % 2 == 1
            });
        }
    }

    /// How many were told of, and how many of them are kept.
    pub(crate) fn told_and_kept(&self) -> (u64, u64) {
        (self.count, self.kept.len() as u64)
    }

    /// At most so many of what is kept, evenly spread.
    pub(crate) fn spread(&self, count_max: usize) -> Vec<Archived> {
        let step = self.kept.len().div_ceil(count_max.max(1)).max(1);
        self.kept.iter().copied().step_by(step).collect()
    }

    /// What the transfer was asked for in, and its number there.
    pub(crate) fn workload_and_number(&self, archived: &Archived) -> (&Workload, u64) {
        (&self.workloads[archived.round as usize], u64::from(archived.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::survival::load_kind::LoadKind;
    use crate::survival::round::tests::sample;
    use client::ledger::Status;

    #[test]
    fn everything_is_kept_up_to_the_maximum_and_an_even_spread_beyond_it() {
        let check = |rounds: u64, count_max, expected: &[u64]| {
            let mut archive = Archive::new(count_max);
            for index in 0..rounds {
                let mut round = sample(LoadKind::Batches, index);
                let told = |number| Told::Answered {
                    status: Status::Created,
                    seq: index * 10 + number,
                    timestamp_ns: 0,
                };
                round.told = (0..10).map(told).chain([Told::NotSent]).collect();
                archive.add(&round);
            }
            let seqs: Vec<u64> = archive
                .spread(usize::MAX)
                .iter()
                .map(|archived| match archived.told {
                    Told::Answered { seq, .. } => seq,
                    other => panic!("{other:?} tells nothing"),
                })
                .collect();
            assert_eq!(seqs, expected);
            assert_eq!(archive.told_and_kept(), (rounds * 10, expected.len() as u64));
            for archived in archive.spread(usize::MAX) {
                let (workload, number) = archive.workload_and_number(&archived);
                let Told::Answered { seq, .. } = archived.told else { panic!("all were answered") };
                assert_eq!(number, seq % 10);
                assert_eq!(workload.ids, archive.workloads[(seq / 10) as usize].ids);
            }
        };
        check(1, 10, &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        check(1, 9, &[0, 2, 4, 6, 8]);
        check(3, 10, &[0, 4, 8, 12, 16, 20, 24, 28]);
    }

    #[test]
    fn a_spread_is_no_larger_than_asked_for() {
        let mut archive = Archive::new(1_000);
        let mut round = sample(LoadKind::Batches, 1);
        round.told = vec![Told::Answered { status: Status::Created, seq: 1, timestamp_ns: 1 }; 1_000];
        archive.add(&round);
        for (asked, expected) in [(2_000, 1_000), (1_000, 1_000), (999, 500), (10, 10), (1, 1)] {
            assert_eq!(archive.spread(asked).len(), expected, "{asked}");
        }
    }
}
