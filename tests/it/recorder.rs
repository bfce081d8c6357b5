//! The library of `tests/preload/recorder.c`, compiled and put under a real server: it writes down what the server does
//! to its data directory, makes calls fail, kills at an exact call, and shifts the wall clock.

use crate::books::Chance;
use crate::server::bursar;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Classes of calls that are counted, made to fail, or killed at. The library has the same bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Calls(pub(crate) u64);

impl Calls {
    pub(crate) const OPEN_TO_WRITE: Self = Self(1 << 0);
    pub(crate) const OPEN_TO_READ: Self = Self(1 << 1);
    pub(crate) const WRITE: Self = Self(1 << 2);
    pub(crate) const SYNC: Self = Self(1 << 3);
    pub(crate) const SYNC_RANGE: Self = Self(1 << 4);
    pub(crate) const TRUNCATE: Self = Self(1 << 5);
    pub(crate) const RENAME: Self = Self(1 << 6);
    pub(crate) const REMOVE: Self = Self(1 << 7);
    pub(crate) const MAKE_DIRECTORY: Self = Self(1 << 8);
    pub(crate) const READ: Self = Self(1 << 9);
    pub(crate) const COPY: Self = Self(1 << 10);

    /// Everything that changes the directory, is to make a change durable, or sends a reply.
    pub(crate) const THAT_MATTER: Self = Self(0b1101_1111_1101);

    /// Those that a disk can fail, with their names.
    pub(crate) const EACH: [(Self, &'static str); 11] = [
        (Self::OPEN_TO_WRITE, "open to write"),
        (Self::OPEN_TO_READ, "open to read"),
        (Self::WRITE, "write"),
        (Self::SYNC, "sync"),
        (Self::SYNC_RANGE, "sync_file_range"),
        (Self::TRUNCATE, "ftruncate"),
        (Self::RENAME, "rename"),
        (Self::REMOVE, "unlink or rmdir"),
        (Self::MAKE_DIRECTORY, "mkdir"),
        (Self::READ, "read"),
        (Self::COPY, "copy_file_range"),
    ];
}

/// What happens to the call that is struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blow {
    /// It fails, and the next one is made as always.
    FailOnce(Errno),
    /// It fails, and so does every one after it.
    FailFromThenOn(Errno),
    /// A write writes half of what it was given; what follows fails.
    WriteHalfThenFail(Errno),
    /// The process is killed before the call is made.
    Kill,
}

/// What the system says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Errno {
    /// The disk is broken.
    Io = 5,
    /// The disk is full.
    NoSpace = 28,
}

/// Where `struct control` has its fields.
const CLOCK_OFFSET_AT: u64 = 0;
const CLASSES_AT: u64 = 8;
const COUNTDOWN_AT: u64 = 16;
const ERROR_AT: u64 = 24;
const MODE_AT: u64 = 32;
const STRUCK_AT: u64 = 40;
const CALLS_AT: u64 = 48;
const CONTROL_BYTES: u64 = 48 + 16 * 8;

/// A recording of one directory, and the hand that strikes it.
#[derive(Debug)]
pub(crate) struct Recorder {
    root: PathBuf,
    log: PathBuf,
    control_path: PathBuf,
    control: File,
}

impl Recorder {
    /// Records what happens below `root`; keeps its files in `notes`, which must not lie below it.
    pub(crate) fn new(root: &Path, notes: &Path) -> Self {
        let root = fs::canonicalize(root).expect("the root exists");
        let control_path = notes.join("control");
        fs::write(&control_path, vec![0; CONTROL_BYTES as usize])
            .expect("there is room for the control file");
        let control = File::options().read(true).write(true).open(&control_path).expect("it was just made");
        Self { root, log: notes.join("log"), control_path, control }
    }

    /// What is recorded.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// Where the events are.
    pub(crate) fn log(&self) -> &Path {
        &self.log
    }

    /// The binary, recorded.
    pub(crate) fn command(&self) -> Command {
        let mut command = bursar();
        command
            .env("LD_PRELOAD", library())
            .env("RECORDER_ROOT", &self.root)
            .env("RECORDER_LOG", &self.log)
            .env("RECORDER_CONTROL", &self.control_path);
        command
    }

    /// From now on, the `nth` call of these classes (from 1) is struck.
    pub(crate) fn strike(&self, calls: Calls, nth: u64, blow: Blow) {
        let (error, mode) = match blow {
            Blow::FailOnce(errno) => (errno as u64, 0),
            Blow::FailFromThenOn(errno) => (errno as u64, 1),
            Blow::WriteHalfThenFail(errno) => (errno as u64, 2),
            Blow::Kill => (0, 4),
        };
        self.put(CLASSES_AT, 0);
        self.put(COUNTDOWN_AT, nth);
        self.put(ERROR_AT, error);
        self.put(MODE_AT, mode);
        self.put(STRUCK_AT, 0);
        // Last, so that the library never sees half of an order.
        self.put(CLASSES_AT, calls.0);
    }

    /// From now on, nothing is struck.
    pub(crate) fn calm(&self) {
        self.put(CLASSES_AT, 0);
    }

    /// How many calls were struck since the last order.
    pub(crate) fn struck(&self) -> u64 {
        self.get(STRUCK_AT)
    }

    /// How many calls of one class there were so far.
    pub(crate) fn calls(&self, class: Calls) -> u64 {
        self.get(CALLS_AT + 8 * u64::from(class.0.trailing_zeros()))
    }

    /// Sets the server's wall clock so many seconds away from the real one, at once.
    pub(crate) fn shift_wall_clock(&self, seconds: i64) {
        self.put(CLOCK_OFFSET_AT, (seconds * 1_000_000_000).cast_unsigned());
    }

    fn put(&self, at: u64, value: u64) {
        self.control.write_all_at(&value.to_ne_bytes(), at).expect("the control file is ours");
    }

    fn get(&self, at: u64) -> u64 {
        let mut bytes = [0; 8];
        self.control.read_exact_at(&mut bytes, at).expect("the control file is ours");
        u64::from_ne_bytes(bytes)
    }
}

/// The compiled library. Whoever builds Rust programs has a C compiler: it links them.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/preload/recorder.c");
        let text = fs::read(&source).expect("the source is in the repository");
        // One file for each state of the source, so that a test never meets a library of another one.
        let state = text.iter().fold(0, |state, &byte| Chance(state ^ u64::from(byte)).next());
        let place = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let library = place.join(format!("recorder-{state:016x}.so"));
        if !library.exists() {
            let unfinished = place.join(format!("recorder-{}.unfinished", std::process::id()));
            let mut compiler = Command::new("cc");
            compiler.args(["-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-pthread", "-o"]);
            let output = compiler.arg(&unfinished).arg(&source).arg("-ldl").output().expect("there is a cc");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            fs::rename(&unfinished, &library).expect("the target directory is ours");
        }
        library
    })
}
