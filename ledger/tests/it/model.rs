//! The rules against a naive model: every operation, step by step, at times that are as bad as can be.

use crate::driven::Driven;
use crate::naive::{Naive, State};
use crate::samples::{
    Chance, bytes, credit, debit, pending, post, reversal, transaction, transfer, void, wallet,
};
use ledger::fold::AssetTotals;
use ledger::{
    AMOUNT_MAX, AssetId, Effect, Entry, Fold, HoldState, Leg, NewWallet, Order, Original, OverdraftLimit,
    Setting, Side, Status, TransferId, Wallet, WalletChange, WalletFlags, WalletId,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

const ASSETS: u32 = 2;
const WALLETS: u64 = 6;

fn amount(chance: &mut Chance) -> u128 {
    match chance.below(60) {
        0 => 0,
        1 => AMOUNT_MAX,
        2 => AMOUNT_MAX - 50,
        3 => u128::MAX,
        _ => 1 + u128::from(chance.below(200)),
    }
}

fn overdraft_limit(chance: &mut Chance) -> OverdraftLimit {
    match chance.below(5) {
        0..3 => OverdraftLimit::Limited(0),
        3 => OverdraftLimit::Limited(u128::from(chance.below(300))),
        _ => OverdraftLimit::Unlimited,
    }
}

fn balance_max(chance: &mut Chance) -> u128 {
    if chance.one_in(4) { 1 + u128::from(chance.below(300)) } else { 0 }
}

fn new_wallet(id: u64, chance: &mut Chance) -> NewWallet {
    // The first is a bank, so that there is money; few are frozen, since most are to do something.
    let flags = match (id, chance.below(8)) {
        (1 | 4, _) => WalletFlags::SYSTEM,
        (_, 0) => WalletFlags::DEBIT_FROZEN,
        (_, 1) => WalletFlags::CREDIT_FROZEN,
        _ => WalletFlags::default(),
    };
    NewWallet {
        asset: AssetId(if id < 4 { 1 } else { 2 }),
        flags,
        overdraft_limit: overdraft_limit(chance),
        balance_max: balance_max(chance),
        ..wallet(u128::from(id))
    }
}

/// A wallet, and now and then one that is not there.
fn any_wallet(chance: &mut Chance) -> u128 {
    let bound = if chance.one_in(12) { WALLETS + 1 } else { WALLETS };
    u128::from(1 + chance.below(bound))
}

/// Two wallets that mostly are in one asset.
fn two_wallets(chance: &mut Chance) -> (u128, u128, u32) {
    if chance.one_in(8) {
        return (any_wallet(chance), any_wallet(chance), 1 + chance.below(2) as u32);
    }
    let first = 3 * chance.below(2);
    let one = chance.below(3);
    let other = (one + 1 + chance.below(2)) % 3;
    (u128::from(1 + first + one), u128::from(1 + first + other), 1 + (first / 3) as u32)
}

/// Legs that mostly balance, in one asset or two, some wallets on several of them.
fn legs(chance: &mut Chance) -> Vec<Leg> {
    let pairs = match chance.below(12) {
        0 => 32,
        1 => 33,
        2 => chance.below(32),
        _ => 1 + chance.below(4),
    };
    let mut legs = Vec::new();
    for _ in 0..pairs {
        let (from, to, asset) = two_wallets(chance);
        let amount = if chance.one_in(30) { amount(chance) } else { 1 + u128::from(chance.below(60)) };
        let parts = if amount > 1 && chance.one_in(3) { vec![1, amount - 1] } else { vec![amount] };
        legs.push(debit(from, asset, amount));
        legs.extend(parts.into_iter().map(|part| credit(to, asset, part)));
    }
    for index in (1..legs.len()).rev() {
        legs.swap(index, chance.below(index as u64 + 1) as usize);
    }
    if chance.one_in(12) {
        legs.pop();
    }
    if chance.one_in(4) {
        legs.truncate(64);
    }
    legs
}

/// What the next step is about: earlier orders of a kind, or any that there are or are not.
fn reference(chance: &mut Chance, likely: &[TransferId], next_id: u128) -> u128 {
    match chance.pick(likely) {
        Some(id) if !chance.one_in(5) => id.0,
        _ => u128::from(chance.below(next_id as u64 + 2)),
    }
}

/// One field or another of an order that was sent before, changed.
fn changed(order: &Order, chance: &mut Chance) -> Order {
    let mut again = order.clone();
    let field = chance.below(9);
    let memo = match &mut again {
        Order::Transfer(transfer) | Order::Pending(ledger::Pending { transfer, .. }) if field < 8 => {
            match field {
                0 => transfer.debit_wallet.0 += 7,
                1 => transfer.credit_wallet.0 += 7,
                2 => transfer.asset.0 += 1,
                3 => transfer.amount = if transfer.amount == 1 { 2 } else { 1 },
                4 => transfer.group_id += 1,
                5 => transfer.code += 1,
                6 => transfer.effective_at_ns += 1,
                _ => transfer.metadata = bytes(3),
            }
            return again;
        }
        Order::Transfer(transfer) => return void(transfer.id.0, transfer.id.0 + 1).into_order(),
        Order::Pending(pending) => {
            pending.timeout_s += 1;
            return again;
        }
        Order::Post(post) => {
            match field {
                0 => post.amount = post.amount.wrapping_add(1) & 0xff,
                1 => post.pending_id.0 += 1_000,
                _ => {}
            }
            &mut post.memo
        }
        Order::Void(void) => {
            if field == 0 {
                void.pending_id.0 += 1_000;
            }
            &mut void.memo
        }
        Order::Reversal(reversal) => {
            match field {
                0 => reversal.amount = reversal.amount.wrapping_add(1) & 0xff,
                1 => reversal.reverses_id.0 += 1_000,
                _ => {}
            }
            &mut reversal.memo
        }
        Order::Transaction(transaction) => {
            if field == 0 {
                transaction.legs.reverse();
            }
            &mut transaction.memo
        }
    };
    match field {
        4 => memo.group_id += 1,
        5 => memo.code += 1,
        6 => memo.effective_at_ns += 1,
        7 => memo.metadata = bytes(3),
        _ => {}
    }
    again
}

trait IntoOrder {
    fn into_order(self) -> Order;
}

impl IntoOrder for ledger::Void {
    fn into_order(self) -> Order {
        Order::Void(self)
    }
}

/// Both ledgers, and what has been tried on them.
struct Pair {
    naive: Naive,
    driven: Driven,
    next_id: u128,
    now_ns: u64,
    seen: BTreeSet<Status>,
}

impl Pair {
    fn new(chance: &mut Chance) -> Self {
        let wallets: Vec<NewWallet> = (1..=WALLETS).map(|id| new_wallet(id, chance)).collect();
        let driven = Driven::new(ASSETS, &wallets);
        let mut naive = Naive::default();
        for terms in wallets {
            naive.create(terms);
        }
        let now_ns = driven.fold.last_timestamp_ns;
        Self { naive, driven, next_id: 1, now_ns, seen: BTreeSet::new() }
    }

    /// Time goes on: by a nanosecond, by some seconds, or to the very one at which a hold expires.
    fn pass_time(&mut self, chance: &mut Chance) {
        let expiries: Vec<u64> = self
            .naive
            .holds
            .values()
            .filter(|hold| hold.state == State::Open)
            .filter_map(|hold| hold.expires_at_ns)
            .collect();
        let next = match (chance.below(8), chance.pick(&expiries)) {
            (0, Some(&at)) => at - 1,
            (1 | 2, Some(&at)) => at,
            (3, Some(&at)) => at + 1,
            (4, _) => self.now_ns + chance.below(3_000_000_000),
            _ => self.now_ns + 1,
        };
        self.now_ns = next.max(self.now_ns + 1);
    }

    fn order(&mut self, chance: &mut Chance) -> Order {
        let id = match chance.below(30) {
            0 => u128::from(chance.below(self.next_id as u64 + 1)),
            _ => self.next_id,
        };
        self.next_id = self.next_id.max(id + 1);
        let open = |state: &State| *state == State::Open;
        let holds: Vec<TransferId> =
            self.naive.holds.iter().filter(|(_, hold)| open(&hold.state)).map(|(id, _)| *id).collect();
        let done: Vec<TransferId> = self
            .naive
            .decided
            .iter()
            .filter(|(_, (_, status))| *status == Status::Created)
            .map(|(id, _)| *id)
            .collect();
        let (from, to, asset) = two_wallets(chance);
        match chance.below(16) {
            0..3 => {
                let mut asked = transfer(id, from, to, amount(chance));
                asked.asset = AssetId(asset);
                Order::Transfer(asked)
            }
            3..7 => {
                let mut asked = pending(id, from, to, amount(chance), chance.below(4) as u32);
                asked.transfer.asset = AssetId(asset);
                Order::Pending(asked)
            }
            7..9 => {
                let of = reference(chance, &holds, self.next_id);
                let held = self.naive.holds.get(&TransferId(of)).map_or(1, |hold| hold.transfer.amount);
                let amount = match chance.below(6) {
                    0 => 0,
                    1 => held,
                    2 => held + 1,
                    3 => amount(chance),
                    _ => 1 + u128::from(chance.below(held.min(200) as u64)),
                };
                Order::Post(post(id, of, amount))
            }
            9 => Order::Void(void(id, reference(chance, &holds, self.next_id))),
            10..12 => {
                let of = reference(chance, &done, self.next_id);
                let moved = match self.driven.originals.get(&TransferId(of)) {
                    Some(Original::Moved { amount, reversed, .. }) => amount - reversed,
                    _ => 1,
                };
                let amount = match chance.below(5) {
                    0 | 1 => 0,
                    2 => moved,
                    3 => moved + 1,
                    _ => 1 + u128::from(chance.below(moved.clamp(1, 200) as u64)),
                };
                Order::Reversal(reversal(id, of, amount))
            }
            12..15 => Order::Transaction(transaction(id, &legs(chance))),
            _ => {
                let sent: Vec<Order> = self.naive.decided.values().map(|(order, _)| order.clone()).collect();
                match chance.pick(&sent) {
                    Some(first) if chance.one_in(3) => first.clone(),
                    Some(first) => changed(first, chance),
                    None => Order::Void(void(id, 0)),
                }
            }
        }
    }

    fn change(chance: &mut Chance) -> WalletChange {
        let wallet = WalletId(any_wallet(chance));
        let flag = WalletFlags::ALL[chance.below(3) as usize].0;
        let none = WalletFlags::default();
        let setting = match chance.below(8) {
            0 | 1 => {
                Setting::Limits { overdraft_limit: overdraft_limit(chance), balance_max: balance_max(chance) }
            }
            2 | 3 => Setting::Flags { set: flag, clear: none },
            4..7 => Setting::Flags { set: none, clear: flag },
            _ => Setting::Metadata(bytes(chance.below(3) as usize)),
        };
        WalletChange { wallet, setting }
    }

    fn step(&mut self, chance: &mut Chance) {
        let before_ns = self.driven.fold.last_timestamp_ns;
        self.pass_time(chance);
        let now_ns = self.now_ns;
        match chance.below(12) {
            0 => {
                let change = Self::change(chance);
                let told = self.driven.change(&change, now_ns);
                assert_eq!(told, self.naive.change(&change, now_ns), "{change:?}");
                self.seen.insert(told);
            }
            1 => {
                let id = TransferId(u128::from(chance.below(self.next_id as u64 + 1)));
                assert_eq!(self.driven.expire(id, now_ns), self.naive.expire(id, now_ns), "{id}");
            }
            2 => {
                for id in self.naive.holds.keys().copied().collect::<Vec<_>>() {
                    self.now_ns += 1;
                    let now_ns = self.now_ns;
                    assert_eq!(self.driven.expire(id, now_ns), self.naive.expire(id, now_ns), "{id}");
                }
            }
            _ => {
                let order = self.order(chance);
                // Decided on at some time since the last entry, and journaled now.
                let decided_at_ns = match chance.below(4) {
                    0 => before_ns.max(1),
                    1 => now_ns - (now_ns - before_ns).min(1),
                    2 => before_ns + chance.below(now_ns - before_ns + 1),
                    _ => now_ns,
                };
                let told = self.driven.order(&order, decided_at_ns, now_ns);
                assert_eq!(told, self.naive.order(&order, now_ns), "{order:?}");
                self.seen.insert(told.0);
            }
        }
        self.compare();
    }

    fn compare(&self) {
        let now_ns = self.now_ns;
        for expected in &self.naive.wallets {
            let id = expected.terms.id;
            let found = &self.driven.fold.wallets[&id];
            assert_eq!(found.terms, expected.terms);
            let position = found.position;
            assert_eq!(
                (position.debits_posted, position.credits_posted),
                (expected.debits, expected.credits)
            );
            for side in [Side::Debit, Side::Credit] {
                assert_eq!(position.pending(side), self.naive.pending(id, side), "{id} {side:?}");
            }
            assert_eq!(found.available(now_ns), self.naive.available(expected, now_ns), "{id}");
            assert_eq!(found.version, expected.version, "{id}");
            let balance = position.balance();
            assert_eq!(balance, expected.credits.cast_signed() - expected.debits.cast_signed());
        }
        assert!(self.driven.fold.totals().values().all(AssetTotals::is_balanced));
        assert_eq!(self.driven.fold.holds.len(), self.naive.holds.len());
        for (id, (terms, state)) in &self.driven.fold.holds {
            let expected = &self.naive.holds[id];
            let state_expected = match expected.state {
                State::Open => HoldState::Open,
                State::Posted => HoldState::Posted,
                State::Voided => HoldState::Voided,
                State::Expired => HoldState::Expired,
            };
            assert_eq!(*state, state_expected, "{id}");
            assert_eq!(terms.expires_at_ns, expected.expires_at_ns.unwrap_or(u64::MAX));
            assert_eq!(self.driven.originals[id], Original::Hold { terms: *terms, state: *state });
        }
        for (id, original) in &self.driven.fold.reversed {
            assert_eq!(self.driven.originals[id], *original, "{id}");
        }
    }

    /// The journal alone gives the same, however the entries of one wallet come to it.
    fn replay(&self, chance: &mut Chance) {
        let mut again = Fold::default();
        for (seq, (timestamp_ns, entry)) in (1..).zip(&self.driven.journal) {
            again.apply(seq, *timestamp_ns, entry).expect("it was applied before");
        }
        assert_eq!(again, self.driven.fold);
        assert_eq!(self.driven.assets().len(), ASSETS as usize);
        for (id, wallet) in &self.driven.fold.wallets {
            if let Some(shuffled) = self.apply_in_some_order(*id, chance) {
                assert_eq!(shuffled, *wallet);
            }
        }
    }

    /// All that was done to a wallet, in an order in which it may be told: a hold's end after the hold, and changes of its
    /// settings one after another. `None` if the sums of what was held at different times are too large for that.
    fn apply_in_some_order(&self, id: WalletId, chance: &mut Chance) -> Option<Wallet> {
        let mut wallet = None;
        let mut left: Vec<(u64, u64, &Entry)> = Vec::new();
        let mut held: u128 = 0;
        for (seq, (timestamp_ns, entry)) in (1..).zip(&self.driven.journal) {
            match entry {
                Entry::WalletCreated(terms) if terms.id == id => {
                    wallet = Some(Wallet::create(terms.clone(), seq, *timestamp_ns));
                }
                entry if entry.wallets().any(|wallet| wallet == id) => {
                    left.push((seq, *timestamp_ns, entry));
                    for part in entry.route().parts().iter().filter(|part| part.wallet == id) {
                        if let Effect::Hold { amount, .. } = part.effect {
                            held = held.saturating_add(amount);
                        }
                    }
                }
                _ => {}
            }
        }
        let mut wallet = wallet.expect("it was created");
        if held > AMOUNT_MAX {
            return None;
        }
        while !left.is_empty() {
            let index = chance.below(left.len() as u64) as usize;
            let (seq, timestamp_ns, entry) = left[index];
            if let Entry::WalletChanged(change) = entry {
                if left[..index].iter().any(|(_, _, earlier)| matches!(earlier, Entry::WalletChanged(_))) {
                    continue;
                }
                wallet.change(change, seq);
            } else {
                let effect = entry.route().parts().iter().find(|part| part.wallet == id)?.effect;
                if let Effect::Resolve { id, .. } = effect
                    && wallet.holds.get(id).is_none()
                {
                    continue;
                }
                wallet.apply(&effect, seq, timestamp_ns);
            }
            left.remove(index);
        }
        Some(wallet)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_of_operations_is_answered_and_applied_as_by_the_naive_model(
        seed in any::<u64>(),
        steps in prop::collection::vec(any::<u64>(), 200..260),
    ) {
        let mut pair = Pair::new(&mut Chance(seed));
        for step in steps {
            pair.step(&mut Chance(step));
        }
        pair.replay(&mut Chance(seed));
    }
}

/// The model shows something only where it goes: over some hundred histories, to every answer that an order can get.
#[test]
fn the_histories_of_the_model_come_to_every_status_of_orders_and_changes() {
    let mut seen: BTreeMap<Status, u32> = BTreeMap::new();
    for seed in 0..150 {
        let mut chance = Chance(seed);
        let mut pair = Pair::new(&mut chance);
        for _ in 0..200 {
            pair.step(&mut chance);
        }
        for status in pair.seen {
            *seen.entry(status).or_default() += 1;
        }
    }
    let of_other_operations = [
        "deadline_exceeded",
        "reserved_flag",
        "limit_too_large",
        "owner_too_large",
        "metadata_too_large",
        "asset_scale_too_large",
        "asset_code_invalid",
        "flag_set_and_cleared",
        "cursor_of_another_query",
        "moment_in_the_future",
        "exists_with_different_owner",
        "exists_with_different_flags",
        "exists_with_different_overdraft_limit",
        "exists_with_different_balance_max",
        "exists_with_different_scale",
        "asset_not_found",
        "contended",
        "wallet_quarantined",
        "unavailable",
        "internal_error",
        "import_is_closed",
        "exists_with_different_import",
        "wallet_importing",
    ];
    let missed: Vec<&str> = Status::ALL
        .iter()
        .filter(|status| !seen.contains_key(status))
        .map(|status| status.name())
        .filter(|name| !of_other_operations.contains(name))
        .collect();
    assert_eq!(missed, [""; 0], "{seen:?}");
}
