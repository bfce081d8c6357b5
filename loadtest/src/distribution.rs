//! Which wallets a transfer is between: all alike, a few much more than the rest, or one above all.

use rand::Rng;
use rand::rngs::SmallRng;
use rand_distr::{Distribution as _, Zipf};
use std::fmt;
use std::str::FromStr;

/// How wallets are chosen, as it is written on the command line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Distribution {
    /// All wallets alike.
    Uniform,
    /// The wallet of rank k with a weight of 1/k, on both sides.
    Zipf,
    /// This percentage of transfers credits or debits the first wallet; the rest is between the others.
    Hot(f64),
}

/// The exponent of [`Distribution::Zipf`].
const ZIPF_EXPONENT: f64 = 1.0;

impl FromStr for Distribution {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "uniform" => return Ok(Self::Uniform),
            "zipf" => return Ok(Self::Zipf),
            _ => {}
        }
        let percentage = text.strip_prefix("hot:").and_then(|percentage| percentage.parse().ok());
        match percentage {
            Some(percentage) if (0.0..=100.0).contains(&percentage) => Ok(Self::Hot(percentage)),
            _ => Err(format!("`{text}` is not uniform, zipf, or hot: with a percentage from 0 to 100")),
        }
    }
}

impl fmt::Display for Distribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uniform => f.write_str("uniform"),
            Self::Zipf => f.write_str("zipf"),
            Self::Hot(percentage) => write!(f, "hot:{percentage}"),
        }
    }
}

/// A distribution over a number of wallets, ready to choose.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WalletChooser {
    distribution: Distribution,
    zipf: Zipf<f64>,
    wallets: u32,
}

impl WalletChooser {
    /// At least two wallets are needed for a transfer between two of them.
    pub(crate) fn new(distribution: Distribution, wallets: u32) -> Self {
        assert!(wallets >= 2, "a transfer is between two wallets");
        let zipf =
            Zipf::new(f64::from(wallets), ZIPF_EXPONENT).expect("the number and the exponent are positive");
        Self { distribution, zipf, wallets }
    }

    /// The numbers of two different wallets, the one to debit first, each from 1 to the number of wallets.
    pub(crate) fn pair(&self, random: &mut SmallRng) -> (u32, u32) {
        match self.distribution {
            Distribution::Uniform => {
                let debit = random.random_range(1..=self.wallets);
                let credit = random.random_range(1..self.wallets);
                // The debit wallet is stepped over, so that the others stay equally likely.
                (debit, credit + u32::from(credit >= debit))
            }
            Distribution::Zipf => {
                let debit = self.rank(random);
                let credit = self.rank(random);
                let next = debit % self.wallets + 1;
                (debit, if credit == debit { next } else { credit })
            }
            Distribution::Hot(percentage) => {
                let other = random.random_range(2..=self.wallets);
                if self.wallets == 2 || random.random_bool(percentage / 100.0) {
                    return if random.random() { (1, other) } else { (other, 1) };
                }
                let further = random.random_range(2..self.wallets);
                (other, further + u32::from(further >= other))
            }
        }
    }

    /// One wallet, for a read.
    pub(crate) fn one(&self, random: &mut SmallRng) -> u32 {
        self.pair(random).0
    }

    fn rank(&self, random: &mut SmallRng) -> u32 {
        (self.zipf.sample(random) as u32).clamp(1, self.wallets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    /// How often each wallet was on either side of many pairs.
    fn uses(distribution: Distribution, wallets: u32) -> Vec<u32> {
        let chooser = WalletChooser::new(distribution, wallets);
        let mut random = SmallRng::seed_from_u64(7);
        let mut uses = vec![0; wallets as usize + 1];
        for _ in 0..100_000 {
            let (debit, credit) = chooser.pair(&mut random);
            assert_ne!(debit, credit);
            uses[debit as usize] += 1;
            uses[credit as usize] += 1;
        }
        assert_eq!(uses[0], 0, "the system wallet takes no part");
        uses
    }

    #[test]
    fn uniform_uses_all_wallets_alike() {
        let uses = uses(Distribution::Uniform, 10);
        assert!(uses[1..].iter().all(|&count| (19_000..21_000).contains(&count)), "{uses:?}");
    }

    #[test]
    fn zipf_uses_a_wallet_in_inverse_proportion_to_its_rank() {
        let uses = uses(Distribution::Zipf, 1_000);
        let ratio = f64::from(uses[1]) / f64::from(uses[10]);
        assert!((8.0..12.0).contains(&ratio), "{ratio}");
        assert!(uses[1] > uses[2] && uses[2] > uses[4] && uses[4] > uses[16]);
    }

    #[test]
    fn hot_uses_the_first_wallet_in_that_share_of_transfers() {
        for percentage in [0.0, 25.0, 100.0] {
            let uses = uses(Distribution::Hot(percentage), 100);
            let share = f64::from(uses[1]) / 1_000.0;
            assert!((share - percentage).abs() < 1.0, "{share} of {percentage}");
        }
    }

    #[test]
    fn two_wallets_are_enough_for_every_distribution() {
        for distribution in [Distribution::Uniform, Distribution::Zipf, Distribution::Hot(10.0)] {
            uses(distribution, 2);
        }
    }

    #[test]
    fn distributions_are_read_as_they_are_written() {
        for text in ["uniform", "zipf", "hot:10", "hot:0.5"] {
            assert_eq!(text.parse::<Distribution>().map(|read| read.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "hot", "hot:", "hot:101", "hot:-1", "hot:NaN", "normal"] {
            assert!(text.parse::<Distribution>().is_err(), "{text}");
        }
    }
}
