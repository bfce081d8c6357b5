//! Releases the requests of an open loop when they are due. A thread of its own: the runtime's timers tick in
//! milliseconds, a sleeping thread is awake within some 60 µs.

use crate::schedule::Schedule;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

/// What is due within so long is released together: waking up for each request would cost more than sending it.
const RELEASE_INTERVAL: Duration = Duration::from_micros(200);

/// How long it sleeps at most, so that it ends soon when it is told to.
const SLEEP_MAX: Duration = Duration::from_millis(50);

/// A running pacer; it ends when dropped.
#[derive(Debug)]
pub(crate) struct Pacer {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Pacer {
    /// Adds a permit for each request when it is due.
    pub(crate) fn start(schedule: Schedule, started: Instant, permits: Arc<Semaphore>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || release(schedule, started, &permits, &stopped));
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Pacer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A panic there was printed already, and the run ends for want of permits.
            let _ = thread.join();
        }
    }
}

fn release(schedule: Schedule, started: Instant, permits: &Semaphore, stop: &AtomicBool) {
    let mut released = 0;
    while !stop.load(Ordering::Relaxed) && !permits.is_closed() {
        let elapsed = started.elapsed();
        let due = schedule.due_by(elapsed);
        permits.add_permits((due - released) as usize);
        released = due;
        let pause = schedule.due(released).saturating_sub(elapsed);
        thread::sleep(pause.clamp(RELEASE_INTERVAL, SLEEP_MAX));
    }
}
