//! The wallets of a file, sent chunk by chunk, several at once.

use super::super::progress::{Progress, Unit};
use super::checked_file::{Balances, CheckedFile, HashedFile};
use super::table::{Fault, ImportedWallet, Table};
use super::{CHUNK, id_of};
use anyhow::bail;
use client::{Client, ClientError, FlagChange};
use ledger::{AssetId, ImportId, Outcome, Status, Transfer, TransferId, WalletFlags, WalletId};
use std::collections::{BTreeMap, VecDeque};
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Chunks under way at once.
const CHUNKS_IN_FLIGHT: usize = 8;

/// The longest pause before something is asked for again; all of them together are twice as long.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often an opening balance may have been refused before: each time its id is used up.
const ATTEMPTS_MAX: u32 = 1_000;

/// What was answered to one of its requests, and the line of the file that it is about.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) line: Option<u64>,
    pub(super) outcome: Outcome,
}

/// Done, or ended by a refusal.
pub(super) type Sent = anyhow::Result<Result<(), Refused>>;

/// Where opening balances come from.
#[derive(Debug)]
pub(super) struct Sources {
    wallets: BTreeMap<AssetId, WalletId>,
    import: ImportId,
    code: u16,
}

impl Sources {
    /// The wallet that the opening balances of each asset come from: one that there is, or one of the file.
    pub(super) async fn find(
        client: &Client,
        checked: &CheckedFile,
        wallets: &[WalletId],
        code: u16,
    ) -> anyhow::Result<Self> {
        let mut sources = BTreeMap::new();
        for (&wallet, view) in wallets.iter().zip(client.lookup_wallets(wallets).await?) {
            let asset = match view {
                Some(view) => view.terms.asset,
                None => match checked.opening_wallets.get(&wallet) {
                    Some(asset) => *asset,
                    None => bail!(
                        "there is no wallet {wallet} that opening balances could come from; one that is being imported has to be in this \
                         file"
                    ),
                },
            };
            if let Some(other) = sources.insert(asset, wallet).filter(|other| *other != wallet) {
                bail!("opening balances of asset {asset} are to come from {other} and from {wallet}");
            }
        }
        for (asset, Balances { first_line, .. }) in &checked.balances {
            if !sources.contains_key(asset) {
                bail!(
                    "line {first_line} has a balance in asset {asset}, and none of the wallets that opening balances come from is in it: \
                 name one with --opening-wallet"
                );
            }
        }
        Ok(Self { wallets: sources, import: checked.import, code })
    }
}

/// Sends everything but what closes it. What is refused ends it.
pub(super) async fn send(
    client: &Arc<Client>,
    path: &Path,
    checked: &CheckedFile,
    sources: &Arc<Sources>,
) -> Sent {
    let open = || Table::open(HashedFile::open(path)?, sources.import).map_err(changed);
    let mut progress = Progress::begin("importing", Unit::Wallets, checked.wallets);
    // Those that others get their balances from come first.
    if !checked.opening_wallets.is_empty() {
        let mut table = open()?;
        let mut first = Vec::new();
        while let Some(wallet) = next(&mut table)? {
            if checked.opening_wallets.contains_key(&wallet.terms.id) {
                if wallet.balance != 0 {
                    bail!(
                        "line {}: {} is where opening balances come from, so it has none of its own",
                        wallet.line,
                        wallet.terms.id
                    );
                }
                first.push(wallet);
            }
        }
        if let Err(refused) = send_chunk(Arc::clone(client), Arc::clone(sources), first).await? {
            return Ok(Err(refused));
        }
    }
    let mut table = open()?;
    let mut under_way = VecDeque::new();
    let mut done = 0_u64;
    let mut is_at_end = false;
    while !is_at_end || !under_way.is_empty() {
        while !is_at_end && under_way.len() < CHUNKS_IN_FLIGHT {
            let mut chunk = Vec::with_capacity(CHUNK);
            while chunk.len() < CHUNK && !is_at_end {
                let wallet = next(&mut table)?;
                is_at_end = wallet.is_none();
                chunk.extend(wallet);
            }
            let count = chunk.len();
            let sent = send_chunk(Arc::clone(client), Arc::clone(sources), chunk);
            under_way.push_back((count, tokio::spawn(sent)));
        }
        if let Some((count, sent)) = under_way.pop_front() {
            if let Err(refused) = sent.await?? {
                return Ok(Err(refused));
            }
            done += count as u64;
            progress.set(done);
        }
    }
    // What was looked through is what was sent, byte by byte.
    if table.into_source().finish()? != checked.hash {
        let (path, import) = (path.display(), sources.import);
        bail!(
            "{path} was changed while it was imported: nothing of it is shown; run it again with --id {import}"
        );
    }
    Ok(Ok(()))
}

fn next<R: Read>(table: &mut Table<R>) -> anyhow::Result<Option<ImportedWallet>> {
    table.read().transpose().map_err(changed)
}

/// Nothing was wrong with the file when it was looked through.
fn changed(Fault { line, reason }: Fault) -> anyhow::Error {
    anyhow::anyhow!("the file was changed: line {line}: {reason}")
}

/// Creates wallets, gives them their balances, and freezes those that are to be frozen.
async fn send_chunk(client: Arc<Client>, sources: Arc<Sources>, chunk: Vec<ImportedWallet>) -> Sent {
    let terms: Vec<_> = chunk.iter().map(|wallet| wallet.terms.clone()).collect();
    let created = patiently(|| client.create_wallets(&terms)).await?;
    if let Some(refused) = first_refused(&chunk, &created, |wallet| wallet.line) {
        return Ok(Err(refused));
    }
    let mut to_give: Vec<&ImportedWallet> = chunk.iter().filter(|wallet| wallet.balance != 0).collect();
    for attempt in 0..ATTEMPTS_MAX {
        if to_give.is_empty() {
            break;
        }
        let transfers: Vec<_> = to_give.iter().map(|wallet| opening(wallet, &sources, attempt)).collect();
        let outcomes = patiently(|| client.create_transfers(&transfers)).await?;
        // An earlier run was refused, for a reason that may be gone: its id is used up.
        let used_up = used_up(&client, &transfers, &outcomes).await?;
        let decided = to_give.into_iter().zip(outcomes).zip(used_up);
        let (again, decided): (Vec<_>, Vec<_>) = decided.partition(|(_, is_used_up)| *is_used_up);
        if let Some(((wallet, outcome), _)) =
            decided.into_iter().find(|((_, outcome), _)| !outcome.status.is_success())
        {
            return Ok(Err(Refused { line: Some(wallet.line), outcome }));
        }
        to_give = again.into_iter().map(|((wallet, _), _)| wallet).collect();
    }
    if let Some(wallet) = to_give.first() {
        bail!("line {}: the opening balance was refused {ATTEMPTS_MAX} times before", wallet.line);
    }
    let frozen: Vec<_> = chunk.iter().filter(|wallet| wallet.frozen != WalletFlags::default()).collect();
    if !frozen.is_empty() {
        // Those that are shown are of an import that is closed: what they are frozen for now is somebody's choice since.
        let ids: Vec<WalletId> = frozen.iter().map(|wallet| wallet.terms.id).collect();
        let shown = client.lookup_wallets(&ids).await?;
        let hidden: Vec<&ImportedWallet> = frozen
            .into_iter()
            .zip(shown)
            .filter(|(_, view)| view.is_none())
            .map(|(wallet, _)| wallet)
            .collect();
        let freeze = |wallet: &&ImportedWallet| FlagChange {
            wallet: wallet.terms.id,
            set: wallet.frozen,
            clear: WalletFlags::default(),
        };
        let changes: Vec<_> = hidden.iter().map(freeze).collect();
        let outcomes = patiently(|| client.set_flags(&changes)).await?;
        if let Some(refused) = first_refused(&hidden, &outcomes, |wallet| wallet.line) {
            return Ok(Err(refused));
        }
    }
    Ok(Ok(()))
}

/// Of each transfer, whether its id was refused for good before, with whatever fields: then nothing was moved under it.
async fn used_up(client: &Client, transfers: &[Transfer], outcomes: &[Outcome]) -> anyhow::Result<Vec<bool>> {
    let has_other_fields = |outcome: &Outcome| (81..=88).contains(&outcome.status.number());
    let others: Vec<TransferId> = transfers
        .iter()
        .zip(outcomes)
        .filter(|(_, outcome)| has_other_fields(outcome))
        .map(|(transfer, _)| transfer.id)
        .collect();
    let mut first = client.lookup_transfers(&others).await?.into_iter();
    let is_used_up = |outcome: &Outcome| match outcome.status {
        Status::IdAlreadyRefused => true,
        _ if has_other_fields(outcome) => {
            first.next().flatten().is_some_and(|view| !view.outcome.status.is_success())
        }
        _ => false,
    };
    Ok(outcomes.iter().map(is_used_up).collect())
}

/// Asks again while what stands in the way passes: a server that starts again, or has too much to do. What is asked for here may be
/// sent any number of times.
async fn patiently<F>(ask: impl Fn() -> F) -> Result<Vec<Outcome>, ClientError>
where
    F: Future<Output = Result<Vec<Outcome>, ClientError>>,
{
    let mut pause = Duration::from_millis(100);
    while pause < PATIENCE {
        match ask().await {
            Ok(outcomes) if !outcomes.iter().any(|outcome| passes(outcome.status)) => return Ok(outcomes),
            Ok(_)
            | Err(
                ClientError::OutcomeUnknown { .. }
                | ClientError::TimedOut { .. }
                | ClientError::Connect { .. }
                | ClientError::ConnectionLost { .. },
            ) => {}
            Err(error) => return Err(error),
        }
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
    ask().await
}

fn passes(status: Status) -> bool {
    matches!(
        status,
        Status::DeadlineExceeded | Status::Contended | Status::Unavailable | Status::InternalError
    )
}

fn first_refused<T>(items: &[T], outcomes: &[Outcome], line: impl Fn(&T) -> u64) -> Option<Refused> {
    let (item, outcome) = items.iter().zip(outcomes).find(|(_, outcome)| !outcome.status.is_success())?;
    Some(Refused { line: Some(line(item)), outcome: *outcome })
}

/// The transfer that gives a wallet what it starts with, or takes what it owes.
fn opening(wallet: &ImportedWallet, sources: &Sources, attempt: u32) -> Transfer {
    let terms = &wallet.terms;
    let giver = sources.wallets[&terms.asset];
    let (debit_wallet, credit_wallet) =
        if wallet.balance > 0 { (giver, terms.id) } else { (terms.id, giver) };
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"bursar opening balance");
    hasher.update(&sources.import.0.to_be_bytes()).update(&terms.id.0.to_be_bytes());
    hasher.update(&attempt.to_be_bytes());
    Transfer {
        id: TransferId(id_of(hasher.finalize())),
        debit_wallet,
        credit_wallet,
        asset: terms.asset,
        amount: wallet.balance.unsigned_abs(),
        group_id: sources.import.0,
        code: sources.code,
        effective_at_ns: 0,
        metadata: Box::default(),
    }
}
