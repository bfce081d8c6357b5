//! The ids of a run's orders: new for every run, and recomputed from a small number, so that millions of them need not be
//! stored to be looked up again.

use crate::population::mix;
use clap::ValueEnum;
use client::ledger::TransferId;
use std::time::{SystemTime, UNIX_EPOCH};

/// How many orders one run may send.
const COUNTER_BITS: u32 = 48;

/// How ids follow each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum IdOrder {
    /// UUIDs of version 7: each is greater than the one before
    #[default]
    TimeOrdered,
    /// UUIDs of version 4: all over the place
    Random,
}

impl IdOrder {
    /// As it is written on the command line and in reports.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::TimeOrdered => "time-ordered",
            Self::Random => "random",
        }
    }
}

/// The ids of one run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TransferIds {
    /// 26 random bits for the run and a counter in the low 48, after the time.
    TimeOrdered { prefix: u128 },
    /// 122 bits that look random, of the run's key and the number.
    Random { key: u64 },
}

impl TransferIds {
    /// Ids that no earlier run had: they begin with the time and a random number.
    pub(crate) fn unused() -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::time_ordered(since_1970.as_millis() as u64, rand::random())
    }

    /// Ids that no earlier run had, in this order.
    pub(crate) fn unused_in(order: IdOrder) -> Self {
        match order {
            IdOrder::TimeOrdered => Self::unused(),
            IdOrder::Random => Self::Random { key: rand::random() },
        }
    }

    fn time_ordered(unix_ms: u64, random: u32) -> Self {
        let time = u128::from(unix_ms & 0xFFFF_FFFF_FFFF) << 80;
        let random_high = u128::from(random & 0xFFF) << 64;
        let random_low = u128::from((random >> 12) & 0x3FFF) << COUNTER_BITS;
        Self::TimeOrdered { prefix: uuid(time | random_high | random_low, 7) }
    }

    /// The id of the run's order with this number.
    pub(crate) fn id(self, number: u64) -> TransferId {
        assert!(number >> COUNTER_BITS == 0, "a run has fewer than 2^48 orders");
        match self {
            Self::TimeOrdered { prefix } => TransferId(prefix | u128::from(number)),
            Self::Random { key } => {
                // `mix` maps no two numbers to one. Of the low half two bits are lost to the variant, so the high half has to
                // tell up to four numbers apart: two of all that a run can have are the same with a chance of 2^-27.
                let low = mix(key ^ number);
                let high = mix(!key ^ low.rotate_left(32));
                TransferId(uuid(u128::from(high) << 64 | u128::from(low), 4))
            }
        }
    }
}

/// With the bits set that make a UUID of it.
fn uuid(bits: u128, version: u128) -> u128 {
    let free = !(0xF << 76 | 0b11 << 62);
    (bits & free) | version << 76 | 0b10 << 62
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn is_uuid(id: TransferId, version: u8) {
        let text = id.to_string();
        assert_eq!(text.as_bytes()[14], version, "{text}");
        assert!(b"89ab".contains(&text.as_bytes()[19]), "{text}");
    }

    #[test]
    fn ids_are_ordered_by_run_and_number_and_are_uuids_of_version_7() {
        let earlier = TransferIds::time_ordered(1_700_000_000_000, u32::MAX);
        let later = TransferIds::time_ordered(1_700_000_000_001, 0);
        let ids = [earlier.id(0), earlier.id(1), earlier.id((1 << 48) - 1), later.id(0), later.id(7)];
        assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
        for id in ids {
            is_uuid(id, b'7');
        }
        assert_eq!(earlier.id(1).to_string(), "018bcfe5-6800-7fff-bfff-000000000001");
    }

    #[test]
    fn random_ids_are_uuids_of_version_4_in_no_order_and_none_comes_twice() {
        let ids = TransferIds::unused_in(IdOrder::Random);
        let all: Vec<TransferId> = (0..100_000).map(|number| ids.id(number)).collect();
        for &id in &all {
            is_uuid(id, b'4');
        }
        assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len());
        let ascending = all.windows(2).filter(|pair| pair[0] < pair[1]).count();
        assert!(
            (49_000..51_000).contains(&ascending),
            "{ascending} of 100,000 are greater than the one before"
        );
        // Both halves differ, so that neither alone tells where an id belongs.
        let high: HashSet<u64> = all.iter().map(|id| (id.0 >> 64) as u64).collect();
        assert!(high.len() > 99_990);
    }

    #[test]
    fn ids_are_recomputed_from_the_number_alone() {
        for order in [IdOrder::TimeOrdered, IdOrder::Random] {
            let ids = TransferIds::unused_in(order);
            assert_eq!(ids.id(123_456), { ids }.id(123_456));
            assert_ne!(ids.id(5), TransferIds::unused_in(order).id(5));
        }
    }

    #[test]
    #[should_panic(expected = "fewer than 2^48")]
    fn a_number_never_runs_into_the_prefix() {
        TransferIds::time_ordered(0, 0).id(1 << 48);
    }
}
