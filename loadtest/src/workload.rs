//! What a run asks for. Every order and every read is a pure function of the run and its number, so what was asked for is
//! known again at verification without having been stored.

use crate::distribution::WalletChooser;
use crate::planned_order::{Asked, PlannedLeg, PlannedOrder, PlannedTransfer};
use crate::population::{Population, mix};
use crate::refusing_wallets::RefusingWallet;
use crate::scripts::{Casting, STEPS_MAX, Script, holds, refusals, transactions};
use crate::survival::openings::Newborns;
use crate::transfer_ids::TransferIds;
use crate::workload_kind::WorkloadKind;
use client::ledger::{
    Leg, Memo, Order, Pending, Post, Reversal, Transaction, Transfer, TransferId, Void, WalletId,
};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;

/// The largest amount of a transfer; the smallest is 1.
pub(crate) const TRANSFER_AMOUNT_MAX: u64 = 100;

/// The most legs of a transaction when nothing is said.
pub(crate) const LEGS_MAX_DEFAULT: u8 = 8;

/// Of the requests of [`WorkloadKind::Mixed`].
const MIXED_READ_SHARE: f64 = 0.10;
const MIXED_STATEMENT_SHARE: f64 = 0.05;

/// Of the scripts of [`WorkloadKind::Mixed`]: of 100 requests, 60 are transfers, 5 reverse one of them, and 20 are holds
/// and their ends, which are 1.92 to a hold.
const MIXED_HOLD_SHARE: f64 = (20.0 / 1.92) / (20.0 / 1.92 + 60.0);
const MIXED_REVERSED_SHARE: f64 = 5.0 / 60.0;

/// Of the scripts of [`WorkloadKind::Retries`]; the rest are transfers.
const RETRIES_REFUSED_SHARE: f64 = 0.10;
const RETRIES_HOLD_SHARE: f64 = 0.12;
const RETRIES_TRANSACTION_SHARE: f64 = 0.08;

/// Of the ids that are sent twice, those that are sent twice at the same moment; the others are sent again later.
const AT_ONCE_SHARE: f64 = 0.5;

/// What one run asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Workload {
    pub(crate) kind: WorkloadKind,
    pub(crate) population: Population,
    pub(crate) ids: TransferIds,
    chooser: WalletChooser,
    seed: u64,
    /// From 0 to 1.
    read_share: f64,
    /// Of the orders of [`WorkloadKind::Retries`], from 0 to 1.
    retry_share: f64,
    legs_max: u8,
    /// The number of the wallet that the chooser calls 1.
    first_wallet: u32,
    /// Wallets that are opened while the load runs: in every second transfer, mostly on the credit side.
    newborns: Option<Newborns>,
}

/// How often a newborn takes part, and how often it is then the one that is credited.
const NEWBORN_SHARE: f64 = 0.5;
const NEWBORN_CREDITED_SHARE: f64 = 0.8;

/// A request that reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PlannedRead {
    Balance(WalletId),
    Statement(WalletId),
}

/// Whether an id is sent twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sending {
    Once,
    TwiceAtOnce,
    /// And again when others have been sent.
    AgainLater,
}

impl Workload {
    /// Transfers. `read_share` is from 0 to 1.
    pub(crate) fn new(
        population: Population,
        ids: TransferIds,
        chooser: WalletChooser,
        seed: u64,
        read_share: f64,
    ) -> Self {
        Self {
            kind: WorkloadKind::Transfers,
            population,
            ids,
            chooser,
            seed,
            read_share,
            retry_share: 0.0,
            legs_max: LEGS_MAX_DEFAULT,
            first_wallet: 1,
            newborns: None,
        }
    }

    /// The same with orders of this kind.
    pub(crate) fn of_kind(self, kind: WorkloadKind) -> Self {
        Self { kind, ..self }
    }

    /// The same with at most so many legs in a transaction.
    pub(crate) fn with_legs(self, legs_max: u8) -> Self {
        Self { legs_max, ..self }
    }

    /// The same with so many of the ids sent twice, from 0 to 1.
    pub(crate) fn with_retries(self, retry_share: f64) -> Self {
        Self { retry_share, ..self }
    }

    /// The same among the wallets from this number on.
    pub(crate) fn among_wallets_from(self, first_wallet: u32) -> Self {
        Self { first_wallet, ..self }
    }

    /// The same, with these taking part, whether they are open yet or not.
    pub(crate) fn with_newborns(self, newborns: Newborns) -> Self {
        Self { newborns: Some(newborns), ..self }
    }

    pub(crate) fn legs_max(&self) -> usize {
        usize::from(self.legs_max)
    }

    /// How many numbers there are to a script. Transfers are scripts of one step, so theirs are without gaps.
    pub(crate) fn steps(&self) -> u64 {
        if self.kind == WorkloadKind::Transfers { 1 } else { STEPS_MAX }
    }

    /// Of all requests those that read, from 0 to 1.
    pub(crate) fn reading_share(&self) -> f64 {
        let mixed =
            if self.kind == WorkloadKind::Mixed { MIXED_READ_SHARE + MIXED_STATEMENT_SHARE } else { 0.0 };
        self.read_share + (1.0 - self.read_share) * mixed
    }

    /// The script with this number.
    pub(crate) fn script(&self, story: u64) -> Script {
        let random = SmallRng::seed_from_u64(mix(self.seed) ^ story);
        let mut cast = Casting { workload: self, random, first: story * self.steps() };
        match self.kind {
            WorkloadKind::Transfers => Script::of(PlannedOrder::transfer(cast.transfer())),
            WorkloadKind::Holds => holds::script(cast),
            WorkloadKind::MultiLeg => transactions::script(cast),
            WorkloadKind::Refusals => refusals::script(cast, story),
            WorkloadKind::Mixed => {
                if cast.chance() < MIXED_HOLD_SHARE {
                    return holds::script(cast);
                }
                let transfer = cast.transfer();
                let done = Script::of(PlannedOrder::transfer(transfer));
                if cast.chance() >= MIXED_REVERSED_SHARE {
                    return done;
                }
                // Every other one in part.
                let amount =
                    if cast.random.random() { 0 } else { cast.random.random_range(1..=transfer.amount) };
                done.then(refusals::reversal(cast.number(0), transfer, amount))
            }
            WorkloadKind::Retries => {
                let chance = cast.chance();
                if chance < RETRIES_REFUSED_SHARE {
                    let transfer = refusals::paid(cast.transfer(), RefusingWallet::Empty);
                    Script::of(refusals::without_funds(transfer))
                } else if chance < RETRIES_REFUSED_SHARE + RETRIES_HOLD_SHARE {
                    holds::script(cast)
                } else if chance < RETRIES_REFUSED_SHARE + RETRIES_HOLD_SHARE + RETRIES_TRANSACTION_SHARE {
                    transactions::script(cast)
                } else {
                    Script::of(PlannedOrder::transfer(cast.transfer()))
                }
            }
        }
    }

    /// The order with this number; `None` if its script has fewer steps.
    pub(crate) fn find(&self, number: u64) -> Option<PlannedOrder> {
        if self.kind == WorkloadKind::Transfers {
            let mut random = SmallRng::seed_from_u64(mix(self.seed) ^ number);
            return Some(PlannedOrder::transfer(self.random_transfer(&mut random)));
        }
        let mut steps = self.script(number / STEPS_MAX).steps.into_iter();
        steps.nth((number % STEPS_MAX) as usize).map(|step| step.planned)
    }

    /// The order with this number, which its script has.
    pub(crate) fn plan(&self, number: u64) -> PlannedOrder {
        self.find(number).expect("only what is in a script is sent")
    }

    /// The number of the order that follows on this one, and how long after its answer it may be sent.
    pub(crate) fn next_step(&self, number: u64) -> Option<(u64, Duration)> {
        if self.kind == WorkloadKind::Transfers {
            return None;
        }
        let script = self.script(number / STEPS_MAX);
        let next = script.steps.get((number % STEPS_MAX) as usize + 1)?;
        Some((number + 1, next.after))
    }

    /// Between two wallets by chance.
    pub(crate) fn random_transfer(&self, random: &mut SmallRng) -> PlannedTransfer {
        let (debit, credit) = self.chooser.pair(random);
        let (debit, credit) = (debit + self.first_wallet - 1, credit + self.first_wallet - 1);
        let amount = random.random_range(1..=TRANSFER_AMOUNT_MAX);
        match self.newborns.filter(|_| random.random_bool(NEWBORN_SHARE)) {
            None => PlannedTransfer { debit, credit, amount },
            Some(newborns) => {
                let newborn = newborns.one(random);
                if random.random_bool(NEWBORN_CREDITED_SHARE) {
                    PlannedTransfer { debit, credit: newborn, amount }
                } else {
                    PlannedTransfer { debit: newborn, credit, amount }
                }
            }
        }
    }

    /// What the request with this number reads; `None` if it carries orders.
    pub(crate) fn read_of(&self, request: u64) -> Option<PlannedRead> {
        if self.reading_share() <= 0.0 {
            return None;
        }
        let mut random = SmallRng::seed_from_u64(!mix(self.seed) ^ request);
        let reads = random.random_bool(self.read_share);
        let wallet = self.population.wallet_id(self.chooser.one(&mut random));
        if reads {
            return Some(PlannedRead::Balance(wallet));
        }
        if self.kind != WorkloadKind::Mixed {
            return None;
        }
        let chance: f64 = random.random();
        if chance < MIXED_READ_SHARE {
            return Some(PlannedRead::Balance(wallet));
        }
        (chance < MIXED_READ_SHARE + MIXED_STATEMENT_SHARE).then_some(PlannedRead::Statement(wallet))
    }

    /// How often the order with this number is sent.
    pub(crate) fn sending(&self, number: u64) -> Sending {
        if self.kind != WorkloadKind::Retries {
            return Sending::Once;
        }
        let mut random = SmallRng::seed_from_u64(mix(!self.seed) ^ number);
        if !random.random_bool(self.retry_share) {
            return Sending::Once;
        }
        if random.random_bool(AT_ONCE_SHARE) { Sending::TwiceAtOnce } else { Sending::AgainLater }
    }

    /// The planned order, to be sent.
    pub(crate) fn order(&self, number: u64, asked: &Asked) -> Order {
        let (id, memo) = (self.id(number), Memo::default());
        match *asked {
            Asked::Transfer(transfer) => Order::Transfer(self.transfer(number, transfer)),
            Asked::Pending { transfer, timeout_s } => {
                Order::Pending(Pending { transfer: self.transfer(number, transfer), timeout_s })
            }
            Asked::Post { hold, amount } => {
                Order::Post(Post { id, pending_id: self.id(hold), amount: u128::from(amount), memo })
            }
            Asked::Void { hold } => Order::Void(Void { id, pending_id: self.id(hold), memo }),
            Asked::Reversal { original, amount } => {
                let (reverses_id, amount) = (self.id(original), u128::from(amount));
                Order::Reversal(Reversal { id, reverses_id, amount, memo })
            }
            Asked::Transaction(ref legs) => Order::Transaction(Transaction {
                id,
                legs: legs.iter().map(|leg| self.leg(leg)).collect(),
                memo,
            }),
        }
    }

    /// The order with this number, to be sent.
    pub(crate) fn planned(&self, number: u64) -> Order {
        self.order(number, &self.plan(number).asked)
    }

    fn transfer(&self, number: u64, planned: PlannedTransfer) -> Transfer {
        Transfer {
            id: self.id(number),
            debit_wallet: self.population.wallet_id(planned.debit),
            credit_wallet: self.population.wallet_id(planned.credit),
            asset: self.population.asset_id(),
            amount: u128::from(planned.amount),
            group_id: 0,
            code: 0,
            effective_at_ns: 0,
            metadata: Box::default(),
        }
    }

    fn leg(&self, planned: &PlannedLeg) -> Leg {
        Leg {
            wallet: self.population.wallet_id(planned.wallet),
            side: planned.side,
            asset: self.population.asset_id(),
            amount: u128::from(planned.amount),
        }
    }

    /// The id of the order with this number.
    pub(crate) fn id(&self, number: u64) -> TransferId {
        self.ids.id(number)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::distribution::Distribution;
    use crate::planned_order::Expected;
    use client::ledger::{OrderKind, Status};
    use std::collections::{BTreeMap, BTreeSet};

    /// A small workload of transfers alone.
    pub(crate) fn sample(seed: u64, wallets: u32) -> Workload {
        let chooser = WalletChooser::new(Distribution::Uniform, wallets);
        Workload::new(Population::new(seed, wallets), TransferIds::unused(), chooser, seed, 0.0)
    }

    /// The orders of the first scripts of this kind, by their numbers.
    fn orders(workload: &Workload, stories: u64) -> impl Iterator<Item = (u64, PlannedOrder)> {
        let numbers = 0..stories * workload.steps();
        numbers.filter_map(|number| Some((number, workload.find(number)?)))
    }

    #[test]
    fn an_order_is_known_again_by_its_number_and_has_the_shape_that_the_ledger_takes() {
        for kind in WorkloadKind::ALL {
            let workload = sample(3, 10).of_kind(kind).with_retries(0.5);
            for (number, plan) in orders(&workload, 1_000) {
                assert_eq!(plan, workload.plan(number));
                let order = workload.order(number, &plan.asked);
                assert_eq!((order.id(), order.kind()), (workload.id(number), plan.kind()));
                let shape = order.check_shape().map_err(Expected::Refused);
                assert!(shape.is_ok() || shape == Err(plan.expected), "{kind}: {shape:?}");
            }
            assert_ne!(workload.script(1), workload.script(2));
        }
    }

    #[test]
    fn a_script_is_gone_through_step_by_step() {
        let workload = sample(3, 10).of_kind(WorkloadKind::Refusals);
        for story in 0..200 {
            let script = workload.script(story);
            let mut number = story * STEPS_MAX;
            for (place, step) in script.steps.iter().enumerate() {
                assert_eq!(workload.plan(number), step.planned);
                let next = script.steps.get(place + 1);
                assert_eq!(workload.next_step(number), next.map(|next| (number + 1, next.after)));
                number += 1;
            }
            if (script.steps.len() as u64) < STEPS_MAX {
                assert_eq!(workload.find(number), None);
            }
        }
        assert_eq!(sample(3, 10).next_step(5), None);
    }

    #[test]
    fn every_kind_of_workload_asks_for_what_it_is_named_for() {
        use OrderKind::{Pending, Post, Reversal, Transaction, Transfer, Void};
        let check = |kind, expected: &[OrderKind]| {
            let kinds: BTreeSet<_> =
                orders(&sample(3, 10).of_kind(kind), 2_000).map(|(_, plan)| plan.kind()).collect();
            assert_eq!(kinds, expected.iter().copied().collect(), "{kind}");
        };
        check(WorkloadKind::Transfers, &[Transfer]);
        check(WorkloadKind::Holds, &[Pending, Post, Void]);
        check(WorkloadKind::MultiLeg, &[Transaction, Reversal]);
        check(WorkloadKind::Mixed, &[Transfer, Pending, Post, Void, Reversal]);
        check(WorkloadKind::Retries, &[Transfer, Pending, Post, Void, Transaction, Reversal]);
        check(WorkloadKind::Refusals, &[Transfer, Pending, Post, Void, Transaction, Reversal]);
    }

    #[test]
    fn holds_end_in_every_way() {
        let workload = sample(3, 10).of_kind(WorkloadKind::Holds);
        let mut ends: BTreeMap<&str, u64> = BTreeMap::new();
        for story in 0..10_000 {
            let script = workload.script(story);
            let Asked::Pending { transfer, timeout_s } = script.steps[0].planned.asked else {
                panic!("it begins with a hold: {script:?}")
            };
            let end = match script.steps.get(1).map(|step| &step.planned.asked) {
                None => "expires",
                Some(Asked::Post { amount, .. }) if *amount == 0 || *amount == transfer.amount => "in full",
                Some(Asked::Post { .. }) => "in part",
                Some(Asked::Void { .. }) => "released",
                other => panic!("{other:?} ends no hold"),
            };
            assert_eq!(timeout_s != 0, end == "expires", "what has an end does not expire");
            *ends.entry(end).or_default() += 1;
        }
        for (end, at_least) in [("expires", 700), ("in full", 4_000), ("in part", 2_000), ("released", 2_000)]
        {
            assert!(ends[end] > at_least, "{ends:?}");
        }
    }

    #[test]
    fn transactions_have_as_many_legs_as_asked_for_and_balance() {
        for legs_max in [2, 8, 64] {
            let workload = sample(3, 10).of_kind(WorkloadKind::MultiLeg).with_legs(legs_max);
            let mut counts = BTreeSet::new();
            for story in 0..3_000 {
                let script = workload.script(story);
                let Asked::Transaction(legs) = &script.steps[0].planned.asked else { panic!("{script:?}") };
                counts.insert(legs.len() as u8);
                assert!(legs.iter().map(|leg| leg.wallet).collect::<BTreeSet<_>>().len() >= 2);
            }
            assert_eq!(counts, (2..=legs_max).collect());
        }
    }

    #[test]
    fn refusals_are_of_every_kind_that_is_named() {
        let workload = sample(3, 10).of_kind(WorkloadKind::Refusals);
        let statuses: BTreeSet<&str> = orders(&workload, refusals::KINDS.len() as u64)
            .filter_map(|(_, plan)| match plan.expected {
                Expected::Refused(refusal) => Some(refusal.status.name()),
                Expected::Done | Expected::DoneOrRefused => None,
            })
            .collect();
        for status in Status::ALL.iter().filter(|status| status.is_final()) {
            // Nobody comes near 2^127.
            let overflows = matches!(status, Status::DebitWalletOverflow | Status::CreditWalletOverflow);
            assert!(overflows || statuses.contains(status.name()), "{status} is missing in {statuses:?}");
        }
    }

    #[test]
    fn mixed_is_mixed_as_it_says() {
        let workload = sample(3, 10).of_kind(WorkloadKind::Mixed);
        let mut orders_of: BTreeMap<OrderKind, f64> = BTreeMap::new();
        let mut all = 0.0;
        for (_, plan) in orders(&workload, 50_000) {
            *orders_of.entry(plan.kind()).or_default() += 1.0;
            all += 1.0;
        }
        let share = |kinds: &[OrderKind]| kinds.iter().map(|kind| orders_of[kind]).sum::<f64>() * 85.0 / all;
        let check = |is: f64, expected: f64| assert!((is - expected).abs() < 1.0, "{is} of {expected}");
        check(share(&[OrderKind::Transfer]), 60.0);
        check(share(&[OrderKind::Pending, OrderKind::Post, OrderKind::Void]), 20.0);
        check(share(&[OrderKind::Reversal]), 5.0);
        let reads: Vec<_> = (0..100_000).filter_map(|request| workload.read_of(request)).collect();
        let statements = reads.iter().filter(|read| matches!(read, PlannedRead::Statement(_))).count();
        check((reads.len() - statements) as f64 / 1_000.0, 10.0);
        check(statements as f64 / 1_000.0, 5.0);
        check(workload.reading_share() * 100.0, 15.0);
    }

    #[test]
    fn as_many_ids_are_sent_twice_as_asked_for() {
        let workload = sample(3, 10).of_kind(WorkloadKind::Retries).with_retries(0.4);
        let count = |wanted| (0..10_000).filter(|&number| workload.sending(number) == wanted).count();
        assert!((1_800..2_200).contains(&count(Sending::TwiceAtOnce)));
        assert!((1_800..2_200).contains(&count(Sending::AgainLater)));
        assert_eq!(sample(3, 10).sending(1), Sending::Once);
    }

    #[test]
    fn the_share_of_reads_is_as_asked() {
        let workload = Workload { read_share: 0.3, ..sample(3, 10) };
        let reads = (0..100_000).filter(|&request| workload.read_of(request).is_some()).count();
        assert!((29_000..31_000).contains(&reads), "{reads}");
        assert_eq!(sample(3, 10).read_of(1), None);
    }
}
