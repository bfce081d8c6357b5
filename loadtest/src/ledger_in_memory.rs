//! A ledger for tests: the rules of `ledger` over maps, and lies that can be planted in it.

use crate::ledger_calls::{Answers, LedgerCalls};
use crate::request_channel::RequestChannel;
use client::ledger::decide::decide;
use client::ledger::fold::AssetTotals;
use client::ledger::{
    Asset, AssetId, Circumstances, Decision, Effect, NewWallet, Order, Outcome, Refusal, RefusalDetail,
    Route, Status, Transfer, TransferId, Wallet, WalletId,
};
use client::{
    AssetTrialBalance, BalanceView, ClientError, NewAsset, Progress, TransferView, TrialBalance, WalletView,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard};

/// What a broken server might have done.
#[derive(Clone, Debug)]
pub(crate) enum Lie {
    /// A transfer's record is lost, its effect is not.
    Forget(TransferId),
    /// A transfer and its effect are lost.
    Undo(TransferId),
    /// A transfer that nobody asked for.
    Do(Transfer),
    /// A transfer's effect happens a second time.
    Double(TransferId),
    /// A transfer is on record as another entry.
    Renumber(TransferId),
    /// A transfer is on record with another amount.
    ChangeAmount(TransferId),
    /// Money from nowhere.
    Credit(WalletId),
    /// A wallet is gone.
    Lose(WalletId),
    /// An asset is gone.
    LoseAsset(AssetId),
    /// The trial balance says one more than the wallets do, on both sides.
    Misstate,
}

/// The ledger.
#[derive(Debug, Default)]
pub(crate) struct LedgerInMemory {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    assets: BTreeMap<AssetId, (Asset, Outcome)>,
    wallets: HashMap<WalletId, Wallet>,
    transfers: HashMap<TransferId, TransferView>,
    seq: u64,
    misstated: bool,
}

impl LedgerInMemory {
    pub(crate) fn lie(&self, lie: Lie) {
        let mut state = self.lock();
        match lie {
            Lie::Forget(id) => {
                state.transfers.remove(&id);
            }
            Lie::Undo(id) => {
                let mut view = state.transfers.remove(&id).expect("it was done");
                let Transfer { debit_wallet, credit_wallet, amount, .. } = *transfer_of(&mut view);
                state.wallet(debit_wallet).position.debits_posted -= amount;
                state.wallet(credit_wallet).position.credits_posted -= amount;
            }
            Lie::Do(transfer) => {
                state.transfer(&transfer);
            }
            Lie::Double(id) => {
                let route = Route::of_transfer(transfer_of(state.view(id)));
                state.apply(&route, 0);
            }
            Lie::Renumber(id) => state.view(id).outcome.seq += 1,
            Lie::ChangeAmount(id) => transfer_of(state.view(id)).amount += 1,
            Lie::Credit(id) => state.wallet(id).apply(&Effect::Move { debits: 0, credits: 1 }, 0, 0),
            Lie::Lose(id) => {
                state.wallets.remove(&id);
            }
            Lie::LoseAsset(id) => {
                state.assets.remove(&id);
            }
            Lie::Misstate => state.misstated = true,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds the ledger")
    }
}

impl State {
    fn wallet(&mut self, id: WalletId) -> &mut Wallet {
        self.wallets.get_mut(&id).expect("the wallet is there")
    }

    fn view(&mut self, id: TransferId) -> &mut TransferView {
        self.transfers.get_mut(&id).expect("the transfer is there")
    }

    fn entry(&mut self, status: Status) -> Outcome {
        self.seq += 1;
        let (seq, timestamp_ns) = (self.seq, self.seq * 1_000);
        Outcome { status, replayed: false, seq, timestamp_ns, detail: RefusalDetail::None }
    }

    fn transfer(&mut self, transfer: &Transfer) -> Outcome {
        if let Err(refusal) = transfer.check_shape() {
            return Outcome::refused(refusal);
        }
        if let Some(view) = self.transfers.get(&transfer.id) {
            let first_status = view.outcome.status;
            let mut again = Outcome { replayed: true, ..view.outcome };
            again.status = view.order.compare(&Order::Transfer(transfer.clone()));
            if again.status == Status::Exists && !first_status.is_success() {
                again.status = Status::IdAlreadyRefused;
                again.detail = RefusalDetail::AlreadyRefused { first_status };
            }
            return again;
        }
        let route = Route::of_transfer(transfer);
        let refusal = route.parts().iter().find_map(|part| {
            match decide(self.wallets.get(&part.wallet), part, &Circumstances::settled(0)) {
                Decision::Refuse { refusal, .. } => Some(refusal),
                Decision::Accept | Decision::Wait => None,
            }
        });
        let mut outcome = self.entry(Status::Created);
        let mut progress = Progress::None;
        if let Some(Refusal { status, detail }) = refusal {
            (outcome.status, outcome.detail) = (status, detail);
        } else {
            self.apply(&route, outcome.seq);
            progress = Progress::Moved { amount: transfer.amount, reversed: 0 };
        }
        let order = Order::Transfer(transfer.clone());
        self.transfers.insert(transfer.id, TransferView { order, outcome, progress });
        outcome
    }

    fn apply(&mut self, route: &Route, seq: u64) {
        for part in route.parts() {
            self.wallet(part.wallet).apply(&part.effect, seq, 0);
        }
    }

    fn balance(&self, id: WalletId) -> Option<BalanceView> {
        let wallet = self.wallets.get(&id)?;
        let position = wallet.position;
        let (balance, available) = (position.balance(), wallet.available(0));
        Some(BalanceView { balance, available, position, as_of_seq: self.seq })
    }
}

/// This ledger has no orders of other kinds.
fn transfer_of(view: &mut TransferView) -> &mut Transfer {
    match &mut view.order {
        Order::Transfer(transfer) => transfer,
        other => panic!("only transfers are made here, not {other:?}"),
    }
}

impl LedgerCalls for LedgerInMemory {
    async fn create_assets(&self, assets: &[NewAsset]) -> Answers<Outcome> {
        let mut state = self.lock();
        let create = |asset: &NewAsset| {
            let asset = asset.to_asset().expect("the shape is right");
            if let Some((_, created)) = state.assets.get(&asset.id) {
                return Outcome { status: Status::Exists, replayed: true, ..*created };
            }
            let outcome = state.entry(Status::Created);
            state.assets.insert(asset.id, (asset, outcome));
            outcome
        };
        Ok(assets.iter().map(create).collect())
    }

    async fn create_wallets(&self, wallets: &[NewWallet]) -> Answers<Outcome> {
        let mut state = self.lock();
        let create = |terms: &NewWallet| {
            if let Some(wallet) = state.wallets.get(&terms.id) {
                let (seq, timestamp_ns) = (wallet.created_seq, wallet.created_at_ns);
                let (status, detail) = (Status::Exists, RefusalDetail::None);
                return Outcome { status, replayed: true, seq, timestamp_ns, detail };
            }
            if !state.assets.contains_key(&terms.asset) {
                return Outcome::refused(Status::AssetNotFound.into());
            }
            let outcome = state.entry(Status::Created);
            state.wallets.insert(terms.id, Wallet::create(terms.clone(), outcome.seq, outcome.timestamp_ns));
            outcome
        };
        Ok(wallets.iter().map(create).collect())
    }

    async fn create_transfers(&self, transfers: &[Transfer]) -> Answers<Outcome> {
        let mut state = self.lock();
        Ok(transfers.iter().map(|transfer| state.transfer(transfer)).collect())
    }

    async fn lookup_wallets(&self, ids: &[WalletId]) -> Answers<Option<WalletView>> {
        let state = self.lock();
        let view = |wallet: &Wallet| WalletView {
            terms: wallet.terms.clone(),
            position: wallet.position,
            version: wallet.version,
            last_seq: wallet.last_seq,
            created_seq: wallet.created_seq,
            created_at_ns: wallet.created_at_ns,
            available: wallet.available(0),
            as_of_seq: state.seq,
        };
        Ok(ids.iter().map(|id| state.wallets.get(id).map(view)).collect())
    }

    async fn lookup_transfers(&self, ids: &[TransferId]) -> Answers<Option<TransferView>> {
        let state = self.lock();
        Ok(ids.iter().map(|id| state.transfers.get(id).cloned()).collect())
    }

    async fn balances(&self, ids: &[WalletId]) -> Answers<Option<BalanceView>> {
        let state = self.lock();
        Ok(ids.iter().map(|&id| state.balance(id)).collect())
    }

    async fn trial_balance(&self) -> Result<TrialBalance, ClientError> {
        let state = self.lock();
        let assets = state.assets.values().map(|(asset, _)| {
            let mut totals = AssetTotals::default();
            if state.misstated {
                totals.debits_posted += 1;
                totals.credits_posted += 1;
            }
            state
                .wallets
                .values()
                .filter(|wallet| wallet.terms.asset == asset.id)
                .for_each(|wallet| totals.add(wallet));
            AssetTrialBalance { asset: asset.clone(), totals }
        });
        Ok(TrialBalance { as_of_seq: state.seq, assets: assets.collect() })
    }
}

impl RequestChannel for LedgerInMemory {
    async fn create_transfers(&self, transfers: &[Transfer]) -> Answers<Outcome> {
        // Lets the other slots run, as a reply over a socket would.
        tokio::task::yield_now().await;
        LedgerCalls::create_transfers(self, transfers).await
    }

    async fn balances(&self, ids: &[WalletId]) -> Answers<Option<BalanceView>> {
        tokio::task::yield_now().await;
        LedgerCalls::balances(self, ids).await
    }
}
