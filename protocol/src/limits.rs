//! The limits of the protocol, and how they follow from each other.

use crate::body::LENGTH_BYTES;
use crate::frame::HEADER_LENGTH;
use crate::operation::Operation;
use crate::outcome::OUTCOME_BYTES_MAX;
use crate::query::VARIANT_BYTES;
use crate::{
    balances, balances_at, create_assets, create_pending, create_transactions, create_transfers,
    create_wallets, list_pending, list_wallets, lookup_transfers, lookup_wallets, post_pending, read_records,
    reverse, set_flags, set_limits, set_metadata, statement, void_pending,
};

/// The largest frame, in bytes, before the hello has been answered, in both directions.
pub const HELLO_FRAME_MAX: u32 = 1024;

/// The largest frame that a server accepts and sends unless it is configured otherwise.
pub const FRAME_LIMIT_DEFAULT: u32 = 4 * 1024 * 1024;

/// The largest frame limit that may be configured.
pub const FRAME_HARD_MAX: u32 = 16 * 1024 * 1024;

/// The smallest frame limit that may be configured: the largest item of any kind fits, and so does its answer.
pub const FRAME_LIMIT_MIN: u32 = 8 * 1024;

/// The most operations that one request may hold, whatever the frame limit.
pub const OPERATIONS_PER_REQUEST_MAX: u32 = 8_190;

/// The most items of one page of an answer that comes in pages, whatever the frame limit.
pub const PAGE_ITEMS_MAX: u32 = 1_000;

/// The most subscriptions of one connection.
pub const SUBSCRIPTIONS_MAX: usize = 16;

/// The longest name of a client or a server in a hello, in bytes.
pub const NAME_LENGTH_MAX: usize = 64;

/// How many bytes the head of a request takes: deadline and trace id.
pub(crate) const REQUEST_HEAD_BYTES: u32 = 4 + 16;

/// How many bytes a bool or the tag of an option takes.
pub(crate) const TAG_BYTES: u32 = 1;

/// How many operations one request may hold, so that the largest request and its largest reply fit in a frame.
///
/// 1 for the operations that are not batches.
pub const fn batch_max(operation: Operation, frame_limit: u32) -> u32 {
    let (request_item, reply_item) = match operation {
        Operation::Hello
        | Operation::TrialBalance
        | Operation::Ping
        | Operation::Statement
        | Operation::ListPending
        | Operation::ListWallets
        | Operation::ReadRecords
        | Operation::Subscribe
        | Operation::MoreEvents
        | Operation::Unsubscribe => return 1,
        Operation::CreateAssets => (create_assets::ITEM_BYTES_MAX, OUTCOME_BYTES_MAX),
        Operation::CreateWallets => (create_wallets::ITEM_BYTES_MAX, OUTCOME_BYTES_MAX),
        Operation::LookupWallets => (ID_BYTES, lookup_wallets::VIEW_BYTES_MAX),
        Operation::CreateTransfers => (create_transfers::ITEM_BYTES_MAX, create_transfers::ANSWER_BYTES_MAX),
        Operation::LookupTransfers => (ID_BYTES, lookup_transfers::VIEW_BYTES_MAX),
        Operation::Balances => (ID_BYTES, balances::VIEW_BYTES_MAX),
        Operation::CreatePending => (create_pending::ITEM_BYTES_MAX, create_pending::ANSWER_BYTES_MAX),
        Operation::PostPending => (post_pending::ITEM_BYTES_MAX, post_pending::ANSWER_BYTES_MAX),
        Operation::VoidPending => (void_pending::ITEM_BYTES_MAX, void_pending::ANSWER_BYTES_MAX),
        Operation::Reverse => (reverse::ITEM_BYTES_MAX, reverse::ANSWER_BYTES_MAX),
        Operation::CreateTransactions => {
            (create_transactions::ITEM_BYTES_MAX, create_transactions::ANSWER_BYTES_MAX)
        }
        Operation::SetLimits => (set_limits::ITEM_BYTES_MAX, OUTCOME_BYTES_MAX),
        Operation::SetFlags => (set_flags::ITEM_BYTES, OUTCOME_BYTES_MAX),
        Operation::SetMetadata => (set_metadata::ITEM_BYTES_MAX, OUTCOME_BYTES_MAX),
        Operation::CloseImports => (ID_BYTES, OUTCOME_BYTES_MAX),
        Operation::BalancesAt => (ID_BYTES, balances_at::ANSWER_BYTES_MAX),
    };
    // The most that a batch carries beside its items: head, flag and length; in the reply two lengths. What is asked of
    // the past says of when, and its answer that it is one.
    let (flag, answered) = match operation {
        Operation::BalancesAt => (balances_at::MOMENT_BYTES, VARIANT_BYTES),
        _ => (TAG_BYTES, 0),
    };
    let request_room = frame_limit.saturating_sub(HEADER_BYTES + REQUEST_HEAD_BYTES + flag + LENGTH_BYTES);
    let reply_room = frame_limit.saturating_sub(HEADER_BYTES + answered + 2 * LENGTH_BYTES);
    least(least(request_room / request_item, reply_room / reply_item), OPERATIONS_PER_REQUEST_MAX)
}

/// How many items one page of an answer may have, so that the largest page fits in a frame; 1 for the operations that are
/// not answered in pages.
pub const fn page_max(operation: Operation, frame_limit: u32) -> u32 {
    let (page, item) = match operation {
        Operation::Statement => (statement::PAGE_BYTES, statement::ROW_BYTES_MAX),
        Operation::ListPending => (list_pending::PAGE_BYTES, list_pending::HOLD_BYTES),
        Operation::ListWallets => (list_wallets::PAGE_BYTES, list_wallets::WALLET_BYTES_MAX),
        _ => return 1,
    };
    least(frame_limit.saturating_sub(HEADER_BYTES + VARIANT_BYTES + page) / item, PAGE_ITEMS_MAX)
}

/// How many of these records, from the first on, fit into one frame.
pub fn records_that_fit(lengths: impl Iterator<Item = usize>, frame_limit: u32) -> usize {
    let room = frame_limit.saturating_sub(HEADER_BYTES + VARIANT_BYTES + read_records::PAGE_BYTES);
    let taken = lengths.scan(0_u64, |bytes, length| {
        *bytes = bytes.saturating_add(length as u64).saturating_add(u64::from(read_records::RECORD_BYTES));
        Some(*bytes)
    });
    taken.take_while(|bytes| *bytes <= u64::from(room)).count()
}

const HEADER_BYTES: u32 = HEADER_LENGTH as u32;

pub(crate) const ID_BYTES: u32 = 16;

const fn least(a: u32, b: u32) -> u32 {
    if a < b { a } else { b }
}

// A full batch of transfers or holds, each with all the metadata it may have, fits by default; so do its captures and
// releases, and the balances of as many wallets.
const _: () = {
    assert!(batch_max(Operation::CreateTransfers, FRAME_LIMIT_DEFAULT) == OPERATIONS_PER_REQUEST_MAX);
    assert!(batch_max(Operation::CreatePending, FRAME_LIMIT_DEFAULT) == OPERATIONS_PER_REQUEST_MAX);
    assert!(batch_max(Operation::PostPending, FRAME_LIMIT_DEFAULT) == OPERATIONS_PER_REQUEST_MAX);
    assert!(batch_max(Operation::VoidPending, FRAME_LIMIT_DEFAULT) == OPERATIONS_PER_REQUEST_MAX);
    assert!(batch_max(Operation::Balances, FRAME_LIMIT_DEFAULT) == OPERATIONS_PER_REQUEST_MAX);
    assert!(FRAME_LIMIT_DEFAULT <= FRAME_HARD_MAX && FRAME_LIMIT_MIN <= FRAME_LIMIT_DEFAULT);
    let mut index = 0;
    while index < Operation::BATCHED.len() {
        assert!(batch_max(Operation::BATCHED[index], FRAME_LIMIT_MIN) >= 1);
        index += 1;
    }
    assert!(page_max(Operation::Statement, FRAME_LIMIT_MIN) >= 1);
    assert!(page_max(Operation::ListPending, FRAME_LIMIT_MIN) >= 1);
    assert!(page_max(Operation::ListWallets, FRAME_LIMIT_MIN) >= 1);
};

/// What a server lets one connection do, as its hello says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The largest frame in either direction, in bytes, its header included.
    pub frame_bytes_max: u32,
    /// Requests that may be under way on one connection before the server stops reading from it.
    pub requests_in_flight_max: u32,
    /// Operations that may be under way on one connection before the server stops reading from it.
    pub operations_in_flight_max: u32,
    /// A connection on which nothing was received and nothing is under way for so long is closed; 0 for never.
    pub idle_timeout_ms: u32,
    /// Operations that one request may hold, for each of [`Operation::BATCHED`]; 0 if the server has no such
    /// operation.
    pub(crate) batch_max: [u32; Operation::BATCHED.len()],
}

impl Limits {
    /// The limits of a server; batch maxima follow from the frame limit and the operations in flight.
    pub fn new(
        frame_bytes_max: u32,
        requests_in_flight_max: u32,
        operations_in_flight_max: u32,
        idle_timeout_ms: u32,
    ) -> Self {
        let batch_max = Operation::BATCHED
            .map(|operation| least(batch_max(operation, frame_bytes_max), operations_in_flight_max));
        Self { frame_bytes_max, requests_in_flight_max, operations_in_flight_max, idle_timeout_ms, batch_max }
    }

    /// How many operations of this kind one request may hold.
    pub fn batch_max(&self, operation: Operation) -> u32 {
        let index = Operation::BATCHED.iter().position(|&batched| batched == operation);
        index.map_or(1, |index| self.batch_max[index])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batch_maxima_follow_from_the_frame_limit() {
        let check = |operation: Operation, frame_limit: u32, expected: u32| {
            assert_eq!(batch_max(operation, frame_limit), expected, "{operation} in {frame_limit} bytes");
        };
        check(Operation::CreateTransfers, FRAME_LIMIT_DEFAULT, 8_190);
        check(Operation::CreateTransfers, FRAME_HARD_MAX, 8_190);
        check(Operation::CreateTransfers, FRAME_LIMIT_MIN, 22);
        check(Operation::CreateAssets, FRAME_LIMIT_DEFAULT, 8_190);
        check(Operation::CreateWallets, FRAME_LIMIT_DEFAULT, 3_542);
        check(Operation::CreateWallets, FRAME_HARD_MAX, 8_190);
        check(Operation::LookupWallets, FRAME_LIMIT_DEFAULT, 3_211);
        check(Operation::CloseImports, FRAME_LIMIT_DEFAULT, 8_190);
        check(Operation::LookupWallets, FRAME_LIMIT_MIN, 6);
        check(Operation::LookupTransfers, FRAME_LIMIT_DEFAULT, 1_494);
        check(Operation::CreateTransactions, FRAME_LIMIT_DEFAULT, 728);
        check(Operation::CreateTransactions, FRAME_LIMIT_MIN, 1);
        check(Operation::Reverse, FRAME_LIMIT_DEFAULT, 728);
        check(Operation::SetMetadata, FRAME_LIMIT_DEFAULT, 4_002);
        check(Operation::Balances, FRAME_LIMIT_DEFAULT, 8_190);
        check(Operation::Ping, FRAME_LIMIT_DEFAULT, 1);
        check(Operation::Balances, 0, 0);
        check(Operation::BalancesAt, FRAME_LIMIT_DEFAULT, 8_190);
        check(Operation::BalancesAt, FRAME_LIMIT_MIN, 125);
        check(Operation::Statement, FRAME_LIMIT_DEFAULT, 1);
    }

    #[test]
    fn page_maxima_follow_from_the_frame_limit() {
        let check = |operation: Operation, frame_limit: u32, expected: u32| {
            assert_eq!(page_max(operation, frame_limit), expected, "{operation} in {frame_limit} bytes");
        };
        for operation in [Operation::Statement, Operation::ListPending, Operation::ListWallets] {
            check(operation, FRAME_LIMIT_DEFAULT, 1_000);
            check(operation, FRAME_HARD_MAX, 1_000);
            check(operation, 0, 0);
        }
        check(Operation::Statement, FRAME_LIMIT_MIN, 48);
        check(Operation::ListPending, FRAME_LIMIT_MIN, 166);
        check(Operation::ListWallets, FRAME_LIMIT_MIN, 6);
        check(Operation::Ping, FRAME_LIMIT_DEFAULT, 1);
    }

    #[test]
    fn as_many_records_are_taken_as_fit_with_their_lengths() {
        let check = |lengths: &[usize], frame_limit: u32, expected: usize| {
            let fit = records_that_fit(lengths.iter().copied(), frame_limit);
            assert_eq!(fit, expected, "{lengths:?} in {frame_limit} bytes");
        };
        let beside = HEADER_BYTES + VARIANT_BYTES + read_records::PAGE_BYTES;
        check(&[100, 100], beside + 216, 2);
        check(&[100, 100], beside + 215, 1);
        check(&[100, 100], beside + 107, 0);
        check(&[], FRAME_LIMIT_MIN, 0);
        check(&[usize::MAX], FRAME_LIMIT_MIN, 0);
    }

    #[test]
    fn a_batch_is_never_larger_than_what_a_connection_may_have_in_flight() {
        let limits = Limits::new(FRAME_LIMIT_DEFAULT, 64, 100, 0);
        assert_eq!(limits.batch_max(Operation::CreateTransfers), 100);
        assert_eq!(limits.batch_max(Operation::Ping), 1);
    }
}
