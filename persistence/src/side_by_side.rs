//! Much work of one kind, done by several threads.

use crate::error::PersistenceError;
use std::path::Path;
use std::{panic, thread};

/// Does `work` on every `share` of the items, each share on a thread of its own; a single one on this thread. Returns what came of
/// each, in their order, or the first error among them. That there is no thread to be had is an error that names `place`.
pub(crate) fn side_by_side<T: Sync, R: Send>(
    items: &[T],
    share: usize,
    place: &Path,
    work: &(dyn Fn(&[T]) -> Result<R, PersistenceError> + Sync),
) -> Result<Vec<R>, PersistenceError> {
    if items.len() <= share {
        return Ok(vec![work(items)?]);
    }
    thread::scope(|scope| {
        let mut working = Vec::with_capacity(items.len().div_ceil(share));
        for part in items.chunks(share) {
            let started = thread::Builder::new()
                .name("reader".to_owned())
                .spawn_scoped(scope, move || work(part))
                .map_err(|source| PersistenceError::io("start a thread to read", place, source))?;
            working.push(started);
        }
        let joined = working.into_iter().map(thread::ScopedJoinHandle::join);
        joined.map(|done| done.unwrap_or_else(|panic| panic::resume_unwind(panic))).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_worked_on_once_and_the_first_error_is_told() {
        let place = Path::new("place");
        for share in [1, 3, 9, 10, 11] {
            let items: Vec<u32> = (0..10).collect();
            let done = side_by_side(&items, share, place, &|part| Ok(part.to_vec())).unwrap();
            assert_eq!(done.concat(), items, "in shares of {share}");
            let failed = side_by_side(&items, share, place, &|part| {
                let seq = part.iter().find(|item| **item >= 4).map(|item| u64::from(*item));
                seq.map_or(Ok(()), |seq| {
                    Err(PersistenceError::UnreadableEntry { seq, reason: String::new() })
                })
            });
            let is_first = matches!(failed, Err(PersistenceError::UnreadableEntry { seq: 4, .. }));
            assert!(is_first, "{failed:?} in shares of {share}");
        }
        assert_eq!(side_by_side(&[0_u8; 0], 0, place, &|part| Ok(part.len())).unwrap(), [0]);
    }
}
