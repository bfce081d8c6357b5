//! The kinds of workload that `run` knows.

use clap::ValueEnum;
use std::fmt;

/// What a run sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum WorkloadKind {
    /// Transfers of one phase
    Transfers,
    /// Holds that are captured in full or in part, released, or left to expire
    Holds,
    /// Transactions of many legs; some are reversed
    MultiLeg,
    /// Of all requests 60% transfers, 20% holds and their ends, 10% reads, 5% reversals, 5% statements
    Mixed,
    /// Orders whose ids are sent twice, at the same moment or later (--retry-share)
    Retries,
    /// Orders that must be refused, each with a status of its own
    Refusals,
}

impl WorkloadKind {
    #[cfg(test)]
    pub(crate) const ALL: [Self; 6] =
        [Self::Transfers, Self::Holds, Self::MultiLeg, Self::Mixed, Self::Retries, Self::Refusals];

    /// As it is written on the command line and in reports.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Transfers => "transfers",
            Self::Holds => "holds",
            Self::MultiLeg => "multi-leg",
            Self::Mixed => "mixed",
            Self::Retries => "retries",
            Self::Refusals => "refusals",
        }
    }

    /// Whether wallets that refuse take part ([`crate::refusing_wallets`]).
    pub(crate) fn needs_refusing_wallets(self) -> bool {
        matches!(self, Self::Retries | Self::Refusals)
    }
}

impl fmt::Display for WorkloadKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_named_as_they_are_asked_for() {
        for kind in WorkloadKind::ALL {
            assert_eq!(WorkloadKind::from_str(kind.name(), false), Ok(kind));
        }
        assert_eq!(WorkloadKind::value_variants(), WorkloadKind::ALL);
    }
}
