//! A file that is looked through once before anything of it is sent.

use super::super::progress::{Progress, Unit};
use super::table::{Fault, ImportedWallet, Table};
use super::{CHUNK, id_of};
use anyhow::{Context, bail};
use ledger::{AssetId, ImportId, WalletId};
use std::collections::{BTreeMap, HashSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Faults of a file that are told.
const FAULTS_TOLD: usize = 20;

/// A file that was read once, and in which nothing is wrong.
#[derive(Debug)]
pub(super) struct CheckedFile {
    pub(super) import: ImportId,
    /// Of all its bytes.
    pub(super) hash: blake3::Hash,
    pub(super) wallets: u64,
    /// Wallets that start with something, and the sum of that, with the first line, by asset.
    pub(super) balances: BTreeMap<AssetId, Balances>,
    /// Of the wallets that balances come from, those that are in the file, each with its asset.
    pub(super) opening_wallets: BTreeMap<WalletId, AssetId>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Balances {
    pub(super) first_line: u64,
    pub(super) wallets: u64,
    pub(super) sum: i128,
}

impl CheckedFile {
    /// Looks through the file. Of `opening_wallets`, those that are in it are noted with their assets.
    pub(super) fn read(
        path: &Path,
        id: Option<ImportId>,
        opening_wallets: &[WalletId],
    ) -> anyhow::Result<Self> {
        let source = HashedFile::open(path)?;
        let mut progress = Progress::begin("checking", Unit::Bytes, source.length);
        let (mut faults, mut fault_count) = (Vec::new(), 0_u64);
        let mut note = |fault: Fault| {
            fault_count += 1;
            if faults.len() < FAULTS_TOLD {
                faults.push(format!("line {}: {}", fault.line, fault.reason));
            }
        };
        let mut checked = Self {
            import: ImportId::NONE,
            hash: blake3::Hash::from_bytes([0; blake3::OUT_LEN]),
            wallets: 0,
            balances: BTreeMap::new(),
            opening_wallets: BTreeMap::new(),
        };
        let mut ids = HashSet::new();
        match Table::open(source, ImportId::NONE) {
            Err(fault) => note(fault),
            Ok(mut table) => {
                while let Some(read) = table.read() {
                    let added = read.and_then(|wallet| {
                        if !ids.insert(wallet.terms.id.0) {
                            let reason = format!("the wallet {} is there twice", wallet.terms.id);
                            return Err(Fault { line: wallet.line, reason });
                        }
                        if opening_wallets.contains(&wallet.terms.id) {
                            checked.opening_wallets.insert(wallet.terms.id, wallet.terms.asset);
                        }
                        checked.add(&wallet)
                    });
                    if let Err(fault) = added {
                        note(fault);
                    }
                    if checked.wallets.is_multiple_of(CHUNK as u64) {
                        progress.set(table.source().bytes);
                    }
                }
                checked.hash = table.into_source().finish()?;
            }
        }
        drop(progress);
        if fault_count > 0 {
            let more = fault_count - faults.len() as u64;
            let more = if more > 0 { format!("\nand {more} more") } else { String::new() };
            bail!("{} cannot be imported:\n{}{more}", path.display(), faults.join("\n"));
        }
        checked.import = id.unwrap_or(ImportId(id_of(checked.hash)));
        Ok(checked)
    }

    fn add(&mut self, wallet: &ImportedWallet) -> Result<(), Fault> {
        let ImportedWallet { line, terms, balance, .. } = wallet;
        self.wallets += 1;
        if *balance != 0 {
            let new = Balances { first_line: *line, ..Balances::default() };
            let balances = self.balances.entry(terms.asset).or_insert(new);
            balances.wallets += 1;
            balances.sum = balances.sum.checked_add(*balance).ok_or_else(|| Fault {
                line: *line,
                reason: "the balances add up to more than an amount can be".to_owned(),
            })?;
        }
        Ok(())
    }
}

/// A file that is hashed as it is read.
#[derive(Debug)]
pub(super) struct HashedFile {
    source: File,
    length: u64,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl HashedFile {
    pub(super) fn open(path: &Path) -> anyhow::Result<Self> {
        let open = || {
            let source = File::open(path)?;
            let length = source.metadata()?.len();
            Ok::<_, io::Error>(Self { source, length, hasher: blake3::Hasher::new(), bytes: 0 })
        };
        open().with_context(|| format!("cannot read {}", path.display()))
    }

    /// Reads what is left.
    pub(super) fn finish(mut self) -> io::Result<blake3::Hash> {
        io::copy(&mut self, &mut io::sink())?;
        Ok(self.hasher.finalize())
    }
}

impl Read for HashedFile {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.bytes += count as u64;
        Ok(count)
    }
}
