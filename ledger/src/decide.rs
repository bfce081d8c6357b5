//! The decision: may this wallet take its part of an order, with what is still open?
//!
//! A wallet has its committed position and a set of open reservations whose fate is not known yet. So it *accepts* only
//! what is valid under every outcome of them, and *refuses* only what is invalid under every outcome; in between, the
//! answer is *wait* (the escrow method, O'Neil 1986). Every check is a bound that is monotone in what is open, so two
//! evaluations are enough: one with everything that speaks against it committed, one with everything that speaks for it.
//!
//! All checks come before all writes, in the documented order; this module writes nothing.

use crate::amount::AMOUNT_MAX;
use crate::identity::TransferId;
use crate::order::Side;
use crate::route::{Effect, Part, Role};
use crate::status::{Refusal, RefusalDetail, Status};
use crate::wallet::{OverdraftLimit, Wallet, WalletFlags};
use std::collections::BTreeSet;

/// The sums of a wallet's reservations whose outcome is not known yet: how far each of its bounds could be moved by them,
/// one way and the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct OpenReservations {
    /// By how much the counters of debits could grow: what would be taken out or held to be taken.
    pub debits: u128,
    /// By how much the counters of credits could grow: what would be put in or held to be put in.
    pub credits: u128,
    /// By how much there could be less to spend: what would go out on balance, or be held to.
    pub spent: u128,
    /// By how much there could be more to spend: what would come in on balance, be captured for it, or be released.
    pub funds: u128,
    /// By how much less could be put in: what would come in on balance, or be held to.
    pub filled: u128,
    /// By how much more could be put in: what would go out on balance, be captured from it, or be released.
    pub room: u128,
    /// By how much the counters of debits could shrink: what would be released.
    pub freed_debits: u128,
    /// By how much the counters of credits could shrink: what would be released.
    pub freed_credits: u128,
}

impl OpenReservations {
    /// What one effect adds while it is open.
    pub fn of(effect: &Effect) -> Self {
        match *effect {
            // It is done with both its sides or not at all, so limits are moved by its net.
            Effect::Move { debits, credits } => {
                let (out, back) = (debits.saturating_sub(credits), credits.saturating_sub(debits));
                Self { debits, credits, spent: out, funds: back, filled: back, room: out, ..Self::default() }
            }
            Effect::Hold { side: Side::Debit, amount, .. } => {
                Self { debits: amount, spent: amount, ..Self::default() }
            }
            Effect::Hold { side: Side::Credit, amount, .. } => {
                Self { credits: amount, filled: amount, ..Self::default() }
            }
            // What is held stays in the position until its end is applied, so nothing speaks against others. For them
            // speak what is released and what moves. That it may expire instead is for [`decide`], which knows the time.
            Effect::Resolve { side: Side::Debit, held, captured, .. } => {
                let freed_debits = held.saturating_sub(captured);
                Self { funds: freed_debits, room: captured, freed_debits, ..Self::default() }
            }
            Effect::Resolve { side: Side::Credit, held, captured, .. } => {
                let freed_credits = held.saturating_sub(captured);
                Self { funds: captured, room: freed_credits, freed_credits, ..Self::default() }
            }
        }
    }

    /// One more reservation.
    pub fn add(&mut self, effect: &Effect) {
        self.each(effect, |sum, amount| sum.checked_add(amount).expect("what is open was accepted together"));
    }

    /// One reservation fewer.
    pub fn remove(&mut self, effect: &Effect) {
        self.each(effect, |sum, amount| {
            sum.checked_sub(amount).expect("the sum of the reservations is at least each of them")
        });
    }

    fn each(&mut self, effect: &Effect, change: impl Fn(u128, u128) -> u128) {
        let one = Self::of(effect);
        self.debits = change(self.debits, one.debits);
        self.credits = change(self.credits, one.credits);
        self.spent = change(self.spent, one.spent);
        self.funds = change(self.funds, one.funds);
        self.filled = change(self.filled, one.filled);
        self.room = change(self.room, one.room);
        self.freed_debits = change(self.freed_debits, one.freed_debits);
        self.freed_credits = change(self.freed_credits, one.freed_credits);
    }
}

/// What else a decision depends on.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// The sums of what is open.
    pub open: OpenReservations,
    /// The holds whose end is open: those of the reservations that are [`Effect::Resolve`].
    pub ending: &'a BTreeSet<TransferId>,
    /// Ledger time.
    pub now_ns: u64,
}

/// No hold ends.
static NONE: BTreeSet<TransferId> = BTreeSet::new();

impl Circumstances<'_> {
    /// Nothing is open.
    pub fn settled(now_ns: u64) -> Self {
        Self { open: OpenReservations::default(), ending: &NONE, now_ns }
    }
}

/// What a wallet says to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Valid under every outcome of what is open, now and later.
    Accept,
    /// It depends on what is open. (It may be said without need while a hold ends that has expired meanwhile.)
    Wait,
    /// Invalid under every outcome of what is open.
    Refuse {
        /// Why.
        refusal: Refusal,
        /// It holds only for an entry whose time is before this: then a hold expires. `u64::MAX` if none does.
        valid_until_ns: u64,
    },
}

impl Decision {
    fn refuse(refusal: impl Into<Refusal>) -> Self {
        Decision::Refuse { refusal: refusal.into(), valid_until_ns: u64::MAX }
    }
}

/// Decides on an order's part at `wallet` (`None`: there is no such wallet).
pub fn decide(wallet: Option<&Wallet>, part: &Part, circumstances: &Circumstances<'_>) -> Decision {
    let (debits, credits) = match part.effect {
        Effect::Move { debits, credits } => (debits, credits),
        Effect::Hold { side: Side::Debit, amount, .. } => (amount, 0),
        Effect::Hold { side: Side::Credit, amount, .. } => (0, amount),
        // The money was set aside when the hold was made, whatever has been done to the wallet since.
        Effect::Resolve { .. } => return Decision::Accept,
    };
    let naming = Naming { role: part.role, side: if debits > 0 { Side::Debit } else { Side::Credit } };
    let Some(wallet) = wallet else {
        return Decision::refuse(naming.refusal(Status::DebitWalletNotFound, Status::CreditWalletNotFound));
    };
    let terms = &wallet.terms;
    if terms.asset != part.asset {
        let refusal = naming.refusal(Status::DebitWalletAssetMismatch, Status::CreditWalletAssetMismatch);
        return Decision::refuse(refusal);
    }
    if terms.flags.contains(WalletFlags::CLOSED) {
        return Decision::refuse(naming.refusal(Status::DebitWalletClosed, Status::CreditWalletClosed));
    }
    if debits > 0 && terms.flags.contains(WalletFlags::DEBIT_FROZEN) {
        return Decision::refuse(naming.refuse_as(Side::Debit, Status::DebitWalletFrozen));
    }
    if credits > 0 && terms.flags.contains(WalletFlags::CREDIT_FROZEN) {
        return Decision::refuse(naming.refuse_as(Side::Credit, Status::CreditWalletFrozen));
    }
    let Circumstances { open, ending, now_ns } = *circumstances;
    let position = &wallet.position;
    // Sums over holds, so made only where there is a limit that asks for them.
    let expired = |side| wallet.holds.expired(side, now_ns, ending);
    // What is counted as expired stands in the counters until the end of it is journaled.
    let counted_debits = sum(&[position.debits_posted, position.debits_pending]);
    let counted_credits = sum(&[position.credits_posted, position.credits_pending]);
    let moved_in = if matches!(part.effect, Effect::Move { .. }) { credits } else { 0 };
    let moved_out = if matches!(part.effect, Effect::Move { .. }) { debits } else { 0 };

    // An expired hold whose end is under way may have been captured in time, or may end as expired: all of it is released.
    let lapsing = |side| wallet.holds.expired_among(side, now_ns, ending);

    let debit_overflow = (debits > 0).then(|| Bound {
        at_best: sum(&[counted_debits.saturating_sub(open.freed_debits), debits]) <= AMOUNT_MAX,
        at_worst: sum(&[counted_debits, open.debits, debits]) <= AMOUNT_MAX,
        refusal: naming.refuse_as(Side::Debit, Status::DebitWalletOverflow),
    });
    let funds = match wallet.overdraft_limit() {
        OverdraftLimit::Limited(limit) if debits > moved_in => {
            let held_debits = position.debits_pending.saturating_sub(expired(Side::Debit));
            let in_use = sum(&[position.debits_posted, held_debits]);
            let funds = sum(&[position.credits_posted, limit, moved_in]);
            let available = sum(&[position.credits_posted, limit]).saturating_sub(in_use);
            Some(Bound {
                at_best: sum(&[in_use, debits]) <= sum(&[funds, open.funds, lapsing(Side::Debit)]),
                at_worst: sum(&[in_use, open.spent, debits]) <= funds,
                refusal: naming.insufficient_funds(available, debits.saturating_sub(moved_in)),
            })
        }
        _ => None,
    };
    let credit_overflow = (credits > 0).then(|| Bound {
        at_best: sum(&[counted_credits.saturating_sub(open.freed_credits), credits]) <= AMOUNT_MAX,
        at_worst: sum(&[counted_credits, open.credits, credits]) <= AMOUNT_MAX,
        refusal: naming.refuse_as(Side::Credit, Status::CreditWalletOverflow),
    });
    let limit = (terms.balance_max != 0 && credits > moved_out).then(|| {
        let held_credits = position.credits_pending.saturating_sub(expired(Side::Credit));
        let held = sum(&[position.credits_posted, held_credits]);
        let room = sum(&[position.debits_posted, terms.balance_max, moved_out]);
        Bound {
            at_best: sum(&[held, credits]) <= sum(&[room, open.room, lapsing(Side::Credit)]),
            at_worst: sum(&[held, open.filled, credits]) <= room,
            refusal: naming.limit_exceeded(terms.balance_max),
        }
    });
    weigh([debit_overflow, funds, credit_overflow, limit], || wallet.holds.next_expiry_ns(now_ns))
}

/// How refusals name the wallet.
#[derive(Clone, Copy)]
struct Naming {
    role: Role,
    /// The side that speaks for the wallet as a whole.
    side: Side,
}

impl Naming {
    /// A refusal that concerns the wallet as a whole.
    fn refusal(self, as_debit: Status, as_credit: Status) -> Refusal {
        match self.role {
            Role::Debit => as_debit.into(),
            Role::Credit => as_credit.into(),
            Role::Legs { .. } => {
                self.refuse_as(self.side, if self.side == Side::Debit { as_debit } else { as_credit })
            }
        }
    }

    /// A refusal that concerns one side of it.
    fn refuse_as(self, side: Side, status: Status) -> Refusal {
        let Role::Legs { debit, credit } = self.role else { return status.into() };
        let index = match side {
            Side::Debit => debit,
            Side::Credit => credit,
        };
        let index = index.expect("a wallet is refused for what some leg does");
        Refusal { status: Status::LegRefused, detail: RefusalDetail::LegRefused { index, status } }
    }

    fn insufficient_funds(self, available: u128, required: u128) -> Refusal {
        let refusal = self.refuse_as(Side::Debit, Status::InsufficientFunds);
        match self.role {
            Role::Legs { .. } => refusal,
            _ => Refusal { detail: RefusalDetail::InsufficientFunds { available, required }, ..refusal },
        }
    }

    fn limit_exceeded(self, limit: u128) -> Refusal {
        let refusal = self.refuse_as(Side::Credit, Status::LimitExceeded);
        match self.role {
            Role::Legs { .. } => refusal,
            _ => Refusal { detail: RefusalDetail::LimitExceeded { limit }, ..refusal },
        }
    }
}

/// One bound, evaluated with everything open speaking for it and against it.
struct Bound {
    at_best: bool,
    at_worst: bool,
    refusal: Refusal,
}

/// The first bound, in order, that is not surely met decides: broken under every outcome it refuses, else it waits.
fn weigh(bounds: [Option<Bound>; 4], valid_until_ns: impl FnOnce() -> u64) -> Decision {
    for bound in bounds.into_iter().flatten() {
        if bound.at_worst {
            continue;
        }
        let may_be_met = bound.at_best && !cfg!(bursar_broken = "hasty_refusal");
        if may_be_met {
            return Decision::Wait;
        }
        return Decision::Refuse { refusal: bound.refusal, valid_until_ns: valid_until_ns() };
    }
    Decision::Accept
}

/// A sum for comparison with a bound. It saturates, which keeps the comparison right: every bound that a sum
/// of amounts is compared with is itself below `u128::MAX` or saturated from more.
fn sum(amounts: &[u128]) -> u128 {
    amounts.iter().fold(0, |total: u128, &amount| total.saturating_add(amount))
}
