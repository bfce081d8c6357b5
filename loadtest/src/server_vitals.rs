//! What a process uses, as the system sees it, and how much is in a directory.

use serde::Serialize;
use std::fs;
use std::path::Path;

/// What a process uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Vitals {
    /// Memory that it has in RAM.
    pub(crate) resident_bytes: u64,
    /// The most that it ever had.
    pub(crate) resident_bytes_max: u64,
    pub(crate) threads: u64,
    /// Open file descriptors.
    pub(crate) descriptors: u64,
}

impl Vitals {
    /// `None` if it has ended, or is ending.
    pub(crate) fn read(pid: i32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let descriptors = fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64;
        Self::parse(&status, descriptors)
    }

    fn parse(status: &str, descriptors: u64) -> Option<Self> {
        let number = |name: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
            line.trim().trim_end_matches("kB").trim_end().parse().ok()
        };
        Some(Self {
            resident_bytes: number("VmRSS")? << 10,
            resident_bytes_max: number("VmHWM")? << 10,
            threads: number("Threads")?,
            descriptors,
        })
    }
}

/// Bytes of all files in a directory and below it. Files that vanish meanwhile are not counted.
pub(crate) fn directory_bytes(path: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(path) else { return 0 };
    let bytes = entries.filter_map(Result::ok).map(|entry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => directory_bytes(&entry.path()),
        Ok(metadata) => metadata.len(),
        Err(_) => 0,
    });
    bytes.sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_process_uses_is_read_and_one_that_ends_has_nothing() {
        let vitals = Vitals::read(std::process::id().cast_signed()).expect("this process runs");
        assert!(
            vitals.resident_bytes > 0 && vitals.resident_bytes_max >= vitals.resident_bytes,
            "{vitals:?}"
        );
        assert!(vitals.threads >= 1 && vitals.descriptors >= 3, "{vitals:?}");
        let status = "Name:\tbursar\nVmHWM:\t  786960 kB\nVmRSS:\t   1948 kB\nThreads:\t15\n";
        let expected = Vitals {
            resident_bytes: 1_948 << 10,
            resident_bytes_max: 786_960 << 10,
            threads: 15,
            descriptors: 7,
        };
        assert_eq!(Vitals::parse(status, 7), Some(expected));
        // A process that ended and was not waited for has no memory any more.
        assert_eq!(Vitals::parse("Name:\tbursar\nThreads:\t1\n", 0), None);
    }

    #[test]
    fn all_files_below_a_directory_are_counted() {
        let place = tempfile::tempdir().expect("there is room for a directory");
        fs::create_dir(place.path().join("below")).expect("it is ours");
        fs::write(place.path().join("a"), [0; 100]).expect("it is ours");
        fs::write(place.path().join("below/b"), [0; 23]).expect("it is ours");
        assert_eq!(directory_bytes(place.path()), 123);
        assert_eq!(directory_bytes(&place.path().join("nowhere")), 0);
    }
}
