//! The clients: what they ask for, chosen by the seed so that they get into each other's way as often as they can.
//!
//! Few wallets, small amounts, tight limits, ids that are sent again while the first is under way, after a refusal, after
//! a crash, and with other fields.

use crate::request::Operations;
use ledger::{
    Asset, AssetCode, AssetId, ImportId, Leg, Memo, NewWallet, Order, OverdraftLimit, Owner, Pending, Post,
    Refusal, Reversal, Setting, Side, Status, Transaction, Transfer, TransferId, Void, WalletChange,
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
    Imports(Vec<ImportId>),
    Changes(Vec<WalletChange>),
    Orders { orders: Vec<Order>, with_balances: bool },
    ReadWallets(Vec<WalletId>),
    ReadTransfers(Vec<TransferId>),
    TrialBalance,
}

impl Asked {
    pub(super) fn operations(&self) -> Operations {
        match self.clone() {
            Asked::Assets(assets) => Operations::CreateAssets(assets),
            Asked::Wallets(wallets) => Operations::CreateWallets(wallets),
            Asked::Imports(imports) => Operations::CloseImports(imports),
            Asked::Changes(changes) => Operations::ChangeWallets(changes),
            Asked::Orders { orders, with_balances } => Operations::Orders { orders, with_balances },
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
    sent: Vec<Order>,
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
                if self.rng.random_ratio(1, 4) {
                    terms.import = ImportId(self.rng.random_range(0..=2));
                }
                Asked::Wallets(vec![terms.clone(), terms])
            }
            4 => Asked::Imports(vec![ImportId(self.rng.random_range(0..=2))]),
            5..20 => {
                let count = self.rng.random_range(1..=3);
                Asked::ReadWallets((0..count).map(|_| self.wallet()).collect())
            }
            20..28 => {
                let mut ids: Vec<TransferId> =
                    self.sent.choose_multiple(&mut self.rng, 3).map(Order::id).collect();
                ids.push(TransferId(self.next_id + 1000));
                Asked::ReadTransfers(ids)
            }
            28..34 => Asked::TrialBalance,
            34..37 => {
                let count = self.rng.random_range(1..=2);
                Asked::Changes((0..count).map(|_| self.change()).collect())
            }
            _ => {
                let count = self.rng.random_range(1..=5);
                Asked::Orders {
                    orders: (0..count).map(|_| self.order()).collect(),
                    with_balances: self.rng.random_ratio(1, 5),
                }
            }
        }
    }

    /// Sends again, with the same fields or others, or anew.
    fn order(&mut self) -> Order {
        if self.rng.random_ratio(1, 4)
            && let Some(mut again) = self.sent.choose(&mut self.rng).cloned()
        {
            if self.rng.random_ratio(1, 8) {
                match &mut again {
                    Order::Transfer(transfer) | Order::Pending(Pending { transfer, .. }) => {
                        transfer.amount += 1;
                    }
                    Order::Post(post) => post.amount += 1,
                    Order::Reversal(reversal) => reversal.amount += 1,
                    Order::Void(void) => void.memo.code += 1,
                    Order::Transaction(transaction) => transaction.memo.code += 1,
                }
            }
            return again;
        }
        let id = TransferId(self.next_id);
        self.next_id += 1;
        let order = match self.rng.random_range(0..10) {
            0..4 => Order::Transfer(self.transfer(id)),
            4..6 => {
                let timeout_s = if self.rng.random_ratio(1, 2) { 0 } else { self.rng.random_range(1..=3) };
                Order::Pending(Pending { transfer: self.transfer(id), timeout_s })
            }
            6 | 7 => {
                let pending_id = self.earlier(|order| matches!(order, Order::Pending(_)));
                if self.rng.random_ratio(1, 3) {
                    Order::Void(Void { id, pending_id, memo: Memo::default() })
                } else {
                    let amount = if self.rng.random_ratio(1, 2) { 0 } else { self.rng.random_range(0..=20) };
                    Order::Post(Post { id, pending_id, amount, memo: Memo::default() })
                }
            }
            8 => {
                let reverses_id = self.earlier(|order| {
                    matches!(order, Order::Transfer(_) | Order::Post(_) | Order::Transaction(_))
                });
                let amount = if self.rng.random_ratio(1, 2) { 0 } else { self.rng.random_range(0..=10) };
                Order::Reversal(Reversal { id, reverses_id, amount, memo: Memo::default() })
            }
            _ => Order::Transaction(Transaction { id, legs: self.legs(), memo: Memo::default() }),
        };
        self.sent.push(order.clone());
        order
    }

    /// Mostly an order of the right kind, mostly a late one; sometimes any other, none, or one that comes later.
    fn earlier(&mut self, is_right: impl Fn(&Order) -> bool) -> TransferId {
        if self.rng.random_ratio(1, 12) {
            return TransferId(self.rng.random_range(0..self.next_id + 3));
        }
        let right: Vec<TransferId> =
            self.sent.iter().filter(|order| is_right(order)).map(Order::id).collect();
        let late = right.len().saturating_sub(4);
        right[late..].choose(&mut self.rng).copied().unwrap_or(TransferId(self.next_id))
    }

    /// Legs that balance, mostly; several of one wallet at times, and in two assets.
    fn legs(&mut self) -> Box<[Leg]> {
        let mut legs = Vec::new();
        for _ in 0..self.rng.random_range(1..=3) {
            let asset = AssetId(if self.rng.random_ratio(1, 8) { 2 } else { 1 });
            let amount = self.rng.random_range(1..=10);
            for side in [Side::Debit, Side::Credit] {
                legs.push(Leg { wallet: self.wallet(), side, asset, amount });
            }
        }
        if self.rng.random_ratio(1, 20) {
            legs.pop();
        }
        legs.into()
    }

    /// Changes that hinder, and that help again.
    fn change(&mut self) -> WalletChange {
        let wallet = self.wallet();
        let flags = [WalletFlags::DEBIT_FROZEN, WalletFlags::CREDIT_FROZEN, WalletFlags::CLOSED];
        let setting = match self.rng.random_range(0..6) {
            0 => Setting::Limits {
                overdraft_limit: OverdraftLimit::Limited(self.rng.random_range(0..=30)),
                balance_max: if self.rng.random_ratio(1, 2) { 0 } else { self.rng.random_range(1..=40) },
            },
            1 => Setting::Metadata(Box::new([self.rng.random()])),
            2 => {
                let set = *flags.choose(&mut self.rng).expect("there are some");
                Setting::Flags { set, clear: WalletFlags::default() }
            }
            // Mostly undone, or soon nothing moves any more.
            _ => Setting::Flags {
                set: WalletFlags::default(),
                clear: flags.into_iter().fold(WalletFlags::default(), WalletFlags::with),
            },
        };
        WalletChange { wallet, setting }
    }

    fn transfer(&mut self, id: TransferId) -> Transfer {
        let (debit_wallet, credit_wallet) = (self.wallet(), self.wallet());
        Transfer {
            id,
            debit_wallet,
            credit_wallet,
            asset: AssetId(if self.rng.random_ratio(1, 40) { 2 } else { 1 }),
            amount: self.rng.random_range(0..=20),
            group_id: u128::from(self.rng.random_ratio(1, 3)),
            code: 0,
            effective_at_ns: 0,
            metadata: Box::default(),
        }
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
            // Not shown until that is closed.
            import: ImportId(u128::from(id == 5)),
        }
    }
}

fn asset(id: u32) -> Asset {
    Asset { id: AssetId(id), code: AssetCode::new("USD").expect("it is a code"), scale: 2 }
}
