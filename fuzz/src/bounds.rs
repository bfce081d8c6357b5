//! The bounds that every decoder keeps: on memory, and on the words of a refusal.

use std::fmt::Display;

/// What a refusal, its words included, may take beside what was decoded.
const REFUSAL_BYTES_MAX: u64 = 4 * 1024;

/// Runs `decode` and fails if it had more than `bytes_max` allocated at any moment, a refusal's words not counted.
pub(crate) fn within<T>(bytes_max: u64, decode: impl FnOnce() -> T) -> T {
    let mut decoded = None;
    let measured = allocation_counter::measure(|| decoded = Some(decode()));
    let bytes_max = bytes_max + REFUSAL_BYTES_MAX;
    assert!(
        measured.bytes_max <= bytes_max,
        "{} bytes allocated, at most {bytes_max} expected",
        measured.bytes_max
    );
    decoded.expect("the measured closure ran")
}

/// A refusal says something, and no more than a person reads or an error frame holds.
pub(crate) fn check_words(error: &impl Display) {
    let words = error.to_string();
    assert!(!words.trim().is_empty(), "a refusal without words");
    assert!(words.len() <= 1_024, "a refusal of {} bytes: {words}", words.len());
}
