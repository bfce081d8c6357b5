//! What acknowledged orders were acknowledged with, for as many of them as memory is to be spent on: those of all scripts
//! up to a number, then of every second, every fourth and so on, evenly spread over the whole run.

/// An acknowledgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Acknowledgement {
    /// The number of the order in the run.
    pub(crate) number: u64,
    /// The journal entry that the server named.
    pub(crate) seq: u64,
    /// The time that the server named, in nanoseconds since 1970.
    pub(crate) timestamp_ns: u64,
}

/// An evenly spread sample.
#[derive(Clone, Debug)]
pub(crate) struct AcknowledgedSample {
    kept: Vec<Acknowledgement>,
    count_max: usize,
    /// So many numbers in a row are of one script, which is kept as a whole or not at all.
    steps: u64,
    /// Scripts whose numbers are divisible by it are kept.
    stride: u64,
}

impl AcknowledgedSample {
    /// At most so many are kept, of scripts with so many numbers each.
    pub(crate) fn new(count_max: usize, steps: u64) -> Self {
        assert!(count_max >= 2, "a sample thins itself by half");
        Self { kept: Vec::new(), count_max, steps, stride: 1 }
    }

    pub(crate) fn add(&mut self, acknowledgement: Acknowledgement) {
        if !self.keeps(acknowledgement.number) {
            return;
        }
        self.kept.push(acknowledgement);
        while self.kept.len() > self.count_max {
            self.stride *= 2;
            let (steps, stride) = (self.steps, self.stride);
            self.kept.retain(|kept| (kept.number / steps).is_multiple_of(stride));
        }
    }

    /// Whether the script of the order with this number is among those that are kept.
    pub(crate) fn keeps(&self, number: u64) -> bool {
        (number / self.steps).is_multiple_of(self.stride)
    }

    pub(crate) fn kept(&self) -> &[Acknowledgement] {
        &self.kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers_kept(count: u64, count_max: usize) -> Vec<u64> {
        numbers_kept_of(count, count_max, 1)
    }

    fn numbers_kept_of(count: u64, count_max: usize, steps: u64) -> Vec<u64> {
        let mut sample = AcknowledgedSample::new(count_max, steps);
        for number in 0..count {
            sample.add(Acknowledgement { number, seq: number + 1, timestamp_ns: number });
        }
        sample.kept().iter().map(|kept| kept.number).collect()
    }

    #[test]
    fn everything_is_kept_up_to_the_maximum_and_an_even_spread_beyond_it() {
        assert_eq!(numbers_kept(4, 4), [0, 1, 2, 3]);
        assert_eq!(numbers_kept(5, 4), [0, 2, 4]);
        assert_eq!(numbers_kept(8, 4), [0, 2, 4, 6]);
        assert_eq!(numbers_kept(9, 4), [0, 4, 8]);
        let many = numbers_kept(1_000_000, 1_000);
        assert!((500..=1_000).contains(&many.len()), "{}", many.len());
        assert!(many.windows(2).all(|pair| pair[1] - pair[0] == 1_024), "{many:?}");
    }
    #[test]
    fn scripts_are_kept_as_a_whole() {
        assert_eq!(numbers_kept_of(12, 12, 4), (0..12).collect::<Vec<_>>());
        assert_eq!(numbers_kept_of(13, 12, 4), [0, 1, 2, 3, 8, 9, 10, 11]);
    }
}
