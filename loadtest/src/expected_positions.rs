//! What every wallet must hold by what the harness was told: where it stood before, and all that went in and out
//! since. Both counters are kept, not their difference: two doubled transfers that cancel out are still seen.

use crate::population::Population;
use crate::workload::PlannedTransfer;
use client::BalanceView;
use client::ledger::Position;

/// The model: one entry a wallet, by its number.
#[derive(Clone, Debug)]
pub(crate) struct ExpectedPositions {
    before: Vec<Position>,
    flows: Vec<Flow>,
    /// The sum of all amounts since.
    moved: u128,
}

#[derive(Clone, Copy, Debug, Default)]
struct Flow {
    debits: u64,
    credits: u64,
}

impl ExpectedPositions {
    /// From where the wallets stand, by number, the system wallet first.
    pub(crate) fn new(before: Vec<Position>) -> Self {
        let flows = vec![Flow::default(); before.len()];
        Self { before, flows, moved: 0 }
    }

    /// So many wallets are there or may be opened from now on; those that are new stand at nothing.
    pub(crate) fn extend_to(&mut self, wallets: usize) {
        assert!(wallets >= self.before.len(), "wallets are never closed");
        self.before.resize(wallets, Position::default());
        self.flows.resize(wallets, Flow::default());
    }

    /// A transfer was done.
    pub(crate) fn apply(&mut self, plan: PlannedTransfer) {
        let amount = u64::from(plan.amount);
        self.flows[plan.debit as usize].debits += amount;
        self.flows[plan.credit as usize].credits += amount;
        self.moved += u128::from(amount);
    }

    /// The sum of all that was moved.
    pub(crate) fn moved(&self) -> u128 {
        self.moved
    }

    /// What the wallet with this number must hold now.
    pub(crate) fn expected(&self, number: u32) -> Position {
        let (before, flow) = (&self.before[number as usize], self.flows[number as usize]);
        Position {
            debits_posted: before.debits_posted + u128::from(flow.debits),
            credits_posted: before.credits_posted + u128::from(flow.credits),
            ..*before
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

#[cfg(test)]
mod tests {
    use super::*;

    fn view(position: Position) -> BalanceView {
        BalanceView { balance: position.balance(), available: None, position, as_of_seq: 9 }
    }

    #[test]
    fn a_wallet_must_hold_what_it_held_and_what_went_in_and_out_since() {
        let population = Population::new(1, 2);
        let before = Position { credits_posted: 1_000, debits_posted: 10, ..Position::default() };
        let mut model = ExpectedPositions::new(vec![before; 3]);
        model.apply(PlannedTransfer { debit: 1, credit: 2, amount: 7 });
        model.apply(PlannedTransfer { debit: 2, credit: 1, amount: 3 });
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
        model.apply(PlannedTransfer { debit: 1, credit: 2, amount: 5 });
        let both_doubled = Position { debits_posted: 10, credits_posted: 5, ..Position::default() };
        let difference = model.difference(population, 1, Some(&view(both_doubled))).expect("it differs");
        assert!(difference.contains("holds -5 (debits 10, credits 5"), "{difference}");
        let gone = model.difference(population, 1, None).expect("it differs");
        assert!(gone.ends_with("is gone"), "{gone}");
        let contradiction = BalanceView { balance: 0, ..view(model.expected(1)) };
        let difference = model.difference(population, 1, Some(&contradiction)).expect("it differs");
        assert!(difference.contains("its counters say -5"), "{difference}");
    }
}
