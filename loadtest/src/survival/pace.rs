//! Holds a closed loop back to a rate that can be changed while it runs. Not for measuring latency at a rate (that is
//! `schedule`): what is late is not caught up with.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

/// Nobody waits longer than this: of a few requests with very many transfers each, one goes now and then all the same.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// A rate for all who share it.
#[derive(Debug)]
pub(crate) struct Pace(Mutex<State>);

#[derive(Debug)]
struct State {
    /// `None` for as fast as it goes.
    per_second: Option<f64>,
    /// When the next one may go.
    next: Instant,
}

impl Pace {
    pub(crate) fn new(per_second: Option<f64>) -> Self {
        Self(Mutex::new(State { per_second, next: Instant::now() }))
    }

    /// From now on so many a second; `None` for as fast as it goes.
    pub(crate) fn set(&self, per_second: Option<f64>) {
        *self.lock() = State { per_second, next: Instant::now() };
    }

    /// Whether it goes as fast as it can.
    pub(crate) fn is_lifted(&self) -> bool {
        self.lock().per_second.is_none()
    }

    /// Takes the place of `count` in the line; how long to wait for it.
    pub(crate) fn take(&self, count: u64) -> Duration {
        self.take_at(count, Instant::now())
    }

    fn take_at(&self, count: u64, now: Instant) -> Duration {
        let mut state = self.lock();
        let Some(per_second) = state.per_second else { return Duration::ZERO };
        let due = state.next.clamp(now, now + WAIT_MAX);
        state.next = due + Duration::from_secs_f64(count as f64 / per_second);
        due - now
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("nothing panics while it holds the pace")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_waits_for_all_before_it_and_a_pause_is_not_caught_up_with() {
        let pace = Pace::new(Some(100.0));
        let now = Instant::now() + Duration::from_secs(1);
        let ms = |count, now| pace.take_at(count, now).as_millis();
        assert_eq!([ms(1, now), ms(5, now), ms(1, now)], [0, 10, 60]);
        assert_eq!(ms(1, now + Duration::from_secs(1)), 0);
        assert_eq!(ms(1, now + Duration::from_secs(1)), 10);
        pace.set(Some(100.0));
        let later = now + Duration::from_secs(9);
        assert_eq!([ms(1_000_000, later), ms(1_000_000, later)], [0, 2_000], "nobody waits for ever");
        assert!(!pace.is_lifted());
        pace.set(None);
        assert!(pace.is_lifted());
        assert_eq!([ms(1_000_000, now), ms(1_000_000, now)], [0, 0]);
    }
}
