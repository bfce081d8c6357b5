//! Transactions of many legs over several wallets, some of which are reversed.

use crate::planned_order::{Asked, Effect, PlannedLeg, PlannedOrder, legs_back};
use crate::scripts::{Casting, Script};
use crate::workload::TRANSFER_AMOUNT_MAX;
use client::ledger::Side;
use client::ledger::order::LEGS_MIN;
use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::{SliceRandom, index};
use std::sync::Arc;

/// Of all transactions.
const REVERSED_SHARE: f64 = 0.05;

/// A transaction, and sometimes its reversal.
pub(crate) fn script(mut cast: Casting<'_>) -> Script {
    let legs = legs(&mut cast);
    let back = Effect::MoveLegs(legs_back(&legs));
    let done = Script::of(transaction(legs));
    if cast.chance() >= REVERSED_SHARE {
        return done;
    }
    let asked = Asked::Reversal { original: cast.number(0), amount: 0 };
    done.then(PlannedOrder::may_be_refused(asked, back))
}

pub(crate) fn transaction(legs: Arc<[PlannedLeg]>) -> PlannedOrder {
    PlannedOrder::may_be_refused(Asked::Transaction(Arc::clone(&legs)), Effect::MoveLegs(legs))
}

/// Legs that balance, in an order of chance. The first two are of different wallets; further ones may be of wallets that
/// have a leg already, on either side.
pub(crate) fn legs(cast: &mut Casting<'_>) -> Arc<[PlannedLeg]> {
    let count = cast.random.random_range(LEGS_MIN..=cast.workload.legs_max());
    let debits = cast.random.random_range(1..count);
    let credits = count - debits;
    let total = cast.random.random_range(1..=TRANSFER_AMOUNT_MAX) * debits.max(credits) as u64;
    let pair = cast.transfer();
    let mut legs = Vec::with_capacity(count);
    for (side, parts, first) in [(Side::Debit, debits, pair.debit), (Side::Credit, credits, pair.credit)] {
        for (index, amount) in split(total, parts, &mut cast.random).into_iter().enumerate() {
            let wallet = if index == 0 { first } else { cast.transfer().debit };
            legs.push(PlannedLeg { wallet, side, amount });
        }
    }
    legs.shuffle(&mut cast.random);
    legs.into()
}

/// A total in so many parts, none of them 0.
fn split(total: u64, parts: usize, random: &mut SmallRng) -> Vec<u64> {
    let mut cuts: Vec<u64> = index::sample(random, (total - 1) as usize, parts - 1)
        .into_iter()
        .map(|cut| cut as u64 + 1)
        .chain([0, total])
        .collect();
    cuts.sort_unstable();
    cuts.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    #[test]
    fn a_total_is_split_into_parts_that_are_all_there() {
        let mut random = SmallRng::seed_from_u64(1);
        for total in 1..40 {
            for parts in 1..=total {
                let split = split(total, parts as usize, &mut random);
                assert_eq!((split.len() as u64, split.iter().sum::<u64>()), (parts, total));
                assert!(!split.contains(&0), "{split:?}");
            }
        }
    }
}
