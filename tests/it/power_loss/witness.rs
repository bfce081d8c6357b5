//! What a ledger must hold after a power cut: all that was acknowledged before it, nothing that nobody asked for.
//!
//! It shares no rule with the product: entries are added up here by themselves.

use super::conversation::Conversation;
use ledger::{
    AssetId, Entry, NewWallet, Order, Outcome, Position, RefusalDetail, Status, Transfer, TransferId,
    WalletId,
};
use protocol::{NewAsset, Reply, Request};
use std::collections::{HashMap, HashSet};
use std::ops::Range;

/// Everything that was asked and acknowledged up to some moment.
#[derive(Debug, Default, Clone)]
pub(crate) struct Witness {
    asked_transfers: HashMap<TransferId, Vec<Transfer>>,
    asked_wallets: HashMap<WalletId, Vec<NewWallet>>,
    asked_assets: HashMap<AssetId, Vec<NewAsset>>,
    acknowledged: Vec<Acknowledged>,
    /// What somebody read: a wallet's position as of an entry.
    read: Vec<(u64, WalletId, Position)>,
    /// The newest entry that anybody was told of, or saw the effect of.
    pub(crate) newest_seq: u64,
}

#[derive(Debug, Clone)]
enum Acknowledged {
    Asset(NewAsset, Outcome),
    Wallet(NewWallet, Outcome),
    Transfer(Transfer, Outcome),
}

/// A ledger's entries, from the first, each with its time.
pub(crate) type Entries = Vec<(u64, Entry)>;

impl Witness {
    /// Adds what was heard in these events.
    pub(crate) fn hear(&mut self, conversation: &Conversation, events: Range<usize>) {
        for asked in conversation.asked.iter().filter(|asked| events.contains(&asked.at)) {
            match asked.request.as_ref() {
                Request::CreateAssets(request) => {
                    for asset in &request.assets {
                        self.asked_assets.entry(asset.id).or_default().push(asset.clone());
                    }
                }
                Request::CreateWallets(request) => {
                    for wallet in &request.wallets {
                        self.asked_wallets.entry(wallet.id).or_default().push(wallet.clone());
                    }
                }
                Request::CreateTransfers(request) => {
                    for transfer in &request.orders {
                        let same_id = self.asked_transfers.entry(transfer.id).or_default();
                        if !same_id.contains(transfer) {
                            same_id.push(transfer.clone());
                        }
                    }
                }
                _ => {}
            }
        }
        for answered in conversation.answered.iter().filter(|answered| events.contains(&answered.at)) {
            self.hear_reply(&answered.request, &answered.reply);
        }
    }

    fn hear_reply(&mut self, request: &Request, reply: &Reply) {
        match (request, reply) {
            (Request::CreateAssets(request), Reply::CreateAssets(outcomes)) => {
                assert_eq!(request.assets.len(), outcomes.len());
                for (asset, outcome) in request.assets.iter().zip(outcomes) {
                    self.acknowledge(Acknowledged::Asset(asset.clone(), *outcome), outcome);
                }
            }
            (Request::CreateWallets(request), Reply::CreateWallets(outcomes)) => {
                assert_eq!(request.wallets.len(), outcomes.len());
                for (wallet, outcome) in request.wallets.iter().zip(outcomes) {
                    self.acknowledge(Acknowledged::Wallet(wallet.clone(), *outcome), outcome);
                }
            }
            (Request::CreateTransfers(request), Reply::CreateTransfers(created)) => {
                assert_eq!(request.orders.len(), created.outcomes.len());
                for (transfer, outcome) in request.orders.iter().zip(&created.outcomes) {
                    self.acknowledge(Acknowledged::Transfer(transfer.clone(), *outcome), outcome);
                }
            }
            (Request::LookupTransfers(_), Reply::LookupTransfers(views)) => {
                for view in views.iter().flatten() {
                    let Order::Transfer(transfer) = &view.order else { panic!("nobody asked for {view:?}") };
                    let seen = Acknowledged::Transfer(transfer.clone(), view.outcome);
                    self.acknowledge(seen, &view.outcome);
                }
            }
            (Request::Balances(request), Reply::Balances(views)) => {
                for (wallet, view) in request.ids.iter().zip(views) {
                    if let Some(view) = view {
                        self.read.push((view.as_of_seq, *wallet, view.position));
                        self.newest_seq = self.newest_seq.max(view.as_of_seq);
                    }
                }
            }
            (Request::LookupWallets(_), Reply::LookupWallets(views)) => {
                for view in views.iter().flatten() {
                    self.read.push((view.as_of_seq, view.terms.id, view.position));
                    self.newest_seq = self.newest_seq.max(view.as_of_seq);
                }
            }
            (Request::TrialBalance(_), Reply::TrialBalance(trial)) => {
                assert!(trial.assets.iter().all(|line| line.totals.is_balanced()), "{trial:?}");
                self.newest_seq = self.newest_seq.max(trial.as_of_seq);
            }
            (Request::Hello(_), Reply::Hello(_)) | (_, Reply::Error(_)) => {}
            (request, reply) => panic!("{request:?} was answered {reply:?}"),
        }
    }

    fn acknowledge(&mut self, acknowledged: Acknowledged, outcome: &Outcome) {
        self.newest_seq = self.newest_seq.max(outcome.seq);
        self.acknowledged.push(acknowledged);
    }

    /// How many outcomes were acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.len()
    }

    /// The transfers of which it is known for ever what became of them, each with the status of its repetition.
    pub(crate) fn settled_transfers(&self) -> Vec<(Transfer, Status, u64)> {
        let mut settled = HashMap::new();
        for acknowledged in &self.acknowledged {
            let Acknowledged::Transfer(transfer, outcome) = acknowledged else { continue };
            let again = match outcome.status {
                Status::Created | Status::Exists => Status::Exists,
                status if status.is_final() => Status::IdAlreadyRefused,
                Status::IdAlreadyRefused => Status::IdAlreadyRefused,
                _ => continue,
            };
            settled.insert(transfer.id, (transfer.clone(), again, outcome.seq));
        }
        settled.into_values().collect()
    }

    /// Says what is wrong with a ledger of these entries, if anything is.
    pub(crate) fn judge(&self, entries: &Entries) -> Result<HashMap<WalletId, Position>, String> {
        if (entries.len() as u64) < self.newest_seq {
            return Err(format!(
                "it ends at entry {}, but somebody was told of {}",
                entries.len(),
                self.newest_seq
            ));
        }
        for acknowledged in &self.acknowledged {
            check_acknowledged(acknowledged, entries)?;
        }
        self.check_nothing_invented(entries)?;
        self.add_up(entries)
    }

    fn check_nothing_invented(&self, entries: &Entries) -> Result<(), String> {
        let mut ids = HashSet::new();
        let mut last_timestamp_ns = 0;
        for (index, (timestamp_ns, entry)) in entries.iter().enumerate() {
            let seq = index + 1;
            if *timestamp_ns <= last_timestamp_ns {
                return Err(format!("entry {seq} is not later than the one before it"));
            }
            last_timestamp_ns = *timestamp_ns;
            let was_asked = match entry {
                Entry::AssetCreated(asset) => self.asked_assets.get(&asset.id).is_some_and(|asked| {
                    asked.iter().any(|new| new.code == asset.code.as_str() && new.scale == asset.scale)
                }),
                Entry::WalletCreated(wallet) => {
                    self.asked_wallets.get(&wallet.id).is_some_and(|asked| asked.contains(wallet))
                }
                Entry::Transferred(transfer) | Entry::TransferRefused { transfer, .. } => {
                    if !ids.insert(transfer.id) {
                        return Err(format!("entry {seq} uses the id {} again", transfer.id));
                    }
                    self.asked_transfers.get(&transfer.id).is_some_and(|asked| asked.contains(transfer))
                }
                // The workload asks for nothing else.
                _ => false,
            };
            if !was_asked {
                return Err(format!("nobody asked for entry {seq}: {entry:?}"));
            }
        }
        Ok(())
    }

    /// Positions, counted entry by entry; compared on the way with all that anybody read.
    fn add_up(&self, entries: &Entries) -> Result<HashMap<WalletId, Position>, String> {
        let mut read: Vec<_> = self.read.clone();
        read.sort_by_key(|(as_of_seq, ..)| *as_of_seq);
        let mut read = read.into_iter().peekable();
        let mut positions: HashMap<WalletId, Position> = HashMap::new();
        for (seq, (_, entry)) in (1..).zip(entries) {
            match entry {
                Entry::WalletCreated(wallet) => {
                    positions.insert(wallet.id, Position::default());
                }
                Entry::Transferred(transfer) => {
                    let unknown = || format!("entry {seq} moves money of a wallet that does not exist");
                    let debit = positions.get_mut(&transfer.debit_wallet).ok_or_else(unknown)?;
                    debit.debits_posted += transfer.amount;
                    let credit = positions.get_mut(&transfer.credit_wallet).ok_or_else(unknown)?;
                    credit.credits_posted += transfer.amount;
                }
                Entry::AssetCreated(_) | Entry::TransferRefused { .. } => {}
                other => return Err(format!("nobody asked for entry {seq}: {other:?}")),
            }
            while let Some((_, wallet, position)) = read.next_if(|(as_of_seq, ..)| *as_of_seq == seq) {
                if positions.get(&wallet) != Some(&position) {
                    let now = positions.get(&wallet);
                    return Err(format!(
                        "as of {seq}, somebody read {position:?} of wallet {wallet}: now {now:?}"
                    ));
                }
            }
        }
        let (debits, credits) = positions.values().fold((0, 0), |(debits, credits), position| {
            (debits + position.debits_posted, credits + position.credits_posted)
        });
        if debits != credits {
            return Err(format!("{debits} were taken and {credits} given"));
        }
        Ok(positions)
    }
}

fn check_acknowledged(acknowledged: &Acknowledged, entries: &Entries) -> Result<(), String> {
    let outcome = match acknowledged {
        Acknowledged::Asset(_, outcome)
        | Acknowledged::Wallet(_, outcome)
        | Acknowledged::Transfer(_, outcome) => outcome,
    };
    let Some(index) = outcome.seq.checked_sub(1) else {
        // No entry was made of it, so there is nothing to keep.
        return Ok(());
    };
    let Some((timestamp_ns, entry)) = entries.get(index as usize) else {
        return Err(format!("{acknowledged:?} is gone"));
    };
    let is_there = match (acknowledged, entry) {
        (Acknowledged::Asset(new, outcome), Entry::AssetCreated(asset)) => {
            let same = new.code == asset.code.as_str() && new.scale == asset.scale;
            new.id == asset.id && (same || !outcome.status.is_success())
        }
        (Acknowledged::Wallet(new, outcome), Entry::WalletCreated(wallet)) => {
            new.id == wallet.id && (new == wallet || !outcome.status.is_success())
        }
        (Acknowledged::Transfer(asked, outcome), Entry::Transferred(transfer)) => match outcome.status {
            Status::Created | Status::Exists => asked == transfer,
            status => {
                asked.id == transfer.id && asked.compare(transfer) != Status::Exists && !status.is_final()
            }
        },
        (Acknowledged::Transfer(asked, outcome), Entry::TransferRefused { transfer, refusal }) => {
            match (outcome.status, outcome.detail) {
                (Status::IdAlreadyRefused, RefusalDetail::AlreadyRefused { first_status }) => {
                    asked == transfer && first_status == refusal.status
                }
                (status, detail) if status.is_final() => {
                    asked == transfer && (status, detail) == (refusal.status, refusal.detail)
                }
                (status, _) => !status.is_success() && asked.id == transfer.id && asked != transfer,
            }
        }
        _ => false,
    };
    if !is_there || *timestamp_ns != outcome.timestamp_ns {
        return Err(format!(
            "{acknowledged:?} was acknowledged, and its entry is now {entry:?} of {timestamp_ns}"
        ));
    }
    Ok(())
}
