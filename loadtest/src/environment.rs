//! Where a run took place, and what the harness itself used. Read from `/proc`; what cannot be read is left out.

use serde::Serialize;
use std::fs;
use std::thread::available_parallelism;

/// The clock ticks of `/proc/<pid>/stat`, in every Linux there is.
const TICKS_PER_SECOND: f64 = 100.0;

/// The place.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Environment {
    /// Cores that this process may use.
    pub(crate) cores: usize,
    /// What the processor calls itself.
    pub(crate) processor: Option<String>,
    /// The name and release of the kernel.
    pub(crate) kernel: String,
    /// All of the memory, in MiB.
    pub(crate) memory_mib: Option<u64>,
    /// The version of this harness.
    pub(crate) harness: String,
}

impl Environment {
    pub(crate) fn read() -> Self {
        let uname = rustix::system::uname();
        let (system, release) = (uname.sysname().to_string_lossy(), uname.release().to_string_lossy());
        let memory_kib: Option<u64> = field("/proc/meminfo", "MemTotal")
            .and_then(|text| text.trim_end_matches("kB").trim().parse().ok());
        Self {
            cores: available_parallelism().map_or(1, usize::from),
            processor: field("/proc/cpuinfo", "model name"),
            kernel: format!("{system} {release} {}", std::env::consts::ARCH),
            memory_mib: memory_kib.map(|kib| kib / 1024),
            harness: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// What stands behind the first line `name: ` of a file.
fn field(path: &str, name: &str) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim().to_owned())
}

/// How much processor time this process has used, in seconds.
pub(crate) fn processor_time_s() -> Option<f64> {
    parse_processor_time_s(&fs::read_to_string("/proc/self/stat").ok()?)
}

/// The second field is the program's name in parentheses and may hold anything; the times are the 14th and 15th.
fn parse_processor_time_s(stat: &str) -> Option<f64> {
    let (_, fields) = stat.rsplit_once(')')?;
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: Vec<f64> = ticks.filter_map(|ticks| ticks.parse().ok()).collect();
    (ticks.len() == 2).then(|| ticks.iter().sum::<f64>() / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_any_name() {
        let stat = "42 (a) b (c) R 1 2 3 4 5 6 7 8 9 10 150 25 0 0 20 0";
        assert_eq!(parse_processor_time_s(stat), Some(1.75));
        assert_eq!(parse_processor_time_s("42 (short) R 1"), None);
        assert!(processor_time_s().is_some());
    }
}
