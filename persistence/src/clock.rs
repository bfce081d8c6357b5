//! Ledger time: nanoseconds since 1970 that never go back.
//!
//! It starts at the wall clock and is carried on by the monotonic clock, so that nobody who sets the wall clock moves
//! the ledger. Decisions and entries read it; replay does not.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// How far the wall clock may lie behind the newest entry before a start is refused.
pub const BEHIND_MAX: Duration = Duration::from_mins(2);

/// How far the wall clock may lie ahead of the newest entry before a start is refused.
pub const AHEAD_MAX: Duration = Duration::from_hours(366 * 24);

/// Where the time comes from: the machine in the server, the seed in a simulation.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The time now, in nanoseconds since 1970. Never less than an earlier answer, to any thread.
    fn now_ns(&self) -> u64;

    /// From now on, no answer is less than this.
    fn advance_to(&self, timestamp_ns: u64);
}

/// The machine's clock.
#[derive(Debug)]
pub struct LedgerClock {
    started_at_ns: u64,
    started: Instant,
    latest_ns: AtomicU64,
}

impl LedgerClock {
    /// Starts at the wall clock, or at the newest entry if that is later.
    pub fn start(newest_entry_ns: u64) -> Self {
        let started_at_ns = wall_clock_ns().max(newest_entry_ns);
        Self { started_at_ns, started: Instant::now(), latest_ns: AtomicU64::new(started_at_ns) }
    }
}

impl Clock for LedgerClock {
    #[inline]
    fn now_ns(&self) -> u64 {
        let elapsed = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let now = self.started_at_ns.saturating_add(elapsed);
        self.latest_ns.fetch_max(now, Ordering::Relaxed).max(now)
    }

    fn advance_to(&self, timestamp_ns: u64) {
        self.latest_ns.fetch_max(timestamp_ns, Ordering::Relaxed);
    }
}

/// The wall clock, in nanoseconds since 1970; 0 if it stands before that.
pub fn wall_clock_ns() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX)
}

/// Says why a ledger whose newest entry has this time should not be opened at this wall-clock time: one boot in the
/// wrong year must not expire every hold.
pub fn implausible_wall_clock(newest_entry_ns: u64, wall_clock_ns: u64) -> Option<String> {
    if newest_entry_ns == 0 {
        return None;
    }
    let behind = Duration::from_nanos(newest_entry_ns.saturating_sub(wall_clock_ns));
    let ahead = Duration::from_nanos(wall_clock_ns.saturating_sub(newest_entry_ns));
    if behind > BEHIND_MAX {
        return Some(format!("the clock is {} s behind the ledger's newest entry", behind.as_secs()));
    }
    if ahead > AHEAD_MAX {
        let days = ahead.as_secs() / (24 * 60 * 60);
        return Some(format!("the clock is {days} days ahead of the ledger's newest entry"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_far_from_the_newest_entry_is_implausible() {
        let year_ns = 365 * 24 * 60 * 60 * 1_000_000_000;
        let minute_ns = 60 * 1_000_000_000;
        let newest = 50 * year_ns;
        let check = |newest, wall, implausible: bool| {
            assert_eq!(implausible_wall_clock(newest, wall).is_some(), implausible, "{newest} {wall}");
        };
        check(0, newest, false);
        check(newest, newest, false);
        check(newest, newest - minute_ns, false);
        check(newest, newest - 3 * minute_ns, true);
        check(newest, newest + year_ns, false);
        check(newest, newest + 2 * year_ns, true);
        check(newest, 0, true);
    }

    #[test]
    fn ledger_time_never_goes_back_and_starts_no_earlier_than_the_newest_entry() {
        let ahead = wall_clock_ns() + 1_000_000_000;
        let clock = LedgerClock::start(ahead);
        let first = clock.now_ns();
        assert!(first >= ahead);
        clock.advance_to(first + 5_000_000_000);
        assert!(clock.now_ns() >= first + 5_000_000_000);
    }
}
