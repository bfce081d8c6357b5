//! A ledger as somebody would write it in an afternoon from docs/SEMANTICS.md: one thread, nothing open, everything
//! recomputed from lists.

use ledger::{
    AMOUNT_MAX, AssetId, Leg, NewWallet, Order, OverdraftLimit, RefusalDetail, Setting, Side, Status,
    Transfer, TransferId, WalletChange, WalletFlags, WalletId,
};
use std::collections::{BTreeMap, BTreeSet};

/// What an operation is answered.
pub(crate) type Answer = (Status, RefusalDetail);

pub(crate) struct NaiveWallet {
    pub(crate) terms: NewWallet,
    pub(crate) debits: u128,
    pub(crate) credits: u128,
    /// How many entries have changed it.
    pub(crate) version: u64,
}

#[derive(PartialEq)]
pub(crate) enum State {
    Open,
    Posted,
    Voided,
    Expired,
}

pub(crate) struct NaiveHold {
    pub(crate) transfer: Transfer,
    /// `None`: never.
    pub(crate) expires_at_ns: Option<u64>,
    pub(crate) state: State,
}

impl NaiveHold {
    fn counts(&self, now_ns: u64) -> bool {
        self.state == State::Open && self.expires_at_ns.is_none_or(|expires_at_ns| now_ns < expires_at_ns)
    }
}

struct Moved {
    legs: Vec<Leg>,
    is_transaction: bool,
    left: u128,
}

/// Why a wallet says no, and for which side of it.
enum No {
    Plain(Side, Status, Status),
    Funds { available: u128, required: u128 },
    Limit(u128),
}

#[derive(Default)]
pub(crate) struct Naive {
    pub(crate) wallets: Vec<NaiveWallet>,
    pub(crate) holds: BTreeMap<TransferId, NaiveHold>,
    pub(crate) decided: BTreeMap<TransferId, (Order, Status)>,
    moved: BTreeMap<TransferId, Moved>,
}

fn plain(status: Status) -> Answer {
    (status, RefusalDetail::None)
}

impl Naive {
    pub(crate) fn create(&mut self, terms: NewWallet) {
        self.wallets.push(NaiveWallet { terms, debits: 0, credits: 0, version: 1 });
    }

    fn wallet(&mut self, id: WalletId) -> Option<&mut NaiveWallet> {
        self.wallets.iter_mut().find(|wallet| wallet.terms.id == id)
    }

    fn held(&self, wallet: WalletId, side: Side, counts: impl Fn(&NaiveHold) -> bool) -> u128 {
        let holds = self.holds.values().filter(|hold| counts(hold));
        holds
            .filter(|hold| match side {
                Side::Debit => hold.transfer.debit_wallet == wallet,
                Side::Credit => hold.transfer.credit_wallet == wallet,
            })
            .map(|hold| hold.transfer.amount)
            .sum()
    }

    /// What is held as far as the journal goes.
    pub(crate) fn pending(&self, wallet: WalletId, side: Side) -> u128 {
        self.held(wallet, side, |hold| hold.state == State::Open)
    }

    /// What can be spent; `None` without limit.
    pub(crate) fn available(&self, wallet: &NaiveWallet, now_ns: u64) -> Option<i128> {
        let OverdraftLimit::Limited(limit) = wallet.terms.overdraft_limit else { return None };
        if wallet.terms.flags.contains(WalletFlags::SYSTEM) {
            return None;
        }
        let plus = wallet.credits + limit;
        let minus = wallet.debits + self.held(wallet.terms.id, Side::Debit, |hold| hold.counts(now_ns));
        Some(match plus.checked_sub(minus) {
            Some(left) => i128::try_from(left).unwrap_or(i128::MAX),
            None => -i128::try_from(minus - plus).expect("small"),
        })
    }

    pub(crate) fn order(&mut self, order: &Order, now_ns: u64) -> Answer {
        if let Some(status) = misshapen(order) {
            return plain(status);
        }
        if let Some((first, status)) = self.decided.get(&order.id()) {
            return match difference(first, order) {
                Some(status) => plain(status),
                None if *status == Status::Created => plain(Status::Exists),
                None => (Status::IdAlreadyRefused, RefusalDetail::AlreadyRefused { first_status: *status }),
            };
        }
        let answer = self.execute(order, now_ns);
        self.decided.insert(order.id(), (order.clone(), answer.0));
        answer
    }

    fn execute(&mut self, order: &Order, now_ns: u64) -> Answer {
        match order {
            Order::Transfer(transfer) => {
                let legs = legs_of(transfer, transfer.amount);
                if let Some(no) = self.refuse_pair(&legs, now_ns) {
                    return no;
                }
                self.move_legs(order.id(), legs, false, transfer.amount);
            }
            Order::Pending(pending) => {
                if let Some(no) =
                    self.refuse_pair(&legs_of(&pending.transfer, pending.transfer.amount), now_ns)
                {
                    return no;
                }
                let timeout_s = u64::from(pending.timeout_s);
                let hold = NaiveHold {
                    transfer: pending.transfer.clone(),
                    expires_at_ns: (timeout_s > 0).then(|| now_ns + timeout_s * 1_000_000_000),
                    state: State::Open,
                };
                self.touch_hold(&hold);
                self.holds.insert(order.id(), hold);
            }
            Order::Post(post) => {
                let held = match self.open_hold(post.pending_id, now_ns) {
                    Ok(held) => held,
                    Err(status) => return plain(status),
                };
                if post.amount > held.amount {
                    return (
                        Status::ExceedsPendingAmount,
                        RefusalDetail::AmountExceeded { left: held.amount },
                    );
                }
                let amount = if post.amount == 0 { held.amount } else { post.amount };
                self.move_legs(order.id(), legs_of(&held, amount), false, amount);
                self.holds.get_mut(&post.pending_id).expect("it is open").state = State::Posted;
            }
            Order::Void(void) => {
                if let Err(status) = self.open_hold(void.pending_id, now_ns) {
                    return plain(status);
                }
                self.end_hold(void.pending_id, State::Voided);
            }
            Order::Reversal(reversal) => {
                if !self.decided.contains_key(&reversal.reverses_id) {
                    return plain(Status::OriginalNotFound);
                }
                let Some(moved) = self.moved.get(&reversal.reverses_id) else {
                    return plain(Status::OriginalNotReversible);
                };
                if moved.left == 0 {
                    return plain(Status::OriginalAlreadyReversed);
                }
                if moved.is_transaction && reversal.amount != 0 {
                    return plain(Status::TransactionReversedInFullOnly);
                }
                if reversal.amount > moved.left {
                    return (
                        Status::ExceedsOriginalAmount,
                        RefusalDetail::AmountExceeded { left: moved.left },
                    );
                }
                let amount = if reversal.amount == 0 { moved.left } else { reversal.amount };
                let mut legs = moved.legs.clone();
                for leg in &mut legs {
                    leg.side = leg.side.opposite();
                    if !moved.is_transaction {
                        leg.amount = amount;
                    }
                }
                let no = if moved.is_transaction {
                    self.refuse_legs(&legs, now_ns)
                } else {
                    legs.reverse();
                    self.refuse_pair(&legs, now_ns)
                };
                if let Some(no) = no {
                    return no;
                }
                self.book(&legs);
                self.moved.get_mut(&reversal.reverses_id).expect("it moved something").left -= amount;
            }
            Order::Transaction(transaction) => {
                if let Some(no) = self.refuse_legs(&transaction.legs, now_ns) {
                    return no;
                }
                self.move_legs(order.id(), transaction.legs.to_vec(), true, 1);
            }
        }
        plain(Status::Created)
    }

    fn move_legs(&mut self, id: TransferId, legs: Vec<Leg>, is_transaction: bool, left: u128) {
        self.book(&legs);
        self.moved.insert(id, Moved { legs, is_transaction, left });
    }

    fn book(&mut self, legs: &[Leg]) {
        for leg in legs {
            let wallet = self.wallet(leg.wallet).expect("it was asked");
            match leg.side {
                Side::Debit => wallet.debits += leg.amount,
                Side::Credit => wallet.credits += leg.amount,
            }
        }
        for id in legs.iter().map(|leg| leg.wallet).collect::<BTreeSet<_>>() {
            self.wallet(id).expect("it was asked").version += 1;
        }
    }

    fn touch_hold(&mut self, hold: &NaiveHold) {
        for id in [hold.transfer.debit_wallet, hold.transfer.credit_wallet] {
            self.wallet(id).expect("it was asked").version += 1;
        }
    }

    fn end_hold(&mut self, id: TransferId, state: State) {
        let mut hold = self.holds.remove(&id).expect("it is open");
        self.touch_hold(&hold);
        hold.state = state;
        self.holds.insert(id, hold);
    }

    fn open_hold(&self, id: TransferId, now_ns: u64) -> Result<Transfer, Status> {
        let Some(hold) = self.holds.get(&id) else {
            let known = self.decided.contains_key(&id);
            return Err(if known { Status::NotPending } else { Status::PendingNotFound });
        };
        match hold.state {
            State::Open if hold.counts(now_ns) => Ok(hold.transfer.clone()),
            State::Posted => Err(Status::PendingAlreadyPosted),
            State::Voided => Err(Status::PendingAlreadyVoided),
            State::Open | State::Expired => Err(Status::PendingExpired),
        }
    }

    /// Whether the hold ends so now.
    pub(crate) fn expire(&mut self, id: TransferId, now_ns: u64) -> bool {
        let due = self.holds.get(&id).is_some_and(|hold| hold.state == State::Open && !hold.counts(now_ns));
        if due {
            self.end_hold(id, State::Expired);
        }
        due
    }

    fn refuse_pair(&self, legs: &[Leg], now_ns: u64) -> Option<Answer> {
        legs.iter().find_map(|leg| {
            Some(match self.ask(leg.wallet, std::slice::from_ref(leg), now_ns)? {
                No::Plain(Side::Debit, status, _) | No::Plain(Side::Credit, _, status) => plain(status),
                No::Funds { available, required } => {
                    (Status::InsufficientFunds, RefusalDetail::InsufficientFunds { available, required })
                }
                No::Limit(limit) => (Status::LimitExceeded, RefusalDetail::LimitExceeded { limit }),
            })
        })
    }

    fn refuse_legs(&self, legs: &[Leg], now_ns: u64) -> Option<Answer> {
        let of_side = |side| legs.iter().filter(move |leg| leg.side == side).map(|leg| leg.wallet);
        let givers: BTreeSet<WalletId> = of_side(Side::Debit).collect();
        let takers: BTreeSet<WalletId> = of_side(Side::Credit).filter(|id| !givers.contains(id)).collect();
        givers.into_iter().chain(takers).find_map(|id| {
            let (side, status) = match self.ask(id, legs, now_ns)? {
                No::Plain(side, debit, credit) => (side, if side == Side::Debit { debit } else { credit }),
                No::Funds { .. } => (Side::Debit, Status::InsufficientFunds),
                No::Limit(_) => (Side::Credit, Status::LimitExceeded),
            };
            let index = legs.iter().position(|leg| leg.wallet == id && leg.side == side).expect("it has one");
            let index = u8::try_from(index).expect("at most 64 legs");
            Some((Status::LegRefused, RefusalDetail::LegRefused { index, status }))
        })
    }

    /// Asks one wallet for all that is its own of some legs.
    fn ask(&self, id: WalletId, legs: &[Leg], now_ns: u64) -> Option<No> {
        let own = |side| legs.iter().filter(move |leg| leg.wallet == id && leg.side == side);
        let debits: u128 = own(Side::Debit).map(|leg| leg.amount).sum();
        let credits: u128 = own(Side::Credit).map(|leg| leg.amount).sum();
        let first = if debits > 0 { Side::Debit } else { Side::Credit };
        let Some(wallet) = self.wallets.iter().find(|wallet| wallet.terms.id == id) else {
            return Some(No::Plain(first, Status::DebitWalletNotFound, Status::CreditWalletNotFound));
        };
        let terms = &wallet.terms;
        if legs.iter().any(|leg| leg.wallet == id && leg.asset != terms.asset) {
            let (debit, credit) = (Status::DebitWalletAssetMismatch, Status::CreditWalletAssetMismatch);
            return Some(No::Plain(first, debit, credit));
        }
        if terms.flags.contains(WalletFlags::CLOSED) {
            return Some(No::Plain(first, Status::DebitWalletClosed, Status::CreditWalletClosed));
        }
        let (debit_frozen, credit_frozen) = (Status::DebitWalletFrozen, Status::CreditWalletFrozen);
        if debits > 0 && terms.flags.contains(WalletFlags::DEBIT_FROZEN) {
            return Some(No::Plain(Side::Debit, debit_frozen, credit_frozen));
        }
        if credits > 0 && terms.flags.contains(WalletFlags::CREDIT_FROZEN) {
            return Some(No::Plain(Side::Credit, debit_frozen, credit_frozen));
        }
        let (debit_overflow, credit_overflow) = (Status::DebitWalletOverflow, Status::CreditWalletOverflow);
        if debits > 0 && wallet.debits + self.pending(id, Side::Debit) + debits > AMOUNT_MAX {
            return Some(No::Plain(Side::Debit, debit_overflow, credit_overflow));
        }
        let held = |side| self.held(id, side, |hold| hold.counts(now_ns));
        if let OverdraftLimit::Limited(limit) = terms.overdraft_limit
            && !terms.flags.contains(WalletFlags::SYSTEM)
            && debits > credits
        {
            let required = debits - credits;
            let (funds, used) = (wallet.credits + limit, wallet.debits + held(Side::Debit));
            if used + required > funds {
                return Some(No::Funds { available: funds.saturating_sub(used), required });
            }
        }
        if credits > 0 && wallet.credits + self.pending(id, Side::Credit) + credits > AMOUNT_MAX {
            return Some(No::Plain(Side::Credit, debit_overflow, credit_overflow));
        }
        if terms.balance_max > 0
            && credits > debits
            && wallet.credits + held(Side::Credit) + (credits - debits) > wallet.debits + terms.balance_max
        {
            return Some(No::Limit(terms.balance_max));
        }
        None
    }

    pub(crate) fn change(&mut self, change: &WalletChange, now_ns: u64) -> Status {
        let id = change.wallet;
        let open = [Side::Debit, Side::Credit].map(|side| self.held(id, side, |hold| hold.counts(now_ns)));
        let Some(wallet) = self.wallet(id) else { return Status::WalletNotFound };
        let mut terms = wallet.terms.clone();
        match &change.setting {
            Setting::Limits { overdraft_limit, balance_max } => {
                (terms.overdraft_limit, terms.balance_max) = (*overdraft_limit, *balance_max);
            }
            Setting::Flags { set, clear } => {
                let bits = (terms.flags.bits() | set.bits()) & !clear.bits();
                terms.flags = WalletFlags::from_bits(bits);
            }
            Setting::Metadata(metadata) => terms.metadata.clone_from(metadata),
        }
        if terms == wallet.terms {
            return Status::Exists;
        }
        let closes =
            terms.flags.contains(WalletFlags::CLOSED) && !wallet.terms.flags.contains(WalletFlags::CLOSED);
        if closes && wallet.debits != wallet.credits {
            return Status::BalanceNotZero;
        }
        if closes && open != [0, 0] {
            return Status::HoldsAreOpen;
        }
        wallet.terms = terms;
        wallet.version += 1;
        Status::Created
    }
}

fn legs_of(transfer: &Transfer, amount: u128) -> Vec<Leg> {
    let leg = |wallet, side| Leg { wallet, side, asset: transfer.asset, amount };
    vec![leg(transfer.debit_wallet, Side::Debit), leg(transfer.credit_wallet, Side::Credit)]
}

fn misshapen(order: &Order) -> Option<Status> {
    if order.id().0 == 0 {
        return Some(Status::IdMustNotBeZero);
    }
    let (transfer, amount) = match order {
        Order::Transfer(transfer) => (Some(transfer), transfer.amount),
        Order::Pending(pending) => (Some(&pending.transfer), pending.transfer.amount),
        Order::Post(post) => (None, post.amount),
        Order::Reversal(reversal) => (None, reversal.amount),
        Order::Void(_) => (None, 0),
        Order::Transaction(transaction) => return misshapen_legs(&transaction.legs),
    };
    if transfer.is_some() && amount == 0 {
        return Some(Status::AmountMustNotBeZero);
    }
    if amount > AMOUNT_MAX {
        return Some(Status::AmountTooLarge);
    }
    if transfer.is_some_and(|transfer| transfer.debit_wallet == transfer.credit_wallet) {
        return Some(Status::WalletsMustDiffer);
    }
    match order.refers_to() {
        Some(TransferId(0)) => Some(Status::ReferenceMustNotBeZero),
        Some(id) if id == order.id() => Some(Status::RefersToItself),
        _ => None,
    }
}

fn misshapen_legs(legs: &[Leg]) -> Option<Status> {
    if legs.len() < 2 {
        return Some(Status::TooFewLegs);
    }
    if legs.len() > 64 {
        return Some(Status::TooManyLegs);
    }
    for (index, leg) in legs.iter().enumerate() {
        let so_far = &legs[..=index];
        if leg.amount == 0 {
            return Some(Status::AmountMustNotBeZero);
        }
        let mut same = so_far.iter().filter(|other| other.asset == leg.asset && other.side == leg.side);
        let sum = same.try_fold(0_u128, |sum, other| sum.checked_add(other.amount));
        if sum.is_none_or(|sum| sum > AMOUNT_MAX) {
            return Some(Status::AmountTooLarge);
        }
        if so_far.iter().any(|other| other.wallet == leg.wallet && other.asset != leg.asset) {
            return Some(Status::WalletInTwoAssets);
        }
    }
    if legs.iter().all(|leg| leg.wallet == legs[0].wallet) {
        return Some(Status::WalletsMustDiffer);
    }
    let assets: BTreeSet<AssetId> = legs.iter().map(|leg| leg.asset).collect();
    let sum = |asset, side| -> u128 {
        legs.iter().filter(|leg| leg.asset == asset && leg.side == side).map(|leg| leg.amount).sum()
    };
    assets
        .into_iter()
        .any(|asset| sum(asset, Side::Debit) != sum(asset, Side::Credit))
        .then_some(Status::LegsDoNotBalance)
}

/// The first field that differs, as documented.
fn difference(first: &Order, again: &Order) -> Option<Status> {
    if first.kind() != again.kind() {
        return Some(Status::ExistsWithDifferentKind);
    }
    let mut fields: Vec<(bool, Status)> = Vec::new();
    match (first, again) {
        (Order::Transfer(first), Order::Transfer(again)) => fields.extend(transfer_fields(first, again)),
        (Order::Pending(first), Order::Pending(again)) => {
            fields.push((first.timeout_s == again.timeout_s, Status::ExistsWithDifferentTimeout));
            fields.extend(transfer_fields(&first.transfer, &again.transfer));
        }
        (Order::Post(first), Order::Post(again)) => fields.extend([
            (first.pending_id == again.pending_id, Status::ExistsWithDifferentPendingId),
            (first.amount == again.amount, Status::ExistsWithDifferentAmount),
        ]),
        (Order::Reversal(first), Order::Reversal(again)) => fields.extend([
            (first.reverses_id == again.reverses_id, Status::ExistsWithDifferentReversesId),
            (first.amount == again.amount, Status::ExistsWithDifferentAmount),
        ]),
        (Order::Void(first), Order::Void(again)) => {
            fields.push((first.pending_id == again.pending_id, Status::ExistsWithDifferentPendingId));
        }
        (Order::Transaction(first), Order::Transaction(again)) => {
            fields.push((first.legs == again.legs, Status::ExistsWithDifferentLegs));
        }
        _ => unreachable!("they are of one kind"),
    }
    let (first, again) = (first.notes(), again.notes());
    fields.extend([
        (first.0 == again.0, Status::ExistsWithDifferentGroupId),
        (first.1 == again.1, Status::ExistsWithDifferentCode),
        (first.2 == again.2, Status::ExistsWithDifferentEffectiveAt),
        (first.3 == again.3, Status::ExistsWithDifferentMetadata),
    ]);
    fields.into_iter().find(|(same, _)| !same).map(|(_, status)| status)
}

fn transfer_fields(first: &Transfer, again: &Transfer) -> [(bool, Status); 4] {
    [
        (first.debit_wallet == again.debit_wallet, Status::ExistsWithDifferentDebitWallet),
        (first.credit_wallet == again.credit_wallet, Status::ExistsWithDifferentCreditWallet),
        (first.asset == again.asset, Status::ExistsWithDifferentAsset),
        (first.amount == again.amount, Status::ExistsWithDifferentAmount),
    ]
}
