//! Assets, wallets and transfers as the tests want them, and a source of chance that can be repeated.

use client::{Client, NewAsset, WalletView};
use ledger::{
    AssetId, NewWallet, Outcome, OverdraftLimit, Owner, RefusalDetail, Status, Transfer, TransferId,
    WalletFlags, WalletId,
};

/// US dollars.
pub(crate) const USD: AssetId = AssetId(840);

/// Euros.
pub(crate) const EUR: AssetId = AssetId(978);

/// The wallet that money comes from.
pub(crate) const BANK: u128 = 1;

pub(crate) fn asset(id: AssetId, code: &str) -> NewAsset {
    NewAsset { id, code: code.to_owned(), scale: 2 }
}

/// A wallet in dollars that may only spend what it has.
pub(crate) fn wallet(id: u128) -> NewWallet {
    NewWallet {
        id: WalletId(id),
        owner: Owner::Number(0),
        asset: USD,
        code: 0,
        flags: WalletFlags::default(),
        overdraft_limit: OverdraftLimit::Limited(0),
        balance_max: 0,
        metadata: Box::default(),
        import: ledger::ImportId::NONE,
    }
}

/// A wallet in dollars that may go below zero without limit.
pub(crate) fn system_wallet(id: u128) -> NewWallet {
    NewWallet { flags: WalletFlags::SYSTEM, ..wallet(id) }
}

/// A transfer of dollars.
pub(crate) fn transfer(id: u128, from: u128, to: u128, amount: u128) -> Transfer {
    Transfer {
        id: TransferId(id),
        debit_wallet: WalletId(from),
        credit_wallet: WalletId(to),
        asset: USD,
        amount,
        group_id: 0,
        code: 0,
        effective_at_ns: 0,
        metadata: Box::default(),
    }
}

/// Creates dollars, euros, the bank, and the wallets.
pub(crate) async fn open_books(client: &Client, wallets: &[NewWallet]) {
    let assets = client.create_assets(&[asset(USD, "USD"), asset(EUR, "EUR")]).await.unwrap();
    assert_all_created(&assets);
    assert_all_created(&client.create_wallets(&[system_wallet(BANK)]).await.unwrap());
    assert_all_created(&client.create_wallets(wallets).await.unwrap());
}

/// Sees to it that there are dollars, the bank, and wallet 2.
pub(crate) async fn open_books_again(client: &Client) {
    let mut outcomes = client.create_assets(&[asset(USD, "USD")]).await.unwrap();
    outcomes.extend(client.create_wallets(&[system_wallet(BANK), wallet(2)]).await.unwrap());
    assert!(outcomes.iter().all(|outcome| outcome.status.is_success()), "{outcomes:?}");
}

pub(crate) fn assert_all_created(outcomes: &[Outcome]) {
    for (index, outcome) in outcomes.iter().enumerate() {
        assert_eq!(outcome.status, Status::Created, "{index}: {outcome:?}");
        assert!(!outcome.replayed && outcome.seq > 0 && outcome.timestamp_ns > 0, "{outcome:?}");
    }
}

/// Sends one transfer.
pub(crate) async fn pay(client: &Client, transfer: &Transfer) -> Outcome {
    client.create_transfers(std::slice::from_ref(transfer)).await.unwrap()[0]
}

/// The balance of a wallet that exists.
pub(crate) async fn balance(client: &Client, wallet: u128) -> i128 {
    client.balances(&[WalletId(wallet)]).await.unwrap()[0].expect("the wallet exists").balance
}

/// What the repetition of an operation that was done is answered.
pub(crate) fn exists(first: &Outcome) -> Outcome {
    Outcome { status: Status::Exists, replayed: true, ..*first }
}

/// A wallet as it was read, whenever that was: to be compared with another time.
pub(crate) fn whenever_read(view: WalletView) -> WalletView {
    WalletView { as_of_seq: 0, ..view }
}

/// What the repetition of an operation that was refused for good is answered.
pub(crate) fn already_refused(first: &Outcome) -> Outcome {
    Outcome {
        status: Status::IdAlreadyRefused,
        replayed: true,
        detail: RefusalDetail::AlreadyRefused { first_status: first.status },
        ..*first
    }
}

/// Numbers that look random and are the same each time (splitmix64).
#[derive(Clone, Debug)]
pub(crate) struct Chance(pub(crate) u64);

impl Chance {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// A number from the environment, so that a long run can ask for more.
pub(crate) fn setting(name: &str, default: u32) -> u32 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}
