//! When requests are due in an open loop, and how their latency is counted: from the moment at which they were
//! due, not from the one at which the sender got round to them. A sender that waits for a slow server would
//! otherwise leave out exactly the requests that would have been slow (coordinated omission).

use std::time::Duration;

/// A constant rate of requests. All times are counted from the start of the run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Schedule {
    requests_per_second: f64,
}

/// How one request went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Timing {
    /// How long after it was due it was sent.
    pub(crate) behind: Duration,
    /// How long after it was due it was answered.
    pub(crate) latency: Duration,
}

impl Schedule {
    pub(crate) fn new(requests_per_second: f64) -> Self {
        assert!(requests_per_second > 0.0, "a rate is positive");
        Self { requests_per_second }
    }

    /// When the request with this number is due; the first, number 0, at once.
    pub(crate) fn due(self, request: u64) -> Duration {
        Duration::from_secs_f64(request as f64 / self.requests_per_second)
    }

    /// How many requests are due by then.
    pub(crate) fn due_by(self, elapsed: Duration) -> u64 {
        let mut count = (elapsed.as_secs_f64() * self.requests_per_second) as u64 + 1;
        // What `due` says counts: the product above may be off by one in its last digit.
        while count > 0 && self.due(count - 1) > elapsed {
            count -= 1;
        }
        while self.due(count) <= elapsed {
            count += 1;
        }
        count
    }

    /// How a request went that was sent and answered at these times.
    pub(crate) fn timing(self, request: u64, sent: Duration, answered: Duration) -> Timing {
        let due = self.due(request);
        Timing { behind: sent.saturating_sub(due), latency: answered.saturating_sub(due) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn latency_counts_from_when_a_request_was_due_so_a_stall_is_seen_by_all_who_had_to_wait() {
        // One slot, a request due every 10 ms; the server stalls for 100 ms on the first, then takes 1 ms each.
        let schedule = Schedule::new(100.0);
        let mut free_at = ms(0);
        let mut timings = Vec::new();
        for request in 0..13 {
            let sent = schedule.due(request).max(free_at);
            let answered = sent + if request == 0 { ms(100) } else { ms(1) };
            free_at = answered;
            timings.push(schedule.timing(request, sent, answered));
        }
        let latencies: Vec<u128> = timings.iter().map(|timing| timing.latency.as_millis()).collect();
        assert_eq!(latencies, [100, 91, 82, 73, 64, 55, 46, 37, 28, 19, 10, 1, 1]);
        let behind: Vec<u128> = timings.iter().map(|timing| timing.behind.as_millis()).collect();
        assert_eq!(behind, [0, 90, 81, 72, 63, 54, 45, 36, 27, 18, 9, 0, 0]);
    }

    #[test]
    fn as_many_requests_are_due_as_have_their_time_behind_them() {
        for rate in [0.3, 1.0, 3.0, 7.0, 1_000.0, 33_333.3, 1e6] {
            let schedule = Schedule::new(rate);
            for number in [0, 1, 2, 3, 99, 1_000, 123_457] {
                assert_eq!(schedule.due_by(schedule.due(number)), number + 1, "{number} at {rate}");
            }
        }
        assert_eq!(Schedule::new(10.0).due_by(ms(99)), 1);
        assert_eq!(Schedule::new(10.0).due_by(ms(100)), 2);
    }
}
