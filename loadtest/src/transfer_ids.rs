//! The ids of a run's transfers: new for every run, in the order of time, and recomputed from a small number,
//! so that millions of them need not be stored to be looked up again.

use client::ledger::TransferId;
use std::time::{SystemTime, UNIX_EPOCH};

/// How many transfers one run may make.
const COUNTER_BITS: u32 = 48;

/// The ids of one run: UUIDs of version 7, with 26 random bits for the run and a counter in the low 48.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TransferIds {
    prefix: u128,
}

impl TransferIds {
    /// Ids that no earlier run had: they begin with the time and a random number.
    pub(crate) fn unused() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::new(since_1970.as_millis() as u64, rand::random())
    }

    fn new(unix_ms: u64, random: u32) -> Self {
        let (version, variant) = (0b0111, 0b10);
        let time = u128::from(unix_ms & 0xFFFF_FFFF_FFFF) << 80;
        let random_high = u128::from(random & 0xFFF) << 64;
        let random_low = u128::from((random >> 12) & 0x3FFF) << COUNTER_BITS;
        Self { prefix: time | version << 76 | random_high | variant << 62 | random_low }
    }

    /// The id of the run's transfer with this number.
    pub(crate) fn id(self, number: u64) -> TransferId {
        assert!(number >> COUNTER_BITS == 0, "a run has fewer than 2^48 transfers");
        TransferId(self.prefix | u128::from(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_ordered_by_run_and_number_and_are_uuids_of_version_7() {
        let (earlier, later) =
            (TransferIds::new(1_700_000_000_000, u32::MAX), TransferIds::new(1_700_000_000_001, 0));
        let ids = [earlier.id(0), earlier.id(1), earlier.id((1 << 48) - 1), later.id(0), later.id(7)];
        assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
        for id in ids {
            let text = id.to_string();
            assert_eq!(text.as_bytes()[14], b'7', "{text}");
            assert!(b"89ab".contains(&text.as_bytes()[19]), "{text}");
        }
        assert_eq!(earlier.id(1).to_string(), "018bcfe5-6800-7fff-bfff-000000000001");
    }

    #[test]
    fn ids_are_recomputed_from_the_number_alone() {
        let ids = TransferIds::unused();
        assert_eq!(ids.id(123_456), { ids }.id(123_456));
        assert_ne!(TransferIds::new(5, 1), TransferIds::new(5, 2));
    }

    #[test]
    #[should_panic(expected = "fewer than 2^48")]
    fn a_number_never_runs_into_the_prefix() {
        TransferIds::new(0, 0).id(1 << 48);
    }
}
