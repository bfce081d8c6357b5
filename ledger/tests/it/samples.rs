//! Records as the tests want them, and a source of chance that can be repeated.

use ledger::{
    Asset, AssetCode, AssetId, HoldTerms, Leg, Memo, NewWallet, OverdraftLimit, Owner, Pending, Post,
    Reversal, Side, Transaction, Transfer, TransferId, Void, WalletFlags, WalletId,
};

pub(crate) fn code(text: &str) -> AssetCode {
    AssetCode::new(text).expect("a valid code")
}

pub(crate) fn asset(id: u32) -> Asset {
    Asset { id: AssetId(id), code: code("USD"), scale: 2 }
}

/// A wallet in asset 1 that may only spend what it has.
pub(crate) fn wallet(id: u128) -> NewWallet {
    NewWallet {
        id: WalletId(id),
        owner: Owner::Number(0),
        asset: AssetId(1),
        code: 0,
        flags: WalletFlags::default(),
        overdraft_limit: OverdraftLimit::Limited(0),
        balance_max: 0,
        metadata: Box::default(),
        import: ledger::ImportId::NONE,
    }
}

/// A transfer in asset 1.
pub(crate) fn transfer(id: u128, debit: u128, credit: u128, amount: u128) -> Transfer {
    Transfer {
        id: TransferId(id),
        debit_wallet: WalletId(debit),
        credit_wallet: WalletId(credit),
        asset: AssetId(1),
        amount,
        group_id: 0,
        code: 0,
        effective_at_ns: 0,
        metadata: Box::default(),
    }
}

pub(crate) fn pending(id: u128, debit: u128, credit: u128, amount: u128, timeout_s: u32) -> Pending {
    Pending { transfer: transfer(id, debit, credit, amount), timeout_s }
}

pub(crate) fn post(id: u128, pending_id: u128, amount: u128) -> Post {
    Post { id: TransferId(id), pending_id: TransferId(pending_id), amount, memo: Memo::default() }
}

pub(crate) fn void(id: u128, pending_id: u128) -> Void {
    Void { id: TransferId(id), pending_id: TransferId(pending_id), memo: Memo::default() }
}

pub(crate) fn reversal(id: u128, reverses_id: u128, amount: u128) -> Reversal {
    Reversal { id: TransferId(id), reverses_id: TransferId(reverses_id), amount, memo: Memo::default() }
}

pub(crate) fn debit(wallet: u128, asset: u32, amount: u128) -> Leg {
    Leg { wallet: WalletId(wallet), side: Side::Debit, asset: AssetId(asset), amount }
}

pub(crate) fn credit(wallet: u128, asset: u32, amount: u128) -> Leg {
    Leg { side: Side::Credit, ..debit(wallet, asset, amount) }
}

pub(crate) fn transaction(id: u128, legs: &[Leg]) -> Transaction {
    Transaction { id: TransferId(id), legs: legs.into(), memo: Memo::default() }
}

/// A hold in asset 1 from wallet 1 for wallet 2.
pub(crate) fn hold(amount: u128, expires_at_ns: u64) -> HoldTerms {
    HoldTerms {
        debit_wallet: WalletId(1),
        credit_wallet: WalletId(2),
        asset: AssetId(1),
        amount,
        expires_at_ns,
    }
}

pub(crate) fn bytes(length: usize) -> Box<[u8]> {
    vec![7; length].into()
}

/// Numbers that look random and are always the same for one seed (splitmix64).
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }

    pub(crate) fn one_in(&mut self, bound: u64) -> bool {
        self.below(bound) == 0
    }

    pub(crate) fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        (!from.is_empty()).then(|| &from[self.below(from.len() as u64) as usize])
    }
}
