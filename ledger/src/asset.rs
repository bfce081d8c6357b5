//! Assets: what a wallet is denominated in.

use crate::identity::AssetId;
use crate::status::{Refusal, Status};
use std::fmt;

/// The longest asset code, in bytes.
pub const ASSET_CODE_LENGTH_MAX: usize = 16;

/// The largest scale: an amount has at most 38 decimal digits.
pub const ASSET_SCALE_MAX: u8 = 38;

/// A short upper-case name such as `USD`, `EUR`, `GEMS`: 1 to 16 of `A–Z`, `0–9`, `_`, `.` and `-`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssetCode {
    bytes: [u8; ASSET_CODE_LENGTH_MAX],
    length: u8,
}

impl AssetCode {
    /// `None` if the text is empty, too long, or has a character that a code may not have.
    pub fn new(text: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || b"_.-".contains(&byte);
        if text.is_empty() || text.len() > ASSET_CODE_LENGTH_MAX || !text.bytes().all(allowed) {
            return None;
        }
        let mut bytes = [0; ASSET_CODE_LENGTH_MAX];
        bytes.get_mut(..text.len())?.copy_from_slice(text.as_bytes());
        Some(Self { bytes, length: u8::try_from(text.len()).ok()? })
    }

    /// The code as text.
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..usize::from(self.length)).unwrap_or_default();
        std::str::from_utf8(bytes).expect("an asset code is ASCII by construction")
    }
}

impl fmt::Display for AssetCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for AssetCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// An asset. It never changes and is never deleted once created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asset {
    /// Chosen by the client; not zero.
    pub id: AssetId,
    /// What people call it.
    pub code: AssetCode,
    /// How many decimal digits of the amount are behind the point: 2 for `USD` counted in cents.
    pub scale: u8,
}

impl Asset {
    /// The checks that need no state. The code is right by construction.
    pub fn check_shape(&self) -> Result<(), Refusal> {
        if self.id.0 == 0 {
            return Err(Status::IdMustNotBeZero.into());
        }
        if self.scale > ASSET_SCALE_MAX {
            return Err(Status::AssetScaleTooLarge.into());
        }
        Ok(())
    }

    /// What a second creation of the same id is answered.
    pub fn compare(&self, again: &Self) -> Status {
        if self.code != again.code {
            return Status::ExistsWithDifferentCode;
        }
        if self.scale != again.scale {
            return Status::ExistsWithDifferentScale;
        }
        Status::Exists
    }
}
