//! Reading a ledger at length: all wallets of a population, many transfers, in requests of a size that any server
//! takes; and putting the population there in the first place.

use crate::expected_positions::ExpectedPositions;
use crate::ledger_calls::LedgerCalls;
use crate::orders::Orders;
use crate::population::{Population, SYSTEM_WALLET};
use crate::refusing_wallets::RefusingWallet;
use crate::transfer_ids::TransferIds;
use anyhow::{Context, Result, ensure};
use client::ledger::fold::AssetTotals;
use client::ledger::{Outcome, Position, Transfer, TransferId};
use client::{BalanceView, TransferView};

/// Items in one request: fewer than of any kind the server takes, so that nothing is split further.
pub(crate) const ITEMS_PER_REQUEST: usize = 1_400;

/// A wallet below it is filled up before a run.
pub(crate) const FUNDS_MIN: u128 = 500_000_000_000;

/// What a wallet is filled up to: enough for a billion transfers of the largest amount.
pub(crate) const FUNDS_FULL: u128 = 1_000_000_000_000;

/// Where the books stood before a run.
#[derive(Debug)]
pub(crate) struct Baseline {
    pub(crate) positions: ExpectedPositions,
    pub(crate) totals: AssetTotals,
    /// The wallets that refuse, in their order; `None` where there is none.
    pub(crate) refusing: Vec<Option<Position>>,
}

/// Creates the asset and the wallets, where they are not there yet, and fills up those that are low on funds.
/// Wallets from number `funded` on are left as they are.
pub(crate) async fn prepare(ledger: &impl LedgerCalls, population: Population, funded: u32) -> Result<()> {
    let created = ledger.create_assets(&[population.asset()]).await.context("creating the asset")?;
    ensure_all_done(&created, "the asset")?;
    let numbers: Vec<u32> = (0..=population.wallets()).collect();
    for numbers in numbers.chunks(ITEMS_PER_REQUEST) {
        let wallets: Vec<_> = numbers.iter().map(|&number| population.wallet(number)).collect();
        let created = ledger.create_wallets(&wallets).await.context("creating the wallets")?;
        ensure_all_done(&created, "a wallet")?;
    }
    let ids = TransferIds::unused();
    let balances = balances(ledger, population).await?;
    let low: Vec<Transfer> = (SYSTEM_WALLET + 1..=population.wallets())
        .take_while(|&number| number < funded)
        .filter_map(|number| {
            let balance =
                balances[number as usize].as_ref().map_or(0, |view| view.balance.max(0).cast_unsigned());
            (balance < FUNDS_MIN).then(|| fund(population, ids, number, FUNDS_FULL - balance))
        })
        .collect();
    for transfers in low.chunks(ITEMS_PER_REQUEST) {
        let transfers = Orders::Transfers(transfers.to_vec());
        let done = ledger.submit(&transfers).await.context("funding the wallets")?;
        ensure_all_done(&done, "a wallet's funds")?;
    }
    Ok(())
}

/// Creates the wallets that refuse, where they are not there yet.
pub(crate) async fn prepare_refusing_wallets(
    ledger: &impl LedgerCalls,
    population: Population,
) -> Result<()> {
    let created = ledger.create_assets(&[population.foreign_asset()]).await.context("creating an asset")?;
    ensure_all_done(&created, "an asset")?;
    let wallets: Vec<_> =
        RefusingWallet::ALL.into_iter().filter_map(|refusing| refusing.wallet(population)).collect();
    let created = ledger.create_wallets(&wallets).await.context("creating wallets that refuse")?;
    ensure_all_done(&created, "a wallet that refuses")?;
    let changes: Vec<_> =
        RefusingWallet::ALL.into_iter().filter_map(|refusing| refusing.change(population)).collect();
    let changed = ledger.set_flags(&changes).await.context("closing a wallet")?;
    ensure_all_done(&changed, "the closing of a wallet")
}

fn fund(population: Population, ids: TransferIds, number: u32, amount: u128) -> Transfer {
    Transfer {
        id: ids.id(u64::from(number)),
        debit_wallet: population.wallet_id(SYSTEM_WALLET),
        credit_wallet: population.wallet_id(number),
        asset: population.asset_id(),
        amount,
        group_id: 0,
        code: 0,
        effective_at_ns: 0,
        metadata: Box::default(),
    }
}

fn ensure_all_done(outcomes: &[Outcome], what: &str) -> Result<()> {
    for outcome in outcomes {
        ensure!(outcome.status.is_success(), "{what} was refused: {}", outcome.status);
    }
    Ok(())
}

/// Where everything stands now.
pub(crate) async fn baseline(ledger: &impl LedgerCalls, population: Population) -> Result<Baseline> {
    let views = balances(ledger, population).await?;
    let mut positions = Vec::with_capacity(views.len());
    for (number, view) in views.iter().enumerate() {
        let view =
            view.as_ref().with_context(|| format!("wallet number {number} was created and is not there"))?;
        positions.push(view.position);
    }
    let trial_balance = ledger.trial_balance().await.context("reading the trial balance")?;
    let ours = trial_balance.assets.iter().find(|asset| asset.asset.id == population.asset_id());
    let totals = ours.context("the asset was created and is not in the trial balance")?.totals;
    let refusing = refusing_wallets(ledger, population).await?;
    let refusing = refusing.into_iter().map(|view| view.map(|view| view.position)).collect();
    Ok(Baseline { positions: ExpectedPositions::new(positions), totals, refusing })
}

/// What the wallets hold that refuse, in their order; `None` where there is none.
pub(crate) async fn refusing_wallets(
    ledger: &impl LedgerCalls,
    population: Population,
) -> Result<Vec<Option<BalanceView>>> {
    let ids = RefusingWallet::ALL.map(|refusing| population.wallet_id(refusing.number()));
    let views = ledger.balances(&ids).await.context("reading balances")?;
    ensure!(views.len() == ids.len(), "{} balances were read, {} answered", ids.len(), views.len());
    Ok(views)
}

/// What all wallets hold, by number, the system wallet first.
pub(crate) async fn balances(
    ledger: &impl LedgerCalls,
    population: Population,
) -> Result<Vec<Option<BalanceView>>> {
    let ids: Vec<_> = (0..=population.wallets()).map(|number| population.wallet_id(number)).collect();
    let mut views = Vec::with_capacity(population.everyone());
    for ids in ids.chunks(ITEMS_PER_REQUEST) {
        let further = ledger.balances(ids).await.context("reading balances")?;
        ensure!(further.len() == ids.len(), "{} balances were read, {} answered", ids.len(), further.len());
        views.extend(further);
    }
    Ok(views)
}

/// Orders by id, each handed to `each` with its place in `ids`.
pub(crate) async fn lookup_transfers(
    ledger: &impl LedgerCalls,
    ids: impl ExactSizeIterator<Item = TransferId>,
    mut each: impl FnMut(usize, Option<TransferView>),
) -> Result<()> {
    let mut ids = ids.peekable();
    let mut batch = Vec::with_capacity(ITEMS_PER_REQUEST);
    let mut place = 0;
    while ids.peek().is_some() {
        batch.clear();
        batch.extend(ids.by_ref().take(ITEMS_PER_REQUEST));
        let views = ledger.lookup_transfers(&batch).await.context("looking orders up")?;
        ensure!(
            views.len() == batch.len(),
            "{} orders were looked up, {} answered",
            batch.len(),
            views.len()
        );
        for view in views {
            each(place, view);
            place += 1;
        }
    }
    Ok(())
}
