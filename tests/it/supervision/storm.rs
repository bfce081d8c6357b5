//! Transfers, reads and trial balances all at once, retried until every id has its final outcome; and what must hold
//! afterwards, in the running ledger and in its journal.

use crate::books::{BANK, Chance, transfer, wallet};
use crate::running_ledger::{RunningLedger, answer_of, is_for_now, transfers};
use actors::{Answer, Answered, Operations, WalletView};
use ledger::{
    Entry, Fold, NewWallet, Outcome, OverdraftLimit, RefusalDetail, Status, Transfer, TransferId, WalletId,
};
use persistence::verify_and_read;
use std::collections::HashMap;
use std::path::Path;
use std::sync::mpsc::Receiver;

/// Wallets that pay each other, and often find too little.
pub(crate) const PAYERS: u128 = 8;

/// Wallets with plenty, of which nothing ever fails: what they do succeeds at once, whatever becomes of others.
const BYSTANDERS: u128 = 4;

const FIRST_PAYER: u128 = 2;
const FIRST_BYSTANDER: u128 = 50;

/// There is no such wallet: what is reserved for it is released.
const MISSING: u128 = 99;

/// What a bystander starts with.
const PLENTY: u128 = 1_000_000;

/// On which side of its transfers the wallet that fails is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Debit,
    Credit,
    Both,
}

pub(crate) fn payers() -> Vec<WalletId> {
    (FIRST_PAYER..FIRST_PAYER + PAYERS).map(WalletId).collect()
}

fn bystanders() -> Vec<WalletId> {
    (FIRST_BYSTANDER..FIRST_BYSTANDER + BYSTANDERS).map(WalletId).collect()
}

/// All wallets, the bank first.
pub(crate) fn all_wallets() -> Vec<WalletId> {
    let mut all = vec![WalletId(BANK)];
    all.extend(payers());
    all.extend(bystanders());
    all
}

/// The wallets' terms: most may spend what they have, one more than that, and some may only hold so much.
pub(crate) fn books() -> Vec<NewWallet> {
    let terms = |id: WalletId| match id.0 {
        3 => NewWallet { overdraft_limit: OverdraftLimit::Limited(100), ..wallet(3) },
        4 => NewWallet { balance_max: 520, ..wallet(4) },
        2 => NewWallet { balance_max: 900, ..wallet(2) },
        id => wallet(id),
    };
    payers().into_iter().chain(bystanders()).map(terms).collect()
}

fn is_bystander(transfer: &Transfer) -> bool {
    let safe = |wallet: WalletId| wallet.0 == BANK || wallet.0 >= FIRST_BYSTANDER && wallet.0 != MISSING;
    safe(transfer.debit_wallet) && safe(transfer.credit_wallet)
}

/// What a client was finally told of each id.
#[derive(Debug, Default)]
pub(crate) struct Told {
    outcomes: HashMap<TransferId, (Transfer, Final)>,
}

/// The final outcome of an id: done or refused for good, and by which entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Final {
    status: Status,
    seq: u64,
    timestamp_ns: u64,
}

impl Told {
    /// Notes an answer; whether it was final. Every final answer of an id has to be the same.
    fn note(&mut self, transfer: &Transfer, outcome: &Outcome) -> bool {
        let status = match (outcome.status, outcome.detail) {
            (status, _) if is_for_now(status) => return false,
            (Status::Exists, _) => Status::Created,
            (Status::IdAlreadyRefused, RefusalDetail::AlreadyRefused { first_status }) => first_status,
            (status, _) => status,
        };
        assert!(status == Status::Created || status.is_final(), "{transfer:?}: {outcome:?}");
        let last = Final { status, seq: outcome.seq, timestamp_ns: outcome.timestamp_ns };
        let first = self.outcomes.entry(transfer.id).or_insert_with(|| (transfer.clone(), last)).1;
        assert_eq!(first, last, "an id has one outcome: {transfer:?}");
        true
    }

    fn done(&self) -> impl Iterator<Item = &Transfer> {
        self.outcomes
            .values()
            .filter(|(_, last)| last.status == Status::Created)
            .map(|(transfer, _)| transfer)
    }

    /// The ids that have an outcome.
    pub(crate) fn ids(&self) -> impl Iterator<Item = TransferId> {
        self.outcomes.keys().copied()
    }

    /// How many ids have an outcome.
    pub(crate) fn len(&self) -> usize {
        self.outcomes.len()
    }

    /// What was moved in all.
    pub(crate) fn moved(&self) -> u128 {
        self.done().map(|transfer| transfer.amount).sum()
    }

    /// What the wallet has paid and got: the naive model.
    fn counters(&self, wallet: WalletId) -> (u128, u128) {
        let sum = |side: fn(&Transfer) -> WalletId| -> u128 {
            self.done().filter(|transfer| side(transfer) == wallet).map(|transfer| transfer.amount).sum()
        };
        (sum(|transfer| transfer.debit_wallet), sum(|transfer| transfer.credit_wallet))
    }
}

/// A storm over a ledger; ids go on from storm to storm.
#[derive(Debug)]
pub(crate) struct Storm {
    chance: Chance,
    next_id: u128,
    pub(crate) told: Told,
}

impl Storm {
    pub(crate) fn new(seed: u64) -> Self {
        Self { chance: Chance(seed), next_id: 1, told: Told::default() }
    }

    fn pay(&mut self, from: u128, to: u128, amount: u128) -> Transfer {
        self.next_id += 1;
        transfer(self.next_id, from, to, amount)
    }

    fn below(&mut self, bound: u128) -> u128 {
        u128::from(self.chance.below(u64::try_from(bound).expect("a small bound")))
    }

    /// Gives every wallet something to spend.
    pub(crate) fn fund(&mut self, ledger: &RunningLedger) {
        let mut funding: Vec<Transfer> =
            payers().into_iter().map(|payer| self.pay(BANK, payer.0, 500)).collect();
        funding.extend(bystanders().into_iter().map(|rich| self.pay(BANK, rich.0, PLENTY)));
        self.settle(ledger, &funding);
    }

    /// Transfers among the payers, with `victim` on the side that is asked for, and among the bystanders.
    pub(crate) fn traffic(&mut self, victim: u128, side: Side, count: u32) -> Vec<Transfer> {
        (0..count).map(|index| self.random_transfer(victim, side, index)).collect()
    }

    fn random_transfer(&mut self, victim: u128, side: Side, index: u32) -> Transfer {
        if index % 4 == 3 {
            let rich = FIRST_BYSTANDER + self.below(BYSTANDERS);
            let other = FIRST_BYSTANDER + self.below(BYSTANDERS);
            let (from, to) = if rich == other { (BANK, rich) } else { (rich, other) };
            return self.pay(from, to, 1);
        }
        let amount = 1 + self.below(60);
        let mut partner = FIRST_PAYER + self.below(PAYERS);
        if partner == victim {
            partner = BANK;
        }
        match (side, self.chance.below(10)) {
            (Side::Debit | Side::Both, 0) => self.pay(victim, MISSING, amount),
            (Side::Debit | Side::Both, 1) => self.pay(victim, partner, 5_000),
            // From the bank too, or there would soon be nothing left to pay with.
            (Side::Debit, 2 | 3) => self.pay(BANK, victim, 4 * amount),
            (Side::Debit, _) => self.pay(victim, partner, amount),
            (Side::Credit, 0) => self.pay(partner, MISSING, amount),
            (Side::Credit | Side::Both, 2) => self.pay(BANK, victim, 1_000),
            (Side::Credit, 3 | 4) => self.pay(victim, BANK, 2 * amount),
            (Side::Both, 3) => self.pay(BANK, partner.max(FIRST_PAYER), 3 * amount),
            (Side::Both, choice) if choice % 2 == 0 => self.pay(victim, partner, amount),
            (Side::Credit | Side::Both, _) => self.pay(partner, victim, amount),
        }
    }

    /// Sends the transfers in batches, some twice and with reads and trial balances in between, all at once; then those
    /// that were refused for now again, one by one, until each has its outcome.
    pub(crate) fn settle(&mut self, ledger: &RunningLedger, all: &[Transfer]) {
        let mut unsettled = self.first_round(ledger, all);
        for _ in 0..1_000 {
            if unsettled.is_empty() {
                return;
            }
            let requests = unsettled.iter().map(|transfer| transfers(vec![transfer.clone()])).collect();
            let answers = ledger.ask_all(requests);
            let mut again = Vec::new();
            for (transfer, answer) in unsettled.into_iter().zip(answers) {
                if !self.told.note(&transfer, &crate::running_ledger::outcomes(answer)[0]) {
                    again.push(transfer);
                }
            }
            unsettled = again;
        }
        panic!("{} transfers are never settled", unsettled.len());
    }

    fn first_round(&mut self, ledger: &RunningLedger, all: &[Transfer]) -> Vec<Transfer> {
        let mut asked: Vec<(Receiver<Answered>, Vec<Transfer>)> = Vec::new();
        let mut undisturbed = Vec::new();
        for (index, batch) in all.chunks(5).enumerate() {
            asked.push((ledger.submit(index, transfers(batch.to_vec())), batch.to_vec()));
            if index % 3 == 0 {
                let again = vec![batch[0].clone(), batch[0].clone()];
                asked.push((ledger.submit(index + 1, transfers(again.clone())), again));
            }
            if index % 4 == 0 {
                asked.push((ledger.submit(index, Operations::LookupWallets(payers())), Vec::new()));
                undisturbed.push(ledger.submit(index, Operations::LookupWallets(bystanders())));
            }
            if index % 16 == 5 {
                asked.push((ledger.submit(index, Operations::TrialBalance), Vec::new()));
            }
        }
        let mut unsettled: HashMap<TransferId, Transfer> = HashMap::new();
        for (answer, batch) in asked {
            match answer_of(&answer) {
                Answer::Outcomes { outcomes, .. } => {
                    assert_eq!(outcomes.len(), batch.len());
                    for (transfer, outcome) in batch.iter().zip(&outcomes) {
                        if !self.told.note(transfer, outcome) {
                            assert!(
                                !is_bystander(transfer),
                                "others notice nothing: {transfer:?} {outcome:?}"
                            );
                            unsettled.insert(transfer.id, transfer.clone());
                        } else if is_bystander(transfer) {
                            assert!(outcome.status.is_success(), "others notice nothing: {outcome:?}");
                        }
                    }
                }
                Answer::TrialBalance(view) => {
                    assert!(view.assets.iter().all(|(_, totals)| totals.is_balanced()), "{view:?}");
                }
                Answer::Wallets(_) | Answer::Unavailable => {}
                other => panic!("no answer to this: {other:?}"),
            }
        }
        for read in undisturbed {
            let answer = answer_of(&read);
            assert!(matches!(answer, Answer::Wallets(_)), "others notice nothing: {answer:?}");
        }
        unsettled.into_values().collect()
    }

    /// With nothing under way any more: the totals are exact, every wallet stands where the outcomes say, and each can
    /// spend exactly what is available to it, and not one unit more. Returns the wallets as they are in the end.
    pub(crate) fn check_at_rest(&mut self, ledger: &RunningLedger, context: &str) -> Vec<WalletView> {
        let all = all_wallets();
        self.check_against_model(&ledger.wallets(&all), context);
        for _ in 0..2 {
            let totals = ledger.trial_balance();
            assert!(totals.is_balanced(), "{context}: {totals:?}");
            assert_eq!(
                (totals.wallets, totals.debits_posted),
                (all.len() as u64, self.told.moved()),
                "{context}"
            );
        }
        for view in ledger.wallets(&payers()) {
            let (id, available) = (view.wallet.terms.id.0, view.available);
            let available = u128::try_from(available.expect("limited")).expect("not negative");
            let beyond = self.pay(id, BANK, available + 1);
            let outcome = ledger.pay(&beyond);
            let lacking = RefusalDetail::InsufficientFunds { available, required: available + 1 };
            assert_eq!(
                (outcome.status, outcome.detail),
                (Status::InsufficientFunds, lacking),
                "{context}: {id}"
            );
            self.told.note(&beyond, &outcome);
            if available > 0 {
                let exactly = self.pay(id, BANK, available);
                let outcome = ledger.pay(&exactly);
                assert_eq!(outcome.status, Status::Created, "{context}: {id} spends what it has");
                self.told.note(&exactly, &outcome);
            }
        }
        let views = ledger.wallets(&all);
        self.check_against_model(&views, context);
        views
    }

    fn check_against_model(&self, views: &[WalletView], context: &str) {
        for view in views {
            let position = view.wallet.position;
            let counters = (position.debits_posted, position.credits_posted);
            let id = view.wallet.terms.id;
            assert_eq!(counters, self.told.counters(id), "{context}: wallet {id}");
            assert_eq!((position.debits_pending, position.credits_pending), (0, 0), "{context}: wallet {id}");
        }
    }

    /// The stopped directory holds every outcome that was told, and no other; and folds into the wallets as they were.
    pub(crate) fn check_journal(&self, data: &Path, views: &[WalletView], context: &str) {
        let mut journaled = HashMap::new();
        let mut fold = Fold::default();
        let verified = verify_and_read(data, &mut |seq, timestamp_ns, entry| {
            fold.apply(seq, timestamp_ns, entry)?;
            let (transfer, status) = match entry.clone() {
                Entry::Transferred(transfer) => (transfer, Status::Created),
                Entry::TransferRefused { transfer, refusal } => (transfer, refusal.status),
                Entry::AssetCreated(_) | Entry::WalletCreated(_) => return Ok(()),
                other => panic!("{context}: nobody asked for {other:?}"),
            };
            let before = journaled.insert(transfer.id, (transfer, Final { status, seq, timestamp_ns }));
            assert!(before.is_none(), "{context}: an id is applied once: {before:?}");
            Ok(())
        });
        verified.expect("the ledger is whole");
        assert_eq!(journaled.len(), self.told.len(), "{context}");
        for (id, (transfer, last)) in &self.told.outcomes {
            assert_eq!(journaled.get(id), Some(&(transfer.clone(), *last)), "{context}");
        }
        let live: HashMap<WalletId, _> =
            views.iter().map(|view| (view.wallet.terms.id, view.wallet.clone())).collect();
        assert_eq!(fold.wallets, live, "{context}: live wallets are the journal's");
    }
}
