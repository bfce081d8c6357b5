//! The clients: what they ask for, chosen by the seed so that they get into each other's way as often as they can.
//!
//! Few wallets, small amounts, tight limits, ids that are sent again while the first is under way, after a refusal, after
//! a crash, and with other fields.

use crate::request::Operations;
use ledger::{
    Asset, AssetCode, AssetId, NewWallet, OverdraftLimit, Owner, Refusal, Status, Transfer, TransferId,
    WalletFlags, WalletId,
};
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};

/// What a request asked for, kept to compare with what it is answered.
#[derive(Clone, Debug)]
pub(super) enum Asked {
    Assets(Vec<Result<Asset, Refusal>>),
    Wallets(Vec<NewWallet>),
    Transfers { transfers: Vec<Transfer>, with_balances: bool },
    ReadWallets(Vec<WalletId>),
    ReadTransfers(Vec<TransferId>),
    TrialBalance,
}

impl Asked {
    pub(super) fn operations(&self) -> Operations {
        match self.clone() {
            Asked::Assets(assets) => Operations::CreateAssets(assets),
            Asked::Wallets(wallets) => Operations::CreateWallets(wallets),
            Asked::Transfers { transfers, with_balances } => {
                Operations::CreateTransfers { transfers, with_balances }
            }
            Asked::ReadWallets(ids) => Operations::LookupWallets(ids),
            Asked::ReadTransfers(ids) => Operations::LookupTransfers(ids),
            Asked::TrialBalance => Operations::TrialBalance,
        }
    }
}

/// All clients together, and what they remember across crashes.
#[derive(Debug)]
pub(super) struct Clients {
    rng: SmallRng,
    wallets: u128,
    next_id: u128,
    sent: Vec<Transfer>,
    begun: usize,
}

impl Clients {
    pub(super) fn new(seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let wallets = rng.random_range(2..=7);
        Self { rng, wallets, next_id: 1, sent: Vec::new(), begun: 0 }
    }

    /// The next request.
    pub(super) fn next(&mut self) -> Asked {
        self.begun += 1;
        // First of all there has to be something to pay with, mostly.
        match self.begun {
            1 => return Asked::Assets(vec![Ok(asset(1)), Ok(asset(2))]),
            2 => return Asked::Wallets((1..=self.wallets).map(Self::terms).collect()),
            _ => {}
        }
        match self.rng.random_range(0..100) {
            0 => Asked::Assets(vec![
                Ok(asset(self.rng.random_range(1..=3))),
                Err(Status::AssetCodeInvalid.into()),
            ]),
            1..4 => {
                let id = self.rng.random_range(1..=self.wallets + 1);
                let mut terms = Self::terms(id);
                if self.rng.random_ratio(1, 4) {
                    terms.code += 1;
                }
                Asked::Wallets(vec![terms.clone(), terms])
            }
            4..20 => {
                let count = self.rng.random_range(1..=3);
                Asked::ReadWallets((0..count).map(|_| self.wallet()).collect())
            }
            20..28 => {
                let mut ids: Vec<TransferId> =
                    self.sent.choose_multiple(&mut self.rng, 3).map(|transfer| transfer.id).collect();
                ids.push(TransferId(self.next_id + 1000));
                Asked::ReadTransfers(ids)
            }
            28..34 => Asked::TrialBalance,
            _ => {
                let count = self.rng.random_range(1..=5);
                Asked::Transfers {
                    transfers: (0..count).map(|_| self.transfer()).collect(),
                    with_balances: self.rng.random_ratio(1, 5),
                }
            }
        }
    }

    /// Sends again, with the same fields or others, or anew.
    fn transfer(&mut self) -> Transfer {
        if self.rng.random_ratio(1, 4)
            && let Some(mut again) = self.sent.choose(&mut self.rng).cloned()
        {
            if self.rng.random_ratio(1, 8) {
                again.amount += 1;
            }
            return again;
        }
        let (debit_wallet, credit_wallet) = (self.wallet(), self.wallet());
        let transfer = Transfer {
            id: TransferId(self.next_id),
            debit_wallet,
            credit_wallet,
            asset: AssetId(if self.rng.random_ratio(1, 40) { 2 } else { 1 }),
            amount: self.rng.random_range(0..=20),
            group_id: 0,
            code: 0,
            effective_at_ns: 0,
            metadata: Box::default(),
        };
        self.next_id += 1;
        self.sent.push(transfer.clone());
        transfer
    }

    /// Mostly one that exists; the first is the bank.
    fn wallet(&mut self) -> WalletId {
        if self.rng.random_ratio(1, 50) {
            return WalletId(99);
        }
        WalletId(if self.rng.random_ratio(1, 4) { 1 } else { self.rng.random_range(1..=self.wallets) })
    }

    fn terms(id: u128) -> NewWallet {
        let flags = match id {
            1 => WalletFlags::SYSTEM,
            6 => WalletFlags::CREDIT_FROZEN,
            _ => WalletFlags::default(),
        };
        NewWallet {
            id: WalletId(id),
            owner: Owner::Number(0),
            asset: AssetId(if id == 7 { 2 } else { 1 }),
            code: 1,
            flags,
            overdraft_limit: OverdraftLimit::Limited(if id == 3 { 25 } else { 0 }),
            balance_max: if id == 4 { 30 } else { 0 },
            metadata: Box::default(),
        }
    }
}

fn asset(id: u32) -> Asset {
    Asset { id: AssetId(id), code: AssetCode::new("USD").expect("it is a code"), scale: 2 }
}
