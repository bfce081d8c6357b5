//! A ledger for tests: the rules of `ledger` over maps, and lies that can be planted in it.

use crate::ledger_calls::{Answers, LedgerCalls};
use crate::orders::Orders;
use crate::request_channel::RequestChannel;
use client::ledger::decide::decide;
use client::ledger::fold::AssetTotals;
use client::ledger::original::{expire, resolve};
use client::ledger::{
    Asset, AssetId, Circumstances, Decision, Effect, Entry, HoldState, NewWallet, Order, OrderKind, Original,
    Outcome, Part, Position, Refusal, RefusalDetail, Route, Side, Status, TransferId, Wallet, WalletChange,
    WalletId,
};
use client::{
    AssetTrialBalance, BalanceView, ClientError, FlagChange, NewAsset, Progress, StatementCursor,
    StatementPage, StatementRow, TransferView, TrialBalance, WalletView,
};
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// How far its clock goes with each lookup, so that whoever waits for a time sees it come.
const CLOCK_PER_LOOKUP: Duration = Duration::from_millis(200);

/// What a broken server might have done.
#[derive(Clone, Debug)]
pub(crate) enum Lie {
    /// An order's record is lost, its effect is not.
    Forget(TransferId),
    /// An order and its effect are lost.
    Undo(TransferId),
    /// An order that nobody asked for.
    Do(Order),
    /// An order's effect happens a second time.
    Double(TransferId),
    /// An order is on record as another entry.
    Renumber(TransferId),
    /// An order is on record with other fields: amount, timeout, legs.
    Change(TransferId),
    /// Of a transaction the last leg is missing, in what it did.
    DropLeg(TransferId),
    /// Of an open hold nothing counts any more.
    LetGo(TransferId),
    /// What was done about an order is not known of it.
    ForgetProgress(TransferId),
    /// A refusal is on record as another.
    RefuseOtherwise(TransferId),
    /// Money from nowhere.
    Credit(WalletId),
    /// Held by nobody, for nobody.
    Hold(WalletId),
    /// A wallet is gone.
    Lose(WalletId),
    /// An asset is gone.
    LoseAsset(AssetId),
    /// The trial balance says one more than the wallets do, on both sides: of what has moved.
    Misstate,
    /// Of what is held.
    MisstateHeld,
}

/// How a broken server might go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Does transfers again that are sent again.
    ForgetsIds,
    /// Answers what is sent again as if it were the first time.
    ClaimsToBeFirst,
    /// Names another entry to what is sent again.
    NamesAnotherEntry,
    /// Answers `exists` to what is sent again after it was refused.
    ForgetsRefusals,
    /// Lets no hold expire.
    KeepsHolds,
    /// Does what this status would refuse.
    Overlooks(Status),
    /// Refuses with `debit_wallet_frozen` what this status would refuse.
    MistakesForFrozen(Status),
    /// Counts a capture in part as one in full.
    CapturesInFull,
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
    orders: HashMap<TransferId, (Order, Outcome)>,
    /// What was done to which wallets by each order that was done.
    routes: HashMap<TransferId, Route>,
    /// What was done to each wallet, entry by entry.
    rows: HashMap<WalletId, Vec<StatementRow>>,
    originals: HashMap<TransferId, Original>,
    seq: u64,
    /// In nanoseconds since the beginning of its time.
    clock_ns: u64,
    misstated: bool,
    misstated_held: bool,
    habit: Option<Habit>,
}

impl LedgerInMemory {
    /// From now on.
    pub(crate) fn has(&self, habit: Habit) {
        self.lock().habit = Some(habit);
    }

    /// Time passes.
    pub(crate) fn pass(&self, time: Duration) {
        self.lock().clock_ns += time.as_nanos() as u64;
    }

    pub(crate) fn lie(&self, lie: Lie) {
        let mut state = self.lock();
        match lie {
            Lie::Forget(id) => {
                state.orders.remove(&id);
            }
            Lie::Undo(id) => {
                state.orders.remove(&id).expect("it was done");
                state.originals.remove(&id);
                for part in state.routes.remove(&id).expect("it was done").parts() {
                    state.wallet(part.wallet).take_back(&part.effect);
                }
            }
            Lie::Do(order) => {
                state.order(&order);
            }
            Lie::Double(id) => {
                for part in state.routes[&id].clone().parts() {
                    state.wallet(part.wallet).count_again(&part.effect);
                }
            }
            Lie::Renumber(id) => state.record(id).1.seq += 1,
            Lie::Change(id) => match &mut state.record(id).0 {
                Order::Transfer(transfer) => transfer.amount += 1,
                Order::Pending(pending) => pending.timeout_s += 1,
                Order::Post(post) => post.amount += 1,
                Order::Void(void) => void.memo.code += 1,
                Order::Reversal(reversal) => reversal.amount += 1,
                Order::Transaction(transaction) => transaction.legs[0].amount += 1,
            },
            Lie::DropLeg(id) => {
                let Order::Transaction(transaction) = &state.orders[&id].0 else { panic!("it has legs") };
                let leg = transaction.legs[transaction.legs.len() - 1];
                let position = &mut state.wallet(leg.wallet).position;
                match leg.side {
                    Side::Debit => position.debits_posted -= leg.amount,
                    Side::Credit => position.credits_posted -= leg.amount,
                }
            }
            Lie::LetGo(id) => {
                for part in state.routes[&id].clone().parts() {
                    state.wallet(part.wallet).take_back(&part.effect);
                }
            }
            Lie::ForgetProgress(id) => match state.originals.get_mut(&id) {
                Some(Original::Hold { state, .. }) => *state = HoldState::Open,
                Some(Original::Moved { reversed, .. }) => *reversed = 0,
                other => panic!("{other:?} has no progress"),
            },
            Lie::RefuseOtherwise(id) => state.record(id).1.status = Status::DebitWalletOverflow,
            Lie::Credit(id) => state.wallet(id).position.credits_posted += 1,
            Lie::Hold(id) => state.wallet(id).position.debits_pending += 1,
            Lie::Lose(id) => {
                state.wallets.remove(&id);
            }
            Lie::LoseAsset(id) => {
                state.assets.remove(&id);
            }
            Lie::Misstate => state.misstated = true,
            Lie::MisstateHeld => state.misstated_held = true,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no test panics while it holds the ledger")
    }
}

/// What a lie does to a wallet, beside its rules.
trait Counters {
    /// As if the effect had never been.
    fn take_back(&mut self, effect: &Effect);
    /// As if there had been two.
    fn count_again(&mut self, effect: &Effect);
}

impl Counters for Wallet {
    fn take_back(&mut self, effect: &Effect) {
        let position = &mut self.position;
        match *effect {
            Effect::Move { debits, credits } => {
                position.debits_posted -= debits;
                position.credits_posted -= credits;
            }
            Effect::Hold { id, side: Side::Debit, amount, .. } => {
                position.debits_pending -= amount;
                self.holds.remove(id);
            }
            Effect::Hold { id, side: Side::Credit, amount, .. } => {
                position.credits_pending -= amount;
                self.holds.remove(id);
            }
            Effect::Resolve { side: Side::Debit, held, captured, .. } => {
                position.debits_pending += held;
                position.debits_posted -= captured;
            }
            Effect::Resolve { side: Side::Credit, held, captured, .. } => {
                position.credits_pending += held;
                position.credits_posted -= captured;
            }
        }
    }

    fn count_again(&mut self, effect: &Effect) {
        let position = &mut self.position;
        match *effect {
            Effect::Move { debits, credits } => {
                position.debits_posted += debits;
                position.credits_posted += credits;
            }
            Effect::Hold { side: Side::Debit, amount, .. } => position.debits_pending += amount,
            Effect::Hold { side: Side::Credit, amount, .. } => position.credits_pending += amount,
            Effect::Resolve { side: Side::Debit, held, .. } => position.debits_posted += held,
            Effect::Resolve { side: Side::Credit, held, .. } => position.credits_posted += held,
        }
    }
}

impl State {
    fn wallet(&mut self, id: WalletId) -> &mut Wallet {
        self.wallets.get_mut(&id).expect("the wallet is there")
    }

    fn record(&mut self, id: TransferId) -> &mut (Order, Outcome) {
        self.orders.get_mut(&id).expect("the order is there")
    }

    fn entry(&mut self, status: Status) -> Outcome {
        self.seq += 1;
        self.clock_ns += 1_000;
        let (seq, timestamp_ns) = (self.seq, self.clock_ns);
        Outcome { status, replayed: false, seq, timestamp_ns, detail: RefusalDetail::None }
    }

    fn order(&mut self, order: &Order) -> Outcome {
        if let Err(refusal) = order.check_shape() {
            return Outcome::refused(refusal);
        }
        let id = order.id();
        let forgets = self.habit == Some(Habit::ForgetsIds) && order.kind() == OrderKind::Transfer;
        if let Some(record) = self.orders.get(&id).filter(|_| !forgets) {
            return self.again(record, order);
        }
        self.expire_due();
        let mut outcome = self.entry(Status::Created);
        match self.decide(order, outcome.timestamp_ns) {
            Err(Refusal { status, detail }) => {
                (outcome.status, outcome.detail) = (status, detail);
                self.originals.insert(id, Original::Neither);
            }
            Ok((route, entry)) => self.apply(id, route, &entry, &outcome),
        }
        self.orders.insert(id, (order.clone(), outcome));
        outcome
    }

    fn again(&self, (first, outcome): &(Order, Outcome), order: &Order) -> Outcome {
        let first_status = outcome.status;
        let mut again = Outcome { replayed: true, status: first.compare(order), ..*outcome };
        if again.status == Status::Exists
            && !first_status.is_success()
            && self.habit != Some(Habit::ForgetsRefusals)
        {
            again.status = Status::IdAlreadyRefused;
            again.detail = RefusalDetail::AlreadyRefused { first_status };
        }
        match self.habit {
            Some(Habit::ClaimsToBeFirst) => *outcome,
            Some(Habit::NamesAnotherEntry) => Outcome { seq: again.seq + 1, ..again },
            _ => again,
        }
    }

    fn decide(&self, order: &Order, now_ns: u64) -> Result<(Route, Entry), Refusal> {
        let mut facts = None;
        let route = match order {
            Order::Transfer(transfer) => Route::of_transfer(transfer),
            Order::Pending(pending) => Route::of_pending(&pending.transfer, pending.timeout_s),
            Order::Transaction(transaction) => Route::of_legs(&transaction.legs),
            Order::Post(_) | Order::Void(_) | Order::Reversal(_) => {
                let about = order.refers_to().expect("it is about another");
                let resolved = resolve(order, self.originals.get(&about), now_ns);
                let resolved = resolved.map_err(|unresolved| self.as_it_is_used_to(unresolved.refusal))?;
                facts = resolved.facts;
                resolved.route
            }
        };
        let settled = Circumstances::settled(now_ns);
        for part in route.parts() {
            if let Decision::Refuse { refusal, .. } = decide(self.wallets.get(&part.wallet), part, &settled)
                && self.habit != Some(Habit::Overlooks(refusal.status))
            {
                return Err(self.as_it_is_used_to(refusal));
            }
        }
        Ok((route, Entry::done(order.clone(), facts)))
    }

    fn as_it_is_used_to(&self, refusal: Refusal) -> Refusal {
        match self.habit {
            Some(Habit::MistakesForFrozen(status)) if status == refusal.status => {
                Status::DebitWalletFrozen.into()
            }
            _ => refusal,
        }
    }

    fn apply(&mut self, id: TransferId, route: Route, entry: &Entry, outcome: &Outcome) {
        for part in route.parts() {
            let mut effect = part.effect;
            if let Effect::Resolve { held, captured, .. } = &mut effect
                && self.habit == Some(Habit::CapturesInFull)
                && *captured > 0
            {
                *captured = *held;
            }
            self.wallet(part.wallet).apply(&effect, outcome.seq, outcome.timestamp_ns);
            self.add_row(part.wallet, id, entry.kind().expect("an order"), &effect, outcome);
        }
        self.originals.insert(id, entry.original(outcome.timestamp_ns));
        if let Some((about, kind, facts)) = entry.resolves() {
            self.originals.get_mut(&about).expect("it was resolved").progress(kind, &facts);
        }
        self.routes.insert(id, route);
    }

    fn add_row(
        &mut self,
        wallet: WalletId,
        id: TransferId,
        kind: OrderKind,
        effect: &Effect,
        outcome: &Outcome,
    ) {
        let (debits, credits) = match *effect {
            Effect::Move { debits, credits } => (debits, credits),
            Effect::Hold { .. } => (0, 0),
            Effect::Resolve { side: Side::Debit, captured, .. } => (captured, 0),
            Effect::Resolve { side: Side::Credit, captured, .. } => (0, captured),
        };
        let (seq, timestamp_ns, position) = (outcome.seq, outcome.timestamp_ns, self.wallet(wallet).position);
        let (counterparty, code, group_id) = (None, 0, 0);
        self.rows.entry(wallet).or_default().push(StatementRow {
            seq,
            timestamp_ns,
            kind,
            id,
            counterparty,
            debits,
            credits,
            code,
            group_id,
            position,
        });
    }

    fn expire_due(&mut self) {
        if self.habit == Some(Habit::KeepsHolds) {
            return;
        }
        let now_ns = self.clock_ns;
        let due: Vec<_> = self
            .originals
            .iter()
            .filter_map(|(&id, original)| Some((id, expire(id, Some(original), now_ns)?)))
            .collect();
        for (id, resolution) in due {
            let outcome = self.entry(Status::Created);
            for Part { wallet, effect, .. } in resolution.route.parts() {
                self.wallet(*wallet).apply(effect, outcome.seq, outcome.timestamp_ns);
                self.add_row(*wallet, id, OrderKind::Expire, effect, &outcome);
            }
            let facts = resolution.facts.expect("a hold has expired");
            self.originals.get_mut(&id).expect("it was there").progress(OrderKind::Expire, &facts);
        }
    }

    fn view(&self, id: TransferId) -> Option<TransferView> {
        let (order, outcome) = self.orders.get(&id)?.clone();
        let progress = match self.originals.get(&id) {
            Some(&Original::Hold { terms, state }) => Progress::Hold { terms, state },
            Some(&Original::Moved { amount, reversed, .. }) => Progress::Moved { amount, reversed },
            Some(Original::Neither) | None => Progress::None,
        };
        Some(TransferView { order, outcome, progress })
    }

    fn balance(&self, id: WalletId) -> Option<BalanceView> {
        let wallet = self.wallets.get(&id)?;
        let position = wallet.position;
        let (balance, available) = (position.balance(), wallet.available(self.clock_ns));
        Some(BalanceView { balance, available, position, as_of_seq: self.seq })
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

    async fn set_flags(&self, changes: &[FlagChange]) -> Answers<Outcome> {
        let mut state = self.lock();
        let now_ns = state.clock_ns;
        let change = |&change: &FlagChange| {
            let change = WalletChange::from(change);
            match change.decide(state.wallets.get(&change.wallet), now_ns) {
                Err(refusal) => Outcome::refused(refusal),
                Ok(status) => {
                    let outcome = state.entry(status);
                    state.wallet(change.wallet).change(&change, outcome.seq);
                    outcome
                }
            }
        };
        Ok(changes.iter().map(change).collect())
    }

    async fn submit(&self, orders: &Orders) -> Answers<Outcome> {
        let mut state = self.lock();
        Ok(orders.iter().map(|order| state.order(&order)).collect())
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
            available: wallet.available(state.clock_ns),
            as_of_seq: state.seq,
        };
        Ok(ids.iter().map(|id| state.wallets.get(id).map(view)).collect())
    }

    async fn lookup_transfers(&self, ids: &[TransferId]) -> Answers<Option<TransferView>> {
        let mut state = self.lock();
        state.clock_ns += CLOCK_PER_LOOKUP.as_nanos() as u64;
        state.expire_due();
        Ok(ids.iter().map(|&id| state.view(id)).collect())
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
            if state.misstated_held {
                totals.debits_pending += 1;
                totals.credits_pending += 1;
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
    async fn submit(&self, orders: &Orders) -> Answers<Outcome> {
        // Lets the other slots run, as a reply over a socket would.
        tokio::task::yield_now().await;
        LedgerCalls::submit(self, orders).await
    }

    async fn balances(&self, ids: &[WalletId]) -> Answers<Option<BalanceView>> {
        tokio::task::yield_now().await;
        LedgerCalls::balances(self, ids).await
    }

    async fn statement(&self, wallet: WalletId, rows_max: u32) -> Result<StatementPage, ClientError> {
        tokio::task::yield_now().await;
        let state = self.lock();
        let rows = state.rows.get(&wallet).map(Vec::as_slice).unwrap_or_default();
        let newest: Vec<StatementRow> = rows.iter().rev().take(rows_max as usize).cloned().collect();
        let oldest = newest.last().map_or(0, |row| row.seq);
        let is_more = newest.len() < rows.len();
        let as_of_seq = state.seq;
        Ok(StatementPage {
            as_of_seq,
            opening: Position::default(),
            closing: state.wallets[&wallet].position,
            rows: newest,
            next: is_more.then_some(StatementCursor { as_of_seq, seq: oldest, query: 0 }),
        })
    }
}
