//! The kinds of load: every workload of the harness, each on its own, so that a report can say under which of them what
//! was survived.

use crate::distribution::{Distribution, WalletChooser};
use crate::population::Population;
use crate::survival::openings::Openings;
use crate::survival::told::Sent;
use crate::transfer_ids::TransferIds;
use crate::workload::Workload;
use crate::workload_kind::WorkloadKind;
use rand::Rng;
use rand::rngs::SmallRng;
use rand::seq::SliceRandom;
use std::ops::RangeInclusive;

/// Wallets that a round of [`LoadKind::WalletCreation`] opens, at most.
const WALLETS_PER_ROUND: u32 = 400;

/// Assets that a round of [`LoadKind::AssetCreation`] creates, at most; each with [`WALLETS_PER_ASSET`]. Every trial
/// balance names every asset, so they stay few.
const ASSETS_PER_ROUND: u32 = 20;
pub(crate) const WALLETS_PER_ASSET: u32 = 2;

/// How often the first wallet takes part in [`LoadKind::Hot`].
const HOT_PERCENT: f64 = 50.0;

/// A kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum LoadKind {
    /// One transfer a request.
    Single,
    /// Some transfers a request.
    Batches,
    /// As many as the server takes.
    LargeBatches,
    /// A few wallets much more than the rest.
    Zipf,
    /// One wallet in half of all transfers.
    Hot,
    /// Wallets without funds, with an overdraft and with a maximum: most transfers are refused for good.
    Refusals,
    /// Half of all transfers were sent before, or are being sent.
    Retries,
    /// Every second request reads: balances, transfers, a trial balance.
    Reads,
    /// Wallets are opened, and paid before and after.
    WalletCreation,
    /// Assets are created, and wallets in them.
    AssetCreation,
    /// Holds that are captured, released or left to expire.
    Holds,
    /// Transactions of many legs, some of which are reversed.
    MultiLeg,
    /// Transfers, holds and their ends, and reversals; every seventh request reads.
    Mixed,
    /// Orders of every kind that must be refused, each with a status of its own.
    RefusedOrders,
}

/// Legs of a transaction in [`LoadKind::MultiLeg`].
const LEGS_MAX: u8 = 64;

/// How much of [`LoadKind::Mixed`] reads.
const MIXED_READ_SHARE: f64 = 0.15;

/// The most of everything.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LoadLimits {
    pub(crate) connections: usize,
    pub(crate) in_flight: usize,
    /// Transfers in a request, but for large batches.
    pub(crate) batch: u64,
    /// What the server takes in one request.
    pub(crate) server_batch: u64,
    /// Transfers of one round: what was told of each is kept until it is checked.
    pub(crate) transfers: usize,
}

/// How a round sends.
#[derive(Clone, Debug)]
pub(crate) struct LoadPlan {
    pub(crate) connections: usize,
    pub(crate) in_flight: usize,
    /// Each request has so many transfers.
    pub(crate) batch: RangeInclusive<u64>,
    pub(crate) transfers_max: usize,
    pub(crate) sent: Sent,
    /// Of all requests, from 0 to 1.
    pub(crate) read_share: f64,
    /// Of all requests, from 0 to 1.
    pub(crate) opening_share: f64,
    pub(crate) seed: u64,
}

impl LoadKind {
    pub(crate) const ALL: [Self; 14] = [
        Self::Single,
        Self::Batches,
        Self::LargeBatches,
        Self::Zipf,
        Self::Hot,
        Self::Refusals,
        Self::Retries,
        Self::Reads,
        Self::WalletCreation,
        Self::AssetCreation,
        Self::Holds,
        Self::MultiLeg,
        Self::Mixed,
        Self::RefusedOrders,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Single => "single transfers",
            Self::Batches => "batches",
            Self::LargeBatches => "large batches",
            Self::Zipf => "zipf",
            Self::Hot => "hot wallet",
            Self::Refusals => "refusals",
            Self::Retries => "retried ids",
            Self::Reads => "reads",
            Self::WalletCreation => "wallet creation",
            Self::AssetCreation => "asset creation",
            Self::Holds => "holds",
            Self::MultiLeg => "many legs",
            Self::Mixed => "mixed",
            Self::RefusedOrders => "refused orders",
        }
    }

    /// How much of it, by chance.
    pub(crate) fn plan(self, limits: &LoadLimits, random: &mut SmallRng) -> LoadPlan {
        let some = random.random_range(1..=limits.batch.min(limits.server_batch));
        let few = random.random_range(1..=limits.batch.min(20));
        let plan = LoadPlan {
            connections: random.random_range(1..=limits.connections),
            in_flight: random.random_range(1..=limits.in_flight),
            batch: 1..=few,
            transfers_max: limits.transfers,
            sent: Sent::Once,
            read_share: 0.0,
            opening_share: 0.0,
            seed: random.random(),
        };
        match self {
            Self::Single => LoadPlan { batch: 1..=1, ..plan },
            Self::Batches => LoadPlan { batch: 1..=some, ..plan },
            // One in flight on each of two connections is some ten thousand transfers under way.
            Self::LargeBatches => LoadPlan {
                connections: plan.connections.min(2),
                in_flight: 1,
                batch: (limits.server_batch / 8).max(1)..=limits.server_batch,
                ..plan
            },
            Self::Zipf | Self::Hot | Self::Refusals | Self::Holds | Self::MultiLeg | Self::RefusedOrders => {
                plan
            }
            Self::Mixed => LoadPlan { read_share: MIXED_READ_SHARE, ..plan },
            Self::Retries => LoadPlan { sent: Sent::Repeatedly, ..plan },
            Self::Reads => LoadPlan { read_share: 0.5, ..plan },
            Self::WalletCreation | Self::AssetCreation => LoadPlan { opening_share: 0.2, ..plan },
        }
    }

    /// What it asks for.
    pub(crate) fn workload(self, population: Population, openings: &mut Openings, seed: u64) -> Workload {
        let wallets = population.wallets();
        let poor = wallets - population.funded();
        let chooser = match self {
            Self::Zipf => WalletChooser::new(Distribution::Zipf, wallets),
            Self::Hot => WalletChooser::new(Distribution::Hot(HOT_PERCENT), wallets),
            Self::Refusals => WalletChooser::new(Distribution::Uniform, poor),
            // Only what a script is about is to stand against it.
            Self::RefusedOrders => WalletChooser::new(Distribution::Uniform, population.funded()),
            _ => WalletChooser::new(Distribution::Uniform, wallets),
        };
        let workload = Workload::new(population, TransferIds::unused(), chooser, seed, 0.0);
        match self {
            Self::Refusals => workload.among_wallets_from(population.funded() + 1),
            Self::WalletCreation => workload.with_newborns(openings.reserve_wallets(WALLETS_PER_ROUND)),
            Self::AssetCreation => {
                workload.with_newborns(openings.reserve_assets(ASSETS_PER_ROUND, WALLETS_PER_ASSET))
            }
            Self::Holds => workload.of_kind(WorkloadKind::Holds),
            Self::MultiLeg => workload.of_kind(WorkloadKind::MultiLeg).with_legs(LEGS_MAX),
            Self::Mixed => workload.of_kind(WorkloadKind::Mixed),
            Self::RefusedOrders => workload.of_kind(WorkloadKind::Refusals),
            Self::Single
            | Self::Batches
            | Self::LargeBatches
            | Self::Zipf
            | Self::Hot
            | Self::Retries
            | Self::Reads => workload,
        }
    }
}

/// A pack of cards: each is drawn once before any is drawn again, in an order of chance.
#[derive(Clone, Debug)]
pub(crate) struct Deck<Card> {
    cards: Vec<Card>,
    left: Vec<Card>,
}

impl<Card: Copy> Deck<Card> {
    pub(crate) fn new(cards: &[Card]) -> Self {
        assert!(!cards.is_empty(), "a deck has cards");
        Self { cards: cards.to_vec(), left: Vec::new() }
    }

    pub(crate) fn draw(&mut self, random: &mut SmallRng) -> Card {
        if self.left.is_empty() {
            self.left.clone_from(&self.cards);
            self.left.shuffle(random);
        }
        self.left.pop().expect("it was filled")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::planned_order::Expected;
    use crate::refusing_wallets::RefusingWallet;
    use rand::SeedableRng;
    use std::collections::BTreeSet;

    const LIMITS: LoadLimits =
        LoadLimits { connections: 4, in_flight: 16, batch: 64, server_batch: 8_000, transfers: 1_000 };

    #[test]
    fn every_kind_has_a_name_of_its_own_and_stays_within_the_limits() {
        let names: BTreeSet<_> = LoadKind::ALL.map(LoadKind::name).into();
        assert_eq!(names.len(), LoadKind::ALL.len());
        let mut random = SmallRng::seed_from_u64(1);
        for kind in LoadKind::ALL {
            for _ in 0..200 {
                let plan = kind.plan(&LIMITS, &mut random);
                assert!(
                    (1..=4).contains(&plan.connections) && (1..=16).contains(&plan.in_flight),
                    "{plan:?}"
                );
                let most = if kind == LoadKind::LargeBatches { 8_000 } else { 64 };
                assert!(*plan.batch.start() >= 1 && *plan.batch.end() <= most, "{kind:?} {plan:?}");
            }
        }
    }

    #[test]
    fn every_kind_asks_for_what_the_ledger_takes() {
        let population = Population::varied(3, 40);
        let mut openings = Openings::new(population);
        for kind in LoadKind::ALL {
            let workload = kind.workload(population, &mut openings, 5);
            let known = population.wallets() + openings.wallets().len() as u32;
            for (number, plan) in (0..2_000).filter_map(|number| Some((number, workload.find(number)?))) {
                let refuses = |wallet: u32| RefusingWallet::ALL.iter().any(|one| one.number() == wallet);
                let mut wallets = plan.wallets().into_iter();
                assert!(wallets.all(|wallet| (1..=known).contains(&wallet) || refuses(wallet)), "{kind:?}");
                let is_refused = matches!(plan.expected, Expected::Refused(_));
                let shape = workload.order(number, &plan.asked).check_shape();
                assert!(shape.is_ok() || is_refused, "{kind:?} {shape:?}");
            }
        }
        assert_eq!(openings.wallets().len() as u32, WALLETS_PER_ROUND + ASSETS_PER_ROUND * WALLETS_PER_ASSET);
    }

    #[test]
    fn a_deck_gives_every_card_once_before_any_again() {
        let mut random = SmallRng::seed_from_u64(1);
        let mut deck = Deck::new(&LoadKind::ALL);
        let mut orders = BTreeSet::new();
        for _ in 0..20 {
            let order: Vec<_> = LoadKind::ALL.map(|_| deck.draw(&mut random)).into();
            let cards: BTreeSet<_> = order.iter().copied().collect();
            assert_eq!(cards.len(), LoadKind::ALL.len());
            orders.insert(order);
        }
        assert!(orders.len() > 10, "the order is by chance");
    }
}
