//! The rules driven as a server does, one order after another with nothing open: decided, journaled, folded.

use crate::naive::Answer;
use ledger::decide::decide;
use ledger::original::{expire, resolve};
use ledger::route::expires_at_ns;
use ledger::{
    AssetId, Circumstances, Decision, Entry, Facts, Fold, HoldState, HoldTerms, NewWallet, Order, Original,
    Refusal, RefusalDetail, Route, Status, TransferId, WalletChange,
};
use std::collections::HashMap;

#[derive(Default)]
pub(crate) struct Driven {
    pub(crate) fold: Fold,
    /// Every entry with its time; the first has the sequence number 1.
    pub(crate) journal: Vec<(u64, Entry)>,
    pub(crate) originals: HashMap<TransferId, Original>,
    decided: HashMap<TransferId, (Order, Option<Refusal>)>,
}

/// What an order comes to, and until when that holds.
struct Verdict {
    outcome: Result<Option<Facts>, Refusal>,
    valid_until_ns: u64,
}

impl Driven {
    /// A ledger with these wallets, and as many assets as asked for.
    pub(crate) fn new(assets: u32, wallets: &[NewWallet]) -> Self {
        let mut driven = Self::default();
        for id in 1..=assets {
            driven.append(u64::from(id), Entry::AssetCreated(crate::samples::asset(id)));
        }
        for wallet in wallets {
            driven.append(driven.fold.last_timestamp_ns + 1, Entry::WalletCreated(wallet.clone()));
        }
        driven
    }

    fn append(&mut self, now_ns: u64, entry: Entry) {
        let seq = self.fold.last_seq + 1;
        self.fold.apply(seq, now_ns, &entry).expect("it was decided");
        self.journal.push((now_ns, entry));
    }

    /// Decides on an order at one time, and journals it at that or a later one.
    pub(crate) fn order(&mut self, order: &Order, decided_at_ns: u64, now_ns: u64) -> Answer {
        if let Err(refusal) = order.check_shape() {
            return (refusal.status, refusal.detail);
        }
        if let Some((first, refusal)) = self.decided.get(&order.id()) {
            return match (first.compare(order), refusal) {
                (Status::Exists, Some(Refusal { status, .. })) => {
                    (Status::IdAlreadyRefused, RefusalDetail::AlreadyRefused { first_status: *status })
                }
                (status, _) => (status, RefusalDetail::None),
            };
        }
        let mut verdict = self.evaluate(order, decided_at_ns);
        if now_ns >= verdict.valid_until_ns {
            verdict = self.evaluate(order, now_ns);
        }
        assert!(now_ns < verdict.valid_until_ns, "what is decided now holds now");
        match verdict.outcome {
            Ok(facts) => {
                self.append(now_ns, Entry::done(order.clone(), facts.clone()));
                self.note(order, facts, now_ns);
                self.decided.insert(order.id(), (order.clone(), None));
                (Status::Created, RefusalDetail::None)
            }
            Err(refusal) => {
                assert!(refusal.status.is_final(), "{refusal:?}");
                self.append(now_ns, Entry::refused(order.clone(), refusal));
                self.originals.insert(order.id(), Original::Neither);
                self.decided.insert(order.id(), (order.clone(), Some(refusal)));
                (refusal.status, refusal.detail)
            }
        }
    }

    fn evaluate(&self, order: &Order, now_ns: u64) -> Verdict {
        let mut valid_until_ns = u64::MAX;
        let (route, facts) = match order {
            Order::Transfer(transfer) => (Route::of_transfer(transfer), None),
            Order::Pending(pending) => (Route::of_pending(&pending.transfer, pending.timeout_s), None),
            Order::Transaction(transaction) => (Route::of_legs(&transaction.legs), None),
            Order::Post(_) | Order::Void(_) | Order::Reversal(_) => {
                let original = order.refers_to().and_then(|id| self.originals.get(&id));
                match resolve(order, original, now_ns) {
                    Ok(resolution) => {
                        valid_until_ns = resolution.valid_until_ns;
                        (resolution.route, Some(resolution.facts))
                    }
                    Err(unresolved) => {
                        let outcome = Err(unresolved.refusal);
                        return Verdict { outcome, valid_until_ns: unresolved.valid_until_ns };
                    }
                }
            }
        };
        for part in route.parts() {
            match decide(self.fold.wallets.get(&part.wallet), part, &Circumstances::settled(now_ns)) {
                Decision::Accept => {}
                Decision::Refuse { refusal, valid_until_ns } => {
                    return Verdict { outcome: Err(refusal), valid_until_ns };
                }
                Decision::Wait => panic!("with nothing open there is nothing to wait for"),
            }
        }
        Verdict { outcome: Ok(facts), valid_until_ns }
    }

    /// What later orders may be about.
    fn note(&mut self, order: &Order, facts: Option<Facts>, now_ns: u64) {
        let original = match (order, &facts) {
            (Order::Transfer(transfer), _) => Original::moved(
                transfer.debit_wallet,
                transfer.credit_wallet,
                transfer.asset,
                transfer.amount,
            ),
            (Order::Pending(pending), _) => {
                let transfer = &pending.transfer;
                Original::Hold {
                    terms: HoldTerms {
                        debit_wallet: transfer.debit_wallet,
                        credit_wallet: transfer.credit_wallet,
                        asset: transfer.asset,
                        amount: transfer.amount,
                        expires_at_ns: expires_at_ns(now_ns, pending.timeout_s),
                    },
                    state: HoldState::Open,
                }
            }
            (Order::Post(post), Some(Facts::Hold(hold))) => {
                let captured = if post.amount == 0 { hold.amount } else { post.amount };
                Original::moved(hold.debit_wallet, hold.credit_wallet, hold.asset, captured)
            }
            (Order::Transaction(transaction), _) => Original::transaction(&transaction.legs),
            _ => Original::Neither,
        };
        self.originals.insert(order.id(), original);
        if let (Some(id), Some(facts)) = (order.refers_to(), facts) {
            self.originals.get_mut(&id).expect("it was resolved").progress(order.kind(), &facts);
        }
    }

    /// Lets a hold expire, if it is to.
    pub(crate) fn expire(&mut self, pending_id: TransferId, now_ns: u64) -> bool {
        let Some(resolution) = expire(pending_id, self.originals.get(&pending_id), now_ns) else {
            return false;
        };
        let Facts::Hold(hold) = resolution.facts else { panic!("a hold expires") };
        let original = self.originals.get_mut(&pending_id).expect("it expires");
        original.progress(ledger::OrderKind::Expire, &Facts::Hold(hold));
        let entry = Entry::Expired { pending_id, hold };
        assert_eq!(entry.route(), resolution.route);
        self.append(now_ns, entry);
        true
    }

    pub(crate) fn change(&mut self, change: &WalletChange, now_ns: u64) -> Status {
        if let Err(refusal) = change.check_shape() {
            return refusal.status;
        }
        match change.decide(self.fold.wallets.get(&change.wallet), now_ns) {
            Ok(Status::Created) => {
                self.append(now_ns, Entry::WalletChanged(change.clone()));
                Status::Created
            }
            Ok(status) => status,
            Err(refusal) => refusal.status,
        }
    }

    pub(crate) fn assets(&self) -> Vec<AssetId> {
        self.fold.assets.keys().copied().collect()
    }
}
