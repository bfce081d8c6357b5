//! The bookkeeper: folds durable entries into the books, window after window, off the way of any transfer.
//!
//! [`Bookkeeper`] is the work without its thread, so that a simulation can step it. A step takes what the journal holds above
//! the books, writes it, publishes the view that holds it, tells who waits for that, and trims the journal up to the oldest view
//! that anybody holds. After an error it does nothing more: what failed is found out at the next open, and folded again.

use crate::books::id_filter::IdFilterFiles;
use crate::books::view::BooksView;
use crate::books::window::{FoldState, Window};
use crate::books::{BeforeStep, Books, WriteStep};
use crate::error::PersistenceError;
use crate::journal::{JournalReader, JournalTrimmer};
use crate::sequencer::Sequencer;
use crate::writer::OnFailure;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use parking_lot::{Condvar, Mutex};
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often the thread looks at how much has gathered.
const TICK: Duration = Duration::from_millis(100);

/// Called with each new view, once it is published: what is in it need not be in memory any more.
pub type OnView = Box<dyn FnMut(&Arc<BooksView>) + Send>;

/// What a step has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Folded {
    /// There was nothing above the books.
    Nothing,
    /// So many entries, and that was all.
    All(u64),
    /// So many entries, and there may be more.
    Some(u64),
    /// Nothing, because too much waits to be merged in the background.
    Behind,
}

/// The work, without its thread.
pub struct Bookkeeper {
    books: Arc<Books>,
    journal: Arc<dyn JournalReader>,
    trimmer: Arc<dyn JournalTrimmer>,
    on_view: OnView,
    before: Box<BeforeStep>,
    /// Nothing before the first window, and nothing after a failure.
    state: Option<FoldState>,
    filter: Option<IdFilterFiles>,
    trimmed_seq: u64,
    metrics: FoldMetrics,
}

#[derive(Debug)]
struct FoldMetrics {
    seconds: Histogram,
    entries: Counter,
    seq: Gauge,
    trimmed_seq: Gauge,
}

impl std::fmt::Debug for Bookkeeper {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bookkeeper").field("books", &self.books).finish_non_exhaustive()
    }
}

impl Bookkeeper {
    /// The one bookkeeper of `books`, which are of this journal.
    ///
    /// # Panics
    /// If there is another one.
    pub fn new(
        books: Arc<Books>,
        journal: Arc<dyn JournalReader>,
        trimmer: Arc<dyn JournalTrimmer>,
        on_view: OnView,
    ) -> Self {
        let filter = books.take_filter();
        assert!(filter.is_some(), "the books are kept by one");
        let metrics = FoldMetrics {
            seconds: histogram!("bursar_books_fold_duration_seconds"),
            entries: counter!("bursar_books_entries_total"),
            seq: gauge!("bursar_books_seq"),
            trimmed_seq: gauge!("bursar_journal_trimmed_seq"),
        };
        metrics.seq.set(books.view().seq() as f64);
        Self {
            books,
            journal,
            trimmer,
            on_view,
            before: Box::new(|_: WriteStep| Ok(())),
            state: None,
            filter,
            trimmed_seq: 0,
            metrics,
        }
    }

    /// Lets a test fail between two steps.
    #[cfg(test)]
    pub(crate) fn before_each_step(&mut self, before: Box<BeforeStep>) {
        self.before = before;
    }

    /// Folds what has gathered, at most one window of it. After an error, every step is one.
    pub fn step(&mut self) -> Result<Folded, PersistenceError> {
        let Some(mut filter) = self.filter.take() else {
            return Err(PersistenceError::Poisoned { path: self.books.directory().to_path_buf() });
        };
        if self.books.is_behind() {
            self.filter = Some(filter);
            return Ok(Folded::Behind);
        }
        // Taken out, so that after an error or a panic none of it is used again.
        let folded = self.fold(&mut filter)?;
        self.filter = Some(filter);
        self.trim()?;
        Ok(folded)
    }

    fn fold(&mut self, filter: &mut IdFilterFiles) -> Result<Folded, PersistenceError> {
        let started = Instant::now();
        let view = self.books.view();
        let limits = self.books.options().window;
        let mut state = match self.state.take() {
            Some(state) => state,
            None => FoldState::load(&view)?,
        };
        let mut window = Window::after(&view, self.books.options().chunk_rows);
        for record in self.journal.read_from(view.seq() + 1) {
            window.add(&mut state, &view, record?)?;
            if window.is_full(&limits) {
                break;
            }
        }
        let entries = window.entries();
        if entries == 0 {
            self.state = Some(state);
            return Ok(Folded::Nothing);
        }
        let is_full = window.is_full(&limits);
        // What is left of the older view is not needed any more, and would keep the journal from being trimmed.
        drop(view);
        let window = window.close(&mut state, filter)?;
        if cfg!(bursar_broken = "hasty_trimming") {
            self.trimmer.trim(window.end().seq)?;
        }
        let view = self.books.write(&window, &state, filter, &mut self.before)?;
        window.done(&mut state, &limits);
        self.state = Some(state);
        self.metrics.seconds.record(started.elapsed().as_secs_f64());
        self.metrics.entries.increment(entries);
        self.metrics.seq.set(view.seq() as f64);
        (self.on_view)(&view);
        Ok(if is_full { Folded::Some(entries) } else { Folded::All(entries) })
    }

    fn trim(&mut self) -> Result<(), PersistenceError> {
        let through_seq = self.books.oldest_held_seq();
        if through_seq > self.trimmed_seq {
            self.trimmer.trim(through_seq)?;
            self.trimmed_seq = through_seq;
            self.metrics.trimmed_seq.set(through_seq as f64);
        }
        Ok(())
    }

    /// Folds all that there is, unless too much waits to be merged, and leaves the filter's files up to date, so that the next open has
    /// little to read again.
    pub fn finish(mut self) -> Result<(), PersistenceError> {
        while matches!(self.step()?, Folded::Some(_)) {}
        if let Some(filter) = &mut self.filter {
            filter.write()?;
        }
        Ok(())
    }
}

impl Drop for Bookkeeper {
    fn drop(&mut self) {
        if let Some(filter) = self.filter.take() {
            self.books.give_back_filter(filter);
        }
    }
}

/// When the thread folds: each window costs some twenty syncs, and every eight of them are merged.
#[derive(Debug, Clone, Copy)]
pub struct FoldPace {
    /// As soon as so many entries have gathered,
    pub entries: u64,
    /// or enough to be worth a window of their own, for a while,
    pub worthwhile: (u64, Duration),
    /// or anything for so long.
    pub interval: Duration,
}

impl FoldPace {
    /// With nothing left to gather for longer than `interval`, where writers wait when the books lag by `lag_max` entries.
    pub fn new(interval: Duration, lag_max: u64) -> Self {
        // Nobody is to wait for a window that is waited for.
        let entries = |count: u64| count.min(lag_max / 2).max(1);
        Self { entries: entries(200_000), worthwhile: (entries(20_000), Duration::from_secs(2)), interval }
    }

    pub(crate) fn is_time(&self, gathered: u64, gathers_for: Duration) -> bool {
        let (worthwhile, for_a_while) = self.worthwhile;
        gathered >= self.entries
            || (gathered >= worthwhile && gathers_for >= for_a_while)
            || (gathered > 0 && gathers_for >= self.interval)
    }
}

/// The running bookkeeper.
#[derive(Debug)]
pub struct BookkeeperThread {
    thread: JoinHandle<Result<(), PersistenceError>>,
    stop: Arc<(Mutex<bool>, Condvar)>,
}

impl BookkeeperThread {
    /// Starts it. It learns from the sequencer how much is durable. `on_failure` is called at most once.
    pub fn start(
        bookkeeper: Bookkeeper,
        sequencer: Arc<Sequencer>,
        pace: FoldPace,
        on_failure: OnFailure,
    ) -> std::io::Result<Self> {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let thread = std::thread::Builder::new().name("bookkeeper".to_owned()).spawn({
            let stop = Arc::clone(&stop);
            move || {
                let kept =
                    panic::catch_unwind(AssertUnwindSafe(|| keep(bookkeeper, &sequencer, pace, &stop)));
                match kept {
                    Ok(Ok(())) => Ok(()),
                    Ok(Err(error)) => {
                        on_failure(error.to_string());
                        Err(error)
                    }
                    Err(panic) => {
                        on_failure("the bookkeeper panicked".to_owned());
                        panic::resume_unwind(panic)
                    }
                }
            }
        })?;
        Ok(Self { thread, stop })
    }

    /// Folds what is durable, and ends. To be called while the journal can still be read.
    pub fn stop(self) -> Result<(), PersistenceError> {
        *self.stop.0.lock() = true;
        self.stop.1.notify_all();
        self.thread.join().unwrap_or_else(|panic| panic::resume_unwind(panic))
    }
}

fn keep(
    mut bookkeeper: Bookkeeper,
    sequencer: &Sequencer,
    pace: FoldPace,
    stop: &(Mutex<bool>, Condvar),
) -> Result<(), PersistenceError> {
    let mut folded_at = Instant::now();
    loop {
        {
            let mut stopped = stop.0.lock();
            if !*stopped {
                stop.1.wait_for(&mut stopped, TICK);
            }
            if *stopped {
                break;
            }
        }
        let gathered = sequencer.durable_seq().saturating_sub(bookkeeper.books.view().seq());
        if pace.is_time(gathered, folded_at.elapsed()) {
            let mut folded = bookkeeper.step()?;
            while matches!(folded, Folded::Some(_)) && !*stop.0.lock() {
                folded = bookkeeper.step()?;
            }
            if folded != Folded::Behind {
                folded_at = Instant::now();
            }
        } else if gathered == 0 {
            // What was held back by an old view may be trimmed now.
            bookkeeper.trim()?;
        }
    }
    bookkeeper.finish()
}
