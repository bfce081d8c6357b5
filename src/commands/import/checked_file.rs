//! A file that is looked through once before anything of it is sent.

use super::super::progress::{Progress, Unit};
use super::CHUNK;
use super::table::{Fault, ImportedWallet, Table};
use anyhow::{Context, bail};
use ledger::{AssetId, ImportId, WalletId};
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Faults of a file that are told.
const FAULTS_TOLD: usize = 20;

/// A file that was read once, and in which nothing is wrong.
#[derive(Debug)]
pub(super) struct CheckedFile {
    pub(super) import: ImportId,
    pub(super) wallets: u64,
    /// Wallets that start with something, and the sum of that, with the first line, by asset.
    pub(super) balances: BTreeMap<AssetId, Balances>,
    /// The ids in the file, each with its asset.
    pub(super) assets: HashMap<WalletId, AssetId>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Balances {
    pub(super) first_line: u64,
    pub(super) wallets: u64,
    pub(super) sum: i128,
}

impl CheckedFile {
    pub(super) fn read(path: &Path, id: Option<ImportId>) -> anyhow::Result<Self> {
        let file = || File::open(path).with_context(|| format!("cannot read {}", path.display()));
        let length = file()?.metadata()?.len();
        let mut progress = Progress::begin("checking", Unit::Bytes, length);
        let mut source = Hashing { source: file()?, hasher: blake3::Hasher::new(), bytes: 0 };
        let (mut faults, mut fault_count) = (Vec::new(), 0_u64);
        let mut note = |fault: Fault| {
            fault_count += 1;
            if faults.len() < FAULTS_TOLD {
                faults.push(format!("line {}: {}", fault.line, fault.reason));
            }
        };
        let mut checked =
            Self { import: ImportId::NONE, wallets: 0, balances: BTreeMap::new(), assets: HashMap::new() };
        match Table::open(&mut source, ImportId::NONE) {
            Err(fault) => note(fault),
            Ok(mut table) => {
                while let Some(read) = table.read() {
                    if let Err(fault) = read.and_then(|wallet| checked.add(&wallet)) {
                        note(fault);
                    }
                    if checked.wallets.is_multiple_of(CHUNK as u64) {
                        progress.set(table.source().bytes);
                    }
                }
            }
        }
        drop(progress);
        if fault_count > 0 {
            let more = fault_count - faults.len() as u64;
            let more = if more > 0 { format!("\nand {more} more") } else { String::new() };
            bail!("{} cannot be imported:\n{}{more}", path.display(), faults.join("\n"));
        }
        io::copy(&mut source, &mut io::sink())?;
        let hash = source.hasher.finalize();
        let of_the_file = u128::from_be_bytes(*hash.as_bytes().first_chunk().expect("a hash has 32 bytes"));
        checked.import = id.unwrap_or(ImportId(of_the_file.max(1)));
        Ok(checked)
    }

    fn add(&mut self, wallet: &ImportedWallet) -> Result<(), Fault> {
        let ImportedWallet { line, terms, balance, .. } = wallet;
        let fault = |reason: String| Err(Fault { line: *line, reason });
        if self.assets.insert(terms.id, terms.asset).is_some() {
            return fault(format!("the wallet {} is there twice", terms.id));
        }
        self.wallets += 1;
        if *balance != 0 {
            let new = Balances { first_line: *line, ..Balances::default() };
            let balances = self.balances.entry(terms.asset).or_insert(new);
            balances.wallets += 1;
            let Some(sum) = balances.sum.checked_add(*balance) else {
                return fault("the balances add up to more than an amount can be".to_owned());
            };
            balances.sum = sum;
        }
        Ok(())
    }
}

/// A file that is hashed as it is read.
#[derive(Debug)]
struct Hashing {
    source: File,
    hasher: blake3::Hasher,
    bytes: u64,
}

impl Read for Hashing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        self.bytes += count as u64;
        Ok(count)
    }
}
