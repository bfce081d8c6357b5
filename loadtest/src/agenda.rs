//! What is to be sent next: further scripts, and the next steps of those that were begun. A request carries orders of one
//! kind, so they wait for each other by kind; next steps that may not be sent before a certain time wait for that.

use crate::workload::Workload;
use client::ledger::OrderKind;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// Of one load. All times are counted from its start.
#[derive(Debug, Default)]
pub(crate) struct Agenda {
    next_story: u64,
    /// The numbers of orders that may be sent.
    ready: BTreeMap<OrderKind, VecDeque<u64>>,
    /// Those that may not yet, each with the time when it may. All wait equally long, so they are in order.
    waiting: VecDeque<(Duration, u64)>,
}

impl Agenda {
    /// The numbers of the next `count` orders, which are of one kind.
    pub(crate) fn next(&mut self, workload: &Workload, count: u64, now: Duration) -> Vec<u64> {
        if workload.steps() == 1 {
            let first = self.next_story;
            self.next_story += count;
            return (first..self.next_story).collect();
        }
        while self.waiting.front().is_some_and(|&(due, _)| due <= now) {
            let (_, number) = self.waiting.pop_front().expect("there is a first one");
            self.make_ready(workload, number);
        }
        loop {
            let most = self.ready.values_mut().max_by_key(|numbers| numbers.len());
            if let Some(numbers) = most.filter(|numbers| numbers.len() as u64 >= count) {
                return numbers.drain(..count as usize).collect();
            }
            let first = self.next_story * workload.steps();
            self.next_story += 1;
            self.make_ready(workload, first);
        }
    }

    /// The order with this number was answered as it must be: what follows on it may be sent.
    pub(crate) fn follow(&mut self, workload: &Workload, number: u64, now: Duration) {
        match workload.next_step(number) {
            None => {}
            Some((next, Duration::ZERO)) => self.make_ready(workload, next),
            Some((next, after)) => self.waiting.push_back((now + after, next)),
        }
    }

    fn make_ready(&mut self, workload: &Workload, number: u64) {
        self.ready.entry(workload.plan(number).kind()).or_default().push_back(number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planned_order::Expected;
    use crate::scripts::STEPS_MAX;
    use crate::workload::tests::sample;
    use crate::workload_kind::WorkloadKind;
    use std::collections::HashSet;

    #[test]
    fn orders_of_one_kind_go_together_each_once_and_none_before_what_it_follows_on() {
        for (kind, batch) in
            [(WorkloadKind::Holds, 1), (WorkloadKind::Mixed, 7), (WorkloadKind::Refusals, 50)]
        {
            let workload = sample(1, 10).of_kind(kind);
            let mut agenda = Agenda::default();
            let mut answered = HashSet::new();
            for request in 0..2_000 {
                let now = Duration::from_millis(request);
                let numbers = agenda.next(&workload, batch, now);
                assert_eq!(numbers.len() as u64, batch);
                let kinds: HashSet<_> = numbers.iter().map(|&number| workload.plan(number).kind()).collect();
                assert_eq!(kinds.len(), 1, "{kinds:?}");
                for number in numbers {
                    assert!(number % STEPS_MAX == 0 || answered.contains(&(number - 1)), "{kind} {number}");
                    assert!(answered.insert(number), "{kind} {number} is sent twice");
                    agenda.follow(&workload, number, now);
                }
            }
            assert!(answered.iter().any(|number| number % STEPS_MAX != 0), "{kind}: something follows");
        }
    }

    #[test]
    fn what_may_not_be_sent_yet_waits_for_its_time() {
        let workload = sample(1, 10).of_kind(WorkloadKind::Refusals);
        let late = (0..200 * STEPS_MAX)
            .find(|&number| workload.next_step(number).is_some_and(|(_, after)| after > Duration::ZERO));
        let late = late.expect("some are to be too late");
        let (next, after) = workload.next_step(late).expect("it has one");
        assert!(matches!(workload.plan(next).expected, Expected::Refused(_)));
        let mut agenda = Agenda::default();
        let now = Duration::from_secs(5);
        agenda.follow(&workload, late, now);
        let mut sent = |at| (0..100).any(|_| agenda.next(&workload, 1, at).contains(&next));
        assert!(!sent(now + after.saturating_sub(Duration::from_millis(1))));
        assert!(sent(now + after));
    }

    #[test]
    fn transfers_have_numbers_without_gaps() {
        let workload = sample(1, 10);
        let mut agenda = Agenda::default();
        assert_eq!(agenda.next(&workload, 3, Duration::ZERO), [0, 1, 2]);
        agenda.follow(&workload, 2, Duration::ZERO);
        assert_eq!(agenda.next(&workload, 2, Duration::ZERO), [3, 4]);
    }
}
