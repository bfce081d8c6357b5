//! `create_assets`: assets to create; one outcome each.

use crate::body::{BodyReader, LENGTH_BYTES, put, put_sequence};
use crate::frame::FrameError;
use crate::limits::OPERATIONS_PER_REQUEST_MAX;
use crate::request::RequestHead;
use bincode::{BorrowDecode, Encode};
use ledger::asset::ASSET_CODE_LENGTH_MAX;
use ledger::{Asset, AssetCode, AssetId, Refusal, Status};

/// The most bytes that a right item takes.
pub(crate) const ITEM_BYTES_MAX: u32 = 4 + LENGTH_BYTES + ASSET_CODE_LENGTH_MAX as u32 + 1;

/// The fewest bytes that an item takes.
const ITEM_BYTES_MIN: u32 = 4 + LENGTH_BYTES + 1;

/// An asset as the client asked for it. The code is any text: a wrong one is refused, not malformed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewAsset {
    /// Chosen by the client; not zero.
    pub id: AssetId,
    /// What people call it: 1 to 16 of `A–Z`, `0–9`, `_`, `.` and `-`.
    pub code: String,
    /// How many decimal digits of the amount are behind the point.
    pub scale: u8,
}

impl NewAsset {
    /// The asset, if its shape is right; the checks are made in the documented order.
    pub fn to_asset(&self) -> Result<Asset, Refusal> {
        let code = AssetCode::new(&self.code);
        // The ledger's own checks come first, so a code that is wrong stands in with one that is right.
        let stand_in = code.or_else(|| AssetCode::new("-")).expect("a dash is a valid code");
        let asset = Asset { id: self.id, code: stand_in, scale: self.scale };
        asset.check_shape()?;
        if code.is_none() {
            return Err(Status::AssetCodeInvalid.into());
        }
        Ok(asset)
    }
}

/// The request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreateAssets {
    /// Deadline and trace.
    pub head: RequestHead,
    /// What to create.
    pub assets: Vec<NewAsset>,
}

#[derive(Encode, BorrowDecode)]
pub(crate) struct NewAssetV1<'a> {
    pub(crate) id: u32,
    pub(crate) code: &'a str,
    pub(crate) scale: u8,
}

pub(crate) fn write_request(buffer: &mut Vec<u8>, head: RequestHead, assets: &[NewAsset]) {
    put(buffer, head);
    put_sequence(
        buffer,
        assets.iter().map(|asset| NewAssetV1 { id: asset.id.0, code: &asset.code, scale: asset.scale }),
    );
}

pub(crate) fn read_request(body: &[u8]) -> Result<CreateAssets, FrameError> {
    let mut reader = BodyReader::new(body);
    let head = reader.value()?;
    let assets = reader.sequence(OPERATIONS_PER_REQUEST_MAX, ITEM_BYTES_MIN, |item: NewAssetV1<'_>| {
        Ok(NewAsset { id: AssetId(item.id), code: item.code.to_owned(), scale: item.scale })
    })?;
    reader.finish()?;
    Ok(CreateAssets { head, assets })
}
