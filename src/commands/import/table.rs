//! The CSV that wallets are imported from.

use super::super::unhex;
use super::super::wallet::{parse_overdraft_limit, parse_owner};
use csv::{Reader, ReaderBuilder, StringRecord, Trim};
use ledger::{AMOUNT_MAX, AssetId, ImportId, NewWallet, OverdraftLimit, Owner, WalletFlags, WalletId};
use std::io::Read;

/// The columns that there may be; the first two must be there.
const COLUMNS: [&str; 9] =
    ["id", "asset", "balance", "owner", "code", "flags", "overdraft_limit", "balance_max", "metadata"];

/// A wallet to be imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ImportedWallet {
    /// The line that it stands in, from 1 on.
    pub(super) line: u64,
    /// As it is created: without what would keep its opening balance out.
    pub(super) terms: NewWallet,
    /// What it starts with; below zero what it owes.
    pub(super) balance: i128,
    /// What it is frozen for once it has its balance.
    pub(super) frozen: WalletFlags,
}

/// What is wrong with a file, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// From 1 on.
    pub(super) line: u64,
    pub(super) reason: String,
}

/// Reads wallets, or what is wrong with them, line by line.
#[derive(Debug)]
pub(super) struct Table<R> {
    reader: Reader<R>,
    /// Where each of [`COLUMNS`] stands.
    places: [Option<usize>; COLUMNS.len()],
    import: ImportId,
    record: StringRecord,
}

impl<R: Read> Table<R> {
    /// Reads the header.
    pub(super) fn open(source: R, import: ImportId) -> Result<Self, Fault> {
        let mut reader = ReaderBuilder::new().trim(Trim::Headers).from_reader(source);
        let header = reader.headers().map_err(|error| fault_of(&error))?;
        let fault = |reason: String| Err(Fault { line: 1, reason });
        let mut places = [None; COLUMNS.len()];
        for (place, name) in header.iter().enumerate() {
            let Some(column) = COLUMNS.iter().position(|column| *column == name) else {
                return fault(format!("there is no column `{name}`: there are {}", COLUMNS.join(", ")));
            };
            if places[column].replace(place).is_some() {
                return fault(format!("there are two columns `{name}`"));
            }
        }
        for (column, name) in COLUMNS.iter().enumerate().take(2) {
            if places[column].is_none() {
                return fault(format!("the column `{name}` is missing"));
            }
        }
        Ok(Self { reader, places, import, record: StringRecord::new() })
    }

    /// Where it is read from.
    pub(super) fn source(&self) -> &R {
        self.reader.get_ref()
    }

    /// The same, with what has not been read of it.
    pub(super) fn into_source(self) -> R {
        self.reader.into_inner()
    }

    /// The next wallet.
    pub(super) fn read(&mut self) -> Option<Result<ImportedWallet, Fault>> {
        match self.reader.read_record(&mut self.record) {
            Ok(false) => None,
            Ok(true) => {
                let line = self.record.position().map_or(0, csv::Position::line);
                Some(self.wallet(line).map_err(|reason| Fault { line, reason }))
            }
            Err(error) => Some(Err(fault_of(&error))),
        }
    }

    /// What stands in one of [`COLUMNS`]; nothing if the file does not have it.
    fn text(&self, column: &str) -> &str {
        let index = COLUMNS.iter().position(|name| *name == column).expect("one of the columns");
        let text = self.places[index].and_then(|place| self.record.get(place)).unwrap_or_default();
        // Blanks of the client's own texts are the client's.
        if matches!(column, "owner" | "metadata") { text } else { text.trim() }
    }

    fn wallet(&self, line: u64) -> Result<ImportedWallet, String> {
        let number = |column: &str, what: &str| match self.text(column) {
            "" => Ok(0),
            text => text.parse::<u128>().map_err(|_| format!("`{text}` is no {what}")),
        };
        let id: WalletId = self.text("id").parse().map_err(|error| format!("id: {error}"))?;
        let asset = self.text("asset");
        let asset: u32 = asset.parse().map_err(|_| format!("`{asset}` is no id of an asset"))?;
        let balance: i128 = match self.text("balance") {
            "" => 0,
            text => text.parse().map_err(|_| format!("`{text}` is no balance: an integer"))?,
        };
        if balance.unsigned_abs() > AMOUNT_MAX {
            return Err(format!("the balance {balance} is too large"));
        }
        let owner = self.text("owner");
        let code = number("code", "code")?;
        let mut flags = WalletFlags::default();
        for name in self.text("flags").split([' ', '|']).filter(|name| !name.is_empty()) {
            let known = WalletFlags::ALL.into_iter().find(|(_, known)| *known == name);
            flags = flags.with(known.ok_or_else(|| format!("`{name}` is no flag"))?.0);
        }
        let frozen = WalletFlags::DEBIT_FROZEN.with(WalletFlags::CREDIT_FROZEN);
        // Those of its flags that would keep its balance out.
        let later = if balance == 0 { WalletFlags::default() } else { flags.without(flags.without(frozen)) };
        let terms = NewWallet {
            id,
            owner: if owner.is_empty() { Owner::Number(0) } else { parse_owner(owner) },
            asset: AssetId(asset),
            code: code.try_into().map_err(|_| format!("`{code}` is no code: at most {}", u16::MAX))?,
            flags: flags.without(later),
            overdraft_limit: match self.text("overdraft_limit") {
                "" => OverdraftLimit::Limited(0),
                text => parse_overdraft_limit(text)?,
            },
            balance_max: number("balance_max", "maximum of a balance")?,
            metadata: unhex(self.text("metadata")).into(),
            import: self.import,
        };
        terms.check_shape().map_err(|refusal| refusal.status.to_string())?;
        let owed = if balance < 0 { balance.unsigned_abs() } else { 0 };
        if let OverdraftLimit::Limited(limit) = terms.overdraft_limit
            && owed > limit
            && !flags.contains(WalletFlags::SYSTEM)
        {
            return Err(format!("the balance {balance} is below an overdraft limit of {limit}"));
        }
        if terms.balance_max != 0 && balance > 0 && balance.unsigned_abs() > terms.balance_max {
            return Err(format!("the balance {balance} is above the maximum of {}", terms.balance_max));
        }
        Ok(ImportedWallet { line, terms, balance, frozen: later })
    }
}

fn fault_of(error: &csv::Error) -> Fault {
    let line = error.position().map_or(1, csv::Position::line);
    let reason = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("has {len} columns, and the header {expected_len}")
        }
        csv::ErrorKind::Utf8 { .. } => "is not UTF-8".to_owned(),
        _ => error.to_string(),
    };
    Fault { line, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<ImportedWallet>, String> {
        let told = |fault: Fault| format!("{}: {}", fault.line, fault.reason);
        let mut table = Table::open(text.as_bytes(), ImportId(9)).map_err(told)?;
        std::iter::from_fn(|| table.read()).collect::<Result<_, _>>().map_err(told)
    }

    #[test]
    fn a_line_is_a_wallet_with_what_it_starts_with() {
        let text = "asset,id,balance,owner,flags,overdraft_limit,balance_max,metadata,code\n\
            1,2,500,ada,debit_frozen | system,7,900,\"gold, \"\"old\"\"\",3\n\
            1, 00000000-0000-0000-0000-000000000003 ,-5,,,unlimited,,\\x00ff,\n\
            2,4,,,credit_frozen,,,,\n";
        let terms = |id, asset| NewWallet {
            id: WalletId(id),
            owner: Owner::Number(0),
            asset: AssetId(asset),
            code: 0,
            flags: WalletFlags::default(),
            overdraft_limit: OverdraftLimit::Limited(0),
            balance_max: 0,
            metadata: Box::default(),
            import: ImportId(9),
        };
        let ada = NewWallet {
            owner: Owner::Bytes((*b"ada").into()),
            code: 3,
            // It is frozen when it has its balance.
            flags: WalletFlags::SYSTEM,
            overdraft_limit: OverdraftLimit::Limited(7),
            balance_max: 900,
            metadata: (*b"gold, \"old\"").into(),
            ..terms(2, 1)
        };
        let owes = NewWallet {
            overdraft_limit: OverdraftLimit::Unlimited,
            metadata: [0, 255].into(),
            ..terms(3, 1)
        };
        let empty = NewWallet { flags: WalletFlags::CREDIT_FROZEN, ..terms(4, 2) };
        let none = WalletFlags::default();
        let expected = [(2, ada, 500, WalletFlags::DEBIT_FROZEN), (3, owes, -5, none), (4, empty, 0, none)];
        let expected =
            expected.map(|(line, terms, balance, frozen)| ImportedWallet { line, terms, balance, frozen });
        assert_eq!(read(text).unwrap(), expected);
        assert_eq!(read("id,asset\n"), Ok(Vec::new()));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_line() {
        let check = |text: &str, expected: &str| {
            let found = read(text).expect_err(text);
            assert!(found.contains(expected), "{text}: {found}");
        };
        check("", "1: the column `id` is missing");
        check("id\n2\n", "1: the column `asset` is missing");
        check("id,asset,amount\n", "1: there is no column `amount`: there are id, asset, balance");
        check("id,asset,id\n", "1: there are two columns `id`");
        check("id,asset\n2,1\n3\n", "3: has 1 columns, and the header 2");
        check("id,asset\nada,1\n", "2: id: `ada` is neither a UUID nor an integer");
        check("id,asset\n0,1\n", "2: id_must_not_be_zero");
        check("id,asset\n2,USD\n", "2: `USD` is no id of an asset");
        check("id,asset,balance\n2,1,5.00\n", "2: `5.00` is no balance: an integer");
        check(&format!("id,asset,balance\n2,1,{}\n", i128::MIN), "is too large");
        check("id,asset,code\n2,1,65536\n", "2: `65536` is no code: at most 65535");
        check("id,asset,flags\n2,1,frozen\n", "2: `frozen` is no flag");
        check("id,asset,flags\n2,1,closed\n", "2: reserved_flag");
        check("id,asset,overdraft_limit\n2,1,-1\n", "2: an overdraft limit is an integer or `unlimited`");
        check("id,asset,balance_max\n2,1,lots\n", "2: `lots` is no maximum of a balance");
        check(
            "id,asset,balance,overdraft_limit\n2,1,-5,4\n",
            "2: the balance -5 is below an overdraft limit of 4",
        );
        check("id,asset,balance,balance_max\n2,1,5,4\n", "2: the balance 5 is above the maximum of 4");
        check(&format!("id,asset,owner\n2,1,{}\n", "a".repeat(65)), "2: owner_too_large");
    }
}
