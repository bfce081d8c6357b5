//! What the checks found: what was asked for and told, and what of it is not so.

use serde::Serialize;

/// Differences that are named; all are counted.
const DIFFERENCES_NAMED_MAX: usize = 20;

/// Counts over any number of rounds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Findings {
    /// Transfers that were acknowledged, those that were refused for good included.
    pub(crate) acknowledged: u64,
    /// Of these refused.
    pub(crate) refused: u64,
    /// Wallets and assets whose creation was acknowledged.
    pub(crate) created: u64,
    /// Replies to reads that were compared with what was known before.
    pub(crate) reads: u64,
    /// Transfers, wallets and assets that were sent and of which no answer told what became of them.
    pub(crate) unknown: u64,
    /// Of these found in the ledger afterwards.
    pub(crate) found_after_crash: u64,
    /// Looked up again after a later restart.
    pub(crate) looked_up_again: u64,
    /// Sent again, and answered as the first time.
    pub(crate) sent_again: u64,
    /// Acknowledged and not there.
    pub(crate) lost: u64,
    /// Done twice, or recorded under an entry that is another one's.
    pub(crate) doubled: u64,
    /// Everything else that is not as it was told.
    pub(crate) mismatches: u64,
    /// The first of these, in words.
    pub(crate) first_differences: Vec<String>,
}

impl Findings {
    pub(crate) fn passed(&self) -> bool {
        self.wrong() == 0
    }

    /// How much is not as it was told.
    pub(crate) fn wrong(&self) -> u64 {
        self.lost + self.doubled + self.mismatches
    }

    pub(crate) fn lose(&mut self, text: String) {
        self.lost += 1;
        self.name(text);
    }

    pub(crate) fn double(&mut self, text: String) {
        self.doubled += 1;
        self.name(text);
    }

    pub(crate) fn mismatch(&mut self, text: String) {
        self.mismatches += 1;
        self.name(text);
    }

    /// Adds what was found elsewhere.
    pub(crate) fn absorb(&mut self, other: Self) {
        self.acknowledged += other.acknowledged;
        self.refused += other.refused;
        self.created += other.created;
        self.reads += other.reads;
        self.unknown += other.unknown;
        self.found_after_crash += other.found_after_crash;
        self.looked_up_again += other.looked_up_again;
        self.sent_again += other.sent_again;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.mismatches += other.mismatches;
        for text in other.first_differences {
            self.name(text);
        }
    }

    fn name(&mut self, text: String) {
        if self.first_differences.len() < DIFFERENCES_NAMED_MAX {
            self.first_differences.push(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_difference_fails_and_is_counted_and_the_first_ones_are_named() {
        let differences: [fn(&mut Findings, String); 3] =
            [Findings::lose, Findings::double, Findings::mismatch];
        for differ in differences {
            let mut found = Findings { acknowledged: 3, ..Findings::default() };
            differ(&mut found, "this".to_owned());
            assert!(!found.passed());
            let mut all = Findings { acknowledged: 4, ..Findings::default() };
            assert!(all.passed());
            for _ in 0..30 {
                all.absorb(found.clone());
            }
            assert_eq!((all.acknowledged, all.wrong()), (4 + 90, 30));
            assert_eq!(all.first_differences.len(), DIFFERENCES_NAMED_MAX);
        }
    }
}
