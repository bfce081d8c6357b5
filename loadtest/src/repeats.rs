//! Orders that were answered and are to be sent again later, when others have been in between.

use crate::survival::told::Told;
use client::ledger::OrderKind;
use std::collections::{BTreeMap, VecDeque};

/// So many of a kind are kept back for as long as the load goes on, so that there is some time in between.
const KEPT_BACK: usize = 1_000;

/// One of them, and what it was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Repeat {
    pub(crate) number: u64,
    pub(crate) told: Told,
}

/// All of them, by kind: a request carries orders of one kind.
#[derive(Debug, Default)]
pub(crate) struct Repeats {
    by_kind: BTreeMap<OrderKind, VecDeque<Repeat>>,
}

impl Repeats {
    pub(crate) fn add(&mut self, kind: OrderKind, repeat: Repeat) {
        self.by_kind.entry(kind).or_default().push_back(repeat);
    }

    /// The next request of `batch`, if there are so many that have waited for long enough.
    pub(crate) fn next(&mut self, batch: u64) -> Option<Vec<Repeat>> {
        let batch = batch as usize;
        let longest = self.by_kind.values_mut().max_by_key(|repeats| repeats.len())?;
        (longest.len() >= KEPT_BACK + batch).then(|| longest.drain(..batch).collect())
    }

    /// The next request of at most `batch` of those that are left; `None` if none is.
    pub(crate) fn rest(&mut self, batch: u64) -> Option<Vec<Repeat>> {
        let left = self.by_kind.values_mut().find(|repeats| !repeats.is_empty())?;
        let count = left.len().min(batch as usize);
        Some(left.drain(..count).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sent_again_has_waited_for_others_and_nothing_is_left_out() {
        let mut repeats = Repeats::default();
        let mut sent = Vec::new();
        for number in 0..3_000 {
            repeats.add(OrderKind::Transfer, Repeat { number, told: Told::Unknown });
            for repeat in repeats.next(7).into_iter().flatten() {
                assert!(number >= repeat.number + KEPT_BACK as u64);
                sent.push(repeat.number);
            }
        }
        repeats.add(OrderKind::Void, Repeat { number: 3_000, told: Told::Unknown });
        assert!(sent.len() > 1_900, "{}", sent.len());
        while let Some(rest) = repeats.rest(7) {
            assert!(rest.len() <= 7);
            sent.extend(rest.iter().map(|repeat| repeat.number));
        }
        assert_eq!(sent, (0..=3_000).collect::<Vec<_>>());
    }
}
