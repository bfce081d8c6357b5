//! What a soak does one after the other: legs of load, and what happens in and after each.

use rand::Rng;
use rand::rngs::SmallRng;
use std::time::Duration;

/// So many legs would fit into the time if nothing else took any.
const LEGS: u32 = 48;

/// How long a leg is on average, at least and at most.
const LEG_MIN: Duration = Duration::from_millis(750);
const LEG_MAX: Duration = Duration::from_secs(20);

/// A burst at full speed takes at most this part of a leg.
const BURST_PART: f64 = 0.25;

/// How long the server is held in a short pause; a long one is longer than a commit may take.
const PAUSE_MS: std::ops::RangeInclusive<u64> = 20..=1_000;
const LONG_PAUSE_MS: std::ops::RangeInclusive<u64> = 5_500..=7_000;

/// What happens to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// Nothing: the load ends, and what it was told is checked.
    Nothing,
    /// SIGSTOP and SIGCONT under load.
    Pause,
    /// The same, for longer than a commit may take.
    LongPause,
    /// SIGKILL under load.
    Kill,
    /// SIGSTOP, and SIGKILL while it stands still.
    HoldAndKill,
    /// SIGKILL under load, and again while it recovers, some times in a row.
    KillAndKillStarts,
    /// SIGTERM under load, and SIGKILL while it stops.
    StopAndKill,
    /// SIGTERM under load, and a clean end.
    Restart,
    /// SIGTERM when nothing is under way.
    RestartAtRest,
}

/// Each of these once in a series of legs. Most leave the server running, so that some lives are long.
pub(crate) const FAULTS: [Fault; 14] = [
    Fault::Nothing,
    Fault::Nothing,
    Fault::Nothing,
    Fault::Nothing,
    Fault::Pause,
    Fault::Pause,
    Fault::LongPause,
    Fault::Kill,
    Fault::Kill,
    Fault::HoldAndKill,
    Fault::KillAndKillStarts,
    Fault::StopAndKill,
    Fault::Restart,
    Fault::RestartAtRest,
];

/// In one leg of three there is a burst.
pub(crate) const BURSTS: [bool; 3] = [true, false, false];

impl Fault {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Pause => "pause",
            Self::LongPause => "long_pause",
            Self::Kill => "kill",
            Self::HoldAndKill => "hold_and_kill",
            Self::KillAndKillStarts => "kill_and_kill_starts",
            Self::StopAndKill => "stop_and_kill",
            Self::Restart => "restart",
            Self::RestartAtRest => "restart_at_rest",
        }
    }

    /// Whether the load goes on while it happens.
    pub(crate) fn strikes_under_load(self) -> bool {
        !matches!(self, Self::Nothing | Self::RestartAtRest)
    }

    /// How long the server is held, where it is.
    pub(crate) fn pause(self, random: &mut SmallRng) -> Duration {
        let range = if self == Self::LongPause { LONG_PAUSE_MS } else { PAUSE_MS };
        Duration::from_millis(random.random_range(range))
    }
}

/// How long one leg is, by chance.
pub(crate) fn leg_length(duration: Duration, random: &mut SmallRng) -> Duration {
    (duration / LEGS).clamp(LEG_MIN, LEG_MAX).mul_f64(random.random_range(0.5..1.5))
}

/// How long a burst in such a leg takes at most.
pub(crate) fn burst_length(leg: Duration) -> Duration {
    leg.mul_f64(BURST_PART)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use std::collections::BTreeSet;

    #[test]
    fn every_fault_is_in_the_deck_and_has_a_name_of_its_own() {
        let faults: BTreeSet<_> = FAULTS.into();
        let names: BTreeSet<_> = FAULTS.map(Fault::name).into();
        assert_eq!((faults.len(), names.len()), (9, 9));
    }

    #[test]
    fn a_minute_has_room_for_every_fault_and_an_hour_for_many_of_each() {
        let mut random = SmallRng::seed_from_u64(1);
        let mut legs = |seconds| {
            let duration = Duration::from_secs(seconds);
            let total: Duration = (0..100).map(|_| leg_length(duration, &mut random)).sum();
            (duration.as_secs_f64() / (total.as_secs_f64() / 100.0)) as usize
        };
        assert!(legs(60) > 2 * FAULTS.len());
        assert!(legs(3_600) > 10 * FAULTS.len());
    }

    #[test]
    fn a_long_pause_is_longer_than_a_commit_may_take() {
        let mut random = SmallRng::seed_from_u64(1);
        assert!((0..100).all(|_| Fault::LongPause.pause(&mut random) > Duration::from_secs(5)));
        assert!((0..100).all(|_| Fault::Pause.pause(&mut random) <= Duration::from_secs(1)));
    }
}
