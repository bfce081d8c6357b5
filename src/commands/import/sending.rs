//! The wallets of a file, sent chunk by chunk, several at once.

use super::super::progress::{Progress, Unit};
use super::CHUNK;
use super::checked_file::{Balances, CheckedFile};
use super::table::{Fault, ImportedWallet, Table};
use anyhow::{Context, bail};
use client::{Client, FlagChange};
use ledger::{AssetId, ImportId, Outcome, Status, Transfer, TransferId, WalletFlags, WalletId};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;

/// Chunks under way at once.
const CHUNKS_IN_FLIGHT: usize = 8;

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
                None => match checked.assets.get(&wallet) {
                    Some(asset) => *asset,
                    None => bail!("there is no wallet {wallet} that opening balances could come from"),
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
    let open = || -> anyhow::Result<Table<File>> {
        let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
        Table::open(file, sources.import)
            .map_err(|fault| anyhow::anyhow!("line {}: {}", fault.line, fault.reason))
    };
    let givers: HashSet<WalletId> = sources.wallets.values().copied().collect();
    let mut progress = Progress::begin("importing", Unit::Wallets, checked.wallets);
    // Those that others get their balances from come first.
    let is_giver = |wallet: &ImportedWallet| givers.contains(&wallet.terms.id);
    if givers.iter().any(|giver| checked.assets.contains_key(giver)) {
        let mut table = open()?;
        let mut first = Vec::new();
        while let Some(wallet) = next(&mut table)? {
            if is_giver(&wallet) {
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
    if done != checked.wallets {
        bail!("{} was changed while it was imported: run it again", path.display());
    }
    Ok(Ok(()))
}

fn next<R: Read>(table: &mut Table<R>) -> anyhow::Result<Option<ImportedWallet>> {
    let read = table.read().transpose();
    read.map_err(|Fault { line, reason }| anyhow::anyhow!("the file was changed: line {line}: {reason}"))
}

/// Creates wallets, gives them their balances, and freezes those that are to be frozen.
async fn send_chunk(client: Arc<Client>, sources: Arc<Sources>, chunk: Vec<ImportedWallet>) -> Sent {
    let terms: Vec<_> = chunk.iter().map(|wallet| wallet.terms.clone()).collect();
    let created = client.create_wallets(&terms).await?;
    if let Some(refused) = first_refused(&chunk, &created, |wallet| wallet.line) {
        return Ok(Err(refused));
    }
    let mut to_give: Vec<&ImportedWallet> = chunk.iter().filter(|wallet| wallet.balance != 0).collect();
    for attempt in 0..ATTEMPTS_MAX {
        if to_give.is_empty() {
            break;
        }
        let transfers: Vec<_> = to_give.iter().map(|wallet| opening(wallet, &sources, attempt)).collect();
        let outcomes = client.create_transfers(&transfers).await?;
        // An earlier run was refused, for a reason that may be gone: its id is used up.
        let is_used_up = |outcome: &Outcome| outcome.status == Status::IdAlreadyRefused;
        let (again, decided): (Vec<_>, Vec<_>) =
            to_give.into_iter().zip(outcomes).partition(|(_, outcome)| is_used_up(outcome));
        if let Some((wallet, outcome)) = decided.into_iter().find(|(_, outcome)| !outcome.status.is_success())
        {
            return Ok(Err(Refused { line: Some(wallet.line), outcome }));
        }
        to_give = again.into_iter().map(|(wallet, _)| wallet).collect();
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
        let outcomes = client.set_flags(&hidden.iter().map(freeze).collect::<Vec<_>>()).await?;
        if let Some(refused) = first_refused(&hidden, &outcomes, |wallet| wallet.line) {
            return Ok(Err(refused));
        }
    }
    Ok(Ok(()))
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
    let hash = hasher.finalize();
    let id = u128::from_be_bytes(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes"));
    Transfer {
        id: TransferId(id.max(1)),
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
