//! One wallet's decision, with reservations open whose fate is not known: *accept* whatever becomes of them, *refuse*
//! whatever becomes of them, *wait* only if it makes a difference.

use crate::samples::{Chance, credit, debit, transaction, transfer, wallet};
use ledger::decide::decide;
use ledger::route::Effect;
use ledger::{
    AMOUNT_MAX, AssetId, Circumstances, Decision, NewWallet, OpenReservations, OverdraftLimit, Part, Refusal,
    RefusalDetail, Role, Route, Side, Status, TransferId, Wallet, WalletFlags, WalletId,
};
use proptest::prelude::*;

const SECOND: u64 = 1_000_000_000;

/// A wallet with a past, what is open at it now, and what time that is.
struct Scene {
    wallet: Wallet,
    open: Vec<Effect>,
    now_ns: u64,
}

fn side(chance: &mut Chance) -> Side {
    if chance.one_in(2) { Side::Debit } else { Side::Credit }
}

fn small(chance: &mut Chance) -> u128 {
    1 + u128::from(chance.below(100))
}

fn part(effect: Effect, role: Role) -> Part {
    Part { wallet: WalletId(1), asset: AssetId(1), role, effect }
}

/// The role that an effect goes with.
fn role(effect: &Effect, chance: &mut Chance) -> Role {
    match *effect {
        Effect::Move { debits, credits } if (debits > 0 && credits > 0) || chance.one_in(4) => {
            Role::Legs { debit: (debits > 0).then_some(3), credit: (credits > 0).then_some(5) }
        }
        Effect::Move { debits: 0, .. }
        | Effect::Hold { side: Side::Credit, .. }
        | Effect::Resolve { side: Side::Credit, .. } => Role::Credit,
        _ => Role::Debit,
    }
}

fn movement(chance: &mut Chance) -> Effect {
    match chance.below(4) {
        0 => Effect::Move { debits: small(chance), credits: 0 },
        1 => Effect::Move { debits: 0, credits: small(chance) },
        _ => Effect::Move { debits: small(chance), credits: small(chance) },
    }
}

fn new_hold(id: u128, chance: &mut Chance) -> Effect {
    let timeout_s = chance.below(4) as u32;
    Effect::Hold { id: TransferId(id), side: side(chance), amount: small(chance), timeout_s }
}

impl Scene {
    fn new(chance: &mut Chance) -> Self {
        let overdraft_limit = match chance.below(4) {
            0 => OverdraftLimit::Unlimited,
            1 => OverdraftLimit::Limited(AMOUNT_MAX),
            _ => OverdraftLimit::Limited(u128::from(chance.below(200))),
        };
        let flags = if chance.one_in(8) { WalletFlags::SYSTEM } else { WalletFlags::default() };
        let balance_max = if chance.one_in(2) { 0 } else { 1 + u128::from(chance.below(400)) };
        let terms = NewWallet { flags, overdraft_limit, balance_max, ..wallet(1) };
        let mut wallet = Wallet::create(terms, 1, 1);
        // Nearly full counters, now and then.
        if chance.one_in(4) {
            let full = AMOUNT_MAX - u128::from(chance.below(800));
            wallet.apply(&Effect::Move { debits: 0, credits: full }, 2, 2);
            let debits = if chance.one_in(2) { full } else { full - u128::from(chance.below(200)) };
            wallet.apply(&Effect::Move { debits, credits: 0 }, 3, 3);
        }
        let mut now_ns = 10;
        for id in 1..=chance.below(5) {
            now_ns += chance.below(3) * (SECOND / 2) + chance.below(2) + 1;
            let effect = if chance.one_in(3) { movement(chance) } else { new_hold(u128::from(id), chance) };
            let fits = |counter: u128| counter <= AMOUNT_MAX - 100;
            let position = wallet.position;
            if fits(position.debits_posted + position.debits_pending)
                && fits(position.credits_posted + position.credits_pending)
            {
                wallet.apply(&effect, 3 + id, now_ns);
            }
        }
        let mut scene = Self { wallet, open: Vec::new(), now_ns };
        for id in 100..100 + chance.below(6) {
            scene.open_one(u128::from(id), chance);
        }
        // Holds expire while what is open goes on, some at this very moment.
        let expiries: Vec<u64> = scene.wallet.holds.iter().map(|(_, hold)| hold.expires_at_ns).collect();
        match chance.pick(&expiries) {
            Some(&at) if at != u64::MAX && chance.one_in(2) => {
                scene.now_ns = scene.now_ns.max(at - chance.below(2));
            }
            _ => {}
        }
        scene
    }

    /// Opens one more reservation, if the wallet accepts it.
    fn open_one(&mut self, id: u128, chance: &mut Chance) {
        let ending = self.ending();
        let holds: Vec<_> = self.wallet.holds.iter().filter(|(id, _)| !ending.contains(id)).collect();
        let effect = match (chance.below(5), chance.pick(&holds)) {
            (0 | 1, Some((id, hold))) => Effect::Resolve {
                id: *id,
                side: hold.side,
                held: hold.amount,
                captured: if hold.expires_at_ns <= self.now_ns {
                    0
                } else {
                    u128::from(chance.below(hold.amount as u64 + 1))
                },
            },
            (2, _) => new_hold(id, chance),
            _ => movement(chance),
        };
        let role = role(&effect, chance);
        if self.decide(&part(effect, role)) == Decision::Accept {
            self.open.push(effect);
        }
    }

    fn ending(&self) -> Vec<TransferId> {
        let ids = self.open.iter().filter_map(|effect| match effect {
            Effect::Resolve { id, .. } => Some(*id),
            _ => None,
        });
        ids.collect()
    }

    fn decide(&self, part: &Part) -> Decision {
        let mut open = OpenReservations::default();
        self.open.iter().for_each(|effect| open.add(effect));
        let ending = self.ending();
        let circumstances = Circumstances { open, ending: &ending, now_ns: self.now_ns };
        decide(Some(&self.wallet), part, &circumstances)
    }

    /// What is said under each outcome of what is open, once nothing is, at some time.
    fn verdicts(&self, part: &Part, at_ns: u64) -> Vec<Decision> {
        let outcomes = 0..1_u32 << self.open.len();
        outcomes
            .map(|outcome| {
                let mut wallet = self.wallet.clone();
                for (index, effect) in self.open.iter().enumerate() {
                    if outcome & (1 << index) != 0 {
                        wallet.apply(effect, 1_000, self.now_ns);
                    }
                }
                decide(Some(&wallet), part, &Circumstances::settled(at_ns))
            })
            .collect()
    }

    fn next_expiry_ns(&self) -> u64 {
        let expiries = self.wallet.holds.iter().map(|(_, hold)| hold.expires_at_ns);
        expiries.filter(|at_ns| *at_ns > self.now_ns).min().unwrap_or(u64::MAX)
    }

    /// Whether a hold has expired whose end is under way.
    fn one_lapses(&self) -> bool {
        let expired = |id: &TransferId| {
            self.wallet.holds.get(*id).is_some_and(|hold| hold.expires_at_ns <= self.now_ns)
        };
        self.ending().iter().any(expired)
    }
}

fn why(decision: &Decision) -> Option<Refusal> {
    match decision {
        // What is available differs with what became of the others.
        Decision::Refuse { refusal, .. } => Some(match refusal.detail {
            RefusalDetail::InsufficientFunds { required, .. } => {
                Refusal { detail: RefusalDetail::InsufficientFunds { available: 0, required }, ..*refusal }
            }
            _ => *refusal,
        }),
        _ => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 6_000, ..ProptestConfig::default() })]

    #[test]
    fn a_decision_holds_under_every_outcome_of_what_is_open(seed in any::<u64>()) {
        let mut chance = Chance(seed);
        let scene = Scene::new(&mut chance);
        let effect = if chance.one_in(2) { movement(&mut chance) } else { new_hold(500, &mut chance) };
        let part = part(effect, role(&effect, &mut chance));
        let decision = scene.decide(&part);
        let now = scene.verdicts(&part, scene.now_ns);
        prop_assert!(!now.contains(&Decision::Wait), "with nothing open there is nothing to wait for");
        let next_ns = scene.next_expiry_ns();
        match decision {
            Decision::Accept => {
                for at_ns in [scene.now_ns, next_ns - 1, next_ns, scene.now_ns + 100 * SECOND] {
                    let then = scene.verdicts(&part, at_ns);
                    prop_assert!(then.iter().all(|verdict| *verdict == Decision::Accept), "{then:?}");
                }
            }
            Decision::Refuse { valid_until_ns, .. } => {
                prop_assert_eq!(valid_until_ns, next_ns);
                for at_ns in [scene.now_ns, next_ns - 1] {
                    let then = scene.verdicts(&part, at_ns);
                    let same = then.iter().all(|verdict| why(verdict) == why(&decision));
                    prop_assert!(same, "{decision:?}: {then:?}");
                }
            }
            Decision::Wait => prop_assert!(
                scene.one_lapses() || now.iter().any(|verdict| why(verdict) != why(&now[0])),
                "{now:?}"
            ),
        }
    }

    /// What is open at one wallet is the sum of what each adds, and nothing once all of them are resolved.
    #[test]
    fn reservations_that_were_added_are_removed_in_any_order(seed in any::<u64>()) {
        let mut chance = Chance(seed);
        let mut scene = Scene::new(&mut chance);
        let mut open = OpenReservations::default();
        scene.open.iter().for_each(|effect| open.add(effect));
        while !scene.open.is_empty() {
            let effect = scene.open.swap_remove(chance.below(scene.open.len() as u64) as usize);
            open.remove(&effect);
            let mut rest = OpenReservations::default();
            scene.open.iter().for_each(|effect| rest.add(effect));
            prop_assert_eq!(open, rest);
        }
        prop_assert_eq!(open, OpenReservations::default());
    }
}

/// Otherwise the property above shows little.
#[test]
fn the_scenes_come_to_every_decision_with_and_without_holds_that_lapse() {
    let (mut accepted, mut waited, mut refused, mut lapsing) = (0, 0, 0, 0);
    let mut statuses = std::collections::BTreeSet::new();
    for seed in 0..4_000 {
        let mut chance = Chance(seed);
        let scene = Scene::new(&mut chance);
        let effect = movement(&mut chance);
        match scene.decide(&part(effect, role(&effect, &mut chance))) {
            Decision::Accept => accepted += 1,
            Decision::Wait => waited += 1,
            Decision::Refuse { refusal, .. } => {
                refused += 1;
                statuses.insert(refusal.status.name());
            }
        }
        lapsing += u32::from(scene.one_lapses());
    }
    assert!(
        accepted > 500 && waited > 300 && refused > 300 && lapsing > 100,
        "{accepted} {waited} {refused} {lapsing}"
    );
    assert_eq!(
        statuses.into_iter().collect::<Vec<_>>(),
        [
            "credit_wallet_overflow",
            "debit_wallet_overflow",
            "insufficient_funds",
            "leg_refused",
            "limit_exceeded"
        ]
    );
}

#[test]
fn an_effect_counts_for_and_against_others_while_it_is_open() {
    let none = OpenReservations::default();
    let hold = |side| Effect::Hold { id: TransferId(1), side, amount: 7, timeout_s: 1 };
    let resolve = |side| Effect::Resolve { id: TransferId(1), side, held: 7, captured: 2 };
    let check = |effect: Effect, expected: OpenReservations| {
        assert_eq!(OpenReservations::of(&effect), expected, "{effect:?}");
    };
    let moved = |debits, credits| Effect::Move { debits, credits };
    check(moved(7, 0), OpenReservations { debits: 7, spent: 7, room: 7, ..none });
    check(moved(0, 7), OpenReservations { credits: 7, filled: 7, funds: 7, ..none });
    check(moved(7, 4), OpenReservations { debits: 7, credits: 4, spent: 3, room: 3, ..none });
    check(moved(4, 7), OpenReservations { debits: 4, credits: 7, filled: 3, funds: 3, ..none });
    check(moved(7, 7), OpenReservations { debits: 7, credits: 7, ..none });
    check(hold(Side::Debit), OpenReservations { debits: 7, spent: 7, ..none });
    check(hold(Side::Credit), OpenReservations { credits: 7, filled: 7, ..none });
    check(resolve(Side::Debit), OpenReservations { funds: 5, freed_debits: 5, room: 2, ..none });
    check(resolve(Side::Credit), OpenReservations { room: 5, freed_credits: 5, funds: 2, ..none });
}

#[test]
fn a_refusal_says_what_was_lacking() {
    let terms = NewWallet { overdraft_limit: OverdraftLimit::Limited(10), balance_max: 100, ..wallet(1) };
    let mut at = Wallet::create(terms, 1, 1);
    at.apply(&Effect::Move { debits: 20, credits: 60 }, 2, 2);
    let part = |index: usize, amount| Route::of_transfer(&transfer(1, 1, 1, amount)).parts()[index];
    let decide = |wallet: &Wallet, part: &Part| decide(Some(wallet), part, &Circumstances::settled(5));
    let refusal =
        |status, detail| Decision::Refuse { refusal: Refusal { status, detail }, valid_until_ns: u64::MAX };
    let lacking = |available, required| {
        refusal(Status::InsufficientFunds, RefusalDetail::InsufficientFunds { available, required })
    };
    assert_eq!(decide(&at, &part(0, 51)), lacking(50, 51));
    assert_eq!(at.available(5), Some(50));
    let limit = refusal(Status::LimitExceeded, RefusalDetail::LimitExceeded { limit: 100 });
    assert_eq!(decide(&at, &part(1, 61)), limit);
    assert_eq!(decide(&at, &part(1, 60)), Decision::Accept);
    assert_eq!(decide(&at, &part(0, 50)), Decision::Accept);
    let open = OpenReservations { spent: 1, ..OpenReservations::default() };
    let circumstances = Circumstances { open, ending: &[], now_ns: 5 };
    assert_eq!(ledger::decide::decide(Some(&at), &part(0, 50), &circumstances), Decision::Wait);
    // Below its limit, nothing is available; not less than nothing.
    at.terms.overdraft_limit = OverdraftLimit::Limited(0);
    at.apply(&Effect::Move { debits: 45, credits: 0 }, 3, 3);
    assert_eq!(decide(&at, &part(0, 1)), lacking(0, 1));
    // Of legs, it is said which one, of the side that was refused.
    let legs = [credit(2, 1, 40), credit(1, 1, 3), debit(1, 1, 20), debit(1, 1, 23)];
    let route = Route::of_legs(&transaction(1, &legs).legs);
    let leg = |index, status| refusal(Status::LegRefused, RefusalDetail::LegRefused { index, status });
    assert_eq!(decide(&at, &route.parts()[0]), leg(2, Status::InsufficientFunds));
    at.terms.flags = WalletFlags::CREDIT_FROZEN;
    assert_eq!(decide(&at, &route.parts()[0]), leg(1, Status::CreditWalletFrozen));
    at.terms.flags = WalletFlags::CLOSED;
    assert_eq!(decide(&at, &route.parts()[0]), leg(2, Status::DebitWalletClosed));
}

/// Of a transaction, a wallet's net position counts: it may take out what it gets in the same transaction.
#[test]
fn the_net_of_a_wallet_respects_its_limits_and_what_makes_nothing_worse_goes_through() {
    let terms = NewWallet { balance_max: 100, ..wallet(1) };
    let mut at = Wallet::create(terms, 1, 1);
    at.apply(&Effect::Move { debits: 0, credits: 90 }, 2, 2);
    let legs = Role::Legs { debit: Some(0), credit: Some(1) };
    let check = |at: &Wallet, debits, credits, expected: Option<Status>| {
        let decision =
            decide(Some(at), &part(Effect::Move { debits, credits }, legs), &Circumstances::settled(5));
        let status = match decision {
            Decision::Refuse {
                refusal: Refusal { detail: RefusalDetail::LegRefused { status, .. }, .. },
                ..
            } => Some(status),
            Decision::Accept => None,
            other => panic!("{other:?}"),
        };
        assert_eq!(status, expected, "{debits} {credits}");
    };
    check(&at, 1_090, 1_000, None);
    check(&at, 1_091, 1_000, Some(Status::InsufficientFunds));
    check(&at, 1_000, 1_010, None);
    check(&at, 1_000, 1_011, Some(Status::LimitExceeded));
    // Limits below what is in use stop only what would make it worse.
    at.terms.balance_max = 50;
    check(&at, 5, 5, None);
    check(&at, 6, 5, None);
    check(&at, 5, 6, Some(Status::LimitExceeded));
    at.apply(&Effect::Move { debits: 120, credits: 0 }, 3, 3);
    check(&at, 5, 5, None);
    check(&at, 5, 6, None);
    check(&at, 6, 5, Some(Status::InsufficientFunds));
}

#[test]
fn the_end_of_a_hold_goes_through_whatever_has_been_done_to_the_wallet_since() {
    let mut at = Wallet::create(NewWallet { balance_max: 10, ..wallet(1) }, 1, 1);
    at.terms.flags = WalletFlags::DEBIT_FROZEN.with(WalletFlags::CREDIT_FROZEN);
    for side in [Side::Debit, Side::Credit] {
        let effect = Effect::Resolve { id: TransferId(9), side, held: 500, captured: 400 };
        let decision =
            decide(Some(&at), &part(effect, role(&effect, &mut Chance(1))), &Circumstances::settled(5));
        assert_eq!(decision, Decision::Accept);
    }
}
