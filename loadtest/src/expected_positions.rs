//! What every wallet must hold by what the harness was told: where it stood before, and all that went in and out
//! since. Both counters are kept, not their difference: two doubled transfers that cancel out are still seen.

use crate::planned_order::{Effect, PlannedLeg, PlannedTransfer};
use crate::population::Population;
use client::BalanceView;
use client::ledger::{Position, Side};

/// The model: one entry a wallet, by its number.
#[derive(Clone, Debug)]
pub(crate) struct ExpectedPositions {
    before: Vec<Position>,
    flows: Vec<Flow>,
    /// The sum of all amounts that have moved since.
    moved: u128,
    /// The sum of all amounts that have been held since and still are.
    held: i128,
}

/// What has changed. Less can be held than before: of what was held then, some may have ended.
#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    debits: u64,
    credits: u64,
    debits_held: i64,
    credits_held: i64,
}

impl ExpectedPositions {
    /// From where the wallets stand, by number, the system wallet first.
    pub(crate) fn new(before: Vec<Position>) -> Self {
        let flows = vec![Flow::default(); before.len()];
        Self { before, flows, moved: 0, held: 0 }
    }

    /// So many wallets are there or may be opened from now on; those that are new stand at nothing.
    pub(crate) fn extend_to(&mut self, wallets: usize) {
        assert!(wallets >= self.before.len(), "wallets are never closed");
        self.before.resize(wallets, Position::default());
        self.flows.resize(wallets, Flow::default());
    }

    /// An order was done that does this.
    pub(crate) fn apply(&mut self, effect: &Effect) {
        match effect {
            Effect::Nothing | Effect::HoldForNow => {}
            Effect::Move(transfer) => self.pay(*transfer),
            Effect::Hold(transfer) => self.hold(*transfer, 1),
            Effect::Resolve { hold, captured } => {
                self.hold(*hold, -1);
                self.pay(PlannedTransfer { amount: *captured, ..*hold });
            }
            Effect::MoveLegs(legs) => self.move_legs(legs),
        }
    }

    fn pay(&mut self, PlannedTransfer { debit, credit, amount }: PlannedTransfer) {
        self.flows[debit as usize].debits += amount;
        self.flows[credit as usize].credits += amount;
        self.moved += u128::from(amount);
    }

    fn hold(&mut self, PlannedTransfer { debit, credit, amount }: PlannedTransfer, times: i64) {
        let change = times * amount.cast_signed();
        self.flows[debit as usize].debits_held += change;
        self.flows[credit as usize].credits_held += change;
        self.held += i128::from(change);
    }

    fn move_legs(&mut self, legs: &[PlannedLeg]) {
        for leg in legs {
            let flow = &mut self.flows[leg.wallet as usize];
            match leg.side {
                Side::Debit => {
                    flow.debits += leg.amount;
                    self.moved += u128::from(leg.amount);
                }
                Side::Credit => flow.credits += leg.amount,
            }
        }
    }

    /// The sum of all that was moved.
    pub(crate) fn moved(&self) -> u128 {
        self.moved
    }

    /// The sum of all that was held and still is.
    pub(crate) fn held(&self) -> i128 {
        self.held
    }

    /// What the wallet with this number must hold now.
    pub(crate) fn expected(&self, number: u32) -> Position {
        let (before, flow) = (&self.before[number as usize], self.flows[number as usize]);
        Position {
            debits_posted: before.debits_posted + u128::from(flow.debits),
            credits_posted: before.credits_posted + u128::from(flow.credits),
            debits_pending: changed(before.debits_pending, flow.debits_held),
            credits_pending: changed(before.credits_pending, flow.credits_held),
        }
    }

    /// What is wrong with what the wallet holds, if anything.
    pub(crate) fn difference(
        &self,
        population: Population,
        number: u32,
        found: Option<&BalanceView>,
    ) -> Option<String> {
        let wallet = population.wallet_id(number);
        let expected = self.expected(number);
        let Some(found) = found else { return Some(format!("wallet {wallet} is gone")) };
        if found.balance != found.position.balance() {
            let (balance, counters) = (found.balance, found.position.balance());
            return Some(format!("wallet {wallet} says balance {balance}, its counters say {counters}"));
        }
        if found.position == expected {
            return None;
        }
        let (is, should) = (found.position, expected);
        Some(format!(
            "wallet {wallet} holds {} (debits {}, credits {}, pending {}/{}), expected {} (debits {}, credits {}, pending {}/{})",
            is.balance(),
            is.debits_posted,
            is.credits_posted,
            is.debits_pending,
            is.credits_pending,
            should.balance(),
            should.debits_posted,
            should.credits_posted,
            should.debits_pending,
            should.credits_pending,
        ))
    }
}

/// Wraps where a model that is wrong itself would go below nothing: that differs from whatever the wallet holds.
fn changed(before: u128, change: i64) -> u128 {
    before.wrapping_add_signed(i128::from(change))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planned_order::legs_back;
    use std::sync::Arc;

    fn view(position: Position) -> BalanceView {
        BalanceView { balance: position.balance(), available: None, position, as_of_seq: 9 }
    }

    #[test]
    fn a_wallet_must_hold_what_it_held_and_what_went_in_and_out_since() {
        let population = Population::new(1, 2);
        let before = Position { credits_posted: 1_000, debits_posted: 10, ..Position::default() };
        let mut model = ExpectedPositions::new(vec![before; 3]);
        model.apply(&Effect::Move(PlannedTransfer { debit: 1, credit: 2, amount: 7 }));
        model.apply(&Effect::Move(PlannedTransfer { debit: 2, credit: 1, amount: 3 }));
        assert_eq!(model.moved(), 10);
        let expected = Position { credits_posted: 1_003, debits_posted: 17, ..before };
        assert_eq!(model.expected(1), expected);
        assert_eq!(model.difference(population, 1, Some(&view(expected))), None);
        assert_eq!(model.expected(0), before);
    }

    #[test]
    fn differences_are_seen_also_where_the_balance_is_right() {
        let population = Population::new(1, 2);
        let mut model = ExpectedPositions::new(vec![Position::default(); 3]);
        model.apply(&Effect::Move(PlannedTransfer { debit: 1, credit: 2, amount: 5 }));
        let both_doubled = Position { debits_posted: 10, credits_posted: 5, ..Position::default() };
        let difference = model.difference(population, 1, Some(&view(both_doubled))).expect("it differs");
        assert!(difference.contains("holds -5 (debits 10, credits 5"), "{difference}");
        let gone = model.difference(population, 1, None).expect("it differs");
        assert!(gone.ends_with("is gone"), "{gone}");
        let contradiction = BalanceView { balance: 0, ..view(model.expected(1)) };
        let difference = model.difference(population, 1, Some(&contradiction)).expect("it differs");
        assert!(difference.contains("its counters say -5"), "{difference}");
    }

    #[test]
    fn what_is_held_counts_until_it_ends_and_then_what_was_captured_of_it() {
        let hold = PlannedTransfer { debit: 1, credit: 2, amount: 10 };
        let mut model = ExpectedPositions::new(vec![Position::default(); 3]);
        let mut check =
            |effect: Effect, debited: (u128, u128), credited: (u128, u128), sums: (u128, i128)| {
                model.apply(&effect);
                let (debit, credit) = (model.expected(1), model.expected(2));
                assert_eq!((debit.debits_pending, debit.debits_posted), debited, "{effect:?}");
                assert_eq!((credit.credits_pending, credit.credits_posted), credited, "{effect:?}");
                assert_eq!((model.moved(), model.held()), sums, "{effect:?}");
            };
        check(Effect::HoldForNow, (0, 0), (0, 0), (0, 0));
        check(Effect::Hold(hold), (10, 0), (10, 0), (0, 10));
        check(Effect::Resolve { hold, captured: 4 }, (0, 4), (0, 4), (4, 0));
        check(Effect::Hold(hold), (10, 4), (10, 4), (4, 10));
        check(Effect::Resolve { hold, captured: 0 }, (0, 4), (0, 4), (4, 0));
        check(Effect::Nothing, (0, 4), (0, 4), (4, 0));
    }

    #[test]
    fn every_leg_counts_on_its_side_and_back_again() {
        let leg = |wallet, side, amount| PlannedLeg { wallet, side, amount };
        let legs: Arc<[PlannedLeg]> = [
            leg(1, Side::Debit, 7),
            leg(2, Side::Credit, 4),
            leg(0, Side::Credit, 5),
            leg(2, Side::Debit, 2),
        ]
        .into();
        let mut model = ExpectedPositions::new(vec![Position::default(); 3]);
        model.apply(&Effect::MoveLegs(Arc::clone(&legs)));
        let second = Position { debits_posted: 2, credits_posted: 4, ..Position::default() };
        assert_eq!((model.expected(2), model.moved()), (second, 9));
        model.apply(&Effect::MoveLegs(legs_back(&legs)));
        let second = Position { debits_posted: 6, credits_posted: 6, ..Position::default() };
        assert_eq!((model.expected(2), model.moved()), (second, 18));
    }
}
