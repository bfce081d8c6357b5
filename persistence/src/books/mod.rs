//! The books: everything that is derived from the journal, and the journal's records themselves once they have left it.
//!
//! They lie in `books/` of the data directory: `store/`, a database of the engine, and the files of the id filter. Only the
//! [bookkeeper](crate::bookkeeper) writes them, a window of durable records at a time; everybody else reads a [`BooksView`]. What they
//! hold can be made again from the records alone.

#[cfg(test)]
pub(crate) mod books_tests;
pub(crate) mod history;
pub(crate) mod id_filter;
#[cfg(test)]
pub(crate) mod invented_ledger;
pub(crate) mod rebuild;
pub(crate) mod rows;
pub(crate) mod store;
pub(crate) mod verification;
pub(crate) mod view;
pub(crate) mod window;

use crate::durable_write::sync_directory;
use crate::entry_codec::decode_entry;
use crate::error::{BooksDamage, PersistenceError};
use crate::free_space::free_bytes;
use crate::recovery::{COPY_RESERVE_BYTES, forget_cached_pages_below, is_room};
use crate::scratch_copy::{ScratchCopy, allocated_bytes, copy_file};
use parking_lot::{Mutex, RwLock};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};

#[cfg(any(test, feature = "simulated-disk"))]
use crate::simulated_disk::SimulatedDisk;
use history::CHUNK_ROWS;
#[cfg(any(test, feature = "simulated-disk"))]
use id_filter::FilterPlace;
use id_filter::{FilterMark, IdFilterFiles, LevelSizes};
use rows::{Generations, Kind, Marker};
use store::{RowSink, Space, Store};
use view::BooksView;
use window::{ClosedWindow, FoldState, WindowLimits};

/// How the books are kept.
#[derive(Debug, Clone)]
pub struct BooksOptions {
    /// Memory for the engine's cache of blocks, in bytes.
    pub cache_bytes: u64,
    /// Where a window ends at the latest.
    pub window: WindowLimits,
    /// The newest file of the id filter is written again when it lags behind by so many entries. After a crash, so many are read
    /// again.
    pub filter_lag_max: u64,
    pub(crate) filter_sizes: LevelSizes,
    /// Of books that are made; others say what theirs are.
    pub(crate) generations: Generations,
    /// So many entries of a wallet are a chunk of its history. Must not change while there are books.
    pub(crate) chunk_rows: u64,
}

impl Default for BooksOptions {
    fn default() -> Self {
        Self {
            cache_bytes: 32 << 20,
            window: WindowLimits::default(),
            filter_lag_max: 512 << 10,
            filter_sizes: LevelSizes::default(),
            generations: Generations::default(),
            chunk_rows: CHUNK_ROWS,
        }
    }
}

impl BooksOptions {
    /// With so much memory for the cache.
    pub fn with_cache_bytes(cache_bytes: u64) -> Self {
        Self { cache_bytes, ..Self::default() }
    }
}

#[cfg(any(test, feature = "simulated-disk"))]
impl BooksOptions {
    /// Windows and chunks so small, and files of the id filter so short, that a few hundred entries take many of them.
    pub fn for_simulation(window_entries: u64) -> Self {
        Self {
            window: WindowLimits { entries: window_entries, ..WindowLimits::default() },
            filter_lag_max: window_entries,
            filter_sizes: LevelSizes { first: 8, greatest: 32 },
            generations: Generations::of_entries(20),
            chunk_rows: 3,
            ..Self::default()
        }
    }
}

/// The steps in which a window is written, in their order. After a crash in any of them it is folded again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum WriteStep {
    Records,
    Ids,
    History,
    Filter,
    /// Everything that is overwritten, and the marker.
    State,
}

/// Called before each step; an error is a crash.
pub(crate) type BeforeStep = dyn FnMut(WriteStep) -> Result<(), PersistenceError> + Send;

/// The open books.
#[derive(Debug)]
pub struct Books {
    directory: PathBuf,
    options: BooksOptions,
    store: Arc<Store>,
    view: RwLock<Arc<BooksView>>,
    /// Up to where each view goes that somebody may still hold.
    views: Mutex<Vec<(u64, Weak<BooksView>)>>,
    /// The bookkeeper's while there is one.
    filter: Mutex<Option<IdFilterFiles>>,
}

impl Books {
    /// Opens the books in `directory`, making empty ones if there are none.
    pub fn open(directory: &Path, options: &BooksOptions) -> Result<Self, PersistenceError> {
        if !directory.exists() {
            create(directory, options)?;
        }
        Self::open_existing(directory, options)
    }

    /// Opens the books in `directory`, which must be there.
    pub(crate) fn open_existing(directory: &Path, options: &BooksOptions) -> Result<Self, PersistenceError> {
        // As of the journal: what is read has to be what is on the disk.
        forget_cached_pages_below(directory)?;
        let store = Store::open(&store_path(directory), options.cache_bytes)?;
        let open_filter = |mark| IdFilterFiles::open(directory, mark, options.filter_sizes);
        let (view, filter) = read(&store, &open_filter)?;
        Ok(Self::over(store, view, filter, directory, options))
    }

    /// Opens the books in `directory`, which were examined and not touched since: what was read of their copy, which is the same, is not
    /// read again.
    pub(crate) fn open_examined(
        directory: &Path,
        options: &BooksOptions,
        examined: ExaminedBooks,
    ) -> Result<Self, PersistenceError> {
        let ExaminedBooks { view, mut filter, copy } = examined;
        let marker = *view.marker();
        drop((view, copy));
        filter.take_place(directory)?;
        let store = Store::open(&store_path(directory), options.cache_bytes)?;
        let snapshot = store.snapshot();
        if BooksView::read_marker(&snapshot)? != marker {
            // Not what its copy was a moment ago.
            return Err(PersistenceError::damaged_books(directory, BooksDamage::Unreadable));
        }
        let view = Arc::new(BooksView::new(snapshot, marker, filter.filter()));
        Ok(Self::over(store, view, filter, directory, options))
    }

    /// Opens the books on a simulated disk, making empty ones if there are none.
    #[cfg(any(test, feature = "simulated-disk"))]
    pub(crate) fn open_simulated(
        disk: &SimulatedDisk,
        options: &BooksOptions,
    ) -> Result<Self, PersistenceError> {
        let store = Store::on_simulated_disk(disk.clone());
        if disk.has_no_books() {
            store.ingest(Space::State, &mut |sink| write_first_marker(options, sink))?;
        }
        let place = FilterPlace::Simulated(disk.clone());
        let open_filter = |mark| IdFilterFiles::open_at(place.clone(), mark, options.filter_sizes);
        let (view, filter) = read(&store, &open_filter)?;
        Ok(Self::over(store, view, filter, &disk.books_path(), options))
    }

    fn over(
        store: Arc<Store>,
        view: Arc<BooksView>,
        filter: IdFilterFiles,
        directory: &Path,
        options: &BooksOptions,
    ) -> Self {
        Self {
            directory: directory.to_path_buf(),
            options: options.clone(),
            store,
            views: Mutex::new(vec![(view.seq(), Arc::downgrade(&view))]),
            view: RwLock::new(view),
            filter: Mutex::new(Some(filter)),
        }
    }

    /// The newest view.
    pub fn view(&self) -> Arc<BooksView> {
        Arc::clone(&self.view.read())
    }

    /// Where they lie.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// How they are kept.
    pub fn options(&self) -> &BooksOptions {
        &self.options
    }

    /// Bytes that the engine's files take on disk.
    pub fn disk_bytes(&self) -> u64 {
        Space::ALL.into_iter().map(|space| self.store.disk_bytes(space)).sum()
    }

    /// Up to where every view goes that anybody holds: the journal may be trimmed up to there.
    pub(crate) fn oldest_held_seq(&self) -> u64 {
        let mut views = self.views.lock();
        views.retain(|(_, view)| view.strong_count() > 0);
        views.iter().map(|(seq, _)| *seq).min().unwrap_or_default()
    }

    /// Whether whoever writes should wait for what is merged in the background.
    pub(crate) fn is_behind(&self) -> bool {
        self.store.is_behind()
    }

    pub(crate) fn take_filter(&self) -> Option<IdFilterFiles> {
        self.filter.lock().take()
    }

    pub(crate) fn give_back_filter(&self, filter: IdFilterFiles) {
        *self.filter.lock() = Some(filter);
    }

    /// Writes a window, and publishes the view that holds it.
    pub(crate) fn write(
        &self,
        window: &ClosedWindow,
        state: &FoldState,
        filter: &mut IdFilterFiles,
        before: &mut BeforeStep,
    ) -> Result<Arc<BooksView>, PersistenceError> {
        before(WriteStep::Records)?;
        self.store.ingest(Space::Records, &mut |sink| window.write_records(sink))?;
        before(WriteStep::Ids)?;
        self.store.ingest(Space::Ids, &mut |sink| window.write_ids(sink))?;
        before(WriteStep::History)?;
        self.store.ingest(Space::History, &mut |sink| window.write_history(state, sink))?;
        before(WriteStep::Filter)?;
        if filter.lag() > self.options.filter_lag_max {
            filter.write()?;
        }
        let marker = Marker {
            point: window.end(),
            last_timestamp_ns: window.last_timestamp_ns(),
            filter: filter.written(),
            generations: window.generations(),
        };
        before(WriteStep::State)?;
        // An ingestion does not say that something has failed in the background.
        self.store.persist()?;
        self.store.ingest(Space::State, &mut |sink| window.write_state(state, &marker, sink))?;
        Ok(self.publish(marker, filter))
    }

    fn publish(&self, marker: Marker, filter: &IdFilterFiles) -> Arc<BooksView> {
        let view = Arc::new(BooksView::new(self.store.snapshot(), marker, filter.filter()));
        // Noted before anybody can hold it.
        self.views.lock().push((view.seq(), Arc::downgrade(&view)));
        *self.view.write() = Arc::clone(&view);
        view
    }
}

fn store_path(directory: &Path) -> PathBuf {
    directory.join("store")
}

/// Makes empty books, which get their name when they are whole.
fn create(directory: &Path, options: &BooksOptions) -> Result<(), PersistenceError> {
    let unfinished = directory.with_extension("unfinished");
    ScratchCopy::remove_leftover(&unfinished)?;
    fs::create_dir(&unfinished).map_err(|source| PersistenceError::io("create", &unfinished, source))?;
    Store::create(&store_path(&unfinished), options.cache_bytes, &mut |sink| {
        write_first_marker(options, sink)
    })?;
    sync_directory(&unfinished)?;
    fs::rename(&unfinished, directory).map_err(|source| PersistenceError::io("create", directory, source))?;
    sync_directory(directory.parent().unwrap_or(Path::new(".")))
}

/// Books that were looked into without changing them.
#[derive(Debug)]
pub(crate) struct ExaminedBooks {
    /// What they hold, read from the copy.
    pub(crate) view: Arc<BooksView>,
    filter: IdFilterFiles,
    /// Below the view, so that it is removed after the engine has let go of it.
    copy: ScratchCopy,
}

impl ExaminedBooks {
    /// Says of an error that it is of the books in `directory`, and not of their copy.
    pub(crate) fn of_the_original(&self, error: PersistenceError, directory: &Path) -> PersistenceError {
        error.of_the_original(self.copy.path(), directory)
    }
}

/// Looks whether the books in `directory` can be opened, without changing anything there: the engine changes what it opens, so a copy
/// is opened, at `place`. `None` if there is no room for the copy.
pub(crate) fn examine(
    directory: &Path,
    place: &Path,
    options: &BooksOptions,
) -> Result<Option<ExaminedBooks>, PersistenceError> {
    ScratchCopy::remove_leftover(place)?;
    // What is read has to be what is on the disk.
    forget_cached_pages_below(directory)?;
    let needed = COPY_RESERVE_BYTES + allocated_bytes(directory, &|file| !is_never_overwritten(file))?;
    if !is_room(free_bytes(directory)?, needed) {
        return Ok(None);
    }
    let copy = copy(directory, place)?;
    let (view, filter) =
        look_into(place, options).map_err(|error| error.of_the_original(place, directory))?;
    Ok(Some(ExaminedBooks { view, filter, copy }))
}

/// Opens a copy of the books only to be read.
fn look_into(
    directory: &Path,
    options: &BooksOptions,
) -> Result<(Arc<BooksView>, IdFilterFiles), PersistenceError> {
    let store = Store::open_to_read(&store_path(directory), options.cache_bytes)?;
    read(&store, &|mark| IdFilterFiles::open(directory, mark, options.filter_sizes))
}

/// What a copy of the books holds.
pub(crate) fn read_copy(
    directory: &Path,
    options: &BooksOptions,
) -> Result<Arc<BooksView>, PersistenceError> {
    look_into(directory, options).map(|(view, _)| view)
}

/// The view of all that the books hold, and the filter of its ids.
fn read(
    store: &Arc<Store>,
    open_filter: &dyn Fn(FilterMark) -> Result<IdFilterFiles, PersistenceError>,
) -> Result<(Arc<BooksView>, IdFilterFiles), PersistenceError> {
    let snapshot = store.snapshot();
    let marker = BooksView::read_marker(&snapshot)?;
    let mut filter = open_filter(marker.filter)?;
    let view = |ids| Arc::new(BooksView::new(snapshot.clone(), marker, ids));
    let bare = view(filter.filter());
    catch_up(&mut filter, &bare)?;
    Ok((view(filter.filter()), filter))
}

/// Copies the books; files that are never written again once they have their name are linked, if that is possible.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<ScratchCopy, PersistenceError> {
    ScratchCopy::make_with(from, to, &|file, target| {
        if is_never_overwritten(file) && fs::hard_link(file, target).is_ok() {
            return Ok(());
        }
        copy_file(file, target)
    })
}

/// Tables of the engine, and files of the filter, which are replaced as a whole.
fn is_never_overwritten(file: &Path) -> bool {
    is_table(file)
        || file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(id_filter::PREFIX))
}

fn is_table(file: &Path) -> bool {
    file.parent().is_some_and(|parent| parent.ends_with("tables"))
}

/// What empty books hold.
fn write_first_marker(options: &BooksOptions, sink: &mut RowSink<'_>) -> Result<(), PersistenceError> {
    let mut value = Vec::new();
    Marker { generations: options.generations, ..Marker::default() }.encode(&mut value);
    sink(&Kind::Marker.key(&[]), Some(&value))
}

/// Adds to the filter what its files lag behind.
fn catch_up(filter: &mut IdFilterFiles, view: &Arc<BooksView>) -> Result<(), PersistenceError> {
    let from = filter.written().seq + 1;
    for record in view.records_from(from) {
        for (seq, _, payload) in record?.entries() {
            if seq >= from
                && let Some(id) = decode_entry(seq, payload)?.order_id()
            {
                filter.add(id, seq);
            }
        }
    }
    filter.advance_to(view.seq());
    Ok(())
}
