//! sled, opened the one way that is durable, with its panics turned into errors.
//!
//! What is relied on was read in sled 0.34.7: opening shreds what lies behind the end of the log, removes blob files and writes a
//! snapshot, so merely opening changes the directory (`pagecache/snapshot.rs`, `advance_snapshot`); a leftover `snap.*.generating`
//! is taken for the newest snapshot (`config.rs`, `get_snapshot_files`); on damage it asserts. Nothing else may name sled but
//! `record.rs` (a value shared with it) and `sled_store.rs`.

use std::{
    cell::Cell,
    fs,
    ops::{Deref, DerefMut},
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    sync::{
        Arc, Once,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::error::PersistenceError;

/// A leaf holds up to 16 values. Even the longest ones, of 128 KiB, keep it at about a quarter of this, above which it
/// would go into a file of its own that nobody syncs.
const SEGMENT_BYTES: usize = 8 << 20;
const TREE: &str = "journal";
/// sled lets go of its file lock when its last background task ends, shortly after it was dropped.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// An open database and the journal's tree in it.
#[derive(Debug, Clone)]
pub(crate) struct Engine {
    pub(crate) db: Quiet<sled::Db>,
    pub(crate) tree: Quiet<sled::Tree>,
}

/// A handle of sled's. Whoever lets go of the last one has sled flush and sync its log, and panic if that fails
/// (`pagecache/logger.rs`, `Log::drop`): a panic on the way out of an error would take the error's place.
#[derive(Debug, Clone)]
pub(crate) struct Quiet<T>(Option<T>);

impl<T> Quiet<T> {
    pub(crate) fn new(handle: T) -> Self {
        Self(Some(handle))
    }

    /// Lets go of it, and says what went wrong.
    pub(crate) fn close(mut self) -> Result<(), String> {
        let handle = self.0.take();
        quietly(|| drop(handle))
    }
}

/// What sled's panics say when memory is refused (`arc.rs`, `pagecache/iobuf.rs`), and crossbeam's in a build with debug
/// assertions, for an allocation that sled does not look at (`pagecache/pagetable.rs`).
const NO_MEMORY: [&str; 2] = ["failed to allocate", "converting zero into `Owned`"];

/// So many threads sled starts for a beginning, and goes on without a word if none of them can be started: then whatever
/// it hands them waits for ever (`threadpool.rs`, `init_queue`).
const SLED_THREADS: usize = 7;

/// Whether this is why the engine failed. It says nothing about what is on disk.
pub(crate) fn is_no_memory(reason: &str) -> bool {
    NO_MEMORY.iter().any(|words| reason.contains(words))
}

/// Whether the system would let sled start its threads, all of them at once.
fn try_threads() -> std::io::Result<()> {
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock();
    let mut threads = Vec::with_capacity(SLED_THREADS);
    for _ in 0..SLED_THREADS {
        let gate = Arc::clone(&gate);
        // On an error the gate is opened by being dropped, and those that wait at it end.
        threads.push(thread::Builder::new().name("try".to_owned()).spawn(move || drop(gate.lock()))?);
    }
    drop(closed);
    for thread in threads {
        thread.join().unwrap_or_else(|panic| panic::resume_unwind(panic));
    }
    Ok(())
}

impl<T> Deref for Quiet<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("it is there until it is let go of")
    }
}

impl<T> DerefMut for Quiet<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.as_mut().expect("it is there until it is let go of")
    }
}

impl<T> Drop for Quiet<T> {
    fn drop(&mut self) {
        let handle = self.0.take();
        if let Err(reason) = quietly(|| drop(handle)) {
            // Whoever needs what is written to be durable closes, and is told.
            tracing::warn!(%reason, "the storage engine failed while it was let go of");
        }
    }
}

/// Why the engine could not be opened.
#[derive(Debug)]
pub(crate) enum OpenFault {
    /// The system refused a file operation, which says nothing about what the files hold.
    System(std::io::Error),
    /// The engine's words.
    Engine(String),
}

impl From<sled::Error> for OpenFault {
    fn from(error: sled::Error) -> Self {
        match error {
            sled::Error::Io(error) if is_refusal(&error) => Self::System(error),
            error => Self::Engine(error.to_string()),
        }
    }
}

impl OpenFault {
    /// Of a panic inside: want of memory says nothing about what is on disk either.
    fn of_panic(reason: String) -> Self {
        if is_no_memory(&reason) {
            Self::System(std::io::Error::new(std::io::ErrorKind::OutOfMemory, reason))
        } else {
            Self::Engine(reason)
        }
    }
}

/// Whether the system itself refused an operation on a file that is there: of a missing file or a missing end, what
/// the engine makes of it is what counts.
pub(crate) fn is_refusal(error: &std::io::Error) -> bool {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => false,
        // What is made of what was read.
        ErrorKind::UnexpectedEof | ErrorKind::InvalidData | ErrorKind::InvalidInput | ErrorKind::Other => {
            error.raw_os_error().is_some()
        }
        // Others come from the system alone, though words may have been put around them, or one thread tells another.
        _ => true,
    }
}

impl Engine {
    /// Opens or creates the database in `path`. A panic inside is an error and prints nothing.
    pub(crate) fn open(path: &Path, cache_bytes: u64) -> Result<Self, OpenFault> {
        let give_up = Instant::now() + LOCK_PATIENCE;
        Self::open_patiently(path, cache_bytes, &mut || {
            thread::sleep(Duration::from_millis(2));
            Instant::now() < give_up
        })
    }

    /// As [`Self::open`]. While somebody else has the lock, `wait` is called, and says whether to try again.
    fn open_patiently(
        path: &Path,
        cache_bytes: u64,
        wait: &mut dyn FnMut() -> bool,
    ) -> Result<Self, OpenFault> {
        try_threads().map_err(|source| {
            let words = format!("the storage engine cannot start its threads: {source}");
            OpenFault::System(std::io::Error::new(source.kind(), words))
        })?;
        loop {
            let opened = quietly(|| {
                let db = sled::Config::new()
                    .path(path)
                    .segment_size(SEGMENT_BYTES)
                    .cache_capacity(cache_bytes)
                    .mode(sled::Mode::HighThroughput)
                    .use_compression(false)
                    .flush_every_ms(None)
                    .open()?;
                let tree = db.open_tree(TREE)?;
                Ok(Self { db: Quiet::new(db), tree: Quiet::new(tree) })
            });
            let opened = opened.map_err(OpenFault::of_panic)?;
            match opened {
                Ok(engine) => return Ok(engine),
                Err(sled::Error::Io(error))
                    if error.to_string().contains("could not acquire lock") && wait() => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Lets go of it, and says what went wrong.
    pub(crate) fn close(self) -> Result<(), String> {
        let Self { db, tree } = self;
        let closed = [tree.close(), db.close()];
        closed.into_iter().collect()
    }
}

/// Removes what a crash in the middle of an open left, and says which files.
pub(crate) fn remove_unfinished_snapshots(path: &Path) -> Result<Vec<PathBuf>, PersistenceError> {
    let fault = |source| PersistenceError::io("list", path, source);
    let mut removed = Vec::new();
    for entry in fs::read_dir(path).map_err(fault)? {
        let entry = entry.map_err(fault)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(".generating") {
            fs::remove_file(entry.path())
                .map_err(|source| PersistenceError::io("remove", &entry.path(), source))?;
            removed.push(entry.path());
        }
    }
    Ok(removed)
}

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}
/// While any thread is quiet, sled's own threads are, too.
static QUIET_THREADS: AtomicUsize = AtomicUsize::new(0);

/// Runs `work` and turns a panic into its message, without the panic hook printing it.
pub(crate) fn quietly<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            let is_sled = thread::current().name().is_some_and(|name| name.starts_with("sled-io-"));
            let is_quiet = QUIET.get() || (is_sled && QUIET_THREADS.load(Ordering::Relaxed) > 0);
            if !is_quiet {
                usual(panic);
            }
        }));
    });
    let was_quiet = QUIET.replace(true);
    QUIET_THREADS.fetch_add(1, Ordering::Relaxed);
    let outcome = panic::catch_unwind(AssertUnwindSafe(work));
    QUIET_THREADS.fetch_sub(1, Ordering::Relaxed);
    QUIET.set(was_quiet);
    outcome.map_err(|panic| {
        let message = panic.downcast_ref::<String>().map(String::as_str);
        let message =
            message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("a panic without words");
        // Some of its assertions print whole pages.
        format!("it panicked: {}", message.chars().take(200).collect::<String>().replace('\n', " "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::inotify;
    use std::io;

    #[test]
    fn what_the_system_refuses_is_told_from_what_is_read_wrong() {
        use std::io::{Error, ErrorKind};
        let check = |error: Error, expected: bool| assert_eq!(is_refusal(&error), expected, "{error:?}");
        let [enoent, eio, eacces, einval, enospc] = [2, 5, 13, 22, 28].map(Error::from_raw_os_error);
        // As libraries put their own words around it.
        let in_words = |error: &Error| Error::new(error.kind(), format!("{error} at some path"));
        check(in_words(&eio), true);
        check(in_words(&eacces), true);
        check(in_words(&enospc), true);
        check(in_words(&enoent), false);
        for error in [eio, eacces, einval, enospc] {
            check(error, true);
        }
        check(enoent, false);
        for kind in
            [ErrorKind::UnexpectedEof, ErrorKind::InvalidData, ErrorKind::InvalidInput, ErrorKind::Other]
        {
            check(Error::new(kind, "a block of another length"), false);
        }
    }

    const CACHE_BYTES: u64 = 1 << 20;

    /// That it waits itself, and not only as it is told to.
    #[test]
    fn an_open_waits_for_whoever_is_about_to_let_go() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        Engine::open(&path, CACHE_BYTES).unwrap().close().unwrap();
        let held = std::fs::File::open(path.join("db")).unwrap();
        // The engine lets go of it in the background.
        held.lock().unwrap();
        let watch = inotify::init(inotify::CreateFlags::CLOEXEC).unwrap();
        inotify::add_watch(&watch, path.join("db"), inotify::WatchFlags::CLOSE_WRITE).unwrap();
        let opened = thread::scope(|scope| {
            let opening = scope.spawn(|| Engine::open(&path, CACHE_BYTES));
            // It closes the log again when it cannot lock it, which is told however late somebody asks.
            let mut buffer = [std::mem::MaybeUninit::uninit(); 512];
            inotify::Reader::new(&watch, &mut buffer).next().unwrap();
            drop(held);
            opening.join().unwrap()
        });
        opened.unwrap().close().unwrap();
    }

    #[test]
    fn an_open_waits_as_long_as_it_is_told_to_and_for_a_lock_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("journal");
        // Waits three times, or lets go then and waits on.
        let check = |path: &Path, held: &mut Option<std::fs::File>, lets_go: bool| {
            let mut waited = 0;
            let opened = Engine::open_patiently(path, CACHE_BYTES, &mut || {
                waited += 1;
                if waited == 3 && lets_go {
                    drop(held.take());
                }
                waited < 3 || lets_go
            });
            (opened, waited)
        };
        let (opened, waited) = check(&path, &mut None, false);
        opened.unwrap().close().unwrap();
        assert_eq!(waited, 0);
        let held = std::fs::File::open(path.join("db")).unwrap();
        // The engine lets go of it in the background.
        held.lock().unwrap();
        let mut held = Some(held);
        let (refused, waited) = check(&path, &mut held, false);
        assert!(matches!(refused, Err(OpenFault::Engine(words)) if words.contains("could not acquire lock")));
        assert_eq!(waited, 3);
        let (opened, waited) = check(&path, &mut held, true);
        opened.unwrap().close().unwrap();
        assert_eq!(waited, 3);
        let in_its_place = directory.path().join("file");
        std::fs::write(&in_its_place, "a file in the place of the directory").unwrap();
        let (refused, waited) = check(&in_its_place, &mut None, true);
        assert!(matches!(refused, Err(OpenFault::System(_))));
        assert_eq!(waited, 0);
    }

    #[test]
    fn what_the_system_refuses_is_no_damage() {
        let check = |error: sled::Error, is_system: bool| {
            let text = error.to_string();
            assert_eq!(matches!(OpenFault::from(error), OpenFault::System(_)), is_system, "{text}");
        };
        let no_room = rustix::io::Errno::NOSPC.raw_os_error();
        check(sled::Error::Io(io::Error::from_raw_os_error(no_room)), true);
        check(
            sled::Error::Io(io::Error::new(io::ErrorKind::StorageFull, "no room, said by another thread")),
            true,
        );
        // A file that should be there is damage, though it is the system that says so.
        let no_file = rustix::io::Errno::NOENT.raw_os_error();
        check(sled::Error::Io(io::Error::from_raw_os_error(no_file)), false);
        check(sled::Error::Io(io::Error::other("cannot parse the configuration")), false);
        check(sled::Error::Io(io::ErrorKind::UnexpectedEof.into()), false);
        check(sled::Error::Corruption { at: None, bt: () }, false);
        for (panic, is_system) in [
            ("failed to allocate Arc", true),
            ("converting zero into `Owned`", true),
            ("assertion failed: left == right", false),
        ] {
            let fault = quietly(|| panic!("{panic}")).map_err(OpenFault::of_panic);
            assert_eq!(matches!(fault, Err::<(), _>(OpenFault::System(_))), is_system, "{panic}");
        }
    }

    /// As sled is when it is let go of and the disk has failed.
    struct PanicsWhenDropped;
    impl Drop for PanicsWhenDropped {
        fn drop(&mut self) {
            panic!("the disk has failed");
        }
    }

    #[test]
    fn a_panic_while_a_handle_is_let_go_of_is_an_error_to_who_closes_it_and_nothing_to_who_drops_it() {
        let closed = Quiet::new(PanicsWhenDropped).close();
        assert_eq!(closed, Err("it panicked: the disk has failed".to_owned()));
        assert_eq!(Quiet::new(1).close(), Ok(()));
        assert_eq!(quietly(|| drop(Quiet::new(PanicsWhenDropped))), Ok(()));
    }

    const TASK: &str = "BURSAR_TEST_ENGINE_TASK";

    #[test]
    fn only_the_panics_of_quiet_work_and_of_the_engine_meanwhile_are_not_printed() {
        let this = std::env::current_exe().expect("a test binary");
        let name = "engine::tests::panics_in_every_way";
        let ran = std::process::Command::new(this)
            .args([name, "--exact", "--ignored", "--nocapture"])
            .env(TASK, "1")
            .output()
            .expect("it runs");
        let printed = String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success(), "{printed}");
        for (words, is_printed) in [
            ("quiet work", false),
            ("the engine while work is quiet", false),
            ("another thread while work is quiet", true),
            ("the engine while nothing is quiet", true),
            ("work that is not quiet", true),
            ("quiet work inside quiet work", false),
            ("quiet work after quiet work", false),
        ] {
            assert_eq!(printed.contains(&format!("panics: {words}.")), is_printed, "{words}: {printed}");
        }
    }

    #[test]
    #[ignore = "a part of another, in a process of its own"]
    fn panics_in_every_way() {
        fn panics_in(thread: &str, words: &'static str) {
            let spawned =
                thread::Builder::new().name(thread.to_owned()).spawn(move || panic!("panics: {words}."));
            assert!(spawned.expect("there are threads").join().is_err());
        }
        if std::env::var_os(TASK).is_none() {
            return;
        }
        let quiet = quietly(|| {
            panics_in("sled-io-1", "the engine while work is quiet");
            panics_in("another", "another thread while work is quiet");
            assert!(quietly(|| panic!("panics: quiet work inside quiet work.")).is_err());
            panic!("panics: quiet work after quiet work.");
        });
        assert!(quiet.is_err());
        assert!(quietly(|| panic!("panics: quiet work.")).is_err());
        panics_in("sled-io-1", "the engine while nothing is quiet");
        assert!(panic::catch_unwind(|| panic!("panics: work that is not quiet.")).is_err());
    }
}
