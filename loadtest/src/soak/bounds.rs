//! What must stay bounded while a server lives for long: memory, disk, threads, file descriptors.
//!
//! What the books hold stays for ever, so disk may grow with the entries, by so much for each, and memory by what is between the books
//! and the newest entry; neither with anything else. Threads and descriptors may not grow at all. The constants are what was measured
//! (`docs/LOADTEST.md` says where), with room above it: a leak of as much as an entry takes is found within a few
//! million entries, a leak of a thread or descriptor a restart, request or pause within some dozens.

use crate::figures::grouped;
use crate::soak::watch::Sample;
use serde::Serialize;

const MIB: u64 = 1 << 20;

/// Memory of the server: a constant (the cache of the storage engine, buffers, what the allocator keeps), and so much for each
/// entry and each wallet.
const RESIDENT_BYTES: u64 = 384 * MIB;
const RESIDENT_BYTES_PER_ENTRY: u64 = 160;
const RESIDENT_BYTES_PER_WALLET: u64 = 4_096;

/// Journal and books: the window of the journal, what the books' engine sets aside and has not merged, and so much for each entry.
const JOURNAL_BYTES: u64 = 512 * MIB;
const JOURNAL_BYTES_PER_ENTRY: u64 = 400;

/// The files beside the journal and the books, when the server is at rest.
const OTHER_BYTES_AT_REST: u64 = MIB;

/// With fewer, nothing is said about growth.
const ENTRIES_TO_TELL_GROWTH: f64 = 1e6;

/// More than at the first rest; the books' engine keeps up to 256 of its files open.
const DESCRIPTORS_MORE: u64 = 8 + 256;
const DESCRIPTORS_MORE_UNDER_LOAD: u64 = 24 + 256;
const THREADS_MORE: u64 = 24;

/// The harness.
const HARNESS_BYTES: u64 = 1_024 * MIB;

/// One bound, and how near it was come to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Bound {
    pub(crate) name: &'static str,
    pub(crate) rule: String,
    /// Where the most of what was allowed was used.
    pub(crate) worst: Option<Worst>,
    pub(crate) held: bool,
}

/// The worst moment.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Worst {
    pub(crate) at_s: f64,
    pub(crate) value: u64,
    pub(crate) limit: u64,
}

/// How memory of the server may grow; for the plot, too.
pub(crate) fn resident_limit(sample: &Sample) -> u64 {
    RESIDENT_BYTES + RESIDENT_BYTES_PER_ENTRY * sample.entries + RESIDENT_BYTES_PER_WALLET * sample.wallets
}

/// How journal and books may grow; for the plot, too.
pub(crate) fn journal_limit(sample: &Sample) -> u64 {
    JOURNAL_BYTES + JOURNAL_BYTES_PER_ENTRY * sample.entries
}

/// All bounds over these samples.
pub(crate) fn judge(samples: &[Sample]) -> Vec<Bound> {
    let mib = |bytes: u64| grouped(bytes / MIB);
    let first_rest = samples.iter().find(|sample| sample.at_rest && sample.server.is_some());
    let first = first_rest.and_then(|sample| sample.server).unwrap_or_default();
    let connections_at_rest = first_rest.map_or(0, |sample| sample.connections);
    let at_rest = |sample: &&Sample| sample.at_rest;
    vec![
        bound(
            "memory of the server",
            format!(
                "{} MiB + {RESIDENT_BYTES_PER_ENTRY} bytes an entry + {RESIDENT_BYTES_PER_WALLET} bytes a wallet",
                mib(RESIDENT_BYTES)
            ),
            samples.iter().filter_map(|sample| {
                Some((sample, sample.server?.resident_bytes_max, resident_limit(sample)))
            }),
        ),
        bound(
            "journal and books on disk",
            format!("{} MiB + {JOURNAL_BYTES_PER_ENTRY} bytes an entry", mib(JOURNAL_BYTES)),
            samples.iter().map(|sample| (sample, sample.journal_bytes, journal_limit(sample))),
        ),
        bound(
            "other files at rest",
            format!("{} MiB: a copy for checking is gone", mib(OTHER_BYTES_AT_REST)),
            samples.iter().filter(at_rest).map(|sample| (sample, sample.other_bytes, OTHER_BYTES_AT_REST)),
        ),
        bound(
            "descriptors at rest",
            format!("{} at the first rest + {DESCRIPTORS_MORE}", first.descriptors),
            samples.iter().filter(at_rest).filter_map(|sample| {
                Some((sample, sample.server?.descriptors, first.descriptors + DESCRIPTORS_MORE))
            }),
        ),
        bound(
            "descriptors",
            format!("{} at the first rest + connections + {DESCRIPTORS_MORE_UNDER_LOAD}", first.descriptors),
            samples.iter().filter_map(|sample| {
                let connections = sample.connections.saturating_sub(connections_at_rest);
                let limit = first.descriptors + connections + DESCRIPTORS_MORE_UNDER_LOAD;
                Some((sample, sample.server?.descriptors, limit))
            }),
        ),
        bound(
            "threads",
            format!("{} at the first rest + {THREADS_MORE}", first.threads),
            samples
                .iter()
                .filter_map(|sample| Some((sample, sample.server?.threads, first.threads + THREADS_MORE))),
        ),
        bound(
            "memory of the harness",
            format!("{} MiB", mib(HARNESS_BYTES)),
            samples.iter().map(|sample| (sample, sample.harness_bytes, HARNESS_BYTES)),
        ),
    ]
}

fn bound<'a>(
    name: &'static str,
    rule: String,
    values: impl Iterator<Item = (&'a Sample, u64, u64)>,
) -> Bound {
    let used = |worst: &Worst| worst.value as f64 / worst.limit as f64;
    let worst = values
        .map(|(sample, value, limit)| Worst { at_s: sample.at_s, value, limit })
        .max_by(|one, other| used(one).total_cmp(&used(other)));
    // What was never looked at was not held.
    let held = worst.is_some_and(|worst| worst.value <= worst.limit);
    Bound { name, rule, worst, held }
}

/// How a value grew with the entries, in bytes an entry, by least squares; `None` where there were too few entries to tell
/// that from the caches filling up.
pub(crate) fn bytes_per_entry(samples: &[Sample], value: impl Fn(&Sample) -> Option<u64>) -> Option<f64> {
    let points: Vec<(f64, f64)> =
        samples.iter().filter_map(|sample| Some((sample.entries as f64, value(sample)? as f64))).collect();
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(|point| point.0), mean(|point| point.1));
    let spread: f64 = points.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    let together: f64 = points.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let most = points.iter().map(|point| point.0).fold(0.0, f64::max);
    (spread > 0.0 && most >= ENTRIES_TO_TELL_GROWTH).then(|| together / spread)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server_vitals::Vitals;

    fn sample(at_rest: bool) -> Sample {
        Sample {
            at_s: 1.0,
            at_rest,
            connections: 0,
            entries: 1_000_000,
            wallets: 1_000,
            server: Some(Vitals {
                resident_bytes: 100 * MIB,
                resident_bytes_max: 150 * MIB,
                threads: 15,
                descriptors: 27,
            }),
            journal_bytes: 200 * MIB,
            other_bytes: 8_192,
            harness_bytes: 50 * MIB,
        }
    }

    fn change(sample: Sample, change: impl FnOnce(&mut Sample, &mut Vitals)) -> Sample {
        let (mut changed, mut vitals) = (sample, sample.server.expect("a server runs"));
        change(&mut changed, &mut vitals);
        Sample { server: Some(vitals), ..changed }
    }

    #[test]
    fn every_bound_is_held_by_a_good_server_and_broken_by_what_it_is_for() {
        let broken = |second: Sample| -> Vec<&'static str> {
            let bounds = judge(&[sample(true), second, Sample { server: None, ..sample(false) }]);
            assert_eq!(bounds.len(), 7);
            bounds.iter().filter(|bound| !bound.held).map(|bound| bound.name).collect()
        };
        let (rest, load) = (sample(true), Sample { connections: 8, ..sample(false) });
        assert_eq!(broken(load), Vec::<&str>::new());
        let more = change(load, |_, vitals| vitals.resident_bytes_max = 541 * MIB);
        assert_eq!(broken(more), ["memory of the server"]);
        assert_eq!(
            broken(Sample { entries: 2_000_000, ..more }),
            Vec::<&str>::new(),
            "it may grow with entries"
        );
        assert_eq!(
            broken(change(load, |sample, _| sample.journal_bytes = 900 * MIB)),
            ["journal and books on disk"]
        );
        assert_eq!(broken(change(rest, |sample, _| sample.other_bytes = 2 * MIB)), ["other files at rest"]);
        assert_eq!(broken(change(load, |sample, _| sample.other_bytes = 2 * MIB)), Vec::<&str>::new());
        assert_eq!(broken(change(rest, |_, vitals| vitals.descriptors = 292)), ["descriptors at rest"]);
        assert_eq!(broken(change(load, |_, vitals| vitals.descriptors = 292)), Vec::<&str>::new());
        assert_eq!(broken(change(load, |_, vitals| vitals.descriptors = 316)), ["descriptors"]);
        assert_eq!(broken(change(load, |_, vitals| vitals.threads = 40)), ["threads"]);
        let harness = change(load, |sample, _| sample.harness_bytes = 1_025 * MIB);
        assert_eq!(broken(harness), ["memory of the harness"]);
    }

    #[test]
    fn what_was_never_looked_at_was_not_held() {
        assert!(judge(&[]).iter().all(|bound| !bound.held && bound.worst.is_none()));
    }

    #[test]
    fn growth_is_told_by_entry() {
        let at = |entries: u64, bytes| Sample { entries, journal_bytes: bytes, ..sample(true) };
        let samples = [at(0, 100), at(1_000_000, 150_000_100), at(2_000_000, 300_000_100)];
        let growth = bytes_per_entry(&samples, |sample| Some(sample.journal_bytes)).expect("it grew");
        assert!((growth - 150.0).abs() < 1e-6, "{growth}");
        let few = [at(0, 100), at(1_000, 150_100)];
        for samples in [&samples[..1], &few] {
            assert_eq!(bytes_per_entry(samples, |sample| Some(sample.journal_bytes)), None);
        }
        assert_eq!(bytes_per_entry(&[], |sample| Some(sample.journal_bytes)), None);
    }
}
