//! What a request asks for, and the number of each message on the wire.

use std::fmt;

/// Added to a request's message type to get its reply's.
pub const REPLY_BIT: u8 = 0x80;

/// The message type of the error frame, which may answer any request.
pub const ERROR_MESSAGE_TYPE: u8 = 0xFF;

/// What a request asks for. The discriminant is the message type on the wire: never reused, only added to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Operation {
    /// Opens the conversation.
    Hello = 1,
    /// Creates assets.
    CreateAssets = 2,
    /// Creates wallets.
    CreateWallets = 3,
    /// Reads wallets by id, with their terms.
    LookupWallets = 4,
    /// Makes transfers.
    CreateTransfers = 5,
    /// Reads transfers and their outcomes by id.
    LookupTransfers = 6,
    /// Reads what wallets hold now.
    Balances = 7,
    /// Sums up all wallets per asset.
    TrialBalance = 8,
    /// Asks whether the server is there.
    Ping = 9,
    /// Holds amounts.
    CreatePending = 10,
    /// Captures holds.
    PostPending = 11,
    /// Releases holds.
    VoidPending = 12,
    /// Moves back what earlier orders have moved.
    Reverse = 13,
    /// Does transactions of many legs.
    CreateTransactions = 14,
    /// Changes limits of wallets.
    SetLimits = 15,
    /// Freezes, unfreezes, closes and reopens wallets.
    SetFlags = 16,
    /// Replaces metadata of wallets.
    SetMetadata = 17,
    /// Reads where wallets stood at a moment.
    BalancesAt = 18,
    /// Reads what was done to a wallet.
    Statement = 19,
    /// Reads the open holds of a wallet.
    ListPending = 20,
    /// Reads wallets by what they are.
    ListWallets = 21,
    /// Reads records of the journal.
    ReadRecords = 22,
    /// Wants the entries of the journal, those that are there and those to come.
    Subscribe = 23,
    /// Lets more events of a subscription come.
    MoreEvents = 24,
    /// Ends a subscription.
    Unsubscribe = 25,
    /// Closes imports, which shows their wallets.
    CloseImports = 26,
}

impl Operation {
    /// All operations, in the order of their numbers.
    pub const ALL: [Self; 26] = [
        Self::Hello,
        Self::CreateAssets,
        Self::CreateWallets,
        Self::LookupWallets,
        Self::CreateTransfers,
        Self::LookupTransfers,
        Self::Balances,
        Self::TrialBalance,
        Self::Ping,
        Self::CreatePending,
        Self::PostPending,
        Self::VoidPending,
        Self::Reverse,
        Self::CreateTransactions,
        Self::SetLimits,
        Self::SetFlags,
        Self::SetMetadata,
        Self::BalancesAt,
        Self::Statement,
        Self::ListPending,
        Self::ListWallets,
        Self::ReadRecords,
        Self::Subscribe,
        Self::MoreEvents,
        Self::Unsubscribe,
        Self::CloseImports,
    ];

    /// The operations whose requests are batches.
    pub const BATCHED: [Self; 16] = [
        Self::CreateAssets,
        Self::CreateWallets,
        Self::LookupWallets,
        Self::CreateTransfers,
        Self::LookupTransfers,
        Self::Balances,
        Self::CreatePending,
        Self::PostPending,
        Self::VoidPending,
        Self::Reverse,
        Self::CreateTransactions,
        Self::SetLimits,
        Self::SetFlags,
        Self::SetMetadata,
        Self::BalancesAt,
        Self::CloseImports,
    ];

    /// The message type of its request.
    pub const fn request_type(self) -> u8 {
        self as u8
    }

    /// The message type of its reply.
    pub const fn reply_type(self) -> u8 {
        self as u8 | REPLY_BIT
    }

    /// The operation whose request has this message type, if there is one.
    pub const fn from_request_type(message_type: u8) -> Option<Self> {
        let mut index = 0;
        while index < Self::ALL.len() {
            if Self::ALL[index] as u8 == message_type {
                return Some(Self::ALL[index]);
            }
            index += 1;
        }
        None
    }

    /// The operation whose reply has this message type, if there is one.
    pub const fn from_reply_type(message_type: u8) -> Option<Self> {
        if message_type & REPLY_BIT == 0 {
            return None;
        }
        Self::from_request_type(message_type & !REPLY_BIT)
    }

    /// Whether it changes the ledger, so that it matters whether it was executed.
    pub const fn is_write(self) -> bool {
        match self {
            Self::Hello
            | Self::LookupWallets
            | Self::LookupTransfers
            | Self::Balances
            | Self::TrialBalance
            | Self::Ping
            | Self::BalancesAt
            | Self::Statement
            | Self::ListPending
            | Self::ListWallets
            | Self::ReadRecords
            | Self::Subscribe
            | Self::MoreEvents
            | Self::Unsubscribe => false,
            Self::CreateAssets
            | Self::CreateWallets
            | Self::CreateTransfers
            | Self::CreatePending
            | Self::PostPending
            | Self::VoidPending
            | Self::Reverse
            | Self::CreateTransactions
            | Self::SetLimits
            | Self::SetFlags
            | Self::SetMetadata
            | Self::CloseImports => true,
        }
    }

    /// The name used in documents, logs and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hello => "hello",
            Self::CreateAssets => "create_assets",
            Self::CreateWallets => "create_wallets",
            Self::LookupWallets => "lookup_wallets",
            Self::CreateTransfers => "create_transfers",
            Self::LookupTransfers => "lookup_transfers",
            Self::Balances => "balances",
            Self::TrialBalance => "trial_balance",
            Self::Ping => "ping",
            Self::CreatePending => "create_pending",
            Self::PostPending => "post_pending",
            Self::VoidPending => "void_pending",
            Self::Reverse => "reverse",
            Self::CreateTransactions => "create_transactions",
            Self::SetLimits => "set_limits",
            Self::SetFlags => "set_flags",
            Self::SetMetadata => "set_metadata",
            Self::BalancesAt => "balances_at",
            Self::Statement => "statement",
            Self::ListPending => "list_pending",
            Self::ListWallets => "list_wallets",
            Self::ReadRecords => "read_records",
            Self::Subscribe => "subscribe",
            Self::MoreEvents => "more_events",
            Self::Unsubscribe => "unsubscribe",
            Self::CloseImports => "close_imports",
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_found_by_the_number_of_their_request_and_of_their_reply() {
        for operation in Operation::ALL {
            assert_eq!(Operation::from_request_type(operation.request_type()), Some(operation));
            assert_eq!(Operation::from_reply_type(operation.reply_type()), Some(operation));
            assert_eq!(Operation::from_request_type(operation.reply_type()), None);
            assert_eq!(Operation::from_reply_type(operation.request_type()), None);
        }
        for message_type in [0, 27, REPLY_BIT, ERROR_MESSAGE_TYPE] {
            assert_eq!(Operation::from_request_type(message_type), None);
            assert_eq!(Operation::from_reply_type(message_type), None);
        }
    }
}
