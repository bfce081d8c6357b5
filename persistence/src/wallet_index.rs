//! Which entries changed which wallet, so that one wallet can be rebuilt without reading the whole journal.
//!
//! It is kept in memory, fed by the journal writer in the order of the journal and before an entry is called durable,
//! so it is complete from where the books end up to whatever is durable. It knows nothing of what the entries say.

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use ledger::WalletId;
use parking_lot::Mutex;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicU64, Ordering};

const STRIPES: usize = 64;

/// A list of growing sequence numbers, as the differences between them in LEB128: two bytes each for a wallet that is
/// in one of ten thousand entries.
#[derive(Default)]
struct SeqList {
    last_seq: u64,
    differences: Vec<u8>,
}

impl SeqList {
    fn push(&mut self, seq: u64) {
        debug_assert!(seq > self.last_seq, "the writer goes through the journal once");
        let mut difference = seq - self.last_seq;
        self.last_seq = seq;
        while difference >= 0x80 {
            self.differences.push(0x80 | (difference & 0x7f) as u8);
            difference >>= 7;
        }
        self.differences.push(difference as u8);
    }

    fn forget_through(&mut self, seq: u64) {
        if self.last_seq <= seq {
            *self = Self::default();
            return;
        }
        let seqs = self.up_to(u64::MAX);
        let kept = &seqs[seqs.partition_point(|&changed| changed <= seq)..];
        if kept.len() < seqs.len() {
            *self = Self::default();
            for &changed in kept {
                self.push(changed);
            }
        }
    }

    fn up_to(&self, seq_max: u64) -> Vec<u64> {
        let mut seqs = Vec::new();
        let (mut seq, mut difference, mut shift) = (0, 0_u64, 0);
        for &byte in &self.differences {
            difference |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                seq += difference;
                if seq > seq_max {
                    break;
                }
                seqs.push(seq);
                (difference, shift) = (0, 0);
            }
        }
        seqs
    }
}

/// The index, striped by wallet so that a rebuild does not stop the writer.
pub struct WalletIndex {
    hasher: RandomState,
    /// Everything up to here may be gone.
    forgotten_seq: AtomicU64,
    stripes: Vec<Mutex<HashMap<WalletId, SeqList, RandomState>>>,
}

impl std::fmt::Debug for WalletIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WalletIndex").finish_non_exhaustive()
    }
}

impl Default for WalletIndex {
    fn default() -> Self {
        let hasher = RandomState::default();
        let stripes = (0..STRIPES).map(|_| Mutex::new(HashMap::with_hasher(hasher.clone()))).collect();
        Self { hasher, forgotten_seq: AtomicU64::new(0), stripes }
    }
}

impl WalletIndex {
    /// Notes that the entry `seq` changed `wallet`. Sequence numbers of one wallet only grow.
    pub fn push(&self, wallet: WalletId, seq: u64) {
        self.stripe(wallet).lock().entry(wallet).or_default().push(seq);
    }

    /// The entries up to `seq_max` that changed `wallet`, in order.
    pub fn seqs(&self, wallet: WalletId, seq_max: u64) -> Vec<u64> {
        self.stripe(wallet).lock().get(&wallet).map_or_else(Vec::new, |list| list.up_to(seq_max))
    }

    /// The entries above `seq` up to `seq_max` that changed `wallet`, in order; `None` if some of them may be forgotten.
    pub fn seqs_above(&self, wallet: WalletId, seq: u64, seq_max: u64) -> Option<Vec<u64>> {
        let mut seqs = self.seqs(wallet, seq_max);
        // Read after the list: whoever forgets says so before.
        if self.forgotten_seq.load(Ordering::Acquire) > seq {
            return None;
        }
        seqs.drain(..seqs.partition_point(|&changed| changed <= seq));
        Some(seqs)
    }

    /// Forgets the entries up to `seq`, which the books hold.
    pub fn forget_through(&self, seq: u64) {
        self.forgotten_seq.fetch_max(seq, Ordering::AcqRel);
        for stripe in &self.stripes {
            stripe.lock().retain(|_, list| {
                list.forget_through(seq);
                !list.differences.is_empty()
            });
        }
    }

    fn stripe(&self, wallet: WalletId) -> &Mutex<HashMap<WalletId, SeqList, RandomState>> {
        // The high bits: the map inside takes its bucket from the low ones.
        &self.stripes[(self.hasher.hash_one(wallet) >> 58) as usize]
    }
}

const _: () = assert!(STRIPES == 1 << (64 - 58));

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_index_gives_back_what_was_noted_up_to_a_bound(
            steps in prop::collection::vec(1_u64..1 << 40, 0..200),
            bound in any::<prop::sample::Index>(),
        ) {
            let seqs: Vec<u64> = steps.iter().scan(0, |seq, step| { *seq += step; Some(*seq) }).collect();
            let index = WalletIndex::default();
            for &seq in &seqs {
                index.push(WalletId(7), seq);
            }
            prop_assert_eq!(index.seqs(WalletId(7), u64::MAX), seqs.clone());
            prop_assert_eq!(index.seqs(WalletId(8), u64::MAX), Vec::<u64>::new());
            if !seqs.is_empty() {
                let bound = seqs[bound.index(seqs.len())];
                let expected: Vec<u64> = seqs.iter().copied().filter(|&seq| seq <= bound).collect();
                prop_assert_eq!(index.seqs(WalletId(7), bound), expected);
                let above: Vec<u64> = seqs.iter().copied().filter(|&seq| seq > bound).collect();
                prop_assert_eq!(index.seqs_above(WalletId(7), bound, u64::MAX), Some(above.clone()));
                index.forget_through(bound);
                prop_assert_eq!(index.seqs_above(WalletId(7), bound, u64::MAX), Some(above.clone()));
                prop_assert_eq!(index.seqs(WalletId(7), u64::MAX), above);
                prop_assert_eq!(index.seqs_above(WalletId(7), bound - 1, u64::MAX), None);
                index.push(WalletId(7), u64::MAX);
                prop_assert_eq!(index.seqs(WalletId(7), u64::MAX).last().copied(), Some(u64::MAX));
            }
        }
    }
}
