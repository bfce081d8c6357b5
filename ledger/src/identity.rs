//! Ids, and how they are written: printed as UUIDs, read as UUIDs or as plain decimal integers.

use std::fmt;
use std::str::FromStr;

macro_rules! wide_id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u128);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_uuid(self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write_uuid(self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                parse_wide(text).map(Self)
            }
        }
    };
}

wide_id! {
    /// The id of a wallet, chosen by the client.
    WalletId
}

wide_id! {
    /// The id of a transfer, chosen by the client: its idempotency key, unique for ever.
    TransferId
}

wide_id! {
    /// The id of an import, chosen by the client: what its wallets are imported under, and the group of the orders that give them their
    /// opening balances. 0 for none.
    ImportId
}

impl ImportId {
    /// Of a wallet that was not imported.
    pub const NONE: Self = Self(0);
}

/// The id of an asset (a currency, a token, a kind of point), chosen by the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct AssetId(pub u32);

impl fmt::Display for AssetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The text is neither a UUID nor an integer below 2^128.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParseIdError {
    text: String,
}

impl fmt::Display for ParseIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is neither a UUID nor an integer below 2^128", self.text)
    }
}

impl std::error::Error for ParseIdError {}

fn write_uuid(id: u128, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    // `pad` so that a width given by a table is respected.
    f.pad(&format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        id >> 96,
        (id >> 80) & 0xffff,
        (id >> 64) & 0xffff,
        (id >> 48) & 0xffff,
        id & 0xffff_ffff_ffff
    ))
}

fn parse_wide(text: &str) -> Result<u128, ParseIdError> {
    let wrong = || ParseIdError { text: text.to_owned() };
    if !text.contains('-') {
        // Rust's own parser accepts a leading `+`; an id is digits only.
        return if text.starts_with('+') { Err(wrong()) } else { text.parse().map_err(|_| wrong()) };
    }
    let groups: Vec<&str> = text.split('-').collect();
    let right_shape = groups.iter().map(|group| group.len()).eq([8, 4, 4, 4, 12]);
    let digits: String = groups.concat();
    if !right_shape || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    u128::from_str_radix(&digits, 16).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_printed_as_uuids_and_read_as_uuids_or_integers() {
        let check = |text: &str, expected: Option<u128>| {
            assert_eq!(text.parse::<WalletId>().ok().map(|id| id.0), expected, "{text}");
        };
        check("0", Some(0));
        check("42", Some(42));
        check("340282366920938463463374607431768211455", Some(u128::MAX));
        check("340282366920938463463374607431768211456", None);
        check("00000000-0000-0000-0000-00000000002a", Some(42));
        check("FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF", Some(u128::MAX));
        check("018f4a3e-7d6b-7c1a-9f00-112233445566", Some(0x018f_4a3e_7d6b_7c1a_9f00_1122_3344_5566));
        check("018f4a3e7d6b-7c1a-9f00-112233445566", None);
        check("018f4a3e-7d6b-7c1a-9f00-11223344556g", None);
        check("", None);
        check("-1", None);
        check("+1", None);
        check("0x2a", None);
        assert_eq!(WalletId(42).to_string(), "00000000-0000-0000-0000-00000000002a");
        assert_eq!(TransferId(u128::MAX).to_string().parse(), Ok(TransferId(u128::MAX)));
    }
}
